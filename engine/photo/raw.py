"""RAW files of cameras, through LibRaw: the picture that the camera put into the file where it is large enough.

Needs the package rawpy (`pip install 'unseen[raw]'`).
"""

import struct
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import ExifTags, Image

from engine.library.records import Metadata
from engine.photo.exif import Values, all_values, metadata_from_exif
from engine.photo.file import UnreadablePhoto
from engine.photo.metadata import merged
from engine.photo.pixels import upright
from engine.photo.xmp import metadata_from_xmp

if TYPE_CHECKING:
    from engine.photo.picture import Picture

_TIFF_HEADS = {b"IIU\0": b"II*\0", b"IIRO": b"II*\0", b"IIRS": b"II*\0"}  # Panasonic's and Olympus's own
_FLIPS = {3: 3, 5: 8, 6: 6}  # LibRaw's way to turn → EXIF's
_LARGE_ENOUGH = 0.9  # of the square that the model looks at


def open_raw(
    data: bytes, path: str, square: int, open_preview: Callable[[bytes], "Picture"], sidecar: bytes | None
) -> "Picture":
    """Decode a RAW file; raises UnreadablePhoto. `open_preview` decodes the JPEG that is inside."""
    try:
        import rawpy
    except ImportError:
        raise UnreadablePhoto(path, "RAW files need: pip install 'unseen[raw]'") from None
    try:
        with rawpy.imread(BytesIO(data)) as file:
            sizes = file.sizes
            width, height = sizes.width, sizes.height
            if sizes.flip in (5, 6):
                width, height = height, width
            preview = _preview(file, open_preview)
            if preview is None or min(preview.image.size) < min(_LARGE_ENOUGH * square, width, height):
                preview = _developed(file)
    except UnreadablePhoto:
        raise
    except Exception as error:  # LibRaw's errors and whatever damaged data may lead to
        reason = error.args[0].decode(errors="replace") if error.args and isinstance(error.args[0], bytes) else error
        raise UnreadablePhoto(path, f"damaged RAW: {reason}") from None
    exif = _exif(data)
    camera = metadata_from_exif(exif) if exif else preview.metadata
    said = merged(metadata_from_xmp(sidecar), camera, metadata_from_xmp(exif.get(700)))
    return replace(preview, width=width, height=height, format="RAW", metadata=said)


def _preview(file: Any, open_preview: Callable[[bytes], "Picture"]) -> "Picture | None":
    """The JPEG inside, upright; None where there is none."""
    import rawpy

    try:
        thumbnail = file.extract_thumb()
        if thumbnail.format != rawpy.ThumbFormat.JPEG:
            return None
        picture = open_preview(thumbnail.data)
    except (rawpy.LibRawError, UnreadablePhoto):
        return None
    flip = _FLIPS.get(file.sizes.flip)
    if flip is not None and not _says_how_to_turn(thumbnail.data):
        picture = replace(picture, image=upright(picture.image, flip))
    return picture


def _developed(file: Any) -> "Picture":
    """What LibRaw makes of the sensor's values, at half the size."""
    from engine.photo.picture import Picture

    image = Image.fromarray(file.postprocess(half_size=True, use_camera_wb=True, output_bps=8))
    return Picture(image, image.width, image.height, "RAW", Metadata())


def _says_how_to_turn(jpeg: bytes) -> bool:
    exif = Image.Exif()
    try:
        start = jpeg.index(b"Exif\0\0", 0, 1 << 16)
        exif.load(jpeg[start : start + (1 << 16)])
    except (ValueError, SyntaxError, struct.error, OSError):
        return False
    return ExifTags.Base.Orientation in exif


def _exif(data: bytes) -> Values:
    """What the camera wrote into a RAW file that is built like a TIFF; nothing for others."""
    exif = Image.Exif()
    try:
        exif.load(b"Exif\0\0" + _TIFF_HEADS.get(data[:4], data[:4]) + data[4:])
        return all_values(exif)
    except Exception:  # binary data of all makers, read by a lenient parser
        return {}
