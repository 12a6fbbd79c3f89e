"""What a scan found and what the library knows, side by side in a temporary database on disk.

So a million files are compared without holding them in memory. SQLite deletes the database when it is closed.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from engine.library.records import Companion, Failure, FileStamp, KnownFile

UNREAD = FileStamp(-1, -1)  # of what could not be read at all: no file has it, so it is tried again each time
_AT_ONCE = 1000  # rows

_TABLES = """
CREATE TABLE found (path BLOB PRIMARY KEY, size INT, mtime INT) WITHOUT ROWID;
CREATE TABLE found_companions (photo BLOB, path BLOB, kind TEXT, size INT, mtime INT);
CREATE INDEX by_photo ON found_companions (photo);
CREATE TABLE known (path BLOB PRIMARY KEY, id INT, size INT, mtime INT, hash BLOB, missing INT) WITHOUT ROWID;
CREATE TABLE waiting (id INTEGER PRIMARY KEY);  -- known photos that the model has not looked at
CREATE TABLE known_companions (id INT, path BLOB, kind TEXT, size INT, mtime INT);
CREATE TABLE failed (path BLOB PRIMARY KEY, size INT, mtime INT) WITHOUT ROWID;
CREATE TABLE other (id INT PRIMARY KEY, sidecar INT);  -- photos whose companions are not what they were
CREATE TABLE to_read (number INTEGER PRIMARY KEY, path BLOB, size INT, mtime INT, id INT, known_size INT,
                      known_mtime INT, hash BLOB, missing INT, companions INT);
CREATE TABLE vanished (id INTEGER PRIMARY KEY, path BLOB, size INT, mtime INT, hash BLOB, missing INT);
"""
_COMPARE = """
INSERT INTO other SELECT id, max(kind = 'sidecar') FROM (
  SELECT * FROM (SELECT k.id, c.path, c.kind, c.size, c.mtime FROM found_companions c JOIN known k ON k.path = c.photo
                 EXCEPT SELECT * FROM known_companions)
  UNION ALL
  SELECT * FROM (SELECT c.* FROM known_companions c JOIN known k USING (id) JOIN found f ON f.path = k.path
                 EXCEPT SELECT k.id, c.path, c.kind, c.size, c.mtime
                 FROM found_companions c JOIN known k ON k.path = c.photo)
) GROUP BY id;
INSERT INTO to_read (path, size, mtime, id, known_size, known_mtime, hash, missing, companions)
  SELECT f.path, f.size, f.mtime, k.id, k.size, k.mtime, k.hash, k.missing,
         EXISTS (SELECT 1 FROM found_companions c WHERE c.photo = f.path)
  FROM found f LEFT JOIN known k USING (path) LEFT JOIN failed x USING (path) LEFT JOIN other o ON o.id = k.id
  WHERE CASE WHEN k.id IS NULL THEN NOT coalesce((x.size, x.mtime) = (f.size, f.mtime), 0)
        ELSE (k.size, k.mtime) != (f.size, f.mtime) OR coalesce(o.sidecar, 0) OR x.path IS NOT NULL
             OR EXISTS (SELECT 1 FROM waiting w WHERE w.id = k.id) END
  ORDER BY f.path;
INSERT INTO vanished SELECT id, k.path, k.size, k.mtime, hash, missing
  FROM known k LEFT JOIN found f USING (path) WHERE f.path IS NULL;
DELETE FROM failed WHERE path IN (SELECT path FROM known);
"""


class Ledger:
    """The comparison; one thread may use it."""

    def __init__(self) -> None:
        self.found = 0
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA cache_size = -65536")  # KiB
        self._db.executescript(_TABLES)
        self._db.execute("BEGIN")

    # What a scan found

    def note(self, path: str, stamp: FileStamp, companions: Iterable[Companion] = ()) -> None:
        """A photo was found; a second time changes nothing."""
        key = os.fsencode(path)
        added = self._db.execute("INSERT OR IGNORE INTO found VALUES (?, ?, ?)", (key, *stamp))
        if added.rowcount == 0:
            return
        self.found += 1
        self._db.executemany(
            "INSERT INTO found_companions VALUES (?, ?, ?, ?, ?)", [(key, *_companion(one)) for one in companions]
        )

    def found_files(self) -> Iterator[tuple[str, FileStamp, tuple[Companion, ...]]]:
        """Files by path, with what belongs to each."""
        rows = self._db.execute("SELECT path, size, mtime FROM found ORDER BY path")
        for path, size, mtime in rows:
            yield os.fsdecode(path), FileStamp(size, mtime), self.companions(path)

    def companions(self, photo: bytes) -> tuple[Companion, ...]:
        """What was found to belong to a photo, by path."""
        rows = self._db.execute(
            "SELECT path, kind, size, mtime FROM found_companions WHERE photo = ? ORDER BY path", (photo,)
        )
        return tuple(Companion(os.fsdecode(path), kind, FileStamp(size, mtime)) for path, kind, size, mtime in rows)

    # What became of it

    def compare(
        self,
        known: Iterable[KnownFile],
        companions: Iterable[tuple[int, Companion]],
        failed: Iterable[Failure],
        unreadable: Sequence[str],
        waiting: Iterable[int],
        *,
        retry_failed: bool,
    ) -> None:
        """Compare with what the library knows; of what lies in an `unreadable` place nothing has vanished.

        Photos `waiting` for the model to look at them are to be read, even if they have not changed.
        """
        for table in ("known", "known_companions", "failed", "other", "to_read", "vanished", "waiting"):
            self._db.execute(f"DELETE FROM {table}")
        self._db.executemany(
            "INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?, ?)",
            (
                (os.fsencode(file.path), file.id, file.stamp.size, file.stamp.mtime_ns, file.content_hash, file.missing)
                for file in known
            ),
        )
        self._db.executemany(
            "INSERT INTO known_companions VALUES (?, ?, ?, ?, ?)",
            ((photo_id, *_companion(one)) for photo_id, one in companions),
        )
        self._db.executemany(
            "INSERT OR REPLACE INTO failed VALUES (?, ?, ?)",
            (
                (os.fsencode(one.path), *((-2, -2) if retry_failed else (one.stamp.size, one.stamp.mtime_ns)))
                for one in failed
            ),
        )
        self._db.executemany("INSERT INTO waiting VALUES (?)", ((photo_id,) for photo_id in waiting))
        for statement in _COMPARE.split(";\n"):
            self._db.execute(statement)
        for place in unreadable:
            prefix = os.fsencode(place).rstrip(b"/")
            for table in ("vanished", "failed"):
                self._db.execute(
                    f"DELETE FROM {table} WHERE path = ? OR (path >= ? AND path < ?)",
                    (prefix, prefix + b"/", prefix + b"0"),
                )

    def count(self, what: str) -> int:
        """Number of rows of `to_read`, `vanished` or `waiting`."""
        return int(self._db.execute(f"SELECT count(*) FROM {what}").fetchone()[0])

    def count_new(self) -> int:
        """Number of files to read that the library does not know."""
        return int(self._db.execute("SELECT count(*) FROM to_read WHERE id IS NULL").fetchone()[0])

    def count_failing(self) -> int:
        """Number of files that failed before and have not changed since."""
        query = "SELECT count(*) FROM failed x JOIN found f USING (path) WHERE (x.size, x.mtime) = (f.size, f.mtime)"
        return int(self._db.execute(query).fetchone()[0])

    def to_read(self) -> Iterator[tuple[str, FileStamp, tuple[Companion, ...], KnownFile | None]]:
        """New and changed files by path, with what belongs to them and what the library knows of them."""
        last = 0
        while rows := self._db.execute(
            "SELECT * FROM to_read WHERE number > ? ORDER BY number LIMIT ?", (last, _AT_ONCE)
        ).fetchall():
            for row in rows:
                last, path, size, mtime, photo_id, known_size, known_mtime, content_hash, missing, belonging = row
                name = os.fsdecode(path)
                stamp = FileStamp(known_size, known_mtime)
                known = None if photo_id is None else KnownFile(photo_id, name, stamp, content_hash, bool(missing))
                yield name, FileStamp(size, mtime), self.companions(path) if belonging else (), known

    def found_again(self) -> Iterator[tuple[int, FileStamp]]:
        """Photos that were missing and are there again as they were."""
        query = "SELECT id, k.size, k.mtime FROM known k JOIN found f USING (path) WHERE missing"
        for photo_id, size, mtime in self._db.execute(query).fetchall():
            yield photo_id, FileStamp(size, mtime)

    def other_companions(self) -> Iterator[tuple[int, tuple[Companion, ...]]]:
        """Photos that other files than before belong to, and which, unless they are to be read."""
        query = """SELECT o.id, k.path FROM other o JOIN known k USING (id)
                   WHERE o.id NOT IN (SELECT id FROM to_read WHERE id IS NOT NULL)"""
        for photo_id, path in self._db.execute(query).fetchall():
            yield photo_id, self.companions(path)

    def healed(self) -> list[str]:
        """Failures whose file is gone."""
        rows = self._db.execute("SELECT path FROM failed x LEFT JOIN found f USING (path) WHERE f.path IS NULL")
        return [os.fsdecode(path) for (path,) in rows]

    def vanished(self) -> Iterator[KnownFile]:
        """Photos whose file is gone, unless it was found elsewhere, by id."""
        last = -1
        while rows := self._db.execute(
            "SELECT * FROM vanished WHERE id > ? ORDER BY id LIMIT ?", (last, _AT_ONCE)
        ).fetchall():
            for last, path, size, mtime, content_hash, missing in rows:
                yield KnownFile(last, os.fsdecode(path), FileStamp(size, mtime), content_hash, bool(missing))

    def is_vanished(self, photo_id: int) -> bool:
        """Whether the file of a photo is gone."""
        return self._db.execute("SELECT 1 FROM vanished WHERE id = ?", (photo_id,)).fetchone() is not None

    def is_waiting(self, photo_id: int) -> bool:
        """Whether a photo waits for the model to look at it."""
        return self._db.execute("SELECT 1 FROM waiting WHERE id = ?", (photo_id,)).fetchone() is not None

    def found_elsewhere(self, photo_id: int) -> None:
        """A photo that seemed gone has moved."""
        self._db.execute("DELETE FROM vanished WHERE id = ?", (photo_id,))


def _companion(one: Companion) -> tuple[bytes, str, int, int]:
    return os.fsencode(one.path), one.kind, *one.stamp
