"""What a library holds, counted: folders, cameras, months, places."""

import os
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from engine.library.database import Database
from engine.library.schema import feedback, library, photos, roots


@dataclass(frozen=True)
class FolderCount:
    """A folder with the number of photos right in it, and in it or below."""

    path: str
    parent: str | None  # None for the topmost
    photos: int
    photos_below: int


@dataclass(frozen=True)
class Place:
    """A photo that says where it was taken; degrees north and east."""

    photo_id: int
    latitude: float
    longitude: float
    taken_at: datetime | None
    content_hash: bytes


@dataclass(frozen=True)
class Bounds:
    """A rectangle on the map, in degrees; `west` may be more than `east`, across the date line."""

    south: float = -90.0
    west: float = -180.0
    north: float = 90.0
    east: float = 180.0


_STATE = select(  # asked with every call of the API, so it is put together once
    select(library.c.generation).scalar_subquery(),
    select(func.max(roots.c.indexed_at)).scalar_subquery(),
    select(func.count()).select_from(feedback).scalar_subquery(),
    select(func.max(feedback.c.id)).scalar_subquery(),  # the id of a mark is never given again
)


class Overview:
    """Counts over a library."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self) -> str:
        """Differs whenever anything that the library says does: photos, failures, roots, marks."""
        with self._database.reading() as connection:
            return " ".join(map(str, connection.execute(_STATE).one()))

    def folders(self) -> list[FolderCount]:
        """Folders that hold photos and those between them and the folder that was indexed, by path."""
        query = select(photos.c.folder, func.count()).group_by(photos.c.folder)
        with self._database.reading() as connection:
            own = {row[0]: int(row[1]) for row in connection.execute(query)}
            tops = set(connection.execute(select(roots.c.path)).scalars())
        below: Counter[str] = Counter()
        parents: dict[str, str | None] = {}
        for folder, count in own.items():
            for place in _up_to(folder, tops):
                below[place] += count
                parents.setdefault(place, None)
        for place in parents:
            parent = os.path.dirname(place)  # noqa: PTH120  (paths may hold bytes that are not UTF-8)
            parents[place] = parent if parent in parents and parent != place else None
        return [
            FolderCount(place, parents[place], own.get(place, 0), below[place])
            for place in sorted(parents, key=os.fsencode)
        ]

    def missing(self) -> int:
        """Number of photos that are kept although their file is gone."""
        query = select(func.count()).select_from(photos).where(photos.c.missing_since.is_not(None))
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def cameras(self) -> list[tuple[str, int]]:
        """Cameras with their number of photos, the most used first."""
        count = func.count()
        query = select(photos.c.camera, count).where(photos.c.camera.is_not(None)).group_by(photos.c.camera)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(count.desc(), photos.c.camera))
            return [(row[0], int(row[1])) for row in rows]

    def months(self) -> list[tuple[str | None, int]]:
        """Months, such as 2024-07, with their number of photos, the newest first; None for photos without a date."""
        month = func.strftime("%Y-%m", photos.c.taken_at)
        query = select(month, func.count()).group_by(month).order_by(month.desc().nulls_last())
        with self._database.reading() as connection:
            return [(row[0], int(row[1])) for row in connection.execute(query)]

    def places(self, within: Bounds, limit: int, offset: int = 0) -> tuple[list[Place], int]:
        """Photos taken within a rectangle, the newest first, and how many there are in all."""
        columns = photos.c
        east_west = (columns.longitude >= within.west, columns.longitude <= within.east)
        inside = (
            columns.latitude.between(within.south, within.north),
            east_west[0] & east_west[1] if within.west <= within.east else east_west[0] | east_west[1],
        )
        wanted = (columns.id, columns.latitude, columns.longitude, columns.taken_at, columns.content_hash)
        query = select(*wanted).where(*inside).order_by(columns.taken_at.desc().nulls_last(), columns.id)
        with self._database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(photos).where(*inside)).scalar_one()
            rows = connection.execute(query.limit(limit).offset(offset))
            return [Place(row.id, row.latitude, row.longitude, row.taken_at, row.content_hash) for row in rows], total


def _up_to(folder: str, tops: set[str]) -> list[str]:
    """The folder and those above it, as far as the topmost one that was indexed; the folder alone where none was."""
    places = [folder]
    while (parent := os.path.dirname(places[-1])) != places[-1]:  # noqa: PTH120
        places.append(parent)
    indexed = [i for i, place in enumerate(places) if place in tops]
    return places[: max(indexed, default=0) + 1]
