"""Heatmaps point at the best region and stay transparent elsewhere."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from engine.library.region_map import Grid
from engine.search.explain import colours, draw, explain, overlay

GRIDS = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(GRIDS.flatmap(lambda g: arrays(np.float32, g, elements=st.floats(-50, 50, width=32))), st.floats(-60, 60))
def test_the_box_holds_the_best_region_and_lies_in_the_photo(scores, background):
    term = explain("word", Grid(*scores.shape), scores.ravel(), background)
    rows, cols = scores.shape
    assert scores[term.best] == scores.max()
    x, y, w, h = term.box
    assert 0 <= x < x + w <= 1 + 1e-9
    assert 0 <= y < y + h <= 1 + 1e-9
    assert x - 1e-9 <= (term.best[1] + 0.5) / cols <= x + w + 1e-9
    assert y - 1e-9 <= (term.best[0] + 0.5) / rows <= y + h + 1e-9
    assert ((term.heat >= 0) & (term.heat <= 1)).all()


@given(
    GRIDS.flatmap(lambda g: arrays(np.float32, g, elements=st.sampled_from([-2, -0.1, 0, 0.7, 1, 3]))), st.floats(-4, 4)
)
def test_the_box_is_that_of_walking_from_the_best_region_to_its_neighbours(scores, background):
    term = explain("word", Grid(*scores.shape), scores.ravel(), background)
    (rows, cols), best = scores.shape, float(scores.max())
    reached = edge = {term.best}
    while edge:
        near = {(row + down, col + right) for row, col in edge for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1))}
        edge = {
            (row, col)
            for row, col in near - reached
            if 0 <= row < rows and 0 <= col < cols and scores[row, col] >= (best + min(background, best)) / 2
        }
        reached = reached | edge
    (top, bottom), (left, right) = ((min(side), max(side) + 1) for side in zip(*reached, strict=True))
    assert term.box == (left / cols, top / rows, (right - left) / cols, (bottom - top) / rows)


def test_a_photo_without_the_thing_stays_cool():
    quiet = np.random.default_rng(0).normal(0, 1, 16).astype(np.float32).clip(-2, 2)
    loud = quiet.copy()
    loud[5] = 9
    cool = explain("word", Grid(4, 4), quiet, background=0, deviation=1)
    hot = explain("word", Grid(4, 4), loud, background=0, deviation=1)
    assert cool.heat.max() < 0.4
    assert hot.heat.max() == 1
    assert hot.heat[1, 1] == 1


def test_no_heat_is_transparent_and_colours_get_brighter_with_heat():
    rgba = colours(np.linspace(0, 1, 20))
    assert rgba[0, 3] == 0
    brightness = rgba[:, :3] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(brightness) > 0).all()
    assert (np.diff(rgba[:, 3].astype(int)) >= 0).all()


def test_the_overlay_has_the_photo_s_size_and_its_heat_in_the_right_place():
    scores = np.zeros(16, np.float32)
    scores[3] = 10  # top right
    term = explain("word", Grid(4, 4), scores, 0, 1)
    opacity = np.asarray(overlay([term], (80, 40)))[..., 3]
    assert opacity.shape == (40, 80)
    assert opacity[5, 70] > 150
    assert opacity[35, 10] == 0
    photo = Image.new("RGB", (80, 40), "gray")
    drawn = np.asarray(draw(photo, [term])).astype(int)
    assert np.abs(drawn[35, 10] - 128).max() == 0
    assert np.abs(drawn[5, 70] - 128).max() > 50
    assert np.asarray(photo).min() == 128
