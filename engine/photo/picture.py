"""The bytes of a photo file → a picture: decoded at the scale needed, upright, in sRGB."""

import threading
from contextlib import nullcontext
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from engine.library import thumbnails
from engine.library.records import Metadata
from engine.photo import formats, raw
from engine.photo.exif import exif_values
from engine.photo.file import NotAPhoto, UnreadablePhoto, read_file
from engine.photo.metadata import metadata_of
from engine.photo.pixels import lies_on_its_side, shrink, squash, to_srgb, upright

_LARGE = 40_000_000  # pixels from which photos are decoded one at a time, to bound memory
_large = threading.Lock()
_SHARP_ENOUGH = 15 / 16  # of the size asked for; a 12-megapixel JPEG is then decoded at an eighth instead of a quarter
_ALL_GREY = 0.99  # of the pixels being like the last one, a decoder has filled in all but the first few
_END = b"\xff\xd9"  # of a JPEG


@dataclass(frozen=True)
class Picture:
    """A decoded photo.

    `image` is upright RGB in sRGB, perhaps smaller than the photo; `width` and `height` are those of the whole upright
    photo. A camera that noted no zone is taken to have shown UTC. `warning` says what of the file could not be read.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    metadata: Metadata
    warning: str | None = None


def open_picture(
    data: bytes, path: str, square: int, fit: int = thumbnails.SIDE, sidecar: bytes | None = None
) -> Picture:
    """Decode a photo from the bytes of its file.

    The picture is as small as can cheaply be had that is still large enough to be squashed to `square` × `square`
    pixels and to be fitted into `fit` × `fit`. So with one `fit` the model sees the same pixels wherever a photo comes
    from. `path` is for messages, and its ending tells RAW files; `sidecar` is an XMP file that belongs to the photo.
    A JPEG that lacks its end is read as far as it goes, with a warning. Raises UnreadablePhoto.
    """
    if not data:
        raise UnreadablePhoto(path, "empty file")
    if formats.suffix_of(path) in formats.RAW_SUFFIXES:
        return raw.open_raw(data, path, square, lambda preview: open_picture(preview, "", square, fit), sidecar)
    Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit knows nothing of scaled decoding; ours stands in its place
    try:
        return _open(data, path, square, fit, sidecar)
    except UnreadablePhoto as error:
        if not error.reason.startswith("truncated JPEG"):
            raise
        picture = _open(data + _END, path, square, fit, sidecar)
        pixels = np.asarray(picture.image)
        if (pixels == pixels[-1, -1]).mean() > _ALL_GREY:
            raise  # nothing of it was there
        return replace(picture, warning="the end of the file is missing")


def load_square(path: Path, size: int) -> NDArray[np.uint8]:
    """The pixels (size, size, 3) of the photo in a file as the model looks at them; raises UnreadablePhoto."""
    return squash(open_picture(read_file(str(path)).data, str(path), square=size).image, size)


def load_upright(path: Path, side: int) -> Image.Image:
    """The photo in a file, upright and fitted into `side` × `side` pixels; raises UnreadablePhoto."""
    image = open_picture(read_file(str(path)).data, str(path), square=1, fit=side).image
    image.thumbnail((side, side))
    return image


def _open(data: bytes, path: str, square: int, fit: int, sidecar: bytes | None) -> Picture:
    format_ = "image"
    try:
        with Image.open(BytesIO(data), formats=formats.formats_of(data)) as image:
            format_ = {"MPO": "JPEG", "HEIF": "HEIC"}.get(image.format or "", image.format or "")
            return _decode(image, path, format_, square, fit, sidecar)
    except UnidentifiedImageError:
        raise NotAPhoto(path, "not an image this program can read") from None
    except UnreadablePhoto:
        raise
    except MemoryError:
        raise UnreadablePhoto(path, "not enough memory to decode it") from None
    except Exception as error:  # a decoder fed with damaged data may raise anything
        kind = "truncated" if "truncated" in str(error).lower() else "damaged"
        raise UnreadablePhoto(path, f"{kind} {format_}: {error or type(error).__name__}") from None


def _decode(image: Image.Image, path: str, format_: str, square: int, fit: int, sidecar: bytes | None) -> Picture:
    width, height = image.size
    needed = max(square / min(width, height), _SHARP_ENOUGH * fit / max(width, height))
    enough = [max(1, int(side * min(needed, 1))) for side in (width, height)]
    image.draft("RGB", (enough[0], enough[1]))
    pixels = _refuse_if_too_large(image, path, format_, width, height)
    with _large if pixels > _LARGE else nullcontext():
        image.load()
        exif = exif_values(image)  # after loading: Pillow turns a TIFF upright itself, and then says so
        small = shrink(image, max(1, min(image.width // enough[0], image.height // enough[1])))
    orientation = exif.get(ExifTags.Base.Orientation)
    if lies_on_its_side(orientation):
        width, height = height, width
    turned = upright(to_srgb(small, image.info.get("icc_profile")), orientation)
    return Picture(turned, width, height, format_, metadata_of(image, exif, sidecar))


def _refuse_if_too_large(image: Image.Image, path: str, format_: str, width: int, height: int) -> int:
    """The number of pixels that will be decoded; raises UnreadablePhoto for too many of them."""
    progressive = bool(image.info.get("progressive"))
    pixels = width * height if progressive else image.width * image.height
    limit, kind = formats.MAX_PIXELS, format_
    if progressive:
        limit, kind = formats.MAX_PROGRESSIVE, f"progressive {format_}"
    elif format_ in ("HEIC", "AVIF", "WEBP"):
        limit = formats.MAX_COMPRESSED
    if pixels > limit:
        raise UnreadablePhoto(
            path, f"{width:,}×{height:,} pixels; {kind} images up to {limit // 1_000_000} megapixels are read"
        )
    return pixels
