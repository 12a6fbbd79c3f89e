"""What every data set gives to training and evaluation.

Dimensions: N images, B images of a batch, C tags, seen ones first.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

if TYPE_CHECKING:
    from engine.training.datasets.features import FeatureFile
    from engine.training.datasets.panoptic import Outlined

Rows: TypeAlias = slice | NDArray[np.integer]
ALL = slice(None)


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels, for training, validation or testing.

    Labels are kept sparse: `annotations` [N, C] holds what is written down, +1 for present and −1 for absent. A tag
    that is not written down is absent where the annotation is `complete`, and otherwise unknown (0).
    """

    folder: Path
    names: NDArray[np.bytes_]  # [N] file names below the folder, as os.fsencode gives them: a quarter of str's memory
    annotations: csr_array  # int8 [N, C]
    complete: bool = True
    feature_file: "FeatureFile | None" = None

    def __post_init__(self) -> None:
        """Hold the parts to the same number of images."""
        if len(self.names) != self.annotations.shape[0]:
            raise ValueError(f"{len(self.names)} images have labels for {self.annotations.shape[0]}")

    def __len__(self) -> int:
        return len(self.names)

    def paths(self, rows: Rows = ALL) -> list[Path]:
        """Where the pictures are. They may be missing: nothing is opened before it is asked for."""
        return [self.folder / os.fsdecode(name) for name in self.names[rows].tolist()]

    def labels(self, rows: Rows = ALL) -> NDArray[np.int8]:
        """Labels −1 (absent), 0 (not annotated) or +1 (present) [B, C]."""
        dense: NDArray[np.int8] = self.annotations[rows].toarray()
        if self.complete:
            dense[dense == 0] = -1
        return dense

    def features(self, rows: Rows = ALL) -> NDArray[np.float32] | None:
        """Region features computed beforehand [B, 512, 14, 14], or None where the pictures are to be used.

        Raises:
            DataError: the file of features cannot be read, or lacks an image.
        """
        return None if self.feature_file is None else self.feature_file.read(self.names[rows])

    def subset(self, rows: Rows) -> "Split":
        """The given images, in the given order."""
        return replace(self, names=self.names[rows], annotations=self.annotations[rows])

    def with_positives(self, columns: slice, at_most: int | None = None) -> "Split":
        """The images with at least one positive among the columns, and with no more than `at_most`."""
        positives = (self.annotations[:, columns] > 0).sum(axis=1)  # [N]
        keep = positives > 0
        if at_most is not None:
            keep &= positives <= at_most
        return self.subset(np.flatnonzero(keep))

    def __add__(self, other: "Split") -> "Split":
        """Both splits of one data set, one after the other."""
        if (self.folder, self.complete, self.feature_file) != (other.folder, other.complete, other.feature_file):
            raise ValueError(f"Splits of different origin cannot be joined: {self.folder} and {other.folder}")
        names = np.concatenate([self.names, other.names])
        return replace(self, names=names, annotations=vstack([self.annotations, other.annotations], format="csr"))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with tags, part of which training never sees.

    `tags` names the columns of the labels: the seen tags, then the unseen ones.
    """

    name: str
    tags: tuple[str, ...]
    seen_count: int
    train: Split
    validation: Split  # may be empty
    test: Split
    calibration: Split | None = None  # photos annotated for all tags, to fit confidence on
    outlined: "Outlined | None" = None  # photos in which things are outlined; may be among those of `calibration`
    skip_untagged: bool = False  # a metric leaves out test images without a positive among the tags it measures

    @property
    def seen(self) -> slice:
        """Columns of the tags used in training: ordinary multi-label classification."""
        return slice(0, self.seen_count)

    @property
    def unseen(self) -> slice:
        """Columns of the tags kept from training: zero-shot learning (ZSL). All columns together are GZSL."""
        return slice(self.seen_count, len(self.tags))

    def train_and_validation(self) -> Split:
        """All training images, for the last epochs, when the model has been selected.

        That is `train` and the images with a seen tag that were cut from it for validation. A validation set of its own
        (Open Images) stays out, as does an empty one (Corel5k).
        """
        if not len(self.validation) or self.validation.folder != self.train.folder:
            return self.train
        return self.train + self.validation.with_positives(self.seen)


def file_names(names: Iterable[str]) -> NDArray[np.bytes_]:
    """Names as a Split keeps them [N]."""
    return np.array([os.fsencode(name) for name in names], dtype=np.bytes_)


def positives(tagged: Iterable[Iterable[int]], tag_count: int) -> csr_array:
    """Annotations [N, C] from the columns of each image's tags."""
    rows = [sorted(set(columns)) for columns in tagged]
    ends = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    columns = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=ends[-1])
    return csr_array((np.ones(ends[-1], dtype=np.int8), columns, ends), shape=(len(rows), tag_count))


def shuffled(split: Split, seed: int, *cuts: float) -> list[Split]:
    """The split in an order drawn by the seed, cut at these fractions of its length."""
    order = np.random.default_rng(seed).permutation(len(split))
    return [split.subset(rows) for rows in np.split(order, [round(cut * len(split)) for cut in cuts])]


def seen_first(tags: Iterable[str], unseen: Iterable[str]) -> tuple[tuple[str, ...], int]:
    """Tags in the order of the columns, and how many of them are seen. Both groups keep the order of `tags`."""
    hidden, tags = set(unseen), list(tags)
    seen = [tag for tag in tags if tag not in hidden]
    return (*seen, *(tag for tag in tags if tag in hidden)), len(seen)
