"""The library on disk: named queries over SQLite, and one transaction a batch.

SQLite in WAL mode is the truth: one writer, many readers that never wait. Everything else in the library folder can be
made from it again.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Row,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import QueuePool

from engine.errors import LibraryError, LibraryNotFound, LibraryReadOnly
from engine.library.region_map import Grid, RegionMap, RegionMaps
from engine.library.schema import failures, library, photos, region_maps, roots
from engine.words.query import Filters

DATABASE = "library.db"
CHUNK = 500  # ids in one SQL statement; SQLite takes 32,766 variables


@dataclass(frozen=True)
class LibraryInfo:
    """Which bundle a library belongs to, and how many batches it has seen."""

    bundle: str
    fingerprint: str
    generation: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class FileStamp:
    """What tells that a file has not changed: size in bytes and time of modification."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Photo:
    """A photo in the library. Width and height are upright pixels."""

    id: int
    path: str
    width: int
    height: int
    format: str
    taken_at: datetime | None
    camera: str | None
    stamp: FileStamp
    content_hash: bytes
    added_at: datetime

    @property
    def folder(self) -> str:
        """The folder that holds the photo."""
        return os.path.dirname(self.path)  # noqa: PTH120  (paths may hold bytes that are not UTF-8)


@dataclass(frozen=True)
class NewPhoto:
    """A photo as the indexer hands it over: what was read of the file, and its region map and class scores."""

    path: str
    stamp: FileStamp
    content_hash: bytes
    width: int
    height: int
    format: str
    taken_at: datetime | None
    camera: str | None
    region_map: RegionMap
    class_scores: NDArray[np.float16]


@dataclass(frozen=True)
class Failure:
    """A file that could not be read, and why."""

    path: str
    stamp: FileStamp
    reason: str
    failed_at: datetime | None = None


@dataclass
class Batch:
    """Changes that belong together. `updated` and `moved` are keyed by photo id."""

    added: list[NewPhoto] = field(default_factory=list)
    updated: dict[int, NewPhoto] = field(default_factory=dict)
    moved: dict[int, tuple[str, FileStamp]] = field(default_factory=dict)
    touched: dict[int, FileStamp] = field(default_factory=dict)  # same content, other time
    removed: list[int] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    healed: list[str] = field(default_factory=list)  # paths of failures to forget

    def __len__(self) -> int:
        return sum(
            len(part)
            for part in (self.added, self.updated, self.moved, self.touched, self.removed, self.failed, self.healed)
        )


@dataclass(frozen=True)
class KnownFile:
    """What the library knows of a file."""

    id: int
    path: str
    stamp: FileStamp
    content_hash: bytes


class Store:
    """An open library. Close it, or use it in a `with` statement."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self._engine = engine

    # Opening

    @classmethod
    def create(cls, folder: Path, bundle: str, fingerprint: str) -> Self:
        """Open the library in `folder` for writing; make it, or migrate it, where needed.

        Raises LibraryReadOnly, or LibraryError for a database that is damaged or newer than this program.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LibraryReadOnly(
                f"Cannot make the library folder {folder}: {error.strerror}", "Name another one with --library"
            ) from None
        store = cls(folder, _writable_engine(folder / DATABASE))
        with store._guard():
            store.migrate()
            with store._writing() as connection:
                if connection.execute(select(library.c.id)).first() is None:
                    now = datetime.now(UTC)
                    connection.execute(
                        insert(library).values(
                            id=1,
                            bundle=bundle,
                            fingerprint=fingerprint,
                            generation=0,
                            created_at=now,
                            updated_at=now,
                        )
                    )
        return store

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the library in `folder` for reading; a folder that cannot be written is no hindrance.

        Raises LibraryNotFound, or LibraryError for a database that is damaged or of another version.
        """
        path = folder / DATABASE
        if not path.is_file():
            raise LibraryNotFound(f"There is no library in {folder}", "Make one with: unseen index FOLDER")
        store = cls(folder, _reading_engine(path))
        with store._guard():
            with store._engine.connect() as connection:
                version = _schema_version(connection)
            if version != head_revision():
                store.close()
                store = cls(folder, _writable_engine(path))
                store.migrate()
        return store

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to `revision`. A database newer than this program is refused, not touched."""
        from alembic import command
        from alembic.script import ScriptDirectory

        config = _alembic_config()
        with self._writing() as connection:
            version = _schema_version(connection)
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            if version is not None and version not in known:
                raise LibraryError(
                    f"The library in {self.folder} was written by a newer version of unseen (schema {version})",
                    "Update unseen",
                )
            config.attributes["connection"] = connection
            if revision == "head" or (revision != "base" and revision > (version or "")):
                command.upgrade(config, revision)
            else:
                command.downgrade(config, revision)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn the database's errors into ones for people."""
        try:
            yield
        except OperationalError as error:
            message = str(error.orig)
            if "readonly" in message or "read-only" in message:
                raise LibraryReadOnly(
                    f"The library in {self.folder} cannot be written",
                    "Check the permissions of the folder, or name another one with --library",
                ) from None
            if "locked" in message:
                raise LibraryError(
                    f"The library in {self.folder} is busy", "Wait for the other program, then try again"
                ) from None
            if "full" in message:
                raise LibraryError(
                    f"The disk that holds {self.folder} is full", "Make room and run the same command again"
                ) from None
            raise LibraryError(f"The library in {self.folder} cannot be opened: {message}") from None
        except DatabaseError as error:
            raise LibraryError(
                f"The library in {self.folder} is damaged: {error.orig}",
                f"Restore {DATABASE} from a backup, or delete it and index again",
            ) from None

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._guard(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._guard(), self._engine.execution_options(writing=True).begin() as connection:
            yield connection

    # Reading

    def info(self) -> LibraryInfo:
        """Bundle and generation of the library."""
        with self._reading() as connection:
            row = connection.execute(select(library)).one()
        return LibraryInfo(row.bundle, row.fingerprint, row.generation, row.created_at, row.updated_at)

    def generation(self) -> int:
        """How many batches have been committed; it changes whenever anything does."""
        with self._reading() as connection:
            return int(connection.execute(select(library.c.generation)).scalar_one())

    def schema_version(self) -> str | None:
        """Revision of the newest migration that has run."""
        with self._reading() as connection:
            return _schema_version(connection)

    def count(self, filters: Filters | None = None) -> int:
        """Number of photos."""
        query = select(func.count()).select_from(photos).where(*_conditions(filters))
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def photo_ids(self, filters: Filters | None = None) -> NDArray[np.int64]:
        """Ids of all photos that pass the filters, ascending."""
        query = select(photos.c.id).where(*_conditions(filters)).order_by(photos.c.id)
        with self._reading() as connection:
            return np.fromiter(connection.execute(query).scalars(), np.int64)

    def photo(self, photo_id: int) -> Photo | None:
        """One photo, or None."""
        return self.photos([photo_id]).get(photo_id)

    def photo_at(self, path: str) -> Photo | None:
        """The photo with this absolute path, or None."""
        with self._reading() as connection:
            row = connection.execute(select(photos).where(photos.c.path == path)).first()
        return None if row is None else _photo(row)

    def photos(self, ids: Sequence[int]) -> dict[int, Photo]:
        """Photos by id; ids that are gone are left out."""
        found: dict[int, Photo] = {}
        with self._reading() as connection:
            for chunk in _chunks(ids):
                rows = connection.execute(select(photos).where(photos.c.id.in_(chunk)))
                found.update((row.id, _photo(row)) for row in rows)
        return found

    def page(
        self,
        *,
        filters: Filters | None = None,
        newest_first: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Photo]:
        """Photos by path, or by date taken (those without a date last)."""
        order = (photos.c.taken_at.desc().nulls_last(), photos.c.id) if newest_first else (photos.c.path,)
        query = select(photos).where(*_conditions(filters)).order_by(*order).limit(limit).offset(offset)
        with self._reading() as connection:
            return [_photo(row) for row in connection.execute(query)]

    def region_map(self, photo_id: int) -> RegionMap | None:
        """The region map of one photo, or None."""
        with self._reading() as connection:
            query = select(region_maps).where(region_maps.c.photo_id == photo_id)
            row = connection.execute(query).first()
        return None if row is None else RegionMap.from_bytes(Grid(row.rows, row.cols), row.codes)

    def region_maps(self, ids: Sequence[int]) -> RegionMaps:
        """Region maps of the photos, by ascending id; ids that are gone are left out."""
        rows: list[Row[Any]] = []
        with self._reading() as connection:
            for chunk in _chunks(sorted({int(i) for i in ids})):
                rows += connection.execute(
                    select(region_maps).where(region_maps.c.photo_id.in_(chunk)).order_by(region_maps.c.photo_id)
                )
        return RegionMaps.of(
            [(row.photo_id, RegionMap.from_bytes(Grid(row.rows, row.cols), row.codes)) for row in rows]
        )

    def changed_since(self, generation: int) -> NDArray[np.int64]:
        """Ids of photos whose region map was written after `generation`, ascending."""
        query = (
            select(region_maps.c.photo_id).where(region_maps.c.generation > generation).order_by(region_maps.c.photo_id)
        )
        with self._reading() as connection:
            return np.fromiter(connection.execute(query).scalars(), np.int64)

    def class_scores(self, ids: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Class scores (N, tags) of the photos and their ids, ascending; ids that are gone are left out."""
        rows: list[Row[Any]] = []
        with self._reading() as connection:
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
        columns = (photos.c.id, photos.c.path, photos.c.size, photos.c.mtime_ns, photos.c.content_hash)
        conditions = [_under(folder)] if folder is not None else []
        with self._reading() as connection:
            for row in connection.execute(select(*columns).where(*conditions).order_by(photos.c.path)):
                yield KnownFile(row.id, row.path, FileStamp(row.size, row.mtime_ns), row.content_hash)

    def with_content(self, content_hash: bytes) -> list[KnownFile]:
        """Files of the library with this content."""
        query = select(photos).where(photos.c.content_hash == content_hash).order_by(photos.c.id)
        with self._reading() as connection:
            return [
                KnownFile(row.id, row.path, FileStamp(row.size, row.mtime_ns), row.content_hash)
                for row in connection.execute(query)
            ]

    def known_content(self, content_hash: bytes) -> NewPhoto | None:
        """A photo with this content as it was written, so that a copy of it need not be looked at again."""
        query = select(photos, region_maps).join(region_maps, region_maps.c.photo_id == photos.c.id)
        with self._reading() as connection:
            row = connection.execute(query.where(photos.c.content_hash == content_hash).limit(1)).first()
        if row is None:
            return None
        return NewPhoto(
            row.path,
            FileStamp(row.size, row.mtime_ns),
            row.content_hash,
            row.width,
            row.height,
            row.format,
            row.taken_at,
            row.camera,
            RegionMap.from_bytes(Grid(row.rows, row.cols), row.codes),
            np.frombuffer(row.class_scores, np.float16),
        )

    def failures(self, folder: str | None = None) -> list[Failure]:
        """Files that could not be read, or those under `folder` and itself, by path."""
        query = select(failures).order_by(failures.c.path)
        if folder is not None:
            query = query.where(_under(folder, failures.c.path) | (failures.c.path == folder))
        with self._reading() as connection:
            rows = connection.execute(query)
            return [Failure(row.path, FileStamp(row.size, row.mtime_ns), row.reason, row.failed_at) for row in rows]

    def roots(self) -> list[str]:
        """Folders that have been indexed, by path."""
        with self._reading() as connection:
            return list(connection.execute(select(roots.c.path).order_by(roots.c.path)).scalars())

    def problems(self) -> list[str]:
        """What is wrong with the database file and between its tables: a sentence each, none if all is well."""
        with self._reading() as connection:
            lines = connection.execute(text("PRAGMA integrity_check(10)")).scalars().all()
            found = [f"The database is damaged: {line}." for line in lines if line != "ok"]
            mapless = (
                select(func.count()).select_from(photos.outerjoin(region_maps)).where(region_maps.c.photo_id.is_(None))
            )
            ownerless = select(func.count()).select_from(region_maps.outerjoin(photos)).where(photos.c.id.is_(None))
            without = int(connection.execute(mapless).scalar_one())
            left = int(connection.execute(ownerless).scalar_one())
        if without:
            found.append(f"{without} photos have no region map.")
        if left:
            found.append(f"{left} region maps belong to no photo.")
        return found

    # Writing

    def apply(self, batch: Batch) -> int:
        """Write a batch in one transaction; returns the new generation."""
        with self._writing() as connection:
            now = datetime.now(UTC)
            generation = int(connection.execute(select(library.c.generation)).scalar_one()) + 1
            connection.execute(update(library).values(generation=generation, updated_at=now))
            for ids in _chunks(batch.removed):
                connection.execute(delete(photos).where(photos.c.id.in_(ids)))
            for photo_id, (path, stamp) in batch.moved.items():
                values = {"path": path, "folder": os.path.dirname(path), **_stamp_values(stamp)}  # noqa: PTH120
                connection.execute(update(photos).where(photos.c.id == photo_id).values(**values))
            for photo_id, stamp in batch.touched.items():
                connection.execute(update(photos).where(photos.c.id == photo_id).values(**_stamp_values(stamp)))
            for photo_id, new in batch.updated.items():
                connection.execute(update(photos).where(photos.c.id == photo_id).values(**_photo_values(new)))
                connection.execute(
                    update(region_maps)
                    .where(region_maps.c.photo_id == photo_id)
                    .values(**_map_values(new), generation=generation)
                )
            if batch.added:
                rows = [{**_photo_values(new), "added_at": now} for new in batch.added]
                added = insert(photos).returning(photos.c.id, sort_by_parameter_order=True)
                keys = connection.execute(added, rows).scalars().all()
                maps = zip(keys, batch.added, strict=True)
                connection.execute(
                    insert(region_maps),
                    [{"photo_id": key, **_map_values(new), "generation": generation} for key, new in maps],
                )
            settled = [*batch.healed, *(new.path for new in (*batch.added, *batch.updated.values()))]
            settled += [*(path for path, _ in batch.moved.values()), *(failure.path for failure in batch.failed)]
            if settled:
                connection.execute(
                    delete(failures).where(failures.c.path == bindparam("settled")),
                    [{"settled": path} for path in settled],
                )
            for failure in batch.failed:
                values = {"path": failure.path, "reason": failure.reason, **_stamp_values(failure.stamp)}
                connection.execute(insert(failures).values(**values, failed_at=now))
        return generation

    def remember_root(self, path: str) -> None:
        """Note that `path` has been indexed to its end."""
        with self._writing() as connection:
            connection.execute(delete(roots).where(roots.c.path == path))
            connection.execute(insert(roots).values(path=path, indexed_at=datetime.now(UTC)))


def head_revision() -> str:
    """The newest schema version this program knows, read from the names of the migrations."""
    import migrations.versions

    folder = Path(migrations.versions.__path__[0])
    return max(path.name.split("_")[0] for path in folder.glob("[0-9]*.py"))


def _alembic_config() -> Any:
    from alembic.config import Config

    import migrations

    folder = migrations.__path__[0]
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def _schema_version(connection: Connection) -> str | None:
    exists = connection.execute(text("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")).first()
    return None if exists is None else connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _writable_engine(path: Path) -> Engine:
    return _engine(lambda: sqlite3.connect(path, timeout=30, check_same_thread=False), writable=True)


def _reading_engine(path: Path) -> Engine:
    """A folder that cannot be written cannot hold the shared memory of WAL; nobody writes there, so go without."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    writable = os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    if not writable and not path.with_name(f"{DATABASE}-wal").exists():
        uri += "&immutable=1"
    return _engine(lambda: sqlite3.connect(uri, uri=True, timeout=30, check_same_thread=False), writable=False)


def _engine(connect: Any, *, writable: bool) -> Engine:
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=16, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # SQLAlchemy begins transactions itself, below
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA mmap_size = 268435456")
        if writable:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writing") else "BEGIN")

    return engine


def _under(folder: str, path: Column[str] = photos.c.path) -> ColumnElement[bool]:
    """Paths that begin with `folder/`: a range over their bytes."""
    prefix = os.fsencode(folder).rstrip(b"/") + b"/"
    return (path >= os.fsdecode(prefix)) & (path < os.fsdecode(prefix[:-1] + b"0"))


def _conditions(filters: Filters | None) -> list[ColumnElement[bool]]:
    if not filters:
        return []
    conditions: list[ColumnElement[bool]] = []
    if filters.folder is not None:
        conditions.append(_under(filters.folder))
    if filters.camera is not None:
        conditions.append(photos.c.camera.icontains(filters.camera, autoescape=True))
    if filters.after is not None:
        conditions.append(photos.c.taken_at >= filters.after)
    if filters.before is not None:
        conditions.append(photos.c.taken_at < filters.before)
    if filters.type is not None:
        conditions.append(func.lower(photos.c.format) == {"jpg": "jpeg", "tif": "tiff"}.get(filters.type, filters.type))
    return conditions


def _chunks(ids: Sequence[int]) -> Iterable[list[int]]:
    plain = [int(i) for i in ids]
    return (plain[start : start + CHUNK] for start in range(0, len(plain), CHUNK))


def _photo(row: Row[Any]) -> Photo:
    return Photo(
        row.id,
        row.path,
        row.width,
        row.height,
        row.format,
        row.taken_at,
        row.camera,
        FileStamp(row.size, row.mtime_ns),
        row.content_hash,
        row.added_at,
    )


def _stamp_values(stamp: FileStamp) -> dict[str, Any]:
    return {"size": stamp.size, "mtime_ns": stamp.mtime_ns}


def _photo_values(new: NewPhoto) -> dict[str, Any]:
    return {
        "path": new.path,
        "folder": os.path.dirname(new.path),  # noqa: PTH120
        **_stamp_values(new.stamp),
        "content_hash": new.content_hash,
        "width": new.width,
        "height": new.height,
        "format": new.format,
        "taken_at": new.taken_at,
        "camera": new.camera,
    }


def _map_values(new: NewPhoto) -> dict[str, Any]:
    grid = new.region_map.grid
    return {
        "rows": grid.rows,
        "cols": grid.cols,
        "codes": new.region_map.to_bytes(),
        "class_scores": np.ascontiguousarray(new.class_scores, np.float16).tobytes(),
    }
