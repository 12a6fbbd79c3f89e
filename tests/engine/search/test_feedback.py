"""What was said of a photo holds whatever the size of the library, the page and the order."""

import numpy as np
import pytest

from engine.library.database import Database
from engine.library.feedback import Feedback
from engine.library.records import Batch
from engine.search import feedback
from engine.search.feedback import spelled
from engine.words.query import parse
from tests.engine.search.conftest import new_photo


def say(searcher, text, photo_id, relevant):
    with Database.open(searcher.store.folder, writable=True) as database:
        return Feedback(database).mark(spelled(parse(text)), photo_id, relevant)


def ids(results):
    return [hit.photo.id for hit in results.hits]


@pytest.mark.parametrize("text", ["red", "red -blue", "green^3 purple"])
def test_marked_photos_are_put_right_and_the_others_keep_their_order(searcher, text, monkeypatch):
    monkeypatch.setattr(feedback, "AWAY", 0.0)
    monkeypatch.setattr(feedback, "TOWARDS", 0.0)
    before = ids(searcher.search(text, top=0))
    right, wrong = [before[250], before[299]], before[:3]
    for photo_id in right:
        say(searcher, text, photo_id, True)
    for photo_id in wrong:
        say(searcher, text, photo_id, False)
    others = [photo_id for photo_id in before if photo_id not in right + wrong]
    assert ids(searcher.search(text, top=0)) == right + others + wrong
    page = searcher.search(text, top=10, min_confidence=0.0)
    assert ids(page) == (right + others)[:10]
    assert page.exact
    assert [hit.mark is not None for hit in page.hits] == [True, True] + [False] * 8
    assert ids(searcher.search(text, top=10, offset=5, min_confidence=0.0)) == (right + others)[5:15]


def test_the_cut_off_keeps_what_is_relevant_and_drops_what_is_not(searcher, monkeypatch):
    monkeypatch.setattr(feedback, "AWAY", 0.0)
    monkeypatch.setattr(feedback, "TOWARDS", 0.0)
    before = searcher.search("red", top=0)
    best, worst = before.hits[0].photo.id, before.hits[-1].photo.id
    above = sum(hit.confidence >= 0.5 for hit in before.hits)
    say(searcher, "red", worst, True)
    say(searcher, "red", best, False)
    after = searcher.search("red", top=300, min_confidence=0.5)
    assert worst in ids(after)
    assert best not in ids(after)
    assert after.total == above


def test_by_date_what_is_relevant_is_shown_in_its_place(searcher):
    worst = searcher.search("red", top=0).hits[-1].photo.id
    say(searcher, "red", worst, True)
    dated = searcher.search("red", top=300, min_confidence=0.5, sort="date")
    assert worst in ids(dated)
    times = [hit.photo.taken_at.timestamp() if hit.photo.taken_at else -np.inf for hit in dated.hits]
    assert times == sorted(times, reverse=True)


def test_another_query_knows_nothing_of_it(searcher):
    before = ids(searcher.search("green", top=0))
    say(searcher, "red", before[-1], True)
    assert ids(searcher.search("green", top=0)) == before
    assert ids(searcher.search("red green", top=0))[0] != before[-1]


def test_photos_like_one_that_is_not_relevant_sink_and_like_one_that_is_rise(searcher, filled, colour_encoder):
    def plain(colour):
        return np.full((4, 4, 3), colour, np.uint8)

    new = [
        new_photo(colour_encoder, f"/photos/{name}.jpg", plain(colour))
        for name, colour in {
            "orange": (255, 120, 0),
            "orange again": (250, 125, 5),
            "pink": (255, 0, 120),
            "pink again": (250, 5, 125),
        }.items()
    ]
    filled.apply(Batch(added=new))
    by_name = {photo.path: filled.photo_at(photo.path).id for photo in new}

    def ranks():
        order = ids(searcher.search("red", top=0))
        return [order.index(by_name[f"/photos/{name} again.jpg"]) for name in ("orange", "pink")]

    orange, pink = ranks()
    wrong = say(searcher, "red", by_name["/photos/orange.jpg"], False)
    right = say(searcher, "red", by_name["/photos/pink.jpg"], True)
    orange_after, pink_after = ranks()
    assert orange_after > orange
    assert pink_after - orange_after < pink - orange
    with Database.open(searcher.store.folder, writable=True) as database:
        assert Feedback(database).remove(wrong.id)
        assert Feedback(database).remove(right.id)
    assert ranks() == [orange, pink]


def test_what_is_relevant_alone_moves_no_other_photo(searcher):
    before = ids(searcher.search("red", top=0))
    say(searcher, "red", before[0], True)
    assert ids(searcher.search("red", top=0)) == before
