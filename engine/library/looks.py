"""How photos look: a miniature of each, of 16×16 pixels, which tells resized and re-encoded copies from other photos.

Two photos are compared by the correlation of their miniatures over pixels and colours, each colour less its mean. What
a copy is changed by (its size, its compression, a little brightness or contrast) hardly moves that; what it shows does.
A photo of nearly one colour looks like nothing, and is like no other.

Of each miniature a key of 32 numbers is kept, whose inner products are never less than the correlations: for each of
4×4 blocks, the mean brightness and the length of what that leaves out. So few pairs have to be compared in full.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]

SIDE = 16  # pixels
SHAPE = (SIDE, SIDE, 3)
BLOCKS = 4  # a side
KEY = 2 * BLOCKS**2
FLAT = 8.0  # standard deviation, of 255 levels, below which a photo is taken to be of one colour
ALIKE = 0.98  # correlation from which on a photo is a copy
ROUNDED = 2e-3  # what half precision may take from the inner product of two keys
ARRAYS = ("miniatures", "keys")


@dataclass(frozen=True)
class Looks:
    """Miniatures (N, 16, 16, 3) and keys (N, 32) of N photos; both are zero where a photo looks like nothing."""

    miniatures: Pixels
    keys: NDArray[np.float16]

    @classmethod
    def of(cls, miniatures: Pixels) -> "Looks":
        """The looks of photos, given their miniatures."""
        vectors = units(miniatures).reshape(-1, *SHAPE)
        size = SIDE // BLOCKS
        blocks = vectors.reshape(-1, BLOCKS, size, BLOCKS, size, 3).transpose(0, 1, 3, 2, 4, 5)
        blocks = blocks.reshape(len(vectors), BLOCKS**2, size**2 * 3)
        means = blocks.sum(axis=2) / np.float32(np.sqrt(blocks.shape[2]))
        rests = np.sqrt(np.maximum(np.square(blocks).sum(axis=2) - np.square(means), 0))
        return cls(miniatures, np.concatenate([means, rests], axis=1).astype(np.float16))


def units(miniatures: Pixels) -> Array:
    """Miniatures as unit vectors (N, 768) whose inner products are correlations; zero for those of one colour."""
    pixels = miniatures.reshape(len(miniatures), SIDE**2, 3).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    vectors = pixels.reshape(len(miniatures), SIDE**2 * 3)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[lengths[:, 0] < FLAT * np.sqrt(vectors.shape[1])] = 0
    return vectors / np.maximum(lengths, 1e-6)  # type: ignore[no-any-return]


def read(folder: Path, content_hashes: Sequence[bytes]) -> Pixels:
    """Miniatures (N, 16, 16, 3) of photos with these contents, which their thumbnails in a library's folder hold.

    They are zero where there is no thumbnail.
    """
    from engine.library import thumbnails

    miniatures = np.zeros((len(content_hashes), *SHAPE), np.uint8)
    for miniature, content_hash in zip(miniatures, content_hashes, strict=True):
        thumbnail = thumbnails.read(folder, content_hash)
        if thumbnail is not None:
            miniature[:] = thumbnails.miniature(thumbnail)
    return miniatures
