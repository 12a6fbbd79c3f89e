"""Searcher: the one door to searching, for the command line and the page alike.

A query is parsed, each term becomes a query vector, and the photos of the library are ranked by their exact scores
(engine.search.ranking). Each hit shown is scored once more from the database, which is the truth: if the two disagree,
the index is damaged and the search is made again without it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.library import class_index
from engine.library.class_index import ClassIndex
from engine.library.corpus import Corpus, corpus_of
from engine.library.region_map import Array, RegionMap, RegionMaps, pooled_regions, region_scores
from engine.library.stacks import Stacks
from engine.library.store import Store
from engine.model.bundle import Bundle
from engine.search import paging
from engine.search.boxes import Box, boxes
from engine.search.calibration import Calibration, Curves
from engine.search.cursor import Cursor, Sort
from engine.search.explain import explain
from engine.search.feedback import Marks
from engine.search.ranking import Ranking
from engine.search.results import Explanation, Hit, Results, Tag, TermInfo
from engine.search.scoring import ScoredQuery
from engine.words.query import Filters, Query, parse
from engine.words.vectors import normalise

# Where fewer than FEW photos reach the default cut-off, and none is surer than SURE, its share GUESS is enough.
FEW, SURE, GUESS = 5, 0.5, 1 / 3
LOOKED_AT = 1000  # photos found, whose region maps are in memory at once
TRIES = 3  # at a page whose photos change while it is put together


@dataclass(frozen=True)
class Prepared:
    """A query ready to be scored."""

    query: Query
    scored: ScoredQuery
    vectors: Array  # (T, d)
    region_mean: Array  # (T,) of the region scores over the background photos
    region_deviation: Array  # (T,)
    marks: Marks  # what people said of its hits


@dataclass
class Searcher:
    """Answers queries about one library with the bundle it belongs to; threads may share it."""

    store: Store
    bundle: Bundle
    frugal: bool = False  # whether memory counts more than time, as in a process that answers once
    closely: int = field(default=0, init=False)  # photos that scans left in doubt, and that were scored again
    _corpus: Corpus | None = field(default=None, init=False)
    _corpus_lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _distrusted: tuple[int, int] | None = field(default=None, init=False)  # stamp of an index that was found damaged
    _classes: tuple[tuple[str, ...], ClassIndex | None] = field(default=((), None), init=False)

    def __post_init__(self) -> None:
        self.bundle.check(self.store.info(), self.store.folder)

    def fits(self) -> bool:
        """Whether the library is still the model's: another one may have taken it over."""
        return self.store.fingerprint() == self.bundle.fingerprint

    @cached_property
    def _vector(self) -> Callable[[str], Array]:
        """The vector of a term. The next page, and each heatmap of it, ask for the same again."""
        return lru_cache(1024)(self.bundle.words.vector)

    @cached_property
    def _aim(self) -> Callable[[bytes], tuple[Array, Curves, Array, Array]]:
        """As `_aim_at`, remembered."""
        return lru_cache(4096)(self._aim_at)

    @property
    def calibration(self) -> Calibration:
        """From scores to confidence, for the bundle."""
        return Calibration(self.bundle.spec.calibration)

    @cached_property
    def label_curves(self) -> Curves:
        """The curves of the bundle's labels over class scores, which are standardised."""
        reference = self.bundle.label_reference
        raw = self.calibration.curves(reference)
        return Curves(raw.slope * reference.deviation, raw.offset + raw.slope * reference.mean)

    @cached_property
    def _learned(self) -> frozenset[str]:
        return frozenset(normalise(tag) for tag in self.bundle.tags)

    @cached_property
    def _regions(self) -> tuple[Array, Array]:
        """Mean (D,) and covariance (D, D) of the codes of all regions of the background photos."""
        codes = self.bundle.background.codes.astype(np.float32)
        mean = codes.mean(axis=0)
        return mean, (codes - mean).T @ (codes - mean) / len(codes)

    # Searching

    def search(
        self,
        text: str,
        *,
        top: int = 50,
        offset: int = 0,
        cursor: str | None = None,
        min_confidence: float | None = None,
        sort: Sort = "relevance",
        filters: Filters | None = None,
        exact: bool = False,
        fold: bool = True,
    ) -> Results:
        """Find photos for a query.

        A page of `top` hits (0: all) begins after `cursor`, which is `next` of the page before it, or at `offset`.
        `min_confidence` None means the bundle's default cut-off, of which GUESS is enough where few photos reach it
        and none for sure, and no cut-off when all are wanted. `exact` insists on a proven ranking and an exact total,
        whatever they cost. Copies of a photo, by content or by looks, are folded into the best of them, unless all
        are wanted or `fold` is false: they are its duplicates, and are not counted.

        Raises EmptyQuery, UnknownWord or QueryError.
        """
        started = time.perf_counter()
        prepared = self.prepare(text)
        filters = both(prepared.query.filters, filters)
        default = self.bundle.spec.min_confidence
        cuts = ((default, GUESS * default) if top else (0.0,)) if min_confidence is None else (min_confidence,)
        after = Cursor.decode(cursor, sort) if cursor else None
        for attempt in range(TRIES):
            corpus = self.corpus()
            rows = corpus.rows_passing(filters)
            stacks = corpus.stacks_among(rows, prepared.marks.by_photo) if top and fold else Stacks.none()
            for cut in cuts:
                scored_at = prepared.scored.score_at(cut)
                ranking = Ranking(corpus, prepared.scored, self.bundle.top_k, rows, scored_at, stacks)
                if sort == "date":
                    page = paging.by_date(ranking, prepared.marks, top, offset, after)
                else:
                    page = paging.by_score(ranking, prepared.marks, top, offset, after, exact=exact)
                self.closely += page.ranked.closely
                if page.total >= FEW or (page.total and self._is_sure(ranking, prepared)):
                    break
            places, right = self._look(prepared, page.ranked.ids, page.ranked.term_scores)
            if right or attempt == TRIES - 1:
                break
            if self.store.generation() == corpus.generation:
                self._distrusted = corpus.stamp
        confidence = prepared.scored.confidence(page.ranked.term_scores)
        hits = self.hits(prepared, page.ranked.ids, page.ranked.scores, confidence, page.first, stacks, places, default)
        infos = self.term_infos(prepared)
        took = (time.perf_counter() - started) * 1000
        return Results(prepared.query, infos, hits, page.total, page.ranked.proven, took, next=page.next)

    def _is_sure(self, ranking: Ranking, prepared: Prepared) -> bool:
        """Whether the best photo is more likely than not to be right."""
        best = ranking.best(1)
        return bool((prepared.scored.confidence(best.term_scores) >= SURE).any())

    def corpus(self) -> Corpus:
        """The region maps of the library as it is now; after a change one thread looks, and the others wait for it.

        Raises WrongBundle where another model has taken the library over.
        """
        with self._corpus_lock:
            found = corpus_of(self.store, self._corpus, distrusted=self._distrusted, frugal=self.frugal)
            if found is not self._corpus:
                self.bundle.check(self.store.info(), self.store.folder)
            self._corpus = found
            return found

    def prepare(self, text: str, *, beside_image: bool = False) -> Prepared:
        """Parse a query and find the vectors of its terms; raises EmptyQuery, UnknownWord or QueryError.

        Beside an image no word is needed, and there may be no term at all.
        """
        query = parse(text, self.bundle.is_compound, beside_image=beside_image)
        vectors = np.array([self._vector(term.text) for term in query.terms], np.float32)
        vectors = vectors.reshape(-1, self.bundle.words.dim)
        marks = Marks.of(self.store, query)
        aimed = marks.sharpened(vectors[0], self.store, self.bundle)[None] if marks and len(vectors) == 1 else vectors
        queries, curves, mean, deviation = self._aim(aimed.tobytes())
        scored = ScoredQuery(queries, np.array([term.weight for term in query.terms], np.float32), curves)
        return Prepared(query, scored, vectors, mean, deviation, marks)

    def _aim_at(self, vectors: bytes) -> tuple[Array, Curves, Array, Array]:
        """Query vectors (T, D) for label vectors (T, d), and what the background says of them."""
        queries = self.bundle.queries(np.frombuffer(vectors, np.float32).reshape(-1, self.bundle.words.dim))
        mean, covariance = self._regions
        deviation = np.sqrt(np.maximum(np.einsum("qd,de,qe->q", queries, covariance, queries), 1e-12))
        curves = self.calibration.curves(self.bundle.reference(queries))
        return queries, curves, queries @ mean, deviation.astype(np.float32)

    def classes(self) -> ClassIndex | None:
        """The index of class scores on disk, read again when an index run has replaced it."""
        names = tuple(sorted(path.name for path in self.store.folder.glob("*.faiss")))
        if names != self._classes[0]:
            self._classes = names, class_index.load(self.store.folder)
        return self._classes[1]

    def hits(
        self,
        prepared: Prepared,
        ids: NDArray[np.int64],
        scores: Array,
        confidence: Array,
        first: int,
        stacks: Stacks,
        places: dict[int, Box] | None = None,
        sure_from: float = 0.0,
    ) -> list[Hit]:
        """Hits for photos in this order, of which `first` came before; those that are gone are left out.

        What else is in their `stacks` is folded into them; `places` are their boxes, where they have been found.
        Below the confidence `sure_from` they are guesses, unless they were said to be relevant.
        """
        marks = prepared.marks.by_photo
        photos = self.store.photos(ids.tolist())
        if places is None:
            places, _ = self._look(prepared, ids)
        return [
            Hit(
                first + i + 1,
                photos[photo_id],
                float(score),
                float(sure),
                places[photo_id],
                bool(sure < sure_from) and not (photo_id in marks and marks[photo_id].relevant),
                marks.get(photo_id),
                tuple(stacks.others(photo_id)),
            )
            for i, (photo_id, score, sure) in enumerate(zip(ids.tolist(), scores, confidence, strict=True))
            if photo_id in photos and photo_id in places
        ]

    def _look(
        self, prepared: Prepared, ids: NDArray[np.int64], term_scores: Array | None = None
    ) -> tuple[dict[int, Box], bool]:
        """What region maps of photos say: the box of the heaviest term in each, and whether they are all there.

        The box is the whole photo where nothing is looked for by words. The maps have to give `term_scores` (N, T),
        where photos were ranked by these.
        """
        places: dict[int, Box] = {}
        order, right = np.argsort(ids, kind="stable"), True
        for start in range(0, len(ids), LOOKED_AT):
            part = order[start : start + LOOKED_AT]
            maps = self.store.region_maps(ids[part].tolist())
            right = right and np.array_equal(ids[part], maps.ids)
            if not len(maps):
                continue
            scores = region_scores(maps.codes, prepared.scored.queries)
            places |= self._boxes(prepared, maps, scores)
            if right and term_scores is not None:
                pooled = pooled_regions(scores, maps.offsets, self.bundle.top_k)
                right = np.allclose(pooled, term_scores[part], rtol=1e-4, atol=1e-4)
        return places, right

    def _boxes(self, prepared: Prepared, maps: RegionMaps, scores: Array) -> dict[int, Box]:
        found: dict[int, Box] = dict.fromkeys(maps.ids.tolist(), (0.0, 0.0, 1.0, 1.0))
        if not (prepared.scored.weights > 0).any():
            return found
        heaviest = int(prepared.scored.weights.argmax())
        for grid in set(maps.grids):
            members = np.array([i for i, other in enumerate(maps.grids) if other == grid])
            block = scores[(maps.offsets[members][:, None] + np.arange(len(grid))), heaviest]
            drawn = boxes(block, grid, float(prepared.region_mean[heaviest]))
            found.update(zip(maps.ids[members].tolist(), drawn, strict=True))
        return found

    def term_infos(self, prepared: Prepared) -> list[TermInfo]:
        """What became of each term."""
        return [
            TermInfo(
                term.text,
                term.weight,
                term.text not in self._learned,
                self.bundle.words.did_you_mean(term.text),
                partial(self.bundle.nearest_tags, vector),
            )
            for term, vector in zip(prepared.query.terms, prepared.vectors, strict=True)
        ]

    # Explaining

    def explain(self, text: str, region_map: RegionMap) -> Explanation:
        """Where in a photo the terms of a query were found; raises as `search` does."""
        prepared = self.prepare(text)
        scores = region_scores(region_map.codes, prepared.scored.queries)  # (R, T)
        maps = [
            explain(
                term.text,
                region_map.grid,
                scores[:, i],
                float(prepared.region_mean[i]),
                float(prepared.region_deviation[i]),
            )
            for i, term in enumerate(prepared.query.terms)
        ]
        pooled = pooled_regions(scores, np.array([0, len(scores)]), self.bundle.top_k)
        return Explanation(
            maps,
            self.term_infos(prepared),
            pooled[0].tolist(),
            prepared.scored.curves.confidence(pooled)[0].tolist(),
            float(prepared.scored.combine(pooled)[0]),
            float(prepared.scored.confidence(pooled)[0]),
        )

    def tags(self, class_scores: NDArray[np.floating], top: int = 10, min_confidence: float = 0.0) -> list[Tag]:
        """The labels a photo most likely shows, from its class scores (labels,), best first."""
        confidence = self.label_curves.confidence(class_scores.astype(np.float32))
        order = np.argsort(-confidence, kind="stable")[: top or None]
        return [Tag(self.bundle.labels[i], float(confidence[i])) for i in order if confidence[i] >= min_confidence]

    def tags_of(self, photo_id: int, top: int = 10, min_confidence: float = 0.0) -> list[Tag]:
        """The labels a photo of the library most likely shows."""
        _, scores = self.store.class_scores([photo_id])
        return self.tags(scores[0], top, min_confidence) if len(scores) else []

    def suggest(self, prefix: str, limit: int = 10) -> list[str]:
        """Completions of the last word typed: labels first, then the vocabulary by frequency."""
        start = normalise(prefix)
        if not start:
            return []
        labels = sorted(
            {normalise(label) for label in self.bundle.labels if normalise(label).startswith(start)}, key=len
        )
        words = self.bundle.words.completions(start, limit)
        return list(dict.fromkeys([*labels[:limit], *words]))[:limit]


def both(typed: Filters, given: Filters | None) -> Filters:
    """The filters typed in a query and those given beside it, all of which a photo must pass."""
    return replace(typed, also=given) if typed and given else given or typed


def open_searcher(folder: Path, model: str | None, cache: Path) -> Searcher:
    """The searcher for a library, with the bundle it was made with, or another one by name.

    Raises LibraryNotFound, WrongBundle or BundleError.
    """
    from engine.model.bundle import open_bundle

    store = Store.open(folder)
    return Searcher(store, open_bundle(model or store.info().bundle, cache))
