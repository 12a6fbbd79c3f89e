"""Tables of a library, as SQLAlchemy Core; every change here is an Alembic migration too."""

import os
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class PathBytes(TypeDecorator[str]):
    """A path as the file system's own bytes, so that names that are not UTF-8 survive; a prefix is a range."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        """Path to bytes."""
        return None if value is None else os.fsencode(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:
        """Bytes to path."""
        return None if value is None else os.fsdecode(value)


class Moment(TypeDecorator[datetime]):
    """A time in UTC, with its zone in Python and without it in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware time to naive UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Naive UTC to aware time."""
        return None if value is None else value.replace(tzinfo=UTC)


_big_id: Any = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows itself only in an INTEGER key

library = Table(
    "library",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("bundle", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("generation", BigInteger, nullable=False),  # one more with each committed batch
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

roots = Table(
    "roots",
    metadata,
    Column("path", PathBytes, primary_key=True),
    Column("indexed_at", Moment, nullable=False),
)

photos = Table(
    "photos",
    metadata,
    Column("id", _big_id, primary_key=True, autoincrement=True),
    Column("path", PathBytes, nullable=False),
    Column("folder", PathBytes, nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes
    Column("mtime_ns", BigInteger, nullable=False),
    Column("content_hash", LargeBinary(16), nullable=False),
    Column("width", Integer, nullable=False),  # upright pixels
    Column("height", Integer, nullable=False),
    Column("format", String, nullable=False),
    Column("taken_at", Moment),
    Column("camera", String),
    Column("added_at", Moment, nullable=False),
    UniqueConstraint("path"),
    Index(None, "folder"),
    Index(None, "content_hash"),
    Index(None, "taken_at"),
    sqlite_autoincrement=True,  # the id of a removed photo is never given to another one
)

region_maps = Table(
    "region_maps",
    metadata,
    Column("photo_id", _big_id, ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("cols", Integer, nullable=False),
    Column("codes", LargeBinary, nullable=False),  # int8, rows·cols × D
    Column("class_scores", LargeBinary, nullable=False),  # float16, one a tag of the bundle
    Index(None, "generation"),
)

failures = Table(
    "failures",
    metadata,
    Column("path", PathBytes, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    Column("failed_at", Moment, nullable=False),
)
