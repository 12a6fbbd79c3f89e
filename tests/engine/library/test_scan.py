"""What sketches say is within the bounds that they give, and exact scores are those of the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.library import scan
from engine.library.basis import Basis
from engine.library.sketch import LANES, Form, Sketches, photos_of, words_of

compiled = pytest.mark.skipif(scan._extension is None, reason="the extension is not built")
INSTRUCTIONS = st.sampled_from([0, 1, 2])


@st.composite
def photos(draw):
    """Codes (N, R, D), queries (Q, D) and k, of awkward sizes and with the largest and smallest codes."""
    regions, dims = draw(st.integers(1, 140) | st.integers(1, 300)), draw(st.integers(1, 80))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([0.3, 8, 40, 200]))
    codes = random.normal(0, spread, (draw(st.integers(1, 40)), regions, dims)).round().clip(-128, 127).astype(np.int8)
    queries = random.normal(0, draw(st.sampled_from([1e-4, 0.1, 30])), (draw(st.integers(1, 20)), dims))
    queries[:, random.random(dims) < draw(st.sampled_from([0, 0.5, 1]))] = 0
    return codes, queries.astype(np.float32), draw(st.integers(1, 64))


@st.composite
def bases(draw, codes, queries):
    """A basis fitted to all photos or to one, which leaves others beyond its range, and to queries or none."""
    some = codes if draw(st.booleans()) else codes[:1] // 4
    return Basis.fit(some, draw(st.sampled_from([None, queries, queries[:1]])))


def sketches_of(codes, basis, form=Form.of_sketch):
    return Sketches.of(form(*codes.shape[1:]), basis, codes)


def columns(codes):
    return np.ascontiguousarray(codes.transpose(0, 2, 1))


def by_definition(codes, queries, k):
    scores = np.einsum("nrd,qd->nrq", codes.astype(np.float64), queries.astype(np.float64))
    return np.sort(scores, axis=1)[:, -k:].mean(axis=1)


def allowance(codes, queries):
    """What single precision may round."""
    return 1e-5 * np.abs(queries).sum(axis=1) * (1 + np.abs(codes.astype(int)).max())


def without_the_extension(patch):
    patch.setattr(scan, "_extension", None)


@given(st.data(), photos())
def test_a_basis_turns_codes_and_queries_so_that_scores_stay(data, drawn):
    codes, queries, _ = drawn
    basis = data.draw(bases(codes, queries))
    found = np.einsum("nrd,qd->nrq", basis.coordinates(codes).astype(float), basis.queries(queries).astype(float))
    expected = np.einsum("nrd,qd->nrq", codes.astype(float), queries.astype(float))
    lengths = np.linalg.norm(basis.coordinates(codes), axis=2).max() * np.linalg.norm(basis.queries(queries), axis=1)
    assert (np.abs(found - expected) <= 1e-5 * lengths + 1e-9).all()


def test_the_first_coordinates_are_those_in_which_regions_differ_most():
    random = np.random.default_rng(0)
    mixed = random.normal(size=(50, 30, 3)) @ random.normal(size=(3, 12)) * 20 + random.normal(0, 1, (50, 30, 12))
    basis = Basis.fit(mixed.round().clip(-128, 127).astype(np.int8))
    variance = basis.coordinates(mixed.round().clip(-128, 127).astype(np.int8)).var(axis=1).mean(axis=0)
    assert (np.diff(variance) <= 1e-3 * variance[0]).all()
    assert variance[:3].sum() > 0.95 * variance.sum()


@given(st.data(), photos(), INSTRUCTIONS)
def test_a_sketch_is_never_further_from_the_exact_score_than_it_says(data, drawn, instructions):
    codes, queries, k = drawn
    sketches = sketches_of(codes, data.draw(bases(codes, queries)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "INSTRUCTIONS", instructions)
        scores, errors = scan.sketch_scores(sketches, queries, k, len(codes))
        some = np.unique([0, len(codes) // 2, len(codes) - 1])
        of_some = scan.sketch_scores(sketches, queries, k, len(codes), some)
    assert scores.shape == errors.shape == (len(codes), len(queries))
    assert np.isfinite(scores).all() and np.isfinite(errors).all()
    assert (np.abs(scores - by_definition(codes, queries, k)) <= errors + allowance(codes, queries) / 100).all()
    np.testing.assert_array_equal(of_some, [scores[some], errors[some]])


@given(st.data(), photos())
def test_sketches_of_numpy_are_never_further_off_than_they_say(data, drawn):
    codes, queries, k = drawn
    sketches = sketches_of(codes, data.draw(bases(codes, queries)))
    with pytest.MonkeyPatch.context() as patch:
        without_the_extension(patch)
        scores, errors = scan.sketch_scores(sketches, queries, k, len(codes))
        some = np.unique([0, len(codes) - 1])
        of_some, _ = scan.sketch_scores(sketches, queries, k, len(codes), some)
    assert (np.abs(scores - by_definition(codes, queries, k)) <= errors + allowance(codes, queries) / 100).all()
    np.testing.assert_allclose(of_some, scores[some], rtol=1e-4, atol=allowance(codes, queries).max())


@compiled
@pytest.mark.parametrize("form", [Form.of_sketch, Form.of_draft])
@given(st.data(), photos())
def test_every_processor_finds_what_numpy_reads_from_sketches_and_drafts(form, data, drawn):
    codes, queries, k = drawn
    sketches, found = sketches_of(codes, data.draw(bases(codes, queries)), form), []
    for instructions in range(3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scan, "INSTRUCTIONS", instructions)
            found.append(scan.sketch_scores(sketches, queries, k, len(codes)))
    with pytest.MonkeyPatch.context() as patch:
        without_the_extension(patch)
        plain, bounds = scan.sketch_scores(sketches, queries, k, len(codes))
    vectors, _ = sketches.vectors(slice(0, len(codes)))
    reach = np.linalg.norm(vectors, axis=2).max() * np.linalg.norm(sketches.basis.queries(queries), axis=1)
    for scores, errors in found:
        np.testing.assert_allclose(scores, found[0][0], atol=1e-5 * reach.max())
        if sketches.form.sizes:  # the query is rounded to bytes, which its bound has room for
            assert (np.abs(scores - plain) <= errors - bounds + 1e-5 * reach + 1e-6).all()


@given(st.data(), photos())
def test_a_draft_is_made_of_the_means_of_neighbours(data, drawn):
    codes, queries, _ = drawn
    count, regions, dims = codes.shape
    rows = max(rows for rows in range(1, regions + 1) if regions % rows == 0 and rows * rows <= regions)
    basis = data.draw(bases(codes, queries))
    drafts = sketches_of(codes, basis, Form.of_draft)
    cols = regions // rows
    maps = basis.coordinates(codes).reshape(count, rows, cols, dims)
    across, down = min(cols, 3), min(rows, 4)
    means = [
        maps[:, i * rows // down : (i + 1) * rows // down, j * cols // across : (j + 1) * cols // across]
        .reshape(count, -1, dims)
        .mean(axis=1)
        for i in range(down)
        for j in range(across)
    ]
    found, bounds = drafts.vectors(slice(0, count))
    assert found.shape == (count, len(means), dims)
    assert bounds.shape == (count, 0)
    if len(basis.matrix) <= 48 and basis.is_same(Basis.fit(codes)):  # nothing is left out or beyond the range
        kept = np.stack(means, axis=1)
        steps = (kept.max(axis=1) - kept.min(axis=1)) / 4 + basis.units[1] / 4 + basis.units[0]
        assert (np.abs(found - kept) <= steps[:, None] * 0.501 + basis.units[0] + 1e-4 * np.abs(kept).max()).all()


@given(st.data(), photos())
def test_photos_come_out_of_blocks_as_they_went_in(data, drawn):
    codes, queries, _ = drawn
    basis, form = data.draw(bases(codes, queries)), Form.of_sketch(*codes.shape[1:])
    words, sketches = words_of(form, basis, codes), sketches_of(codes, basis)
    assert words.shape == (len(codes), form.words)
    assert len(sketches.blocks) == -(-len(codes) // LANES)
    np.testing.assert_array_equal(photos_of(sketches.blocks, slice(0, len(codes))), words)
    np.testing.assert_array_equal(photos_of(sketches.blocks, np.array([len(codes) - 1])), words[-1:])


def test_a_basis_fitted_to_queries_leaves_less_in_doubt_than_one_fitted_to_photos_or_none():
    random = np.random.default_rng(0)
    mixed = (random.normal(size=(200, 100, 80)) * 0.95 ** np.arange(80)) @ random.normal(size=(80, 80))
    codes = (mixed * 127 / np.abs(mixed).max()).round().astype(np.int8)
    queries = (random.normal(size=(40, 20)) @ random.normal(size=(20, 80))).astype(np.float32)
    none = Basis(np.eye(80, dtype=np.float32), np.ones((2, 80), np.float32))
    errors = [
        scan.sketch_scores(sketches_of(codes, basis), queries, 6, len(codes))[1].mean()
        for basis in (Basis.fit(codes, queries), Basis.fit(codes), none)
    ]
    assert errors[0] < 0.5 * errors[1] < errors[1] < 0.9 * errors[2]


@given(photos())
def test_exact_scores_are_those_of_the_definition_whatever_they_are_read_from(drawn):
    codes, queries, k = drawn
    expected, in_columns = by_definition(codes, queries, k), columns(codes)
    from_codes = scan.exact_scores_of_codes(codes, queries, k)
    assert (np.abs(from_codes - expected) <= allowance(codes, queries)).all()
    np.testing.assert_array_equal(scan.exact_scores(in_columns, queries, k), from_codes)
    some = np.array([len(codes) - 1, 0])
    np.testing.assert_array_equal(scan.exact_scores(in_columns, queries, k, some), from_codes[some])
    with pytest.MonkeyPatch.context() as patch:
        without_the_extension(patch)
        assert (np.abs(scan.exact_scores(in_columns, queries, k) - expected) <= allowance(codes, queries)).all()


@given(photos())
def test_the_best_cosine_is_that_of_comparing_every_region_with_and_without_the_extension(drawn):
    codes, queries, _ = drawn
    region, steps = codes[-1, 0], np.abs(queries[0])
    vectors, asked = codes * steps.astype(np.float64), region * steps.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=2) * np.linalg.norm(asked)
    expected = (np.divide(vectors @ asked, lengths, out=np.zeros_like(lengths), where=lengths > 0)).max(axis=1)
    some = np.array([len(codes) - 1, 0])
    for extension in (scan._extension, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scan, "_extension", extension)
            best, of_some = (scan.best_cosines(columns(codes), region, steps, places) for places in (None, some))
        np.testing.assert_allclose(best, expected, atol=1e-5)
        np.testing.assert_array_equal(of_some, best[some])


def exact(codes, queries, scores, *sizes, chosen=None, squares=None):
    """Scores of codes with sizes (photos, regions, dims, terms, top_k), as no caller in its right mind would ask."""
    scan._extension.exact_scores(codes, chosen, queries, squares, scores, *sizes, False, 1)


@compiled
def test_the_extension_refuses_cosines_of_several_queries():
    arrays = np.zeros((2, 4, 3), np.int8), np.zeros((2, 3), np.float32), np.zeros((2, 2), np.float32)
    with pytest.raises(ValueError, match="one query"):
        exact(*arrays, 2, 4, 3, 2, 1, squares=np.zeros(3, np.float32))


@compiled
@pytest.mark.parametrize("name", ["codes", "queries", "scores"])
def test_the_extension_refuses_arrays_that_are_too_short(name):
    arrays = {"codes": np.zeros(24, np.int8), "queries": np.zeros(3, np.float32), "scores": np.zeros(2, np.float32)}
    exact(*arrays.values(), 2, 4, 3, 1, 1)
    arrays[name] = arrays[name][:-1]
    with pytest.raises(ValueError, match=name):
        exact(*arrays.values(), 2, 4, 3, 1, 1)


@compiled
@pytest.mark.parametrize(
    "sizes", [(2, 0, 3, 1, 1), (2, 4, 3, 17, 1), (2, 4, 3, 1, 65), (2, 4, 3, 1, 5), (-1, 4, 3, 1, 1)]
)
def test_the_extension_refuses_sizes_that_it_has_no_room_for(sizes):
    with pytest.raises(ValueError, match="more regions"):
        exact(np.zeros(999, np.int8), np.zeros(999, np.float32), np.zeros(999, np.float32), *sizes)


def sketched(arrays, chosen, *sizes):
    """Scores of sketches with sizes (blocks, cells, dims, fours, twos, terms, top_k, sizes, size)."""
    scan._extension.sketch_scores(arrays["blocks"], chosen, *list(arrays.values())[1:], *sizes, 1, 0)


WORDS = 2 + 2 + 2 + 1 * (2 + 1)  # bounds, centres, ranges, numbers of up to four cells


def small_sketches():
    """One block of four cells of 8 numbers, 4 in 4 bits and 4 in 2, with two bounds."""
    lengths = {"blocks": WORDS * LANES, "centres": 8, "steps": 1, "ranges": 8, "lengths": 1}
    lengths |= {"scores": LANES, "errors": LANES}
    return {name: np.zeros(length, np.uint32 if name == "blocks" else np.float32) for name, length in lengths.items()}


@compiled
@pytest.mark.parametrize("name", list(small_sketches()))
def test_the_extension_refuses_sketches_that_are_too_short(name):
    arrays, sizes = small_sketches(), (1, 4, 8, 1, 1, 1, 1, 2, 1)
    sketched(arrays, None, *sizes)
    arrays[name] = arrays[name][:-1]
    with pytest.raises(ValueError, match=name):
        sketched(arrays, None, *sizes)


@compiled
@pytest.mark.parametrize(
    "sizes",
    [
        (1, 4, 7, 1, 1, 1, 1, 2, 1),
        (1, 4, 8, -1, 1, 1, 1, 2, 1),
        (1, 4, 8, 2, 1, 1, 1, 2, 1),
        (1, 4, 8, 1, 1, 1, 1, 2, 2),
        (1, 4, 8, 1, 1, 17, 1, 2, 1),
        (1, 4, 8, 1, 1, 1, 5, 2, 1),
    ],
)
def test_the_extension_refuses_sketches_that_there_are_none_of(sizes):
    with pytest.raises(ValueError, match=r"no such sketches|more regions"):
        sketched(small_sketches(), None, *sizes)


@compiled
@pytest.mark.parametrize("place", [-1, 2])
def test_the_extension_refuses_photos_that_are_not_there(place):
    with pytest.raises(IndexError):
        scan.exact_scores(np.zeros((2, 3, 4), np.int8), np.zeros((1, 3), np.float32), 1, np.array([place]))
    with pytest.raises(IndexError):
        sketched(small_sketches(), np.array([place]), 1, 4, 8, 1, 1, 1, 1, 2, 1)


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
