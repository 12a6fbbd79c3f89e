"""Region features computed beforehand: the `.h5` files of the official BiAM release.

Layout (`feature_extraction/extract_nus_wide.py` of github.com/akshitac8/BiAM): three arrays an image, named after it.

    <image>-features    float32, 512×14×14 or 512×196: VGG-19 conv5_4 after ReLU
    <image>-labels      int8, −1 or +1: 925 tags in the training file, 925 + 81 in the test file
    <image>-labels_81   int8, −1 or +1: the 81 human labels
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import DataError
from engine.training.datasets.files import corrupt

if TYPE_CHECKING:
    import h5py

SHAPE = (512, 14, 14)
LARGEST = float(np.finfo(np.float16).max)  # what half precision holds, in which features are kept


@dataclass(frozen=True)
class FeatureFile:
    """One `.h5` file. Each process opens it for itself at its first read, so workers may be given or forked with it."""

    path: Path

    def read(self, names: NDArray[np.bytes_]) -> NDArray[np.float32]:
        """Features of the named images [B, 512, 14, 14].

        Raises:
            DataError: the file cannot be read, lacks an image, or holds features of another shape or no features.
        """
        batch = np.empty((len(names), *SHAPE), dtype=np.float32)
        with _damage(self.path):
            file = _opened(self.path, os.getpid())
            for row, name in enumerate(map(os.fsdecode, names.tolist())):
                values = _array(file, f"{name}-features")
                if values.shape not in {SHAPE, (SHAPE[0], SHAPE[1] * SHAPE[2])}:
                    raise corrupt(self.path, None, f"the features of {name} are {values.shape}, not 512×14×14")
                if not np.abs(values).max() <= LARGEST:
                    raise corrupt(self.path, None, f"the features of {name} are not all numbers up to {LARGEST:,.0f}")
                batch[row] = values.reshape(SHAPE)
        return batch

    def positives(self, names: NDArray[np.bytes_], seen_count: int, unseen_count: int) -> Iterator[list[int]]:
        """Columns of the positive tags of each named image: seen ones, then the human labels of the unseen.

        Raises:
            DataError: the file cannot be read, lacks an image, or holds another number of labels.
        """
        with _damage(self.path), _open(self.path) as file:
            for name in map(os.fsdecode, names.tolist()):
                seen, unseen = _array(file, f"{name}-labels"), _array(file, f"{name}-labels_81")
                if len(seen) not in {seen_count, seen_count + unseen_count} or len(unseen) != unseen_count:
                    found = f"{name} has {len(seen)} and {len(unseen)} labels"
                    raise corrupt(self.path, None, f"{found}, not {seen_count} and {unseen_count}")
                yield np.flatnonzero(np.concatenate([seen[:seen_count], unseen]) > 0).tolist()


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise corrupt(path, None, f"an image is missing, {error.args[0]}") from error
    except OSError as error:
        raise corrupt(path, None, f"not a readable HDF5 file, {error}") from error


def _array(file: "h5py.File", name: str) -> NDArray[Any]:
    """The numbers that a file has under a name; raises DataError for anything else, KeyError for nothing."""
    entry = file[name]
    if getattr(entry, "dtype", np.dtype(object)).kind not in "biuf":  # a group has none
        raise corrupt(Path(file.filename), None, f"{name} is no array of numbers")
    return np.atleast_1d(entry[()])


def _open(path: Path) -> "h5py.File":
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"Reading {path} needs h5py", "Install it with: pip install h5py") from error
    return h5py.File(path, "r")


@cache
def _opened(path: Path, process: int) -> "h5py.File":
    """The file as opened by a process: a handle that came with a fork is not safe to share."""
    return _open(path)
