"""The corpus: the region maps of all photos of a library at one generation, wherever they are kept.

Most are in the segments of the region index. Photos that were written since, or that the index lacks for whatever
reason, are loose: their maps are read from the database. So a search is right while the index is behind, damaged or
gone, only slower.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.library import region_index, scan
from engine.library.basis import Array, Codes
from engine.library.region_index import RegionIndex
from engine.library.region_map import RegionMap, RegionMaps, pooled_scores
from engine.library.segments import Ids, Segment
from engine.library.stacks import Stacks
from engine.library.store import Store
from engine.words.query import Filters

Rows = NDArray[np.int64]

LOOSE_KEPT = 20_000  # loose maps that are kept in memory; more are read each time
LOOSE_AT_ONCE = 2000
FILTERS_KEPT = 4  # the last ones, whose rows are remembered
MOST_OF_ALL = 0.5  # share of a segment's photos from which on all of them are scanned, which others may share
REGIONS_AT_ONCE = 25_000  # loose ones, that are compared with one at once
FRUGAL_AT_ONCE = 256  # photos whose maps are mapped at once, in whole blocks, if memory counts more than time


@dataclass(frozen=True)
class Corpus:
    """N photos in rows: those of each segment by ascending id, then the loose ones."""

    store: Store
    generation: int
    stamp: tuple[int, int] | None  # of the index on disk
    index: RegionIndex | None
    loose_ids: Ids
    loose: RegionMaps | None  # of those ids; None where there are too many to keep
    frugal: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def ids(self) -> Ids:
        """The id of each row (N,), also of rows that do not count."""
        segments = self.index.segments if self.index else ()
        return np.concatenate([*(segment.ids for segment in segments), self.loose_ids])

    @cached_property
    def rows(self) -> Rows:
        """The rows that count, ascending: those of photos that are still there as they were indexed."""
        held = self.index.held if self.index else ()
        return np.flatnonzero(np.concatenate([*held, np.ones(len(self.loose_ids), np.bool_)]))

    def rows_of(self, ids: Ids) -> Rows:
        """Rows of the photos with these ids, ascending; ids that are not there are left out."""
        order, held = self._by_id
        places = np.minimum(np.searchsorted(held, ids), max(len(held) - 1, 0))
        return np.sort(order[places[held[places] == ids]]) if len(held) else order

    def rows_passing(self, filters: Filters) -> Rows:
        """The rows that count and pass the filters, ascending. The next page and often the next query have the same."""
        if not filters:
            return self.rows
        rows = self._passing.get(filters)
        if rows is None:
            rows = self.rows_of(self.store.photo_ids(filters))
            for oldest in list(self._passing)[: 1 - FILTERS_KEPT]:
                self._passing.pop(oldest, None)
            self._passing[filters] = rows
        return rows

    def forget(self) -> None:
        """Let the next search read the index and the database, not what is remembered of the last ones."""
        self._passing.clear()
        for segment in self.index.segments if self.index else ():
            segment.scans.forget()

    @cached_property
    def _passing(self) -> dict[Filters, Rows]:
        return {}

    @cached_property
    def _by_id(self) -> tuple[Rows, Ids]:
        """The rows that count in the order of their ids, and these."""
        order = self.rows[np.argsort(self.ids[self.rows], kind="stable")]
        return order, self.ids[order]

    @cached_property
    def dates(self) -> NDArray[np.float64]:
        """When the photo of each row was taken, in seconds since 1970 (N,); -inf where nobody knows."""
        ids, seconds = self.store.dates()
        dates = np.full(len(self.ids), -np.inf)
        order, held = self._by_id
        _, mine, theirs = np.intersect1d(held, ids, assume_unique=True, return_indices=True)
        dates[order[mine]] = seconds[theirs]
        return dates

    @cached_property
    def stacks(self) -> Stacks:
        """Photos with the same content, and those that are copies by their looks."""
        found = Stacks.of([*self.store.copies(), *(self.index.copies.tolist() if self.index else ())])
        return found.among(self.ids[self.rows])

    def stacks_among(self, rows: Rows, apart: Collection[int] = ()) -> Stacks:
        """The stacks of the photos of `rows`; those with an id in `apart` are in none."""
        whole = not len(self.stacks) or (rows is self.rows and not apart)
        return self.stacks if whole else self.stacks.among(self.ids[rows], apart)

    def draft_scores(self, queries: Array, top_k: int, rows: Rows) -> Array:
        """What drafts tell of the pooled scores (n, Q) of rows, ascending, for queries (Q, D)."""
        scores = np.empty((len(rows), len(queries)), np.float32)
        for part, segment, places in self._parts(rows):
            if segment is None:
                scores[part] = self._loose_scores(queries, top_k, places)
            elif self._is_scanned_whole(segment, places):
                found = segment.scans.draft_scores(queries, top_k)
                scores[part] = found if places is None else found[places]
            else:
                scores[part], _ = scan.sketch_scores(segment.drafts, queries, top_k, len(segment), places)
        return scores

    def sketch_scores(self, queries: Array, top_k: int, rows: Rows) -> tuple[Array, Array]:
        """Pooled scores (n, Q) of rows, ascending, for queries (Q, D), and by how much each may be off at most."""
        scores, errors = np.zeros((2, len(rows), len(queries)), np.float32)
        for part, segment, places in self._parts(rows):
            if segment is None:
                scores[part] = self._loose_scores(queries, top_k, places)
            elif self._is_scanned_whole(segment, places):
                near, error = segment.scans.sketch_scores(queries, top_k)
                chosen = slice(None) if places is None else places
                scores[part], errors[part] = near[chosen], error[chosen]
            else:
                found = scan.sketch_scores(segment.sketches, queries, top_k, len(segment), places)
                scores[part], errors[part] = found
        return scores, errors

    def exact_scores(self, queries: Array, top_k: int, rows: Rows) -> Array:
        """Pooled scores (n, Q) of rows, ascending, for queries (Q, D) with the steps folded in."""
        scores = np.empty((len(rows), len(queries)), np.float32)
        for part, segment, places in self._parts(rows):
            if segment is None:
                scores[part] = self._loose_scores(queries, top_k, places)
            else:
                scores[part] = scan.exact_scores(segment.columns, queries, top_k, places)
        return scores

    def best_cosines(self, region: Codes, steps: Array, rows: Rows) -> Array:
        """The largest cosine (n,) of a region, given its codes (D,), with any region of each of `rows`, ascending."""
        best = np.empty(len(rows), np.float32)
        for part, segment, places in self._parts(rows):
            if segment is None:
                ids, maps = self._loose_maps(places)
                best[part] = -1  # of photos removed a moment ago
                if len(maps):
                    parts = np.array_split(maps.codes, -(-len(maps.codes) // REGIONS_AT_ONCE))
                    cosines = np.concatenate([scan.region_cosines(codes, region, steps) for codes in parts])
                    best[part][np.searchsorted(ids, maps.ids)] = np.maximum.reduceat(cosines, maps.offsets[:-1])
            else:
                best[part] = scan.best_cosines(segment.columns, region, steps, places)
        return best

    def _is_scanned_whole(self, segment: Segment, places: Rows | None) -> bool:
        """Whether all of a segment is scanned for these places, so that others may share it."""
        return not self.frugal and (places is None or len(places) >= MOST_OF_ALL * len(segment))

    def _parts(self, rows: Rows) -> Iterator[tuple[slice, Segment | None, Rows | None]]:
        """Parts of `rows`, the segment that holds them (None: they are loose), and their places in it (None: all)."""
        start = first = 0
        for segment in self.index.segments if self.index else ():
            stop = int(np.searchsorted(rows, first + len(segment)))
            step = FRUGAL_AT_ONCE if self.frugal else max(stop - start, 1)
            for at in range(start, stop, step):
                part = slice(at, min(at + step, stop))
                whole = part.stop - part.start == len(segment)
                yield part, segment, None if whole else rows[part] - first
                if self.frugal:
                    segment.release()
            start, first = stop, first + len(segment)
        step = LOOSE_AT_ONCE if self.loose is None else max(len(rows) - start, 1)
        for at in range(start, len(rows), step):
            part = slice(at, min(at + step, len(rows)))
            whole = part.stop - part.start == len(self.loose_ids)
            yield part, None, None if whole else rows[part] - first

    def _loose_scores(self, queries: Array, top_k: int, places: Rows | None) -> Array:
        ids, maps = self._loose_maps(places)
        scores = np.full((len(ids), len(queries)), -np.inf, np.float32)  # of photos removed a moment ago
        scores[np.searchsorted(ids, maps.ids)] = pooled_scores(maps, queries, top_k)
        return scores

    def _loose_maps(self, places: Rows | None) -> tuple[Ids, RegionMaps]:
        """Ids of loose photos, ascending, and the region maps of those that are still there."""
        ids = self.loose_ids if places is None else self.loose_ids[places]
        if self.loose is None:
            return ids, self.store.region_maps(ids.tolist())
        return ids, self.loose if places is None else self.loose.part(places)


def corpus_of(
    store: Store, before: Corpus | None = None, *, distrusted: tuple[int, int] | None = None, frugal: bool = False
) -> Corpus:
    """The corpus of a library as it is now; what has not changed is taken from the one `before`.

    An index with the stamp `distrusted` is not used.
    """
    stamp, generation = region_index.stamp(store.folder), store.generation()
    used = before.index is not None if before else False
    if before and (before.stamp, before.generation) == (stamp, generation) and not (used and stamp == distrusted):
        return before
    library = region_index.library_of(store)
    mapped = before.index.segments if before and before.index else ()
    index = region_index.load(store.folder, library, mapped)
    while index is not None and not index.whole and (now := region_index.stamp(store.folder)) != stamp:
        stamp, index = now, region_index.load(store.folder, library, mapped)  # the writer has replaced it meanwhile
    generation = store.generation()
    none = np.zeros(0, np.int64)
    if index is None or index.generation > generation or stamp == distrusted:  # or that of a database since put back
        index, loose_ids = None, store.mapped_ids()
    elif index.whole and index.generation == generation:
        loose_ids = none
    else:
        loose_ids = store.changed_since(index.generation)
        index = index.without(loose_ids)
        if not index.whole or len(index.ids) + len(loose_ids) != store.mapped_count():
            present = store.mapped_ids()
            index = index.without(np.setdiff1d(index.ids, present))
            loose_ids = np.setdiff1d(present, index.ids)
    loose = None if len(loose_ids) > LOOSE_KEPT else _loose_maps(store, loose_ids, before)
    return Corpus(store, generation, stamp, index, loose_ids if loose is None else loose.ids, loose, frugal)


def _loose_maps(store: Store, ids: Ids, before: Corpus | None) -> RegionMaps:
    """The region maps of the photos that are still there; what has not changed is taken from the corpus `before`."""
    kept: dict[int, RegionMap] = {}
    if before is not None and before.loose is not None:
        same = np.setdiff1d(ids, store.changed_since(before.generation), assume_unique=True)
        kept = before.loose.part(np.flatnonzero(np.isin(before.loose.ids, same))).single()
    fresh = store.region_maps([i for i in ids.tolist() if i not in kept]).single()
    return RegionMaps.of(sorted((kept | fresh).items()))
