"""A lexicon answers for its entries itself and for all other words through the vocabulary behind it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UnknownWord, WordsError
from engine.library.region_map import fit_steps, quantise
from engine.words.lexicon import Lexicon, LexiconTable
from engine.words.sorted_words import SortedWords
from engine.words.vectors import open_word_vectors

ENTRIES = {"hot dog": (1, 0, 0, 0), "dog": (0, 1, 0, 0), "hot": (0, 0, 1, 0), "t-shirt": (0, 0, 0, 1)}
BEHIND = {"dog": (1, 0), "hot": (0, 1), "puppy": (0.8, 0.6), "shirt": (0.6, 0.8)}


@pytest.fixture(scope="module")
def table():
    ordered = sorted(ENTRIES, key=str.encode)
    vectors = np.array([ENTRIES[entry] for entry in ordered], np.float32)
    scale = fit_steps(vectors, percentile=100)
    to_space = np.array([[0, 1, 0, 0], [0, 0, 1, 0]], np.float32)
    return LexiconTable(SortedWords.of(map(str.encode, ordered)), quantise(vectors, scale), scale, to_space)


@pytest.fixture(scope="module")
def lexicon(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    (folder / "glove.txt").write_text("".join(f"{word} {x} {y}\n" for word, (x, y) in BEHIND.items()))
    return Lexicon(open_word_vectors(str(folder / "glove.txt"), folder), table)


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("dog", (0, 1, 0, 0)),
        ("Dog", (0, 1, 0, 0)),
        ("hot dog", (1, 0, 0, 0)),
        ("the hot dog", (1, 0, 0, 0)),
        ("t-shirt", (0, 0, 0, 1)),
        ("puppy", (0, 0.8, 0.6, 0)),
        ("hot puppy", (0, 0.447, 0.894, 0)),
    ],
)
def test_entries_speak_for_themselves_and_other_words_are_mapped(lexicon, phrase, expected):
    np.testing.assert_allclose(lexicon.vector(phrase), expected, atol=5e-3)


def test_only_entries_of_several_words_are_phrases(lexicon):
    assert lexicon.is_phrase("hot dog")
    assert not lexicon.is_phrase("dog")
    assert not lexicon.is_phrase("dog hot")


def test_what_neither_knows_is_unknown_with_spellings(lexicon):
    assert lexicon.knows("hot dog")
    assert lexicon.knows("puppy dog")
    assert not lexicon.knows("pupy")
    with pytest.raises(UnknownWord) as caught:
        lexicon.vector("hot pupy")
    assert caught.value.suggestions[0] == "puppy"


def test_a_table_comes_back_from_disk_as_it_was(table, tmp_path):
    table.save(tmp_path / "table.safetensors")
    loaded = LexiconTable.load(tmp_path / "table.safetensors")
    for entry in ENTRIES:
        np.testing.assert_array_equal(loaded.row(entry), table.row(entry))
    assert loaded.row("cat") is None


@pytest.mark.parametrize("content", [b"", b"not a table", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_table_is_named_in_one_line(content, tmp_path):
    path = tmp_path / "lexicon.safetensors"
    path.write_bytes(content)
    with pytest.raises(WordsError, match=r"lexicon\.safetensors"):
        LexiconTable.load(path)


@given(st.sets(st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), min_size=1), max_size=30))
def test_sorted_words_find_every_word_and_no_other(words):
    ordered = sorted(words, key=str.encode)
    found = SortedWords.of(map(str.encode, ordered))
    assert found.all == ordered
    for place, word in enumerate(ordered):
        assert found.find(word) == place
        assert found.find(word + "\x00") is None or word + "\x00" in words
    assert found.find("") is None


def test_entries_can_be_added(table):
    vector = np.eye(table.codes.shape[1], dtype=np.float32)[0]
    longer = table.with_entries({"zzz new": vector})
    assert len(longer.entries) == len(table.entries) + 1
    np.testing.assert_allclose(longer.row("zzz new"), vector, atol=0.02)
    for place in range(len(table.entries)):
        word = bytes(table.entries[place]).decode()
        np.testing.assert_array_equal(longer.row(word), table.row(word))
    assert list(longer.entries.all) == sorted(longer.entries.all, key=str.encode)


def test_entries_that_moved_are_back_where_they_were_when_training_begins_anew(table, tmp_path):
    vector = np.eye(table.codes.shape[1], dtype=np.float32)[0]
    first, other = (bytes(table.entries[place]).decode() for place in (0, 1))
    table.with_moved({first: vector, "unheard of": vector}).save(tmp_path / "lexicon")
    moved = LexiconTable.load(tmp_path / "lexicon")
    np.testing.assert_allclose(moved.row(first), vector, atol=0.02)
    np.testing.assert_array_equal(moved.row(other), table.row(other))
    assert moved.row("unheard of") is None
    np.testing.assert_array_equal(moved.with_moved({}).row(first), table.row(first))
