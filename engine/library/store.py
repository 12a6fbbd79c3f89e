"""The library on disk: named queries over its database, and one transaction a batch.

The database is the truth. Everything else in the library folder can be made from it again.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column, Row, bindparam, delete, func, insert, select, text, update

from engine.library.batches import CHUNK, METADATA, write_batch
from engine.library.conditions import conditions, is_later, under
from engine.library.database import Database
from engine.library.listing import Place
from engine.library.records import (
    Batch,
    Companion,
    Failure,
    FileStamp,
    KnownFile,
    Metadata,
    NewPhoto,
    Photo,
)
from engine.library.region_map import Grid, RegionMap, RegionMaps
from engine.library.schema import Moment, companions, failures, keywords, library, photos, region_maps, roots
from engine.words.query import Filters


class Store(Database):
    """An open library."""

    # Reading

    def count(self, filters: Filters | None = None) -> int:
        """Number of photos."""
        query = select(func.count()).select_from(photos).where(*conditions(filters))
        with self.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def photo_ids(self, filters: Filters | None = None) -> NDArray[np.int64]:
        """Ids of all photos that pass the filters, ascending."""
        query = select(photos.c.id).where(*conditions(filters)).order_by(photos.c.id)
        with self.reading() as connection:
            return np.fromiter(connection.execute(query).scalars(), np.int64)

    def mapped_ids(self) -> NDArray[np.int64]:
        """Ids of the photos that have a region map, ascending: all but those that wait for a new model's look."""
        return np.sort(np.fromiter((row[0] for row in self.rows("SELECT photo_id FROM region_maps")), np.int64))

    def mapped_count(self) -> int:
        """Number of photos that have a region map."""
        ((count,),) = self.rows("SELECT count(*) FROM region_maps")
        return int(count)

    def waiting_ids(self) -> NDArray[np.int64]:
        """Ids of the photos that wait for the model to look at them, ascending."""
        if self.count() == self.mapped_count():
            return np.zeros(0, np.int64)
        return np.setdiff1d(self.photo_ids(), self.mapped_ids(), assume_unique=True)

    def photo(self, photo_id: int) -> Photo | None:
        """One photo, or None."""
        return self.photos([photo_id]).get(photo_id)

    def photo_at(self, path: str) -> Photo | None:
        """The photo with this absolute path, or None."""
        with self.reading() as connection:
            row = connection.execute(select(*_PHOTO).where(photos.c.path == path)).first()
        return None if row is None else _photo(row)

    def photos(self, ids: Sequence[int]) -> dict[int, Photo]:
        """Photos by id; ids that are gone are left out."""
        return {row[0]: _stored_photo(row) for row in self.rows(_BY_IDS, [_listed(ids)])}

    def page(
        self,
        *,
        filters: Filters | None = None,
        newest_first: bool = False,
        limit: int = 100,
        offset: int = 0,
        after: Place | None = None,
    ) -> list[Photo]:
        """Photos by path, or by date taken (those without a date last); `offset` photos after a place are left out."""
        order = (photos.c.taken_at.desc().nulls_last(), photos.c.id) if newest_first else (photos.c.path,)
        wanted = [*conditions(filters), *([is_later(after, newest_first)] if after else [])]
        query = select(*_PHOTO).where(*wanted).order_by(*order).limit(limit).offset(offset)
        with self.reading() as connection:
            return [_photo(row) for row in connection.execute(query)]

    def region_map(self, photo_id: int) -> RegionMap | None:
        """The region map of one photo, or None."""
        return self.region_maps([photo_id]).single().get(photo_id)

    def region_maps(self, ids: Sequence[int]) -> RegionMaps:
        """Region maps of the photos, by ascending id; ids that are gone are left out."""
        rows = sorted(self.rows(_MAPS, [_listed(ids)]))
        return RegionMaps.from_bytes([(key, Grid(height, width), codes) for key, height, width, codes in rows])

    def dates(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Ids of the photos that have a date, ascending, and when they were taken, in seconds since 1970."""
        rows = self.rows("SELECT id, taken_at FROM photos WHERE taken_at IS NOT NULL")
        ids = np.array([photo_id for photo_id, _ in rows], np.int64)
        moments = np.array([moment for _, moment in rows], "datetime64[us]")
        order = np.argsort(ids, kind="stable")
        return ids[order], moments[order].astype(np.int64) / 1e6

    def copies(self) -> list[list[int]]:
        """Ids of photos with the same content, ascending, for each content that several photos have."""
        several = select(photos.c.content_hash).group_by(photos.c.content_hash).having(func.count() > 1)
        query = select(photos.c.content_hash, photos.c.id).where(photos.c.content_hash.in_(several))
        found: dict[bytes, list[int]] = {}
        with self.reading() as connection:
            for content, photo_id in connection.execute(query.order_by(photos.c.id)):
                found.setdefault(content, []).append(photo_id)
        return list(found.values())

    def content_hashes(self, ids: Sequence[int]) -> dict[int, bytes]:
        """What stands for the content of each photo; ids that are gone are left out."""
        found: dict[int, bytes] = {}
        with self.reading() as connection:
            for chunk in _chunks(ids):
                query = select(photos.c.id, photos.c.content_hash).where(photos.c.id.in_(chunk))
                found.update((row.id, row.content_hash) for row in connection.execute(query))
        return found

    def map_shapes(self, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Number of regions and of numbers a region, for each photo; ids that are gone are left out."""
        regions = region_maps.c.rows * region_maps.c.cols
        query = select(region_maps.c.photo_id, regions, func.length(region_maps.c.codes) / regions)
        shapes: dict[int, tuple[int, int]] = {}
        with self.reading() as connection:
            for chunk in _chunks(ids):
                for row in connection.execute(query.where(region_maps.c.photo_id.in_(chunk))):
                    shapes[row[0]] = (row[1], int(row[2]))
        return shapes

    def changed_since(self, generation: int) -> NDArray[np.int64]:
        """Ids of photos whose region map was written after `generation`, ascending."""
        query = select(region_maps.c.photo_id).where(region_maps.c.generation > generation)
        with self.reading() as connection:  # SQLite would sort by reading the whole table, instead of the index
            return np.sort(np.fromiter(connection.execute(query).scalars(), np.int64))

    def class_scores(self, ids: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Class scores (N, tags) of the photos and their ids, ascending; ids that are gone are left out."""
        rows: list[Row[Any]] = []
        with self.reading() as connection:
            for chunk in _chunks(sorted({int(i) for i in ids})):
                rows += connection.execute(
                    select(region_maps.c.photo_id, region_maps.c.class_scores)
                    .where(region_maps.c.photo_id.in_(chunk))
                    .order_by(region_maps.c.photo_id)
                )
        scores = [np.frombuffer(row.class_scores, np.float16) for row in rows]
        return (
            np.array([row.photo_id for row in rows], np.int64),
            np.stack(scores) if scores else np.zeros((0, 0), np.float16),
        )

    def known_files(self, folder: str | None = None) -> Iterator[KnownFile]:
        """All files of the library, or those under `folder`, by path."""
        conditions = [under(folder)] if folder is not None else []
        with self.reading() as connection:
            for row in connection.execute(select(*_FILE).where(*conditions).order_by(photos.c.path)):
                yield _known_file(row)

    def with_content(self, content_hash: bytes) -> list[KnownFile]:
        """Files of the library with this content."""
        query = select(*_FILE).where(photos.c.content_hash == content_hash).order_by(photos.c.id)
        with self.reading() as connection:
            return [_known_file(row) for row in connection.execute(query)]

    def known_content(self, content_hash: bytes) -> NewPhoto | None:
        """A photo with this content as it was written, so that a copy of it need not be looked at again."""
        if not self.rows("SELECT 1 FROM photos WHERE content_hash = ?", [content_hash]):
            return None
        with self.reading() as connection:
            row = connection.execute(_BY_CONTENT, {"content_hash": content_hash}).first()
            if row is None:
                return None
            words = connection.execute(select(keywords.c.keyword).where(keywords.c.photo_id == row.id)).scalars().all()
        belonging = tuple(self.companions_of([row.id]).get(row.id, ()))
        return NewPhoto(
            row.path,
            FileStamp(row.size, row.mtime_ns),
            row.content_hash,
            row.width,
            row.height,
            row.format,
            Metadata(**{name: getattr(row, name) for name in METADATA}, keywords=tuple(words)),
            RegionMap.from_bytes(Grid(row.rows, row.cols), row.codes),
            np.frombuffer(row.class_scores, np.float16),
            row.warning,
            belonging,
        )

    def keywords_of(self, ids: Sequence[int]) -> dict[int, list[str]]:
        """Keywords that people or other programs gave the photos, by photo id; photos without any are left out."""
        found: dict[int, list[str]] = {}
        with self.reading() as connection:
            for chunk in _chunks(ids):
                query = select(keywords).where(keywords.c.photo_id.in_(chunk))
                for row in connection.execute(query.order_by(keywords.c.photo_id, keywords.c.folded)):
                    found.setdefault(row.photo_id, []).append(row.keyword)
        return found

    def companions_of(self, ids: Sequence[int]) -> dict[int, list[Companion]]:
        """Files that belong to the photos, by photo id; photos without any are left out."""
        found: dict[int, list[Companion]] = {}
        with self.reading() as connection:
            for chunk in _chunks(ids):
                query = select(companions).where(companions.c.photo_id.in_(chunk)).order_by(companions.c.path)
                for row in connection.execute(query):
                    one = Companion(row.path, row.kind, FileStamp(row.size, row.mtime_ns))
                    found.setdefault(row.photo_id, []).append(one)
        return found

    def companions_under(self, folder: str) -> Iterator[tuple[int, Companion]]:
        """Files that belong to the photos under `folder`, each with the photo's id."""
        query = select(companions).join(photos, photos.c.id == companions.c.photo_id).where(under(folder))
        with self.reading() as connection:
            for row in connection.execute(query):
                yield row.photo_id, Companion(row.path, row.kind, FileStamp(row.size, row.mtime_ns))

    def count_under(self, folder: str) -> int:
        """Number of photos below a folder."""
        with self.reading() as connection:
            query = select(func.count()).select_from(photos).where(under(folder))
            return int(connection.execute(query).scalar_one())

    def failures_page(self, limit: int, offset: int = 0) -> list[Failure]:
        """A page of the files that could not be read, by path."""
        query = select(failures).order_by(failures.c.path).limit(limit).offset(offset)
        with self.reading() as connection:
            return [_failure(row) for row in connection.execute(query)]

    def failure_count(self) -> int:
        """Number of files that could not be read."""
        with self.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(failures)).scalar_one())

    def failures(self, folder: str | None = None) -> list[Failure]:
        """Files that could not be read, or those under `folder` and itself, by path."""
        query = select(failures).order_by(failures.c.path)
        if folder is not None:
            query = query.where(under(folder, failures.c.path) | (failures.c.path == folder))
        with self.reading() as connection:
            return [_failure(row) for row in connection.execute(query)]

    def roots(self) -> list[str]:
        """Folders that have been indexed, by path."""
        with self.reading() as connection:
            return list(connection.execute(select(roots.c.path).order_by(roots.c.path)).scalars())

    def problems(self) -> list[str]:
        """What is wrong with the database file and between its tables: a sentence each, none if all is well."""
        with self.reading() as connection:
            lines = connection.execute(text("PRAGMA integrity_check(10)")).scalars().all()
            found = [f"The database is damaged: {line}." for line in lines if line != "ok"]
            ownerless = select(func.count()).select_from(region_maps.outerjoin(photos)).where(photos.c.id.is_(None))
            left = int(connection.execute(ownerless).scalar_one())
        if left:
            found.append(f"{left} region maps belong to no photo.")
        return found

    # Writing

    def apply(self, batch: Batch) -> int:
        """Write a batch in one transaction; returns the new generation."""
        with self.writing() as connection:
            return write_batch(connection, batch)

    def change_model(self, bundle: str, fingerprint: str) -> None:
        """Give the library to another model. Its photos keep all but their region maps, and wait to be looked at."""
        with self.writing() as connection:
            connection.execute(delete(region_maps))
            now, later = datetime.now(UTC), library.c.generation + 1
            connection.execute(
                update(library).values(bundle=bundle, fingerprint=fingerprint, generation=later, updated_at=now)
            )

    def remember_root(self, path: str) -> None:
        """Note that `path` has been indexed to its end."""
        with self.writing() as connection:
            connection.execute(delete(roots).where(roots.c.path == path))
            connection.execute(insert(roots).values(path=path, indexed_at=datetime.now(UTC)))


def _chunks(ids: Sequence[int]) -> Iterable[list[int]]:
    plain = [int(i) for i in ids]
    return (plain[start : start + CHUNK] for start in range(0, len(plain), CHUNK))


_PHOTO: tuple[Column[Any], ...] = (
    *(photos.c.id, photos.c.path, photos.c.width, photos.c.height, photos.c.format, photos.c.taken_at, photos.c.camera),
    *(photos.c.size, photos.c.mtime_ns, photos.c.content_hash, photos.c.added_at, photos.c.taken_offset),
    *(photos.c.taken_from, photos.c.lens, photos.c.latitude, photos.c.longitude, photos.c.rating, photos.c.warning),
    photos.c.missing_since,
)  # as `Photo` has them


def _photo(row: Sequence[Any]) -> Photo:
    photo_id, path, width, height, kind, taken_at, camera, size, mtime_ns, *rest = row  # a name takes a µs to look up
    return Photo(photo_id, path, width, height, kind, taken_at, camera, FileStamp(size, mtime_ns), *rest)


def _stored_photo(row: Sequence[Any]) -> Photo:
    """Of a row as SQLite has it, in which paths are bytes and times are text."""
    values = list(row)
    for at in _MOMENTS:
        if values[at] is not None:
            values[at] = datetime.fromisoformat(values[at]).replace(tzinfo=UTC)
    values[1] = os.fsdecode(values[1])
    return _photo(values)


def _listed(ids: Iterable[int]) -> str:
    """Ids for a statement that takes a list of any length in one parameter."""
    return f"[{','.join(str(int(i)) for i in ids)}]"


_MOMENTS = tuple(at for at, column in enumerate(_PHOTO) if isinstance(column.type, Moment))
_BY_IDS = str(select(*_PHOTO).where(text("photos.id IN (SELECT value FROM json_each(?))")))
_MAPS = "SELECT photo_id, rows, cols, codes FROM region_maps WHERE photo_id IN (SELECT value FROM json_each(?))"
_BY_CONTENT = (
    select(photos, region_maps)
    .join(region_maps, region_maps.c.photo_id == photos.c.id)
    .where(photos.c.content_hash == bindparam("content_hash"))
    .limit(1)
)

_FILE = (
    photos.c.id,
    photos.c.path,
    photos.c.size,
    photos.c.mtime_ns,
    photos.c.content_hash,
    photos.c.missing_since.is_not(None).label("missing"),
)


def _known_file(row: Row[Any]) -> KnownFile:
    return KnownFile(row.id, row.path, FileStamp(row.size, row.mtime_ns), row.content_hash, row.missing)


def _failure(row: Row[Any]) -> Failure:
    return Failure(row.path, FileStamp(row.size, row.mtime_ns), row.reason, row.failed_at)
