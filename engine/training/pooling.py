"""Scores of many classes at once, with little memory: region scores are pooled while the cache still holds them.

All region scores of a batch are B·R·C numbers, 180 MB for Open Images; computing them, choosing the k highest of each
image and class, and carrying the gradient back are a dozen passes over main memory, and a general top-k is slow on rows
as short as these. Here a few images at a time are scored; their k highest come from a chain of maxima and minima, which
runs at the speed of the vector units; and all that is kept for the gradient is one byte a region score.

Letters in shapes: B images, R regions, C classes, D numbers in a region vector.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from engine.model.biam import pool

_TILE = 1 << 15  # image scores at once for each core: k times as many are what its cache holds


def pooled_scores(vectors: Tensor, queries: Tensor, top_k: int) -> Tensor:
    """The mean of the `top_k` highest region scores: vectors (B, R, D) and queries (C, D) → (B, C), single precision.

    As `engine.model.biam.pool(vectors @ queries.T, top_k)`, and its gradients. Regions that tie at the edge of the
    `top_k` share the gradient, where a general top-k picks some of them.
    """
    queries = queries.to(vectors.dtype)
    if vectors.device.type != "cpu":
        return pool((vectors @ queries.T).float(), top_k)
    return _PooledScores.apply(vectors, queries, min(top_k, vectors.shape[1]))  # type: ignore[no-any-return]


class _PooledScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, queries: Tensor, k: int) -> Tensor:
        (B, R, _), C = vectors.shape, len(queries)
        chosen = torch.empty(B, R, C, dtype=torch.bool)
        scores = torch.empty(B, C)
        room = torch.empty(_images(C), R, C)
        for images in _tiles(B, C):
            tile = room[: images.stop - images.start]
            if vectors.dtype == torch.float32:
                torch.matmul(vectors[images], queries.T, out=tile)
            else:
                tile.copy_(vectors[images] @ queries.T)
            highest = _highest(tile, k)
            torch.mean(torch.stack(highest), 0, out=scores[images])
            torch.ge(tile, highest[-1][:, None], out=chosen[images])
        ctx.save_for_backward(vectors, queries, chosen)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        vectors, queries, chosen = ctx.saved_tensors
        B, R, C = chosen.shape
        result = queries.new_empty(B, R, queries.shape[1])
        of_queries = torch.zeros(queries.shape) if ctx.needs_input_grad[1] else None
        room, nothing = queries.new_empty(_images(C), R, C), queries.new_zeros(())
        for images in _tiles(B, C):
            mask = chosen[images]
            share = (gradient[images] / mask.view(torch.uint8).sum(1, dtype=torch.int32)).to(queries.dtype)
            tile = torch.where(mask, share[:, None], nothing, out=room[: len(mask)])
            torch.matmul(tile, queries, out=result[images])
            if of_queries is not None:
                of_queries += tile.flatten(0, 1).T @ vectors[images].flatten(0, 1)
        return result, None if of_queries is None else of_queries.to(queries.dtype), None


def _highest(scores: Tensor, k: int) -> list[Tensor]:
    """The k highest along dimension 1 of (n, R, C), best first, each (n, C): an insertion sort of whole rows."""
    highest: list[Tensor] = []
    x, spare = torch.empty_like(scores[:, 0]), torch.empty_like(scores[:, 0])
    for region in scores.unbind(1):
        falling = region
        for place in highest:
            torch.minimum(place, falling, out=x)
            torch.maximum(place, falling, out=place)
            falling, x, spare = x, spare, x
        if len(highest) < k:
            highest.append(falling.clone())
    return highest


def _images(C: int) -> int:
    return max(1, _TILE * torch.get_num_threads() // C)


def _tiles(B: int, C: int) -> Iterator[slice]:
    return (slice(start, min(start + _images(C), B)) for start in range(0, B, _images(C)))
