"""Data sets for training and evaluation, one module each; `load` finds them by name.

>>> load("imagenet", Path("/data"))
Traceback (most recent call last):
engine.errors.DataError: There is no data set “imagenet”. Choose one of …
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import DataError
from engine.training.datasets.base import Dataset, Split
from engine.training.datasets.coco import UNSEEN_15, coco
from engine.training.datasets.corel5k import corel5k
from engine.training.datasets.csv_tags import csv_tags
from engine.training.datasets.everyday import everyday
from engine.training.datasets.nus_wide import nus_wide
from engine.training.datasets.open_images import open_images

__all__ = ["NAMES", "Dataset", "Split", "load"]

NAMES = ("everyday", "nus-wide", "open-images", "coco", "corel5k", "csv")


def load(
    name: str,
    data: Path,
    *,
    seed: int = 0,
    unseen: Sequence[str] | None = None,
    has_vector: Callable[[str], bool] = lambda tag: True,
) -> Dataset:
    """Open a data set by name.

    Args:
        name: one of NAMES.
        data: its folder, or the folder that holds it under its usual name.
        seed: draws the splits of coco, corel5k and csv; nus-wide and open-images have fixed ones.
        unseen: tags to keep from training, for coco and csv; the others have fixed ones.
        has_vector: whether a tag has a word vector, for everyday and corel5k, which take only those that do.

    Raises:
        DataError: no data set has that name, files are missing, or one is damaged.
    """
    match name:
        case "everyday":
            return everyday(data, has_vector)
        case "nus-wide":
            return nus_wide(data)
        case "open-images":
            return open_images(data)
        case "coco":
            return coco(data, UNSEEN_15 if unseen is None else unseen, seed)
        case "corel5k":
            return corel5k(data, seed, has_vector)
        case "csv":
            return csv_tags(data, unseen, seed)
    raise DataError(f"There is no data set “{name}”", f"Choose one of {', '.join(NAMES)}")
