"""Keeps the vector indexes of a library in step with its database.

Two indexes are derived: `regions` holds the codes of every region under its region key, `classes` holds one unit vector
of class scores a photo under its id.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.library.store import Store
from engine.library.vector_index import FaissIndex, VectorIndex, photos_of, region_keys

NAMES = ("regions", "classes")
BATCH = 2000  # photos added at once
SAMPLE = 100  # photos whose vectors are compared


@dataclass(frozen=True)
class Indexes:
    """Both indexes and the generation of the database that they cover; 0 covers nothing."""

    regions: VectorIndex
    classes: VectorIndex
    generation: int


def load_indexes(folder: Path) -> Indexes | None:
    """The indexes on disk, or None where they are missing, damaged or not of one generation."""
    regions, classes = (FaissIndex.load(folder, name) for name in NAMES)
    if regions is None or classes is None or regions[1] != classes[1]:
        return None
    return Indexes(regions[0], classes[0], regions[1])


def refresh(store: Store, *, rebuild: bool = False) -> Indexes | None:
    """Bring the indexes on disk up to the database's generation; returns them, or None for an empty library.

    What was removed or changed since is taken out, what is new or changed is put in. `rebuild` starts from nothing.
    Call it only while holding the writer's lock.
    """
    generation = store.generation()
    old = None if rebuild else load_indexes(store.folder)
    if old is not None and old.generation == generation:
        return old
    changed = store.changed_since(old.generation if old else 0)
    present = store.photo_ids()
    if not len(present):
        for name in NAMES:
            FaissIndex.discard(store.folder, name)
        return None
    regions: VectorIndex
    classes: VectorIndex
    if old is None:
        first = store.region_map(int(present[0]))
        _, scores = store.class_scores([int(present[0])])
        if first is None:
            return None
        regions, classes = FaissIndex(first.codes.shape[1], "int8"), FaissIndex(scores.shape[1], "float16")
    else:
        regions, classes = old.regions, old.classes
        for index, photo in ((regions, photos_of(regions.keys())), (classes, classes.keys())):
            gone = np.isin(photo, present, invert=True) | np.isin(photo, changed)
            index.remove(index.keys()[gone])
    for start in range(0, len(changed), BATCH):
        ids = changed[start : start + BATCH].tolist()
        maps = store.region_maps(ids)
        keys = [region_keys(int(photo), len(grid)) for photo, grid in zip(maps.ids, maps.grids, strict=True)]
        regions.add(np.concatenate(keys), maps.codes)
        found, scores = store.class_scores(ids)
        classes.add(found, unit_rows(scores))
    refreshed = Indexes(regions, classes, generation)
    for name, index in zip(NAMES, (regions, classes), strict=True):
        if isinstance(index, FaissIndex):
            index.save(store.folder, name, generation)
    return refreshed


def check(store: Store) -> list[str]:
    """Where the indexes on disk and the database disagree: a sentence each, none if they agree.

    All keys are compared, and the vectors of up to `SAMPLE` photos spread over the library.
    """
    held = load_indexes(store.folder)
    present = store.photo_ids()
    if held is None:
        return ["There is no index that can be read."] if len(present) else []
    if held.generation != store.generation():
        return [f"The index covers generation {held.generation}, the database is at {store.generation()}."]
    problems = []
    if not np.array_equal(np.unique(photos_of(held.regions.keys())), present):
        problems.append("The index of regions holds other photos than the database.")
    if not np.array_equal(np.sort(held.classes.keys()), present):
        problems.append("The index of class scores holds other photos than the database.")
    if problems:
        return problems
    sample = np.unique(present[np.linspace(0, len(present) - 1, SAMPLE).astype(int)]) if len(present) else present
    maps = store.region_maps(sample.tolist())
    ids, scores = store.class_scores(sample.tolist())
    keys = [region_keys(int(photo), len(grid)) for photo, grid in zip(maps.ids, maps.grids, strict=True)]
    try:
        same_regions = np.array_equal(held.regions.vectors(np.concatenate(keys)), maps.codes)
        same_classes = np.allclose(held.classes.vectors(ids), unit_rows(scores), atol=1e-3)
    except KeyError:
        return ["The index of regions lacks regions of photos that it holds."]
    if not same_regions:
        problems.append("The index of regions holds other codes than the database.")
    if not same_classes:
        problems.append("The index of class scores holds other scores than the database.")
    return problems


def unit_rows(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows (N, tags) at length 1, so that inner products are cosines."""
    rows = scores.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)  # type: ignore[no-any-return]
