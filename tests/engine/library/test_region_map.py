import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.library.region_map import (
    Grid,
    RegionMap,
    RegionMaps,
    fit_steps,
    pooled_regions,
    pooled_scores,
    quantise,
    region_scores,
)

grids = st.builds(Grid, st.integers(1, 5), st.integers(1, 5))


@st.composite
def region_maps(draw, dim=3):
    grid = draw(grids)
    return RegionMap(grid, draw(arrays(np.int8, (len(grid), dim))))


@given(grids, st.integers(1, 6), st.data())
def test_a_region_map_comes_back_from_its_bytes_as_it_was(grid, dim, data):
    codes = data.draw(arrays(np.int8, (len(grid), dim)))
    back = RegionMap.from_bytes(grid, RegionMap(grid, codes).to_bytes())
    assert back.grid == grid
    np.testing.assert_array_equal(back.codes, codes)


@pytest.mark.parametrize("codes", [np.zeros((5, 3), np.int8), np.zeros((6, 3), np.uint8), np.zeros(6, np.int8)])
def test_codes_that_do_not_fill_the_grid_are_refused(codes):
    with pytest.raises(ValueError, match="do not fill"):
        RegionMap(Grid(2, 3), codes)


def test_bytes_that_do_not_fill_the_grid_are_refused():
    with pytest.raises(ValueError, match="reshape"):
        RegionMap.from_bytes(Grid(2, 3), bytes(7))


@given(
    st.lists(region_maps(), max_size=6),
    arrays(np.float32, (2, 3), elements=st.floats(-8, 8, width=16)),
    st.integers(1, 30),
)
def test_a_pooled_score_is_the_mean_of_the_best_region_scores(maps, queries, top_k):
    pooled = pooled_scores(RegionMaps.of(list(enumerate(maps))), queries, top_k)
    assert pooled.shape == (len(maps), 2)
    together = RegionMaps.of(list(enumerate(maps)))
    if maps:
        again = pooled_regions(region_scores(together.codes, queries), together.offsets, top_k)
        np.testing.assert_allclose(again, pooled, atol=1e-2, rtol=1e-5)
    for region_map, scores in zip(maps, pooled, strict=True):
        for query, score in zip(queries, scores, strict=True):
            by_hand = sorted((float(code.astype(np.float32) @ query) for code in region_map.codes), reverse=True)
            assert score == pytest.approx(np.mean(by_hand[:top_k]), abs=1e-2, rel=1e-5)


@given(arrays(np.float32, (7, 3), elements=st.floats(-100, 100, width=16)))
def test_quantising_is_off_by_at_most_half_a_step(vectors):
    steps = fit_steps(vectors, percentile=100)
    off = np.abs(quantise(vectors, steps) * steps - vectors)
    assert (off <= steps * 0.501).all()


@given(arrays(np.float32, (7, 3), elements=st.floats(-100, 100, width=16)))
def test_vectors_of_twice_the_length_of_those_that_steps_were_fitted_to_are_not_clipped(vectors):
    steps = fit_steps(vectors, percentile=100)
    off = np.abs(quantise(2 * vectors, steps) * steps - 2 * vectors)
    assert (off <= steps * 0.501).all()


def test_what_lies_beyond_the_steps_is_clipped_and_not_wrapped_around():
    codes = quantise(np.array([[1000, -1000]], np.float32), np.ones(2, np.float32))
    np.testing.assert_array_equal(codes, [[127, -127]])


def test_steps_can_be_folded_into_the_query():
    random = np.random.default_rng(0)
    vectors, query = random.normal(size=(20, 5)).astype(np.float32), random.normal(size=(1, 5)).astype(np.float32)
    steps = fit_steps(vectors)
    codes = quantise(vectors, steps)
    np.testing.assert_allclose(region_scores(codes, query * steps), (codes * steps) @ query.T, rtol=1e-4, atol=1e-5)


def test_boxes_of_regions_count_row_by_row_from_the_top_left():
    assert Grid(2, 4).box(0) == (0, 0, 0.25, 0.5)
    assert Grid(2, 4).box(6) == (0.5, 0.5, 0.25, 0.5)
