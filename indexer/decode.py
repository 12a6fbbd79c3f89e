"""One photo file → everything that indexing needs of it, from one reading and one decoding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.library import thumbnails
from engine.library.records import FileStamp, Metadata
from engine.photo import PhotoFile, open_picture, squash


@dataclass(frozen=True)
class Decoded:
    """A photo, ready for the encoder. Width and height are those of the whole upright photo."""

    path: str
    stamp: FileStamp
    content_hash: bytes
    pixels: NDArray[np.uint8]  # (S, S, 3), upright, squashed to the model's square
    thumbnail: bytes
    width: int
    height: int
    format: str
    metadata: Metadata
    warning: str | None


def decode(file: PhotoFile, size: int) -> Decoded:
    """Decode a photo for a model that looks at `size` × `size` pixels; raises UnreadablePhoto."""
    picture = open_picture(file.data, file.path, square=size)
    return Decoded(
        file.path,
        file.stamp,
        file.content_hash,
        squash(picture.image, size),
        thumbnails.make(picture.image),
        picture.width,
        picture.height,
        picture.format,
        picture.metadata,
        picture.warning,
    )
