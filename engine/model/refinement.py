"""What is done to region vectors when training is over: rival words are held against each region, and regions borrow
from their neighbours.

Both are linear in what a query meets, so they cost a search nothing: the first goes into the number that is added to
every word's score, the second mixes region vectors.
"""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class RefinementConfig:
    """How many words rival (T), with how many numbers (d), how much they count, and how much a neighbour does."""

    rivals: int
    words: int
    contrast: float = 0.5
    smoothing: float = 0.3


class Refinement(nn.Module):
    """Region vectors → region vectors that say less where every word scores high, and differ less from side to side.

    From all scores at a region, `contrast` times the logarithm of the mean exponential of the rivals' is taken: that
    much of the way from the scores themselves to the logarithm of a softmax over the words that were learned, but for
    a constant. Each region then takes `smoothing` of what the next ones say, and its square of what is across the
    corner.
    """

    rivals: Tensor

    def __init__(self, config: RefinementConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("rivals", torch.zeros(config.rivals, config.words))

    def forward(self, vectors: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, R, d + 1) → (B, R, d + 1)."""
        words, bias = vectors[..., :-1], vectors[..., -1:]
        if self.config.contrast:
            level = torch.logsumexp(words @ self.rivals.T + bias, dim=-1, keepdim=True) - log(len(self.rivals))
            bias = bias - self.config.contrast * level
        return self._smooth(torch.cat([words, bias], dim=-1), grid)

    def _smooth(self, vectors: Tensor, grid: tuple[int, int]) -> Tensor:
        share = self.config.smoothing
        if not share:
            return vectors
        x = vectors.transpose(1, 2).reshape(-1, vectors.shape[2], *grid)
        x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        x = x[:, :, :, 1:-1] + share * (x[:, :, :, :-2] + x[:, :, :, 2:])
        x = x[:, :, 1:-1] + share * (x[:, :, :-2] + x[:, :, 2:])
        return x.flatten(2).transpose(1, 2) / (1 + 2 * share) ** 2
