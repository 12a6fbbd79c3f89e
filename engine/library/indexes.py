"""Keeps what is derived from a library's database in step with it.

The region index holds the codes of every region, to be scanned; the class index holds the class scores of every photo.
Both can be deleted: a search then reads the database, and the next run makes them anew.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import LibraryError
from engine.library import class_index, region_index
from engine.library.basis import Basis
from engine.library.region_index import RegionIndex
from engine.library.store import Store

SAMPLE = 100  # photos whose numbers are compared


def refresh(store: Store, basis_of: Callable[[], Basis] | None = None, *, rebuild: bool = False) -> RegionIndex | None:
    """Bring the indexes on disk up to the database's generation; returns the one of regions, None for no photos.

    `basis_of` gives that of the bundle, where it is at hand: searches are slower without. `rebuild` starts from
    nothing. Call it only while holding the writer's lock. Raises LibraryError where the disk is full or cannot be
    written: nothing is lost then, and searches go on without what could not be written.
    """
    try:
        if not store.mapped_count():
            discard(store.folder)
            return None
        class_index.refresh(store, rebuild=rebuild)
        return region_index.refresh(store, basis_of, rebuild=rebuild)
    except OSError as error:
        raise LibraryError(
            f"The index of the library in {store.folder} cannot be written: {error.strerror or error}",
            "Searches work without it, slower. When there is room, run: unseen db rebuild",
        ) from None


def discard_if_ahead(store: Store) -> None:
    """Remove the indexes if one covers batches that the database has not, and that other ones will be counted as.

    That is what a database put back from a backup finds, and one that lost its last batches when the power failed.
    Call it while holding the writer's lock, before a batch is written.
    """
    covered = max(region_index.generation_on_disk(store.folder) or 0, class_index.newest_on_disk(store.folder))
    if covered > store.generation():
        discard(store.folder)


def discard(folder: Path) -> None:
    """Remove the indexes."""
    class_index.discard(folder)
    region_index.discard(folder)


def check(store: Store) -> list[str]:
    """Where the indexes on disk contradict the database: a sentence each, none if they do not.

    All ids are compared, all bits of the region index, and the numbers of up to `SAMPLE` photos all over the library.
    What an index lacks because a run was killed before it got there is no contradiction: `behind` counts that.
    """
    present = store.mapped_ids()
    sample = np.unique(present[np.linspace(0, len(present) - 1, SAMPLE).astype(int)]) if len(present) else present
    return [
        *(_check_regions(store, present, sample) if region_index.stamp(store.folder) else []),
        *(_check_classes(store, present, sample) if class_index.is_there(store.folder) else []),
    ]


def behind(store: Store) -> int:
    """How many photos were written after the indexes on disk; all, where there is none yet."""
    regions = region_index.generation_on_disk(store.folder) or 0
    classes = class_index.generation_on_disk(store.folder, store.mapped_ids())
    return len(store.changed_since(min(regions, classes)))


def _check_regions(store: Store, present: NDArray[np.int64], sample: NDArray[np.int64]) -> list[str]:
    held = region_index.load(store.folder, region_index.library_of(store))
    if held is None or not held.whole:
        return ["The index of regions cannot be read."]
    if held.generation > store.generation():
        return [f"The index covers generation {held.generation}, the database is at {store.generation()}."]
    if damaged := region_index.damaged(held):
        return [f"The index is damaged: {', '.join(damaged)}."]
    changed = store.changed_since(held.generation)
    if not _hold(held.without(changed).ids, np.setdiff1d(present, changed), held.generation == store.generation()):
        return ["The index of regions holds other photos than the database."]
    maps = store.region_maps(np.setdiff1d(sample, changed).tolist()).single()
    if any(not np.array_equal(codes, maps[i].codes) for i, codes in region_index.codes_of(held, np.array([*maps]))):
        return ["The index of regions holds other codes than the database."]
    alike = region_index.are_copies(held, held.copies[:: len(held.copies) // SAMPLE + 1])
    return [] if alike else ["The index of regions holds copies that are none."]


def _check_classes(store: Store, present: NDArray[np.int64], sample: NDArray[np.int64]) -> list[str]:
    held = class_index.load(store.folder)
    if held is None or not held.whole:
        return ["The index of class scores cannot be read."]
    covered, now = held.generation, store.generation()
    if covered > now:
        return [f"The index of class scores covers generation {covered}, the database is at {now}."]
    changed = store.changed_since(covered)
    ids = np.setdiff1d(held.keys(), changed)
    if not _hold(ids, np.setdiff1d(present, changed), covered == now):
        return ["The index of class scores holds other photos than the database."]
    ids, scores = store.class_scores(np.setdiff1d(sample, changed).tolist())
    if len(ids) and not np.allclose(held.vectors(ids), class_index.shown(scores), atol=1e-3):
        return ["The index of class scores holds other scores than the database."]
    return []


def _hold(ids: NDArray[np.int64], photos: NDArray[np.int64], up_to_date: bool) -> bool:
    """Whether an index with these ids holds `photos`; an older one may hold photos that have been removed since."""
    return np.array_equal(ids, photos) if up_to_date else bool(np.isin(photos, ids).all())
