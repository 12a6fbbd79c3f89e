"""Bounds of how long means of regions are hold, whoever finds them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.library import bounds
from engine.library.bounds import SIZES, longest_means

compiled = pytest.mark.skipif(bounds.extension is None, reason="the extension is not built")


@st.composite
def vectors(draw, most_regions=140):
    """Vectors (N, R, D) of awkward sizes, around a mean or around none."""
    shape = draw(st.integers(0, 5)), draw(st.integers(1, most_regions)), draw(st.integers(1, 70))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([0, 1e-3, 5]))
    return random.normal(draw(st.sampled_from([0, 10])), spread, shape).astype(draw(st.sampled_from(["f4", "i2"])))


def by_numpy(some):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "extension", None)
        return longest_means(some)


@given(vectors(most_regions=9))
def test_no_mean_of_a_few_vectors_is_longer_with_and_without_the_extension(some):
    for longest in (longest_means(some), by_numpy(some)):
        assert longest.shape == (len(some), len(SIZES))
        for photo, longest_of in zip(some.astype(np.float64), longest, strict=True):
            for size, bound in zip(SIZES, longest_of, strict=True):
                chosen = combinations(photo, min(size, len(photo)))
                assert max(np.linalg.norm(np.mean(few, axis=0)) for few in chosen) <= bound


@compiled
@given(vectors())
def test_the_extension_finds_the_lengths_that_numpy_finds(some):
    np.testing.assert_allclose(longest_means(some), by_numpy(some), rtol=1e-4, atol=1e-4 * np.abs(some).max(initial=0))


@compiled
@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        *[([1], shape) for shape in ((3, 4, 5), (-1, 4, 5), (2, 0, 5), (2, 4, 0))],
        *[(sizes, (2, 4, 5)) for sizes in ([], [0], [65], [1, 2, 3], [1] * 65)],
    ],
)
def test_the_extension_refuses_vectors_that_are_not_there_and_sizes_that_it_has_no_room_for(sizes, shape):
    given = np.zeros((2, 4, 5), np.float32), np.array(sizes, np.int32), np.zeros((2, 2), np.float32)
    bounds.extension.longest_means(given[0], np.array([1, 8], np.int32), given[2], 2, 4, 5)
    with pytest.raises(ValueError, match=r"regions|vectors|longest"):
        bounds.extension.longest_means(*given, *shape)


def test_vectors_that_cancel_each_other_leave_room_for_what_is_rounded():
    random = np.random.default_rng(0)
    first = random.normal(size=(2000, 1, 7)).astype(np.float32)
    pairs = np.concatenate([first, -first * (1 + random.normal(0, 1e-4, (2000, 1, 1)).astype(np.float32))], axis=1)
    means = np.linalg.norm(pairs.astype(np.float64).mean(axis=1), axis=1)
    for longest in (longest_means(pairs), by_numpy(pairs)):
        assert (means <= longest[:, 1]).all()
