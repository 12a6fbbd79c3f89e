"""Painted scenes that are as different from one another as photos are, and what becomes of a photo that goes around."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageEnhance, ImageOps


def scene(seed: int, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Soft colours, edges and a little noise."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(soft).astype(np.int16)
    for _ in range(6):
        left, top = rng.integers(0, size[0]), rng.integers(0, size[1])
        width, height = rng.integers(40, 200, 2)
        pixels[top : top + height, left : left + width] = rng.integers(0, 256, 3)
    pixels += rng.integers(-12, 13, pixels.shape, dtype=np.int16)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """The image as a file."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Less a share of each side."""
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round(width * (1 - right)), round(height * (1 - bottom)))
    )


def moved(image: Image.Image) -> Image.Image:
    """Something has walked through an eighth of the picture."""
    image = image.copy()
    width, height = image.size
    walker = Image.new("RGB", (width // 4, height // 2), (30, 30, 30))
    image.paste(walker, (width // 2, height // 3))
    return image


COPIES = {
    "half the size": lambda image: image.reduce(2),
    "a quarter of the size": lambda image: image.resize((image.width // 4, image.height // 4)),
    "saved with less quality": lambda image: Image.open(BytesIO(encoded(image, quality=30))),
    "as WebP": lambda image: Image.open(BytesIO(encoded(image, "WEBP", quality=60))),
    "a hundredth of each side less": lambda image: cropped(image, 0.01, 0.01, 0.01, 0.01),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.85),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.15),
    "more colour": lambda image: ImageEnhance.Color(image).enhance(1.2),
}

OTHERS = {
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned": lambda image: image.rotate(90, expand=True),
    "a tenth less": lambda image: cropped(image, 0.1, 0, 0, 0),
    "a moment later": moved,
    "inverted": ImageOps.invert,
}
