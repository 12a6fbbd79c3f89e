"""Cursors: where a page of hits ends, as text that an address can carry.

A cursor names the last hit by what it is sorted by and its id, not by how many came before it. So the next page goes on
after that hit also when photos have been added or removed meanwhile: nothing is shown twice or passed over.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from math import isnan
from typing import Literal

from engine.errors import QueryError

Sort = Literal["relevance", "date"]

_LAYOUT = struct.Struct("<cbdqq")
_SORTS: dict[Sort, bytes] = {"relevance": b"r", "date": b"d"}


@dataclass(frozen=True)
class Cursor:
    """After the hit `id` with this `value` (its score, or its date in seconds), the `rank`-th of its order.

    `group` tells photos that people said are relevant (-1) from those that they said are not (1) and all others (0).
    """

    sort: Sort
    group: int
    value: float
    id: int
    rank: int

    def encode(self) -> str:
        """As text."""
        packed = _LAYOUT.pack(_SORTS[self.sort], self.group, self.value, self.id, self.rank)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, sort: Sort) -> "Cursor":
        """The inverse of `encode`; raises QueryError for what is no cursor of this order."""
        try:
            mark, group, value, photo_id, rank = _LAYOUT.unpack(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (binascii.Error, ValueError, struct.error):
            mark, group, value, photo_id, rank = b"", 0, 0.0, 0, 0
        if mark != _SORTS[sort] or isnan(value) or rank < 0:
            raise QueryError("That is not a cursor of this search", "Take it from “next” of the page before")
        return cls(sort, group, value, photo_id, rank)
