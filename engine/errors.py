"""Errors that users can meet; each room adds its own below these.

UnseenError                     says what went wrong, to which file, and what to try
├── LibraryError                the library folder
│   ├── LibraryNotFound         nothing has been indexed there yet
│   ├── LibraryLocked           another process is writing
│   ├── LibraryReadOnly         the folder or its disk cannot be written
│   └── WrongBundle             the library was made with another model
├── BundleError                 a model on disk is missing, incomplete or not what it says
├── WordsError                  word vectors that cannot be read
├── QueryError                  a query that cannot be answered
│   ├── EmptyQuery
│   └── UnknownWord             carries the nearest spellings
├── PhotoError                  one photo that cannot be read
└── DataError                   a data set for training that is missing or malformed
"""

from collections.abc import Sequence
from pathlib import Path


class UnseenError(Exception):
    """Base of all errors shown to users.

    `message` says what happened and to which file; `hint` says what to try. `str(error)` is both on one line.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message, hint)

    def __str__(self) -> str:
        """Message and hint on one line."""
        text = f"{self.message}. {self.hint}" if self.hint else self.message
        return " ".join(text.split())


class LibraryError(UnseenError):
    """The library folder cannot be used."""


class LibraryNotFound(LibraryError):
    """There is no library in the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"There is no library in {folder}", "Make one with: unseen index FOLDER")


class LibraryLocked(LibraryError):
    """Another process is writing to the library."""


class LibraryReadOnly(LibraryError):
    """The library cannot be written."""


class WrongBundle(LibraryError):
    """The library holds region maps of another model."""


class BundleError(UnseenError):
    """A model on disk is missing, incomplete or not what it says it is."""


class WordsError(UnseenError):
    """Word vectors cannot be read."""


class QueryError(UnseenError):
    """A query cannot be answered as it stands."""


class EmptyQuery(QueryError):
    """The query holds no word."""


class UnknownWord(QueryError):
    """A word has no vector; `suggestions` are the nearest spellings, best first."""

    def __init__(self, word: str, suggestions: Sequence[str], hint: str = "Try another word") -> None:
        self.word = word
        self.suggestions = list(suggestions)
        if self.suggestions:
            hint = f"Did you mean {', '.join(self.suggestions)}?"
        super().__init__(f"The word “{word}” is not in the vocabulary", hint)


class PhotoError(UnseenError):
    """One photo cannot be read."""


class DataError(UnseenError):
    """A data set is missing or malformed."""
