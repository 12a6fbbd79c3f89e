"""Region maps: what is kept of a photo.

A region map is a grid of R = rows·cols vectors of D numbers. The score of a query vector q (D,) at a region is the
inner product, so a photo is searched without being looked at again.

A number is kept in 8 bits as `code · step`, with one step a dimension for the whole bundle. The steps can be moved into
the query, `q · (code ⊙ step) = (q ⊙ step) · code`, so codes are scored as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.library.scan import exact_scores_of_codes

Array = NDArray[np.float32]
Codes = NDArray[np.int8]

# By how much vectors of photos may exceed those that steps are fitted to. Photos like those a head has learned by heart
# have vectors of twice the length, and where codes are clipped they score high for words they have nothing to do with.
ROOM = 2.0


@dataclass(frozen=True)
class Grid:
    """Rows and columns of regions over the upright photo, counted from the top left."""

    rows: int
    cols: int

    def __len__(self) -> int:
        return self.rows * self.cols

    def box(self, region: int) -> tuple[float, float, float, float]:
        """(x, y, width, height) of a region in fractions of the photo."""
        row, col = divmod(region, self.cols)
        return col / self.cols, row / self.rows, 1 / self.cols, 1 / self.rows


@dataclass(frozen=True)
class RegionMap:
    """The codes (R, D) of one photo, regions row by row from the top left."""

    grid: Grid
    codes: Codes

    def __post_init__(self) -> None:
        if self.codes.dtype != np.int8 or self.codes.ndim != 2 or len(self.codes) != len(self.grid):
            raise ValueError(f"codes {self.codes.dtype}{self.codes.shape} do not fill a {self.grid}")

    def to_bytes(self) -> bytes:
        """The codes, row by row."""
        return self.codes.tobytes()

    @classmethod
    def from_bytes(cls, grid: Grid, data: bytes) -> "RegionMap":
        """The inverse of `to_bytes`; raises ValueError for data that does not fill the grid."""
        return cls(grid, np.frombuffer(data, np.int8).reshape(len(grid), -1))


@dataclass(frozen=True)
class RegionMaps:
    """Region maps of N photos: the codes of all regions one after the other, photo i at `offsets[i]:offsets[i + 1]`."""

    ids: NDArray[np.int64]  # (N,)
    grids: tuple[Grid, ...]
    codes: NDArray[np.int8]  # (sum of regions, D)
    offsets: NDArray[np.int64]  # (N + 1,)

    def __len__(self) -> int:
        return len(self.ids)

    def single(self) -> dict[int, RegionMap]:
        """Each photo's region map by its id."""
        parts = zip(self.ids.tolist(), self.grids, self.offsets, self.offsets[1:], strict=False)
        return {photo_id: RegionMap(grid, self.codes[start:stop]) for photo_id, grid, start, stop in parts}

    def part(self, places: NDArray[np.int64]) -> "RegionMaps":
        """Those of some photos, by their places."""
        lengths = np.diff(self.offsets)[places]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        regions = np.repeat(self.offsets[places] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return RegionMaps(self.ids[places], tuple(self.grids[i] for i in places.tolist()), self.codes[regions], offsets)

    @classmethod
    def of(cls, items: Sequence[tuple[int, RegionMap]]) -> "RegionMaps":
        """Put single region maps together."""
        codes = [region_map.codes for _, region_map in items]
        together = np.concatenate(codes) if codes else np.zeros((0, 0), np.int8)
        return cls._of([photo_id for photo_id, _ in items], [region_map.grid for _, region_map in items], together)

    @classmethod
    def from_bytes(cls, items: Sequence[tuple[int, Grid, bytes]]) -> "RegionMaps":
        """Put region maps together that are still bytes; raises ValueError for data that does not fill its grid."""
        if not items:
            return cls.of([])
        ids, grids, parts = zip(*items, strict=True)
        dims = len(parts[0]) // len(grids[0])
        if any(len(part) != len(grid) * dims for grid, part in zip(grids, parts, strict=True)):
            raise ValueError("bytes that do not fill their grids")
        return cls._of(ids, grids, np.frombuffer(b"".join(parts), np.int8).reshape(-1, dims))

    @classmethod
    def _of(cls, ids: Sequence[int], grids: Sequence[Grid], codes: Codes) -> "RegionMaps":
        offsets = np.cumsum([0, *map(len, grids)], dtype=np.int64)
        return cls(np.array(ids, np.int64), tuple(grids), codes, offsets)


def quantise(vectors: Array, steps: Array) -> Codes:
    """Round (…, D) to codes; what lies beyond 127 steps is clipped."""
    codes: Codes = np.clip(np.rint(vectors / steps), -127, 127).astype(np.int8)
    return codes


def fit_steps(vectors: Array, percentile: float = 99.99, room: float = ROOM) -> Array:
    """One step (D,) a dimension, so that `percentile` % of `vectors` (N, D) lie within 127 steps at `room` times their
    size.
    """
    extent = room * np.percentile(np.abs(vectors), percentile, axis=0)
    steps: Array = (np.maximum(extent, 1e-8) / 127).astype(np.float32)
    return steps


def region_scores(codes: Codes, queries: Array) -> Array:
    """Scores (R, Q) of regions (R, D) for queries (Q, D) that have the steps folded in."""
    return codes.astype(np.float32) @ queries.T


def pooled_regions(scores: Array, offsets: NDArray[np.int64], top_k: int) -> Array:
    """As `pooled_scores`, from the scores (R, Q) of all regions; those of a photo are between two `offsets`."""
    pooled = np.empty((len(offsets) - 1, scores.shape[1]), np.float32)
    lengths = np.diff(offsets)
    for length in np.unique(lengths):
        members = np.flatnonzero(lengths == length)
        block = scores[offsets[members][:, None] + np.arange(length)]
        pooled[members] = np.partition(block, -min(top_k, length), axis=1)[:, -min(top_k, length) :].mean(axis=1)
    return pooled


def pooled_scores(maps: RegionMaps, queries: Array, top_k: int) -> Array:
    """The model's score of each photo: the mean of its `top_k` highest region scores.

    Queries (Q, D) have the steps folded in; returns (N, Q). A photo with fewer regions than `top_k` has all counted.
    """
    pooled = np.empty((len(maps), len(queries)), np.float32)
    lengths = np.diff(maps.offsets)
    for length in np.unique(lengths):  # photos with equally many regions are one block
        members = np.flatnonzero(lengths == length)
        if len(members) == len(maps):
            block = maps.codes
        else:
            block = maps.codes[(maps.offsets[members][:, None] + np.arange(length)).ravel()]
        codes = block.reshape(len(members), int(length), maps.codes.shape[1])
        pooled[members] = exact_scores_of_codes(codes, queries, top_k)
    return pooled
