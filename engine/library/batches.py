"""A batch of changes, written to the tables of a library inside one transaction."""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from engine.library.records import Batch, Companion, FileStamp, Metadata, NewPhoto
from engine.library.schema import companions, failures, keywords, library, photos, region_maps
from engine.words.vectors import normalise

METADATA = ("taken_at", "taken_offset", "taken_from", "camera", "lens", "latitude", "longitude", "rating")  # columns
CHUNK = 500  # ids in one SQL statement; SQLite takes 32,766 variables


def write_batch(connection: Connection, batch: Batch) -> int:
    """Write all of a batch; returns the generation that it makes."""
    now = datetime.now(UTC)
    generation = int(connection.execute(select(library.c.generation)).scalar_one()) + 1
    connection.execute(update(library).values(generation=generation, updated_at=now))
    for start in range(0, len(batch.removed), CHUNK):
        connection.execute(delete(photos).where(photos.c.id.in_(batch.removed[start : start + CHUNK])))
    _change(connection, [{"key": key, **_place(*place), "missing_since": None} for key, place in batch.moved.items()])
    _change(connection, [{"key": key, **_stamp(mark), "missing_since": None} for key, mark in batch.touched.items()])
    _change(connection, [{"key": key, "missing_since": now} for key in batch.missing])
    _update(connection, batch.updated, generation)
    _add(connection, batch.added, generation, now)
    _change(connection, [{"key": key, **_metadata(said)} for key, said in batch.described.items()])
    _replace_keywords(connection, {key: said.keywords for key, said in batch.described.items()})
    _replace_companions(connection, batch.companions)
    _note_failures(connection, batch, now)
    return generation


def _update(connection: Connection, updated: dict[int, NewPhoto], generation: int) -> None:
    _change(connection, [{"key": key, **_photo(new), "missing_since": None} for key, new in updated.items()])
    if updated:
        gone = delete(region_maps).where(region_maps.c.photo_id == bindparam("key"))
        connection.execute(gone, [{"key": key} for key in updated])
        rows = [{"photo_id": key, **_map(new), "generation": generation} for key, new in updated.items()]
        connection.execute(insert(region_maps), rows)
    _replace_keywords(connection, {key: new.metadata.keywords for key, new in updated.items()})
    _replace_companions(connection, {key: new.companions for key, new in updated.items()})


def _add(connection: Connection, added: Sequence[NewPhoto], generation: int, now: datetime) -> None:
    if not added:
        return
    numbered = insert(photos).returning(photos.c.id, sort_by_parameter_order=True)
    keys = connection.execute(numbered, [{**_photo(new), "added_at": now} for new in added]).scalars().all()
    rows = [{"photo_id": key, **_map(new), "generation": generation} for key, new in zip(keys, added, strict=True)]
    connection.execute(insert(region_maps), rows)
    _replace_keywords(connection, {key: new.metadata.keywords for key, new in zip(keys, added, strict=True)})
    _replace_companions(connection, {key: new.companions for key, new in zip(keys, added, strict=True)})


def _change(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Give photos new values; each row has the photo's id as `key`."""
    if rows:
        connection.execute(update(photos).where(photos.c.id == bindparam("key")), rows)


def _replace_keywords(connection: Connection, by_photo: dict[int, tuple[str, ...]]) -> None:
    if by_photo:
        gone = delete(keywords).where(keywords.c.photo_id == bindparam("key"))
        connection.execute(gone, [{"key": key} for key in by_photo])
    rows = [
        {"photo_id": key, "keyword": word, "folded": normalise(word)}
        for key, words in by_photo.items()
        for word in words
    ]
    if rows:
        connection.execute(insert(keywords), rows)


def _replace_companions(connection: Connection, by_photo: dict[int, tuple[Companion, ...]]) -> None:
    if by_photo:
        gone = delete(companions).where(companions.c.photo_id == bindparam("key"))
        connection.execute(gone, [{"key": key} for key in by_photo])
    rows = [
        {"photo_id": key, "path": one.path, "kind": one.kind, **_stamp(one.stamp)}
        for key, ones in by_photo.items()
        for one in ones
    ]
    if rows:
        _forget(connection, companions.c.path, [row["path"] for row in rows])  # it may have been another photo's
        connection.execute(insert(companions), rows)


def _note_failures(connection: Connection, batch: Batch, now: datetime) -> None:
    settled = [*batch.healed, *(new.path for new in (*batch.added, *batch.updated.values()))]
    settled += [*(path for path, _ in batch.moved.values()), *(failure.path for failure in batch.failed)]
    _forget(connection, failures.c.path, settled)
    if batch.failed:
        rows = [
            {"path": failure.path, "reason": failure.reason, "failed_at": now, **_stamp(failure.stamp)}
            for failure in batch.failed
        ]
        connection.execute(insert(failures), rows)


def _forget(connection: Connection, path: Any, paths: Iterable[str]) -> None:
    rows = [{"forgotten": one} for one in paths]
    if rows:
        connection.execute(delete(path.table).where(path == bindparam("forgotten")), rows)


def _place(path: str, stamp: FileStamp) -> dict[str, Any]:
    folder = os.path.dirname(path)  # noqa: PTH120  (paths may hold bytes that are not UTF-8)
    return {"path": path, "folder": folder, **_stamp(stamp)}


def _stamp(stamp: FileStamp) -> dict[str, Any]:
    return {"size": stamp.size, "mtime_ns": stamp.mtime_ns}


def _photo(new: NewPhoto) -> dict[str, Any]:
    return {
        **_place(new.path, new.stamp),
        **_metadata(new.metadata),
        **{name: getattr(new, name) for name in ("content_hash", "width", "height", "format", "warning")},
    }


def _metadata(said: Metadata) -> dict[str, Any]:
    return {name: getattr(said, name) for name in METADATA}


def _map(new: NewPhoto) -> dict[str, Any]:
    grid = new.region_map.grid
    return {
        "rows": grid.rows,
        "cols": grid.cols,
        "codes": new.region_map.to_bytes(),
        "class_scores": np.ascontiguousarray(new.class_scores, np.float16).tobytes(),
    }
