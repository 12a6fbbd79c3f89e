"""NUS-WIDE: 269,648 Flickr photos, 925 seen user tags and 81 unseen concepts with human labels.

Chua et al., "NUS-WIDE: A Real-World Web Image Database from National University of Singapore", CIVR 2009. Protocol:
Narayan et al., ICCV 2021, arXiv 2108.09301. Seen are the 1,000 most frequent tags less the 81 concepts; the first 80 %
of the training list train, the rest validates; training drops photos without a seen tag; testing drops none.

Either of two layouts will do. The official archive, unpacked (the folders `Groundtruth/` and `NUS-WIDE/` may be there
or not):

    NUS_WID_Tags/TagList1k.txt      the tags, one a line
    NUS_WID_Tags/AllTags1k.txt      a line for each photo: 1,000 digits, 0 or 1
    ConceptsList/Concepts81.txt     the concepts, one a line
    AllLabels/Labels_<concept>.txt  a line for each photo: 0 or 1
    ImageList/Imagelist.txt         photos, in the order of the labels; TrainImagelist.txt, TestImagelist.txt: the split
    Flickr/                         the photos

Or features of the BiAM release: both lists of tags, `features/nus_wide_train.h5`, `features/nus_wide_test.h5`,
`img_names.pkl` and `test_img_names.pkl`; see `features.py`.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, hstack

from engine.training.datasets.base import Dataset, Split, file_names, positives, seen_first
from engine.training.datasets.features import FeatureFile
from engine.training.datasets.files import Expected, corrupt, home, lines, locate, reading, unpickle

OFFICIAL = "lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html"
BIAM = "github.com/akshitac8/BiAM"
TAGS = {
    "tags": Expected(("NUS_WID_Tags/TagList1k.txt", "TagList1k.txt"), OFFICIAL),
    "concepts": Expected(("ConceptsList/Concepts81.txt", "NUS_WID_Tags/Concepts81.txt", "Concepts81.txt"), OFFICIAL),
}
PHOTOS = {
    "tagged": Expected(("NUS_WID_Tags/AllTags1k.txt", "AllTags1k.txt"), OFFICIAL),
    "labels": Expected(("AllLabels", "Groundtruth/AllLabels"), OFFICIAL),
    "images": Expected(("ImageList/Imagelist.txt", "ImageList/ImageList.txt", "Imagelist.txt"), OFFICIAL),
    "train": Expected(("ImageList/TrainImagelist.txt", "TrainImagelist.txt"), OFFICIAL),
    "test": Expected(("ImageList/TestImagelist.txt", "TestImagelist.txt"), OFFICIAL),
    "folder": Expected(("Flickr", "images"), OFFICIAL),
}
FEATURES = {
    "train": Expected(("features/nus_wide_train.h5",), BIAM),
    "test": Expected(("features/nus_wide_test.h5",), BIAM),
    "train names": Expected(("img_names.pkl", "features/img_names.pkl"), BIAM),
    "test names": Expected(("test_img_names.pkl", "features/test_img_names.pkl"), BIAM),
}


def nus_wide(data: Path) -> Dataset:
    """The data set below `data`, from features where `features/` is there and from photos otherwise.

    Raises:
        DataError: files are missing (all are named), or one is damaged (with its line).
    """
    folder = home(data, "NUS-WIDE", "nus-wide", "NUS_WIDE")
    read = _from_features if (folder / "features").is_dir() else _from_photos
    tags, seen_count, train, test = read(folder)
    cut = len(train) * 8 // 10
    return Dataset(
        "nus-wide",
        tags,
        seen_count,
        train=train.subset(slice(cut)).with_positives(slice(seen_count)),
        validation=train.subset(slice(cut, None)),
        test=test,
    )


def _from_photos(folder: Path) -> tuple[tuple[str, ...], int, Split, Split]:
    path = locate("NUS-WIDE", folder, TAGS | PHOTOS)
    all_tags, concepts = lines(path["tags"]), lines(path["concepts"])
    names = _photo_list(path["images"])
    seen = np.flatnonzero(~np.isin(all_tags, concepts))
    tagged = _tagged(path["tagged"], len(names), len(all_tags))[:, seen]
    labelled = _labelled(path["labels"], concepts, len(names))
    photos = Split(path["folder"], file_names(names), hstack([tagged, labelled], format="csr"))
    row = {name: i for i, name in enumerate(names)}
    train, test = (photos.subset(_rows(path[split], row)) for split in ("train", "test"))
    return (*(all_tags[i] for i in seen), *concepts), len(seen), train, test


def _photo_list(path: Path) -> list[str]:
    return [line.replace("\\", "/") for line in lines(path)]


def _rows(path: Path, row: dict[str, int]) -> NDArray[np.intp]:
    names = _photo_list(path)
    for number, name in enumerate(names, 1):
        if name not in row:
            raise corrupt(path, number, f"{name} is not in the list of all photos")
    return np.array([row[name] for name in names], dtype=np.intp)


def _tagged(path: Path, photo_count: int, tag_count: int) -> csr_array:
    """User tags [N, 1000]."""
    with reading(path), path.open("rb") as file:  # half a gigabyte of text, so a line at a time
        annotations = positives(
            (_ones(path, line, tag_count, number) for number, line in enumerate(file, 1)), tag_count
        )
    if annotations.shape[0] != photo_count:
        raise corrupt(path, None, f"{annotations.shape[0]} lines for {photo_count} photos")
    return annotations


def _labelled(folder: Path, concepts: list[str], photo_count: int) -> csc_array:
    """Human labels [N, 81], a file a concept."""
    source = {concept: Expected((f"Labels_{concept}.txt",), OFFICIAL) for concept in concepts}
    paths = locate("NUS-WIDE", folder, source).values()
    return positives((_ones(path, _bytes(path), photo_count) for path in paths), photo_count).T


def _bytes(path: Path) -> bytes:
    with reading(path):
        return path.read_bytes()


def _ones(path: Path, text: bytes, count: int, line: int | None = None) -> list[int]:
    """Where the ones are among the digits of the text, which must all be 0 or 1."""
    digits = np.frombuffer(text.translate(None, b" \t\r\n"), dtype=np.uint8) - ord("0")
    if len(digits) != count or digits.max(initial=0) > 1:
        raise corrupt(path, line, f"expected {count} times 0 or 1, found {len(digits)} characters")
    ones: list[int] = np.flatnonzero(digits).tolist()
    return ones


def _from_features(folder: Path) -> tuple[tuple[str, ...], int, Split, Split]:
    path = locate("NUS-WIDE", folder, TAGS | FEATURES)
    concepts = lines(path["concepts"])
    seen, seen_count = seen_first(lines(path["tags"]), concepts)
    tags = (*seen[:seen_count], *concepts)

    def split(name: str) -> Split:
        file = FeatureFile(path[name])
        names = file_names(_pickled_names(path[f"{name} names"]))
        annotations = positives(file.positives(names, seen_count, len(concepts)), len(tags))
        return Split(path[name].parent, names, annotations, feature_file=file)

    return tags, seen_count, split("train"), split("test")


def _pickled_names(path: Path) -> list[str]:
    """Names of the images in the order of the protocol: `{"img_names": [...]}`."""
    content = unpickle(path)
    names = content.get("img_names") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise corrupt(path, None, "expected a dictionary with a list of names under img_names")
    return names
