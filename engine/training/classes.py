"""Label vectors of tags, and of the classes of ImageNet-1k, which are known by several names."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.errors import UnknownWord
from engine.library.region_map import Array
from engine.words.vectors import WordVectors, unit


def imagenet_names() -> list[list[str]]:
    """The WordNet lemmas of each of the 1,000 classes, the commonest first, as timm carries them."""
    from timm.data.imagenet_info import ImageNetInfo

    info: Any = ImageNetInfo("imagenet-1k")
    return [info.index_to_description(index).split(", ") for index in range(info.num_classes())]


def class_vectors(names: list[list[str]], vector: Callable[[str], Array], dim: int) -> Array:
    """Label vectors (K, d): the mean over the names of a class that have one; zero for a class without any."""
    return np.stack(
        [_mean([found for name in lemmas if (found := _known(name, vector)) is not None], dim) for lemmas in names]
    )


def label_vectors(tags: Sequence[str], words: WordVectors) -> Array:
    """Unit vectors (C, d) of tags: of a tag that is not known as a whole the mean of its known words, else zero."""
    return np.stack(
        [
            words.vector(tag) if words.knows(tag) else class_vectors([tag.split()], words.vector, words.dim)[0]
            for tag in tags
        ]
    )


def _known(name: str, vector: Callable[[str], Array]) -> Array | None:
    try:
        return vector(name)
    except UnknownWord:
        return None


def _mean(vectors: list[Array], dim: int) -> Array:
    return unit(np.mean(vectors, axis=0, dtype=np.float32)) if vectors else np.zeros(dim, np.float32)
