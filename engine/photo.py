"""A photo file: its bytes read once, its pixels upright and no larger than needed, what it says of itself.

Everything that looks at a photo comes through here, so indexing, thumbnails and a query by image see the same pixels.
Files are opened read-only. A file that cannot be used is an `UnreadablePhoto` that says why.
"""

import hashlib
import os
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
    features,
)

from engine.errors import PhotoError
from engine.library import thumbnails
from engine.library.records import FileStamp, Metadata

_AVIF = bool(features.check("avif"))
# Named one by one: Pillow would hand a PostScript file called x.jpg to Ghostscript. Importing a plug-in registers it.
_PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP", *(("AVIF",) if _AVIF else ()))
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", *((".avif",) if _AVIF else ()))
)
MAX_PIXELS = 200_000_000  # that have to be decoded; a JPEG is decoded at the scale needed
MAX_PROGRESSIVE = 130_000_000  # of a progressive JPEG, which is held in memory whole whatever the scale
MAX_BYTES = 1 << 29
_LARGE = 40_000_000  # pixels from which photos are decoded one at a time, to bound memory
_large = threading.Lock()
_STRIP = 1 << 22  # pixels converted at once
_SHARP_ENOUGH = 15 / 16  # of the size asked for; a 12-megapixel JPEG is then decoded at an eighth instead of a quarter
_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadablePhoto(PhotoError):
    """A photo that cannot be used; `reason` says why in a few words, without the path."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = " ".join(reason.split())
        super().__init__(f"Cannot read {path}: {self.reason}")


class NotAPhoto(UnreadablePhoto):
    """Data that is no image, or an image of a kind that is not read."""


class UnreadFile(UnreadablePhoto):
    """A file that could not be read at all, which says nothing about its content: another time it may be."""


@dataclass(frozen=True)
class PhotoFile:
    """The bytes of a file, and what identifies them. `content_hash` is 16 bytes of BLAKE2b."""

    path: str
    data: bytes
    stamp: FileStamp
    content_hash: bytes


@dataclass(frozen=True)
class Picture:
    """A decoded photo.

    `image` is upright RGB in sRGB, perhaps smaller than the photo; `width` and `height` are those of the whole upright
    photo. A camera that noted no zone is taken to have shown UTC.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    metadata: Metadata


def read_file(path: str) -> PhotoFile:
    """Read a file once; raises UnreadFile if that fails or it changes meanwhile, UnreadablePhoto if it is too large."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  (paths may hold bytes that are not UTF-8)
            before = _stamp(file.fileno())
            if before.size > MAX_BYTES:
                raise UnreadablePhoto(path, f"{before.size:,} bytes, more than {MAX_BYTES:,}")
            data = file.read()
            after = _stamp(file.fileno())
    except OSError as error:
        raise UnreadFile(path, (error.strerror or str(error)).lower()) from None
    if before != after or len(data) != after.size:
        raise UnreadFile(path, "changed while it was being read")
    return PhotoFile(path, data, after, hashlib.blake2b(data, digest_size=16).digest())


def open_picture(data: bytes, path: str, square: int, fit: int = thumbnails.SIDE) -> Picture:
    """Decode a photo from the bytes of its file.

    The picture is as small as can cheaply be had that is still large enough to be squashed to `square` × `square`
    pixels and to be fitted into `fit` × `fit`. So with one `fit` the model sees the same pixels wherever a photo comes
    from. `path` is for messages. Raises UnreadablePhoto.
    """
    if not data:
        raise UnreadablePhoto(path, "empty file")
    Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit knows nothing of scaled decoding; ours stands in its place
    format_ = "image"
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            format_ = {"MPO": "JPEG"}.get(image.format or "", image.format or "")
            return _decode(image, path, format_, square, fit)
    except UnidentifiedImageError:
        raise NotAPhoto(path, "not an image this program can read") from None
    except UnreadablePhoto:
        raise
    except MemoryError:
        raise UnreadablePhoto(path, "not enough memory to decode it") from None
    except Exception as error:  # a decoder fed with damaged data may raise anything
        kind = "truncated" if "truncated" in str(error).lower() else "damaged"
        raise UnreadablePhoto(path, f"{kind} {format_}: {error or type(error).__name__}") from None


def squash(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """What the model looks at: the RGB pixels (size, size, 3) of the whole picture, whatever its proportions.

    A side at least twice as long is first averaged by a whole factor, which is twice as fast and looks the same.
    """
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=1.0))


def load_square(path: Path, size: int) -> NDArray[np.uint8]:
    """The pixels (size, size, 3) of the photo in a file as the model looks at them; raises UnreadablePhoto."""
    return squash(open_picture(read_file(str(path)).data, str(path), square=size).image, size)


def load_upright(path: Path, side: int) -> Image.Image:
    """The photo in a file, upright and fitted into `side` × `side` pixels; raises UnreadablePhoto."""
    image = open_picture(read_file(str(path)).data, str(path), square=1, fit=side).image
    image.thumbnail((side, side))
    return image


def _stamp(descriptor: int) -> FileStamp:
    status = os.fstat(descriptor)
    return FileStamp(status.st_size, status.st_mtime_ns)


def _decode(image: Image.Image, path: str, format_: str, square: int, fit: int) -> Picture:
    width, height = image.size
    needed = max(square / min(width, height), _SHARP_ENOUGH * fit / max(width, height))
    enough = [max(1, int(side * min(needed, 1))) for side in (width, height)]
    image.draft("RGB", (enough[0], enough[1]))
    progressive = bool(image.info.get("progressive"))
    pixels = width * height if progressive else image.width * image.height
    limit = MAX_PROGRESSIVE if progressive else MAX_PIXELS
    if pixels > limit:
        kind = f"progressive {format_}" if progressive else format_
        raise UnreadablePhoto(
            path, f"{width:,}×{height:,} pixels; {kind} images up to {limit // 1_000_000} megapixels are read"
        )
    with _large if pixels > _LARGE else nullcontext():
        image.load()
        exif = _exif(image)  # after loading: Pillow turns a TIFF upright itself, and then says so
        small = _shrink(image, max(1, min(image.width // enough[0], image.height // enough[1])))
    turn = _ORIENTATIONS.get(exif.get(ExifTags.Base.Orientation, 1))
    upright = _to_rgb(small, image.info.get("icc_profile"))
    if turn is not None:
        upright = upright.transpose(turn)
        if turn in (_ORIENTATIONS[5], _ORIENTATIONS[6], _ORIENTATIONS[7], _ORIENTATIONS[8]):
            width, height = height, width
    return Picture(upright, width, height, format_, Metadata(_taken_at(exif), camera=_camera(exif)))


# Pixels


def _shrink(image: Image.Image, factor: int) -> Image.Image:
    """Flatten, and average `factor` × `factor` pixels; in strips, so that a large image is not held twice."""
    if image.mode in ("I", "F"):
        image = _to_eight_bits(image)
    rows = max(1, _STRIP // max(1, image.width) // factor) * factor
    if rows >= image.height:
        whole = _flatten(image)
        return whole.reduce(factor) if factor > 1 else whole
    strips = [
        _flatten(image.crop((0, top, image.width, min(top + rows, image.height)))).reduce(factor)
        for top in range(0, image.height, rows)
    ]
    joined = Image.new(strips[0].mode, (strips[0].width, sum(strip.height for strip in strips)))
    for i, strip in enumerate(strips):
        joined.paste(strip, (0, i * rows // factor))
    return joined


def _flatten(image: Image.Image) -> Image.Image:
    """To RGB or CMYK; what is transparent becomes white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode in ("RGB", "CMYK") else image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Integers of 32 bits and floats have no agreed white: their own range becomes 0…255."""
    values = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8))


def _to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """To sRGB by the colour profile of the photo, where it has another one that can be used."""
    if profile:
        try:
            transform = _transform(profile, image.mode)
            converted = ImageCms.applyTransform(image, transform) if transform else None
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = None  # a profile for other channels, or a broken one: the plain conversion is near enough
        if converted is not None:
            return converted
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a colour profile to sRGB; None if that is what it is."""
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    if "srgb" in ImageCms.getProfileDescription(source).lower():
        return None
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


# What the photo says of itself


def _exif(image: Image.Image) -> dict[int, Any]:
    """All EXIF values by tag; those that cannot be read are no reason to lose the photo."""
    try:
        exif = image.getexif()
        return {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    except Exception:  # hand-written binary data, read by a lenient parser
        return {}


def _taken_at(exif: dict[int, Any]) -> datetime | None:
    tags = ExifTags.Base
    for moment, offset in (
        (tags.DateTimeOriginal, tags.OffsetTimeOriginal),
        (tags.DateTimeDigitized, tags.OffsetTimeDigitized),
        (tags.DateTime, tags.OffsetTime),
    ):
        try:
            written = datetime.strptime(_text(exif.get(moment))[:19].replace("-", ":"), "%Y:%m:%d %H:%M:%S")
            return written.replace(tzinfo=_zone(_text(exif.get(offset)))).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None


def _zone(offset: str) -> timezone:
    """+02:00 → a zone; UTC for anything else."""
    try:
        hours, minutes = offset[1:].split(":")
        ahead = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-ahead if offset[0] == "-" else ahead)
    except (ValueError, IndexError):
        return UTC


def _camera(exif: dict[int, Any]) -> str | None:
    """Make and model without company forms and without the brand twice: “Canon EOS 80D”, “Apple iPhone 12”."""
    forms = {"corporation", "corp", "imaging", "optical", "co", "ltd", "inc", "company", "electronics", "techwin"}
    words = _text(exif.get(ExifTags.Base.Make)).replace(",", " ").split()
    make = [word for i, word in enumerate(words) if i == 0 or word.strip(".").lower() not in forms]
    model = _text(exif.get(ExifTags.Base.Model))
    if not model or (make and model.lower().startswith(make[0].lower())):
        make = make if not model else []
    return " ".join([*make, *model.split()]) or None


def _text(value: Any) -> str:
    """An EXIF string without padding; empty for anything else."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    return "".join(c for c in value.split("\0")[0] if c.isprintable()).strip()
