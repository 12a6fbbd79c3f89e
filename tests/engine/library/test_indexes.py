import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.library import indexes
from engine.library.records import Batch
from engine.library.store import Store
from engine.library.vector_index import FaissIndex
from tests.engine.library.conftest import photo


def held(index):
    order = np.argsort(index.keys())
    keys = index.keys()[order]
    return keys.tolist(), index.vectors(keys).tolist()


def add(store, *seeds):
    store.apply(Batch(added=[photo(f"/{seed}.jpg", seed) for seed in seeds]))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "update", "refresh"]), st.integers(0, 5)), max_size=12))
def test_topping_up_gives_the_index_that_rebuilding_gives(tmp_path_factory, steps):
    with Store.create(tmp_path_factory.mktemp("library"), "colours", "f") as store:
        add(store, 100)
        for number, (step, which) in enumerate(steps):
            ids = store.photo_ids().tolist()
            if step == "add":
                add(store, number)
            elif step == "refresh":
                indexes.refresh(store)
            elif ids:
                chosen = ids[which % len(ids)]
                if step == "remove":
                    store.apply(Batch(removed=[chosen]))
                else:
                    store.apply(Batch(updated={chosen: photo(store.photo(chosen).path, 1000 + number)}))
        topped_up = indexes.refresh(store)
        assert indexes.check(store) == []
        rebuilt = indexes.refresh(store, rebuild=True)
        if topped_up is None:
            assert rebuilt is None and store.count() == 0
        else:
            assert held(topped_up.regions) == held(rebuilt.regions)
            assert held(topped_up.classes) == held(rebuilt.classes)


def test_an_index_that_is_up_to_date_is_not_written_again(store):
    add(store, 1)
    indexes.refresh(store)
    before = {path: path.stat().st_mtime_ns for path in store.folder.glob("*.faiss")}
    indexes.refresh(store)
    assert before == {path: path.stat().st_mtime_ns for path in store.folder.glob("*.faiss")}


def test_index_files_that_are_deleted_or_damaged_are_made_again(store):
    add(store, 1, 2)
    indexes.refresh(store)
    for path in store.folder.glob("*.faiss"):
        path.write_bytes(b"")
    assert indexes.load_indexes(store.folder) is None
    indexes.refresh(store)
    assert indexes.check(store) == []


def test_files_of_two_generations_are_no_index(store):
    add(store, 1)
    indexes.refresh(store)
    FaissIndex(4, "int8").save(store.folder, "regions", 99)
    assert indexes.load_indexes(store.folder) is None


def test_an_empty_library_has_no_index_files(store):
    add(store, 1)
    indexes.refresh(store)
    store.apply(Batch(removed=store.photo_ids().tolist()))
    assert indexes.refresh(store) is None
    assert list(store.folder.glob("*.faiss")) == []
    assert indexes.check(store) == []


def test_checking_names_an_index_that_is_missing_or_behind(store):
    add(store, 1)
    assert indexes.check(store) == ["There is no index that can be read."]
    indexes.refresh(store)
    add(store, 2)
    assert indexes.check(store) == ["The index covers generation 1, the database is at 2."]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (lambda right: right[:-1], "lacks regions"),
        (lambda right: right[:6], "other photos"),
        (lambda right: right[::-1], "other codes"),
    ],
    ids=["a region is missing", "a photo is missing", "codes are swapped"],
)
def test_checking_finds_an_index_of_regions_that_disagrees(store, keys, problem):
    add(store, 1, 2)
    good = indexes.refresh(store)
    right = np.sort(good.regions.keys())
    wrong = FaissIndex(4, "int8")
    wrong.add(keys(right), good.regions.vectors(right)[: len(keys(right))])
    wrong.save(store.folder, "regions", store.generation())
    (found,) = indexes.check(store)
    assert problem in found


def test_checking_finds_class_scores_that_disagree(store):
    add(store, 1)
    indexes.refresh(store)
    wrong = FaissIndex(3, "float16")
    wrong.add(store.photo_ids(), np.ones((1, 3)))
    wrong.save(store.folder, "classes", store.generation())
    assert indexes.check(store) == ["The index of class scores holds other scores than the database."]
