"""The index of what photos show: a unit vector each, made of class scores, in FAISS indexes of up to `PART` of them.

Photos whose ids lie together share a part, so an index run holds one part in memory, however many photos there are. A
part is stamped with the generation that it covers, as `engine.library.vector_index` says.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.library.scan import cores
from engine.library.store import Store
from engine.library.vector_index import Array, FaissIndex, GpuIndex, Ids

PART = 1 << 12  # ids whose photos share a part: 14 MB for `lite`
WIDTH = 16  # of which the length of a vector is a multiple: FAISS takes six times as long for any other
BATCH = 2000  # photos added at once

_COPYING = threading.Lock()  # to a GPU, which may have room for one copy


@dataclass(frozen=True)
class ClassIndex:
    """What is on disk, opened, and the generation that all of it covers at least."""

    parts: tuple[FaissIndex, ...]
    generation: int
    whole: bool  # whether every part could be read

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def is_of(self, generation: int, count: int) -> bool:
        """Whether it holds the photos of this generation of the database, of which there are `count`."""
        return self.whole and self.generation == generation and len(self) == count

    def keys(self) -> Ids:
        """Ids of all photos."""
        return np.concatenate([part.keys() for part in self.parts])

    def vectors(self, ids: Ids) -> Array:
        """The vectors (N, W) of photos, by ascending id; raises KeyError for one that is not there."""
        held = [part.vectors(ids[np.isin(ids, part.keys())]) for part in self.parts if np.isin(ids, part.keys()).any()]
        if sum(map(len, held)) != len(ids):
            raise KeyError("photos that are not in the index")
        return np.concatenate(held)

    def cosines(self, vector: Array) -> tuple[Ids, Array]:
        """The ids of all photos, and their cosines with a unit vector (W,), as exact as half precision is."""
        return self._found(vector, max(map(len, self.parts), default=0))

    def nearest(self, vector: Array, count: int) -> tuple[Ids, Array]:
        """The ids of the photos with the `count` largest cosines with a unit vector (W,), and these, best first."""
        with _COPYING:
            on_gpu = self._on_gpu
        if on_gpu is not None and count <= GpuIndex.MOST:
            cosines, keys = on_gpu.search(vector[None], count)
            return keys[0], cosines[0]
        ids, cosines = self._found(vector, count)
        order = np.argsort(-cosines, kind="stable")[:count]
        return ids[order], cosines[order]

    def _found(self, vector: Array, count: int) -> tuple[Ids, Array]:
        """What the best `count` of each part are."""
        with ThreadPoolExecutor(cores()) as threads:
            found = list(threads.map(lambda part: part.search(vector[None], count), self.parts))
        return np.concatenate([keys[0] for _, keys in found]), np.concatenate([cosines[0] for cosines, _ in found])

    @cached_property
    def _on_gpu(self) -> GpuIndex | None:
        return GpuIndex.of(self.parts)


def shown(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """What photos show, as vectors (N, W) of length 1, from their class scores (N, tags) in deviations above the
    background. W is the number of tags, rounded up to a multiple of WIDTH.

    Two photos are alike by what both show, not by what neither does, and by what stands out most: so scores below the
    background count nothing, and others by their squares.
    """
    rows = np.zeros((len(scores), -(-scores.shape[1] // WIDTH) * WIDTH), np.float32)
    rows[:, : scores.shape[1]] = np.square(np.maximum(scores.astype(np.float32), 0))
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows


def load(folder: Path) -> ClassIndex | None:
    """The index on disk, or None where there is nothing of it that can be read."""
    names = sorted(_names(folder))
    opened = (FaissIndex.load(folder, name, mapped=True) for name in names)
    loaded = [found for found in opened if found is not None and found[0].dim % WIDTH == 0]  # not an earlier version's
    if not loaded:
        return None
    generation = min(generation for _, generation in loaded)
    return ClassIndex(tuple(part for part, _ in loaded), generation, len(loaded) == len(names))


def is_there(folder: Path) -> bool:
    """Whether there is something of it on disk, even if it cannot be read."""
    return bool(_names(folder))


def generation_on_disk(folder: Path, present: Ids) -> int:
    """The generation up to which photos with these ids are on disk, as the names of the files say."""
    covered = (max(FaissIndex.generations(folder, name), default=0) for name, _ in _parts_of(present))
    return min(covered, default=0)


def newest_on_disk(folder: Path) -> int:
    """The highest generation that any part on disk covers; 0 where there is none."""
    return max((max(FaissIndex.generations(folder, name), default=0) for name in _names(folder)), default=0)


def refresh(store: Store, *, rebuild: bool = False) -> None:
    """Bring the index on disk up to the database's generation, or make it anew."""
    folder, generation, present = store.folder, store.generation(), store.mapped_ids()
    for name in _names(folder) - {name for name, _ in _parts_of(present)}:
        FaissIndex.discard(folder, name)
    for name, ids in _parts_of(present):
        _refresh_part(store, name, ids, generation, rebuild=rebuild)


def discard(folder: Path) -> None:
    """Remove the index."""
    for name in _names(folder):
        FaissIndex.discard(folder, name)


def _refresh_part(store: Store, name: str, present: Ids, generation: int, *, rebuild: bool) -> None:
    _, scores = store.class_scores([int(present[0])])
    index = FaissIndex(shown(scores).shape[1])
    found = None if rebuild else FaissIndex.load(store.folder, name, mapped=True)
    if found is not None and found[0].dim == index.dim:
        if found[1] == generation:
            return
        held, changed = found[0].keys(), store.changed_since(found[1])
        gone = held[np.isin(held, present, invert=True) | np.isin(held, changed)]
        if not len(gone) and np.isin(present, held).all():
            FaissIndex.advance(store.folder, name, generation)
            return
        in_memory = FaissIndex.load(store.folder, name)  # where it can be changed
        if in_memory is not None and in_memory[1] == found[1]:
            index = in_memory[0]
            index.remove(gone)
    missing = np.setdiff1d(present, index.keys())
    for start in range(0, len(missing), BATCH):
        ids, scores = store.class_scores(missing[start : start + BATCH].tolist())
        index.add(ids, shown(scores))
    index.save(store.folder, name, generation)


def _parts_of(ids: Ids) -> Iterator[tuple[str, Ids]]:
    """The name of each part, and which of these ids it holds."""
    for number in np.unique(ids // PART).tolist():
        yield f"classes-{number:06d}", ids[ids // PART == number]


def _names(folder: Path) -> set[str]:
    return {path.name.rsplit("-", 1)[0] for path in folder.glob("classes-*-*.faiss")}
