"""Which photos of a corpus score highest for a query, without scoring every photo exactly.

Every photo is scored from its sketch, which says within which bounds its exact score lies, and whatever can be among
the best at those bounds is scored exactly. So the result is the one of scoring every photo exactly, by construction:
also with several terms, with excluded ones, and for a part of the photos.

In a very large library drafts propose photos at first, and those alone are ranked. That is not proven.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from engine.library.corpus import Corpus, Rows
from engine.library.region_map import Array
from engine.library.stacks import Stacks
from engine.search.scoring import CLOSE, ScoredQuery

COUNTED = 20_000  # photos, up to which those at or above the cut-off are counted exactly without being asked to
LARGE = 250_000  # photos, beyond which drafts propose which are scored unless a proof is asked for
PROPOSED = 8  # times the root of the number of photos are proposed; 99 % of the best 20 are among 2.9 times it
PER_HIT = 20  # photos proposed for each hit wanted, at least
SAMPLE = 500  # photos that tell how much higher scores are than those of drafts
SPARE = 100  # photos scored exactly at first, beside those wanted


@dataclass(frozen=True)
class Place:
    """A place in a ranking: after the photo `id`, which scores `score`."""

    score: float
    id: int


@dataclass(frozen=True)
class Ranked:
    """The best photos, best first: their ids (K,), scores of terms (K, T), and scores (K,).

    `total` is how many rows reach the cut-off, `proven` says that no other photo is better, and `closely` is how many
    rows the sketches left in doubt.
    """

    ids: NDArray[np.int64]
    term_scores: Array
    scores: Array
    total: int
    proven: bool = True
    closely: int = 0

    @classmethod
    def none(cls, ranking: "Ranking") -> "Ranked":
        """No photos."""
        return ranking.score(np.zeros(0, np.int64))

    @classmethod
    def together(cls, parts: "Sequence[Ranked]") -> "Ranked":
        """The photos of several rankings, one after the other."""
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.term_scores for part in parts]),
            np.concatenate([part.scores for part in parts]),
            sum(part.total for part in parts),
            all(part.proven for part in parts),
            sum(part.closely for part in parts),
        )

    def part(self, places: "slice | NDArray[np.int64]") -> "Ranked":
        """Some of the photos."""
        return replace(self, ids=self.ids[places], term_scores=self.term_scores[places], scores=self.scores[places])

    def sorted(self) -> "Ranked":
        """Best first, and by id where scores are equal."""
        return self.part(np.lexsort((self.ids, -self.scores)))


@dataclass(frozen=True)
class _Bounds:
    """What is known of the scores of some rows: a near one, the lowest and the highest possible, each (n,).

    Of rows that surely miss the cut-off only that may be known: all three are -inf.
    """

    near: Array
    lowest: Array
    highest: Array

    def part(self, places: NDArray[np.generic]) -> "_Bounds":
        """Those of some of the rows."""
        return _Bounds(self.near[places], self.lowest[places], self.highest[places])


@dataclass(frozen=True)
class Ranking:
    """A query over some rows of a corpus."""

    corpus: Corpus
    scored: ScoredQuery
    top_k: int
    rows: Rows  # ascending
    cut: float  # the least score that counts
    stacks: Stacks = field(default_factory=Stacks.none)  # of each of which the best photo counts alone

    def best(self, wanted: int, after: Place | None = None, *, exact: bool = False) -> Ranked:
        """The best `wanted` (0: all) photos after a place, among those that reach the cut-off.

        With `exact` they are proven and the total is exact, whatever that costs.
        """
        proposed = PROPOSED * isqrt(len(self.rows))
        if len(self.rows) > LARGE and 0 < wanted <= proposed // PER_HIT and not exact and after is None:
            return self._best_of_proposed(wanted, proposed)
        return self._best_within(self._bounds(), wanted, after, exact=exact)

    def _best_within(self, bounds: _Bounds, wanted: int, after: Place | None, *, exact: bool) -> Ranked:
        """As `best`, from bounds of the rows."""
        if len(self.stacks):
            kept = self._first_of_stacks(bounds)
            rest = replace(self, rows=self.rows[kept], stacks=Stacks.none())
            return rest._best(bounds.part(kept), wanted, after, exact=exact)
        return self._best(bounds, wanted, after, exact=exact)

    def _best(self, bounds: _Bounds, wanted: int, after: Place | None, *, exact: bool) -> Ranked:
        """The same, of rows of which none is in a stack."""
        total = self._total(bounds, exact or len(self.rows) <= COUNTED)
        ceiling = np.inf if after is None else after.score
        open_ = np.flatnonzero((bounds.lowest <= ceiling) & (bounds.highest >= self.cut))
        if wanted and len(open_) > wanted:
            open_ = self._may_be_best(bounds, open_, wanted, ceiling)
        return replace(self._exact(self.rows[open_], wanted, after), total=total, closely=len(open_))

    def members(self) -> Rows:
        """All rows that reach the cut-off, ascending."""
        bounds = self._bounds()
        kept = self._first_of_stacks(bounds)
        return replace(self, rows=self.rows[kept])._members(bounds.part(kept))

    def score(self, rows: Rows) -> Ranked:
        """Some rows scored exactly, in their order."""
        order = np.argsort(rows, kind="stable")
        terms = np.empty((len(rows), len(self.scored.weights)), np.float32)
        terms[order] = self.corpus.exact_scores(self.scored.queries, self.top_k, rows[order])
        return Ranked(self.corpus.ids[rows], terms, self.scored.combine(terms), len(rows))

    def _best_of_proposed(self, wanted: int, most: int) -> Ranked:
        """The best of about `most` photos, those whose drafts score highest, and a total told from drafts."""
        queries, count = self.scored.queries, len(self.rows)
        terms = self.corpus.draft_scores(queries, self.top_k, self.rows)
        sample = np.arange(0, count, max(count // SAMPLE, 1))
        above = self.corpus.exact_scores(queries, self.top_k, self.rows[sample]) - terms[sample]
        scores = self.scored.combine(terms + above[np.isfinite(above).all(axis=1)].mean(axis=0))
        some = scores[:: isqrt(count // most)]  # enough of them to tell from which score on they are about so many
        proposed = scores >= _kth_largest(some, most * len(some) // count)
        few = replace(self, rows=self.rows[proposed])
        known = few.score(few.rows).scores
        best = few._best_within(_Bounds(known, known, known), wanted, None, exact=False)
        others = int(((scores >= self.cut) & ~proposed).sum())
        return replace(best, total=best.total + others, proven=False)

    def _first_of_stacks(self, bounds: _Bounds) -> NDArray[np.bool_]:
        """Which rows (n,) are kept: of each stack, one at most of those that reach the cut-off, the best."""
        kept = np.ones(len(self.rows), np.bool_)
        stacked = places_of(self.corpus.rows_of(self.stacks.ids), self.rows)
        stacked = stacked[bounds.highest[stacked] >= self.cut]
        found = self.score(self.rows[stacked])
        kept[stacked[self.stacks.behind(found.ids, found.scores)]] = False
        return kept

    def _exact(self, rows: Rows, wanted: int, after: Place | None) -> Ranked:
        found = self.score(rows).sorted()
        keep = (found.scores >= self.cut) & np.isfinite(found.scores)
        if after is not None:
            keep &= (found.scores < after.score) | ((found.scores == after.score) & (found.ids > after.id))
        return found.part(np.flatnonzero(keep)[: wanted or None])

    def _may_be_best(self, bounds: _Bounds, open_: Rows, wanted: int, ceiling: float) -> Rows:
        """Of the places `open_` in `rows`, those that may be among the best `wanted` below `ceiling`."""
        near = np.where(bounds.highest[open_] < ceiling, bounds.near[open_], -np.inf)
        first = np.sort(open_[np.argpartition(-near, min(wanted + SPARE, len(open_) - 1))[: wanted + SPARE]])
        scores = self.score(self.rows[first]).scores
        return open_[bounds.highest[open_] >= _kth_largest(scores[scores < ceiling], wanted)]

    def _total(self, bounds: _Bounds, exactly: bool) -> int:
        """How many rows reach the cut-off."""
        if self.cut == -np.inf:
            return len(self.rows)
        return len(self._members(bounds)) if exactly else int((bounds.near >= self.cut).sum())

    def _members(self, bounds: _Bounds) -> Rows:
        inside = bounds.lowest >= self.cut
        doubtful = np.flatnonzero(~inside & (bounds.highest >= self.cut))
        inside[doubtful] = self.score(self.rows[doubtful]).scores >= self.cut
        return self.rows[inside]

    def _bounds(self) -> _Bounds:
        near, error = self.corpus.sketch_scores(self.scored.queries, self.top_k, self.rows)
        if not error.any():
            score = self.scored.combine(near)
            return _Bounds(score, score, score)
        if self.scored.plain:  # nothing is combined, so nothing is rounded
            return _Bounds(near[:, 0], near[:, 0] - error[:, 0], near[:, 0] + error[:, 0])
        combine, toward = self.scored.combine, np.sign(self.scored.weights).astype(np.float32) * error
        may_count = np.flatnonzero(self.scored.may_reach(near + toward, self.cut))
        near, toward = near[may_count], toward[may_count]
        bounds = np.full((3, len(self.rows)), -np.inf, np.float32)
        bounds[0, may_count] = combine(near)
        bounds[1, may_count] = _lower(combine(near - toward))
        bounds[2, may_count] = -_lower(-combine(near + toward))
        return _Bounds(*bounds)


def places_of(some: Rows, rows: Rows) -> NDArray[np.int64]:
    """Where among `rows` those of `some` are that are there; both ascend."""
    places = np.minimum(np.searchsorted(rows, some), max(len(rows) - 1, 0))
    return np.asarray(places[rows[places] == some] if len(rows) else places[:0])


def _lower(scores: Array) -> Array:
    """What scores surely are no less than, whatever single precision rounds when those of terms are combined."""
    return (scores - CLOSE * (1 + np.abs(scores))).astype(np.float32)


def _kth_largest(values: Array, k: int) -> float:
    """The k-th largest value, or what is below all where there are fewer."""
    return float(np.partition(values, len(values) - k)[len(values) - k]) if len(values) >= k else -np.inf
