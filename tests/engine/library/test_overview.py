from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from engine.library.overview import Bounds, Overview
from engine.library.schema import photos
from engine.library.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path, "bundle", "fingerprint") as store:
        yield store


def add(store, *rows):
    """Photos with these paths and columns."""
    with store.writing() as connection:
        for i, (path, values) in enumerate(rows):
            connection.execute(
                insert(photos).values(
                    path=path,
                    folder=path.rpartition("/")[0],
                    size=1,
                    mtime_ns=1,
                    content_hash=bytes([i] * 16),
                    width=1,
                    height=1,
                    format="JPEG",
                    added_at=datetime.now(UTC),
                    **values,
                )
            )


def test_folders_are_a_tree_below_what_was_indexed(store):
    add(store, ("/home/p/a/1.jpg", {}), ("/home/p/a/b/c/2.jpg", {}), ("/home/p/a/b/c/3.jpg", {}), ("/lost/4.jpg", {}))
    store.remember_root("/home/p")
    store.remember_root("/home/p/a/b")
    found = {f.path: (f.parent, f.photos, f.photos_below) for f in Overview(store).folders()}
    assert found == {
        "/home/p": (None, 0, 3),
        "/home/p/a": ("/home/p", 1, 3),
        "/home/p/a/b": ("/home/p/a", 0, 2),
        "/home/p/a/b/c": ("/home/p/a/b", 2, 2),
        "/lost": (None, 1, 1),
    }
    assert list(found) == sorted(found)


def test_cameras_and_months_are_counted(store):
    july, may = datetime(2024, 7, 31, 23, 59, tzinfo=UTC), datetime(2023, 5, 1, tzinfo=UTC)
    add(
        store,
        ("/p/1.jpg", {"camera": "A", "taken_at": july}),
        ("/p/2.jpg", {"camera": "B", "taken_at": july}),
        ("/p/3.jpg", {"camera": "B", "taken_at": may}),
        ("/p/4.jpg", {}),
    )
    assert Overview(store).cameras() == [("B", 2), ("A", 1)]
    assert Overview(store).months() == [("2024-07", 2), ("2023-05", 1), (None, 1)]


@pytest.mark.parametrize(
    ("within", "found"),
    [
        (Bounds(), {1, 2, 3}),
        (Bounds(45, 5, 48, 11), {1}),
        (Bounds(-20, 170, 0, -170), {2, 3}),  # across the date line
        (Bounds(0, 0, 1, 1), set()),
    ],
)
def test_places_are_those_within_a_rectangle(store, within, found):
    add(
        store,
        ("/p/1.jpg", {"latitude": 47.4, "longitude": 8.5}),
        ("/p/2.jpg", {"latitude": -17.0, "longitude": 178.0}),
        ("/p/3.jpg", {"latitude": -13.8, "longitude": -171.8}),
        ("/p/4.jpg", {}),
    )
    places, total = Overview(store).places(within, 10)
    assert {place.photo_id for place in places} == found
    assert total == len(found)
    page, total = Overview(store).places(within, 1, 1)
    assert (len(page), total) == (max(0, min(1, len(found) - 1)), len(found))
