"""Photos like another one, or like one region of it.

Whole photos are compared by their class scores (what they show), regions by their vectors (what is in that place). Both
measures are cosines. Where the library is large, photos are proposed by inner products, and then measured exactly.

A search by an image is the same, with words beside it if there are any: then a photo's confidence is the product of its
likeness and of that of the words, so it has to be like the image and to show what is asked for.
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import QueryError
from engine.library.indexes import unit_rows
from engine.library.records import Photo
from engine.library.region_map import Array, pooled_scores
from engine.search.cursor import Sort
from engine.search.searcher import Results, Searcher, both
from engine.words.query import Filters

Ids = NDArray[np.int64]

PROPOSED = 4096  # photos that are measured in a large library
SCAN_BELOW = 2000  # photos; so few are all measured


@dataclass(frozen=True)
class Similar:
    """A photo and its cosine with the one asked about."""

    photo: Photo
    similarity: float


def similar_photos(searcher: Searcher, photo_id: int, top: int = 24) -> list[Similar]:
    """The photos whose class scores point the same way, most similar first, without the photo itself."""
    _, scores = searcher.store.class_scores([photo_id])
    return _ranked(searcher, photo_id, *_alike(searcher, scores[0], Filters())[:2], top) if len(scores) else []


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
    fold: bool = True,
) -> Results:
    """The photos that show what an image shows, given its class scores (labels,), and what the words of `text` say.

    A photo's likeness is the cosine of its class scores with those. Without words it is the score; its positive part is
    the confidence. With words, both are the product of that confidence and the confidence of the words. `top` 0 means
    all; without `min_confidence` there is no cut-off. Copies are folded as in a search by words. Raises UnknownWord or
    QueryError.
    """
    started = time.perf_counter()
    prepared = searcher.prepare(text, beside_image=True)
    filters = both(prepared.query.filters, filters)
    ids, scores, exact = _alike(searcher, class_scores, filters)
    confidence = np.clip(scores, 0, 1)
    if prepared.query.terms:
        maps = searcher.store.region_maps(ids.tolist())
        pooled = pooled_scores(maps, prepared.scored.queries, searcher.bundle.top_k)
        ids, still, of_maps = np.intersect1d(ids, maps.ids, return_indices=True)  # not removed in between
        scores = confidence = confidence[still] * prepared.scored.confidence(pooled[of_maps])
    copies = searcher.corpus().copies_among(ids, prepared.marks.by_photo) if top and fold else {}
    listed = np.isin(ids, [i for group in copies.values() for i in group], invert=True)
    ids, scores, confidence = ids[listed], scores[listed], confidence[listed]
    kept = np.flatnonzero(prepared.marks.passing(ids, confidence, min_confidence or 0.0))
    if sort == "date":
        order = kept[np.lexsort((ids[kept], -searcher.dates(ids[kept])))]
    else:
        order = kept[np.lexsort((ids[kept], -scores[kept], prepared.marks.ranks(ids[kept])))]
    page = order[offset : offset + top if top else None]
    hits = searcher.hits(prepared, ids[page], scores[page], confidence[page], offset, copies)
    took = (time.perf_counter() - started) * 1000
    return Results(prepared.query, searcher.term_infos(prepared), hits, len(order), exact, took, like=True)


def _alike(searcher: Searcher, class_scores: NDArray[np.floating], filters: Filters) -> tuple[Ids, Array, bool]:
    """Ids of photos that pass the filters, and the cosines (N,) of their class scores with these (labels,).

    The last value says whether no photo was left out.
    """
    query = unit_rows(class_scores[None].astype(np.float32))
    index = searcher.classes()
    if filters or index is None or searcher.store.count() <= SCAN_BELOW:
        ids, exact = searcher.store.photo_ids(filters), True
    else:
        index_ids, generation = index[0].search(query, PROPOSED)[1][0], index[1]
        ids, exact = np.union1d(index_ids, searcher.store.changed_since(generation)), False
    ids, scores = searcher.store.class_scores(ids.tolist())
    return ids, unit_rows(scores) @ query[0] if len(ids) else np.zeros(0, np.float32), exact


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
    corpus = searcher.corpus()
    rows = corpus.rows
    if len(rows) > PROPOSED:
        near, _ = corpus.near_scores((query * steps)[None], 1, rows)
        rows = np.sort(rows[np.argpartition(-near[:, 0], PROPOSED)[:PROPOSED]])
    maps = searcher.store.region_maps(corpus.ids[rows].tolist())
    cosines = unit_rows(maps.codes.astype(np.float32) * steps) @ (query / max(float(np.linalg.norm(query)), 1e-12))
    best = np.maximum.reduceat(cosines, maps.offsets[:-1]) if len(maps) else np.zeros(0, np.float32)
    return _ranked(searcher, photo_id, maps.ids, best, top)


def _ranked(searcher: Searcher, photo_id: int | None, ids: Ids, cosines: Array, top: int) -> list[Similar]:
    order = [i for i in np.lexsort((ids, -cosines)) if ids[i] != photo_id][:top]
    photos = searcher.store.photos(ids[order].tolist())
    return [Similar(photos[int(ids[i])], float(cosines[i])) for i in order if int(ids[i]) in photos]
