"""How alike photos are to an image by what their class scores say they show: exactly, and without reading all of them.

The class index holds unit vectors in half precision. One pass over it tells the cosine of every photo within
`ROUNDED`, and what that leaves in doubt is measured by the class scores in the database. If the two disagree, the index
is damaged, and every photo is measured.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.library.class_index import shown
from engine.library.region_map import Array
from engine.library.store import Store
from engine.search.searcher import Searcher

Ids = NDArray[np.int64]
Places = NDArray[np.int64]

ROUNDED = 6e-4  # 2⁻¹¹ of a unit vector is lost in half precision, and a little in sums of single precision
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
            known = np.isin(keys, ids) & np.isin(keys, store.changed_since(index.generation), invert=True)
            order = np.argsort(ids)
            places = order[np.searchsorted(ids[order], keys[known])]
            cosines[places], doubt[places] = found[known], ROUNDED
        likeness = cls(store, image, ids, cosines, doubt)
        likeness._measure(np.flatnonzero(doubt < 0))
        return likeness

    def settle(self, places: Places) -> None:
        """Leave no doubt of the photos at these places."""
        doubtful = places[self.doubt[places] > 0]
        near = self.cosines[doubtful]
        self._measure(doubtful)
        if (np.abs(self.cosines[doubtful] - near) > ROUNDED).any():
            self._measure(np.flatnonzero(self.doubt))

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
