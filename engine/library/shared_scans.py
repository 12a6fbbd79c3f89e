"""Scans of all photos of a segment: queries that come together share one, and a query that comes again needs none.

A scan reads every sketch, or every draft, once, however many terms it scores: four take twice as long as one,
sixteen seven times. So whoever comes while a scan is going on waits for it, and the next one answers all who wait. What
was found is kept for a while, since the next page asks for the same: segments never change.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine import turns
from engine.library import scan
from engine.library.basis import Array
from engine.library.sketch import Sketches

Kind = tuple[Literal["sketch", "draft"], int]  # what is scanned, and how many regions are pooled

KEPT = 64 << 20  # bytes of what was found, for each segment
BESIDE = 2048  # bytes that a term takes beside its scores


@dataclass
class _Term:
    """A query vector (D,), and what a scan has found for it, each (N,)."""

    query: Array
    found: tuple[Array, ...] | None = None


class SharedScans:
    """Scans of the sketches and the drafts of `count` photos; threads may share it."""

    def __init__(self, sketches: Sketches, drafts: Sketches, count: int) -> None:
        self._parts = {"sketch": sketches, "draft": drafts}
        self._count = count
        self._most = max(KEPT // (8 * count + BESIDE), 1)  # terms that are kept
        self._terms: OrderedDict[tuple[Kind, bytes], _Term] = OrderedDict()  # the one asked for last comes last
        self._scanning = False
        self._changed = threading.Condition()  # of the terms and of whether a scan goes on

    def sketch_scores(self, queries: Array, top_k: int) -> tuple[Array, Array]:
        """Pooled scores (N, Q) for queries (Q, D), and by how much each may be off at most."""
        scores, errors = self._found(queries, ("sketch", top_k))
        return scores, errors

    def draft_scores(self, queries: Array, top_k: int) -> Array:
        """What drafts tell of the pooled scores (N, Q) for queries (Q, D)."""
        scores, _ = self._found(queries, ("draft", top_k))
        return scores

    def forget(self) -> None:
        """Let go of what was found."""
        with self._changed:
            self._terms.clear()

    def _found(self, queries: Array, kind: Kind) -> list[Array]:
        """What scans of a kind find for queries (Q, D), each (N, Q)."""
        terms = [self._term(query, kind) for query in queries]
        if not _are_found(terms):
            with turns.aside():
                self._find(terms, kind)
        found = [term.found for term in terms if term.found is not None]
        if len(found) == 1:
            return [part[:, None] for part in found[0]]  # as it was found
        return [np.stack(part, axis=1) for part in zip(*found, strict=True)]

    def _term(self, query: Array, kind: Kind) -> _Term:
        key = kind, query.tobytes()
        with self._changed:
            term = self._terms.setdefault(key, _Term(query))
            self._terms.move_to_end(key)
            if len(self._terms) > self._most:
                self._terms.popitem(last=False)  # who waits for it still holds it
            return term

    def _find(self, mine: list[_Term], kind: Kind) -> None:
        while self._must_scan(mine):
            try:
                self._scan(mine, kind)
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

    def _scan(self, mine: list[_Term], kind: Kind) -> None:
        """Scan for the terms that wait, `mine` first, as many as one scan takes."""
        with self._changed:
            others = [term for (other, _), term in self._terms.items() if other == kind]
        waiting = {id(term): term for term in (*mine, *others) if term.found is None}
        chosen = list(waiting.values())[: scan.TERMS_AT_ONCE]
        queries, shared = np.stack([term.query for term in chosen]), len(chosen) > len(mine)
        threads = max(scan.cores() // 2, 1) if shared else None  # who shares leaves cores to whoever else asks
        name, top_k = kind
        found = scan.sketch_scores(self._parts[name], queries, top_k, self._count, threads=threads)
        for i, term in enumerate(chosen):
            term.found = tuple(part[:, i] if len(chosen) == 1 else part[:, i].copy() for part in found)


def _are_found(terms: list[_Term]) -> bool:
    return all(term.found is not None for term in terms)
