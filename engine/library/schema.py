"""Tables of a library, as SQLAlchemy Core; every change here is an Alembic migration too."""

import os
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
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
    Column("taken_offset", Integer),  # minutes east of UTC where the photo was taken; null where nobody noted it
    Column("taken_from", String),  # where `taken_at` is from: exif, xmp, file
    Column("lens", String),
    Column("latitude", Float),  # degrees north
    Column("longitude", Float),  # degrees east
    Column("rating", Integer),  # -1 rejected, 0 none, 1…5 stars
    Column("warning", String),  # what is wrong with a file that could be read in part
    Column("missing_since", Moment),  # kept although the file is gone
    UniqueConstraint("path"),
    Index(None, "camera"),
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

keywords = Table(  # that people or other programs gave a photo
    "keywords",
    metadata,
    Column("photo_id", _big_id, ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("keyword", String, primary_key=True),
    Column("folded", String, nullable=False),  # as queries spell it
    Index(None, "folded"),
)

companions = Table(  # files that are shown as one with a photo: its RAW, its live video
    "companions",
    metadata,
    Column("path", PathBytes, primary_key=True),
    Column("photo_id", _big_id, ForeignKey("photos.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Index(None, "photo_id"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", _big_id, primary_key=True, autoincrement=True),
    Column("query", String, nullable=False),
    Column("photo_id", _big_id, ForeignKey("photos.id", ondelete="CASCADE"), nullable=False),
    Column("relevant", Boolean, nullable=False),
    Column("given_at", Moment, nullable=False),
    UniqueConstraint("query", "photo_id"),
    sqlite_autoincrement=True,  # an id that was taken back is never given again
)

tokens = Table(  # keys to the server; only their SHA-256 is kept
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("last_used_at", Moment),
    UniqueConstraint("name"),
)
