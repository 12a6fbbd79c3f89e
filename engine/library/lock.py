"""One writer at a time, and a second one is told who the first one is. Readers never wait."""

import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from engine.errors import LibraryError, LibraryLocked, LibraryReadOnly

LOCK = "writer.lock"
HOLDER = "writer.json"  # beside the lock, since taking a lock may empty its file


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold the writer's lock of the library in `folder`, which is made if need be.

    The lock ends with the process, however it ends. Raises LibraryLocked at once if another process holds it, and
    LibraryReadOnly if the folder cannot be written.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise LibraryLocked(
            f"Another process is writing to the library in {folder}{_holder(folder)}",
            "Wait until it is done, then run the same command again",
        ) from None
    except OSError as error:
        raise LibraryReadOnly(
            f"The library in {folder} cannot be written: {error.strerror or error}",
            "Check the permissions of the folder, or name another one with --library",
        ) from None
    except NotImplementedError:
        raise LibraryError(
            f"The disk that holds {folder} has no file locks", "Name a folder on another disk with --library"
        ) from None
    try:
        _introduce(folder)
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _introduce(folder: Path) -> None:
    """Leave word who is writing."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "command": command}
    try:
        (folder / HOLDER).write_text(json.dumps(holder), encoding="utf-8")
    except OSError as error:
        raise LibraryReadOnly(f"The library in {folder} cannot be written: {error.strerror or error}") from None


def _holder(folder: Path) -> str:
    """What the holder left word of; empty where it has not yet."""
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f" (process {holder['pid']} on {holder['host']}: {holder['command']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
