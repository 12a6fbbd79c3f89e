from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from engine.library import looks, thumbnails
from engine.library.looks import ALIKE, ROUNDED, SHAPE, SIDE, Looks
from tests.scenes import COPIES, OTHERS, encoded, scene

SCENES = range(12)


def miniature(image):
    """As an index run makes it: from the thumbnail."""
    return thumbnails.miniature(thumbnails.make(image.convert("RGB")))


def correlation(one, other):
    first, second = looks.units(np.stack([miniature(one), miniature(other)]))
    return float(first @ second)


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_looks_like_the_photo(name):
    for seed in SCENES:
        assert correlation(scene(seed), COPIES[name](scene(seed))) >= ALIKE


@pytest.mark.parametrize("name", OTHERS)
def test_what_shows_something_else_does_not(name):
    for seed in SCENES:
        assert correlation(scene(seed), OTHERS[name](scene(seed))) < ALIKE


def test_other_photos_do_not():
    units = looks.units(np.stack([miniature(scene(seed)) for seed in range(40)]))
    assert (units @ units.T)[np.triu_indices(40, 1)].max() < 0.9


def test_photos_of_nearly_one_colour_look_like_nothing():
    rng = np.random.default_rng(0)
    flat = np.full((64, 64, 3), (120, 90, 60), np.int16)
    slope = flat + np.linspace(-8, 8, 64).astype(np.int16)[:, None, None]
    images = [Image.fromarray((image + rng.integers(-9, 10, flat.shape)).astype(np.uint8)) for image in (flat, slope)]
    seen = Looks.of(np.stack([miniature(image) for image in images]))
    assert not looks.units(seen.miniatures).any()
    assert not seen.keys.any()


@given(arrays(np.uint8, (2, *SHAPE), elements=st.integers(0, 255)), st.floats(0, 1))
def test_keys_never_say_less_than_the_correlation(pixels, share):
    pixels[1] = share * pixels[0] + (1 - share) * pixels[1]
    first, second = looks.units(pixels)
    one, other = Looks.of(pixels).keys.astype(np.float32)
    assert one @ other >= first @ second - ROUNDED


def test_a_thumbnail_tells_the_miniature_without_being_decoded():
    whole = thumbnails.make(scene(1))
    cut = whole[: len(whole) // 2]  # the comment comes before the pixels
    np.testing.assert_array_equal(thumbnails.miniature(cut), miniature(scene(1)))
    squashed = scene(1).resize((SIDE, SIDE), Image.Resampling.BOX)
    assert np.abs(miniature(scene(1)).astype(int) - np.asarray(squashed)).max() <= 2


def test_a_thumbnail_without_a_miniature_is_decoded_for_it():
    without = encoded(scene(1))
    first, second = looks.units(np.stack([thumbnails.miniature(without), miniature(scene(1))]))
    assert first @ second > ALIKE


def test_miniatures_come_from_thumbnails_and_are_zero_where_there_is_none(tmp_path):
    thumbnails.write(tmp_path, b"a" * 16, thumbnails.make(scene(1)))
    thumbnails.write(tmp_path, b"b" * 16, b"no picture")
    thumbnails.write(tmp_path, b"d" * 16, encoded(scene(1))[:2000])
    there, damaged, missing, cut = looks.read(tmp_path, [b"a" * 16, b"b" * 16, b"c" * 16, b"d" * 16])
    whole = np.asarray(Image.open(BytesIO(encoded(scene(1)))).resize((SIDE, SIDE), Image.Resampling.BOX), np.int16)
    assert np.abs(there - whole).mean() < 4
    assert not damaged.any()
    assert not missing.any()
    assert not cut.any()
