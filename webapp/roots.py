"""Folders that the server may touch: those that were indexed, and those that the settings name beside them.

A link may lead anywhere, so what counts is where a path leads once all links are followed.
"""

import os

from engine.errors import LibraryNotFound
from engine.library.records import Photo
from engine.paths import readable, within
from webapp.errors import FileGone, NoFolder, OutsideRoots
from webapp.library import current, searcher


def roots() -> list[str]:
    """The folders, as their owner writes them."""
    try:
        indexed = searcher().store.roots()
    except LibraryNotFound:
        indexed = []
    return list(dict.fromkeys([*indexed, *named()]))


def named() -> list[str]:
    """Those that the settings name."""
    return [str(root.absolute()) for root in current().settings.roots]


def inside(path: str) -> bool:
    """Whether a path, with all links followed, is one of the folders or below one."""
    return within(os.path.realpath(path), map(os.path.realpath, roots()))


def file_of(photo: Photo) -> str:
    """The path of a photo's file with all links followed; raises FileGone where it leads out of the folders.

    A file at the very path that was indexed, without any link in it, may be shown even while its first index run is
    going on, when its folder is not yet known as indexed.
    """
    real = os.path.realpath(photo.path)
    if real != photo.path and not inside(real):
        raise FileGone(
            f"{readable(photo.path)} leads out of the folders that were indexed",
            "Index the folder that it leads to, if it should be shown",
        )
    return real


def to_index(folder: str | None) -> list[str]:
    """What to index: one folder, or all that there are; raises OutsideRoots or NoFolder.

    A folder outside is refused whether or not it exists, so nobody learns which ones do.
    """
    known = roots()
    if folder is None:
        if not known:
            raise NoFolder("There is no folder to index yet", "Name one that UNSEEN_ROOTS allows")
        return known
    by_name = {readable(root): root for root in known}  # a name that is not UTF-8 comes back as it was shown
    path = by_name.get(folder, folder)
    if "\0" in path or not os.path.isabs(path) or not inside(path):  # noqa: PTH117
        raise OutsideRoots
    path = os.path.abspath(path)  # noqa: PTH100  (a photo is known by the path that its owner uses)
    if not os.path.isdir(path):  # noqa: PTH112
        raise NoFolder(f"There is no folder {readable(path)}", "Check the spelling, and that its disk is connected")
    return [path]
