"""Searcher: the one door to searching, for the command line and the page alike.

A query is parsed, each term becomes a query vector, the vector index proposes photos by their best region, and the
proposed photos are scored exactly over their region maps. A photo scores at most what its best region scores. So once
the worst region the index returned scores lower than the last photo on the page, no photo that was not proposed can
belong there, and the ranking is proven; until then more regions are asked for. Photos that changed after the index was
written are always scored.
"""

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import WrongBundle
from engine.library.feedback import Mark
from engine.library.indexes import Indexes, load_indexes
from engine.library.records import Photo
from engine.library.region_map import Array, RegionMap, RegionMaps, pooled_scores, region_scores
from engine.library.store import Store
from engine.library.vector_index import photos_of
from engine.model.bundle import Bundle
from engine.search.calibration import Calibration, Curves
from engine.search.explain import TermMap, explain
from engine.search.feedback import Marks
from engine.search.scoring import ScoredQuery
from engine.words.query import Filters, Query, parse
from engine.words.vectors import normalise

Sort = Literal["relevance", "date"]
Box = tuple[float, float, float, float]

SCAN_BELOW = 2000  # photos; so few are scored faster than proposed
FIRST_REGIONS = 4096  # regions asked of the index at first; four times as many each time the proof fails


@dataclass(frozen=True)
class TermInfo:
    """What became of one term of a query."""

    term: str
    weight: float
    zero_shot: bool  # whether the head was never trained with this word as a tag
    nearest_tags: list[str]
    did_you_mean: list[str]  # much more frequent words spelt almost like it, where it may be a typo


@dataclass(frozen=True)
class Hit:
    """One photo found. `box` is around its best region, in fractions of the upright photo."""

    rank: int
    photo: Photo
    score: float
    confidence: float
    box: Box
    mark: Mark | None = None  # what was said of it


@dataclass(frozen=True)
class Results:
    """A page of hits. `total` counts all photos at or above the cut-off; `exact` says the ranking is proven."""

    query: Query
    terms: list[TermInfo]
    hits: list[Hit]
    total: int
    exact: bool
    took_ms: float
    like: bool = False  # whether an image was asked with


@dataclass(frozen=True)
class Explanation:
    """Where in a photo the terms of a query were found, and how sure each of them and the whole query is."""

    terms: list[TermMap]
    infos: list[TermInfo]  # what became of each term
    term_scores: list[float]  # the model's own
    term_confidence: list[float]  # that the photo shows the term, also where it is excluded
    score: float
    confidence: float


@dataclass(frozen=True)
class Tag:
    """A label of the bundle and the confidence that a photo shows it."""

    tag: str
    confidence: float


@dataclass(frozen=True)
class Scored:
    """Photos that were scored for a query: ids, scores and confidence (N,), and whether the best are among them."""

    ids: NDArray[np.int64]
    scores: Array
    confidence: Array
    exact: bool


@dataclass(frozen=True)
class _Prepared:
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
    widened: int = field(default=0, init=False)  # times that a search had to ask the index for more
    _indexes: Indexes | None = field(default=None, init=False)
    _index_names: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        info = self.store.info()
        if info.fingerprint != self.bundle.fingerprint:
            raise WrongBundle(
                f"The library in {self.store.folder} was made with another model ({info.bundle} "
                f"{info.fingerprint[:8]}), not with this one ({self.bundle.name} {self.bundle.fingerprint[:8]})",
                f"Choose that one with --model or UNSEEN_MODEL, or re-index: unseen index FOLDER --library NEW --model "
                f"{self.bundle.name}",
            )

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

    # Searching

    def search(
        self,
        text: str,
        *,
        top: int = 50,
        offset: int = 0,
        min_confidence: float | None = None,
        sort: Sort = "relevance",
        filters: Filters | None = None,
    ) -> Results:
        """Find photos for a query.

        `top` 0 means all. `min_confidence` None means the bundle's default cut-off, and no cut-off when all are wanted.

        Raises EmptyQuery, UnknownWord or QueryError.
        """
        started = time.perf_counter()
        prepared = self.prepare(text)
        filters = both(prepared.query.filters, filters)
        if min_confidence is None:
            min_confidence = self.bundle.spec.min_confidence if top else 0.0
        wanted = offset + top + 1 if top and sort == "relevance" else 0  # one more tells whether there is a next page
        wanted += len(prepared.marks) if wanted else 0
        ids, term_scores, exact = self._scores(prepared.scored, wanted, filters, prepared.marks.relevant)
        combined = prepared.scored.combine(term_scores), prepared.scored.confidence(term_scores)
        results = self.page(prepared, Scored(ids, *combined, exact), top, offset, min_confidence, sort)
        return replace(results, took_ms=(time.perf_counter() - started) * 1000)

    def page(
        self, prepared: _Prepared, scored: Scored, top: int, offset: int, min_confidence: float, sort: Sort
    ) -> Results:
        """The photos of a page, of all that were scored, in order; it is for the caller to say how long it took."""
        ids = scored.ids
        order = np.lexsort((ids, -scored.scores, prepared.marks.ranks(ids)))
        order = order[prepared.marks.passing(ids, scored.confidence, min_confidence)[order]]
        if sort == "date":
            taken = self._dates(ids[order])
            order = order[np.lexsort((ids[order], -taken))]
        page = order[offset:] if top == 0 else order[offset : offset + top]
        hits = self._hits(prepared, ids[page], scored.scores[page], scored.confidence[page], offset)
        return Results(prepared.query, self._term_infos(prepared), hits, len(order), scored.exact, 0.0)

    def prepare(self, text: str, *, beside_image: bool = False) -> _Prepared:
        """Parse a query and find the vectors of its terms; raises EmptyQuery, UnknownWord or QueryError.

        Beside an image no word is needed, and there may be no term at all.
        """
        query = parse(text, self.bundle.is_compound, beside_image=beside_image)
        vectors = np.array([self.bundle.words.vector(term.text) for term in query.terms], np.float32)
        vectors = vectors.reshape(-1, self.bundle.words.dim)
        marks = Marks.of(self.store, query)
        aimed = marks.sharpened(vectors[0], self.store, self.bundle)[None] if marks and len(vectors) == 1 else vectors
        queries = self.bundle.queries(aimed)
        curves = self.calibration.curves(self.bundle.reference(queries))
        scored = ScoredQuery(queries, np.array([term.weight for term in query.terms], np.float32), curves)
        regions = region_scores(self.bundle.background.codes, queries)
        deviation = np.maximum(regions.std(axis=0), 1e-6)
        return _Prepared(query, scored, vectors, regions.mean(axis=0), deviation, marks)

    def _scores(
        self, scored: ScoredQuery, wanted: int, filters: Filters, also: list[int]
    ) -> tuple[NDArray[np.int64], Array, bool]:
        """Ids, exact scores of terms (N, T) and whether the best `wanted` (0: all) are proven to be among them.

        Where the index proposes photos, those of `also` are scored too.
        """
        count = self.store.count()
        indexes = self.indexes() if wanted and count > SCAN_BELOW and not filters else None
        if indexes is None:
            maps = self.store.region_maps(self.store.photo_ids(filters).tolist())
            return maps.ids, pooled_scores(maps, scored.queries, self.bundle.top_k), True
        newer = np.concatenate([self.store.changed_since(indexes.generation), np.array(also, np.int64)])
        regions = FIRST_REGIONS
        while True:
            found, keys = indexes.regions.search(scored.queries, regions)
            proposed = np.unique(np.concatenate([photos_of(keys).ravel(), newer]))
            maps = self.store.region_maps(proposed.tolist())
            term_scores = pooled_scores(maps, scored.queries, self.bundle.top_k)
            if found.shape[1] >= len(indexes.regions):
                return maps.ids, term_scores, True
            bound = scored.bound(found[:, -1])
            best = np.sort(scored.combine(term_scores))[::-1]
            if len(best) >= wanted and best[wanted - 1] >= bound:
                return maps.ids, term_scores, True
            regions *= 4
            self.widened += 1

    def indexes(self) -> Indexes | None:
        """The indexes on disk, read again when an index run has replaced them."""
        names = tuple(sorted(path.name for path in self.store.folder.glob("*.faiss")))
        if names != self._index_names:
            self._indexes, self._index_names = load_indexes(self.store.folder), names
        return self._indexes

    def _dates(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Seconds since 1970 of the photos' dates; those without one come last."""
        photos = self.store.photos(ids.tolist())
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        dates = [photos[i].taken_at if i in photos else None for i in ids.tolist()]
        return np.array([(date - epoch).total_seconds() if date else -np.inf for date in dates], np.float64)

    def _hits(
        self, prepared: _Prepared, ids: NDArray[np.int64], scores: Array, confidence: Array, offset: int
    ) -> list[Hit]:
        photos = self.store.photos(ids.tolist())
        boxes = self._boxes(prepared, ids)
        return [
            Hit(
                offset + place + 1,
                photos[photo_id],
                float(score),
                float(sure),
                boxes[photo_id],
                prepared.marks.by_photo.get(photo_id),
            )
            for place, (photo_id, score, sure) in enumerate(zip(ids.tolist(), scores, confidence, strict=True))
            if photo_id in photos and photo_id in boxes  # not removed since it was scored
        ]

    def _boxes(self, prepared: _Prepared, ids: NDArray[np.int64]) -> dict[int, Box]:
        """The box of the heaviest term in each photo; the whole of it where nothing is looked for by words."""
        maps = self.store.region_maps(ids.tolist())
        if not len(maps) or not (prepared.scored.weights > 0).any():
            return dict.fromkeys(maps.ids.tolist(), (0.0, 0.0, 1.0, 1.0))
        heaviest = int(prepared.scored.weights.argmax())
        scores = region_scores(maps.codes, prepared.scored.queries[heaviest : heaviest + 1])[:, 0]
        background = float(prepared.region_mean[heaviest])
        return {
            int(photo_id): explain("", grid, scores[maps.offsets[i] : maps.offsets[i + 1]], background).box
            for i, (photo_id, grid) in enumerate(zip(maps.ids, maps.grids, strict=True))
        }

    def _term_infos(self, prepared: _Prepared) -> list[TermInfo]:
        learned = {normalise(tag) for tag in self.bundle.tags}
        return [
            TermInfo(
                term.text,
                term.weight,
                term.text not in learned,
                self.bundle.nearest_tags(vector),
                self.bundle.words.did_you_mean(term.text),
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
        single = RegionMaps.of([(0, region_map)])
        pooled = pooled_scores(single, prepared.scored.queries, self.bundle.top_k)
        return Explanation(
            maps,
            self._term_infos(prepared),
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
    """The filters typed in a query, with those given beside it on top."""
    values = {name: value for name, value in vars(given).items() if value is not None} if given else {}
    return replace(typed, **values)


def open_searcher(folder: Path, model: str | None, cache: Path) -> Searcher:
    """The searcher for a library, with the bundle it was made with, or another one by name.

    Raises LibraryNotFound, WrongBundle or BundleError.
    """
    from engine.model.bundle import open_bundle

    store = Store.open(folder)
    return Searcher(store, open_bundle(model or store.info().bundle, cache))
