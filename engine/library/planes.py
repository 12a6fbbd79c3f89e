"""Region maps split in two planes of 4 bits, so that half the bytes tell nearly everything.

The D numbers of a photo's regions are kept, dimension by dimension, as `code = low + step · a + b`, a and b in 0…15:
`low` is the least code of the photo, and `step` the smallest of which 16 reach its largest. The coarse plane holds a,
the fine plane holds b, and together they are the codes again, bit by bit. A scan of the coarse plane alone tells each
photo's score within bounds that are kept beside it, and only photos that those leave in doubt are looked at closely.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from engine.library.packing import Bytes, pack, unpack
from engine.library.sketch import sketch

try:
    _extension: ModuleType | None = import_module("engine.library._scan")
except ImportError:  # no compiler was there when unseen was installed
    _extension = None

Array = NDArray[np.float32]
Codes = NDArray[np.int8]

LEVELS = 16
SIZES = (1, 2, 3, 4, 6, 8)  # numbers of regions for whose mean bounds are kept
LANES = 16  # `low` and `step` are padded to whole vectors
PRODUCTS_AT_ONCE = 4_000_000
ROUNDING = 1e-4  # share added to bounds, for what single precision rounds


ARRAYS = ("low", "step", "middle", "bounds", "sketch", "coarse", "fine")


@dataclass(frozen=True)
class Planes:
    """N photos of R regions and D numbers each, packed as `engine.library.packing` says, and their sketches.

    For any k regions of a photo, the mean of what the fine plane adds to them is no longer than `lost`, and
    the mean of a less its mean no longer than `spread`. A query's inner product with them is no larger than its length
    times that.
    """

    regions: int  # R
    dims: int  # D
    low: Codes  # (N, W), W being D padded to whole vectors
    step: Bytes  # (N, W), 1…16
    middle: Bytes  # (N, W): the mean of a
    bounds: Array  # (N, 2·S): lost and spread for each of SIZES
    sketch: Bytes  # (N, G, 4·ceil(cells / 2)), of which engine.library.sketch tells
    coarse: Bytes  # (N, G, 4·ceil(R / 2))
    fine: Bytes  # the same

    def __len__(self) -> int:
        return len(self.low)

    @classmethod
    def of(cls, codes: Codes) -> "Planes":
        """Split the codes (N, R, D) of photos."""
        _, regions, dims = codes.shape
        wide = codes.astype(np.int16)
        low = wide.min(axis=1, keepdims=True)
        step = (wide.max(axis=1, keepdims=True) - low) // LEVELS + 1
        wide -= low
        coarse = wide // step
        fine = wide - coarse * step
        middle = np.rint(coarse.mean(axis=1, keepdims=True)).astype(np.int16)
        lost, spread = longest_means(fine - (step - 1) / np.float32(2)), longest_means(coarse - middle)
        bounds = np.concatenate([lost, spread], axis=1)

        def padded(values: NDArray[np.int16], fill: int) -> NDArray[np.int16]:
            return np.pad(values[:, 0], ((0, 0), (0, -dims % LANES)), constant_values=fill)

        return cls(
            regions,
            dims,
            padded(low, 0).astype(np.int8),
            padded(step, 1).astype(np.uint8),
            padded(middle, 0).astype(np.uint8),
            bounds,
            sketch(codes),
            pack(coarse),
            pack(fine),
        )

    def codes(self, photos: slice | NDArray[np.int64] = slice(None)) -> Codes:
        """The codes (n, R, D) of some photos, by their places."""
        low, step = (part[photos][:, None, : self.dims].astype(np.int16) for part in (self.low, self.step))
        coarse, fine = (unpack(plane[photos], self.regions, self.dims) for plane in (self.coarse, self.fine))
        codes: Codes = (low + step * coarse + fine).astype(np.int8)
        return codes


def longest_means(vectors: NDArray[np.generic]) -> Array:
    """For each of SIZES, how long the mean of that many of the vectors (N, R, D) of a photo can be at most: (N, S).

    The square of a sum of k vectors is the sum of their k² inner products. So it is at most the sum, over the k vectors
    for which that is largest, of their own square and their k - 1 largest inner products with others.
    """
    count, regions, dims = vectors.shape
    longest = np.empty((count, len(SIZES)), np.float32)
    if _extension is None:
        _longest_means(vectors, longest)
    else:
        whole = np.ascontiguousarray(vectors, np.float32)
        _extension.longest_means(whole, np.array(SIZES, np.int32), longest, count, regions, dims)
    return longest * np.float32(1 + ROUNDING)


def _longest_means(vectors: NDArray[np.generic], longest: Array) -> None:
    """By NumPy, several times as slow."""
    count, regions, _ = vectors.shape
    most = min(max(SIZES), regions) - 1
    at_once = max(PRODUCTS_AT_ONCE // regions**2, 1)
    for start in range(0, count, at_once):
        part = vectors[start : start + at_once].astype(np.float32)
        products = part @ part.transpose(0, 2, 1)  # (n, R, R)
        own = np.diagonal(products, axis1=1, axis2=2).copy()
        products[:, np.arange(regions), np.arange(regions)] = -np.inf
        largest = (
            np.partition(products, regions - most - 1, axis=2)[:, :, regions - most :] if most else products[..., :0]
        )
        others = np.cumsum(-np.sort(-largest, axis=2), axis=2)  # of the 1, 2, … largest
        for i, size in enumerate(SIZES):
            k = min(size, regions)
            sums = own + others[:, :, k - 2] if k > 1 else own
            square = np.partition(sums, regions - k, axis=1)[:, regions - k :].sum(axis=1)
            longest[start : start + at_once, i] = np.sqrt(np.maximum(square, 0)) / k
