"""The semantic prior: what the backbone's own classifier already knows, told in words.

Norouzi et al.: *Zero-Shot Learning by Convex Combination of Semantic Embeddings* (ConSE), 2014,
https://arxiv.org/abs/1312.5650, here at every region instead of for the whole image: the classifier's probabilities
average the label vectors of its classes into one vector a region. It needs no training, and as it is linear in the
label vector it adds up with BiAM's region vector.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class PriorConfig:
    """Classes of the backbone (K), numbers in a label vector (d), softmax temperature, first weight in the sum."""

    classes: int = 1000
    words: int = 50
    temperature: float = 1.5
    scale: float = 4.0


class SemanticPrior(nn.Module):
    """Region logits → region vectors of length `scale`, which is learned."""

    class_vectors: Tensor

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.register_buffer("class_vectors", torch.zeros(config.classes, config.words))
        self.log_scale = nn.Parameter(torch.tensor(config.scale).log())

    @torch.no_grad()
    def strengthen(self, factor: float) -> None:
        """Multiply the weight in the sum."""
        self.log_scale.add_(math.log(factor))

    def direction(self, logits: Tensor) -> Tensor:
        """(B, R, K) → unit vectors (B, R, d)."""
        return functional.normalize(functional.softmax(logits / self.temperature, dim=-1) @ self.class_vectors, dim=-1)

    def scaled(self, direction: Tensor) -> Tensor:
        """Unit vectors (B, R, d) → (B, R, d + 1), to be added to BiAM's region vectors."""
        return functional.pad(self.log_scale.exp() * direction, (0, 1))

    def forward(self, logits: Tensor) -> Tensor:
        """(B, R, K) → (B, R, d + 1)."""
        return self.scaled(self.direction(logits))
