"""Vector indexes: which of many vectors have the largest inner product with a query. Nobody else imports faiss.

Where FAISS is built for GPUs and there is one, `GpuIndex` searches the same vectors in its memory.

An index file is derived from the database. Its name carries the generation that it covers (`NAME-000000000012.faiss`),
and it is written beside and renamed into place, so that a reader sees a whole file or none, and always knows what is
missing from it.
"""

import logging
import os
import re
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Ids = NDArray[np.int64]


class FaissIndex:
    """A flat FAISS index: exact over what it stores, which is vectors in half precision."""

    def __init__(self, dim: int) -> None:
        import faiss

        flat = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._index: Any = faiss.IndexIDMap(flat)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dim(self) -> int:
        """D, numbers in a vector."""
        return int(self._index.d)

    def keys(self) -> Ids:
        """Keys of all vectors."""
        import faiss

        keys: Ids = faiss.vector_to_array(self._index.id_map)
        return keys

    def add(self, keys: Ids, vectors: NDArray[np.generic]) -> None:
        """Add vectors (N, D) under their keys."""
        if len(keys):
            self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(keys, np.int64))

    def remove(self, keys: Ids) -> None:
        """Remove vectors; keys that are not there are no error."""
        if len(keys):
            self._index.remove_ids(np.ascontiguousarray(keys, np.int64))

    def vectors(self, keys: Ids) -> Array:
        """The vectors (N, D) under these keys as the index holds them; raises KeyError for one that is not there."""
        order = np.argsort(self.keys(), kind="stable")
        held = self.keys()[order]
        places = np.searchsorted(held, keys)
        if not len(held) or not np.array_equal(held[np.minimum(places, len(held) - 1)], keys):
            raise KeyError("keys that are not in the index")
        return np.stack([self._index.index.reconstruct(int(place)) for place in order[places]])

    def all_vectors(self) -> Array:
        """All vectors (N, D), in the order of `keys`."""
        vectors: Array = self._index.index.reconstruct_n(0, len(self))
        return vectors

    def search(self, queries: Array, count: int) -> tuple[Array, Ids]:
        """The `count` largest inner products for queries (Q, D): scores and keys (Q, count), best first."""
        count = min(count, len(self))
        if count == 0:
            empty = np.zeros((len(queries), 0), np.float32)
            return empty, empty.astype(np.int64)
        scores, keys = self._index.search(np.ascontiguousarray(queries, np.float32), count)
        return scores, keys

    # On disk

    @staticmethod
    def generations(folder: Path, name: str) -> list[int]:
        """Generations of the index files called `name` in `folder`, newest first."""
        pattern = re.compile(rf"{re.escape(name)}-(\d{{12}})\.faiss")
        try:
            found = [pattern.fullmatch(path.name) for path in folder.iterdir()]
        except OSError:
            return []
        return sorted((int(match[1]) for match in found if match), reverse=True)

    @classmethod
    def load(cls, folder: Path, name: str, *, mapped: bool = False) -> "tuple[FaissIndex, int] | None":
        """The newest index file called `name` that can be read, and its generation; None if there is none.

        One that is `mapped` stays in its file, which processes share; it must not be changed.
        """
        import faiss

        flags = faiss.IO_FLAG_MMAP_IFC if mapped else 0
        for generation in cls.generations(folder, name):
            try:
                index = faiss.read_index(str(_path(folder, name, generation)), flags)
            except RuntimeError:  # damaged, or replaced a moment ago
                continue
            if not isinstance(index, faiss.IndexIDMap):
                continue
            opened = cls.__new__(cls)
            opened._index = index
            return opened, generation
        return None

    def save(self, folder: Path, name: str, generation: int) -> None:
        """Write the index, stamped with the generation it covers, and remove the files it replaces."""
        import faiss

        older = self.generations(folder, name)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f"{name}-", suffix=".partial")
        os.close(handle)
        try:
            faiss.write_index(self._index, temporary)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(_path(folder, name, generation))
        except RuntimeError as error:
            raise OSError(f"cannot write {name} index: {error}") from None
        finally:
            Path(temporary).unlink(missing_ok=True)
        for other in older:
            if other != generation:
                _path(folder, name, other).unlink(missing_ok=True)

    @classmethod
    def advance(cls, folder: Path, name: str, generation: int) -> None:
        """Stamp the newest index file called `name`, which nothing has changed for, with a later generation."""
        newest, *older = cls.generations(folder, name)
        _path(folder, name, newest).replace(_path(folder, name, generation))
        for other in older:
            _path(folder, name, other).unlink(missing_ok=True)

    @classmethod
    def discard(cls, folder: Path, name: str) -> None:
        """Remove all files of the index called `name`."""
        for generation in cls.generations(folder, name):
            _path(folder, name, generation).unlink(missing_ok=True)


class GpuIndex:
    """Vectors of FAISS indexes, copied to the memory of a GPU in half precision; threads take turns at it."""

    MOST = 2048  # results of a search: FAISS gives no more on a GPU
    WORKSPACE = 1 << 27  # bytes of the GPU that searches work in

    def __init__(self, parts: Sequence[FaissIndex]) -> None:
        """Copy the vectors of `parts`; raises RuntimeError where the GPU has no room for them, or is out of order."""
        import faiss

        self._turn = threading.Lock()
        self._keys = np.concatenate([part.keys() for part in parts])
        self._resources = faiss.StandardGpuResources()
        self._resources.setTempMemory(self.WORKSPACE)
        config = faiss.GpuIndexFlatConfig()
        config.useFloat16 = True
        self._index: Any = faiss.GpuIndexFlatIP(self._resources, parts[0].dim, config)
        for part in parts:
            self._index.add(part.all_vectors())

    @classmethod
    def of(cls, parts: Sequence[FaissIndex]) -> "GpuIndex | None":
        """The vectors of `parts` on a GPU; None where there is none, FAISS is not built for one, or has no room."""
        import faiss

        if not parts or not faiss.get_num_gpus():
            return None
        try:
            return cls(parts)
        except RuntimeError as error:
            logging.getLogger(__name__).warning("the GPU is not used for photos like another one: %s", error)
            return None

    def search(self, queries: Array, count: int) -> tuple[Array, Ids]:
        """As of a FaissIndex; `count` is at most MOST, and queries are rounded to half precision too."""
        with self._turn:
            scores, places = self._index.search(np.ascontiguousarray(queries, np.float32), min(count, len(self._keys)))
        return scores, self._keys[places]


def _path(folder: Path, name: str, generation: int) -> Path:
    return folder / f"{name}-{generation:012d}.faiss"
