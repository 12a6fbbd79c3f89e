"""The extension that decodes JPEGs at an eighth makes of them what libjpeg makes, and leaves the rest to it."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.photo import jpeg
from engine.photo.picture import open_picture

compiled = pytest.mark.skipif(jpeg._extension is None, reason="the extension is not built")


def scene(width, height, seed, noise):
    """Smooth shapes under noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)).resize((width, height), 3)
    return Image.fromarray(
        (np.asarray(coarse) + rng.normal(0, noise, (height, width, 3))).clip(0, 255).astype(np.uint8)
    )


def encoded(image, **options):
    buffer = BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def by_libjpeg(data):
    image = Image.open(BytesIO(data))
    image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
    image.load()
    return image


@compiled
@given(
    width=st.integers(9, 90),
    height=st.integers(9, 90),
    seed=st.integers(0, 9),
    noise=st.sampled_from([0, 5, 60]),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    grey=st.booleans(),
    optimize=st.booleans(),
    restart=st.integers(0, 3),
)
def test_pixels_are_those_of_libjpeg_to_the_bit(
    width, height, seed, noise, quality, subsampling, grey, optimize, restart
):
    image = scene(width, height, seed, noise)
    options = {"quality": quality, "subsampling": subsampling, "restart_marker_blocks": restart}
    data = encoded(image.convert("L") if grey else image, optimize=optimize, **options)
    ours, theirs = jpeg.eighth(data), by_libjpeg(data)
    assert ours.mode == theirs.mode
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"keep_rgb": True}, {"quality": 80, "mode": "CMYK"}], ids=lambda o: next(iter(o))
)
def test_other_kinds_are_left_to_libjpeg(options):
    image = scene(64, 48, 0, 5).convert(options.pop("mode", "RGB"))
    assert jpeg.eighth(encoded(image, **options)) is None


@pytest.mark.parametrize("without", [1, 2, 50, 500])
def test_a_file_without_its_end_is_left_to_libjpeg(without):
    assert jpeg.eighth(encoded(scene(96, 64, 0, 5))[:-without]) is None


@compiled
@given(st.integers(0, 3), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_is_left_to_libjpeg_or_does_no_harm(restart, damages):
    data = bytearray(encoded(scene(96, 64, 0, 20), restart_marker_blocks=restart))
    for place, value in damages:
        data[place % len(data)] = value
    image = jpeg.eighth(bytes(data))
    assert image is None or image.size == by_libjpeg(bytes(data)).size


def test_a_large_photo_looks_the_same_without_the_extension(monkeypatch):
    data = encoded(scene(3840, 1200, 0, 10))
    ours = open_picture(data, "a.jpg", square=32)
    assert jpeg.eighth(data) is not None or jpeg._extension is None
    monkeypatch.setattr(jpeg, "_extension", None)
    theirs = open_picture(data, "a.jpg", square=32)
    assert ours.image.size == (480, 150)
    assert np.array_equal(np.asarray(ours.image), np.asarray(theirs.image))
