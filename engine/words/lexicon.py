"""A lexicon: word vectors of a bundle's own, for the words and phrases that photos are searched with.

GloVe knows words by their neighbours in text; a sentence encoder knows that a dog is an animal one can see, and that a
"hot dog" is not one. What it says of the commonest words and of thousands of phrases is kept as a small table, so a
search needs no encoder. Words outside the table come from GloVe, through a linear map fitted on those inside.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from engine.errors import UnknownWord, WordsError
from engine.words.sorted_words import SortedWords
from engine.words.vectors import Array, WordVectors, normalise, unit

FILE = "lexicon.safetensors"


@dataclass(frozen=True)
class LexiconTable:
    """Entries with their codes (V, d) in 8 bits, a vector being code · `scale`, and the map (g, d) from GloVe."""

    entries: SortedWords
    codes: NDArray[np.int8]
    scale: Array  # (d,)
    from_words: Array

    @classmethod
    def load(cls, path: Path) -> "LexiconTable":
        """Read a table; raises WordsError."""
        try:
            parts = load_file(path)
            entries = SortedWords(parts["text"], parts["offsets"])
            return cls(entries, parts["codes"], parts["scale"], parts["from_words"])
        except (OSError, KeyError, SafetensorError) as error:
            raise WordsError(f"Cannot read the lexicon {path}: {error}", "Fetch the bundle again") from None

    def save(self, path: Path) -> None:
        """Write the table."""
        parts: dict[str, NDArray[Any]] = {
            "text": self.entries.text,
            "offsets": self.entries.offsets,
            "codes": self.codes,
            "scale": self.scale,
            "from_words": self.from_words,
        }
        save_file(parts, path)

    def row(self, entry: str) -> Array | None:
        """The unit vector (d,) of an entry, or None."""
        index = self.entries.find(entry)
        return None if index is None else unit(self.codes[index] * self.scale)


class Lexicon(WordVectors):
    """Word vectors in the space of a table, with the spellings and frequencies of the vocabulary behind it."""

    def __init__(self, behind: WordVectors, table: LexiconTable) -> None:
        self.__dict__.update(behind.__dict__)
        self._behind = behind
        self._table = table

    @property
    def dim(self) -> int:
        """d, numbers in a vector."""
        return int(self._table.codes.shape[1])

    def vector(self, phrase: str) -> Array:
        """The unit vector (d,) of a word or phrase: its own entry, or the mean of its words' unit vectors."""
        whole = normalise(phrase)
        words = self.split(phrase)
        for spelling in (whole, whole.replace("-", " "), *(join.join(words) for join in (" ", "-", ""))):
            entry = self._table.row(spelling)
            if entry is not None:
                return entry
        if not words:
            raise UnknownWord(phrase.strip(), [])
        return unit(np.mean([self.word_vector(word) for word in words], axis=0, dtype=np.float32))

    def word_vector(self, word: str) -> Array:
        """The unit vector (d,) of one word; raises UnknownWord."""
        entry = self._table.row(word)
        return unit(self._behind.word_vector(word) @ self._table.from_words) if entry is None else entry

    def knows(self, phrase: str) -> bool:
        """Whether a phrase is an entry, or every word of it has a vector."""
        return self._table.entries.find(normalise(phrase)) is not None or super().knows(phrase)

    def is_common(self, word: str) -> bool:
        """Whether a word is an entry, or frequent."""
        return self._table.entries.find(normalise(word)) is not None or super().is_common(word)

    def is_phrase(self, text: str) -> bool:
        """Whether several words are an entry of their own, one concept."""
        return " " in text and self._table.entries.find(text) is not None
