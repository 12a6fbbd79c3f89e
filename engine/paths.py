"""Paths as the system has them: text with surrogates for bytes that are not UTF-8."""

import os
from collections.abc import Iterable
from pathlib import PurePath


def readable(path: str) -> str:
    """A path as text that is valid in JSON and in a page: bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path).decode(errors="replace")


def basename(path: str) -> str:
    """The last part of a path; a root as it is."""
    return PurePath(path).name or path


def within(path: str, folders: Iterable[str]) -> bool:
    """Whether `path` is one of the folders or below one."""
    return any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in folders)
