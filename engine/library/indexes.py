"""Keeps what is derived from a library's database in step with it.

The region index holds the codes of every region, to be scanned; the FAISS index `classes` holds one unit vector of
class scores a photo under its id. Both can be deleted: a search then reads the database, and the
next run makes them anew.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import LibraryError
from engine.library import region_index
from engine.library.region_index import RegionIndex
from engine.library.store import Store
from engine.library.vector_index import FaissIndex, VectorIndex

CLASSES = "classes"
BATCH = 2000  # photos added at once
SAMPLE = 100  # photos whose numbers are compared


def refresh(store: Store, *, rebuild: bool = False) -> RegionIndex | None:
    """Bring the indexes on disk up to the database's generation; returns the one of regions, None for no photos.

    `rebuild` starts from nothing. Call it only while holding the writer's lock. Raises LibraryError where the disk is
    full or cannot be written: nothing is lost then, and searches go on without what could not be written.
    """
    try:
        if not store.count():
            discard(store.folder)
            return None
        _refresh_classes(store, rebuild=rebuild)
        return region_index.refresh(store, rebuild=rebuild)
    except OSError as error:
        raise LibraryError(
            f"The index of the library in {store.folder} cannot be written: {error.strerror or error}",
            "Searches work without it, slower. When there is room, run: unseen db rebuild",
        ) from None


def discard(folder: Path) -> None:
    """Remove the indexes."""
    FaissIndex.discard(folder, CLASSES)
    region_index.discard(folder)


def open_classes(folder: Path) -> tuple[VectorIndex, int] | None:
    """The index of class scores on disk and the generation it covers, or None where there is none that can be read."""
    return FaissIndex.load(folder, CLASSES)


def check(store: Store) -> list[str]:
    """Where the indexes on disk contradict the database: a sentence each, none if they do not.

    All ids are compared, all bits of the region index, and the numbers of up to `SAMPLE` photos all over the library.
    What an index lacks because a run was killed before it got there is no contradiction: `behind` counts that.
    """
    present = store.photo_ids()
    sample = np.unique(present[np.linspace(0, len(present) - 1, SAMPLE).astype(int)]) if len(present) else present
    return [
        *(_check_regions(store, present, sample) if region_index.stamp(store.folder) else []),
        *(_check_classes(store, present, sample) if FaissIndex.generations(store.folder, CLASSES) else []),
    ]


def behind(store: Store) -> int:
    """How many photos were written after the indexes on disk; all, where there is none yet."""
    regions = region_index.generation_on_disk(store.folder) or 0
    classes = max(FaissIndex.generations(store.folder, CLASSES), default=0)
    return len(store.changed_since(min(regions, classes)))


def unit_rows(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows (N, tags) at length 1, so that inner products are cosines."""
    rows = scores.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)  # type: ignore[no-any-return]


def _refresh_classes(store: Store, *, rebuild: bool) -> None:
    generation = store.generation()
    old = None if rebuild else FaissIndex.load(store.folder, CLASSES)
    if old is not None and old[1] == generation:
        return
    changed = store.changed_since(old[1] if old else 0)
    present = store.photo_ids()
    _, scores = store.class_scores([int(present[0])])
    index = old[0] if old and old[0].dim == scores.shape[1] else FaissIndex(scores.shape[1], "float16")
    held = index.keys()
    index.remove(held[np.isin(held, present, invert=True) | np.isin(held, changed)])
    missing = np.setdiff1d(present, index.keys())
    for start in range(0, len(missing), BATCH):
        found, scores = store.class_scores(missing[start : start + BATCH].tolist())
        index.add(found, unit_rows(scores))
    index.save(store.folder, CLASSES, generation)


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
    loaded = FaissIndex.load(store.folder, CLASSES)
    if loaded is None:
        return ["The index of class scores cannot be read."]
    held, generation = loaded
    if generation > store.generation():
        return [f"The index of class scores covers generation {generation}, the database is at {store.generation()}."]
    changed = store.changed_since(generation)
    ids = np.setdiff1d(held.keys(), changed)
    if not _hold(ids, np.setdiff1d(present, changed), generation == store.generation()):
        return ["The index of class scores holds other photos than the database."]
    ids, scores = store.class_scores(np.setdiff1d(sample, changed).tolist())
    if len(ids) and not np.allclose(held.vectors(ids), unit_rows(scores), atol=1e-3):
        return ["The index of class scores holds other scores than the database."]
    return []


def _hold(ids: NDArray[np.int64], photos: NDArray[np.int64], up_to_date: bool) -> bool:
    """Whether an index with these ids holds `photos`; an older one may hold photos that have been removed since."""
    return np.array_equal(ids, photos) if up_to_date else bool(np.isin(photos, ids).all())
