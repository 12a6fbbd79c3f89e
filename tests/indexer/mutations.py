"""A corpus of damaged photos, the same every time: seeds of each format, cut, flipped, spliced and lied about."""

from io import BytesIO

import numpy as np
import pillow_heif
from PIL import Image

from tests.engine.photo.dng import make_dng

pillow_heif.register_heif_opener()


def seeds():
    """A small photo of each format by its ending."""
    rows, cols = np.mgrid[0:64, 0:96]
    pixels = np.stack([rows * 3, cols * 2, rows + cols], axis=-1).astype(np.uint8)
    pixels += np.random.default_rng(0).integers(0, 20, pixels.shape, dtype=np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[271], exif[306], exif[0x0112] = "Canon", "2020:05:04 13:14:15", 6

    def encoded(format_, picture=image, **options):
        buffer = BytesIO()
        picture.save(buffer, format_, exif=exif, **options)
        return buffer.getvalue()

    preview = BytesIO()
    image.save(preview, "JPEG")
    return [
        ("jpg", encoded("JPEG")),
        ("jpg", encoded("JPEG", progressive=True)),
        ("jpg", encoded("MPO", save_all=True, append_images=[image])),
        ("png", encoded("PNG")),
        ("png", encoded("PNG", image.convert("P"), save_all=True, append_images=[image.convert("P")])),
        ("gif", encoded("GIF", save_all=True, append_images=[image])),
        ("webp", encoded("WEBP")),
        ("webp", encoded("WEBP", lossless=True)),
        ("tif", encoded("TIFF", compression="tiff_lzw")),
        ("tif", encoded("TIFF")),
        ("bmp", encoded("BMP")),
        ("heic", encoded("HEIF")),
        ("avif", encoded("AVIF")),
        ("dng", make_dng(pixels, (preview.getvalue(), (96, 64)))),
        ("dng", make_dng(pixels)),
    ]


def mutated(count, seed=0):
    """`count` damaged files: their names and bytes."""
    random = np.random.default_rng(seed)
    made = seeds()
    for number in range(count):
        ending, data = made[number % len(made)]
        damaged = _damage(np.frombuffer(data, np.uint8).copy(), random, made)
        yield f"{number:05}.{ending}", damaged.tobytes() + number.to_bytes(4, "big")


def _damage(data, random, made):
    kind = random.integers(5)
    if kind == 0:  # cut
        return data[: random.integers(1, len(data))]
    if kind == 1:  # flipped, here and there
        where = random.integers(0, len(data), random.integers(1, 12))
        data[where] ^= (1 << random.integers(0, 8, len(where))).astype(np.uint8)
        return data
    if kind == 2:  # spliced with another, or with itself
        other = np.frombuffer(made[random.integers(len(made))][1] if random.integers(2) else data.tobytes(), np.uint8)
        return np.concatenate([data[: random.integers(len(data))], other[random.integers(len(other)) :]])
    if kind == 3:  # a header that lies: the largest, the smallest and other numbers where lengths and sizes are
        for _ in range(random.integers(1, 4)):
            at = random.integers(0, min(len(data), 400))
            width = int(random.choice([2, 4]))
            lie = random.choice([0, 0x7F, 0x80, 0xFF]) if random.integers(2) else random.integers(256)
            data[at : at + width] = lie
        return data
    start = random.integers(len(data))  # a part that is noise
    data[start : start + random.integers(1, 200)] = random.integers(0, 256, len(data[start : start + 1]))
    return data
