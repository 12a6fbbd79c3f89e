"""A vocabulary as two arrays, searched without loading it: words sorted by their UTF-8 bytes."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# The bit of each byte: none for a line break, the first for what is not ASCII, else the letter's own or one it shares.
_LETTER = np.array([0 if byte == 10 else 1 << (byte % 32 if byte < 128 else 0) for byte in range(256)], np.uint32)


class Outline(NamedTuple):
    """What is known of each word without reading it: by this, those that cannot be meant are left out first."""

    lengths: NDArray[np.int32]  # characters
    letters: NDArray[np.uint32]  # a bit for each letter; whatever is not ASCII shares one


@dataclass(frozen=True)
class SortedWords:
    """`text` (bytes,) holds the words, each with a line break after it; word i begins at `offsets[i]`.

    Their outline is made when it is first asked for (60 ms for 400,000), unless it is `prepared`.
    """

    text: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    prepared: Outline | None = None

    @classmethod
    def of(cls, ordered: Iterable[bytes]) -> "SortedWords":
        """From words without line breaks that are sorted already."""
        lines = [word + b"\n" for word in ordered]
        offsets = np.cumsum([0, *map(len, lines)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(lines), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        return bytes(self.text.data[self.offsets.item(index) : self.offsets.item(index + 1) - 1])

    def lower_bound(self, key: bytes) -> int:
        """The first word that is not before `key`."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self[middle] < key:
                low = middle + 1
            else:
                high = middle
        return low

    def find(self, word: str) -> int | None:
        """The place of a word, or None."""
        key = word.encode(errors="replace")
        index = self.lower_bound(key)
        return index if index < len(self) and self[index] == key else None

    @cached_property
    def outline(self) -> Outline:
        """Length and letters of each word."""
        if self.prepared is not None:
            return self.prepared
        begins = (self.text & 0xC0) != 0x80  # the first byte of a character, or a line break
        characters: NDArray[np.int32] = np.add.reduceat(begins, self.offsets[:-1], dtype=np.int32)
        return Outline(characters - 1, np.bitwise_or.reduceat(_LETTER[self.text], self.offsets[:-1]))

    def like(self, word: str, edits: int, among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Places, ascending, of the words that may be at most so many edits from `word`, of all or of those `among`.

        An edit changes the length by at most one character; it takes away and it adds at most one letter.
        """
        lengths, letters = self.outline
        near = np.abs(lengths - len(word)) <= edits
        places = np.flatnonzero(near if among is None else near & among)
        mine = np.bitwise_or.reduce(_LETTER[list(word.encode(errors="replace"))])
        lost = _fewer(mine & ~letters[places], edits)
        places = places[lost == 0]
        gained = _fewer(letters[places] & ~mine, edits)
        like: NDArray[np.int64] = places[gained == 0]
        return like

    def strings(self, places: NDArray[np.int64]) -> list[str]:
        """The words at some places."""
        text, starts, stops = self.text.data, self.offsets[places].tolist(), self.offsets[places + 1].tolist()
        return [str(text[start : stop - 1], "utf-8") for start, stop in zip(starts, stops, strict=True)]

    @cached_property
    def all(self) -> list[str]:
        """All words as strings (some 0.1 s for 400,000; look-ups do without)."""
        text: bytes = self.text.tobytes()
        return text.decode().split("\n")[:-1]


def _fewer(letters: NDArray[np.uint32], count: int) -> NDArray[np.uint32]:
    """Sets of letters without so many of them."""
    for _ in range(min(count, 32)):
        letters &= letters - np.uint32(1)
    return letters
