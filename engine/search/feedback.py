"""Relevance feedback: what people said of a query's hits, put to use the next time it is asked.

A query is remembered by its terms alone, in any order; filters narrow what is shown, and do not change what is meant.
What was said of a photo is never overruled: the relevant ones come first, the others last and below any cut-off. Scores
and confidence stay the model's own.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.library.feedback import Feedback, Mark
from engine.library.region_map import Array
from engine.library.store import Store
from engine.words.query import Query


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


def spelled(query: Query) -> str:
    """The terms of a query in one way of writing them, so that “Dog  beach” and `beach dog` are one."""
    return " ".join(sorted(_spelled(term.text, term.weight) for term in query.terms))


def _spelled(text: str, weight: float) -> str:
    word = f'"{text}"' if " " in text else text
    return f"{'-' if weight < 0 else ''}{word}{'' if abs(weight) == 1 else f'^{abs(weight):g}'}"
