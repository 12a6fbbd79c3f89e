"""A lexicon: word vectors of a bundle's own, for the words and phrases that photos are searched with.

GloVe knows words by their neighbours in text; a sentence encoder knows that a dog is an animal one can see, and that a
"hot dog" is not one. What it says of the commonest words and of thousands of phrases is kept as a small table, so a
search needs no encoder. Words outside the table come from GloVe, through a linear map fitted on those inside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from engine.errors import UnknownWord, WordsError
from engine.words.sorted_words import SortedWords
from engine.words.spelling import other_spellings
from engine.words.vectors import Array, WordVectors, normalise, unit

FILE = "lexicon.safetensors"


@dataclass(frozen=True)
class LexiconTable:
    """Entries with their codes (V, d) in 8 bits, a vector being code · `scale`, and the map (g, d) from GloVe.

    Entries that training has moved, a few hundred, have their codes apart, so that the next one can begin anew.
    """

    entries: SortedWords
    codes: NDArray[np.int8]
    scale: Array  # (d,)
    from_words: Array
    moved: Mapping[int, NDArray[np.int8]] = field(default_factory=dict)  # code (d,) by place

    @classmethod
    def load(cls, path: Path) -> "LexiconTable":
        """Read a table; raises WordsError."""
        try:
            parts = load_file(path)
            entries = SortedWords(parts["text"], parts["offsets"])
            moved = dict(zip(parts["moved"].tolist(), parts["moved_codes"], strict=True)) if "moved" in parts else {}
            return cls(entries, parts["codes"], parts["scale"], parts["from_words"], moved)
        except (OSError, KeyError, ValueError, SafetensorError) as error:
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
        if self.moved:
            parts |= {"moved": np.array(list(self.moved), np.int32), "moved_codes": np.stack(list(self.moved.values()))}
        save_file(parts, path)

    def with_entries(self, vectors: Mapping[str, Array]) -> "LexiconTable":
        """A table with these words and their unit vectors (d,) beside its own, as it is with nothing moved."""
        codes = dict(zip((bytes(self.entries[i]) for i in range(len(self.entries))), self.codes, strict=True))
        codes.update((word.encode(), self._rounded(vector)) for word, vector in vectors.items())
        ordered = sorted(codes)
        stacked = np.stack([codes[word] for word in ordered])
        return replace(self, entries=SortedWords.of(ordered), codes=stacked, moved={})

    def with_moved(self, vectors: Mapping[str, Array]) -> "LexiconTable":
        """A table in which these entries, and no others, have moved to other unit vectors (d,)."""
        places = {word: self.entries.find(word) for word in vectors}
        return replace(self, moved={at: self._rounded(vectors[word]) for word, at in places.items() if at is not None})

    def _rounded(self, vector: Array) -> NDArray[np.int8]:
        code: NDArray[np.int8] = np.clip(np.rint(vector / self.scale), -127, 127).astype(np.int8)
        return code

    def __getitem__(self, index: int) -> Array:
        """The unit vector (d,) of an entry, by its place."""
        return unit(self.moved.get(index, self.codes[index]) * self.scale)

    def row(self, entry: str) -> Array | None:
        """The unit vector (d,) of an entry, or None."""
        index = self.entries.find(entry)
        return None if index is None else self[index]


class Lexicon(WordVectors):
    """Word vectors in the space of a table, with the spellings and frequencies of the vocabulary behind it."""

    def __init__(self, behind: WordVectors, table: LexiconTable) -> None:
        self.__dict__.update(behind.__dict__)
        self._behind = behind
        self._table = table

    def __contains__(self, word: str) -> bool:
        return word in self._behind or self._entry(word) is not None

    @property
    def dim(self) -> int:
        """d, numbers in a vector."""
        return int(self._table.codes.shape[1])

    def vector(self, phrase: str) -> Array:
        """The unit vector (d,) of a word or phrase: its own entry, or the mean of its words' unit vectors."""
        whole = normalise(phrase)
        words = self.split(phrase)
        spellings = (whole, whole.replace("-", " "), *(join.join(words) for join in (" ", "-", "")))
        for entry in chain(map(self._table.entries.find, spellings), map(self._entry, spellings)):
            if entry is not None:
                return self._table[entry]
        if not words:
            raise UnknownWord(phrase.strip(), [])
        return unit(np.mean([self.word_vector(word) for word in words], axis=0, dtype=np.float32))

    def word_vector(self, word: str) -> Array:
        """The unit vector (d,) of one word; raises UnknownWord."""
        entry = self._entry(word)
        return unit(self._behind.word_vector(word) @ self._table.from_words) if entry is None else self._table[entry]

    def knows(self, phrase: str) -> bool:
        """Whether a phrase is an entry, or every word of it has a vector."""
        return super().knows(phrase) or self._entry(normalise(phrase)) is not None

    def is_common(self, word: str) -> bool:
        """Whether a word is an entry, or frequent."""
        return super().is_common(word) or self._entry(normalise(word)) is not None

    def is_phrase(self, text: str) -> bool:
        """Whether several words are an entry of their own, one concept."""
        return " " in text and self._entry(text) is not None

    def _known_form(self, token: str) -> str | None:
        return token if token in self else self._behind._known_form(token)

    def _entry(self, text: str) -> int | None:
        """The place of an entry in the table, also by another spelling, or written as one word ("trafficlight")."""
        find = self._table.entries.find
        if (entry := find(text)) is not None:  # as most are, and other spellings take their time
            return entry
        for spelling in other_spellings(text):
            entry = find(spelling)
            if entry is not None:
                return entry
        if not text.isalpha():
            return None
        halves = ((text[:i], text[i:]) for i in range(1, len(text)))
        pairs = (find(join.join(half)) for half in halves for join in (" ", "-"))
        return next((entry for entry in pairs if entry is not None), None)
