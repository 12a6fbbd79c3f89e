import os
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.errors import LibraryError, LibraryNotFound, LibraryReadOnly
from engine.library import database as database_module
from engine.library.database import is_library
from engine.library.records import Batch, Companion, Failure, FileStamp, Metadata
from engine.library.store import Store
from engine.words.query import Filters
from tests.engine.library.conftest import photo

SHARED_STORE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
names = st.binary(min_size=1, max_size=12).filter(
    lambda name: not set(name) & set(b"/\0") and name not in (b".", b"..")
)
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: os.fsdecode(b"/" + b"/".join(parts)))


def empty(store):
    store.apply(Batch(removed=store.photo_ids().tolist(), healed=[failure.path for failure in store.failures()]))


# What is written is read


def test_a_photo_comes_back_as_it_was_written(store):
    zone = timezone(timedelta(hours=2))
    new = photo(width=4000, height=3000, format="PNG", taken_at=datetime(2020, 5, 4, 12, tzinfo=zone), camera="Canon")
    store.apply(Batch(added=[new]))
    (photo_id,) = store.photo_ids().tolist()
    read = store.photo(photo_id)
    assert (read.path, read.folder, read.width, read.height, read.format) == (
        "/photos/a.jpg",
        "/photos",
        4000,
        3000,
        "PNG",
    )
    assert read.taken_at == new.metadata.taken_at and read.taken_at.utcoffset() == timedelta(0)
    assert (read.camera, read.stamp, read.content_hash) == ("Canon", new.stamp, new.content_hash)
    np.testing.assert_array_equal(store.region_map(photo_id).codes, new.region_map.codes)
    np.testing.assert_array_equal(store.class_scores([photo_id])[1][0], new.class_scores)


@SHARED_STORE
@given(st.sets(paths, min_size=1, max_size=8))
@example({"/caf\udce9.jpg", "/café.jpg", "/new\nline", "/100%", "/_", "/'", "/a\\b"})
def test_any_path_a_file_system_can_hold_is_kept_byte_for_byte(store, all_paths):
    empty(store)
    store.apply(Batch(added=[photo(path, i) for i, path in enumerate(sorted(all_paths))]))
    assert {file.path for file in store.known_files()} == all_paths
    assert all(store.photo_at(path).path == path for path in all_paths)


@SHARED_STORE
@given(st.sets(paths, min_size=1, max_size=8), paths)
@example({"/a/b", "/a/b/c", "/a/bc", "/a/b0", "/a/b/", "/a"}, "/a/b")
def test_files_under_a_folder_are_those_whose_path_begins_with_it_and_a_slash(store, all_paths, folder):
    empty(store)
    store.apply(
        Batch(
            added=[photo(path, i) for i, path in enumerate(sorted(all_paths))],
            failed=[Failure(path + "!", FileStamp(1, 1), "broken") for path in all_paths],
        )
    )
    below = {path for path in all_paths if os.fsencode(path).startswith(os.fsencode(folder) + b"/")}
    assert {file.path for file in store.known_files(folder)} == below
    assert {store.photo(int(i)).path for i in store.photo_ids(Filters(folder=folder))} == below
    failed = {path + "!" for path in all_paths}
    assert {failure.path for failure in store.failures(folder)} == {
        path for path in failed if path == folder or os.fsencode(path).startswith(os.fsencode(folder) + b"/")
    }


def test_everything_is_under_the_root_folder(store):
    store.apply(Batch(added=[photo("/a.jpg", 1), photo("/b/c.jpg", 2)]))
    assert len(list(store.known_files("/"))) == 2


# What photos say of themselves

SAID = {
    "taken_at": datetime(2020, 5, 4, tzinfo=UTC),
    "taken_offset": -210,
    "taken_from": "xmp",
    "camera": "Canon EOS 80D",
    "lens": "EF 50mm",
    "latitude": -33.9,
    "longitude": 18.4,
    "rating": 4,
}


def test_all_that_a_photo_says_of_itself_comes_back(store):
    store.apply(
        Batch(added=[photo("/a.jpg", 1, **SAID, keywords=("Zoë", "Café"), warning="truncated"), photo("/b", 2)])
    )
    read, silent = store.photo(1), store.photo(2)
    assert {name: getattr(read, name) for name in SAID} == SAID
    assert read.warning == "truncated" and read.missing_since is None
    assert {getattr(silent, name) for name in (*SAID, "warning")} == {None}
    assert store.keywords_of([1, 2]) == {1: ["Café", "Zoë"]}


def test_a_photo_that_says_something_else_keeps_its_region_map(store):
    store.apply(Batch(added=[photo("/a.jpg", 1, rating=2, keywords=("old", "both"))]))
    store.apply(Batch(described={1: Metadata(rating=5, keywords=("both", "new"))}))
    assert store.photo(1).rating == 5
    assert store.keywords_of([1]) == {1: ["both", "new"]}
    assert store.changed_since(1).tolist() == []


def test_companions_belong_to_one_photo_and_go_with_it(store):
    raw, video = (Companion(f"/a.{kind}", kind, FileStamp(1, 2)) for kind in ("raw", "video"))
    store.apply(Batch(added=[photo("/a.jpg", 1, companions=(raw,)), photo("/b.jpg", 2)]))
    assert store.companions_of([1, 2]) == {1: [raw]}
    store.apply(Batch(companions={2: (video, raw)}))
    assert store.companions_of([1, 2]) == {2: [raw, video]}
    store.apply(Batch(companions={2: (video,)}))
    assert store.companions_of([1, 2]) == {2: [video]}
    store.apply(Batch(removed=[2]))
    assert store.companions_of([1, 2]) == {}


@pytest.mark.parametrize(
    "found",
    [
        lambda: Batch(touched={1: FileStamp(1, 1)}),
        lambda: Batch(moved={1: ("/b.jpg", FileStamp(1, 1))}),
        lambda: Batch(updated={1: photo("/a.jpg", 3)}),
    ],
    ids=["touched", "moved", "updated"],
)
def test_a_missing_photo_is_marked_until_it_is_found_again(store, found):
    store.apply(Batch(added=[photo("/a.jpg", 1), photo("/c.jpg", 2)]))
    store.apply(Batch(missing=[1]))
    assert store.photo(1).missing_since is not None
    assert [file.missing for file in store.known_files()] == [True, False]
    store.apply(found())
    assert store.photo(1).missing_since is None


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(keyword="sea SIDE"), [1]),
        (Filters(keyword="sea"), []),
        (Filters(lens="ef 50"), [1]),
        (Filters(lens="100%"), []),
        (Filters(rating=3), [1, 2]),
        (Filters(rating=4), [1]),
    ],
)
def test_photos_are_filtered_by_what_people_noted(store, filters, expected):
    one = photo("/a.jpg", 1, keywords=("Sea Side",), lens="Canon EF 50mm", rating=4)
    store.apply(Batch(added=[one, photo("/b.jpg", 2, rating=3), photo("/c.jpg", 3)]))
    assert store.photo_ids(filters).tolist() == expected


def test_failures_come_a_page_at_a_time(store):
    store.apply(Batch(failed=[Failure(f"/{i}.jpg", FileStamp(1, 1), "broken") for i in range(5)]))
    assert store.failure_count() == 5
    assert [failure.path for failure in store.failures_page(2, 2)] == ["/2.jpg", "/3.jpg"]


# Batches


def test_a_batch_is_written_whole_or_not_at_all(store):
    store.apply(Batch(added=[photo("/a.jpg", 1)]))
    with pytest.raises(LibraryError):
        store.apply(Batch(removed=[1], added=[photo("/b.jpg", 2), photo("/b.jpg", 3)]))
    assert [file.path for file in store.known_files()] == ["/a.jpg"]
    assert store.generation() == 1


def test_a_moved_photo_keeps_its_id_and_its_region_map(store):
    store.apply(Batch(added=[photo("/a.jpg", 1)]))
    store.apply(Batch(moved={1: ("/sub/b.jpg", FileStamp(9, 9))}))
    moved = store.photo(1)
    assert (moved.path, moved.folder, moved.stamp) == ("/sub/b.jpg", "/sub", FileStamp(9, 9))
    assert store.changed_since(1).tolist() == []


def test_an_updated_photo_keeps_its_id_and_counts_as_changed(store):
    store.apply(Batch(added=[photo("/a.jpg", 1), photo("/b.jpg", 2)]))
    new = photo("/a.jpg", 3)
    store.apply(Batch(updated={1: new}))
    assert store.photo(1).content_hash == new.content_hash
    np.testing.assert_array_equal(store.region_map(1).codes, new.region_map.codes)
    assert store.changed_since(1).tolist() == [1]


def test_a_removed_photo_takes_its_region_map_along_and_its_id_is_never_used_again(store):
    store.apply(Batch(added=[photo("/a.jpg", 1), photo("/b.jpg", 2)]))
    store.apply(Batch(removed=[2]))
    assert store.region_map(2) is None
    assert store.problems() == []
    store.apply(Batch(added=[photo("/c.jpg", 3)]))
    assert store.photo_at("/c.jpg").id == 3


def test_maps_go_with_the_photos_they_were_made_of_however_many_are_added_at_once(store):
    new = [photo(f"/{seed}.jpg", seed) for seed in range(300)]
    store.apply(Batch(added=new))
    for one in new:
        np.testing.assert_array_equal(store.region_map(store.photo_at(one.path).id).codes, one.region_map.codes)


@pytest.mark.parametrize(
    "repaired",
    [
        lambda: Batch(added=[photo("/b.jpg", 2)]),
        lambda: Batch(updated={1: photo("/b.jpg", 2)}),
        lambda: Batch(moved={1: ("/b.jpg", FileStamp(2, 2))}),
        lambda: Batch(healed=["/b.jpg"]),
    ],
    ids=["added", "updated", "moved", "healed"],
)
def test_a_failure_is_forgotten_when_its_file_is(store, repaired):
    store.apply(Batch(added=[photo("/a.jpg", 1)], failed=[Failure("/b.jpg", FileStamp(1, 1), "broken")]))
    store.apply(repaired())
    assert store.failures() == []


def test_failing_again_keeps_the_newest_reason(store):
    for reason in ("broken", "empty file"):
        store.apply(Batch(failed=[Failure("/b.jpg", FileStamp(1, 1), reason)]))
    assert [failure.reason for failure in store.failures()] == ["empty file"]


def test_a_known_content_comes_back_as_it_was_written(store):
    new = photo("/a.jpg", 1, camera="Canon", taken_at=datetime(2020, 1, 1, tzinfo=UTC), keywords=("Sea",))
    store.apply(Batch(added=[new]))
    known = store.known_content(new.content_hash)
    assert (known.path, known.width, known.metadata) == ("/a.jpg", 40, new.metadata)
    np.testing.assert_array_equal(known.region_map.codes, new.region_map.codes)
    np.testing.assert_array_equal(known.class_scores, new.class_scores)
    assert store.known_content(bytes(16)) is None


def test_all_files_with_a_content_are_found(store):
    same = bytes(range(16))
    store.apply(Batch(added=[photo("/a.jpg", 1, same), photo("/b.jpg", 2, same), photo("/c.jpg", 3)]))
    assert [file.path for file in store.with_content(same)] == ["/a.jpg", "/b.jpg"]


def test_a_root_is_remembered_once(store):
    for root in ("/b", "/a", "/b"):
        store.remember_root(root)
    assert store.roots() == ["/a", "/b"]


# Opening


def test_readers_do_not_wait_for_a_writer_nor_for_each_other(store):
    store.apply(Batch(added=[photo("/a.jpg", 1)]))
    with Store.open(store.folder) as reader, store.writing() as writing:
        writing.exec_driver_sql("DELETE FROM photos")
        assert reader.count() == store.count() == 1  # neither sees what is not committed, neither waits
    assert store.count() == 0


def test_there_is_no_library_in_an_empty_folder(tmp_path):
    with pytest.raises(LibraryNotFound, match="unseen index FOLDER"):
        Store.open(tmp_path)


def test_a_library_is_made_once_and_opened_from_then_on(tmp_path):
    Store.create(tmp_path, "first", "1").close()
    with Store.create(tmp_path, "second", "2") as again:
        assert (again.info().bundle, again.info().fingerprint) == ("first", "1")


def test_a_file_that_is_no_database_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "library.db").write_text("not a database, but long enough to be looked at as one" * 20)
    for opening in (lambda: Store.open(tmp_path), lambda: Store.create(tmp_path, "x", "y")):
        with pytest.raises(LibraryError, match=r"damaged.*Restore library\.db from a backup"):
            opening()


@pytest.mark.parametrize(
    "look_up",
    [
        lambda store: store.photos([1, 2, 3]),
        lambda store: store.region_maps([1, 2, 3]),
        lambda store: store.known_content(b"content"),
        lambda store: store.generation(),
    ],
)
def test_damage_is_told_by_whatever_looks_something_up(store, look_up):
    store.apply(Batch(added=[photo("/a.jpg", 1), photo("/b.jpg", 2)]))
    with sqlite3.connect(store.folder / "library.db") as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with Store.open(store.folder) as damaged:
        path = store.folder / "library.db"
        data = path.read_bytes()
        path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
        with pytest.raises(LibraryError, match=r"damaged.*Restore library\.db from a backup"):
            look_up(damaged)


def test_writing_to_a_library_that_may_only_be_read_is_refused(store):
    read_only = Store(store.folder, database_module._reading_engine(store.folder / "library.db"))
    with read_only, pytest.raises(LibraryReadOnly, match="cannot be written"):
        read_only.apply(Batch(added=[photo()]))


def test_what_is_typed_for_a_type_is_what_the_page_and_people_call_it(store):
    heic = replace(photo("/a.heic", 1), format="HEIC")
    store.apply(Batch(added=[heic, photo("/b.jpg", 2)]))
    for name in ("heic", "heif", "hif", "HEIC"):
        assert [store.photo(i).path for i in store.photo_ids(Filters(type=name)).tolist()] == ["/a.heic"]
    for name in ("jpg", "jpeg", "JPEG", "Jpg"):
        assert [store.photo(i).path for i in store.photo_ids(Filters(type=name)).tolist()] == ["/b.jpg"]


def test_a_library_is_made_all_at_once(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("engine.library.database.insert", killed)
        Store.create(tmp_path, "colours", "f")
    assert not is_library(tmp_path)
    with pytest.raises(LibraryNotFound):
        Store.open(tmp_path)
    with Store.create(tmp_path, "colours", "f") as store:
        assert is_library(tmp_path)
        assert store.info().fingerprint == "f"


def test_a_reader_without_the_right_to_write_sees_what_the_owner_writes(tmp_path, monkeypatch):
    with Store.create(tmp_path, "colours", "f") as store:
        store.apply(Batch(added=[photo("/0.jpg", 0)]))
    with monkeypatch.context() as patch:
        patch.setattr("engine.library.database._can_write", lambda folder: False)
        with Store.open(tmp_path) as reader:
            assert reader.count() == 1
            with monkeypatch.context() as again:
                again.setattr("engine.library.database._can_write", lambda folder: True)
                owner = Store.create(tmp_path, "colours", "f")
            for i in range(1, 200):
                owner.apply(Batch(added=[photo(f"/{i}.jpg", i)]))
            assert reader.count() == 200
            owner.close()
            assert (reader.count(), reader.generation(), reader.problems()) == (200, 200, [])


def test_problems_names_maps_without_photos_while_photos_without_maps_wait(store):
    store.apply(Batch(added=[photo("/a.jpg", 1), photo("/b.jpg", 2), photo("/c.jpg", 3)]))
    assert store.problems() == []
    with sqlite3.connect(store.folder / "library.db") as raw:
        raw.execute("DELETE FROM region_maps WHERE photo_id < 3")
        raw.execute("DELETE FROM photos WHERE id = 3")
    raw.close()
    assert store.problems() == ["1 region maps belong to no photo."]
    assert store.waiting_ids().tolist() == [1, 2]
    assert (store.count(), store.mapped_count(), store.mapped_ids().tolist()) == (2, 1, [3])


def test_problems_names_damage_in_the_file(store):
    store.apply(Batch(added=[photo(f"/{i}.jpg", i) for i in range(200)]))
    store.close()
    path = Path(store.folder / "library.db")
    data = bytearray(path.read_bytes())
    data[8 * 4096 : 12 * 4096] = bytes(4 * 4096)
    path.write_bytes(data)
    with Store.open(store.folder) as damaged:
        try:
            problems = damaged.problems()
        except LibraryError as error:
            problems = [str(error)]
    assert problems and "damaged" in problems[0]
