"""Open Images v4: 9 million photos, 7,186 seen classes and 400 unseen ones, partly annotated by people.

Kuznetsova et al., "The Open Images Dataset V4", IJCV 2020, arXiv 1811.00982. Protocol: Narayan et al., ICCV 2021, arXiv
2108.09301. A label is 2·confidence − 1, labels of repeated rows are summed, and what nobody verified is unknown (0).
Training drops images with no positive seen class, or with more than 40; a metric leaves out test images without a
positive among the classes it measures.

    classes-trainable.txt           seen classes, an identifier (/m/…) a line
    unseen_labels.pkl               the other classes of the protocol, a pickled array of identifiers; or
    unseen_labels.txt               the same, one a line
    top_400_unseen.csv              which of those are unseen: their indices, from 0
    class-descriptions.csv          identifier, name
    <split>/<split>-annotations-human-imagelabels.csv    ImageID, Source, LabelName, Confidence
    <split>/<ImageID>.jpg           the photos; those not downloaded are left out

where <split> is train, validation and test. The lists may also be in `2018_04/`.
"""

import csv
import os
from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from engine.errors import DataError
from engine.training.datasets.base import Dataset, Split
from engine.training.datasets.files import Expected, corrupt, home, lines, locate, reading, unpickle

OFFICIAL = "storage.googleapis.com/openimages/2018_04"
BIAM = "github.com/akshitac8/BiAM, datasets/OpenImages/2018_04"
HEADER = "ImageID,Source,LabelName,Confidence"
LABEL = {b"0": -1, b"1": 1, b"0.0": -1, b"1.0": 1}
ID_LENGTH = 16
MOST_POSITIVES = 40


def _list(*names: str, source: str) -> Expected:
    return Expected((*names, *(f"2018_04/{name}" for name in names)), source)


def _labels(split: str) -> Expected:
    name = f"{split}-annotations-human-imagelabels.csv"
    return Expected((f"{split}/{name}", name, f"2018_04/{split}/{name}", f"2018_04/{name}"), OFFICIAL)


SPLITS = ("train", "validation", "test")
LISTS = {
    "seen": _list("classes-trainable.txt", source=OFFICIAL),
    "others": _list("unseen_labels.pkl", "unseen_labels.txt", source=BIAM),
    "unseen": _list("top_400_unseen.csv", source=BIAM),
    "names": _list("class-descriptions.csv", source=OFFICIAL),
}
FILES = {
    **LISTS,
    **{f"{split} labels": _labels(split) for split in SPLITS},
    **{f"{split} photos": Expected((split, f"images/{split}"), OFFICIAL) for split in SPLITS},
}


def open_images(data: Path) -> Dataset:
    """The data set below `data`. Reading the 28 million training labels takes less than a minute.

    Raises:
        DataError: files are missing (all are named), or one is damaged (with its line).
    """
    path = locate("Open Images", home(data, "OpenImages", "open-images", "openimages"), FILES)
    seen = lines(path["seen"])
    classes = [*seen, *_unseen(path["unseen"], path["others"])]
    name = _class_names(path["names"])
    column = {identifier.encode(): i for i, identifier in enumerate(classes)}
    train, validation, test = (_split(path[f"{split} labels"], path[f"{split} photos"], column) for split in SPLITS)
    return Dataset(
        "open-images",
        tuple(name.get(identifier, identifier) for identifier in classes),
        len(seen),
        train=train.with_positives(slice(len(seen)), at_most=MOST_POSITIVES),
        validation=validation,
        test=test,
        skip_untagged=True,
    )


def _unseen(path: Path, others_path: Path) -> list[str]:
    """Identifiers of the unseen classes, in the order of the file of indices."""
    if others_path.suffix == ".pkl":
        others = list(map(str, np.asarray(unpickle(others_path)).ravel().tolist()))
    else:
        others = lines(others_path)
    unseen = []
    for number, line in enumerate(lines(path), 1):
        if not line.isdecimal() or int(line) >= len(others):
            raise corrupt(path, number, f"expected an index below {len(others)}, found {line!r}")
        unseen.append(others[int(line)])
    return unseen


def _class_names(path: Path) -> dict[str, str]:
    names = {}
    for number, row in enumerate(csv.reader(lines(path)), 1):
        if len(row) != 2:
            raise corrupt(path, number, "expected an identifier and a name")
        names[row[0]] = row[1]
    return names


def _split(labels: Path, photos: Path, column: dict[bytes, int]) -> Split:
    identifiers, annotations = _annotations(labels, column)
    with reading(photos):
        files = [os.fsencode(entry.name) for entry in os.scandir(photos) if entry.name.endswith(".jpg")]
    on_disk = np.array([name[:-4] for name in files], dtype=np.bytes_)
    rows = np.flatnonzero(np.isin(identifiers, on_disk))
    if not len(rows):
        raise DataError(f"{photos} has none of the photos that {labels} is about", "Download them as <ImageID>.jpg")
    names: NDArray[np.bytes_] = np.char.add(identifiers[rows], b".jpg")
    return Split(photos, names, annotations[rows], complete=False)


def _annotations(path: Path, column: dict[bytes, int]) -> tuple[NDArray[np.bytes_], csr_array]:
    """Identifiers of the images, sorted [N], and their labels [N, C].

    Rows of one image usually stand together, so an image costs its sixteen letters and not an entry of a dictionary.
    """
    images = bytearray()
    runs, columns, values = array("i"), array("i"), array("b")
    previous, run = b"", -1
    with reading(path), path.open("rb") as file:
        if file.readline().strip() != HEADER.encode():
            raise corrupt(path, 1, f"expected the header {HEADER}")
        for number, line in enumerate(file, 2):
            fields = line.rstrip().split(b",")
            if len(fields) != 4 or fields[3] not in LABEL or len(fields[0]) != ID_LENGTH:
                raise corrupt(path, number, "expected an image of 16 letters, a source, a class, and 0 or 1")
            if fields[0] != previous:
                previous, run = fields[0], run + 1
                images += previous
            if fields[2] in column:
                runs.append(run)
                columns.append(column[fields[2]])
                values.append(LABEL[fields[3]])
    identifiers, row = np.unique(np.frombuffer(images, dtype=f"S{ID_LENGTH}"), return_inverse=True)
    entries = (np.asarray(values, np.int8), (row[np.asarray(runs, np.intp)], np.asarray(columns, np.int32)))
    annotations = coo_array(entries, shape=(len(identifiers), len(column))).tocsr()  # sums repeated rows
    annotations.data = np.sign(annotations.data)
    annotations.eliminate_zeros()
    return identifiers, annotations
