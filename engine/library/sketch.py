"""Sketches: region maps in few bits, of which a scan reads a fraction of what the codes are.

In the coordinates of `engine.library.basis` the first few numbers of a region tell most of what it scores. A sketch
keeps the first ones in 4 bits, more of them in 2, and of the rest only what all regions of the photo have in common.
Beside it stands how far its scores may be off at most, so it tells within which bounds a photo's score lies. A draft is
coarser, of a dozen parts of the photo and without bounds: it says which photos of a very large library are worth a
look.

Blocks of sixteen photos lie side by side, so that one instruction does the same for each; `kernels/sketches.h` has the
layout.
"""

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from engine.library.basis import Array, Basis, Codes
from engine.library.bounds import SIZES, longest_means

Words = NDArray[np.uint32]
Places = NDArray[np.int64]

LANES = 16  # photos in a block
ROUNDED = 1e-5  # share of the length of a region's vector that single precision may take from what is known of it


@dataclass(frozen=True)
class Form:
    """What is kept of region maps (R, D): groups of four numbers in 4 bits and in 2 bits, for each cell."""

    regions: int
    dims: int
    rows: int  # of cells, each of which is the mean of the regions in it
    cols: int
    fours: int  # groups
    twos: int
    sizes: int  # numbers of regions for which there are bounds

    @classmethod
    def of_sketch(cls, regions: int, dims: int) -> "Form":
        """That of sketches."""
        groups = -(-dims // 4)
        return cls(regions, dims, *_sides(regions), min(3, groups), min(13, max(groups - 3, 0)), len(SIZES))

    @classmethod
    def of_draft(cls, regions: int, dims: int) -> "Form":
        """That of drafts. Cells are kept by fours, so twelve take no more room than nine."""
        rows, cols = _sides(regions)
        return cls(regions, dims, min(4, rows), min(3, cols), 0, min(12, -(-dims // 4)), 0)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return self.rows * self.cols

    @property
    def padded(self) -> int:
        """D in whole groups."""
        return -(-self.dims // 4) * 4

    @property
    def kept(self) -> int:
        """How many numbers of a cell are kept, in whole groups."""
        return 4 * (self.fours + self.twos)

    @property
    def levels(self) -> NDArray[np.int64]:
        """How many values each number may have (kept,)."""
        return np.repeat([16, 4], [4 * self.fours, 4 * self.twos])

    @property
    def words(self) -> int:
        """Words of 32 bits of one photo."""
        return self.sizes + (self.padded + self.kept) // 4 + -(-self.cells // 4) * (2 * self.fours + self.twos)

    def pooled(self, top_k: int) -> int:
        """How many of the best cells cover as many regions as `top_k`."""
        return max(1, round(min(top_k, self.regions) * self.cells / self.regions))

    def averaged(self, maps: Array) -> Array:
        """Cells (N, cells, D) of region maps (N, R, D)."""
        if self.cells == self.regions:
            return maps
        sides, counts = _sides(self.regions), (self.rows, self.cols)
        starts = [[i * side // count for i in range(count)] for side, count in zip(sides, counts, strict=True)]
        sums = np.add.reduceat(maps.reshape(-1, *sides, maps.shape[2]), starts[0], axis=1)
        sums = np.add.reduceat(sums, starts[1], axis=2)
        sizes = np.outer(*(np.diff([*start, side]) for start, side in zip(starts, sides, strict=True)))
        return np.asarray(sums / sizes[:, :, None], np.float32).reshape(len(maps), self.cells, -1)


def _sides(regions: int) -> tuple[int, int]:
    """Rows and columns of a region map, which is taken to be as square as its regions can be laid."""
    rows = next(rows for rows in range(isqrt(regions), 0, -1) if regions % rows == 0)
    return rows, regions // rows


@dataclass(frozen=True)
class Sketches:
    """Sketches of photos in blocks (B, words, LANES); what comes after the last photo means nothing."""

    form: Form
    basis: Basis
    blocks: Words

    @classmethod
    def of(cls, form: Form, basis: Basis, codes: Codes) -> "Sketches":
        """Those of photos, given their codes (N, R, D)."""
        return cls(form, basis, in_blocks(words_of(form, basis, codes)))

    def vectors(self, photos: slice | Places) -> tuple[Array, Array]:
        """What sketches of some photos, by their places, stand for: coordinates (n, cells, D) and bounds (n, sizes)."""
        form = self.form
        words = np.ascontiguousarray(photos_of(self.blocks, photos))
        parts = np.split(words, np.cumsum([form.sizes, form.padded // 4, form.kept // 4]), axis=1)
        bounds = parts[0].view(np.float32)
        centres = parts[1].view(np.int8)[:, None, : form.dims] * self.basis.units[0]
        kept = min(form.kept, form.dims)
        ranges = parts[2].view(np.uint8)[:, None, :kept] * self.basis.units[1, :kept]
        packed = parts[3].view(np.uint8).reshape(len(words), -1, 2 * form.fours + form.twos, 4)
        fours = packed[:, :, : 2 * form.fours].reshape(*packed.shape[:2], form.fours, 2, 4)
        twos = packed[:, :, 2 * form.fours :]
        of_fours = np.stack([fours[:, :, :, i // 2] >> 4 * (i % 2) & 15 for i in range(4)], axis=2)
        of_twos = np.stack([twos >> 2 * i & 3 for i in range(4)], axis=2)
        numbers = np.concatenate([of_fours, of_twos], axis=3).reshape(len(words), -1, form.kept)
        levels = form.levels[:kept]
        offsets = (numbers[:, : form.cells, :kept] - (levels - 1) / 2) / levels
        found = np.repeat(centres, form.cells, axis=1).astype(np.float32)
        found[:, :, :kept] += (offsets * ranges).astype(np.float32)
        return found, bounds


def words_of(form: Form, basis: Basis, codes: Codes) -> Words:
    """What is kept of each photo (N, words), given their codes (N, R, D)."""
    whole = basis.coordinates(codes)
    cells = form.averaged(whole)
    kept = min(form.kept, form.dims)
    centres, ranges = cells.mean(axis=1), np.ones((len(cells), form.kept), np.uint8)
    high, low = cells[:, :, :kept].max(axis=1), cells[:, :, :kept].min(axis=1)
    centres[:, :kept] = (high + low) / 2
    rounded = np.clip(np.rint(centres / basis.units[0]), -127, 127).astype(np.int8)
    ranges[:, :kept] = np.clip(np.ceil((high - low) / basis.units[1, :kept]), 1, 255)
    levels = form.levels[:kept].astype(np.float32)
    steps = (ranges[:, None, :kept] * (basis.units[1, :kept] / levels)).astype(np.float32)
    stands_for = np.repeat((rounded * basis.units[0])[:, None].astype(np.float32), form.cells, axis=1)
    numbers = np.floor((cells[:, :, :kept] - stands_for[:, :, :kept]) / steps + levels / 2)
    numbers = np.clip(numbers, 0, levels - 1)
    stands_for[:, :, :kept] += (numbers - (levels - 1) / 2) * steps
    parts = [_padded(rounded, form.padded).view(np.uint32), ranges.view(np.uint32), _packed(form, numbers)]
    if form.sizes:
        longest = np.sqrt(np.square(whole).sum(axis=2).max(axis=1, keepdims=True))
        parts = [(longest_means(whole - stands_for) + ROUNDED * longest).astype(np.float32).view(np.uint32), *parts]
    return np.concatenate(parts, axis=1)


def in_blocks(words: Words) -> Words:
    """Photos (N, words) side by side (B, words, LANES); the last block is filled up with zeros."""
    padded = np.pad(words, ((0, -len(words) % LANES), (0, 0)))
    return np.ascontiguousarray(padded.reshape(-1, LANES, words.shape[1]).transpose(0, 2, 1))


def photos_of(blocks: Words, photos: slice | Places) -> Words:
    """The inverse for some photos, by their places: (n, words)."""
    places = np.arange(len(blocks) * LANES)[photos]
    return blocks[places // LANES, :, places % LANES]


def _packed(form: Form, numbers: Array) -> Words:
    """Numbers (N, cells, kept) in words (N, ·)."""
    count, cells, kept = numbers.shape
    whole = np.zeros((count, -(-cells // 4) * 4, form.kept), np.uint8)
    whole[:, :cells, :kept] = numbers
    four = whole.reshape(count, -1, 4, form.fours + form.twos, 4)  # four cells, groups, four numbers
    fours, twos = four[:, :, :, : form.fours], four[:, :, :, form.fours :]
    pairs = np.stack([fours[:, :, i] | fours[:, :, i + 1] << 4 for i in (0, 2)], axis=3)  # (N, ·, fours, 2, 4)
    quads = twos[:, :, 0] | twos[:, :, 1] << 2 | twos[:, :, 2] << 4 | twos[:, :, 3] << 6
    both = [part.reshape(count, four.shape[1], -1) for part in (pairs, quads)]
    return np.ascontiguousarray(np.concatenate(both, axis=2).reshape(count, -1)).view(np.uint32)


def _padded(values: NDArray[np.int8], width: int) -> NDArray[np.int8]:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])))
