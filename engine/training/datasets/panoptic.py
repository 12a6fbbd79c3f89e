"""Photos in which things and stuff are outlined, in COCO's panoptic format as this project's data folder keeps it.

    segments.tsv   file, segment, class, area: a line a segment
    masks/FILE     PNG of segment numbers, R + 256·G + 65536·B; 0 is nothing
    images/        photos of the same names, .jpg

Kirillov et al.: *Panoptic Segmentation*, 2019, https://arxiv.org/abs/1801.00868.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import DataError
from engine.training.datasets.files import corrupt, lines

NOTHING = 255  # in a map of names


@dataclass(frozen=True)
class Outlined:
    """Photos and, for each, which segment of its mask has which of `names`; what has none is missing."""

    names: tuple[str, ...]
    photos: tuple[Path, ...]
    masks: tuple[Path, ...]
    segments: tuple[dict[int, int], ...]  # segment number → place among the names

    def __len__(self) -> int:
        return len(self.photos)

    def name_map(self, row: int) -> NDArray[np.uint8]:
        """The name at each pixel (height, width) of a photo; NOTHING where there is none. Raises DataError."""
        try:
            with Image.open(self.masks[row]) as image:
                numbers = np.asarray(image.convert("RGB")).astype(np.int32) @ np.array([1, 256, 65536])
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"Cannot read the mask {self.masks[row]}: {error}", "Fetch it again") from None
        found = np.full(numbers.shape, NOTHING, np.uint8)
        for number, name in self.segments[row].items():
            found[numbers == number] = name
        return found


def outlined(folder: Path, has_vector: Callable[[str], bool], hidden: Collection[str] = ()) -> Outlined:
    """The photos below `folder` that have masks and show no `hidden` name; segments without a vector have no name.

    A photo with something hidden would teach that nothing of the kind is there. Raises DataError for files that are
    missing or damaged.
    """
    table = folder / "segments.tsv"
    found: dict[str, dict[int, str]] = {}
    for number, line in enumerate(lines(table), 1):
        columns = line.split("\t")
        if len(columns) != 4 or not columns[1].isdigit():
            raise corrupt(table, number, "expected 4 columns: file, segment, class, area")
        found.setdefault(columns[0], {})[int(columns[1])] = spoken(columns[2])
    found = {file: segments for file, segments in found.items() if not set(segments.values()) & set(hidden)}
    shown = {name for segments in found.values() for name in segments.values()}
    names = tuple(sorted(filter(has_vector, shown)))
    place = {name: i for i, name in enumerate(names)}
    files = sorted(found)
    return Outlined(
        names,
        tuple(folder / "images" / f"{Path(file).stem}.jpg" for file in files),
        tuple(folder / "masks" / file for file in files),
        tuple({number: place[name] for number, name in found[file].items() if name in place} for file in files),
    )


def spoken(name: str) -> str:
    """A class of COCO's as people say it: "floor-other-merged" is a floor."""
    return re.sub("-(merged|other|stuff)", "", name).replace("-", " ").replace("playingfield", "playing field")
