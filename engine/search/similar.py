"""Photos like another one, or like one region of it.

Whole photos are compared by their class scores (what they show), regions by their vectors (what is in that place). Both
measures are cosines, and the photos found are those of comparing every photo.

A search by an image is the same, with words beside it if there are any: then a photo's confidence is the product of its
likeness and of that of the words, so it has to be like the image and to show what is asked for.
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import turns
from engine.errors import QueryError
from engine.library.records import Photo
from engine.library.region_map import Array
from engine.library.stacks import Stacks
from engine.search.cursor import Cursor, Sort
from engine.search.likeness import ROUNDED, Ids, Likeness, Places, may_be_best
from engine.search.ranking import places_of
from engine.search.results import Results
from engine.search.searcher import Prepared, Searcher, both
from engine.words.query import Filters


@dataclass(frozen=True)
class Similar:
    """A photo and its cosine with the one asked about."""

    photo: Photo
    similarity: float


def similar_photos(searcher: Searcher, photo_id: int, top: int = 24) -> list[Similar]:
    """The photos that show the same, most similar first, without the photo itself."""
    _, scores = searcher.store.class_scores([photo_id])
    if not len(scores):
        return []
    likeness = Likeness.nearest(searcher, scores[0], searcher.corpus(), top + 1)
    return _ranked(searcher, photo_id, likeness.ids, likeness.cosines, top)


def search_like(
    searcher: Searcher,
    class_scores: NDArray[np.floating],
    text: str = "",
    *,
    top: int = 50,
    offset: int = 0,
    cursor: str | None = None,
    min_confidence: float | None = None,
    sort: Sort = "relevance",
    filters: Filters | None = None,
    fold: bool = True,
) -> Results:
    """The photos that show what an image shows, given its class scores (labels,), and what the words of `text` say.

    A photo's likeness is the cosine of its class scores with those. Without words it is the score; its positive part is
    the confidence. With words, both are the product of that confidence and the confidence of the words. `top` 0 means
    all; without `min_confidence` there is no cut-off. Pages and copies are as in a search by words. Raises UnknownWord
    or QueryError.
    """
    started = time.perf_counter()
    prepared = searcher.prepare(text, beside_image=True)
    after = Cursor.decode(cursor, sort) if cursor else None
    filters = both(prepared.query.filters, filters)
    corpus = searcher.corpus()
    rows = corpus.rows_passing(filters)
    stacks = corpus.stacks_among(rows, prepared.marks.by_photo) if top and fold else Stacks.none()
    likeness = Likeness.of(searcher, class_scores, corpus.ids[rows])
    words = None
    if prepared.query.terms:
        pooled = corpus.exact_scores(prepared.scored.queries, searcher.bundle.top_k, rows)
        words = prepared.scored.confidence(pooled)
    dates = corpus.dates[rows] if sort == "date" else None
    stacked = places_of(corpus.rows_of(stacks.ids), rows)
    found = _Found(prepared, likeness, words, min_confidence or 0.0, dates, stacks, stacked, after)
    wanted = slice(offset, offset + top if top else None)
    found.settle(wanted)
    kept = found.kept()
    left = kept[found.is_later(kept)]
    page = found.in_order(left, wanted.stop)[wanted]
    scores, confidence = found.scored()
    first = offset + (after.rank if after else 0)
    following = found.cursor_at(page[-1], sort, first + len(page)) if 0 < len(page) < len(left) - offset else None
    hits = searcher.hits(prepared, likeness.ids[page], scores[page], confidence[page], first, stacks)
    took = (time.perf_counter() - started) * 1000
    return Results(
        prepared.query, searcher.term_infos(prepared), hits, len(kept), True, took, like=True, next=following
    )


@dataclass(frozen=True)
class _Found:
    """Photos (N,) that an image and words are looked for in, and in which order they come."""

    prepared: Prepared
    likeness: Likeness
    words: Array | None  # the confidence of the words
    cut: float
    dates: NDArray[np.float64] | None  # where the newest come first
    stacks: Stacks
    stacked: Places  # of photos in stacks
    after: Cursor | None  # where the page begins

    def scored(self) -> tuple[Array, Array]:
        """Scores and confidence, as far from the exact ones as the cosines are at most."""
        cosines = self.likeness.cosines
        confidence = np.clip(cosines, 0, 1)
        return (cosines, confidence) if self.words is None else (confidence * self.words,) * 2

    def kept(self) -> Places:
        """The photos that reach the cut-off, and are listed; by place."""
        scores, confidence = self.scored()
        passing = self.prepared.marks.passing(self.likeness.ids, confidence, self.cut)
        return np.flatnonzero(passing & self._first_of_stacks(scores))

    def in_order(self, places: Places, count: int | None) -> Places:
        """The first `count` (None: all) of some photos, in order."""
        groups, values = self._sorted_by(places)
        if count is not None:  # sorting a million takes as long as all else
            ungrouped = np.where(groups, np.inf, values)
            some = may_be_best(ungrouped, ungrouped, count + int(np.count_nonzero(groups)), doubt=0)
            places, groups, values = places[some], groups[some], values[some]
        return places[np.lexsort((self.likeness.ids[places], -values, groups))][:count]

    def is_later(self, places: Places) -> NDArray[np.bool_]:
        """Which photos come after the cursor."""
        if self.after is None:
            return np.ones(len(places), np.bool_)
        groups, values = self._sorted_by(places)
        same, ids = groups == self.after.group, self.likeness.ids[places]
        later: NDArray[np.bool_] = (values < self.after.value) | ((values == self.after.value) & (ids > self.after.id))
        return np.asarray((groups > self.after.group) | (same & later))

    def cursor_at(self, place: int, sort: Sort, rank: int) -> str:
        """The cursor of the page after a photo, the `rank`-th."""
        (group,), (value,) = self._sorted_by(np.array([place]))
        return Cursor(sort, int(group), float(value), int(self.likeness.ids[place]), rank).encode()

    def _sorted_by(self, places: Places) -> tuple[NDArray[np.int8], NDArray[np.floating]]:
        """The group of each photo, and by what it is sorted in its group, falling."""
        if self.dates is not None:
            return np.zeros(len(places), np.int8), self.dates[places]
        return self.prepared.marks.ranks(self.likeness.ids[places]), self.scored()[0][places]

    def settle(self, wanted: slice) -> None:
        """Leave no doubt of which photos reach the cut-off, and of those `wanted` of them."""
        scores, confidence = self.scored()
        if self.cut > 0:
            self.likeness.settle(np.flatnonzero(np.abs(confidence - self.cut) <= ROUNDED))
        if self.dates is None:
            marked = np.flatnonzero(self.prepared.marks.ranks(self.likeness.ids))
            self.likeness.settle(marked)
            if self.after is not None:
                self.likeness.settle(np.flatnonzero(np.abs(scores - self.after.value) <= ROUNDED))
                scores, _ = self.scored()
            listed = scores[self._first_of_stacks(scores) & self.is_later(np.arange(len(scores)))]
            self.likeness.settle(may_be_best(scores, listed, wanted.stop + len(marked) if wanted.stop else len(scores)))
        else:  # where each photo of a stack has a place of its own, which of them is the best is settled for all pages
            self.likeness.settle(self.stacked[confidence[self.stacked] >= self.cut - ROUNDED])
        kept = self.kept()
        self.likeness.settle(self.in_order(kept[self.is_later(kept)], wanted.stop)[wanted])

    def _first_of_stacks(self, scores: Array) -> NDArray[np.bool_]:
        """Which photos (N,) are listed: of each stack the best."""
        listed = np.ones(len(scores), np.bool_)
        listed[self.stacked[self.stacks.behind(self.likeness.ids[self.stacked], scores[self.stacked])]] = False
        return listed


def similar_regions(searcher: Searcher, photo_id: int, row: int, col: int, top: int = 24) -> list[Similar]:
    """The photos that hold a region most like the one at `row`, `col` of this photo; raises QueryError outside it."""
    region_map = searcher.store.region_map(photo_id)
    if region_map is None:
        return []
    grid = region_map.grid
    if not (0 <= row < grid.rows and 0 <= col < grid.cols):
        raise QueryError(f"There is no region {row},{col}", f"The grid has {grid.rows} rows and {grid.cols} columns")
    steps = searcher.bundle.steps.copy()
    steps[-1] = 0  # the last number is added to every word's score and says nothing of what is there
    corpus = searcher.corpus()
    with turns.aside():  # of 100,000 photos it takes half a second
        best = corpus.best_cosines(region_map.codes[row * grid.cols + col], steps, corpus.rows)
    return _ranked(searcher, photo_id, corpus.ids[corpus.rows], best, top)


def _ranked(searcher: Searcher, photo_id: int, ids: Ids, cosines: Array, top: int) -> list[Similar]:
    best = may_be_best(cosines, cosines, top + 1, doubt=0)
    order = best[np.lexsort((ids[best], -cosines[best]))]
    order = order[ids[order] != photo_id][:top]
    photos = searcher.store.photos(ids[order].tolist())
    return [Similar(photos[int(ids[i])], float(cosines[i])) for i in order if int(ids[i]) in photos]
