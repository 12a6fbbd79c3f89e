"""Sketches: region maps at half their size, of which the four highest bits of each number are kept.

Where neighbours look alike, the mean of two by two regions tells nearly what they score. So a sketch tells which photos
of a very large library are worth scoring, and a scan of sketches reads a quarter of what one of coarse planes does. It
proves nothing: how far a photo's score may lie from that of its sketch is not bounded usefully.
"""

from functools import cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from engine.library.packing import Bytes, pack, packed_shape, unpack

LOW, STEP = -128, 16  # a number a of 4 bits stands for codes from LOW + STEP·a on


@cache
def _sides(regions: int) -> tuple[int, int]:
    """Rows and columns of a region map, which is taken to be as square as its regions can be laid."""
    rows = next(rows for rows in range(isqrt(regions), 0, -1) if regions % rows == 0)
    return rows, regions // rows


def cells(regions: int) -> int:
    """Number of cells in the sketch of a map of so many regions."""
    rows, cols = _sides(regions)
    return -(-rows // 2) * -(-cols // 2)


def sketch_shape(regions: int, dims: int) -> tuple[int, int]:
    """Shape of a sketch of region maps (R, D) once it is packed."""
    return packed_shape(cells(regions), dims)


def sketch(codes: NDArray[np.int8]) -> Bytes:
    """Sketches (N, G, 4·ceil(cells / 2)) of photos, given their codes (N, R, D)."""
    count, regions, dims = codes.shape
    rows, cols = _sides(regions)
    maps = codes.astype(np.int16).reshape(count, rows, cols, dims)
    sums = np.add.reduceat(np.add.reduceat(maps, range(0, rows, 2), axis=1), range(0, cols, 2), axis=2)
    sizes = np.outer(*(np.minimum(2, side - np.arange(0, side, 2)) for side in (rows, cols)))
    means = sums // sizes[:, :, None].astype(np.int16)
    return pack(((means - LOW) // STEP).reshape(count, cells(regions), dims))


def sketched_vectors(sketches: Bytes, regions: int, dims: int) -> NDArray[np.float32]:
    """What sketches of maps of so many regions stand for: (N, cells, D)."""
    return LOW + (STEP - 1) / np.float32(2) + STEP * unpack(sketches, cells(regions), dims).astype(np.float32)
