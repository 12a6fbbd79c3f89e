import errno
import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import LibraryError
from engine.library import indexes, looks, region_index, segments, thumbnails
from engine.library.basis import Basis
from engine.library.looks import Looks
from engine.library.records import Batch
from engine.library.segments import MAGIC, Segment, arrays_of
from engine.library.store import Store
from engine.library.vector_index import FaissIndex
from tests.engine.library.conftest import photo
from tests.scenes import scene


def held(index):
    """The codes of each photo that an index holds."""
    return {photo_id: codes.tolist() for photo_id, codes in region_index.codes_of(index, index.ids)}


def truth(store):
    ids = store.photo_ids().tolist()
    return {photo_id: store.region_map(photo_id).codes.tolist() for photo_id in ids}


def index_files(store):
    return [path for kind in ("*.faiss", "*.maps", "index.json") for path in sorted(store.folder.glob(kind))]


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
        assert (held(topped_up) if topped_up else {}) == truth(store)
        rebuilt = indexes.refresh(store, rebuild=True)
        assert (held(rebuilt) if rebuilt else {}) == truth(store)


def test_an_index_that_is_up_to_date_is_not_written_again(store):
    add(store, 1)
    indexes.refresh(store)
    before = {path: path.stat().st_mtime_ns for path in index_files(store)}
    indexes.refresh(store)
    assert before == {path: path.stat().st_mtime_ns for path in index_files(store)}


def test_index_files_that_are_deleted_or_damaged_are_made_again(store):
    add(store, 1, 2)
    for damage, wrong in ((lambda path: path.write_bytes(b""), 2), (lambda path: path.unlink(), 0)):
        indexes.refresh(store)
        for path in index_files(store):
            damage(path)
        assert len(indexes.check(store)) == wrong
        assert indexes.behind(store) == 2
        indexes.refresh(store)
        assert indexes.check(store) == []
        assert held(region_index.load(store.folder, region_index.library_of(store))) == truth(store)


@pytest.mark.parametrize("number", [0.0, np.nan, np.inf])
def test_a_segment_whose_coordinates_are_none_is_left_out_and_made_again(store, number):
    add(store, 1, 2)
    indexes.refresh(store)
    library = region_index.library_of(store)
    (path,) = store.folder.glob("*.maps")
    matrix = Segment.open(path, library).basis.matrix
    data = path.read_bytes()
    path.write_bytes(data.replace(matrix.tobytes(), np.full_like(matrix, number).tobytes()))
    with pytest.raises(ValueError):  # of NumPy, or ours
        Segment.open(path, library)
    assert region_index.load(store.folder, library).segments == ()
    indexes.refresh(store)
    assert indexes.check(store) == []


def test_an_empty_library_has_no_index_files(store):
    add(store, 1)
    indexes.refresh(store)
    store.apply(Batch(removed=store.photo_ids().tolist()))
    assert indexes.refresh(store) is None
    assert index_files(store) == []
    assert indexes.check(store) == []


def test_an_index_that_is_missing_or_behind_contradicts_nothing_and_the_photos_it_lacks_are_counted(store):
    add(store, 1, 2)
    assert (indexes.check(store), indexes.behind(store)) == ([], 2)
    indexes.refresh(store)
    assert (indexes.check(store), indexes.behind(store)) == ([], 0)
    first, second = store.photo_ids().tolist()
    add(store, 3)
    store.apply(Batch(removed=[first], updated={second: photo(store.photo(second).path, 77)}))
    assert (indexes.check(store), indexes.behind(store)) == ([], 2)


def test_checking_names_an_index_that_is_ahead_or_behind_and_wrong(store):
    add(store, 1, 2, 3)
    indexes.refresh(store)
    add(store, 4)
    manifest = json.loads((store.folder / "index.json").read_text())
    manifest["segments"][0]["gone"] = [1]
    (store.folder / "index.json").write_text(json.dumps(manifest))
    assert indexes.check(store) == ["The index of regions holds other photos than the database."]
    manifest["generation"] = 99
    (store.folder / "index.json").write_text(json.dumps(manifest))
    assert indexes.check(store) == ["The index covers generation 99, the database is at 2."]


def test_photos_with_grids_of_all_shapes_are_indexed(store):
    store.apply(
        Batch(
            added=[
                photo(f"/{i}.jpg", i, rows=1 + i % 3, cols=2 + i % 2, content_hash=bytes([i] * 16)) for i in range(12)
            ]
        )
    )
    index = indexes.refresh(store)
    assert held(index) == truth(store)
    assert indexes.check(store) == []


def test_segments_stay_few_however_many_runs_there_are_and_no_file_is_left_over(store):
    for run in range(40):
        add(store, 2 * run, 2 * run + 1)
        if run % 5 == 4:
            store.apply(Batch(removed=store.photo_ids()[:3].tolist()))
        index = indexes.refresh(store)
    assert len(index.segments) <= 7
    assert held(index) == truth(store)
    assert {path.name for path in store.folder.glob("*.maps")} == {segment.path.name for segment in index.segments}
    assert list(store.folder.glob("*.partial")) == []


def test_a_segment_of_which_much_is_gone_is_written_anew(store):
    add(store, *range(10))
    indexes.refresh(store)
    store.apply(Batch(removed=store.photo_ids()[:2].tolist()))
    assert [len(segment) for segment in indexes.refresh(store).segments] == [10]
    store.apply(Batch(removed=store.photo_ids()[:2].tolist()))
    assert [len(segment) for segment in indexes.refresh(store).segments] == [6]


def test_a_full_disk_is_named_and_leaves_the_index_that_was_there(store, monkeypatch):
    add(store, 1)
    indexes.refresh(store)
    before = {path: path.read_bytes() for path in store.folder.glob("*.maps")}
    add(store, 2)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(segments, "_reserve", full)
        with pytest.raises(LibraryError, match="No space left"):
            indexes.refresh(store)
    assert {path: path.read_bytes() for path in store.folder.glob("*.maps")} == before
    assert region_index.load(store.folder, region_index.library_of(store)).generation == 1
    indexes.refresh(store)
    assert indexes.check(store) == []


def test_checking_finds_an_index_of_regions_that_disagrees(store):
    add(store, 1, 2)
    indexes.refresh(store)
    segment = next(store.folder.glob("*.maps"))
    whole = segment.read_bytes()
    for place in range(len(MAGIC), len(whole), 97):
        segment.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert indexes.check(store) != [] or place < 4096  # blanks after the header mean nothing
    segment.write_bytes(whole)
    assert indexes.check(store) == []


def test_checking_finds_photos_and_codes_that_are_not_the_database_s(store, tmp_path):
    add(store, 1, 2)
    indexes.refresh(store)
    manifest = store.folder / "index.json"
    right = manifest.read_text()
    manifest.write_text(right.replace('"gone": []', '"gone": [1]'))
    assert indexes.check(store) == ["The index of regions holds other photos than the database."]
    manifest.write_text(right)
    library = region_index.library_of(store)
    codes = np.zeros((2, 6, 4), np.int8)
    unseen = Looks.of(looks.read(store.folder, [b""] * 2))
    basis = Basis.fit(codes)
    parts = iter([arrays_of(store.photo_ids(), codes, basis, unseen)])
    Segment.write(next(store.folder.glob("*.maps")), library, (6, 4), basis, parts, 2)
    assert indexes.check(store) == ["The index of regions holds other codes than the database."]


def test_checking_finds_class_scores_that_disagree(store):
    add(store, 1)
    indexes.refresh(store)
    wrong = FaissIndex(16)
    wrong.add(store.photo_ids(), np.ones((1, 16)))
    wrong.save(store.folder, "classes-000000", store.generation())
    assert indexes.check(store) == ["The index of class scores holds other scores than the database."]


def write_seen(store, **pictures):
    """Add photos by name, as they look; returns their ids by name."""
    added = [photo(f"/{name}.jpg", seed=number + 1) for number, name in enumerate(pictures)]
    for new, image in zip(added, pictures.values(), strict=True):
        thumbnails.write(store.folder, new.content_hash, thumbnails.make(image))
    store.apply(Batch(added=added))
    return {name: store.photo_at(f"/{name}.jpg").id for name in pictures}


def test_copies_are_found_as_photos_come_and_go(store):
    one, other = scene(1), scene(2)
    ids = write_seen(store, first=one, second=one.reduce(2), other=other, third=one.reduce(3))
    assert indexes.refresh(store).copies.tolist() == [[ids["second"], ids["first"]], [ids["third"], ids["first"]]]
    store.apply(Batch(removed=[ids["first"]]))
    assert indexes.refresh(store).copies.tolist() == [[ids["third"], ids["second"]]]
    changed = photo("/other.jpg", seed=9)
    thumbnails.write(store.folder, changed.content_hash, thumbnails.make(one))
    store.apply(Batch(updated={ids["other"]: changed}))
    topped_up = indexes.refresh(store)
    assert {frozenset(pair) for pair in topped_up.copies.tolist()} == {
        frozenset((ids["second"], ids["third"])),
        frozenset((ids["second"], ids["other"])),
    }
    store.apply(Batch(updated={ids["third"]: photo("/third.jpg", seed=10)}))
    assert indexes.refresh(store).copies.tolist() == [[ids["other"], ids["second"]]]
    assert indexes.check(store) == []


def test_copies_of_a_photo_that_is_gone_with_its_segment_are_told_anew(store):
    others = {f"other{i}": scene(10 + i) for i in range(4)}
    ids = write_seen(store, first=scene(1), **others)
    indexes.refresh(store)
    ids |= write_seen(store, second=scene(1).reduce(2))
    indexes.refresh(store)
    ids |= write_seen(store, third=scene(1).reduce(3))
    assert indexes.refresh(store).copies.tolist() == [[ids["second"], ids["first"]], [ids["third"], ids["first"]]]
    for segment in store.folder.glob("regions-*.maps"):
        segment.unlink()
    store.apply(Batch(removed=[ids["first"]]))
    assert indexes.refresh(store).copies.tolist() == [[ids["third"], ids["second"]]]
    assert indexes.check(store) == []


def test_an_index_of_batches_that_the_database_has_lost_is_discarded(store, tmp_path):
    add(store, 1)
    shutil.copytree(store.folder, tmp_path / "backup")
    add(store, 2)
    indexes.refresh(store)
    indexes.discard_if_ahead(store)
    assert indexes.check(store) == []
    assert indexes.behind(store) == 0
    store.close()
    for file in store.folder.glob("library.db*"):
        file.unlink()
    for file in (tmp_path / "backup").glob("library.db*"):
        shutil.copy(file, store.folder)
    with Store.open(store.folder, writable=True) as again:
        indexes.discard_if_ahead(again)
        assert index_files(again) == []
        add(again, 3)
        assert held(indexes.refresh(again)) == truth(again)


def test_rebuilding_finds_the_same_copies(store):
    write_seen(store, a=scene(1), b=scene(2), c=scene(1).reduce(2), d=scene(2).reduce(3), e=scene(3))
    found = indexes.refresh(store).copies.tolist()
    assert len(found) == 2
    assert indexes.refresh(store, rebuild=True).copies.tolist() == found
    region_index.discard(store.folder)
    assert indexes.refresh(store).copies.tolist() == found


def test_checking_finds_copies_that_look_otherwise(store):
    ids = write_seen(store, a=scene(1), b=scene(2), c=scene(1).reduce(2))
    indexes.refresh(store)
    manifest = store.folder / "index.json"
    manifest.write_text(manifest.read_text().replace(f"[[{ids['c']}, {ids['a']}]]", f"[[{ids['c']}, {ids['b']}]]"))
    assert indexes.check(store) == ["The index of regions holds copies that are none."]


def test_photos_without_a_thumbnail_are_copies_of_nothing(store):
    add(store, 1, 2)
    assert indexes.refresh(store).copies.tolist() == []
