"""Folders → the photos in them with the files that belong to each, kept in a temporary database and not in memory."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.errors import UnseenError
from engine.library.database import DATABASE
from engine.library.records import Companion, Failure, FileStamp
from engine.paths import within
from indexer.ignore import IGNORE_FILE, Rule, ignored, rules_of_file
from indexer.ledger import UNREAD, Ledger
from indexer.pairs import concerns, pair


class FoundFile(NamedTuple):
    """A file that may be a photo, and the files that belong to it."""

    path: str
    stamp: FileStamp
    companions: tuple[Companion, ...] = ()


class Scan:
    """What is in the folders: files by path, places that could not be looked into, folders that hold nothing at all.

    A folder without a single entry may be a mount point whose disk is not there: `empty` are those that people named,
    `empty_below` those in them.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self.roots = list(roots)
        self.unreadable: list[Failure] = []
        self.empty: list[str] = []
        self.empty_below: list[str] = []
        self.ledger = Ledger()

    def __len__(self) -> int:
        return self.ledger.found

    def __iter__(self) -> Iterator[FoundFile]:
        return (FoundFile(*row) for row in self.ledger.found_files())


def scan(
    folders: Sequence[str | os.PathLike[str]],
    exclude: Sequence[str] = (),
    *,
    missing_is_empty: bool = False,
    inside: Sequence[str] = (),
    heard: Callable[[int], None] = lambda found: None,
) -> Scan:
    """Find the files below `folders` whose names say that they are photos, each of them once.

    Left out are hidden files and folders, those that match a glob of `exclude` or of a `.unseenignore` file by name or
    by path below the folder, and what programs and disks keep for themselves. Links to folders are followed, after the
    folders themselves, unless they lead where the scan has been. Paths are absolute but not resolved: a photo is known
    by the path that its owner uses. `heard` is told how many were found so far.

    A folder below one of `inside` is looked at as a part of that: what its rules leave out is left out.

    A folder that is missing is noted as unreadable where others can be looked into, and taken for an empty one with
    `missing_is_empty`. Raises UnseenError where none can be looked into.
    """
    if any(os.fspath(folder) == "" for folder in folders):
        raise UnseenError("The name of a folder is empty", "Perhaps a variable of the shell is not set")
    roots = sorted({os.path.abspath(folder) for folder in folders}, key=os.fsencode)  # noqa: PTH100
    found = Scan(roots)
    walk = _Walk(found, inside or roots, heard)
    errors = {root: error for root in roots if (error := _error_of(root)) is not None}
    for root, error in errors.items():
        if missing_is_empty and isinstance(error, FileNotFoundError):
            continue
        if len(errors) == len(roots):
            raise _in_words(root, error)
        walk.cannot_read(root, error)
    for root in roots:
        rules = None if root in errors else _rules_down_to(root, inside, exclude)
        if rules is not None:
            walk.folder(root, rules)
    walk.links()
    return found


def _rules_down_to(folder: str, inside: Sequence[str], exclude: Sequence[str]) -> list[Rule] | None:
    """The rules for what lies in a folder that is a part of one of `inside`; None where they leave it out itself."""
    top = next((root for root in inside if folder != root and within(folder, [root])), folder)
    rules = [Rule.parse(top, glob) for glob in exclude]
    path = top
    for name in Path(os.path.relpath(folder, top)).parts:
        if os.path.lexists(os.path.join(path, IGNORE_FILE)):  # noqa: PTH118
            rules = [*rules_of_file(path), *rules]
        path = os.path.join(path, name)  # noqa: PTH118
        if ignored(path, name, True, rules):
            return None
    return rules


def _error_of(root: str) -> OSError | None:
    """Why a folder cannot be looked into; None where it can."""
    try:
        os.scandir(root).close()
    except OSError as error:
        return error
    return None


def _in_words(root: str, error: OSError) -> UnseenError:
    if isinstance(error, FileNotFoundError):
        return UnseenError(f"There is no folder {root}", "Check the spelling, and that its disk is connected")
    if isinstance(error, NotADirectoryError):
        return UnseenError(f"{root} is not a folder", "Name the folder that holds the photos")
    return UnseenError(f"Cannot read the folder {root}: {error.strerror}", "Check its permissions")


class _Walk:
    """One scan in the making."""

    def __init__(self, found: Scan, whole: Sequence[str], heard: Callable[[int], None]) -> None:
        self._found = found
        self._whole = whole  # folders that people named
        self._heard = heard
        self._been: set[tuple[int, int]] = set()  # devices and inodes of folders
        self._links: list[tuple[str, list[Rule]]] = []

    def folder(self, top: str, rules: list[Rule]) -> None:
        """Look through everything below `top`."""
        waiting = [(top, rules)]
        while waiting:
            path, rules = waiting.pop()
            try:
                status = os.stat(path)  # noqa: PTH116
                if (status.st_dev, status.st_ino) in self._been:
                    continue
                self._been.add((status.st_dev, status.st_ino))
                with os.scandir(path) as listing:
                    entries = list(listing)
                if any(entry.name == IGNORE_FILE for entry in entries):
                    rules = [*rules_of_file(path), *rules]
            except OSError as error:
                self.cannot_read(path, error)
                continue
            if not entries:
                (self._found.empty if path in self._whole else self._found.empty_below).append(path)
            self._listing(path, entries, rules, waiting)
            self._heard(len(self._found))

    def links(self) -> None:
        """Follow the links to folders that were met, and those met on the way."""
        while self._links:
            self._links.sort(key=lambda link: os.fsencode(link[0]), reverse=True)
            self.folder(*self._links.pop())

    def _listing(
        self, path: str, entries: list[os.DirEntry[str]], rules: list[Rule], waiting: list[tuple[str, list[Rule]]]
    ) -> None:
        """Sort the entries of a folder: folders to look through later, and photos with what belongs to them."""
        of_library = any(entry.name == DATABASE for entry in entries)
        files: dict[str, os.DirEntry[str]] = {}
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            try:
                link = entry.is_symlink() and entry.is_dir()
            except OSError:
                link = False
            if ignored(entry.path, entry.name, is_folder or link, rules):
                continue
            if of_library and entry.name == "thumbnails":
                continue
            if is_folder:
                waiting.append((entry.path, rules))
            elif link:
                self._links.append((entry.path, rules))
            elif concerns(entry.name):
                files[entry.name] = entry
        for name, belonging in pair(files).items():
            stamp = self._stamp(files[name])
            if stamp is not None:
                companions = ((one, kind, self._stamp(files[one])) for one, kind in belonging)
                self._found.ledger.note(
                    files[name].path,
                    stamp,
                    [Companion(files[one].path, kind, mark) for one, kind, mark in companions if mark is not None],
                )

    def _stamp(self, entry: os.DirEntry[str]) -> FileStamp | None:
        """What tells that a file has not changed; None where it is no plain file, or cannot be looked at."""
        try:
            status = entry.stat()
        except OSError as error:
            self.cannot_read(entry.path, error)
            return None
        return FileStamp.of(status) if stat.S_ISREG(status.st_mode) else None

    def cannot_read(self, path: str, error: OSError) -> None:
        """Note a place that cannot be looked into."""
        self._found.unreadable.append(Failure(path, UNREAD, (error.strerror or str(error)).lower()))
