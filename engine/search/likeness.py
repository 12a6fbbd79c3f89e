"""How alike photos are to an image by what their class scores say they show: exactly, and without reading all of them.

The class index holds unit vectors in half precision. It tells the cosines of the nearest photos, or of every one,
within `ROUNDED`, and what that leaves in doubt is measured by the class scores in the database. If the two disagree,
the index is damaged, and every photo is measured.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.library.class_index import shown
from engine.library.corpus import Corpus
from engine.library.region_map import Array
from engine.library.store import Store
from engine.search.searcher import Searcher

Ids = NDArray[np.int64]
Places = NDArray[np.int64]

ROUNDED = 1.2e-3  # half precision loses 2⁻¹¹ of a unit vector, on a GPU of two, and sums of single precision a little
SPARE = 100  # nearest photos, besides those asked for, that the index is asked for
AT_ONCE = 2000  # photos read from the database


@dataclass
class Likeness:
    """The cosines (N,) of photos with an image, and by how much each may be wrong at most."""

    store: Store
    image: Array  # (labels,), a unit vector
    ids: Ids
    cosines: Array
    doubt: Array

    @classmethod
    def of(cls, searcher: Searcher, class_scores: NDArray[np.floating], ids: Ids) -> "Likeness":
        """The likeness of photos with these ids to an image with these class scores (labels,)."""
        store, (image,) = searcher.store, shown(class_scores[None])
        cosines, doubt = np.full((2, len(ids)), -1, np.float32)
        index = searcher.classes()
        if index is not None and index.generation <= store.generation():
            keys, found = index.cosines(image)
            changed = store.changed_since(index.generation)
            by_id = np.full(1 + max(part.max(initial=0) for part in (ids, keys, changed)), np.nan, np.float32)
            by_id[keys] = found
            by_id[changed] = np.nan
            known = np.flatnonzero(~np.isnan(by_id[ids]))
            cosines[known], doubt[known] = by_id[ids[known]], ROUNDED
        likeness = cls(store, image, ids, cosines, doubt)
        likeness._measure(np.flatnonzero(doubt < 0))
        return likeness

    @classmethod
    def nearest(cls, searcher: Searcher, class_scores: NDArray[np.floating], corpus: Corpus, count: int) -> "Likeness":
        """The likeness of the `count` photos of the corpus that are most like an image, settled, and of some others."""
        store, (image,) = searcher.store, shown(class_scores[None])
        index = searcher.classes()
        asked = count + SPARE
        while index is not None and index.is_of(corpus.generation, len(corpus)) and asked < len(index):
            ids, cosines = index.nearest(image, asked)
            best = may_be_best(cosines, cosines, count)
            if len(best) == asked:  # there may be more of them
                asked *= 4
                continue
            likeness = cls(store, image, ids, cosines, np.full(asked, ROUNDED, np.float32))
            if likeness.settle(best) and store.generation() == corpus.generation:
                return likeness
            break
        likeness = cls.of(searcher, class_scores, corpus.ids[corpus.rows])
        likeness.settle(may_be_best(likeness.cosines, likeness.cosines, count))
        return likeness

    def settle(self, places: Places) -> bool:
        """Leave no doubt of the photos at these places; returns whether the index was right about them."""
        doubtful = places[self.doubt[places] > 0]
        near = self.cosines[doubtful]
        self._measure(doubtful)
        right = bool((np.abs(self.cosines[doubtful] - near) <= ROUNDED).all())
        if not right:
            self._measure(np.flatnonzero(self.doubt))
        return right

    def _measure(self, places: Places) -> None:
        """Measure photos by the database; one that has just left it is like nothing."""
        self.doubt[places] = 0
        for start in range(0, len(places), AT_ONCE):
            part = places[start : start + AT_ONCE]
            part = part[np.argsort(self.ids[part])]
            found, scores = self.store.class_scores(self.ids[part].tolist())
            there = np.isin(self.ids[part], found)
            self.cosines[part[~there]] = -1
            if len(found):
                self.cosines[part[there]] = (shown(scores) * self.image).sum(axis=1)  # the same for equal photos


def may_be_best(near: Array, listed: Array, count: int, doubt: float = ROUNDED) -> Places:
    """The places of values, each wrong by `doubt` at most, that may be as large as the `count` largest `listed`."""
    if count >= len(listed):
        return np.arange(len(near))
    return np.flatnonzero(near >= np.partition(listed, -count)[-count] - 2 * doubt)
