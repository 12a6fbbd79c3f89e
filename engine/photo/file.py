"""Reads a file once, and says what became of one that cannot be used."""

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import BinaryIO

from engine.errors import PhotoError
from engine.library.records import FileStamp

MAX_BYTES = 1 << 29


class UnreadablePhoto(PhotoError):
    """A photo that cannot be used; `reason` says why in a few words, without the path."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = " ".join(reason.split())
        super().__init__(f"Cannot read {path}: {self.reason}")

    def __reduce__(self) -> tuple[type["UnreadablePhoto"], tuple[str, str]]:
        return type(self), (self.path, self.reason)


class NotAPhoto(UnreadablePhoto):
    """Data that is no image, or an image of a kind that is not read."""


class UnreadFile(UnreadablePhoto):
    """A file that could not be read at all, which says nothing about its content: another time it may be."""


@dataclass(frozen=True)
class PhotoFile:
    """The bytes of a file, and what identifies them. `content_hash` is 16 bytes of BLAKE2b."""

    path: str
    data: bytes
    stamp: FileStamp
    content_hash: bytes


def open_file(path: str) -> BinaryIO:
    """Open a plain file for reading; raises OSError for anything else, such as a pipe, which would be waited for."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a plain file")
    return file


def read_file(path: str) -> PhotoFile:
    """Read a file once; raises UnreadFile if that fails or it changes meanwhile, UnreadablePhoto if it is too large."""
    try:
        with open_file(path) as file:
            before = FileStamp.of(os.fstat(file.fileno()))
            if before.size > MAX_BYTES:
                raise UnreadablePhoto(path, f"{before.size:,} bytes, more than {MAX_BYTES:,}")
            data = file.read()
            after = FileStamp.of(os.fstat(file.fileno()))
    except OSError as error:
        raise UnreadFile(path, (error.strerror or str(error)).lower()) from None
    if before != after or len(data) != after.size:
        raise UnreadFile(path, "changed while it was being read")
    return PhotoFile(path, data, after, hashlib.blake2b(data, digest_size=16).digest())
