import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import QueryError
from engine.library.listing import Place
from engine.library.records import Batch
from tests.engine.library.conftest import photo

paths = st.binary(min_size=1, max_size=60).filter(lambda path: b"\0" not in path).map(os.fsdecode)
moments = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))

LATER = datetime(2024, 1, 1, tzinfo=UTC)  # before all others in either list, with a path that begins with a space


@given(paths, moments, st.integers(0, 2**53))
def test_a_place_survives_being_text(path, moment, photo_id):
    place = Place(path, moment, photo_id)
    assert Place.decode(place.encode()) == place


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_any_other_text_is_refused(text):
    try:
        Place.decode(text)
    except QueryError as error:
        assert "not a cursor" in str(error)


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_by_place_hold_still_while_photos_come_and_go(store, newest_first):
    start = LATER - timedelta(days=9)
    dates = [None if i % 4 == 0 else start + timedelta(days=i % 3) for i in range(15)]
    store.apply(Batch(added=[photo(f"/{7 * i % 15:02}.jpg", i, taken_at=date) for i, date in enumerate(dates)]))
    whole = [one.id for one in store.page(newest_first=newest_first)]
    found, after = [], None
    while page := store.page(newest_first=newest_first, limit=2, after=after):
        found += [one.id for one in page]
        after = Place.after(page[-1])
        store.apply(Batch(removed=[page[-1].id], added=[photo(f"/ {len(found)}", 100 + len(found), taken_at=LATER)]))
    assert found == whole
    assert len(whole) == 15
