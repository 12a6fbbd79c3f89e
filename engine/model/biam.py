"""BiAM: discriminative region-based multi-label zero-shot learning.

Narayan, Gupta, Khan, Khan, Shao, Shah: *Discriminative Region-based Multi-Label Zero-Shot Learning*, ICCV 2021,
https://arxiv.org/abs/2108.09301. Parameter names follow the paper's own implementation, so that its state dicts load.

Letters in shapes: B images, F feature channels, S scene features, H×W grid, R = H·W regions, C classes,
c width of the attention blocks, e width of a region embedding, d numbers in a label vector.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 1 << 16  # a draw of dropout has 16 bits


@dataclass(frozen=True)
class BiAMConfig:
    """Sizes of the network. The defaults are the paper's for NUS-WIDE: VGG-19, 14×14 regions, 300-d GloVe."""

    features: int = 512  # F
    scene: int = 4096  # S
    width: int = 256  # c
    embedding: int = 512  # e
    heads: int = 8
    words: int = 300  # d
    top_k: int = 6
    region_context: bool = True  # ablations of the paper's Table 1
    scene_context: bool = True

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")

    def as_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        return asdict(self)


class ConvBlock(nn.Module):
    """3×3 convolution → ReLU → BatchNorm, in this order."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.99)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H, W)."""
        return self.bn(functional.relu(self.body(x)))  # type: ignore[no-any-return]


class PointwiseBlock(nn.Module):
    """1×1 convolution → LeakyReLU(0.2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(inputs, outputs, 1)

    def forward(self, *parts: Tensor) -> Tensor:
        """(B, n, H, W), with `inputs` channels in all parts together → (B, outputs, H, W).

        The parts are never put together: the gradient of that comes back in slices, on which BatchNorm is slow.
        """
        weights = torch.split(self.body.weight, [part.shape[1] for part in parts], dim=1)
        x = functional.conv2d(parts[0], weights[0], self.body.bias)
        for part, weight in zip(parts[1:], weights[1:], strict=True):
            x = x + functional.conv2d(part, weight)
        return functional.leaky_relu(x, 0.2)


class FeedForward(nn.Module):
    """Two 1×1 convolutions with a ReLU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, H, W) → (B, c, H, W)."""
        return self.conv2(functional.relu(self.conv1(x)))  # type: ignore[no-any-return]


class RegionContextBlock(nn.Module):
    """Each region attends to all others: multi-head self-attention and a feed-forward part, both residual.

    No layer norm and no positions, as in the paper.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.w_q = nn.Conv2d(width, width, 1)
        self.w_k = nn.Conv2d(width, width, 1)
        self.w_v = nn.Conv2d(width, width, 1)
        self.w_o = nn.Conv2d(width, width, 1)
        self.sub_network = FeedForward(width)

    def forward(self, h: Tensor) -> Tensor:
        """(B, c, H, W) → (B, c, H, W)."""
        B, c, H, W = h.shape
        q, k, v = (
            w(h).reshape(B, self.heads, c // self.heads, H * W).transpose(2, 3)  # (B, heads, R, c/heads)
            for w in (self.w_q, self.w_k, self.w_v)
        )
        dropout = self.dropout if self.training else 0.0
        attended = attend(q, k, v, dropout)  # (B, heads, R, c/heads)
        attended = attended.transpose(1, 2).reshape(B, H, W, c).permute(0, 3, 1, 2)  # channels last, as h in training
        e = h + drop(self.w_o(attended), dropout)
        return e + self.sub_network(e)  # type: ignore[no-any-return]


class SceneContextBlock(nn.Module):
    """The whole scene tells which channels of each region matter: a sigmoid gate per channel."""

    def __init__(self, width: int, scene: int) -> None:
        super().__init__()
        self.w_g = nn.Conv2d(scene, width, 1)
        self.gcff = ConvBlock(width, width)
        self.channel_conv = PointwiseBlock(width, width)

    def forward(self, h: Tensor, scene: Tensor) -> Tensor:
        """(B, c, H, W) and (B, S) → (B, c, H, W)."""
        v = self.channel_conv(h)
        # A matrix product: oneDNN writes beyond the weights of a convolution of one place, in bfloat16 with AMX.
        gate = functional.linear(
            functional.dropout(scene, 0.2, self.training), self.w_g.weight[:, :, 0, 0], self.w_g.bias
        )
        k = gate[:, :, None, None]  # (B, c, 1, 1)
        r = torch.sigmoid(v.mean((2, 3), keepdim=True) * k)  # (B, c, 1, 1)
        gated = r * v
        return gated + self.gcff(gated)  # type: ignore[no-any-return]


class BiAM(nn.Module):
    """Bi-level attention: region context and scene context, fused; a class is scored at every region."""

    def __init__(self, config: BiAMConfig) -> None:
        super().__init__()
        self.config = config
        self.conv_3X3 = ConvBlock(config.features, config.width)
        self.region_context_block = RegionContextBlock(config.width, config.heads) if config.region_context else None
        self.scene_context_block = SceneContextBlock(config.width, config.scene) if config.scene_context else None
        self.conv_1X1 = PointwiseBlock(2 * config.width, config.embedding)
        self.W = nn.Linear(config.words, config.embedding)

    def embed(self, features: Tensor, scene: Tensor) -> Tensor:
        """Region embeddings e_f.

        `features` (B, F, H, W) and `scene` (B, S) → (B, R, e), regions row by row from the top left.
        """
        h = self.conv_3X3(features)
        e_r = self.region_context_block(h) if self.region_context_block is not None else h
        e_g = self.scene_context_block(h, scene) if self.scene_context_block is not None else h
        return self.conv_1X1(e_r, e_g).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]

    def region_vectors(self, features: Tensor, scene: Tensor) -> Tensor:
        """The exact short form: region score m = e_f · (W a + b) = [Wᵀ e_f ; b · e_f] · [a ; 1].

        (B, F, H, W) and (B, S) → (B, R, d + 1), whatever the width of e_f.
        """
        to_words = torch.cat([self.W.weight, self.W.bias[:, None]], 1)  # (e, d + 1)
        return self.embed(features, scene) @ to_words

    def forward(self, features: Tensor, scene: Tensor, labels: Tensor) -> Tensor:
        """Class scores: the mean of the `top_k` highest region scores.

        (B, F, H, W), (B, S) and label vectors (C, d) → (B, C).
        """
        queries = functional.pad(labels, (0, 1), value=1.0)  # (C, d + 1)
        return pool(self.region_vectors(features, scene) @ queries.T, self.config.top_k)


def pool(region_scores: Tensor, top_k: int) -> Tensor:
    """Mean of the `top_k` highest of R region scores: (B, R, C) → (B, C); fewer regions than `top_k` all count."""
    return region_scores.topk(min(top_k, region_scores.shape[1]), dim=1).values.mean(1)


def initialise(model: BiAM, seed: int) -> BiAM:
    """Set every weight from `seed`: Glorot-uniform as in attention literature, biases zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            fan_out, fan_in = parameter.shape[0], math.prod(parameter.shape[1:])
            limit = math.sqrt(6 / (fan_in + fan_out))
            with torch.no_grad():
                parameter.uniform_(-limit, limit, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    return model


# Multi-head attention with dropout on its weights, fast on a CPU too. PyTorch's fused kernel for CPUs knows no dropout,
# and without it every step of attention is a pass over all B·heads·R² weights in main memory, and drawing one number a
# weight takes longest of all. So images are looked at one by one, whose weights fit into the processor's cache, and
# four of the draws come out of one random number of 64 bits. h are the heads, d the numbers in a query.


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
