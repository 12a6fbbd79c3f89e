"""Files of data sets: finding them, reading them, and one-line errors that say which one is wrong and where."""

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from engine.errors import DataError

AGAIN = "Download it again, or remove the damaged part"


class Expected(NamedTuple):
    """A file or folder of a data set: the places where it may be, the official one first, and where it comes from."""

    places: tuple[str, ...]
    source: str


def home(data: Path, *names: str) -> Path:
    """The folder of a data set: the first of these below `data`, or `data` itself."""
    return next((data / name for name in names if (data / name).is_dir()), data)


def locate(dataset: str, folder: Path, expected: Mapping[str, Expected]) -> dict[str, Path]:
    """Find all that a data set needs.

    Raises:
        DataError: something is missing; the one message lists everything that is, and where it comes from.
    """
    found: dict[str, Path] = {}
    missing: dict[str, list[str]] = {}
    for key, (places, source) in expected.items():
        path = next((folder / place for place in places if (folder / place).exists()), None)
        if path is None:
            missing.setdefault(source, []).append(places[0])
        else:
            found[key] = path
    if missing:
        wanted = "; ".join(f"{', '.join(places)} (from {source})" for source, places in missing.items())
        raise DataError(f"{dataset} in {folder} lacks {wanted}", "Put them there, or name another folder")
    return found


def corrupt(path: Path, line: int | None, problem: str) -> DataError:
    """The error for a file that is there but is not what it should be."""
    return DataError(f"{path}{'' if line is None else f', line {line}'}: {problem}", AGAIN)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the operating system or a decoder says about a file into a DataError."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise corrupt(path, None, f"byte {error.start} is not UTF-8 text") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "Check the file and its rights") from error


def lines(path: Path) -> list[str]:
    """Lines of a text file without blanks at their ends or empty ones at its end; a byte order mark is ignored."""
    with reading(path):
        text = path.read_text(encoding="utf-8-sig").rstrip()
    return [line.rstrip() for line in text.split("\n")] if text else []


class _PlainUnpickler(pickle.Unpickler):
    """Builds lists, dictionaries, text, numbers and NumPy arrays; refuses to call anything else."""

    ALLOWED = frozenset({"ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer"})

    def find_class(self, module: str, name: str) -> object:
        module = module.replace("numpy.core", "numpy._core")  # as NumPy 1 wrote it
        if (module.startswith("numpy") and name in self.ALLOWED) or (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it wants to run {module}.{name}")


def unpickle(path: Path) -> object:
    """Plain data from a pickle, without letting it run code.

    Raises:
        DataError: it cannot be read, or holds more than plain data.
    """
    with reading(path), path.open("rb") as file:
        try:
            return _PlainUnpickler(file, encoding="latin1").load()
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            raise corrupt(path, None, f"not a pickle of plain data, {error or type(error).__name__}") from error
