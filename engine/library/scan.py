"""Pooled scores of many photos at once: by a small C extension where it was built, by NumPy otherwise.

The extension reads at the speed of memory with all cores; NumPy gives the same scores, up to the rounding of single
precision, in many times the time.
"""

import os
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from engine.library.basis import Array, Codes
from engine.library.bounds import SIZES
from engine.library.extension import extension as _extension
from engine.library.sketch import LANES, Sketches

Places = NDArray[np.int64]

MANY_TERMS = 64  # from which a matrix product takes a third of the time: all labels of a photo that is indexed
TERMS_AT_ONCE = 16
PHOTOS_AT_ONCE = 512  # that NumPy scores at once
MOST = {"regions": 1024, "dims": 512, "top_k": 64}  # what the extension has room for
INSTRUCTIONS = 2  # that it may use, where the processor has them: 0 those of any, 1 AVX2 too, 2 AVX-512 VNNI too


def sketch_scores(
    sketches: Sketches,
    queries: Array,
    top_k: int,
    count: int,
    photos: Places | None = None,
    *,
    threads: int | None = None,
) -> tuple[Array, Array]:
    """What sketches of `count` photos tell of their pooled scores (n, Q) for queries (Q, D) with the steps folded in.

    Comes with how far each may be off at most, or for drafts, nobody knows how far, with zeros. `photos` are places,
    ascending; all of them if left out. There are as many `threads` as cores if not said otherwise.
    """
    form = sketches.form
    turned = sketches.basis.queries(queries)
    lengths = np.linalg.norm(turned, axis=1).astype(np.float32)
    size = bisect_right(SIZES, min(top_k, form.regions)) - 1  # bounds for the mean of fewer regions hold for more
    if not _can_scan(form.regions, form.dims, top_k):
        places = np.arange(count) if photos is None else photos
        return _sketch_scores(sketches, turned, lengths, form.pooled(top_k), size, places)
    blocks = None if photos is None else np.unique(photos // LANES)
    rows = len(sketches.blocks) if blocks is None else len(blocks)
    scores = np.empty((len(queries), rows * LANES), np.float32)
    errors = np.empty_like(scores) if form.sizes else np.broadcast_to(np.float32(0), scores.shape)
    centres = np.zeros((len(queries), form.padded), np.float32)
    centres[:, : form.dims] = turned * sketches.basis.units[0]
    steps = None if form.sizes else np.maximum(np.abs(centres).max(axis=1) / 127, np.float32(1e-20))
    if steps is not None:  # without bounds nothing is lost by rounding these as well
        centres = np.rint(centres / steps[:, None]) * steps[:, None]
    ranges, kept = np.zeros((len(queries), form.kept), np.float32), min(form.kept, form.dims)
    ranges[:, :kept] = turned[:, :kept] * sketches.basis.units[1, :kept] / form.levels[:kept]
    sizes = (len(sketches.blocks), form.cells, form.padded, form.fours, form.twos)
    assert _extension is not None
    for part in _in_parts(len(queries)):
        asked = (centres[part], None if steps is None else steps[part], ranges[part], lengths[part])
        found = (scores[part], errors[part] if form.sizes else None)
        how = (len(lengths[part]), form.pooled(top_k), form.sizes, size if form.sizes else 0)
        _extension.sketch_scores(
            sketches.blocks, blocks, *asked, *found, *sizes, *how, threads or cores(), INSTRUCTIONS
        )
    if blocks is None or photos is None:
        return scores[:, :count].T, errors[:, :count].T
    lanes = np.searchsorted(blocks, photos // LANES) * LANES + photos % LANES
    return scores[:, lanes].T, errors[:, lanes].T


def _sketch_scores(
    sketches: Sketches, queries: Array, lengths: Array, top_k: int, size: int, places: Places
) -> tuple[Array, Array]:
    """By NumPy, for queries of coordinates."""
    scores, errors = np.zeros((2, len(places), len(queries)), np.float32)
    for start in range(0, len(places), PHOTOS_AT_ONCE):
        part = slice(start, start + PHOTOS_AT_ONCE)
        vectors, bounds = sketches.vectors(places[part])
        scores[part] = _pooled(vectors @ queries.T, top_k)
        if sketches.form.sizes:
            errors[part] = bounds[:, size : size + 1] * lengths
    return scores, errors


def exact_scores(columns: Codes, queries: Array, top_k: int, photos: Places | None = None) -> Array:
    """Pooled scores (n, Q) of photos for queries (Q, D), given codes (N, D, R) with a column for each dimension."""
    count = len(columns) if photos is None else len(photos)
    _, dims, regions = columns.shape
    if len(queries) <= MANY_TERMS and _can_scan(regions, dims, top_k):
        return _exact_scores(columns, queries, top_k, photos, in_columns=True)
    exact = np.empty((count, len(queries)), np.float32)
    for start in range(0, count, PHOTOS_AT_ONCE):
        part = slice(start, start + PHOTOS_AT_ONCE)
        codes = columns[part if photos is None else photos[part]].transpose(0, 2, 1)
        exact[part] = exact_scores_of_codes(codes, queries, top_k)
    return exact


def exact_scores_of_codes(codes: Codes, queries: Array, top_k: int) -> Array:
    """Pooled scores (N, Q) of region maps (N, R, D) for queries (Q, D) with the steps folded in."""
    count, regions, dims = codes.shape
    if len(queries) <= MANY_TERMS and _can_scan(regions, dims, top_k):
        return _exact_scores(np.ascontiguousarray(codes), queries, top_k, None, in_columns=False)
    exact = np.empty((count, len(queries)), np.float32)
    k = min(top_k, regions)
    for photo, grid in enumerate(codes):
        scores = grid.astype(np.float32) @ queries.T
        if _can_scan(regions, dims, top_k):
            assert _extension is not None
            _extension.means_of_largest(scores, exact[photo], regions, len(queries), k)
        else:
            exact[photo] = _pooled(scores[None], k)[0]
    return exact


def best_cosines(columns: Codes, region: Codes, steps: Array, photos: Places | None = None) -> Array:
    """The largest cosine (n,) of a region, given its codes (D,), with any region of each photo; places as above.

    Codes times `steps` (D,) are vectors; one of no length is like none.
    """
    best = np.empty(len(columns) if photos is None else len(photos), np.float32)
    _, dims, regions = columns.shape
    if _can_scan(regions, dims, 1):
        squares = np.ascontiguousarray(steps**2, np.float32)
        asked = _direction(region, steps)[None]
        return _exact_scores(columns, asked, 1, photos, in_columns=True, squares=squares)[:, 0]
    for start in range(0, len(best), PHOTOS_AT_ONCE):
        part = slice(start, start + PHOTOS_AT_ONCE)
        codes = columns[part if photos is None else photos[part]].transpose(0, 2, 1)
        best[part] = region_cosines(codes, region, steps).max(axis=1)
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


def _pooled(scores: Array, top_k: int) -> Array:
    """The means (N, Q) of the `top_k` largest of scores (N, R, Q)."""
    first = scores.shape[1] - top_k
    return np.partition(scores, first, axis=1)[:, first:].mean(axis=1)  # type: ignore[no-any-return]


def _can_scan(regions: int, dims: int, top_k: int) -> bool:
    fits = 0 < regions <= MOST["regions"] and 0 < dims <= MOST["dims"] and 0 < top_k <= MOST["top_k"]
    return _extension is not None and fits


def _in_parts(terms: int) -> list[slice]:
    return [slice(start, start + TERMS_AT_ONCE) for start in range(0, terms, TERMS_AT_ONCE)]


def _exact_scores(
    codes: Codes,
    queries: Array,
    top_k: int,
    photos: Places | None,
    *,
    in_columns: bool,
    squares: Array | None = None,
) -> Array:
    chosen = None if photos is None else np.ascontiguousarray(photos, np.int64)
    dims, regions = codes.shape[1:] if in_columns else codes.shape[:0:-1]
    exact = np.empty((len(codes) if chosen is None else len(chosen), len(queries)), np.float32)
    assert _extension is not None
    for terms in _in_parts(len(queries)):
        asked = np.ascontiguousarray(queries[terms], np.float32)
        found = np.empty((len(exact), len(asked)), np.float32)
        sizes = (len(codes), regions, dims, len(asked), min(top_k, regions))
        _extension.exact_scores(codes, chosen, asked, squares, found, *sizes, in_columns, cores())
        exact[:, terms] = found
    return exact


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
