"""What the library is asked for and given: photos, failures, batches of changes."""

import os
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.library.region_map import RegionMap


@dataclass(frozen=True)
class LibraryInfo:
    """Which bundle a library belongs to, and how many batches it has seen."""

    bundle: str
    fingerprint: str
    generation: int
    created_at: datetime
    updated_at: datetime


class FileStamp(NamedTuple):
    """What tells that a file has not changed: size in bytes and time of modification."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileStamp":
        """What the file system says of a file, within what a database holds: a disk with a broken clock may say any."""
        return cls(status.st_size, max(-(1 << 63), min(status.st_mtime_ns, (1 << 63) - 1)))


@dataclass(frozen=True)
class Metadata:
    """What a photo says of itself, in its own file or in a sidecar beside it; None where it says nothing."""

    taken_at: datetime | None = None
    taken_offset: int | None = None  # minutes east of UTC where it was taken
    taken_from: str | None = None  # where `taken_at` is from: exif, xmp, or file, which is when the file was written
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None  # degrees north
    longitude: float | None = None  # degrees east
    rating: int | None = None  # -1 rejected, 0 none, 1…5 stars
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Companion:
    """A file that belongs to a photo and is not shown by itself. `kind` is raw, video or sidecar."""

    path: str
    kind: str
    stamp: FileStamp


class Photo(NamedTuple):  # made for each hit, which a frozen dataclass takes longer for than SQLite does to find it
    """A photo in the library. Width and height are upright pixels; the rest is as in `Metadata`."""

    id: int
    path: str
    width: int
    height: int
    format: str
    taken_at: datetime | None
    camera: str | None
    stamp: FileStamp
    content_hash: bytes
    added_at: datetime
    taken_offset: int | None = None
    taken_from: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    rating: int | None = None
    warning: str | None = None  # what is wrong with a file that could be read in part
    missing_since: datetime | None = None  # kept although the file is gone

    @property
    def folder(self) -> str:
        """The folder that holds the photo."""
        return os.path.dirname(self.path)  # noqa: PTH120  (paths may hold bytes that are not UTF-8)


@dataclass(frozen=True)
class NewPhoto:
    """A photo as the indexer hands it over: what was read of the file, and its region map and class scores."""

    path: str
    stamp: FileStamp
    content_hash: bytes
    width: int
    height: int
    format: str
    metadata: Metadata
    region_map: RegionMap
    class_scores: NDArray[np.float16]
    warning: str | None = None
    companions: tuple[Companion, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A file that could not be read, and why."""

    path: str
    stamp: FileStamp
    reason: str
    failed_at: datetime | None = None


@dataclass
class Batch:
    """Changes that belong together; dictionaries are keyed by photo id.

    A photo that is updated, moved or touched is no longer missing.
    """

    added: list[NewPhoto] = field(default_factory=list)
    updated: dict[int, NewPhoto] = field(default_factory=dict)
    moved: dict[int, tuple[str, FileStamp]] = field(default_factory=dict)
    touched: dict[int, FileStamp] = field(default_factory=dict)  # same content, other time
    described: dict[int, Metadata] = field(default_factory=dict)  # the same photo says something else of itself
    companions: dict[int, tuple[Companion, ...]] = field(default_factory=dict)  # in place of those it had
    missing: list[int] = field(default_factory=list)  # kept although the file is gone
    removed: list[int] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    healed: list[str] = field(default_factory=list)  # paths of failures to forget

    def __len__(self) -> int:
        return sum(len(getattr(self, part.name)) for part in fields(self))


@dataclass(frozen=True)
class KnownFile:
    """What the library knows of a file; one that is `missing` was gone when it was last looked for."""

    id: int
    path: str
    stamp: FileStamp
    content_hash: bytes
    missing: bool = False
