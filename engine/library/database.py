"""The library's SQLite database: opening, migrating, transactions, and its errors in words.

SQLite in WAL mode: one writer, many readers that never wait.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from engine.errors import LibraryError, LibraryNotFound, LibraryReadOnly
from engine.library.conditions import lies_in
from engine.library.records import LibraryInfo
from engine.library.schema import library

DATABASE = "library.db"
RESTORE = f"Restore {DATABASE} from a backup, or delete it and index again"


class Database:
    """The database of an open library. Close it, or use it in a `with` statement."""

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
        with store.writing() as connection:  # all at once, so that nobody finds half a library
            store._migrate(connection, "head")
            if connection.execute(select(library.c.id)).first() is None:
                now = datetime.now(UTC)
                made = {"bundle": bundle, "fingerprint": fingerprint, "created_at": now, "updated_at": now}
                connection.execute(insert(library).values(id=1, generation=0, **made))
        return store

    @classmethod
    def open(cls, folder: Path, *, writable: bool = False) -> Self:
        """Open the library in `folder` for reading; a folder that cannot be written is no hindrance.

        With `writable` also for small writes beside the indexer's, which need no lock of their own. Raises
        LibraryNotFound, or LibraryError for a database that is damaged or of another version.
        """
        path = folder / DATABASE
        if not is_library(folder):
            raise LibraryNotFound(folder)
        store = cls(folder, _writable_engine(path) if writable else _reading_engine(path))
        with store.guard():
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
        with self.writing() as connection:
            self._migrate(connection, revision)

    def _migrate(self, connection: Connection, revision: str) -> None:
        from alembic import command
        from alembic.script import ScriptDirectory

        config = _alembic_config()
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
    def guard(self) -> Iterator[None]:
        """Turn the database's errors into ones for people."""
        try:
            yield
        except (OperationalError, sqlite3.OperationalError) as error:
            message = _said(error)
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
        except (DatabaseError, sqlite3.DatabaseError) as error:
            raise LibraryError(f"The library in {self.folder} is damaged: {_said(error)}", RESTORE) from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the library."""
        with self.guard(), self._engine.connect() as connection:
            yield connection

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """What a statement selects, as SQLite has it: for what each search or each photo asks.

        SQLAlchemy takes several times as long as SQLite to look up a few rows.
        """
        with self.guard():
            connection = self._engine.raw_connection()
            try:
                found: list[Any] = connection.cursor().execute(statement, parameters).fetchall()
                return found
            finally:
                connection.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction, which is committed at the end or undone."""
        with self.guard(), self._engine.execution_options(writing=True).begin() as connection:
            yield connection

    def info(self) -> LibraryInfo:
        """Bundle and generation of the library."""
        with self.reading() as connection:
            row = connection.execute(select(library)).one()
        return LibraryInfo(row.bundle, row.fingerprint, row.generation, row.created_at, row.updated_at)

    def generation(self) -> int:
        """How many batches have been committed; it changes with photos, not with marks, folders or tokens."""
        ((generation,),) = self.rows("SELECT generation FROM library")
        return int(generation)

    def fingerprint(self) -> str:
        """That of the bundle of the library."""
        ((fingerprint,),) = self.rows("SELECT fingerprint FROM library")
        return str(fingerprint)

    def schema_version(self) -> str | None:
        """Revision of the newest migration that has run."""
        with self.reading() as connection:
            return _schema_version(connection)


def is_library(folder: Path) -> bool:
    """Whether there is a library in `folder`, be it damaged; one whose making was cut short is none."""
    path = folder / DATABASE
    if not path.is_file():
        return False
    try:
        with closing(_connect_reading(path)) as connection:
            return connection.execute("SELECT 1 FROM library").fetchone() is not None
    except sqlite3.OperationalError as error:
        return "no such table" not in str(error)
    except sqlite3.DatabaseError:
        return True


def head_revision() -> str:
    """The newest schema version this program knows, read from the names of the migrations."""
    import migrations.versions

    folder = Path(migrations.versions.__path__[0])
    return max(path.name.split("_")[0] for path in folder.glob("[0-9]*.py"))


def _said(error: sqlite3.Error | DBAPIError) -> str:
    return str(error.orig if isinstance(error, DBAPIError) else error)


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
    """Where it cannot write, each connection is a new one: its owner may have begun to write meanwhile, or ended."""
    return _engine(lambda: _connect_reading(path), writable=False, kept=_can_write(path.parent))


def _connect_reading(path: Path) -> sqlite3.Connection:
    """A folder that cannot be written cannot hold the shared memory of WAL; while nobody writes there, go without."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if not _can_write(path.parent) and not path.with_name(f"{DATABASE}-wal").exists():
        uri += "&immutable=1"
    return sqlite3.connect(uri, uri=True, timeout=30, check_same_thread=False)


def _can_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _engine(connect: Any, *, writable: bool, kept: bool = True) -> Engine:
    pool: Any = {"poolclass": QueuePool, "pool_size": 16, "max_overflow": -1} if kept else {"poolclass": NullPool}
    engine = create_engine("sqlite://", creator=connect, **pool)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # SQLAlchemy begins transactions itself, below
        connection.create_function(lies_in.__name__, 2, lies_in, deterministic=True)
        connection.execute("PRAGMA foreign_keys = ON")
        if writable:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        else:  # what a writer has mapped would count as its memory, and grow with the library
            connection.execute("PRAGMA mmap_size = 268435456")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writing"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:  # which waits for nothing, so it cannot fail, and a read of one row takes half the time
            connection.connection.cursor().execute("BEGIN")

    return engine
