"""Which colours a region has is told by its pixels."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from engine.model.colours import WEIGHT, ColourShares, cielab
from engine.words.colours import COLOURS

PAINTS = {
    "red": (200, 20, 30),
    "orange": (250, 140, 20),
    "yellow": (250, 225, 40),
    "green": (30, 150, 50),
    "blue": (40, 80, 190),
    "purple": (120, 40, 140),
    "pink": (245, 140, 175),
}


def shares(pixels, grid=(2, 2)):
    return ColourShares(grid)(torch.from_numpy(np.asarray(pixels, np.uint8)[None]))[0].numpy() / WEIGHT


def flat(colour, size=32):
    return np.full((size, size, 3), colour)


@pytest.mark.parametrize("name", COLOURS)
def test_a_region_of_a_colour_is_of_that_one_and_of_no_other(name):
    found = shares(flat(PAINTS[name]))
    assert found.shape == (4, len(COLOURS))
    assert (found[:, COLOURS.index(name)] > 0.95).all()
    assert (found.sum(axis=1) <= 1 + 1e-5).all()


@pytest.mark.parametrize("level", [0, 60, 128, 200, 255])
def test_what_is_grey_has_no_colour(level):
    assert shares(flat((level,) * 3)).max() < 0.05


def test_each_region_has_the_share_that_is_painted():
    picture = flat((128, 128, 128))
    picture[:16, 16:] = PAINTS["blue"]  # the upper right region
    picture[16:, :8] = PAINTS["red"]  # half of the lower left one
    found = shares(picture)
    np.testing.assert_allclose(found[:, COLOURS.index("blue")], [0, 1, 0, 0], atol=0.05)
    np.testing.assert_allclose(found[:, COLOURS.index("red")], [0, 0, 0.5, 0], atol=0.05)


def test_colours_are_measured_as_the_eye_does():
    rgb = np.random.default_rng(0).integers(0, 256, (500, 3))
    np.testing.assert_allclose(cielab(torch.from_numpy(rgb).float()), rgb2lab(rgb / 255), atol=0.05)
