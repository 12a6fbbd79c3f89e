"""Words as people type them: plurals, hyphens, other spellings, typos, other scripts."""

import numpy as np
import pytest

from engine.errors import UnknownWord
from engine.model.bundle import open_bundle
from engine.words.vectors import open_word_vectors


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
        ("pyjamas", "pajamas", 1),
        ("odour", "odor", 1),
        ("yoghurt", "yogurt", 1),
        ("jewellers", "jewelers", 1),
        ("doughnut", "donut", 1),
        ("foetus", "fetus", 1),
        ("crème", "creme", 1),
        ("teapots", "teapot", 1),
        ("traffic-lights", "traffic light", 1),
        ("trafficlight", "traffic light", 1),
        ("tshirt", "t-shirt", 1),
        ("dog/cat", "dog cat", 1),
        ("dog_cat!", "dog cat", 1),
        ("(Zebra)", "zebra", 1),
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
    ("word", "script"),
    [
        ("кошка", "Cyrillic"),
        ("猫", "Chinese"),
        ("いぬ", "Japanese"),
        ("고양이", "Korean"),
        ("قطة", "Arabic"),
        ("γάτα", "Greek"),
        ("हाथी", "Devanagari"),
    ],
)
def test_another_script_is_named(words, word, script):
    with pytest.raises(UnknownWord, match=f"“{word}” .* It is {script}; only English"):
        words.vector(f"dog {word}")


@pytest.mark.parametrize("text", ["traffic light", "traffic lights", "hot dogs", "teddy bears"])
def test_a_phrase_of_many_is_the_concept_that_one_is(words, text):
    assert words.is_phrase(text)


@pytest.mark.parametrize("typed", ["2023", "3d", "18th century", "rock'n'roll", "AT&T"])
def test_numbers_and_names_with_signs_are_words_too(words, typed):
    assert np.linalg.norm(words.vector(typed)) == pytest.approx(1, abs=1e-5)


TINY = "the color pajamas giraffe night church wolf t-shirt photo squarely squirrel analog".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Words in the order of their frequency, then fillers, then a typo that somebody made."""
    path = tmp_path_factory.mktemp("words") / "tiny.txt"
    filler = [f"x{i}" for i in range(100)]
    everything = [*TINY, *filler, "girafe"]
    rng = np.random.default_rng(0)
    path.write_text("".join(f"{word} {' '.join(f'{x:.3f}' for x in rng.normal(size=4))}\n" for word in everything))
    return open_word_vectors(str(path), path.parent)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("colour", "color"),
        ("Colours", "color"),
        ("pyjamas", "pajamas"),
        ("giraffes", "giraffe"),
        ("nights", "night"),
        ("churches", "church"),
        ("wolves", "wolf"),
        ("T shirt", "t-shirt"),
        ("giraffe's", "giraffe"),
        ("analogue", "analog"),
        ("phôto", "photo"),
        ("the giraffe", "giraffe"),
    ],
)
def test_a_form_that_is_not_in_the_vocabulary_is_the_one_that_is(tiny, typed, meant):
    np.testing.assert_array_equal(tiny.vector(typed), tiny.vector(meant))


def test_a_typo_in_a_vocabulary_is_asked_back_within_its_phrase(tiny, monkeypatch):
    monkeypatch.setattr("engine.words.vectors.FREQUENT", 20)
    assert tiny.did_you_mean("girafe at night") == ["giraffe at night"]
    assert tiny.did_you_mean("giraffe") == []


def test_an_unknown_word_that_sounds_like_a_known_one_brings_that_one_first(tiny):
    assert tiny.nearest_spellings("squirell") == ["squirrel", "squarely"]
