"""Searching finds what brute force finds, says so truthfully, and survives a library that changes under it."""

import numpy as np
import pytest

from engine.errors import EmptyQuery, UnknownWord, WrongBundle
from engine.library import indexes
from engine.library.records import Batch
from engine.search import searcher as searcher_module
from engine.search.searcher import Searcher
from engine.words.query import Filters, parse_time
from tests.conftest import COLOURS
from tests.engine.search.conftest import new_photo, random_photos


def brute_force(store, bundle, weights):
    """Scores of all photos, straight from the definition.

    A term's score is the mean of its top-k regions. With several terms, the logistic of each, over scores standardised
    by the background photos, is its confidence c, and the score is the sum of w·log c, or of w·log(1 − c) for an
    excluded term, with weights that are 1 on average.
    """
    slope, offset = bundle.spec.calibration
    queries = {word: np.append(bundle.words.vector(word), 1.0) * bundle.steps for word in weights}

    def pooled(codes, query):
        return np.sort(codes.astype(np.float64) @ query)[-bundle.top_k :].mean()

    background = bundle.background.codes.reshape(len(bundle.background), -1, len(bundle.steps))
    scores = {}
    for photo_id in store.photo_ids().tolist():
        codes = store.region_map(photo_id).codes
        if len(weights) == 1:
            (scores[photo_id],) = (pooled(codes, query) for query in queries.values())
            continue
        total = 0.0
        for word, weight in weights.items():
            reference = [pooled(photo, queries[word]) for photo in background]
            z = (pooled(codes, queries[word]) - np.mean(reference)) / np.std(reference)
            confidence = 1 / (1 + np.exp(-(slope * z + offset)))
            total += abs(weight) * np.log(confidence if weight > 0 else 1 - confidence)
        scores[photo_id] = total * len(weights) / sum(map(abs, weights.values()))
    return scores


QUERIES = {
    "red": {"red": 1},
    "yellow": {"yellow": 1},
    "red blue": {"red": 1, "blue": 1},
    "green^3 purple": {"green": 3, "purple": 1},
    "cyan -green": {"cyan": 1, "green": -1},
    "red -blue^2 -green": {"red": 1, "blue": -2, "green": -1},
    "red^5": {"red": 1},
}


@pytest.mark.parametrize("text", QUERIES)
@pytest.mark.parametrize("scan_below", [0, 10_000], ids=["through the index", "by scanning"])
@pytest.mark.parametrize("first_regions", [1, 64, 100_000])
def test_ranking_and_scores_equal_brute_force(searcher, text, scan_below, first_regions, monkeypatch):
    monkeypatch.setattr(searcher_module, "SCAN_BELOW", scan_below)
    monkeypatch.setattr(searcher_module, "FIRST_REGIONS", first_regions)
    expected = brute_force(searcher.store, searcher.bundle, QUERIES[text])
    best = sorted(expected, key=lambda photo_id: (-expected[photo_id], photo_id))
    results = searcher.search(text, top=20, min_confidence=0)
    assert results.exact
    found = [hit.photo.id for hit in results.hits]
    np.testing.assert_allclose([hit.score for hit in results.hits], [expected[i] for i in best[:20]], rtol=2e-4)
    np.testing.assert_allclose([hit.score for hit in results.hits], [expected[i] for i in found], rtol=2e-4)
    assert [hit.rank for hit in results.hits] == list(range(1, 21))


def test_pages_follow_each_other_without_gap_or_repetition(searcher):
    whole = [hit.photo.id for hit in searcher.search("red", top=50, min_confidence=0).hits]
    pages = [
        hit.photo.id for n in range(5) for hit in searcher.search("red", top=10, offset=10 * n, min_confidence=0).hits
    ]
    assert pages == whole
    assert len(set(pages)) == 50


def test_top_zero_means_all_photos_whatever_their_confidence(searcher):
    results = searcher.search("red", top=0)
    assert len(results.hits) == results.total == 300


def test_the_cut_off_keeps_what_is_confident_and_counts_it(searcher):
    results = searcher.search("red", top=10, min_confidence=0.5)
    everything = searcher.search("red", top=0)
    assert results.total == sum(hit.confidence >= 0.5 for hit in everything.hits) > 0
    assert all(hit.confidence >= 0.5 for hit in results.hits)


def test_by_date_means_newest_first_and_dateless_last(searcher):
    dates = [hit.photo.taken_at for hit in searcher.search("red", top=0, sort="date").hits]
    dated = [date for date in dates if date is not None]
    assert dated == sorted(dated, reverse=True)
    assert all(date is None for date in dates[len(dated) :])


@pytest.mark.parametrize("scan_below", [0, 10_000])
def test_filters_leave_only_photos_that_pass_and_stay_exact(searcher, scan_below, monkeypatch):
    monkeypatch.setattr(searcher_module, "SCAN_BELOW", scan_below)
    filters = Filters(after=parse_time("2021"), before=parse_time("2021-07"))
    results = searcher.search("red", top=5, min_confidence=0, filters=filters)
    assert results.exact
    assert len(results.hits) == 5
    assert all("2021-01" <= f"{hit.photo.taken_at:%Y-%m}" < "2021-07" for hit in results.hits)
    assert [h.photo.id for h in searcher.search("red after:2021 before:2021-07", top=5, min_confidence=0).hits] == [
        h.photo.id for h in results.hits
    ]


@pytest.mark.parametrize("damage", ["stale", "missing", "damaged", "of another generation"])
def test_what_the_index_misses_is_found_in_the_database(filled, colour_bundle, colour_encoder, damage, monkeypatch):
    monkeypatch.setattr(searcher_module, "SCAN_BELOW", 0)
    searcher = Searcher(filled, colour_bundle)
    searcher.search("red")
    red = np.zeros((4, 4, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    filled.apply(Batch(added=[new_photo(colour_encoder, "/photos/red.jpg", red)]))
    files = sorted(filled.folder.glob("*.faiss"))
    if damage == "missing":
        for file in files:
            file.unlink()
    elif damage == "damaged":
        for file in files:
            file.write_bytes(file.read_bytes()[:100])
    elif damage == "of another generation":
        files[0].rename(files[0].with_name("classes-000000000099.faiss"))
    results = searcher.search("red", top=1)
    assert results.hits[0].photo.path == "/photos/red.jpg"
    assert results.exact


def test_a_removed_photo_is_not_found_even_before_the_index_knows(searcher, monkeypatch):
    monkeypatch.setattr(searcher_module, "SCAN_BELOW", 0)
    first = searcher.search("red", top=2).hits
    searcher.store.apply(Batch(removed=[first[0].photo.id]))
    assert searcher.search("red", top=1).hits[0].photo.id == first[1].photo.id


def test_an_open_searcher_sees_a_new_index(filled, colour_bundle, colour_encoder, monkeypatch):
    monkeypatch.setattr(searcher_module, "SCAN_BELOW", 0)
    searcher = Searcher(filled, colour_bundle)
    searcher.search("blue")
    filled.apply(Batch(added=random_photos(colour_encoder, 50, seed=9)))
    indexes.refresh(filled)
    results = searcher.search("blue", top=0)
    assert results.total == 350
    searcher.search("blue", top=5)
    assert searcher._indexes is not None
    assert searcher._indexes.generation == filled.generation()


def test_the_box_is_where_the_colour_is(filled, colour_bundle, colour_encoder):
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[1, 2] = (0, 0, 255)
    filled.apply(Batch(added=[new_photo(colour_encoder, "/photos/spot.jpg", pixels)]))
    searcher = Searcher(filled, colour_bundle)
    photo = filled.photo_at("/photos/spot.jpg")
    explanation = searcher.explain("blue", filled.region_map(photo.id))
    (term,) = explanation.terms
    assert term.best == (1, 2)
    assert term.box == (0.5, 0.25, 0.25, 0.25)
    assert term.heat[1, 2] == term.heat.max() > 0.8
    assert (np.delete(term.heat.ravel(), 6) == 0).all()
    hit = next(h for h in searcher.search("blue", top=0).hits if h.photo.id == photo.id)
    assert hit.box == term.box
    assert hit.score == pytest.approx(explanation.score)


def test_a_word_that_was_never_a_tag_says_so_and_names_its_neighbours(searcher):
    seen, unseen = searcher.search("red rouge").terms
    assert (seen.term, seen.zero_shot) == ("red", False)
    assert (unseen.term, unseen.zero_shot, unseen.nearest_tags) == ("rouge", True, ["red"])


def test_unknown_and_empty_queries_are_errors_that_help(searcher):
    with pytest.raises(UnknownWord) as caught:
        searcher.search("purpel")
    assert caught.value.suggestions[0] == "purple"
    with pytest.raises(EmptyQuery):
        searcher.search(" ")


def test_a_library_of_another_bundle_is_refused_with_what_to_do(tmp_path, colour_bundle):
    from engine.library.store import Store

    with Store.create(tmp_path, "other", "0" * 32) as store, pytest.raises(WrongBundle, match="re-index"):
        Searcher(store, colour_bundle)


def test_tags_are_the_labels_of_what_a_photo_shows(searcher, colour_encoder):
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2] = (0, 255, 0)
    photo = new_photo(colour_encoder, "x", pixels)
    tags = searcher.tags(photo.class_scores)
    assert tags[0].tag == "green"
    assert [tag.confidence for tag in tags] == sorted((tag.confidence for tag in tags), reverse=True)


def test_suggestions_begin_with_what_was_typed(searcher):
    assert searcher.suggest("r") == ["red", "rouge"]
    assert searcher.suggest("") == []
    assert set(searcher.suggest("p")) <= set(COLOURS)
