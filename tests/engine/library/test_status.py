import json

from engine.library import indexes, thumbnails
from engine.library.records import Batch, Failure, FileStamp
from engine.library.status import status_of
from indexer.wording import status_in_words
from tests.engine.library.conftest import photo


def test_the_status_of_a_library_counts_what_it_holds_and_the_room_it_takes(store):
    store.apply(Batch(added=[photo("/a.jpg", 1)], failed=[Failure("/b\udce9.jpg", FileStamp(1, 1), "empty file")]))
    store.remember_root("/photos")
    thumbnails.write(store.folder, bytes(16), b"x" * 100)
    before = status_of(store)
    assert (before.photos, len(before.failures), before.generation, before.thumbnail_bytes) == (1, 1, 1, 100)
    assert before.index_generation is None and not before.index_up_to_date
    indexes.refresh(store)
    after = status_of(store)
    assert after.index_generation == 1 and after.index_up_to_date
    assert after.index_bytes > 0 and after.database_bytes > 0
    values = json.loads(json.dumps(after.to_json(failures=True)))
    assert values["model"] == {"name": "colours", "fingerprint": "f" * 32}
    assert values["roots"] == ["/photos"]
    assert [(failure["path"], failure["reason"]) for failure in values["failures"]] == [("/b\udce9.jpg", "empty file")]
    assert values["created_at"].endswith("+00:00")


def test_photos_that_stay_although_their_file_is_gone_are_counted(store):
    store.apply(Batch(added=[photo("/a.jpg", 1), photo("/b.jpg", 2)]))
    store.apply(Batch(missing=[file.id for file in store.known_files() if file.path == "/b.jpg"]))
    state = status_of(store)
    assert (state.photos, state.missing, state.to_json()["missing"]) == (2, 1, 1)
    assert "photos   2 (the files of 1 are gone)" in status_in_words(state)


def test_an_empty_library_needs_no_index(store):
    assert status_of(store).index_up_to_date
