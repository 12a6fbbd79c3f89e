"""Where a page of a list of photos ends, as text that an address can carry.

It names the last photo by all that lists are sorted by. So the next page goes on after it, also when photos have been
added or removed meanwhile.
"""

import base64
import binascii
import os
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from engine.errors import QueryError
from engine.library.records import Photo

_LAYOUT = re.compile(rb"(\d{1,18}) (|\S+\+00:00) (.+)", re.DOTALL)  # id, time in UTC, path


@dataclass(frozen=True)
class Place:
    """After the photo that has, or had, this path, time and id."""

    path: str
    taken_at: datetime | None
    id: int

    @classmethod
    def after(cls, photo: Photo) -> Self:
        """The place after a photo."""
        return cls(photo.path, photo.taken_at, photo.id)

    def encode(self) -> str:
        """As text."""
        taken_at = "" if self.taken_at is None else self.taken_at.isoformat()
        packed = f"{self.id} {taken_at} ".encode() + os.fsencode(self.path)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """The inverse of `encode`; raises QueryError for anything else."""
        try:
            packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            photo_id, taken_at, path = _LAYOUT.fullmatch(packed).groups()  # type: ignore[union-attr]
            moment = datetime.fromisoformat(taken_at.decode()) if taken_at else None
            return cls(os.fsdecode(path), moment, int(photo_id))
        except (binascii.Error, ValueError, AttributeError):
            raise QueryError("That is not a cursor of this list", "Take it from “next” of the page before") from None
