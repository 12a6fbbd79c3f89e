"""How many photos of the library show each tag, counted once for each state of the library."""

import threading
from dataclasses import dataclass, field

import numpy as np

from engine.search.searcher import Searcher

PHOTOS_AT_ONCE = 5000
SURE = 0.5  # a photo shows a tag if that is at least as likely as not


@dataclass
class TagCounts:
    """Counts for the newest generation that was asked about; threads may share it."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _key: tuple[int, int] | None = None
    _counts: list[tuple[str, int]] = field(default_factory=list)

    def of(self, searcher: Searcher) -> list[tuple[str, int]]:
        """Tags with the number of photos that show them, most frequent first."""
        with self._lock:
            key = (id(searcher), searcher.store.generation())
            if key != self._key:
                self._counts, self._key = _count(searcher), key
            return self._counts


def _count(searcher: Searcher) -> list[tuple[str, int]]:
    labels = searcher.bundle.labels
    sure = max(SURE, searcher.bundle.spec.min_confidence)
    counts = np.zeros(len(labels), np.int64)
    ids = searcher.store.photo_ids()
    for start in range(0, len(ids), PHOTOS_AT_ONCE):
        _, scores = searcher.store.class_scores(ids[start : start + PHOTOS_AT_ONCE].tolist())
        if len(scores):
            counts += (searcher.label_curves.confidence(scores.astype(np.float32)) >= sure).sum(axis=0)
    return [(labels[i], int(counts[i])) for i in np.argsort(-counts, kind="stable") if counts[i]]
