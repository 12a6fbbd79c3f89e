"""Folders → files that may be photos, and what became of them since the library last looked."""

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import NamedTuple

from engine.errors import UnseenError
from engine.library.database import DATABASE
from engine.library.records import Failure, FileStamp, KnownFile
from engine.photo import SUFFIXES

SKIPPED = frozenset(("@eaDir", "node_modules"))  # thumbnails of a Synology NAS, parts of programs
UNREAD = FileStamp(-1, -1)  # of what could not be read at all: no file has it, so it is tried again each time


class FoundFile(NamedTuple):
    """A file that may be a photo."""

    path: str
    stamp: FileStamp


@dataclass(frozen=True)
class Scan:
    """What is in the folders: files by path, and places that could not be looked into."""

    roots: list[str]
    files: list[FoundFile]
    unreadable: list[Failure]


@dataclass
class Plan:
    """What there is to do. `vanished` includes files that have moved; only their content will tell."""

    new: list[FoundFile] = field(default_factory=list)
    changed: list[tuple[FoundFile, KnownFile]] = field(default_factory=list)
    vanished: list[KnownFile] = field(default_factory=list)
    unchanged: int = 0
    still_failing: list[Failure] = field(default_factory=list)  # not changed since, so not tried again
    unreadable: list[Failure] = field(default_factory=list)
    healed: list[str] = field(default_factory=list)  # failures whose file is gone

    @property
    def to_read(self) -> list[tuple[FoundFile, KnownFile | None]]:
        """Files to read, by path, with what the library knows of them."""
        return sorted([*((file, None) for file in self.new), *self.changed], key=lambda item: os.fsencode(item[0].path))


def scan(folders: Sequence[str | os.PathLike[str]], exclude: Sequence[str] = ()) -> Scan:
    """Find the files below `folders` whose names say that they are photos, each of them once.

    Hidden files and folders, and those matching a glob of `exclude` by name or by path below the folder, are left out.
    Links to folders are followed, after the folders themselves, unless they lead where the scan has been. Paths are
    absolute but not resolved: a photo is known by the path that its owner uses. Raises UnseenError for a folder that is
    missing or cannot be read.
    """
    walk = _Walk(exclude)
    roots = sorted({_root(folder) for folder in folders}, key=os.fsencode)
    for root in roots:
        walk.folder(root, root)
    walk.links()
    files = sorted(walk.files, key=lambda file: os.fsencode(file.path))
    return Scan(roots, files, walk.unreadable)


def compare(found: Scan, known: Iterable[KnownFile], failed: Iterable[Failure], *, retry_failed: bool = False) -> Plan:
    """What changed between the library, as `known` and `failed` of the scanned folders, and what was found."""
    plan = Plan(unreadable=found.unreadable)
    library = {file.path: file for file in known}
    failures = {failure.path: failure for failure in failed}
    for file in found.files:
        before, failure = library.pop(file.path, None), failures.pop(file.path, None)
        if before is not None and before.stamp == file.stamp:
            plan.unchanged += 1
        elif before is not None:
            plan.changed.append((file, before))
        elif failure is not None and failure.stamp == file.stamp and not retry_failed:
            plan.still_failing.append(failure)
        else:
            plan.new.append(file)
    unseen = tuple(f"{place.path.rstrip('/')}/" for place in found.unreadable)
    plan.vanished = [file for path, file in library.items() if not path.startswith(unseen)]
    unreadable = {place.path for place in found.unreadable}
    plan.healed = [path for path in failures if path not in unreadable and not path.startswith(unseen)]
    return plan


def within(path: str, folders: Iterable[str]) -> bool:
    """Whether `path` is one of the folders or below one."""
    return any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in folders)


def _root(folder: str | os.PathLike[str]) -> str:
    path = os.path.abspath(folder)  # noqa: PTH100  (paths may hold bytes that are not UTF-8)
    try:
        os.scandir(path).close()
    except FileNotFoundError:
        raise UnseenError(f"There is no folder {path}", "Check the spelling, and that its disk is connected") from None
    except NotADirectoryError:
        raise UnseenError(f"{path} is not a folder", "Name the folder that holds the photos") from None
    except OSError as error:
        raise UnseenError(f"Cannot read the folder {path}: {error.strerror}", "Check its permissions") from None
    return path


class _Walk:
    """One scan in the making."""

    def __init__(self, exclude: Sequence[str]) -> None:
        self.files: list[FoundFile] = []
        self.unreadable: list[Failure] = []
        self._exclude = [glob.rstrip("/") for glob in exclude]
        self._been: set[tuple[int, int]] = set()  # devices and inodes of folders
        self._links: list[tuple[str, str]] = []

    def folder(self, root: str, top: str) -> None:
        """Look through everything below `top`, which lies in `root`."""
        waiting = [top]
        while waiting:
            path = waiting.pop()
            try:
                status = os.stat(path)  # noqa: PTH116
                if (status.st_dev, status.st_ino) in self._been:
                    continue
                self._been.add((status.st_dev, status.st_ino))
                with os.scandir(path) as listing:
                    entries = list(listing)
            except OSError as error:
                self._cannot_read(path, error)
                continue
            of_library = any(entry.name == DATABASE for entry in entries)
            for entry in entries:
                if self._skips(root, entry) or (of_library and entry.name == "thumbnails"):
                    continue
                self._take(root, entry, waiting)

    def links(self) -> None:
        """Follow the links to folders that were met, and those met on the way."""
        while self._links:
            self._links.sort(key=lambda link: os.fsencode(link[1]), reverse=True)
            self.folder(*self._links.pop())

    def _take(self, root: str, entry: os.DirEntry[str], waiting: list[str]) -> None:
        photo = os.path.splitext(entry.name)[1].lower() in SUFFIXES  # noqa: PTH122
        try:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif entry.is_symlink() and entry.is_dir():
                self._links.append((root, entry.path))
            elif photo:
                status = entry.stat()
                if stat.S_ISREG(status.st_mode):
                    self.files.append(FoundFile(entry.path, FileStamp(status.st_size, status.st_mtime_ns)))
        except OSError as error:
            if photo:
                self._cannot_read(entry.path, error)

    def _skips(self, root: str, entry: os.DirEntry[str]) -> bool:
        if entry.name.startswith(".") or entry.name in SKIPPED:
            return True
        if not self._exclude:
            return False
        below = os.path.relpath(entry.path, root)
        return any(fnmatch(entry.name, glob) or fnmatch(below, glob) for glob in self._exclude)

    def _cannot_read(self, path: str, error: OSError) -> None:
        self.unreadable.append(Failure(path, UNREAD, (error.strerror or str(error)).lower()))
