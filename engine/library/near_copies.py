"""Which photos are copies of others by their looks: resized, re-encoded, a little brighter.

Each photo is a copy of the first one that it looks like and that is no copy itself. So photos each of which is like the
one before it do not all become one stack: those of a stack all look like its first.

Few pairs are compared in full. The keys of looks tell which ones have to be (engine.library.looks), and of those only
the ones that are about as bright at the top, less the bottom: no two copies differ by more than `APART` in that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.library.looks import ALIKE, BLOCKS, KEY, ROUNDED, Array

Ids = NDArray[np.int64]
Places = NDArray[np.int64]
Pairs = NDArray[np.int64]  # (C, 2): a copy, and what it is a copy of

NONE = np.zeros((0, 2), np.int64)
AT_ONCE = 8192  # photos that are settled together
ROWS, COLUMNS = 256, 4096  # of inner products of keys that are held at once
COMPARED_AT_ONCE = 4096  # pairs
SLANT = np.repeat(np.array([1, -1], np.float32), BLOCKS**2 // 2) / BLOCKS  # top less bottom, a unit vector
APART = float(np.sqrt(2 - 2 * ALIKE)) + ROUNDED  # in any direction


@dataclass(frozen=True)
class _Photos:
    """N photos that can be compared: their keys (N, 32), slants (N,), and the unit vectors (n, 768) at some places."""

    keys: Array
    slants: Array
    vectors: Callable[[Places], Array]

    def alike(self, some: Places, others: Places) -> tuple[Places, Places]:
        """Each pair of one of `some` and one of `others` that look alike."""
        others = others[np.argsort(self.slants[others], kind="stable")]
        found = [pair[:, self._are_alike(*pair)] for pair in self._candidates(some, others)]
        mine, theirs = np.concatenate([NONE.T, *found], axis=1)
        return mine, theirs

    def _candidates(self, some: Places, others: Places) -> Iterator[NDArray[np.int64]]:
        """Pairs (2, n) whose keys do not rule them out; `others` are sorted by slant."""
        some, slants, keys = some[np.argsort(self.slants[some])], self.slants[others], self.keys[others]
        for start in range(0, len(some), ROWS):
            rows = some[start : start + ROWS]
            begin, stop = np.searchsorted(slants, self.slants[rows[[0, -1]]] + np.array([-APART, APART])).tolist()
            for at in range(begin, stop, COLUMNS):
                columns = slice(at, min(at + COLUMNS, stop))
                likely = self.keys[rows] @ keys[columns].T >= ALIKE - ROUNDED
                row, column = np.divmod(np.flatnonzero(likely), likely.shape[1])  # an eighth of the time of np.nonzero
                pairs = np.stack([rows[row], others[columns][column]])
                for part in range(0, pairs.shape[1], COMPARED_AT_ONCE):
                    yield pairs[:, part : part + COMPARED_AT_ONCE]

    def _are_alike(self, mine: Places, theirs: Places) -> NDArray[np.bool_]:
        places, where = np.unique(np.concatenate([mine, theirs]), return_inverse=True)
        vectors = self.vectors(places)  # once for photos that are in many pairs, as those of a burst are
        correlations = np.einsum("ij,ij->i", vectors[where[: len(mine)]], vectors[where[len(mine) :]])
        alike: NDArray[np.bool_] = (correlations >= ALIKE) & (mine != theirs)
        return alike


def near_copies(
    ids: Ids, keys: NDArray[np.float16], vectors: Callable[[Places], Array], known: NDArray[np.bool_], before: Pairs
) -> Pairs:
    """The copies among N photos, given their ids, ascending, and what `_Photos` says of them.

    Of those that are `known` (N,), `before` says what they are copies of; the others are new.
    """
    wide: Array = keys.astype(np.float32)
    photos = _Photos(wide, (wide[:, : KEY // 2] @ SLANT).astype(np.float32), vectors)
    first = np.arange(len(ids))  # the place of what each is a copy of; its own for one that is no copy
    first[np.searchsorted(ids, before[:, 0])] = np.searchsorted(ids, before[:, 1])
    comparable = wide.any(axis=1)
    settled = known & comparable
    new = np.flatnonzero(comparable & ~known)
    for start in range(0, len(new), AT_ONCE):
        some = new[start : start + AT_ONCE]
        mine, theirs = photos.alike(some, np.flatnonzero(settled & (first == np.arange(len(ids)))))
        first[mine] = len(ids)
        np.minimum.at(first, mine, theirs)
        settled[some] = True
        left = some[first[some] == some]
        mine, theirs = photos.alike(left, left)
        for place in np.unique(np.minimum(mine, theirs)).tolist():
            if first[place] == place:
                copies = theirs[(mine == place) & (theirs > place)]
                first[copies] = np.minimum(first[copies], place)
    copies = np.flatnonzero(first != np.arange(len(ids)))
    return np.stack([ids[copies], ids[first[copies]]], axis=1)
