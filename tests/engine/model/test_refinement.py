"""Rival words are held against a region, and regions borrow from their neighbours."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from scipy.special import log_softmax

from engine.model.refinement import Refinement, RefinementConfig

ROWS, COLS, WORDS, RIVALS = 3, 4, 5, 6


def refined(vectors, rivals, **options):
    module = Refinement(RefinementConfig(len(rivals), WORDS, **options))
    module.rivals.copy_(torch.from_numpy(rivals))
    return module(torch.from_numpy(vectors), (ROWS, COLS)).numpy()


@pytest.fixture
def vectors():
    return np.random.default_rng(0).standard_normal((2, ROWS * COLS, WORDS + 1)).astype(np.float32)


@pytest.fixture
def rivals():
    return np.random.default_rng(1).standard_normal((RIVALS, WORDS)).astype(np.float32)


def scores(vectors, words):
    return vectors @ np.pad(words, ((0, 0), (0, 1)), constant_values=1).T


def test_full_contrast_makes_scores_of_rivals_a_softmax_but_for_a_constant(vectors, rivals):
    found = scores(refined(vectors, rivals, contrast=1.0, smoothing=0.0), rivals)
    np.testing.assert_allclose(found, log_softmax(scores(vectors, rivals), axis=-1) + np.log(RIVALS), atol=1e-5)


def test_less_contrast_is_that_much_of_the_way_for_any_word(vectors, rivals):
    word = np.random.default_rng(2).standard_normal((1, WORDS)).astype(np.float32)
    whole, none = (scores(refined(vectors, rivals, contrast=c, smoothing=0.0), word) for c in (1.0, 0.0))
    half = scores(refined(vectors, rivals, contrast=0.5, smoothing=0.0), word)
    np.testing.assert_allclose(half, (whole + none) / 2, atol=1e-5)


def test_a_region_takes_its_share_of_what_is_around_it(vectors, rivals):
    found = refined(vectors, rivals, contrast=0.0, smoothing=0.3)
    line = np.array([0.3, 1, 0.3]) / 1.6
    grid = vectors.reshape(2, ROWS, COLS, WORDS + 1)
    expected = convolve(grid, np.outer(line, line)[None, :, :, None], mode="nearest")
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)


def test_with_neither_nothing_changes(vectors, rivals):
    np.testing.assert_array_equal(refined(vectors, rivals, contrast=0.0, smoothing=0.0), vectors)
