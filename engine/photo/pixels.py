"""Pixels of any kind → upright RGB in sRGB, no larger than needed."""

from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

STRIP = 1 << 22  # pixels converted at once

_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image, orientation: object) -> Image.Image:
    """The image turned as its EXIF orientation says, 1…8; anything else changes nothing."""
    turn = _ORIENTATIONS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def lies_on_its_side(orientation: object) -> bool:
    """Whether width and height change places by turning upright."""
    return orientation in (5, 6, 7, 8)


def squash(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """What the model looks at: the RGB pixels (size, size, 3) of the whole picture, whatever its proportions.

    A side at least twice as long is first averaged by a whole factor, which is twice as fast and looks the same.
    """
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=1.0))


def shrink(image: Image.Image, factor: int) -> Image.Image:
    """Flatten, and average `factor` × `factor` pixels; in strips, so that a large image is not held twice."""
    if image.mode in ("I", "F"):
        image = _to_eight_bits(image)
    rows = max(1, STRIP // max(1, image.width) // factor) * factor
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


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """To RGB by the colour profile of the photo, where it has another one than sRGB that can be used."""
    if profile:
        try:
            transform = _transform(profile, image.mode)
            converted = ImageCms.applyTransform(image, transform) if transform else None
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = None  # a profile for other channels, or a broken one: the plain conversion is near enough
        if converted is not None:
            return converted
    return image if image.mode == "RGB" else image.convert("RGB")


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


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a colour profile to sRGB; None if that is what it is."""
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    if "srgb" in ImageCms.getProfileDescription(source).lower():
        return None
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
