"""JPEGs at an eighth of their size, by a small C extension where it was built: to the bit what libjpeg makes of them.

Cameras' photos are mostly decoded at that scale, where passing over all but the first coefficient of each block is what
takes time; the extension does it in less than half of libjpeg's.
"""

from importlib import import_module
from types import ModuleType

from PIL import Image

try:
    _extension: ModuleType | None = import_module("engine.photo._jpeg")
except ImportError:  # no compiler was there when unseen was installed
    _extension = None


def eighth(data: bytes) -> Image.Image | None:
    """The JPEG in `data`, grey or RGB, at an eighth of its size; None for libjpeg to decode it, whatever it is."""
    decoded = _extension.eighth(data) if _extension is not None else None
    if decoded is None:
        return None
    width, height, channels, pixels = decoded
    mode = "L" if channels == 1 else "RGB"
    return Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)
