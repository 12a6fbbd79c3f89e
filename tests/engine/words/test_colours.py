"""Words for colours point at colours, together with what has them; all else is as the lexicon has it."""

import numpy as np
import pytest

from engine.errors import UnknownWord
from engine.words.colours import COLOURS, Coloured
from engine.words.lexicon import Lexicon, LexiconTable
from engine.words.sorted_words import SortedWords
from engine.words.vectors import open_word_vectors

WORDS = ("car", "dark", "orange", "panda", "red", "red panda", "sports car")
RED, ORANGE, BLUE = (COLOURS.index(name) for name in ("red", "orange", "blue"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    numbers = np.eye(len(WORDS), dtype=int).tolist()
    behind = {"blue": numbers[0], "of": numbers[1], **dict(zip(WORDS, numbers, strict=True))}
    lines = [f"{word} {' '.join(map(str, vector))}\n" for word, vector in behind.items() if " " not in word]
    (folder / "glove.txt").write_text("".join(lines))
    size = len(WORDS)
    entries = SortedWords.of(map(str.encode, WORDS))
    table = LexiconTable(
        entries, 127 * np.eye(size, dtype=np.int8), np.ones(size, np.float32) / 127, np.eye(size, dtype=np.float32)
    )
    return open_word_vectors(str(folder / "glove.txt"), folder), table


@pytest.fixture(scope="module")
def words(parts):
    return Coloured(*parts)


@pytest.fixture(scope="module")
def plain(parts):
    return Lexicon(*parts)


def test_a_vector_has_a_number_more_for_each_colour(words, plain):
    assert words.dim == plain.dim + len(COLOURS) == len(words.vector("car"))


@pytest.mark.parametrize("phrase", ["car", "panda", "red panda", "sports car", "dark", "dark panda", "car red"])
def test_what_does_not_begin_with_a_colour_has_none(words, plain, phrase):
    np.testing.assert_allclose(words.vector(phrase)[: plain.dim], plain.vector(phrase), atol=1e-6)
    assert not words.vector(phrase)[plain.dim :].any()


@pytest.mark.parametrize(
    ("phrase", "colour"),
    [("red", RED), ("Red", RED), ("crimson", RED), ("blue", BLUE), ("dark red", RED), ("pale blue", BLUE)],
)
def test_a_colour_alone_is_a_colour_and_nothing_else(words, plain, phrase, colour):
    expected = np.zeros(words.dim, np.float32)
    expected[plain.dim + colour] = 1
    np.testing.assert_array_equal(words.vector(phrase), expected)


@pytest.mark.parametrize(
    ("phrase", "colour", "thing"),
    [("red car", RED, "car"), ("Dark blue sports car", BLUE, "sports car"), ("orange", ORANGE, "orange")],
)
def test_a_thing_of_a_colour_is_half_thing_and_half_colour(words, plain, phrase, colour, thing):
    vector = words.vector(phrase)
    np.testing.assert_allclose(vector[: plain.dim] * np.sqrt(2), plain.vector(thing), atol=1e-6)
    np.testing.assert_allclose(vector[plain.dim + colour], np.sqrt(0.5), atol=1e-6)
    assert np.count_nonzero(vector[plain.dim :]) == 1


@pytest.mark.parametrize("text", ["red car", "blue sports car", "dark red", "red panda", "sports car"])
def test_they_are_one_concept_together(words, text):
    assert words.is_phrase(text)


@pytest.mark.parametrize("text", ["red", "red blue", "red of", "red nonsense", "red car panda", "car panda"])
def test_what_is_no_thing_is_not(words, text):
    assert not words.is_phrase(text)


def test_an_unknown_thing_is_named_and_not_its_colour(words):
    with pytest.raises(UnknownWord) as caught:
        words.vector("red zzzz")
    assert caught.value.word == "zzzz"
