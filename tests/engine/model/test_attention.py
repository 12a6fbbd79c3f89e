"""Attention and dropout are what their definitions say, and as cheap numbers as they use, each is dropped as often."""

import pytest
import torch
from torch.nn import functional

from engine.model import biam
from engine.model.biam import attend, drop

SHAPE = (3, 2, 10, 4)


def inputs(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(SHAPE, generator=generator, dtype=dtype).requires_grad_() for _ in range(3)]


def test_without_dropout_it_is_softmax_attention():
    q, k, v = inputs()
    weights = (q @ k.transpose(2, 3) / 2).softmax(-1)
    torch.testing.assert_close(attend(q, k, v), weights @ v)


def test_dropout_takes_whole_weights_and_scales_the_rest_in_value_and_gradient(monkeypatch):
    kept = [torch.rand(2, 10, 10, generator=torch.Generator().manual_seed(i)) < 0.7 for i in range(SHAPE[0])]
    draws = iter(kept)
    monkeypatch.setattr(biam, "_kept", lambda shape, dropout: next(draws))
    q, k, v = inputs()
    dropped = attend(q, k, v, 0.25)
    expected = ((q @ k.transpose(2, 3) / 2).softmax(-1) * torch.stack(kept) / 0.75) @ v
    torch.testing.assert_close(dropped, expected)
    upstream = torch.randn(SHAPE, dtype=torch.float64)
    for ours, theirs in zip(*(torch.autograd.grad(y, (q, k, v), upstream) for y in (dropped, expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_mean_over_many_draws_is_attention_without_dropout():
    torch.manual_seed(0)
    q, k, v = (x.detach().repeat(3000, 1, 1, 1) for x in inputs(torch.float32))
    means = [attend(q, k, v, dropout).reshape(3000, *SHAPE).mean(0) for dropout in (0.0, 0.1)]
    torch.testing.assert_close(means[1], means[0], atol=0.02, rtol=0)


@pytest.mark.parametrize("dropout", [0.1, 0.5])
@pytest.mark.parametrize("shape", [(1,), (7, 3), (999, 101)])
def test_each_number_is_dropped_with_the_probability_asked_for(shape, dropout):
    torch.manual_seed(1)
    x = drop(torch.ones(shape), dropout)
    assert all(value in (0, pytest.approx(1 / (1 - dropout), rel=1e-4)) for value in x.unique().tolist())
    if x.numel() > 1000:
        assert (x == 0).float().mean().item() == pytest.approx(dropout, abs=0.005)
        assert x.mean().item() == pytest.approx(1, abs=0.01)


def test_a_seed_gives_the_same_draws_again_and_the_next_draws_are_others():
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws += [drop(torch.ones(500), 0.3), drop(torch.ones(500), 0.3)]
    assert torch.equal(draws[0], draws[2])
    assert torch.equal(draws[1], draws[3])
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[4])


def test_no_dropout_changes_nothing():
    x = torch.randn(5)
    assert drop(x, 0.0) is x


def test_half_precision_stays_half_precision_under_autocast():
    q, k, v = (x.detach().bfloat16() for x in inputs())
    with torch.autocast("cpu", torch.bfloat16):
        assert attend(q, k, v, 0.1).dtype == torch.bfloat16
        assert drop(q, 0.1).dtype == torch.bfloat16


def test_all_images_have_draws_of_their_own():
    torch.manual_seed(0)
    q, k, v = (x.detach()[:1].repeat(2, 1, 1, 1) for x in inputs(torch.float32))
    first, second = attend(q, k, v, 0.5)
    assert not torch.equal(first, second)
    assert torch.equal(*functional.scaled_dot_product_attention(q, k, v))
