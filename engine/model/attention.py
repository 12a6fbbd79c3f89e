"""Multi-head attention with dropout on its weights, fast on a CPU too.

PyTorch's fused kernel for CPUs knows no dropout, and without it every step of attention is a pass over all B·heads·R²
weights in main memory, and drawing one number a weight takes longest of all. So images are looked at one by one, whose
weights fit into the processor's cache, and four of the draws come out of one random number of 64 bits.

Letters in shapes: B images, h heads, R regions, d numbers in a query.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_LEVELS = 1 << 16  # a draw has 16 bits


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """softmax(q kᵀ / √d) v, where each weight is dropped with probability `dropout` and the rest makes up for it.

    Three times (B, h, R, d) → (B, h, R, d).
    """
    if not dropout or q.device.type != "cpu":
        return functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    with torch.autocast("cpu", enabled=False):  # would take the softmax to single precision and back
        q, v = q * q.shape[-1] ** -0.5, v * _gain(dropout)
        return torch.stack(
            [_attend_one(*image, dropout) for image in zip(q.unbind(), k.unbind(), v.unbind(), strict=True)]
        )


def _attend_one(q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
    weights = functional.softmax(q @ k.transpose(1, 2), dim=-1)  # (h, R, R)
    return (weights * _kept(weights.shape, dropout).to(weights.dtype)) @ v


def drop(x: Tensor, dropout: float) -> Tensor:
    """Set each number of `x` to 0 with probability `dropout`; the rest grows, so that the mean stays."""
    if not dropout:
        return x
    if x.device.type != "cpu":
        return functional.dropout(x, dropout)
    return x * _kept(x.shape, dropout).to(x.dtype) * _gain(dropout)


def _kept(shape: Sequence[int], dropout: float) -> Tensor:
    """Which numbers are kept, from PyTorch's own generator."""
    count = math.prod(shape)
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    return bits[:count].view(shape) >= _dropped_levels(dropout) - _LEVELS // 2


def _gain(dropout: float) -> float:
    return _LEVELS / (_LEVELS - _dropped_levels(dropout))


def _dropped_levels(dropout: float) -> int:
    return round(dropout * _LEVELS)
