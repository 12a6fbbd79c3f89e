"""Pooled scores equal scoring all regions and taking the mean of the k highest, in value and gradient."""

import pytest
import torch

from engine.model.biam import pool
from engine.training import pooling
from engine.training.pooling import pooled_scores


def both(B, R, C, k, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(B, R, 5, generator=generator).to(dtype).requires_grad_()
    queries = torch.randn(C, 5, generator=generator).to(dtype).requires_grad_()
    upstream = torch.randn(B, C, generator=generator)
    results = []
    for scores in (pooled_scores(vectors, queries, k), pool((vectors @ queries.T).float(), k)):
        results.append((scores, *torch.autograd.grad(scores, (vectors, queries), upstream)))
    return results


@pytest.mark.parametrize("tile", [1, 64, 1 << 15])  # images one by one, a few, all at once
@pytest.mark.parametrize(
    ("B", "R", "C", "k"), [(5, 49, 30, 6), (3, 4, 7, 6), (1, 1, 1, 3), (7, 20, 3, 1), (2, 9, 5, 9)]
)
def test_value_and_gradient_are_those_of_a_general_top_k(monkeypatch, tile, B, R, C, k):
    monkeypatch.setattr(pooling, "_TILE", tile)
    for ours, theirs in zip(*both(B, R, C, k), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_half_precision_scores_are_pooled_in_single_precision():
    (ours, *gradients), (theirs, *_) = both(4, 30, 20, 6, torch.bfloat16)
    torch.testing.assert_close(ours, theirs)
    assert [part.dtype for part in (ours, *gradients)] == [torch.float32, torch.bfloat16, torch.bfloat16]


@pytest.mark.parametrize("R", [8, 300])
def test_regions_that_tie_share_a_gradient_that_still_adds_up(R):
    vectors = torch.ones(1, R, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(pooled_scores(vectors, torch.ones(3, 2), 6).sum(), vectors)
    torch.testing.assert_close(gradient, torch.full((1, R, 2), 3 / R))


def test_minus_infinity_and_very_large_scores_are_ordered_too():
    vectors = torch.tensor([[[-torch.inf], [1e38], [-3e38], [2.0]]])
    assert pooled_scores(vectors, torch.ones(1, 1), 2).item() == pytest.approx(5e37, rel=1e-6)


def test_a_score_that_is_not_a_number_is_not_hidden():
    vectors = torch.tensor([[[1.0], [torch.nan], [2.0]]])
    assert pooled_scores(vectors, torch.ones(1, 1), 1).isnan().all()
