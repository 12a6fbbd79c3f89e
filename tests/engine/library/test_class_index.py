import numpy as np
import pytest

from engine.library import class_index
from engine.library.records import Batch
from engine.library.vector_index import FaissIndex
from tests.engine.library.conftest import photo

PART = 4


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(class_index, "PART", PART)


def add(store, *seeds):
    store.apply(Batch(added=[photo(f"/{seed}.jpg", seed) for seed in seeds]))


def agrees(store):
    """Whether the index on disk is whole and holds what the database holds."""
    held, (ids, scores) = class_index.load(store.folder), store.class_scores(store.photo_ids().tolist())
    return (
        held.whole and sorted(held.keys()) == ids.tolist() and np.allclose(held.vectors(ids), _unit(scores), atol=1e-3)
    )


def _unit(scores):
    shown = np.pad(np.maximum(scores.astype(float), 0) ** 2, ((0, 0), (0, -scores.shape[1] % 16)))
    return shown / np.maximum(np.linalg.norm(shown, axis=1, keepdims=True), 1e-12)


def test_what_both_photos_lack_makes_them_no_more_alike():
    """The first and the third show the same; most things are in none of them, and in the third a little less so."""
    scores = np.full((3, 20), -1.0)
    scores[:2, 5:] = -3
    scores[0, 0] = scores[1, 1] = scores[2, 0] = 2
    first, second, third = class_index.shown(scores)
    assert first @ second == 0
    assert first @ third == pytest.approx(1)


def test_what_stands_out_counts_for_more():
    one, other, third = class_index.shown(np.array([[4.0, 1, 0], [4.0, 0, 1], [0, 1.0, 4]]))
    assert one @ other > 0.9
    assert one @ third < 0.1


def test_a_photo_that_shows_nothing_is_like_none():
    assert not class_index.shown(np.full((1, 4), -0.5)).any()


def test_photos_are_in_parts_by_their_ids_and_followed_as_they_come_change_and_go(store):
    add(store, *range(10))
    class_index.refresh(store)
    assert len(list(store.folder.glob("classes-*"))) == 10 // PART + 1
    assert agrees(store)
    first, second, *_, last = store.photo_ids().tolist()
    store.apply(Batch(removed=[first], updated={second: photo("/1.jpg", 50), last: photo("/9.jpg", 51)}))
    class_index.refresh(store)
    assert agrees(store)
    assert class_index.load(store.folder).generation == store.generation()
    store.apply(Batch(removed=store.photo_ids()[:5].tolist()))
    class_index.refresh(store)
    assert agrees(store)
    assert not list(store.folder.glob("classes-000000-*"))


def test_a_part_that_nothing_has_changed_in_is_not_written_again(store):
    add(store, *range(1, PART))
    class_index.refresh(store)
    (before,) = store.folder.glob("classes-*")
    inode = before.stat().st_ino
    add(store, *range(PART, 3 * PART))
    class_index.refresh(store)
    assert min(store.folder.glob("classes-*")).stat().st_ino == inode
    assert class_index.generation_on_disk(store.folder, store.photo_ids()) == 2
    assert agrees(store)


def test_a_part_that_is_missing_or_damaged_is_said_and_made_again(store):
    add(store, *range(10))
    class_index.refresh(store)
    path = next(store.folder.glob("classes-000001-*"))
    path.write_bytes(b"")
    assert not class_index.load(store.folder).whole
    path.unlink()
    assert class_index.generation_on_disk(store.folder, store.photo_ids()) == 0
    class_index.refresh(store)
    assert agrees(store)


def test_vectors_of_a_length_that_an_earlier_version_had_are_not_used_and_made_anew(store):
    add(store, 1)
    class_index.refresh(store)
    assert agrees(store)
    earlier = FaissIndex(3)
    earlier.add(store.photo_ids(), np.ones((1, 3)))
    earlier.save(store.folder, "classes-000000", store.generation())
    assert class_index.load(store.folder) is None
    class_index.refresh(store)
    assert agrees(store)


def test_cosines_with_all_photos_are_those_of_their_vectors(store):
    add(store, *range(10))
    class_index.refresh(store)
    _, scores = store.class_scores(store.photo_ids().tolist())
    keys, cosines = class_index.load(store.folder).cosines(_unit(scores)[3].astype(np.float32))
    np.testing.assert_allclose(cosines[np.argsort(keys)], _unit(scores) @ _unit(scores)[3], atol=1e-3)


@pytest.mark.parametrize("count", [1, 3, 10, 20])
def test_the_nearest_photos_are_those_with_the_largest_cosines_of_all_parts(store, count):
    add(store, *range(10))
    class_index.refresh(store)
    _, scores = store.class_scores(store.photo_ids().tolist())
    expected = dict(zip(store.photo_ids().tolist(), _unit(scores) @ _unit(scores)[3], strict=True))
    ids, cosines = class_index.load(store.folder).nearest(_unit(scores)[3].astype(np.float32), count)
    np.testing.assert_allclose(cosines, sorted(expected.values(), reverse=True)[:count], atol=1e-3)
    np.testing.assert_allclose(cosines, [expected[i] for i in ids.tolist()], atol=1e-3)


def test_a_part_that_is_gone_or_behind_keeps_it_from_being_the_index_of_all_photos(store):
    add(store, *range(10))
    class_index.refresh(store)
    held, generation = class_index.load(store.folder), store.generation()
    assert held.is_of(generation, 10)
    assert not held.is_of(generation, 11)
    add(store, 11)
    assert not held.is_of(store.generation(), 10)
    FaissIndex.discard(store.folder, "classes-000001")
    assert not class_index.load(store.folder).is_of(generation, 10)


def test_vectors_of_photos_that_are_not_there_are_an_error(store):
    add(store, 1)
    class_index.refresh(store)
    with pytest.raises(KeyError):
        class_index.load(store.folder).vectors(np.array([1, 99]))
