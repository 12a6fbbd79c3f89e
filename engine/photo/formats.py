"""Which formats are read, by which decoder, and how large a picture may be."""

import os
from importlib.util import find_spec

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

_AVIF = bool(features.check("avif"))
_RAW = find_spec("rawpy") is not None
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
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

# Of cameras; each is known by its name only, since most are TIFF files to whoever looks inside.
RAW_SUFFIXES = frozenset(
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
        *(".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srw"),
    )
)
SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff", ".bmp"),
        *(".heic", ".heif", ".hif"),
        *((".avif",) if _AVIF else ()),
        *(RAW_SUFFIXES if _RAW else ()),
    )
)

MAX_PIXELS = 200_000_000  # that have to be decoded; a JPEG is decoded at the scale needed
MAX_PROGRESSIVE = 130_000_000  # of a progressive JPEG, which is held in memory whole whatever the scale
MAX_COMPRESSED = 130_000_000  # of a format that is decoded whole into several layers: HEIF, AVIF, WebP


def suffix_of(path: str) -> str:
    """The ending of a name in lower case, with its dot."""
    return os.path.splitext(path)[1].lower()  # noqa: PTH122  (paths may hold bytes that are not UTF-8)


def formats_of(data: bytes) -> tuple[str, ...]:
    """Pillow's names of the formats that a file may have, by its first bytes; Pillow knows them from then on."""
    if data[4:8] != b"ftyp":
        return FORMATS
    if data[8:12] in (b"avif", b"avis"):
        return ("AVIF",) if _AVIF else ()
    import pillow_heif  # which most runs do without

    pillow_heif.options.DECODE_THREADS = 1  # photos are decoded side by side already
    pillow_heif.register_heif_opener()
    return ("HEIF",)
