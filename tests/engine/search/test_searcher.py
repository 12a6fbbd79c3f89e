"""Searching finds what brute force finds, says so truthfully, and survives a library that changes under it."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from engine.errors import EmptyQuery, QueryError, UnknownWord, WrongBundle
from engine.library import corpus, indexes, scan
from engine.library.feedback import Feedback
from engine.library.records import Batch
from engine.library.store import Store
from engine.search import ranking
from engine.search import searcher as searcher_module
from engine.search.searcher import FEW, GUESS, Searcher
from engine.search.similar import search_like
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


def assert_best(hits, expected):
    """The hits are the best of what is expected, with the scores expected; which of equals comes first is open."""
    scores = [hit.score for hit in hits]
    np.testing.assert_allclose(scores, sorted(expected.values(), reverse=True)[: len(hits)], rtol=2e-4)
    np.testing.assert_allclose(scores, [expected[hit.photo.id] for hit in hits], rtol=2e-4)
    assert len({hit.photo.id for hit in hits}) == len(hits)


QUERIES = {
    "red": {"red": 1},
    "yellow": {"yellow": 1},
    "red blue": {"red": 1, "blue": 1},
    "green^3 purple": {"green": 3, "purple": 1},
    "cyan -green": {"cyan": 1, "green": -1},
    "red -blue^2 -green": {"red": 1, "blue": -2, "green": -1},
    "red^5": {"red": 1},
}


@pytest.fixture(params=["compiled", "NumPy"])
def scanning(request, monkeypatch):
    """Scan with the extension, and without it."""
    if request.param == "NumPy":
        monkeypatch.setattr(scan, "_extension", None)
    elif scan._extension is None:
        pytest.skip("the extension is not built")


@pytest.mark.parametrize("text", QUERIES)
def test_ranking_and_scores_equal_brute_force(searcher, text, scanning):
    expected = brute_force(searcher.store, searcher.bundle, QUERIES[text])
    results = searcher.search(text, top=20, min_confidence=0)
    assert results.exact
    assert len(results.hits) == 20
    assert_best(results.hits, expected)
    assert [hit.rank for hit in results.hits] == list(range(1, 21))


@pytest.mark.parametrize("text", ["red", "red -blue"])
def test_beyond_a_size_drafts_propose_what_is_scored_and_nothing_is_said_to_be_proven(
    store, colour_bundle, colour_encoder, monkeypatch, scanning, text
):
    rng = np.random.default_rng(3)
    quarters = [rng.integers(0, 256, (2, 2, 3), dtype=np.uint8).repeat(2, 0).repeat(2, 1) for _ in range(400)]
    store.apply(Batch(added=[new_photo(colour_encoder, f"/q/{i}.jpg", pixels) for i, pixels in enumerate(quarters)]))
    indexes.refresh(store)
    searcher = Searcher(store, colour_bundle)
    proven = searcher.search(text, top=5)
    monkeypatch.setattr(ranking, "LARGE", 300)
    monkeypatch.setattr(ranking, "PROPOSED", 16)
    monkeypatch.setattr(ranking, "PER_HIT", 10)
    proposed = searcher.search(text, top=5)
    assert (proven.exact, proposed.exact) == (True, False)
    assert [(hit.photo.id, hit.score) for hit in proposed.hits] == [(hit.photo.id, hit.score) for hit in proven.hits]
    assert proposed.total == pytest.approx(proven.total, rel=0.1)
    for asked in ({"exact": True}, {"top": 0}, {"top": 50}, {"cursor": proposed.next}, {"sort": "date"}):
        assert searcher.search(text, **{"top": 5, **asked}).exact
    assert searcher.search(text, top=5, exact=True).total == proven.total


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


def test_however_many_are_wanted_few_region_maps_are_in_memory_at_once(searcher, monkeypatch):
    expected = searcher.search("red", top=0).hits
    asked = []
    monkeypatch.setattr(searcher_module, "LOOKED_AT", 7)
    region_maps = searcher.store.region_maps
    monkeypatch.setattr(searcher.store, "region_maps", lambda ids: asked.append(len(ids)) or region_maps(ids))
    assert searcher.search("red", top=0).hits == expected
    assert sum(asked) == 300 and max(asked) == 7


def test_the_cut_off_keeps_what_is_confident_and_counts_it(searcher):
    results = searcher.search("red", top=10, min_confidence=0.5)
    everything = searcher.search("red", top=0)
    assert results.total == sum(hit.confidence >= 0.5 for hit in everything.hits) > 0
    assert all(hit.confidence >= 0.5 for hit in results.hits)


def test_where_few_reach_the_default_cut_off_a_part_of_it_is_enough(searcher, monkeypatch):
    best = searcher.search("red", top=1, min_confidence=0).hits[0].confidence

    def found(default, top=300, **given):
        monkeypatch.setattr(searcher.bundle, "spec", replace(searcher.bundle.spec, min_confidence=default))
        return searcher.search("red", top=top, **given)

    guesses = found(best * 1.5)
    assert guesses.total == len(guesses.hits) > 0
    assert all(best * 1.5 * GUESS <= hit.confidence < best * 1.5 for hit in guesses.hits)
    first = found(best * 1.5, top=5)
    second = found(best * 1.5, top=5, cursor=first.next)
    assert [hit.photo.id for hit in (*first.hits, *second.hits)] == [hit.photo.id for hit in guesses.hits[:10]]
    assert found(best * 1.01 / GUESS).hits == []
    assert found(best * 1.5, min_confidence=best * 1.5).hits == []  # who names a cut-off gets that one


def test_guesses_join_the_few_that_reach_the_default_cut_off_unless_one_is_sure(searcher, monkeypatch):
    confidence = [hit.confidence for hit in searcher.search("red", top=0).hits]
    cut = next((a + b) / 2 for a, b in pairwise(confidence) if a > b)
    reach = sum(sure >= cut for sure in confidence)
    monkeypatch.setattr(searcher.bundle, "spec", replace(searcher.bundle.spec, min_confidence=cut))

    def found(few, sure, **options):
        monkeypatch.setattr("engine.search.searcher.FEW", few)
        monkeypatch.setattr("engine.search.searcher.SURE", sure)
        return [hit.confidence for hit in searcher.search("red", top=300, **options).hits]

    guessed = [sure for sure in confidence if sure >= cut * GUESS]
    assert len(guessed) > reach
    assert found(reach + 1, confidence[0] * 1.01) == guessed
    assert sorted(found(reach + 1, confidence[0] * 1.01, sort="date"), reverse=True) == guessed
    assert found(reach + 1, confidence[0] * 0.99) == confidence[:reach]
    assert found(reach, confidence[0] * 1.01) == confidence[:reach]


@pytest.mark.parametrize("sort", ["relevance", "date"])
def test_a_hit_below_the_default_cut_off_is_a_guess_unless_it_was_said_to_be_right(filled, searcher, monkeypatch, sort):
    hits = searcher.search("red", top=0).hits
    cut = next((a.confidence + b.confidence) / 2 for a, b in pairwise(hits) if a.confidence > b.confidence)
    monkeypatch.setattr(searcher.bundle, "spec", replace(searcher.bundle.spec, min_confidence=cut))
    right = hits[-1].photo.id
    Feedback(filled).mark("red", right, relevant=True)
    found = searcher.search("red", min_confidence=0.0, top=300, sort=sort, fold=False).hits
    assert {hit.guess for hit in found} == {True, False}
    assert all(hit.guess == (hit.confidence < cut and hit.photo.id != right) for hit in found)


def test_by_date_means_newest_first_and_dateless_last(searcher):
    dates = [hit.photo.taken_at for hit in searcher.search("red", top=0, sort="date").hits]
    dated = [date for date in dates if date is not None]
    assert dated == sorted(dated, reverse=True)
    assert all(date is None for date in dates[len(dated) :])


def test_photos_of_one_second_are_in_the_order_of_its_parts_as_in_lists(store, colour_bundle, colour_encoder):
    moments = [datetime(2024, 1, 1, 12, 0, 0, part, tzinfo=UTC) for part in (300_000, 900_001, 0, 900_000)]
    pixels = np.zeros((4, 4, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    store.apply(Batch(added=[new_photo(colour_encoder, f"/{i}.jpg", pixels, at) for i, at in enumerate(moments)]))
    found = [hit.photo.id for hit in Searcher(store, colour_bundle).search("red", top=4, sort="date", fold=False).hits]
    assert found == [photo.id for photo in store.page(newest_first=True)] == [2, 4, 1, 3]


def test_filters_leave_only_photos_that_pass_and_stay_exact(searcher):
    filters = Filters(after=parse_time("2021"), before=parse_time("2021-07"))
    results = searcher.search("red", top=5, min_confidence=0, filters=filters)
    assert results.exact
    assert len(results.hits) == 5
    assert all("2021-01" <= f"{hit.photo.taken_at:%Y-%m}" < "2021-07" for hit in results.hits)
    assert [h.photo.id for h in searcher.search("red after:2021 before:2021-07", top=5, min_confidence=0).hits] == [
        h.photo.id for h in results.hits
    ]


@pytest.mark.parametrize("query", ["red^2 green^3 yellow", "purple^1.5 cyan blue^3 red"])
def test_pages_of_several_terms_list_each_photo_once(searcher, query):
    filters = Filters(after=parse_time("2021"), before=parse_time("2021-07"))
    listed, cursor = [], None
    while cursor or not listed:
        page = searcher.search(query, top=1, min_confidence=0, cursor=cursor, filters=filters)
        listed += [hit.photo.id for hit in page.hits]
        cursor = page.next
    assert sorted(listed) == sorted(set(listed))
    assert len(listed) == page.total > 20


def test_a_mark_does_not_make_guesses_join_in(filled, colour_bundle, monkeypatch):
    searcher = Searcher(filled, colour_bundle)
    few = "red after:2021 before:2021-02"
    hits = searcher.search(few, top=0).hits
    assert hits[0].confidence > 0.5 > hits[-1].confidence
    monkeypatch.setattr(searcher.bundle, "spec", replace(searcher.bundle.spec, min_confidence=hits[1].confidence))
    before = [hit.photo.id for hit in searcher.search(few).hits]
    assert 0 < len(before) < FEW
    Feedback(filled).mark("red", hits[-1].photo.id, relevant=True)
    found = searcher.search(few).hits
    assert [hit.photo.id for hit in found] == [hits[-1].photo.id, *before]
    assert not any(hit.guess for hit in found)


def test_filters_beside_a_query_are_on_top_of_those_in_it(searcher):
    after, early, late = map(parse_time, ("2021", "2021-07", "2022"))
    both = searcher.search("red before:2021-07", top=0, filters=Filters(after=after, before=late))
    alone = searcher.search("red", top=0, filters=Filters(after=after, before=early))
    assert 0 < both.total == alone.total < searcher.search("red before:2022", top=0).total
    assert searcher.search('red folder:"/nowhere"', top=0, filters=Filters(folder="/photos")).total == 0


def test_a_filter_is_not_asked_of_the_database_twice_but_sees_what_is_new(searcher, colour_encoder, monkeypatch):
    asked, photo_ids = [], searcher.store.photo_ids
    monkeypatch.setattr(searcher.store, "photo_ids", lambda filters=None: asked.append(filters) or photo_ids(filters))
    for _ in range(3):
        before = searcher.search("red type:jpeg folder:/photos", min_confidence=0, exact=True).total
    assert len(asked) == 1
    red = np.zeros((4, 4, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    searcher.store.apply(Batch(added=[new_photo(colour_encoder, "/photos/red.jpg", red)]))
    results = searcher.search("red type:jpeg folder:/photos", min_confidence=0, exact=True)
    assert (results.total, results.hits[0].photo.path) == (before + 1, "/photos/red.jpg")


def test_few_filters_are_remembered_and_each_still_has_its_own_photos(searcher):
    def years():
        return [
            searcher.search(f"red after:{year} before:{year + 1}", min_confidence=0).total for year in range(2000, 2024)
        ]

    assert years() == years()
    assert sum(years()) == searcher.search("red after:2000", min_confidence=0).total > 100
    assert len(vars(searcher.corpus())["_passing"]) == corpus.FILTERS_KEPT


def cut_off(file):
    file.write_bytes(file.read_bytes()[:5000])


def flip_bits(file):
    """Flip all bits of what is scanned."""
    data = bytearray(file.read_bytes())
    data[4096:] = bytes(byte ^ 0xFF for byte in data[4096:])
    file.write_bytes(data)


DAMAGE = {
    "stale": lambda folder: None,
    "without a segment": lambda folder: next(folder.glob("*.maps")).unlink(),
    "without a manifest": lambda folder: (folder / "index.json").unlink(),
    "with a manifest that is no JSON": lambda folder: (folder / "index.json").write_bytes(b"{"),
    "with a manifest of something else": lambda folder: (folder / "index.json").write_text('{"format": 1}'),
    "with a segment cut off": lambda folder: cut_off(next(folder.glob("*.maps"))),
    "with an empty segment": lambda folder: next(folder.glob("*.maps")).write_bytes(b""),
    "with flipped bits": lambda folder: flip_bits(next(folder.glob("*.maps"))),
    "ahead of the database": lambda folder: (folder / "index.json").write_text(
        (folder / "index.json").read_text().replace('"generation": 1', '"generation": 99')
    ),
}


@pytest.mark.parametrize("when", ["before", "while"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_the_index_misses_is_found_in_the_database(filled, colour_bundle, colour_encoder, damage, when):
    searcher = Searcher(filled, colour_bundle)
    if when == "while":
        searcher.search("red")
    red = np.zeros((4, 4, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    filled.apply(Batch(added=[new_photo(colour_encoder, "/photos/red.jpg", red)]))
    DAMAGE[damage](filled.folder)
    results = searcher.search("red", top=20, min_confidence=0)
    assert results.exact
    assert results.total == 301
    assert results.hits[0].photo.path == "/photos/red.jpg"
    assert_best(results.hits, brute_force(filled, colour_bundle, {"red": 1}))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_made_whole_by_the_next_run(filled, colour_encoder, damage):
    filled.apply(Batch(added=random_photos(colour_encoder, 3, seed=5)))
    DAMAGE[damage](filled.folder)
    assert indexes.behind(filled) >= 3
    assert (indexes.check(filled) == []) == (damage in ("stale", "without a manifest"))
    if damage == "with flipped bits":  # which no run looks for
        indexes.refresh(filled, rebuild=True)
    indexes.refresh(filled)
    assert indexes.check(filled) == []


def test_an_index_of_another_library_is_not_used(filled, colour_bundle, colour_encoder, tmp_path):
    with Store.create(tmp_path / "other", colour_bundle.name, colour_bundle.fingerprint) as other:
        other.apply(Batch(added=random_photos(colour_encoder, 300, seed=8)))
        indexes.refresh(other)
        for path in (*filled.folder.glob("*.maps"), filled.folder / "index.json"):
            path.unlink()
        for path in (*other.folder.glob("*.maps"), other.folder / "index.json"):
            shutil.copy(path, filled.folder)
    expected = brute_force(filled, colour_bundle, {"blue": 1})
    assert_best(Searcher(filled, colour_bundle).search("blue", top=10, min_confidence=0).hits, expected)


def test_a_removed_photo_is_not_found_even_before_the_index_knows(searcher):
    first = searcher.search("red", top=2).hits
    searcher.store.apply(Batch(removed=[first[0].photo.id]))
    assert searcher.search("red", top=1).hits[0].photo.id == first[1].photo.id
    assert searcher.search("red", top=0).total == 299


def test_an_open_searcher_sees_a_new_index(filled, colour_bundle, colour_encoder):
    searcher = Searcher(filled, colour_bundle)
    searcher.search("blue")
    filled.apply(Batch(added=random_photos(colour_encoder, 50, seed=9)))
    assert searcher.search("blue", top=0).total == 350
    assert len(searcher.corpus().loose_ids) == 50
    indexes.refresh(filled)
    assert searcher.search("blue", top=0).total == 350
    assert len(searcher.corpus().loose_ids) == 0


def test_segments_stay_mapped_while_the_library_grows(filled, colour_bundle, colour_encoder):
    searcher = Searcher(filled, colour_bundle)
    (segment,) = searcher.corpus().index.segments
    filled.apply(Batch(added=random_photos(colour_encoder, 5, seed=9)))
    assert searcher.corpus().index.segments == (segment,)
    indexes.refresh(filled)
    assert searcher.corpus().index.segments[0] is segment
    assert len(searcher.corpus().index.segments) == 2


def test_a_cursor_goes_on_where_the_page_ended_while_the_library_grows(filled, colour_bundle, colour_encoder):
    searcher = Searcher(filled, colour_bundle)
    for sort in ("relevance", "date"):
        whole = [hit.photo.id for hit in searcher.search("red", top=0, sort=sort).hits]
        added, seen, ranks, cursor = set(), [], [], None
        for page in range(100):
            results = searcher.search("red", top=20, min_confidence=0, sort=sort, cursor=cursor)
            seen += [hit.photo.id for hit in results.hits if hit.photo.id not in added]
            ranks += [hit.rank for hit in results.hits]
            before = set(filled.photo_ids().tolist())
            filled.apply(Batch(added=random_photos(colour_encoder, 3, seed=100 + page + 50 * (sort == "date"))))
            if page == 4:
                indexes.refresh(filled)
            added |= set(filled.photo_ids().tolist()) - before
            cursor = results.next
            if cursor is None:
                break
        assert seen == whole
        assert ranks == list(range(1, len(ranks) + 1))
        filled.apply(Batch(removed=list(added)))


def test_copies_of_a_photo_are_folded_into_it(filled, colour_bundle, colour_encoder):
    red = np.zeros((4, 4, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    photo = new_photo(colour_encoder, "/a/red.jpg", red)
    copies = [replace(photo, path=path) for path in ("/a/red.jpg", "/b/red.jpg", "/b/red again.jpg")]
    filled.apply(Batch(added=copies))
    searcher = Searcher(filled, colour_bundle)
    first, second, third = (filled.photo_at(copy.path).id for copy in copies)
    for sort in ("relevance", "date"):
        results = searcher.search("red", top=400, min_confidence=0, sort=sort)
        (hit,) = (hit for hit in results.hits if hit.photo.id == first)
        assert hit.duplicates == (second, third)
        assert not {second, third} & {hit.photo.id for hit in results.hits}
        assert results.total == len(results.hits) == 301
    (hit,) = searcher.search("red folder:/b").hits
    assert (hit.photo.id, hit.duplicates) == (second, (third,))
    assert len(searcher.search("red", top=0).hits) == 303
    liked = search_like(searcher, photo.class_scores, top=400)
    assert liked.total == 301
    assert next(hit for hit in liked.hits if hit.photo.id == first).duplicates == (second, third)


def test_cursors_of_another_order_or_of_nothing_are_refused(searcher):
    cursor = searcher.search("red", top=5, min_confidence=0).next
    with pytest.raises(QueryError, match="not a cursor"):
        searcher.search("red", top=5, sort="date", cursor=cursor)
    for text in ("5", "x" * 40, "é", "====", cursor[:-2]):
        with pytest.raises(QueryError, match="not a cursor"):
            searcher.search("red", cursor=text)


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
    said = rf"another model \(other 00000000\).*--model.*FOLDER --new-model --model {colour_bundle.folder}"
    with Store.create(tmp_path, "other", "0" * 32) as store, pytest.raises(WrongBundle, match=said):
        Searcher(store, colour_bundle)


def test_a_library_of_an_earlier_version_of_the_bundle_is_refused_with_what_to_do(tmp_path, colour_bundle):
    said = r"another version of this model.*unseen index FOLDER --new-model"
    with Store.create(tmp_path, colour_bundle.known_as, "0" * 32) as store, pytest.raises(WrongBundle, match=said):
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


def test_how_many_photos_a_scan_left_in_doubt_is_counted(searcher):
    if scan._extension is None:
        pytest.skip("NumPy leaves no photo in doubt")
    searcher.search("red", top=20, min_confidence=0)
    assert 20 <= searcher.closely < 300
