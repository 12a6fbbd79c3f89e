"""A vocabulary as two arrays, searched without loading it: words sorted by their UTF-8 bytes."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SortedWords:
    """`text` (bytes,) holds the words, each with a line break after it; word i begins at `offsets[i]`."""

    text: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, ordered: Iterable[bytes]) -> "SortedWords":
        """From words without line breaks that are sorted already."""
        lines = [word + b"\n" for word in ordered]
        offsets = np.cumsum([0, *map(len, lines)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(lines), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        word: bytes = self.text[self.offsets[index] : self.offsets[index + 1] - 1].tobytes()
        return word

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
    def lengths(self) -> NDArray[np.int64]:
        """How many characters each word has."""
        begins = (self.text & 0xC0) != 0x80  # the first byte of a character, or a line break
        characters: NDArray[np.int64] = np.add.reduceat(begins, self.offsets[:-1], dtype=np.int64) - 1
        return characters

    @cached_property
    def all(self) -> list[str]:
        """All words as strings (some 0.1 s for 400,000; look-ups do without)."""
        text: bytes = self.text.tobytes()
        return text.decode().split("\n")[:-1]
