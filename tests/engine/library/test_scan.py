"""Planes hold the codes bit by bit, and what a scan of them says is within the bounds that it gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.library import scan
from engine.library.planes import LANES, Planes
from engine.library.sketch import sketched_vectors

compiled = pytest.mark.skipif(scan._extension is None, reason="the extension is not built")
INSTRUCTIONS = st.sampled_from([0, 1, 2])


@st.composite
def photos(draw):
    """Codes (N, R, D), queries (Q, D) and k, of awkward sizes and with the largest and smallest codes."""
    regions, dims = draw(st.integers(1, 140) | st.integers(1, 300)), draw(st.integers(1, 70))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([0.3, 8, 40, 200]))
    codes = random.normal(0, spread, (draw(st.integers(1, 40)), regions, dims)).round().clip(-128, 127).astype(np.int8)
    queries = random.normal(0, draw(st.sampled_from([1e-4, 0.1, 30])), (draw(st.integers(1, 20)), dims))
    queries[:, random.random(dims) < draw(st.sampled_from([0, 0.5, 1]))] = 0
    return codes, queries.astype(np.float32), draw(st.integers(1, 64))


def by_definition(codes, queries, k):
    scores = np.einsum("nrd,qd->nrq", codes.astype(np.float64), queries.astype(np.float64))
    return np.sort(scores, axis=1)[:, -k:].mean(axis=1)


def allowance(codes, queries):
    """What single precision may round."""
    return 1e-5 * np.abs(queries).sum(axis=1) * (1 + np.abs(codes.astype(int)).max())


@given(photos())
def test_planes_are_the_codes_bit_by_bit(drawn):
    codes, _, _ = drawn
    planes = Planes.of(codes)
    np.testing.assert_array_equal(planes.codes(), codes)
    np.testing.assert_array_equal(planes.codes(np.array([len(codes) - 1])), codes[-1:])
    assert planes.low.shape[1] % LANES == 0
    assert planes.step.min() >= 1 and planes.step.max() <= 16


@given(photos())
def test_exact_scores_are_those_of_the_definition_whatever_they_are_read_from(drawn):
    codes, queries, k = drawn
    expected, planes = by_definition(codes, queries, k), Planes.of(codes)
    from_codes = scan.exact_scores_of_codes(codes, queries, k)
    assert (np.abs(from_codes - expected) <= allowance(codes, queries)).all()
    np.testing.assert_array_equal(scan.exact_scores(planes, queries, k), from_codes)
    some = np.array([len(codes) - 1, 0])
    np.testing.assert_array_equal(scan.exact_scores(planes, queries, k, some), from_codes[some])


@compiled
@given(photos(), st.booleans(), INSTRUCTIONS)
def test_a_near_score_is_never_further_from_the_exact_one_than_it_says(drawn, fine, instructions):
    codes, queries, k = drawn
    planes = Planes.of(codes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "INSTRUCTIONS", instructions)
        near, errors = scan.near_scores(planes, queries, k, fine=fine)
        some = np.array([len(codes) - 1, 0])
        near_of_some, _ = scan.near_scores(planes, queries, k, some, fine=fine)
    assert (np.abs(near - by_definition(codes, queries, k)) <= errors).all()
    assert np.isfinite(near).all() and np.isfinite(errors).all()
    np.testing.assert_array_equal(near_of_some, near[some])


@given(photos())
def test_the_best_cosine_is_that_of_comparing_every_region_with_and_without_the_extension(drawn):
    codes, queries, _ = drawn
    planes, region, steps = Planes.of(codes), codes[-1, 0], np.abs(queries[0])
    vectors, asked = codes * steps.astype(np.float64), region * steps.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=2) * np.linalg.norm(asked)
    expected = (np.divide(vectors @ asked, lengths, out=np.zeros_like(lengths), where=lengths > 0)).max(axis=1)
    some = np.array([len(codes) - 1, 0])
    for extension in (scan._extension, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scan, "_extension", extension)
            best, of_some = (scan.best_cosines(planes, region, steps, places) for places in (None, some))
        np.testing.assert_allclose(best, expected, atol=1e-5)
        np.testing.assert_array_equal(of_some, best[some])


@compiled
def test_the_extension_refuses_cosines_of_several_queries():
    planes, query = Planes.of(np.zeros((2, 4, 3), np.int8)), np.zeros((2, 3), np.float32)
    parts = (planes.low, planes.step, planes.middle, planes.bounds, planes.coarse, planes.fine, None)
    with pytest.raises(ValueError, match="one query"):
        scan._extension.scan(*parts, None, query, query[0], query, None, 2, 4, 3, 2, 1, 6, 0, 1, 0)


@given(photos())
def test_a_sketch_keeps_the_highest_bits_of_the_means_of_neighbours(drawn):
    codes, _, _ = drawn
    count, regions, dims = codes.shape
    rows = max(rows for rows in range(1, regions + 1) if regions % rows == 0 and rows * rows <= regions)
    maps = codes.reshape(count, rows, regions // rows, dims).astype(int)
    means = [
        maps[:, i : i + 2, j : j + 2].reshape(count, -1, dims).mean(axis=1)
        for i in range(0, rows, 2)
        for j in range(0, regions // rows, 2)
    ]
    found = sketched_vectors(Planes.of(codes).sketch, regions, dims)
    assert found.shape == (count, len(means), dims)
    assert np.abs(found - np.stack(means, axis=1)).max() <= 8.5


@compiled
@given(photos())
def test_sketches_are_scored_alike_with_and_without_the_extension(drawn):
    codes, queries, k = drawn
    planes = Planes.of(codes)
    some = np.array([len(codes) - 1, 0])
    scores, of_some = (scan.sketch_scores(planes, queries, k, photos) for photos in (None, some))
    np.testing.assert_array_equal(of_some, scores[some])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_extension", None)
        plain = scan.sketch_scores(planes, queries, k)
    rounded = codes.shape[2] * 8 * np.abs(queries).max(axis=1) * 16 / 254  # half a unit, times 8, in each dimension
    assert (np.abs(scores - plain) <= 1.001 * rounded + 1e-4).all()


@compiled
@given(photos())
def test_every_processor_finds_the_same_in_sketches(drawn):
    codes, queries, k = drawn
    planes, found = Planes.of(codes), []
    for instructions in range(3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scan, "INSTRUCTIONS", instructions)
            found.append(scan.sketch_scores(planes, queries, k))
    for scores in found[1:]:
        assert (np.abs(scores - found[0]) <= allowance(codes, queries)).all()


@compiled
def test_both_planes_leave_next_to_no_doubt():
    random = np.random.default_rng(0)
    planes = Planes.of(random.normal(0, 28, (50, 100, 65)).round().clip(-127, 127).astype(np.int8))
    queries = random.normal(0, 1, (4, 65)).astype(np.float32)
    (_, coarse), (_, fine) = (scan.near_scores(planes, queries, 6, fine=fine) for fine in (False, True))
    assert (fine < coarse / 50).all()


def call(codes, queries, scores, *sizes):
    """Scan codes with sizes (photos, regions, dims, terms, top_k), as no caller in its right mind would."""
    scan._extension.scan(*(None,) * 6, codes, None, queries, None, scores, None, *sizes, 1, 0, 1, 0)


@compiled
@pytest.mark.parametrize("name", ["codes", "queries", "scores"])
def test_the_extension_refuses_arrays_that_are_too_short(name):
    arrays = {"codes": np.zeros(24, np.int8), "queries": np.zeros(3, np.float32), "scores": np.zeros(2, np.float32)}
    call(*arrays.values(), 2, 4, 3, 1, 1)
    arrays[name] = arrays[name][:-1]
    with pytest.raises(ValueError, match=name):
        call(*arrays.values(), 2, 4, 3, 1, 1)


@compiled
@pytest.mark.parametrize(
    "sizes", [(2, 0, 3, 1, 1), (2, 4, 3, 17, 1), (2, 4, 3, 1, 65), (2, 4, 3, 1, 5), (-1, 4, 3, 1, 1)]
)
def test_the_extension_refuses_sizes_that_it_has_no_room_for(sizes):
    with pytest.raises(ValueError, match="more regions"):
        call(np.zeros(999, np.int8), np.zeros(999, np.float32), np.zeros(999, np.float32), *sizes)


@compiled
def test_the_extension_refuses_photos_that_are_not_there():
    for place in (-1, 2):
        with pytest.raises(IndexError):
            scan.exact_scores(
                Planes.of(np.zeros((2, 4, 3), np.int8)), np.zeros((1, 3), np.float32), 1, np.array([place])
            )


@compiled
@pytest.mark.parametrize("sizes", [(0, 3, 1), (4, 0, 1), (4, 3, 5), (4, 3, 65), (5, 3, 1), (4, 4, 1)])
def test_the_extension_refuses_to_pool_what_is_not_there(sizes):
    with pytest.raises(ValueError, match=r"regions|scores|means"):
        scan._extension.means_of_largest(np.zeros((4, 3), np.float32), np.zeros(3, np.float32), *sizes)


@pytest.mark.parametrize("regions", [3, 100])
def test_many_terms_are_scored_as_few_are_with_and_without_the_extension(regions, monkeypatch):
    random = np.random.default_rng(2)
    codes = random.integers(-127, 128, (2, regions, 5)).astype(np.int8)
    queries = random.normal(size=(200, 5)).astype(np.float32)
    expected = by_definition(codes, queries, 6)
    np.testing.assert_allclose(scan.exact_scores_of_codes(codes, queries, 6), expected, rtol=1e-4, atol=1e-3)
    monkeypatch.setattr(scan, "_extension", None)
    np.testing.assert_allclose(scan.exact_scores_of_codes(codes, queries, 6), expected, rtol=1e-4, atol=1e-3)


def test_without_the_extension_scores_are_the_same(monkeypatch):
    random = np.random.default_rng(1)
    codes = random.integers(-127, 128, (600, 9, 5)).astype(np.int8)
    queries, planes = random.normal(size=(3, 5)).astype(np.float32), Planes.of(codes)
    before = scan.exact_scores(planes, queries, 2)
    monkeypatch.setattr(scan, "_extension", None)
    near, errors = scan.near_scores(planes, queries, 2)
    np.testing.assert_allclose(near, before, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(scan.exact_scores_of_codes(codes, queries, 2), before, rtol=1e-4, atol=1e-3)
    assert not errors.any()
