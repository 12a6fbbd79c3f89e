"""The index of what photos show: a unit vector each, made of class scores, in FAISS indexes of up to `PART` of them.

Photos whose ids lie together share a part, so an index run holds one part in memory, however many photos there are. A
part is stamped with the generation that it covers, as `engine.library.vector_index` says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.library.store import Store
from engine.library.vector_index import Array, FaissIndex, Ids

PART = 1 << 12  # ids whose photos share a part: 14 MB for `lite`
BATCH = 2000  # photos added at once


@dataclass(frozen=True)
class ClassIndex:
    """What is on disk, opened, and the generation that all of it covers at least."""

    parts: tuple[FaissIndex, ...]
    generation: int
    whole: bool  # whether every part could be read

    def keys(self) -> Ids:
        """Ids of all photos."""
        return np.concatenate([part.keys() for part in self.parts])

    def vectors(self, ids: Ids) -> Array:
        """The vectors (N, tags) of photos, by ascending id; raises KeyError for one that is not there."""
        held = [part.vectors(ids[np.isin(ids, part.keys())]) for part in self.parts if np.isin(ids, part.keys()).any()]
        if sum(map(len, held)) != len(ids):
            raise KeyError("photos that are not in the index")
        return np.concatenate(held)

    def cosines(self, vector: Array) -> tuple[Ids, Array]:
        """The ids of all photos, and their cosines with a unit vector (tags,)."""
        found = [part.search(vector[None], len(part)) for part in self.parts]
        return np.concatenate([keys[0] for _, keys in found]), np.concatenate([cosines[0] for cosines, _ in found])


def shown(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """What photos show, as rows (N, tags) of length 1, from their class scores in deviations above the background.

    Two photos are alike by what both show, not by what neither does, and by what stands out most: so scores below the
    background count nothing, and others by their squares.
    """
    rows = np.square(np.maximum(scores.astype(np.float32), 0))
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)  # type: ignore[no-any-return]


def load(folder: Path) -> ClassIndex | None:
    """The index on disk, or None where there is nothing of it that can be read."""
    names = sorted(_names(folder))
    loaded = [found for found in (FaissIndex.load(folder, name, mapped=True) for name in names) if found is not None]
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


def refresh(store: Store, *, rebuild: bool = False) -> None:
    """Bring the index on disk up to the database's generation, or make it anew."""
    folder, generation, present = store.folder, store.generation(), store.photo_ids()
    for name in _names(folder) - {name for name, _ in _parts_of(present)}:
        FaissIndex.discard(folder, name)
    for name, ids in _parts_of(present):
        _refresh_part(store, name, ids, generation, rebuild=rebuild)


def discard(folder: Path) -> None:
    """Remove the index."""
    for name in _names(folder):
        FaissIndex.discard(folder, name)


def _refresh_part(store: Store, name: str, present: Ids, generation: int, *, rebuild: bool) -> None:
    loaded = None if rebuild else FaissIndex.load(store.folder, name)
    if loaded is not None and loaded[1] == generation:
        return
    _, scores = store.class_scores([int(present[0])])
    if loaded is not None and loaded[0].dim == scores.shape[1]:
        index, changed = loaded[0], store.changed_since(loaded[1])
    else:
        index, changed = FaissIndex(scores.shape[1]), present
    held = index.keys()
    gone = held[np.isin(held, present, invert=True) | np.isin(held, changed)]
    index.remove(gone)
    missing = np.setdiff1d(present, index.keys())
    if loaded is not None and not len(gone) and not len(missing):
        FaissIndex.advance(store.folder, name, generation)
        return
    for start in range(0, len(missing), BATCH):
        found, scores = store.class_scores(missing[start : start + BATCH].tolist())
        index.add(found, shown(scores))
    index.save(store.folder, name, generation)


def _parts_of(ids: Ids) -> Iterator[tuple[str, Ids]]:
    """The name of each part, and which of these ids it holds."""
    for number in np.unique(ids // PART).tolist():
        yield f"classes-{number:06d}", ids[ids // PART == number]


def _names(folder: Path) -> set[str]:
    return {path.name.rsplit("-", 1)[0] for path in folder.glob("classes-*-*.faiss")}
