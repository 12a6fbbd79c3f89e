"""Linear probes: what linear regression reads off the backbone's features, added to what the heads say.

One looks at the whole photo and tells all its regions the same; the other looks at what sets a region apart from the
mean of its photo. Both are fitted in closed form, see `engine.training.probing`. They have seen no more than BiAM has,
but err elsewhere: few numbers overfit less, and nothing mixes one region with another.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class ProbeConfig:
    """Feature channels of a region (F) and of the scene (S), numbers in a label vector (d)."""

    features: int
    scene: int
    words: int


class LinearProbes(nn.Module):
    """Features of a backbone → region vectors, linearly."""

    photo: Tensor  # (d + 1, S + F): for the scene, and for the mean of the regions
    region: Tensor  # (d + 1, F): for a region without that mean
    bias: Tensor  # (d + 1,)

    def __init__(self, config: ProbeConfig) -> None:
        super().__init__()
        self.config = config
        rows = config.words + 1
        self.register_buffer("photo", torch.zeros(rows, config.scene + config.features))
        self.register_buffer("region", torch.zeros(rows, config.features))
        self.register_buffer("bias", torch.zeros(rows))

    def forward(self, regions: Tensor, scene: Tensor) -> Tensor:
        """(B, F, H, W) and (B, S) → (B, R, d + 1)."""
        from_scene, from_mean = torch.split(self.photo, [self.config.scene, self.config.features], dim=1)
        shared = functional.linear(scene, from_scene, self.bias)
        shared = shared + functional.linear(regions.mean((2, 3)), from_mean - self.region)
        own = functional.conv2d(regions, self.region[:, :, None, None])  # (B, d + 1, H, W)
        return own.flatten(2).transpose(1, 2) + shared[:, None]
