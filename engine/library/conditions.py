"""Which photos a query is about, as conditions of SQL."""

import os

from sqlalchemy import Column, ColumnElement, func, select

from engine.library.listing import Place
from engine.library.schema import keywords, photos
from engine.paths import readable, within
from engine.words.query import Filters
from engine.words.vectors import normalise

_ALIASES = {"jpg": "jpeg", "tif": "tiff", "heif": "heic", "hif": "heic"}


def under(folder: str, path: Column[str] = photos.c.path) -> ColumnElement[bool]:
    """Paths that begin with `folder/`: a range over their bytes."""
    prefix = os.fsencode(folder).rstrip(b"/") + b"/"
    return (path >= os.fsdecode(prefix)) & (path < os.fsdecode(prefix[:-1] + b"0"))


def lies_in(folder: bytes, shown: bytes) -> bool:
    """Whether a folder is, or is below, one that is `shown` so: with U+FFFD for bytes that are not UTF-8.

    A function of the database, as each connection of `engine.library.database` has it.
    """
    return within(readable(os.fsdecode(folder)), [readable(os.fsdecode(shown)).rstrip("/")])


def is_later(place: Place, newest_first: bool) -> ColumnElement[bool]:
    """Photos that come after a place, in a list by path or of the newest first."""
    if not newest_first:
        return photos.c.path > place.path
    undated, same_time = photos.c.taken_at.is_(None), photos.c.taken_at == place.taken_at
    if place.taken_at is None:
        return undated & (photos.c.id > place.id)
    return undated | (photos.c.taken_at < place.taken_at) | (same_time & (photos.c.id > place.id))


def conditions(filters: Filters | None) -> list[ColumnElement[bool]]:
    """What photos must be to pass the filters."""
    if not filters:
        return []
    found: list[ColumnElement[bool]] = []
    if filters.folder is not None:
        if "\ufffd" in filters.folder:
            found.append(func.lies_in(photos.c.folder, os.fsencode(filters.folder)) == 1)
        else:
            found.append(under(filters.folder))
    if filters.camera is not None:
        found.append(photos.c.camera.icontains(filters.camera, autoescape=True))
    if filters.lens is not None:
        found.append(photos.c.lens.icontains(filters.lens, autoescape=True))
    if filters.keyword is not None:
        found.append(
            photos.c.id.in_(select(keywords.c.photo_id).where(keywords.c.folded == normalise(filters.keyword)))
        )
    if filters.rating is not None:
        found.append(photos.c.rating >= filters.rating)
    if filters.after is not None:
        found.append(photos.c.taken_at >= filters.after)
    if filters.before is not None:
        found.append(photos.c.taken_at < filters.before)
    if filters.type is not None:
        name = filters.type.lower()
        found.append(func.lower(photos.c.format) == _ALIASES.get(name, name))
    return [*found, *conditions(filters.also)]
