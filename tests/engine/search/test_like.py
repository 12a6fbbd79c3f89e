"""A search by an image, alone and with words beside it, finds what the definition says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from engine.errors import QueryError, UnknownWord
from engine.library import indexes
from engine.library.records import Batch
from engine.library.store import Store
from engine.search.searcher import Searcher
from engine.search.similar import search_like
from engine.words.query import Filters, parse_time
from tests.engine.search.conftest import new_photo


@pytest.fixture
def seen(colour_encoder):
    """Class scores of an image that is red at the top and blue below."""
    pixels = np.zeros((4, 4, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    pixels[2:] = (0, 0, 255)
    return new_photo(colour_encoder, "the image", pixels).class_scores


def cosines(store, seen):
    ids, scores = store.class_scores(store.photo_ids().tolist())
    scores, seen = (np.maximum(values.astype(np.float64), 0) ** 2 for values in (scores, seen))
    found = scores @ seen / np.linalg.norm(scores, axis=1) / np.linalg.norm(seen)
    return dict(zip(ids.tolist(), found, strict=True))


@pytest.mark.parametrize("indexed", [True, False], ids=["through the index", "from the database"])
@pytest.mark.parametrize("words", ["", "green", "green -red", "-blue"])
def test_scores_are_the_likeness_times_the_confidence_of_the_words(searcher, seen, words, indexed):
    if not indexed:
        indexes.discard(searcher.store.folder)
    expected = cosines(searcher.store, seen)
    if words:
        sure = {"red": {}, "green": {}, "blue": {}}
        for word in sure:
            sure[word] = {hit.photo.id: hit.confidence for hit in searcher.search(word, top=0).hits}
        chance = {
            "green": lambda i: sure["green"][i],
            "green -red": lambda i: sure["green"][i] * (1 - sure["red"][i]),
            "-blue": lambda i: 1 - sure["blue"][i],
        }[words]
        expected = {i: max(cosine, 0) * chance(i) for i, cosine in expected.items()}
    results = search_like(searcher, seen, words, top=0)
    assert results.like
    assert results.exact
    assert results.total == len(results.hits) == 300
    np.testing.assert_allclose(
        [hit.score for hit in results.hits], [expected[hit.photo.id] for hit in results.hits], atol=2e-3
    )
    assert [hit.score for hit in results.hits] == sorted((hit.score for hit in results.hits), reverse=True)
    assert all(0 <= hit.confidence <= 1 for hit in results.hits)


def test_pages_by_date_list_each_stack_once(searcher, colour_encoder, seen):
    rng = np.random.default_rng(1)
    photos = []
    for i in range(40):
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        first = new_photo(colour_encoder, f"/twins/{i}.jpg", pixels, datetime(2030, 1, 1, tzinfo=UTC) + timedelta(i))
        again = replace(first.metadata, taken_at=first.metadata.taken_at - timedelta(1000))
        photos += [first, replace(first, path=f"/twins/again-{i}.jpg", metadata=again)]
    searcher.store.apply(Batch(added=photos))
    indexes.refresh(searcher.store)
    listed, cursor = [], None
    while cursor or not listed:
        page = search_like(searcher, seen, "folder:/twins", top=7, sort="date", cursor=cursor)
        listed += [{hit.photo.id, *hit.duplicates} for hit in page.hits]
        cursor = page.next
    assert page.total == len(listed) == 40
    assert len(set.union(*listed)) == 80


def test_pages_filters_order_and_cut_off_are_those_of_any_search(searcher, seen):
    whole = [hit.photo.id for hit in search_like(searcher, seen, top=40).hits]
    pages = [hit.photo.id for n in range(4) for hit in search_like(searcher, seen, top=10, offset=10 * n).hits]
    assert pages == whole
    sure = search_like(searcher, seen, top=5, min_confidence=0.9)
    assert sure.total == sum(hit.confidence >= 0.9 for hit in search_like(searcher, seen, top=0).hits)
    filters = Filters(after=parse_time("2021"), before=parse_time("2021-07"))
    beside = search_like(searcher, seen, filters=filters, sort="date", top=0)
    typed = search_like(searcher, seen, "after:2021 before:2021-07", sort="date", top=0)
    dates = [hit.photo.taken_at for hit in typed.hits]
    assert [hit.photo.id for hit in typed.hits] == [hit.photo.id for hit in beside.hits]
    assert dates == sorted(dates, reverse=True)
    assert {f"{date:%Y-%m}" for date in dates} <= {f"2021-0{month}" for month in range(1, 7)}


@pytest.mark.parametrize("sort", ["relevance", "date"])
@pytest.mark.parametrize("words", ["", "green -red"])
def test_pages_by_cursor_hold_still_while_the_library_changes(searcher, colour_encoder, seen, sort, words):
    store = searcher.store
    whole = [hit.photo.id for hit in search_like(searcher, seen, words, top=400, sort=sort).hits]
    gone = store.photo_at("/photos/0-00007.jpg").id
    found, cursor = [], None
    for number in range(11):
        page = search_like(searcher, seen, words, top=30, sort=sort, cursor=cursor)
        assert [hit.rank for hit in page.hits] == list(range(30 * number + 1, 30 * number + 1 + len(page.hits)))
        found += [hit.photo.id for hit in page.hits]
        if number == 3:
            added = [new_photo(colour_encoder, f"/new/{i}.jpg", np.full((4, 4, 3), 20 * i, np.uint8)) for i in range(9)]
            store.apply(Batch(added=added, removed=[] if gone in found else [gone]))
        cursor = page.next
        if cursor is None:
            break
    assert [i for i in found if i in whole] == [i for i in whole if i != gone or gone in found]
    assert len(found) == len(set(found))
    with pytest.raises(QueryError, match="not a cursor"):
        search_like(searcher, seen, words, cursor="x")


def test_a_box_is_around_what_words_name_and_around_everything_without_words(searcher, seen):
    assert search_like(searcher, seen, top=1).hits[0].box == (0, 0, 1, 1)
    assert search_like(searcher, seen, "-red", top=1).hits[0].box == (0, 0, 1, 1)
    hit = search_like(searcher, seen, "green", top=1).hits[0]
    assert hit.box == next(h for h in searcher.search("green", top=0).hits if h.photo.id == hit.photo.id).box


def test_words_beside_an_image_are_checked_like_any(searcher, seen):
    with pytest.raises(UnknownWord):
        search_like(searcher, seen, "purpel")


def test_an_empty_library_has_nothing_like_it(tmp_path, colour_bundle, seen):
    with Store.create(tmp_path / "empty", colour_bundle.name, colour_bundle.fingerprint) as store:
        assert search_like(Searcher(store, colour_bundle), seen, "red").hits == []
