"""Files that are one photo to people: a RAW file beside its JPEG, the video of a live photo, sidecars."""

import os
from collections.abc import Iterable

from engine.photo import RAW_SUFFIXES, SUFFIXES
from engine.photo.formats import suffix_of

_TAKEN_TOGETHER = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".heic", ".heif", ".hif"))  # with a RAW file or a video
_VIDEOS = frozenset((".mov", ".mp4", ".m4v"))
_SIDECAR = ".xmp"


def concerns(name: str) -> bool:
    """Whether a file of this name may be a photo or belong to one."""
    suffix = suffix_of(name)
    return suffix in SUFFIXES or suffix in RAW_SUFFIXES or suffix in _VIDEOS or suffix == _SIDECAR


def pair(names: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """The files of one folder by name → photos, each with the files that belong to it and their kinds.

    IMG_1.CR2 and IMG_1.MOV belong to IMG_1.JPG; IMG_1.JPG.xmp and IMG_1.xmp belong to it too. Where several photos have
    one stem, files belong to the first by name that a camera takes together with others.
    """
    by_stem: dict[str, list[str]] = {}
    rest: list[str] = []
    for name in sorted(names):
        suffix = suffix_of(name)
        if suffix in SUFFIXES or suffix in RAW_SUFFIXES:
            by_stem.setdefault(_stem(name), []).append(name)
        elif suffix in _VIDEOS or suffix == _SIDECAR:
            rest.append(name)
    photos: dict[str, list[tuple[str, str]]] = {}
    owner: dict[str, str] = {}  # of what a sidecar may be named after, in lower case
    for stem, together in by_stem.items():
        shown = next((name for name in together if suffix_of(name) in _TAKEN_TOGETHER), None)
        for name in together:
            if shown is not None and suffix_of(name) in RAW_SUFFIXES:
                owner[name.lower()] = shown
            elif suffix_of(name) in SUFFIXES:
                photos[name] = []
                owner[name.lower()] = name
        first = shown or next((name for name in together if name in photos), None)
        if first is not None:
            owner[stem] = first
            if shown is not None:
                photos[first] += [(name, "raw") for name in together if suffix_of(name) in RAW_SUFFIXES]
    for name in rest:
        exactly = os.path.splitext(name)[0]  # noqa: PTH122
        of = exactly if exactly in photos else owner.get(_stem(name))
        if of is not None and suffix_of(name) == _SIDECAR:
            photos[of].append((name, "sidecar"))
        elif of is not None and suffix_of(of) in _TAKEN_TOGETHER and suffix_of(name) in _VIDEOS:
            photos[of].append((name, "video"))
    return photos


def _stem(name: str) -> str:
    return os.path.splitext(name)[0].lower()  # noqa: PTH122  (paths may hold bytes that are not UTF-8)
