"""Pooled scores of many photos at once: by a small C extension where it was built, by NumPy otherwise.

The extension reads planes at the speed of memory with all cores; NumPy gives the same scores, up to the rounding of
single precision, in many times the time.
"""

import os
from bisect import bisect_right
from importlib import import_module
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from engine.library.planes import SIZES, Array, Codes, Planes
from engine.library.sketch import cells, sketched_vectors

try:
    _extension: ModuleType | None = import_module("engine.library._scan")
except ImportError:  # no compiler was there when unseen was installed
    _extension = None

Places = NDArray[np.int64]

MANY_TERMS = 64  # from which a matrix product takes a third of the time: all labels of a photo that is indexed
TERMS_AT_ONCE = 16
PHOTOS_AT_ONCE = 512  # that NumPy scores at once
MOST = {"regions": 1024, "dims": 512, "top_k": 64}  # what the extension has room for
INSTRUCTIONS = 2  # that it may use, where the processor has them: 0 those of any, 1 AVX2 too, 2 AVX-512 VNNI too


def near_scores(
    planes: Planes,
    queries: Array,
    top_k: int,
    photos: Places | None = None,
    *,
    fine: bool = False,
    threads: int | None = None,
) -> tuple[Array, Array]:
    """Pooled scores (n, Q) of photos for queries (Q, D), and by how much each may be wrong at most.

    `photos` are places in the planes; all of them if left out. The coarse planes alone are read, or with `fine` both,
    which leaves next to no doubt. There are as many `threads` as cores if not said otherwise.
    """
    count = len(planes) if photos is None else len(photos)
    if not _can_scan(planes.regions, planes.dims, top_k):
        scores = exact_scores(planes, queries, top_k, photos)
        return scores, np.zeros_like(scores)
    near, errors = np.empty((2, count, len(queries)), np.float32)
    parts = (*_shared(planes), planes.coarse, planes.fine if fine else None, None)
    for terms in _in_parts(len(queries)):
        found = np.empty((2, count, len(queries[terms])), np.float32)
        _call(parts, photos, queries[terms], found[0], found[1], len(planes), planes.regions, top_k, threads)
        near[:, terms], errors[:, terms] = found
    return near, errors


def sketch_scores(
    planes: Planes, queries: Array, top_k: int, photos: Places | None = None, *, threads: int | None = None
) -> Array:
    """What sketches tell of the pooled scores (n, Q) of photos; places and threads as above."""
    count = len(planes) if photos is None else len(photos)
    most, scores = cells(planes.regions), np.empty((count, len(queries)), np.float32)
    k = max(1, round(min(top_k, planes.regions) * most / planes.regions))  # of the cells, to cover as many regions
    if not _can_scan(planes.regions, planes.dims, k):
        for start in range(0, count, PHOTOS_AT_ONCE):
            part = slice(start, start + PHOTOS_AT_ONCE)
            sketches = planes.sketch[part if photos is None else photos[part]]
            of_cells = sketched_vectors(sketches, planes.regions, planes.dims) @ queries.T
            scores[part] = np.partition(of_cells, most - k, axis=1)[:, most - k :].mean(axis=1)
        return scores
    parts = (*[None] * 4, planes.sketch, None, None)
    for terms in _in_parts(len(queries)):
        found = np.empty((count, len(queries[terms])), np.float32)
        _call(parts, photos, queries[terms], found, None, len(planes), most, k, threads)
        scores[:, terms] = found
    return scores


def exact_scores(planes: Planes, queries: Array, top_k: int, photos: Places | None = None) -> Array:
    """Pooled scores (n, Q) of photos for queries (Q, D) with the steps folded in; places as above."""
    count = len(planes) if photos is None else len(photos)
    exact = np.empty((count, len(queries)), np.float32)
    if not _can_scan(planes.regions, planes.dims, top_k):
        for start in range(0, count, PHOTOS_AT_ONCE):
            part = slice(start, start + PHOTOS_AT_ONCE)
            codes = planes.codes(part if photos is None else photos[part])
            exact[part] = exact_scores_of_codes(codes, queries, top_k)
        return exact
    parts = (*_shared(planes), planes.coarse, planes.fine, None)
    for terms in _in_parts(len(queries)):
        found = np.empty((count, len(queries[terms])), np.float32)
        _call(parts, photos, queries[terms], found, None, len(planes), planes.regions, top_k)
        exact[:, terms] = found
    return exact


def exact_scores_of_codes(codes: Codes, queries: Array, top_k: int) -> Array:
    """Pooled scores (N, Q) of region maps (N, R, D) for queries (Q, D) with the steps folded in."""
    count, regions, dims = codes.shape
    exact = np.empty((count, len(queries)), np.float32)
    if len(queries) > MANY_TERMS or not _can_scan(regions, dims, top_k):
        k = min(top_k, regions)
        for photo, grid in enumerate(codes):
            scores = grid.astype(np.float32) @ queries.T
            if _can_scan(regions, dims, top_k):
                assert _extension is not None
                _extension.means_of_largest(scores, exact[photo], regions, len(queries), k)
            else:
                exact[photo] = np.partition(scores, regions - k, axis=0)[regions - k :].mean(axis=0)
        return exact
    parts = (*[None] * 6, np.ascontiguousarray(codes))
    for terms in _in_parts(len(queries)):
        found = np.empty((count, len(queries[terms])), np.float32)
        _call(parts, None, queries[terms], found, None, count, regions, top_k)
        exact[:, terms] = found
    return exact


def best_cosines(planes: Planes, region: Codes, steps: Array, photos: Places | None = None) -> Array:
    """The largest cosine (n,) of a region, given its codes (D,), with any region of each photo; places as above.

    Codes times `steps` (D,) are vectors; one of no length is like none.
    """
    best = np.empty(len(planes) if photos is None else len(photos), np.float32)
    if not _can_scan(planes.regions, planes.dims, 1):
        for start in range(0, len(best), PHOTOS_AT_ONCE):
            part = slice(start, start + PHOTOS_AT_ONCE)
            codes = planes.codes(part if photos is None else photos[part])
            best[part] = region_cosines(codes, region, steps).max(axis=1)
        return best
    query, squares = _direction(region, steps), np.ascontiguousarray(steps**2, np.float32)
    parts = (*_shared(planes), planes.coarse, planes.fine, None)
    _call(parts, photos, query[None], best, None, len(planes), planes.regions, 1, squares=squares)
    return best


def region_cosines(codes: Codes, region: Codes, steps: Array) -> Array:
    """Cosines (…) of regions (…, D) with one region (D,), given their codes; times `steps` (D,) these are vectors."""
    vectors = codes.astype(np.float32)
    products = vectors @ _direction(region, steps)
    lengths: Array = np.sqrt(np.square(vectors, out=vectors) @ steps**2)
    cosines: Array = np.divide(products, np.maximum(lengths, np.float32(1e-12)))
    return cosines


def _direction(region: Codes, steps: Array) -> Array:
    """A region's vector, of length 1, with the steps of another folded in (D,)."""
    vector = region * steps
    length = max(float(np.sqrt(vector @ vector)), 1e-12)
    direction: Array = (vector * steps / length).astype(np.float32)
    return direction


def _can_scan(regions: int, dims: int, top_k: int) -> bool:
    fits = 0 < regions <= MOST["regions"] and 0 < dims <= MOST["dims"] and 0 < top_k <= MOST["top_k"]
    return _extension is not None and fits


def _shared(planes: Planes) -> tuple[NDArray[np.generic], ...]:
    return planes.low, planes.step, planes.middle, planes.bounds


def _in_parts(terms: int) -> list[slice]:
    return [slice(start, start + TERMS_AT_ONCE) for start in range(0, terms, TERMS_AT_ONCE)]


def _call(
    parts: tuple[NDArray[np.generic] | None, ...],
    photos: Places | None,
    queries: Array,
    scores: Array,
    errors: Array | None,
    count: int,
    regions: int,
    top_k: int,
    threads: int | None = None,
    squares: Array | None = None,
) -> None:
    chosen = None if photos is None else np.ascontiguousarray(photos, np.int64)
    queries = np.ascontiguousarray(queries, np.float32)
    size = bisect_right(SIZES, min(top_k, regions)) - 1  # bounds for the mean of fewer regions hold for that of more
    sizes = (count, regions, queries.shape[1], len(queries), min(top_k, regions), len(SIZES), size)
    assert _extension is not None
    _extension.scan(*parts, chosen, queries, squares, scores, errors, *sizes, threads or cores(), INSTRUCTIONS)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
