"""One photo file → everything that indexing needs of it, from one reading and one decoding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.library import thumbnails
from engine.library.records import Metadata
from engine.photo import open_picture, squash


@dataclass(frozen=True)
class Decoded:
    """A photo, ready for the encoder. Width and height are those of the whole upright photo."""

    pixels: NDArray[np.uint8]  # (S, S, 3), upright, squashed to the model's square
    thumbnail: bytes
    width: int
    height: int
    format: str
    metadata: Metadata
    warning: str | None


def decode(data: bytes, path: str, size: int, sidecar: bytes | None = None) -> Decoded:
    """Decode a photo for a model that looks at `size` × `size` pixels; raises UnreadablePhoto."""
    picture = open_picture(data, path, square=size, sidecar=sidecar)
    return Decoded(
        squash(picture.image, size),
        thumbnails.make(picture.image),
        picture.width,
        picture.height,
        picture.format,
        picture.metadata,
        picture.warning,
    )
