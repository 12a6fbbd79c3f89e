"""Corel5k-ZSL: 5,000 photos, the tags with at least 20 photos and a word vector, 40 of them unseen.

Photos and tags: Duygulu et al., "Object Recognition as Machine Translation", ECCV 2002. For a seed, with NumPy's
`default_rng(seed)`: photos in the order of `train.tsv`, then `test.tsv`, are permuted, the first 3,500 train and the
last 1,500 test; then the tags, in the order of `words.txt`, are permuted and the first 40 are unseen. There is no
validation set: which training photos select a model is the trainer's choice. Report the mean of seeds 0, 1, 2.

    train.tsv, test.tsv     a photo a line: its file, a tab, tags separated by commas
    words.txt               all tags, one a line
    images/                 the photos
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.errors import DataError
from engine.training.datasets.base import Dataset, Split, file_names, positives, seen_first
from engine.training.datasets.files import Expected, corrupt, home, lines, locate

SOURCE = "the Corel5k collection, in the form that engine/training/datasets/corel5k.py describes"
FILES = {
    "words": Expected(("words.txt",), SOURCE),
    "train": Expected(("train.tsv",), SOURCE),
    "test": Expected(("test.tsv",), SOURCE),
    "images": Expected(("images",), SOURCE),
}
MIN_PHOTOS = 20


def corel5k(data: Path, seed: int, has_vector: Callable[[str], bool], unseen_count: int = 40) -> Dataset:
    """The benchmark below `data` for a seed; `has_vector` says whether a tag is in the vocabulary of word vectors.

    Raises:
        DataError: files are missing (all are named), one is damaged (with its line), or too few tags remain.
    """
    path = locate("Corel5k", home(data, "corel5k", "Corel5k", "Corel5K"), FILES)
    words = lines(path["words"])
    photos = [photo for split in ("train", "test") for photo in _photos(path[split], set(words))]
    count = Counter(tag for _, tags in photos for tag in tags)
    usable = [word for word in words if count[word] >= MIN_PHOTOS and has_vector(word)]
    if len(usable) <= unseen_count:
        problem = f"{path['words']} leaves {len(usable)} tags with {MIN_PHOTOS} photos and a word vector"
        raise DataError(problem, f"More than the {unseen_count} unseen ones are needed: use other word vectors")

    rng = np.random.default_rng(seed)
    order = rng.permutation(len(photos))
    unseen = [usable[i] for i in rng.permutation(len(usable))[:unseen_count]]

    tags, seen_count = seen_first(usable, unseen)
    column = {tag: i for i, tag in enumerate(tags)}
    tagged = ([column[tag] for tag in photo_tags if tag in column] for _, photo_tags in photos)
    everything = Split(path["images"], file_names(name for name, _ in photos), positives(tagged, len(tags)))
    cut = len(photos) * 7 // 10
    return Dataset(
        "corel5k",
        tags,
        seen_count,
        train=everything.subset(order[:cut]),
        validation=everything.subset(order[:0]),
        test=everything.subset(order[cut:]),
    )


def _photos(path: Path, words: set[str]) -> list[tuple[str, set[str]]]:
    photos = []
    for number, line in enumerate(lines(path), 1):
        name, _, text = line.partition("\t")
        tags = {tag.strip() for tag in text.split(",")} - {""}
        if not name:
            raise corrupt(path, number, "expected a file, a tab and tags")
        if unknown := tags - words:
            raise corrupt(path, number, f"{', '.join(sorted(unknown))} is not in words.txt")
        photos.append((name, tags))
    return photos
