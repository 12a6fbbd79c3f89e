"""How many photos of the library show each tag, and which shows it best; counted on as the library grows."""

import logging
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.search.searcher import Searcher

PHOTOS_AT_ONCE = 5000
SURE = 0.5  # a photo shows a tag if that is at least as likely as not
PATIENCE = 0.2  # seconds that a page waits for counting to end

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TagCount:
    """A tag, the number of photos that show it, and the id of the one that shows it best."""

    tag: str
    count: int
    best: int


class TagCounts:
    """Counts for the newest state that was asked about; threads may share it."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._tally: _Tally | None = None
        self._known: tuple[Searcher, list[TagCount]] | None = None

    def of(self, searcher: Searcher) -> list[TagCount]:
        """Tags that photos show, most frequent first. A library of 100,000 photos is counted in seconds."""
        with self._counting:
            tally, self._tally = self._tally, None  # one that breaks off is not gone on with
            if tally is None or tally.searcher is not searcher:
                tally = _Tally(searcher)
            if tally.follow() or self._known is None:
                self._known = searcher, tally.counts()
            self._tally = tally
            return self._known[1]

    def soon(self, searcher: Searcher) -> list[TagCount] | None:
        """As `of`, but whoever asks waits PATIENCE at most and gets what was counted last, or None before that."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            thread = self._thread = threading.Thread(target=self._count, args=(searcher,), daemon=True)
            thread.start()
        thread.join(PATIENCE)
        known = self._known
        return known[1] if known is not None and known[0] is searcher else None

    def _count(self, searcher: Searcher) -> None:
        try:
            self.of(searcher)
        except Exception:  # such as a library that was taken away meanwhile; who asks next says what is wrong
            logger.warning("tags were not counted to the end", exc_info=True)


class _Tally:
    """Sums over all photos of a library, in arrays (T,) for T tags."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self._sure = searcher.label_curves.score_at(max(SURE, searcher.bundle.spec.min_confidence))
        self._generation = -1
        self._forget()

    def _forget(self) -> None:
        tags = len(self.searcher.bundle.labels)
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._counts = np.zeros(tags, np.int64)
        self._highest = np.full(tags, -np.inf, np.float32)
        self._best = np.zeros(tags, np.int64)

    def follow(self) -> bool:
        """Count what is new, or all anew where photos changed or are gone; returns whether there was anything to do."""
        store = self.searcher.store
        generation = store.generation()
        if generation == self._generation:
            return False
        ids = store.mapped_ids()
        new = np.setdiff1d(ids, self._ids, assume_unique=True)
        if len(ids) != len(self._ids) + len(new) or not np.isin(store.changed_since(self._generation), new).all():
            self._forget()
            new = ids
        for start in range(0, len(new), PHOTOS_AT_ONCE):
            self._add(new[start : start + PHOTOS_AT_ONCE])
        self._ids, self._generation = ids, generation
        return True

    def _add(self, ids: NDArray[np.int64]) -> None:
        found, halves = self.searcher.store.class_scores(ids.tolist())
        if not len(found):
            return
        scores = halves.astype(np.float32)
        self._counts += (scores >= self._sure).sum(axis=0)
        (better,) = np.nonzero(scores.max(axis=0) > self._highest)
        rows = scores[:, better].argmax(axis=0)
        self._highest[better] = scores[rows, better]
        self._best[better] = found[rows]

    def counts(self) -> list[TagCount]:
        labels, order = self.searcher.bundle.labels, np.argsort(-self._counts, kind="stable")
        return [TagCount(labels[i], int(self._counts[i]), int(self._best[i])) for i in order if self._counts[i]]
