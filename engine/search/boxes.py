"""Boxes around the best regions of many photos at once, a grid being one number.

Bit r of a number stands for region r, row by row, so that all regions are moved to a neighbour by one shift.
"""

import numpy as np

from engine.library.region_map import Array, Grid

Box = tuple[float, float, float, float]


def boxes(scores: Array, grid: Grid, background: float) -> list[Box]:
    """For region scores (N, R), the box around the connected regions of each photo that belong to the best: those that
    rise at least half as far above the background.

    Boxes are x, y, width, height in fractions of the upright photo.
    """
    best = scores.max(axis=1, keepdims=True)
    packed = np.packbits(scores >= (best + np.minimum(background, best)) / 2, axis=1, bitorder="little")
    column = sum(1 << row * grid.cols for row in range(grid.rows))
    members = [int.from_bytes(row.tobytes(), "little") for row in packed]
    best_regions = scores.argmax(axis=1).tolist()
    return [_box(member, 1 << at, grid, column) for member, at in zip(members, best_regions, strict=True)]


def _box(member: int, reached: int, grid: Grid, first: int) -> Box:
    """The box around the regions of `member` that hang together with the one that is `reached`.

    `first` is the first column of regions.
    """
    rows, cols, last, size = grid.rows, grid.cols, first << (grid.cols - 1), 0
    while reached != size:  # until no neighbour is a member that is not reached
        size = reached
        sideways = (reached & ~last) << 1 | (reached & ~first) >> 1
        reached = (reached | sideways | reached << cols | reached >> cols) & member
    top, bottom = ((reached & -reached).bit_length() - 1) // cols, (reached.bit_length() - 1) // cols
    across = [col for col in range(cols) if reached & first << col]
    left, right = across[0], across[-1]
    return left / cols, top / rows, (right - left + 1) / cols, (bottom - top + 1) / rows
