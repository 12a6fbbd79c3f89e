"""Photos like another one, or like one region of it.

Whole photos are compared by their class scores (what they show), regions by their vectors (what is in that place). Both
measures are cosines. The vector index proposes by inner product where the library is large; what it proposes is then
measured exactly.

A search by an image is the same, with words beside it if there are any: then a photo's confidence is the product of its
likeness and of that of the words, so it has to be like the image and to show what is asked for.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.errors import QueryError
from engine.library.indexes import unit_rows
from engine.library.records import Photo
from engine.library.region_map import Array, pooled_scores
from engine.library.vector_index import VectorIndex, photos_of
from engine.search.searcher import SCAN_BELOW, Results, Scored, Searcher, Sort, both
from engine.words.query import Filters

Ids = NDArray[np.int64]

PROPOSED = 4096  # vectors asked of the index


@dataclass(frozen=True)
class Similar:
    """A photo and its cosine with the one asked about."""

    photo: Photo
    similarity: float


def similar_photos(searcher: Searcher, photo_id: int, top: int = 24) -> list[Similar]:
    """The photos whose class scores point the same way, most similar first, without the photo itself."""
    _, scores = searcher.store.class_scores([photo_id])
    return _ranked(searcher, photo_id, *_alike(searcher, scores[0], Filters()), top) if len(scores) else []


def search_like(
    searcher: Searcher,
    class_scores: NDArray[np.floating],
    text: str = "",
    *,
    top: int = 50,
    offset: int = 0,
    min_confidence: float | None = None,
    sort: Sort = "relevance",
    filters: Filters | None = None,
) -> Results:
    """The photos that show what an image shows, given its class scores (labels,), and what the words of `text` say.

    A photo's likeness is the cosine of its class scores with those. Without words it is the score; its positive part is
    the confidence. With words, both are the product of that confidence and the confidence of the words. `top` 0 means
    all; without `min_confidence` there is no cut-off. Raises UnknownWord or QueryError.
    """
    started = time.perf_counter()
    prepared = searcher.prepare(text, beside_image=True)
    filters = both(prepared.query.filters, filters)
    ids, scores = _alike(searcher, class_scores, filters)
    confidence = np.clip(scores, 0, 1)
    if prepared.query.terms:
        maps = searcher.store.region_maps(ids.tolist())
        pooled = pooled_scores(maps, prepared.scored.queries, searcher.bundle.top_k)
        ids, kept, of_maps = np.intersect1d(ids, maps.ids, return_indices=True)  # not removed in between
        scores = confidence = confidence[kept] * prepared.scored.confidence(pooled[of_maps])
    exact = bool(filters) or searcher.store.count() <= SCAN_BELOW
    scored = Scored(ids, scores, confidence, exact)
    results = searcher.page(prepared, scored, top, offset, min_confidence or 0.0, sort)
    return replace(results, took_ms=(time.perf_counter() - started) * 1000, like=True)


def _alike(searcher: Searcher, class_scores: NDArray[np.floating], filters: Filters) -> tuple[Ids, Array]:
    """Ids of photos that pass the filters, and the cosines (N,) of their class scores with these (labels,)."""
    query = unit_rows(class_scores[None].astype(np.float32))
    if filters:
        ids = searcher.store.photo_ids(filters)
    else:
        indexes = searcher.indexes()
        ids = _proposed(searcher, indexes.classes if indexes else None, query, np.asarray)
    ids, scores = searcher.store.class_scores(ids.tolist())
    return ids, unit_rows(scores) @ query[0] if len(ids) else np.zeros(0, np.float32)


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
    query = region_map.codes[row * grid.cols + col].astype(np.float32) * steps
    indexes = searcher.indexes()
    ids = _proposed(searcher, indexes.regions if indexes else None, (query * steps)[None], photos_of)
    maps = searcher.store.region_maps(ids.tolist())
    cosines = unit_rows(maps.codes.astype(np.float32) * steps) @ (query / max(float(np.linalg.norm(query)), 1e-12))
    best = np.maximum.reduceat(cosines, maps.offsets[:-1]) if len(maps) else np.zeros(0, np.float32)
    return _ranked(searcher, photo_id, maps.ids, best, top)


def _proposed(searcher: Searcher, index: VectorIndex | None, query: Array, owners: Callable[[Ids], Ids]) -> Ids:
    """Ids of photos worth measuring for a query (1, D): all of a small library, else what the index finds and what is
    newer than it."""
    indexes = searcher.indexes()
    if index is None or indexes is None or searcher.store.count() <= SCAN_BELOW:
        return searcher.store.photo_ids()
    _, keys = index.search(query, PROPOSED)
    return np.union1d(owners(keys[0]), searcher.store.changed_since(indexes.generation))


def _ranked(searcher: Searcher, photo_id: int | None, ids: Ids, cosines: Array, top: int) -> list[Similar]:
    order = [i for i in np.lexsort((ids, -cosines)) if ids[i] != photo_id][:top]
    photos = searcher.store.photos(ids[order].tolist())
    return [Similar(photos[int(ids[i])], float(cosines[i])) for i in order if int(ids[i]) in photos]
