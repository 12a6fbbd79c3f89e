"""Word vectors: from a word or phrase to the vector it is searched with, and to its nearest spellings.

gensim reads every format; what it read is kept as plain arrays in the cache folder, which later processes map into
memory instead of loading. So a look-up costs a binary search, and neither gensim nor the vectors are in the way of a
cold start.
"""

import gzip
import hashlib
import json
import re
import shutil
import tempfile
import unicodedata
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UnknownWord, WordsError
from engine.words.sorted_words import Outline, SortedWords
from engine.words.spelling import bare, foreign_script, other_spellings, sound

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

Array = NDArray[np.float32]

FILES = ("words.npy", "offsets.npy", "lengths.npy", "letters.npy", "vectors.npy", "rank.npy")  # in the cache
FORMAT = 2  # of those files
FREQUENT = 40_000  # words of a vocabulary that nobody takes for typos

# Words that say nothing about what is seen; they are dropped from phrases that hold others.
STOP_WORDS = frozenset(
    """a an and are as at be been being but by did do does for from had has have having he her his i in into is it its
    me my of on or our over she so some such than that the their them then there these they this those to under up was
    we were what when where which while who with you your""".split()  # noqa: SIM905  (a list of one word a line helps nobody)
)


class WordVectors:
    """A vocabulary with one vector a word, mapped from the cache.

    `words` are sorted by their UTF-8 bytes; `rank[i]` is the place of word i in the source, where the most frequent
    word comes first.
    """

    def __init__(self, folder: Path) -> None:
        try:
            arrays = (np.load(folder / file, mmap_mode="r") for file in FILES)
            text, offsets, lengths, letters, vectors, rank = map(np.asarray, arrays)  # a memmap takes µs to look up
        except (OSError, ValueError, EOFError) as error:  # EOFError of an empty file
            raise WordsError(f"Cannot read the word vectors in {folder}: {error}", "Delete the folder") from None
        self._words = SortedWords(text, offsets, Outline(lengths, letters))
        self._vectors = vectors
        self.rank: NDArray[np.int32] = rank

    def __len__(self) -> int:
        return len(self._words)

    def __contains__(self, word: str) -> bool:
        return self._words.find(word) is not None

    @property
    def dim(self) -> int:
        """d, numbers in a vector."""
        return int(self._vectors.shape[1])

    @property
    def words(self) -> list[str]:
        """All words, sorted by their UTF-8 bytes."""
        return self._words.all

    def vector(self, phrase: str) -> Array:
        """The unit vector (d,) of a word or phrase: the mean of its words' unit vectors, made unit again.

        A phrase that is itself in the vocabulary when joined by hyphens (`t shirt` → `t-shirt`) has that word's vector.
        Raises UnknownWord for the first word without a vector.
        """
        words = self.split(phrase)
        if not words:
            raise UnknownWord(phrase.strip(), [])
        joined = "-".join(words)
        if len(words) > 1 and joined in self:
            return self.word_vector(joined)
        return unit(np.mean([self.word_vector(word) for word in words], axis=0, dtype=np.float32))

    def word_vector(self, word: str) -> Array:
        """The unit vector (d,) of one word as the vocabulary spells it; raises UnknownWord."""
        index = self._words.find(word)
        if index is None:
            script = foreign_script(word)
            if script:
                raise UnknownWord(word, [], f"It is {script}; only English words are understood")
            raise UnknownWord(word, self.nearest_spellings(word))
        return unit(np.array(self._vectors[index], np.float32))

    def is_common(self, word: str) -> bool:
        """Whether a word is among the frequent ones; a rare one may be a typo that others made too."""
        index = self._words.find(normalise(word))
        return index is not None and int(self.rank[index]) < FREQUENT

    def did_you_mean(self, phrase: str, limit: int = 3) -> list[str]:
        """`phrase` with a far more frequent word in the place of a rare one that looks like a typo of it, best first.

        Empty where there is no doubt. The rare word may be meant all the same, so this asks and does not decide.
        """
        if self.is_common(phrase):
            return []
        for word in self.split(phrase):
            index = self._words.find(word)
            if index is None or self.is_common(word):
                continue
            better = self._corrections(word, int(self.rank[index]))
            if better:
                return [normalise(phrase).replace(word, other) for other in better[:limit]]
        return []

    def _corrections(self, word: str, rank: int) -> list[str]:
        """Words at least twice as frequent that sound the same; else those ten times as frequent, one edit away."""
        from rapidfuzz.distance import OSA

        near = self._near(word, 2 if len(word) > 5 else 1, self.rank * 2 <= rank)
        ranked = zip(self._words.strings(near), self.rank[near].tolist(), strict=True)
        others = [(other, other_rank) for other, other_rank in ranked if other.isalpha()]
        alike = [other for other, _ in others if sound(other) == sound(word)]
        return alike or [
            other
            for other, other_rank in others
            if other_rank * 10 <= rank and other[0] == word[0] and OSA.distance(other, word) == 1
        ]

    def is_phrase(self, text: str) -> bool:
        """Whether several words are known to be one concept; single words never tell."""
        return False

    def knows(self, phrase: str) -> bool:
        """Whether every word of a phrase has a vector."""
        words = self.split(phrase)
        return bool(words) and all(word in self for word in words)

    def split(self, phrase: str) -> list[str]:
        """The words of a phrase as the vocabulary spells them: lower case, without punctuation and stop words."""
        words = [part for token in normalise(phrase).split() for part in self._known_parts(token)]
        telling = [word for word in words if word not in STOP_WORDS]
        return telling or words

    def _known_parts(self, token: str) -> list[str]:
        """A token as the vocabulary spells it, or in parts ("dog/cat") where it has no such word."""
        token = bare(token)
        if not token or token in self:
            return [token] if token else []
        token = token.removesuffix("'s")
        known = self._known_form(token)
        parts = [part for part in re.split(r"[\W_]+", token) if part]
        if known or len(parts) < 2 or foreign_script(token):
            return [known or token]
        return [word for part in parts for word in self._known_parts(part)]

    def _known_form(self, token: str) -> str | None:
        return next((form for form in (token, *other_spellings(token)) if form in self), None)

    def nearest_spellings(self, word: str, limit: int = 5) -> list[str]:
        """Up to `limit` words at the smallest edit distance (swapped neighbours count one), frequent words first."""
        word = normalise(word)[:64]
        near = self._near(word, max(1, len(word) // 3))
        return [other for other in self._words.strings(near) if other.isalpha()][:limit]

    def _near(self, word: str, edits: int, among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Words at most so many edits away, best first; of all, or of those marked in `among`."""
        from rapidfuzz.distance import OSA
        from rapidfuzz.process import cdist

        places = self._words.like(word, edits, among)
        words = self._words.strings(places)
        distances = cdist([word], words, scorer=OSA.distance, score_cutoff=edits, dtype=np.uint8)[0]
        close = distances <= edits
        near: NDArray[np.int64] = places[close]
        # A vocabulary read from the web holds typos too, and a word that is a hundred times rarer is one edit further;
        # one that sounds the same is an edit nearer.
        alike = np.array([sound(other) == sound(word) for other in self._words.strings(near)], bool)
        cost = distances[close] + 0.5 * np.log10(1 + self.rank[near]) - alike
        return near[np.argsort(cost, kind="stable")]

    def completions(self, prefix: str, limit: int = 10) -> list[str]:
        """The most frequent words that begin with `prefix`."""
        key = normalise(prefix).encode(errors="replace")
        if not key:
            return []
        start = self._words.lower_bound(key)
        stop = self._words.lower_bound(key + b"\xff")
        best = start + np.argsort(self.rank[start:stop], kind="stable")
        words = (self._words[i].decode() for i in best)
        return [word for _, word in zip(range(limit), (w for w in words if w.replace("-", "").isalpha()), strict=False)]


def normalise(text: str) -> str:
    """Lower case, one form for each character, curly apostrophes straight."""
    return unicodedata.normalize("NFKC", text).replace("’", "'").lower().strip()


def unit(vector: Array) -> Array:
    """The vector at length 1; a zero vector stays zero."""
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector


def open_word_vectors(source: str, cache: Path) -> WordVectors:
    """Word vectors of `source`, converted into `cache` the first time.

    `source` is `package:NAME` (an installed package with vectors), `gensim:NAME` (gensim's downloader) or the path
    of a file in word2vec, GloVe or fastText format. Raises WordsError.
    """
    folder = cache / "words" / hashlib.sha256(f"{FORMAT} {_identity(source)}".encode()).hexdigest()[:16]
    if not (folder / "source.json").exists():
        _convert(source, folder)
    return WordVectors(folder)


def load_keyed_vectors(source: str) -> "KeyedVectors":
    """gensim's KeyedVectors for `source` (see `open_word_vectors`), most frequent word first."""
    kind, _, name = source.partition(":")
    if kind == "package":
        return _from_package(name)
    if kind == "gensim":
        return _from_gensim(name)
    return _from_file(Path(source))


def _identity(source: str) -> str:
    kind, _, name = source.partition(":")
    if kind == "package":
        try:
            return f"{source} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            raise WordsError(
                f"The package {name} with word vectors is not installed", f"Try: pip install {name.replace('_', '-')}"
            ) from None
    if kind == "gensim":
        return source
    try:
        status = Path(source).stat()
    except OSError as error:
        raise WordsError(f"Cannot read the word vectors {source}: {error.strerror}") from None
    return f"{source} {status.st_size} {status.st_mtime_ns}"


def _convert(source: str, folder: Path) -> None:
    vectors = load_keyed_vectors(source)
    encoded = [word.encode(errors="replace") for word in vectors.index_to_key]
    # A word with a line break or a double cannot be told apart from another one; the first spelling wins.
    kept: dict[bytes, int] = {}
    for rank, word in enumerate(encoded):
        if word and b"\n" not in word:
            kept.setdefault(word, rank)
    ordered = sorted(kept)
    ranks = np.array([kept[word] for word in ordered], np.int32)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            words = SortedWords.of(ordered)
            values = np.asarray(vectors.vectors, np.float32)[ranks]
            arrays: list[NDArray[Any]] = [words.text, words.offsets, *words.outline, values, ranks]
            for file, array in zip(FILES, arrays, strict=True):
                np.save(temporary / file, array)
            (temporary / "source.json").write_text(json.dumps({"source": source, "words": len(ordered)}))
            temporary.chmod(0o755)
            temporary.replace(folder)
        except OSError:
            if not (folder / "source.json").exists():  # else another process was faster, and its copy is as good
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise WordsError(
            f"Cannot write the word vectors to {folder}: {error.strerror}", "Set UNSEEN_CACHE to a folder you can write"
        ) from None


def _from_package(name: str) -> "KeyedVectors":
    """A package that holds one .npy matrix and one Parquet table with its words, row by row."""
    from importlib import import_module

    import pyarrow.parquet
    from gensim.models import KeyedVectors

    root = Path(import_module(name).ROOT)
    try:
        (matrix,) = root.glob("*.npy")
        (index,) = root.glob("*.parquet")
        words = pyarrow.parquet.read_table(index).column(0).to_pylist()
        values = np.load(matrix)
        rows = [row for row, word in enumerate(words) if isinstance(word, str)]  # the package has lost a word or two
        vectors = KeyedVectors(values.shape[1], dtype=np.float32)
        vectors.add_vectors([words[row] for row in rows], values[rows])
    except (OSError, ValueError, IndexError) as error:
        raise WordsError(f"Cannot read the word vectors in the package {name}: {error}", "Reinstall it") from None
    return vectors


def _from_gensim(name: str) -> "KeyedVectors":
    import gensim.downloader

    try:
        return gensim.downloader.load(name)
    except (OSError, ValueError, KeyError) as error:
        raise WordsError(
            f"gensim cannot fetch the word vectors {name}: {error}", "Check the name and the connection, or name a file"
        ) from None


def _from_file(path: Path) -> "KeyedVectors":
    """word2vec text or binary, with or without its header line (GloVe has none), and fastText's .vec and .bin."""
    from gensim.models import KeyedVectors
    from gensim.models.fasttext import load_facebook_vectors

    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4096)
        if head.startswith(b"\xba\x16O/"):
            return load_facebook_vectors(str(path))
        first = head.split(b"\n", 1)[0].split()
        header = len(first) == 2
        binary = header and not _is_text(head)
        vectors = KeyedVectors.load_word2vec_format(str(path), binary=binary, no_header=not header)
    except Exception as error:  # gensim raises what it likes for a file that is something else
        raise WordsError(
            f"Cannot read the word vectors {path}: {error}", "word2vec, GloVe and fastText formats are read"
        ) from None
    if not len(vectors) or not vectors.vector_size:
        raise WordsError(f"Cannot read the word vectors {path}: it holds none", "Fetch it again")
    return vectors


def _is_text(head: bytes) -> bool:
    try:
        head[: head.rfind(b" ")].decode()
    except UnicodeDecodeError:
        return False
    return b"\x00" not in head
