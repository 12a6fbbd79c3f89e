import json

from engine.library import indexes, thumbnails
from engine.library.records import Batch, Failure, FileStamp
from engine.library.status import status_of
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


def test_an_empty_library_needs_no_index(store):
    assert status_of(store).index_up_to_date
