"""What people said of hits: this photo is, or is not, what a query looks for."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Boolean, Row, String, bindparam, delete, insert, literal, select

from engine.library.database import Database
from engine.library.schema import Moment, feedback, photos


@dataclass(frozen=True)
class Mark:
    """A photo that was said to be relevant to a query, or not; `engine.search.feedback.spelled` writes the query."""

    id: int
    query: str
    photo_id: int
    relevant: bool
    given_at: datetime


class Feedback:
    """The marks in a library."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark(self, query: str, photo_id: int, relevant: bool) -> Mark | None:
        """Mark a photo, in place of what was said of it before; None if there is no such photo.

        The database must be open for writing; raises LibraryReadOnly otherwise.
        """
        with self._database.writing() as connection:
            connection.execute(delete(feedback).where(feedback.c.query == query, feedback.c.photo_id == photo_id))
            values = select(
                literal(query, String),
                photos.c.id,
                literal(relevant, Boolean),
                literal(datetime.now(UTC), Moment),
            ).where(photos.c.id == photo_id)
            names = ["query", "photo_id", "relevant", "given_at"]
            row = connection.execute(insert(feedback).from_select(names, values).returning(*feedback.c)).first()
        return None if row is None else _mark(row)

    def remove(self, mark_id: int) -> bool:
        """Take a mark back; False if there is none with this id."""
        with self._database.writing() as connection:
            return bool(connection.execute(delete(feedback).where(feedback.c.id == mark_id)).rowcount)

    def of(self, query: str) -> list[Mark]:
        """The marks of a query, the oldest first."""
        if not self._database.rows("SELECT 1 FROM feedback WHERE query = ?", [query]):  # as for nearly all
            return []
        with self._database.reading() as connection:
            return list(map(_mark, connection.execute(_OF_QUERY, {"query": query})))

    def all(self) -> list[Mark]:
        """All marks, the oldest first."""
        with self._database.reading() as connection:
            return list(map(_mark, connection.execute(_ALL)))


_ALL = select(feedback).order_by(feedback.c.id)
_OF_QUERY = _ALL.where(feedback.c.query == bindparam("query"))


def _mark(row: "Row[tuple[int, str, int, bool, datetime]]") -> Mark:
    return Mark(row.id, row.query, row.photo_id, row.relevant, row.given_at)
