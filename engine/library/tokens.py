"""Keys to the server. Only what a token hashes to is kept, so a stolen library opens nothing."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, insert, select, update

from engine.errors import UnseenError
from engine.library.database import Database
from engine.library.schema import tokens

PREFIX = "unseen_"  # so that a token is known for one where it turns up
ENTROPY = 32  # bytes


class TokenExists(UnseenError):
    """There is a token with this name already."""


@dataclass(frozen=True)
class Token:
    """A token as it is kept."""

    id: int
    name: str
    created_at: datetime
    last_used_at: datetime | None


class Tokens:
    """The tokens in a library."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def new(self, name: str) -> str:
        """Make a token and return it, for the only time; raises TokenExists."""
        token = PREFIX + secrets.token_urlsafe(ENTROPY)
        with self._database.writing() as connection:
            if connection.execute(select(tokens.c.id).where(tokens.c.name == name)).first() is not None:
                raise TokenExists(f"There is a token named {name} already", "Choose another name, or revoke it first")
            connection.execute(insert(tokens).values(name=name, digest=_digest(token), created_at=datetime.now(UTC)))
        return token

    def all(self) -> list[Token]:
        """All tokens, the oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tokens).order_by(tokens.c.id)).all()
        return [Token(row.id, row.name, row.created_at, row.last_used_at) for row in rows]

    def verify(self, token: str) -> Token | None:
        """The token as it is kept, or None for a wrong one; takes as long for any."""
        digest, found = _digest(token), None
        with self._database.reading() as connection:
            for row in connection.execute(select(tokens)):
                if hmac.compare_digest(row.digest, digest):
                    found = Token(row.id, row.name, row.created_at, row.last_used_at)
        return found

    def valid(self, token_id: int) -> bool:
        """Whether a token has not been revoked."""
        with self._database.reading() as connection:
            return connection.execute(select(tokens.c.id).where(tokens.c.id == token_id)).first() is not None

    def used(self, token_id: int) -> None:
        """Note that a token is used now."""
        with self._database.writing() as connection:
            connection.execute(update(tokens).where(tokens.c.id == token_id).values(last_used_at=datetime.now(UTC)))

    def revoke(self, name: str) -> bool:
        """Make a token worthless, and every session that was begun with it; False if there is none of this name."""
        with self._database.writing() as connection:
            return bool(connection.execute(delete(tokens).where(tokens.c.name == name)).rowcount)


def _digest(token: str) -> bytes:
    """A token has so much entropy that a plain hash of it cannot be undone."""
    return hashlib.sha256(token.encode()).digest()
