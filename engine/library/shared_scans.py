"""Near scores of all photos of a segment: queries that come together share a scan, and one that comes again needs none.

A scan reads every coarse plane once, however many terms it scores; sixteen take four times as long as one. So whoever
comes while a scan is going on waits for it, and the next one answers all who wait. What was found is kept for a while,
since the next page asks for the same: segments never change.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from engine import turns
from engine.library import scan
from engine.library.planes import Array, Planes

KEPT = 64 << 20  # bytes of scores, for each segment


@dataclass
class _Term:
    """A query vector (D,), and once it is scanned, its scores (N,) and by how much each may be wrong."""

    query: Array
    found: tuple[Array, Array] | None = None


class SharedScans:
    """Scans of the coarse planes of N photos; threads may share it."""

    def __init__(self, planes: Planes) -> None:
        self._planes = planes
        self._most = max(KEPT // max(8 * len(planes), 1), 1)  # terms that are kept
        self._terms: OrderedDict[tuple[int, bytes], _Term] = OrderedDict()  # the one asked for last comes last
        self._scanning = False
        self._changed = threading.Condition()  # of the terms and of whether a scan goes on

    def near_scores(self, queries: Array, top_k: int) -> tuple[Array, Array]:
        """Pooled scores (N, Q) for queries (Q, D), and by how much each may be wrong at most."""
        terms = [self._term(query, top_k) for query in queries]
        if not _are_found(terms):
            with turns.aside():
                self._find(terms, top_k)
        found = [term.found for term in terms if term.found is not None]
        near, errors = (np.stack(part, axis=1) for part in zip(*found, strict=True))
        return near, errors

    def forget(self) -> None:
        """Let go of what was found."""
        with self._changed:
            self._terms.clear()

    def _term(self, query: Array, top_k: int) -> _Term:
        key = top_k, query.tobytes()
        with self._changed:
            term = self._terms.setdefault(key, _Term(query))
            self._terms.move_to_end(key)
            if len(self._terms) > self._most:
                self._terms.popitem(last=False)  # who waits for it still holds it
            return term

    def _find(self, mine: list[_Term], top_k: int) -> None:
        while self._must_scan(mine):
            try:
                self._scan(mine, top_k)
            finally:
                with self._changed:
                    self._scanning = False
                    self._changed.notify_all()

    def _must_scan(self, mine: list[_Term]) -> bool:
        """Wait until all of `mine` are found, or until it is for the caller to scan."""
        with self._changed:
            self._changed.wait_for(lambda: not self._scanning or _are_found(mine))
            self._scanning = self._scanning or not _are_found(mine)
            return not _are_found(mine)

    def _scan(self, mine: list[_Term], top_k: int) -> None:
        """Scan for the terms that wait, `mine` first, as many as one scan takes."""
        with self._changed:
            others = [term for (k, _), term in self._terms.items() if k == top_k]
        waiting = {id(term): term for term in (*mine, *others) if term.found is None}
        chosen = list(waiting.values())[: scan.TERMS_AT_ONCE]
        queries, shared = np.stack([term.query for term in chosen]), len(chosen) > len(mine)
        threads = max(scan.cores() // 2, 1) if shared else None  # who shares leaves cores to whoever else asks
        near, errors = scan.near_scores(self._planes, queries, top_k, threads=threads)
        for i, term in enumerate(chosen):
            term.found = near[:, i].copy(), errors[:, i].copy()


def _are_found(terms: list[_Term]) -> bool:
    return all(term.found is not None for term in terms)
