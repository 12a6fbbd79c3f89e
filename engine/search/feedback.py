"""Relevance feedback: what people said of a query's hits, put to use the next time it is asked.

A query is remembered by its terms alone, in any order; filters narrow what is shown, and do not change what is meant.
What was said of a photo is never overruled: the relevant ones come first, the others last and below any cut-off. And it
tells of photos that nobody said anything of: the query's vector is moved a little, away from regions that were taken
for what they are not and towards those that were right (Rocchio 1971). That is measured for queries of one term, with
what is not relevant; what is relevant alone moves nothing, since regions have much in common that is not the thing.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.library.feedback import Feedback, Mark
from engine.library.region_map import Array
from engine.library.store import Store
from engine.model.bundle import Bundle
from engine.words.query import Query
from engine.words.vectors import unit

TOWARDS = 0.1  # how far a unit vector is moved towards what is relevant, and as much further from what is not
AWAY = 0.1


@dataclass(frozen=True)
class Marks:
    """What was said of the photos of one query, by photo id."""

    by_photo: dict[int, Mark] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, query: Query) -> "Marks":
        """The marks of a query in a library."""
        return cls({mark.photo_id: mark for mark in Feedback(store).of(spelled(query))} if query.terms else {})

    def __len__(self) -> int:
        return len(self.by_photo)

    @property
    def relevant(self) -> list[int]:
        """Ids of photos that were said to be relevant."""
        return [photo_id for photo_id, mark in self.by_photo.items() if mark.relevant]

    def ranks(self, ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """-1 for photos (N,) to come first, 1 for those to come last, 0 for all others."""
        ranks = np.zeros(len(ids), np.int8)
        for photo_id, mark in self.by_photo.items():
            ranks[ids == photo_id] = -1 if mark.relevant else 1
        return ranks

    def passing(self, ids: NDArray[np.int64], confidence: Array, cut: float) -> NDArray[np.bool_]:
        """Which photos (N,) are shown at a cut-off: a relevant one at any, one that is not only where all are."""
        ranks = self.ranks(ids)
        return np.where(ranks == 0, confidence >= cut, (ranks < 0) | (cut <= 0))

    def sharpened(self, vector: Array, store: Store, bundle: Bundle) -> Array:
        """The unit vector (d,) of a single term, moved by what was said; as it is where nothing was not relevant."""
        maps = store.region_maps(list(self.by_photo))
        query = bundle.queries(vector[None])[0]
        best: dict[bool, list[Array]] = {True: [], False: []}
        for i, photo_id in enumerate(maps.ids.tolist()):
            codes = maps.codes[maps.offsets[i] : maps.offsets[i + 1]].astype(np.float32)
            top = codes[np.argsort(-(codes @ query))[: bundle.top_k]]
            best[self.by_photo[photo_id].relevant].append(unit((top * bundle.steps)[:, :-1].mean(axis=0)))
        if not best[False]:
            return vector
        towards = TOWARDS * np.mean(best[True], axis=0) if best[True] else np.zeros_like(vector)
        away = AWAY + (TOWARDS if best[True] else 0)
        return unit(vector + towards - away * np.mean(best[False], axis=0))


def spelled(query: Query) -> str:
    """The terms of a query in one way of writing them, so that “Dog  beach” and `beach dog` are one."""
    return " ".join(sorted(_spelled(term.text, term.weight) for term in query.terms))


def _spelled(text: str, weight: float) -> str:
    word = f'"{text}"' if " " in text else text
    return f"{'-' if weight < 0 else ''}{word}{'' if abs(weight) == 1 else f'^{abs(weight):g}'}"
