"""Learning where things are, from the few photos in which they are outlined.

Tags say what a photo shows and nothing of where, and the features of a deep backbone reach far beyond their own region,
so a head that learns from tags alone is content to find a cow all over the meadow. Two cross-entropies put it right:
over the names at each region (what is here?) and over the regions for each name (where is it?), the target being the
share of the region that the name fills. A few dozen photos go a long way, as each gives a hundred regions; more is made
of them by cropping, mirroring and laying four crops together into a mosaic.

Letters in shapes: V views, R regions of a view, M names, D numbers in a region vector.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from engine.library.region_map import Array
from engine.photo import load_upright
from engine.training.datasets.panoptic import NOTHING, Outlined
from engine.training.features import Features

SMALLEST, LARGEST = 0.4, 1.0  # side of a crop, in sides of the photo
PRESENT = 0.3  # share of its best region that a name must fill to be asked for
FINE = 16  # pixels of a name map across one region
SIDE = 640  # pixels a photo is read at


@dataclass(frozen=True)
class Crop:
    """A part of a photo, box (left, top, right, bottom) in fractions of it, perhaps mirrored."""

    photo: int
    box: tuple[float, float, float, float]
    mirrored: bool


@dataclass(frozen=True)
class LocatedSet:
    """Views to learn from: their features, and the share of each region that each name fills (V, R, M)."""

    features: Features
    shares: NDArray[np.float16]
    names: Sequence[str]  # M
    vectors: Array  # (M, d)
    views: Sequence[tuple[Crop, ...]]

    def __len__(self) -> int:
        return len(self.shares)

    def shown(self) -> list[str]:
        """The names of what the views show, which are learned from them."""
        return [self.names[column] for column in np.flatnonzero(self.shares.max(axis=(0, 1)) > 0).tolist()]

    def without(self, photos: Collection[int]) -> "LocatedSet":
        """The views that show none of these photos."""
        kept = [i for i, view in enumerate(self.views) if not any(crop.photo in photos for crop in view)]
        rows = np.array(kept, np.int64)
        views = [self.views[i] for i in kept]
        return replace(self, features=self.features.take(rows), shares=self.shares[rows], views=views)


def draw_views(photos: int, crops: int, mosaics: int, seed: int) -> list[tuple[Crop, ...]]:
    """`crops` views of each photo, and `mosaics` views that four crops are laid together to."""
    rng = np.random.default_rng(seed)

    def crop(photo: int) -> Crop:
        scale, shape = rng.uniform(SMALLEST, LARGEST), np.exp(rng.uniform(-0.25, 0.25))
        width, height = min(1.0, scale * shape), min(1.0, scale / shape)
        left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
        return Crop(photo, (left, top, left + width, top + height), bool(rng.integers(2)))

    single = [(crop(photo),) for photo in range(photos) for _ in range(crops)]
    return single + [tuple(crop(int(photo)) for photo in rng.integers(photos, size=4)) for _ in range(mosaics)]


def pixels_of(outlined: Outlined, views: Sequence[tuple[Crop, ...]], size: int) -> Iterator[NDArray[np.uint8]]:
    """The pixels (size, size, 3) of each view; raises DataError or UnreadablePhoto."""

    @lru_cache(maxsize=128)
    def photo(row: int) -> Image.Image:
        return load_upright(outlined.photos[row], SIDE)

    def cut(crop: Crop, side: int) -> NDArray[np.uint8]:
        image = photo(crop.photo)
        box = tuple(edge * image.size[i % 2] for i, edge in enumerate(crop.box))
        part = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box))  # type: ignore[arg-type]
        return part[:, ::-1] if crop.mirrored else part

    for view in views:
        yield _lay([cut(crop, size if len(view) == 1 else size // 2) for crop in view])


def shares_of(outlined: Outlined, views: Sequence[tuple[Crop, ...]], grid: tuple[int, int]) -> NDArray[np.float16]:
    """The share of each region that each name fills (V, R, M)."""
    maps = [Image.fromarray(outlined.name_map(row)) for row in range(len(outlined))]
    rows, cols = grid

    def cut(crop: Crop, height: int, width: int) -> NDArray[np.uint8]:
        image = maps[crop.photo]
        box = tuple(edge * image.size[i % 2] for i, edge in enumerate(crop.box))
        part = np.asarray(image.resize((width, height), Image.Resampling.NEAREST, box=box))  # type: ignore[arg-type]
        return part[:, ::-1] if crop.mirrored else part

    shares = np.zeros((len(views), rows * cols, len(outlined.names)), np.float16)
    for view, share in zip(views, shares, strict=True):
        parts = 1 if len(view) == 1 else 2
        laid = _lay([cut(crop, rows * FINE // parts, cols * FINE // parts) for crop in view])
        cells = laid.reshape(rows, FINE, cols, FINE).transpose(0, 2, 1, 3).reshape(rows * cols, FINE * FINE)
        for name in np.unique(cells[cells != NOTHING]):
            share[:, name] = (cells == name).mean(axis=1)
    return shares


def located_loss(vectors: Tensor, shares: Tensor, queries: Tensor) -> Tensor:
    """What is here, and where is it: region vectors (V, R, D), shares (V, R, M), queries (M, D) → nats.

    Cross-entropy over names, mean over the regions by what is named of them, plus Kullback-Leibler divergence over
    regions, mean over the names that fill PRESENT of a region or more.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        scores = vectors.float() @ queries.T  # (V, R, M)
    what = -(shares * functional.log_softmax(scores, dim=-1)).sum() / shares.sum().clamp_min(1.0)
    present = shares.amax(dim=1) > PRESENT  # (V, M)
    target = shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-6)
    apart = functional.kl_div(functional.log_softmax(scores, dim=1), target, reduction="none").sum(dim=1)
    where = (apart * present).sum() / present.sum().clamp_min(1)
    return what + where


def _lay(parts: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """One part as it is, or four in two rows."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.concatenate(parts[:2], axis=1), np.concatenate(parts[2:], axis=1)])
