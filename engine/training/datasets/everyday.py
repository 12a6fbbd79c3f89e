"""Everyday: the mix of photo collections that the `lite` bundle learns from.

    corel5k/            see `corel5k`; all 5,000 photos with their tags
    flickr-captions/    captions.tsv: a file, a tab, a caption, several lines a photo; images/
    imagenet-1000/      classes.tsv: index, WordNet id, name, file; images/: a photo of each class, for the teacher
    coco-128/           objects.tsv: file, object, box; images/; segments.tsv and masks/, see `panoptic`

The words of the captions that occur with at least MIN_PHOTOS photos are tags too. Each photo is annotated for the tags
of its own collection only; the others are unknown. `unseen` names words kept from training, with their plurals, so that
anyone can search for something that no training tag ever named.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from engine.training.datasets.base import Dataset, Split, file_names
from engine.training.datasets.files import Expected, corrupt, lines, locate
from engine.training.datasets.panoptic import outlined
from engine.words.vectors import STOP_WORDS

UNSEEN = ("dog", "elephant", "giraffe", "pizza", "train", "zebra")
MIN_PHOTOS = 5
FILES = {
    f"{folder}/{name}": Expected(
        (f"{folder}/{name}",), "the collections that engine/training/datasets/everyday.py names"
    )
    for folder, names in {
        "corel5k": ("train.tsv", "test.tsv", "images"),
        "flickr-captions": ("captions.tsv", "images"),
        "imagenet-1000": ("classes.tsv", "images"),
        "coco-128": ("objects.tsv", "images", "segments.tsv", "masks"),
    }.items()
    for name in names
}
# Words of captions that name nothing one can point at.
UNTELLING = frozenset(
    """about above after alone area attached attempting before below certain different large small next nearby various
    upon two three four five six one several many other another others each both all some any something someone while
    through near next behind beside between around during across along against over front back top side close off
    out down away towards toward into onto very also just like there others can is not no getting going looks look
    looking taking making using wearing holding showing trying being having get one's it's""".split()  # noqa: SIM905
)


def everyday(data: Path, has_vector: Callable[[str], bool], unseen: Collection[str] = UNSEEN) -> Dataset:
    """The mix below `data`.

    Everything but `coco-128` is for training. Those photos are annotated for all of COCO's 80 objects, so they test,
    and confidence is fitted on them; objects that are no training tags are the unseen tags. Their outlines teach where
    things are; who wants to test on them, or to fit confidence, trains without `outlined`.

    Raises:
        DataError: files are missing (all are named) or one is damaged (with its line).
    """
    path = locate("The everyday mix", data, FILES)
    corel = {
        f"corel5k/images/{name}": set(tags.split(",")) - {""}
        for split in ("train", "test")
        for name, tags in _columns(path[f"corel5k/{split}.tsv"], 2)
    }
    captions: dict[str, set[str]] = {}
    for name, caption in _columns(path["flickr-captions/captions.tsv"], 2):
        captions.setdefault(f"flickr-captions/images/{name}", set()).update(re.findall(r"[a-z]+", caption.lower()))
    teacher = {f"imagenet-1000/images/{row[3]}": set[str]() for row in _columns(path["imagenet-1000/classes.tsv"], 4)}
    objects: dict[str, set[str]] = {f"coco-128/images/{file.name}": set() for file in path["coco-128/images"].iterdir()}
    for name, tag, *_ in _columns(path["coco-128/objects.tsv"], 6):
        objects.setdefault(f"coco-128/images/{name}", set()).add(tag)

    hidden = {form: word for word in unseen for form in (word, f"{word}s", f"{word}es")}
    telling = [word for word in _frequent(captions, MIN_PHOTOS) if _telling(word)]
    vocabularies = [
        [word for word in words if has_vector(word) and word not in hidden]
        for words in (_frequent(corel, 1), telling, [])
    ]
    seen = sorted({word for vocabulary in vocabularies for word in vocabulary})
    objects_known = sorted({tag for tags in objects.values() for tag in tags if has_vector(tag)})
    tags = (*seen, *(tag for tag in objects_known if tag not in set(seen)))

    parts = [
        _annotated(data, source, vocabulary, tags, hidden)
        for source, vocabulary in zip((corel, captions, teacher), vocabularies, strict=True)
    ]
    test = _annotated(data, dict(sorted(objects.items())), objects_known, tags, {})
    train = parts[0] + parts[1] + parts[2]
    outlines = outlined(data / "coco-128", has_vector, hidden)
    none = train.subset(slice(0, 0))
    return Dataset("everyday", tags, len(seen), train, none, test, calibration=test, outlined=outlines)


def _annotated(
    folder: Path,
    source: dict[str, set[str]],
    vocabulary: Sequence[str],
    tags: Sequence[str],
    hidden: Mapping[str, str],
) -> Split:
    """Photos whose tags are known to be all of those in `vocabulary` that they show; others are unknown.

    Forms of `hidden` words are noted under the word, for those who must know which photos show one.
    """
    column = {tag: i for i, tag in enumerate(tags)}
    known = set(vocabulary)
    labels = np.zeros((len(source), len(tags)), np.int8)
    labels[:, [column[word] for word in vocabulary]] = -1
    for row, found in enumerate(source.values()):
        labels[row, [column[word] for word in found & known]] = 1
        labels[row, [column[hidden[form]] for form in found & hidden.keys() if hidden[form] in column]] = 1
    return Split(folder, file_names(source), csr_array(labels), complete=False)


def _columns(path: Path, count: int) -> list[list[str]]:
    rows = [line.split("\t", count - 1) for line in lines(path)]
    for number, row in enumerate(rows, 1):
        if len(row) != count:
            raise corrupt(path, number, f"expected {count} columns")
    return rows


def _frequent(source: dict[str, set[str]], minimum: int) -> list[str]:
    count = Counter(word for words in source.values() for word in words)
    return sorted(word for word, photos in count.items() if photos >= minimum)


def _telling(word: str) -> bool:
    return len(word) > 2 and word not in STOP_WORDS and word not in UNTELLING
