"""Words as people type them: plurals, hyphens, other spellings, typos, other scripts."""

import numpy as np
import pytest

from engine.errors import UnknownWord
from engine.model.bundle import open_bundle


@pytest.fixture(scope="module")
def words(cache):
    """The words of the shipped bundle: GloVe's 400,000 and its lexicon."""
    return open_bundle("lite", cache).words


@pytest.mark.parametrize(
    ("typed", "meant", "cosine"),
    [
        ("Giraffe", "giraffe", 1),
        ("giraffes", "giraffe", 0.9),
        ("ice-cream", "ice cream", 1),
        ("t shirt", "t-shirt", 1),
        ("Traffic Light", "traffic light", 1),
        ("colour", "color", 0.9),
        ("grey", "gray", 0.9),
        ("theatre", "theater", 0.9),
        ("the dog's", "dog", 1),
        ("a photo of the dog", "photo dog", 0.99),
        ("axolotlies", "axolotl", -1),
    ],
)
def test_what_is_typed_is_what_is_meant(words, typed, meant, cosine):
    try:
        found = words.vector(typed)
    except UnknownWord:
        assert cosine < 0
        return
    assert cosine >= 0
    assert float(found @ words.vector(meant)) >= cosine - 1e-3


def test_a_plural_that_is_not_in_the_vocabulary_is_its_singular(words):
    unknown = next(
        f"{word}s" for word in ("axolotl", "quokka", "okapi", "narwhal", "whippet") if f"{word}s" not in words
    )
    np.testing.assert_array_equal(words.vector(unknown), words.vector(unknown[:-1]))


@pytest.mark.parametrize(("typo", "meant"), [("elefant", "elephant"), ("zebre", "zebra"), ("rainbo", "rainbow")])
def test_a_rare_word_that_looks_like_a_typo_is_searched_and_asked_back(words, typo, meant):
    words.vector(typo)
    assert meant in words.did_you_mean(typo)


@pytest.mark.parametrize("word", ["elephant", "beech", "okapi", "axolotl", "capybara", "hot dog", "zzxqv"])
def test_a_word_that_is_meant_or_unknown_is_not_asked_back(words, word):
    assert words.did_you_mean(word) == []


@pytest.mark.parametrize(("typo", "meant"), [("girafe", "giraffe"), ("lighthous", "lighthouse"), ("tommato", "tomato")])
def test_an_unknown_word_brings_the_nearest_spellings(words, typo, meant):
    with pytest.raises(UnknownWord) as caught:
        words.vector(typo)
    assert caught.value.suggestions[0] == meant


@pytest.mark.parametrize(
    ("word", "script"), [("кошка", "Cyrillic"), ("猫", "Cjk"), ("𗀀", "Unknown"), ("قطة", "Arabic"), ("γάτα", "Greek")]
)
def test_another_script_is_named(words, word, script):
    with pytest.raises(UnknownWord, match=script):
        words.vector(word)
