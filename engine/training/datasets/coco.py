"""COCO: 123,000 photos of everyday scenes, 80 classes of objects; a class is a tag of each photo it was outlined in.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, arXiv 1405.0312. Unseen classes by default: the 15
of Rahman, Khan, Barnes, "Polarity Loss for Zero-shot Object Detection", arXiv 1811.08982 (65 seen, 15 unseen).

    annotations/instances_train2017.json, annotations/instances_val2017.json
    train2017/, val2017/            the photos; also below images/. The 2014 edition will do as well.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine.errors import DataError
from engine.training.datasets.base import Dataset, Split, file_names, positives, seen_first, shuffled
from engine.training.datasets.files import Expected, corrupt, home, locate, reading

UNSEEN_15 = (
    *("airplane", "train", "parking meter", "cat", "bear", "suitcase", "frisbee", "snowboard"),
    *("fork", "sandwich", "hot dog", "toilet", "mouse", "toaster", "hair drier"),
)
OFFICIAL = "cocodataset.org/#download"


def _edition(year: int) -> dict[str, Expected]:
    return {
        **{s: Expected((f"annotations/instances_{s}{year}.json",), OFFICIAL) for s in ("train", "val")},
        **{f"{s} photos": Expected((f"{s}{year}", f"images/{s}{year}"), OFFICIAL) for s in ("train", "val")},
    }


class Instances(NamedTuple):
    """What an instances file says, less the outlines."""

    path: Path
    photos: dict[int, str]  # names by identifier
    classes: dict[int, str]
    objects: set[tuple[int, int]]  # (photo, class)


def coco(data: Path, unseen: Sequence[str] = UNSEEN_15, seed: int = 0) -> Dataset:
    """The data set below `data`: the official training photos train, less a tenth, drawn by the seed, that validates.

    The official validation photos test, as is the custom. Training drops photos without a seen class.

    Raises:
        DataError: files are missing (all are named), one is damaged, or an unseen class is not in it.
    """
    folder = home(data, "coco", "COCO", "coco2017")
    year = 2014 if (folder / "annotations" / "instances_train2014.json").exists() else 2017
    path = locate("COCO", folder, _edition(year))
    annotated, tested = _read(path["train"]), _read(path["val"])
    if unknown := set(unseen) - set(annotated.classes.values()):
        raise DataError(f"{path['train']} has no class {', '.join(sorted(unknown))}", "Name unseen classes as it does")
    tags, seen_count = seen_first(annotated.classes.values(), unseen)
    train, validation = shuffled(_split(annotated, path["train photos"], tags), seed, 0.9)
    return Dataset(
        "coco",
        tags,
        seen_count,
        train=train.with_positives(slice(seen_count)),
        validation=validation,
        test=_split(tested, path["val photos"], tags),
    )


def _read(path: Path) -> Instances:
    with reading(path):
        text = path.read_text(encoding="utf-8")
    try:
        content = json.loads(text)
        return Instances(
            path,
            photos={photo["id"]: photo["file_name"] for photo in content["images"]},
            classes={category["id"]: category["name"] for category in content["categories"]},
            objects={(entry["image_id"], entry["category_id"]) for entry in content["annotations"]},
        )
    except json.JSONDecodeError as error:
        raise corrupt(path, error.lineno, f"not JSON, {error.msg}") from error
    except (KeyError, TypeError) as error:
        raise corrupt(path, None, f"not COCO's instances format, {error}") from error


def _split(instances: Instances, folder: Path, tags: Sequence[str]) -> Split:
    place = {tag: i for i, tag in enumerate(tags)}  # numbers of classes are the file's own
    column = {number: place[name] for number, name in instances.classes.items() if name in place}
    tagged: dict[int, list[int]] = {photo: [] for photo in instances.photos}
    try:
        for photo, category in instances.objects:
            tagged[photo].append(column[category])
    except KeyError as error:
        raise corrupt(instances.path, None, f"an object names the unknown photo or class {error}") from error
    return Split(folder, file_names(instances.photos.values()), positives(tagged.values(), len(tags)))
