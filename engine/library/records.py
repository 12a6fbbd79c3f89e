"""What the library is asked for and given: photos, failures, batches of changes."""

import os
from dataclasses import dataclass, field
from datetime import datetime

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


@dataclass(frozen=True)
class FileStamp:
    """What tells that a file has not changed: size in bytes and time of modification."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Photo:
    """A photo in the library. Width and height are upright pixels."""

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
    taken_at: datetime | None
    camera: str | None
    region_map: RegionMap
    class_scores: NDArray[np.float16]


@dataclass(frozen=True)
class Failure:
    """A file that could not be read, and why."""

    path: str
    stamp: FileStamp
    reason: str
    failed_at: datetime | None = None


@dataclass
class Batch:
    """Changes that belong together. `updated` and `moved` are keyed by photo id."""

    added: list[NewPhoto] = field(default_factory=list)
    updated: dict[int, NewPhoto] = field(default_factory=dict)
    moved: dict[int, tuple[str, FileStamp]] = field(default_factory=dict)
    touched: dict[int, FileStamp] = field(default_factory=dict)  # same content, other time
    removed: list[int] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    healed: list[str] = field(default_factory=list)  # paths of failures to forget

    def __len__(self) -> int:
        return sum(
            len(part)
            for part in (self.added, self.updated, self.moved, self.touched, self.removed, self.failed, self.healed)
        )


@dataclass(frozen=True)
class KnownFile:
    """What the library knows of a file."""

    id: int
    path: str
    stamp: FileStamp
    content_hash: bytes
