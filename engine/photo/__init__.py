"""A photo file: its bytes read once, its pixels upright and no larger than needed, what it says of itself.

Everything that looks at a photo comes through here, so indexing, thumbnails and a query by image see the same pixels.
Files are opened read-only. A file that cannot be used is an `UnreadablePhoto` that says why.
"""

from engine.photo.file import NotAPhoto, PhotoFile, UnreadablePhoto, UnreadFile, read_file
from engine.photo.formats import RAW_SUFFIXES, SUFFIXES
from engine.photo.picture import Picture, load_square, load_upright, open_picture
from engine.photo.pixels import squash

__all__ = [
    "RAW_SUFFIXES",
    "SUFFIXES",
    "NotAPhoto",
    "PhotoFile",
    "Picture",
    "UnreadFile",
    "UnreadablePhoto",
    "load_square",
    "load_upright",
    "open_picture",
    "read_file",
    "squash",
]
