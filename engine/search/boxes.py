"""Boxes around the best regions of many photos at once: those of engine.search.explain, without a loop over photos."""

import numpy as np

from engine.library.region_map import Array, Grid

Box = tuple[float, float, float, float]


def boxes(scores: Array, grid: Grid, background: float) -> list[Box]:
    """For region scores (N, R), the box around the connected regions of each photo that belong to the best.

    Boxes are x, y, width, height in fractions of the upright photo.
    """
    best = scores.max(axis=1, keepdims=True)
    member = (scores >= (best + np.minimum(background, best)) / 2).reshape(-1, grid.rows, grid.cols)
    reached = (np.arange(len(grid)) == scores.argmax(axis=1, keepdims=True)).reshape(member.shape)
    size = 0
    while (now := int(reached.sum())) != size:  # until no neighbour is a member that is not reached
        size = now
        grown = reached.copy()
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown[:, :, 1:] |= reached[:, :, :-1]
        grown[:, :, :-1] |= reached[:, :, 1:]
        reached = grown & member
    rows, cols = reached.any(axis=2), reached.any(axis=1)
    top, left = rows.argmax(axis=1), cols.argmax(axis=1)
    bottom, right = grid.rows - rows[:, ::-1].argmax(axis=1), grid.cols - cols[:, ::-1].argmax(axis=1)
    sides = (left / grid.cols, top / grid.rows, (right - left) / grid.cols, (bottom - top) / grid.rows)
    return [(x, y, w, h) for x, y, w, h in np.stack(sides, axis=1).tolist()]
