"""Keeps a library up to date: hears of changes from the file system, waits until they are over, and indexes.

What changed is scanned by folder and compared like any other scan, so a missed or doubled message does no harm.
"""

import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.paths import within
from indexer.ignore import IGNORE_FILE

QUIET = 2.0  # seconds without a change, after which a file counts as written
LONGEST = 60.0  # seconds after which changes are looked at although there are still more
POLL = 300.0  # seconds between two looks at folders that send no messages
BREATH = 500  # milliseconds between two looks at the clock
MOST = 100  # folders beyond which everything is looked through
# File systems on which another machine's changes make no message here.
_SILENT = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "davfs", "fuse.", "vboxsf", "prl_fs", "hgfs", "lustre", "gpfs")
_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Watch:
    """Folders to watch, and which of them send no messages and are looked through now and then."""

    loud: list[str]
    silent: list[str]

    @classmethod
    def of(cls, folders: Sequence[str], mounts: str | None = None) -> "Watch":
        """Sort folders by their file systems; `mounts` stands for the system's list of them."""
        table = list(_mounts(_read(_MOUNTS) if mounts is None else mounts))
        silent = [folder for folder in folders if _kind(folder, table).startswith(_SILENT)]
        return cls([folder for folder in folders if folder not in silent], silent)

    def changes(
        self, said: Callable[[str], None] = lambda text: None, clock: Callable[[], float] = time.monotonic
    ) -> Iterator[list[str]]:
        """All folders once the system has begun to listen, so that nothing is missed; then those in which something has
        changed, each time after it has become quiet, and the silent ones now and then.

        Once a folder is there that was not, or another one in its place, it begins anew with all that are there: what
        happened to the others meanwhile was not heard. Of one that is gone nothing is said, as its disk may come back.
        `said` is told when the system has no room for more messages, from when on every folder is a silent one.
        """
        from watchfiles import Change

        loud, silent, due = self.loud, self.silent, 0.0  # when the silent ones are looked through again
        everything: list[str] | None = [*loud, *silent]
        while True:
            heard = _standing(loud)
            try:
                for changed in _messages(heard):
                    folders = everything or folders_of((path for _, path in changed), list(_standing(loud)))
                    if clock() >= due:
                        folders += [folder for folder in _standing(silent) if folder not in folders]
                        due = clock() + POLL
                    if folders:
                        yield folders
                    everything = None
                    gone = any(kind == Change.deleted and path in heard for kind, path in changed)
                    if gone or _standing(loud) != heard:
                        break
            except OSError as error:
                if _standing(loud) == heard:
                    said(
                        f"The system sends no messages ({error}); changes are looked for every {POLL / 60:.0f} minutes."
                    )
                    loud, silent = [], [*loud, *silent]
            else:
                again = Watch.of([*loud, *silent])  # a disk that has come may be another machine's
                loud, silent = again.loud, again.silent
            everything = list(_standing([*loud, *silent]))


def _messages(folders: Iterable[str]) -> Iterator[set[tuple[Any, str]]]:
    """What changes in folders, each time after it has become quiet, and nothing twice a second.

    Raises OSError where the system has no room for more messages.
    """
    import watchfiles

    if not folders:
        while True:
            time.sleep(BREATH / 1000)
            yield set()
    try:
        yield from watchfiles.watch(
            *folders,
            watch_filter=None,
            debounce=int(1000 * LONGEST),
            step=int(1000 * QUIET),
            rust_timeout=BREATH,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
    except RuntimeError as error:  # where there can be no more listeners
        raise OSError(str(error)) from None


def folders_of(paths: Iterable[str], roots: Sequence[str]) -> list[str]:
    """The folders below `roots` that hold what changed, none within another; the roots themselves if they are many.

    A folder that changed as a whole stands for itself, also where it is gone. What is hidden is nobody's photo, but a
    `.unseenignore` says what is left out of its folder.
    """
    folders: set[str] = set()
    for path in paths:
        root = next((root for root in roots if within(path, [root])), None)
        if root is None:
            continue
        parts = Path(os.path.relpath(path, root)).parts
        if any(part.startswith(".") for part in (parts[:-1] if parts[-1:] == (IGNORE_FILE,) else parts)):
            continue
        folders.add(path if path == root or os.path.isdir(path) else os.path.dirname(path))  # noqa: PTH112, PTH120
    chosen: list[str] = []
    for folder in sorted(folders, key=os.fsencode):
        if not within(folder, chosen):
            chosen.append(folder)
    return chosen if len(chosen) <= MOST else sorted(roots)


def _standing(folders: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Those of the folders that are there, with what tells each from another one in its place."""
    found = {}
    for folder in folders:
        with suppress(OSError):
            status = os.stat(folder)  # noqa: PTH116  (paths may hold bytes that are not UTF-8)
            if stat.S_ISDIR(status.st_mode):
                found[folder] = status.st_dev, status.st_ino
    return found


def _mounts(table: str) -> Iterator[tuple[str, str]]:
    """Mount points and the kinds of their file systems, of the format of proc(5)."""
    for line in table.split("\n"):  # names may hold what else Python takes for the end of a line, or for blanks
        place, _, kind = line.partition(" - ")
        fields = place.split(" ")
        if len(fields) > 4 and kind:
            yield _named(fields[4]), kind.split(" ")[0]


def _named(place: str) -> str:
    """A mount point as it is called; in the table blanks and the like are octal numbers of bytes."""
    return os.fsdecode(re.sub(rb"\\([0-3][0-7]{2})", lambda found: bytes([int(found[1], 8)]), os.fsencode(place)))


def _kind(folder: str, table: Sequence[tuple[str, str]]) -> str:
    """The kind of the file system that a folder lies on; empty where that is not known."""
    real = os.path.realpath(folder)
    holding = [(len(place), number, kind) for number, (place, kind) in enumerate(table) if within(real, [place])]
    return max(holding)[2] if holding else ""


def _read(path: Path) -> str:
    try:
        return os.fsdecode(path.read_bytes())
    except OSError:  # another system than Linux
        return ""
