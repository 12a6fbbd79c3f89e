"""How far a score may be off when vectors are: bounds on means of a few of a photo's regions."""

import numpy as np
from numpy.typing import NDArray

from engine.library.extension import extension

Array = NDArray[np.float32]

SIZES = (1, 2, 3, 4, 6, 8)  # numbers of regions for whose mean bounds are kept
PRODUCTS_AT_ONCE = 4_000_000
EPSILON = 2.0**-23  # twice what single precision may round, of each product and each sum


def longest_means(vectors: NDArray[np.generic]) -> Array:
    """For each of SIZES, how long the mean of that many of the vectors (N, R, D) of a photo can be at most: (N, S).

    The square of a sum of k vectors is the sum of their k² inner products. So it is at most the sum, over the k vectors
    for which that is largest, of their own square and their k - 1 largest inner products with others.
    """
    count, regions, dims = vectors.shape
    longest = np.empty((count, len(SIZES)), np.float32)
    if extension is None:
        _longest_means(vectors, longest)
    else:
        whole = np.ascontiguousarray(vectors, np.float32)
        extension.longest_means(whole, np.array(SIZES, np.int32), longest, count, regions, dims)
    steps = dims + np.square(SIZES)  # each of which may round as much as the longest vector is
    bounds: Array = np.sqrt(np.square(longest) + EPSILON * steps * np.square(longest[:, :1]))
    return bounds * np.float32(1 + EPSILON)


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
