"""Thumbnails: small upright JPEGs in the library folder, named by the content of the photo they show.

They are derived: any of them can be deleted and is made again when it is asked for. JPEG, because at the same look it
is written ten times faster than WebP, which would take a quarter of the time of indexing. A comment in the file holds
the photo's miniature, by which copies are told (`engine.library.looks`), so that nobody has to decode it for that.
"""

import os
import tempfile
from io import BytesIO
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.library import looks

SIDE = 512  # pixels that the longer side of a thumbnail has at least, where the photo has them
SPARED = 640  # pixels of a longer side that is kept as it was decoded: resizing costs more than the few bytes do
QUALITY = 80
_PARTIAL = ".partial"
_BEGIN, _END = b"\xff\xd8\xff", b"\xff\xd9"  # of a JPEG


def thumbnail_path(folder: Path, content_hash: bytes) -> Path:
    """Where in the library `folder` the thumbnail of a photo with this content is kept."""
    name = content_hash.hex()
    return folder / "thumbnails" / name[:2] / f"{name}.jpg"


def make(image: Image.Image) -> bytes:
    """The thumbnail of an upright RGB image: a JPEG that is never enlarged."""
    if max(image.size) > SPARED:
        scale = SIDE / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BILINEAR)
    small = image.resize((looks.SIDE, looks.SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, comment=small.tobytes())
    return buffer.getvalue()


def miniature(thumbnail: bytes) -> NDArray[np.uint8]:
    """The photo squashed to a few pixels (16, 16, 3), as its thumbnail has it; zero for one that cannot be read."""
    try:
        with Image.open(BytesIO(thumbnail)) as image:
            kept = image.info.get("comment", b"")
            if len(kept) == prod(looks.SHAPE):
                return np.frombuffer(kept, np.uint8).reshape(looks.SHAPE)
            image.draft("RGB", (4 * looks.SIDE, 4 * looks.SIDE))  # a thumbnail from before they held one
            return np.asarray(image.convert("RGB").resize((looks.SIDE, looks.SIDE), Image.Resampling.BOX))
    except (OSError, SyntaxError):
        return np.zeros(looks.SHAPE, np.uint8)


def write(folder: Path, content_hash: bytes, data: bytes) -> None:
    """Keep a thumbnail. It is written beside and renamed into place, so that readers see a whole one or none."""
    path = thumbnail_path(folder, content_hash)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parents[1], suffix=_PARTIAL)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def read(folder: Path, content_hash: bytes) -> bytes | None:
    """A kept thumbnail, or None where it has to be made: also where a power failure left a file of zeros, or a part."""
    try:
        data = thumbnail_path(folder, content_hash).read_bytes()
    except OSError:
        return None
    return data if data.startswith(_BEGIN) and data.endswith(_END) else None


def remove(folder: Path, content_hash: bytes) -> None:
    """Delete the thumbnail of a content that has left the library."""
    thumbnail_path(folder, content_hash).unlink(missing_ok=True)


def clear_partial(folder: Path) -> None:
    """Delete what a killed process left half written in the library `folder`: thumbnails and indexes."""
    for place in (folder, folder / "thumbnails"):
        for left in place.glob(f"*{_PARTIAL}"):
            left.unlink(missing_ok=True)
