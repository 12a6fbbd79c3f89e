"""A new model takes a library over: all photos are looked at again, and nothing else of them is lost."""

import json
import shutil
from pathlib import Path

import pytest

from engine.errors import LibraryError, WrongBundle
from engine.library import indexes
from engine.library.feedback import Feedback
from engine.library.store import Store
from engine.model.bundle import Bundle
from engine.model.encoder import RegionEncoder
from engine.photo import UnreadFile
from engine.search.searcher import Searcher
from indexer import look, updating, watch_command
from indexer.scan import scan
from tests.conftest import ColourEncoder, paint
from tests.indexer.conftest import InterruptsOnce, Library


@pytest.fixture
def new_bundle(colour_bundle, tmp_path):
    """Another version of the colour bundle, with fewer labels."""
    folder = tmp_path / "new" / "colours"
    shutil.copytree(colour_bundle.folder, folder)
    (folder / "labels.txt").write_text("red\nblue\n")
    return Bundle(folder, colour_bundle.cache)


@pytest.fixture
def taken_over(library, colours, new_bundle):
    """A library of three photos and a copy that another model has taken over, but not looked at any."""
    shutil.copy(colours / "red.jpg", colours / "copy.jpg")
    library.index(colours)
    take_over(library, new_bundle)
    library.encoder = ColourEncoder(new_bundle)
    return library


def take_over(library, bundle):
    with Store.open(library.folder, writable=True) as store:
        updating.take_over(store, bundle)


def waiting(library):
    with library.open() as store:
        names = {photo.id: Path(photo.path).name for photo in store.photos(store.photo_ids().tolist()).values()}
        return sorted(names[photo_id] for photo_id in store.waiting_ids().tolist())


def found(library, bundle, word):
    """Names of all photos that a word is looked for in, best first."""
    with library.open() as store:
        return [Path(hit.photo.path).name for hit in Searcher(store, bundle).search(word, top=0).hits]


def test_a_library_that_was_taken_over_is_one_made_anew_but_keeps_ids_dates_and_marks(taken_over, colours, tmp_path):
    ids = taken_over.ids()
    with Store.open(taken_over.folder, writable=True) as store:
        Feedback(store).mark("red", ids["blue.jpg"], relevant=True)
        before = store.photos(list(ids.values()))
    report = taken_over.index(colours)
    assert (report.found, report.updated, report.added, report.removed) == (4, 4, 0, 0)
    anew = Library(tmp_path / "anew", taken_over.encoder)
    anew.index(colours)
    assert taken_over.content() == anew.content()
    assert taken_over.ids() == ids
    with taken_over.open() as store:
        assert store.photos(list(ids.values())) == before
        assert [mark.photo_id for mark in Feedback(store).of("red")] == [ids["blue.jpg"]]
        assert indexes.check(store) == store.problems() == []
    assert found(taken_over, taken_over.encoder.bundle, "green")[0] == "green.jpg"
    assert taken_over.index(colours).unchanged == 4


def test_an_interrupted_run_goes_on_with_the_photos_that_wait_and_the_others_are_found(
    taken_over, colours, monkeypatch
):
    monkeypatch.setattr("indexer.pipeline.BATCH", 1)
    monkeypatch.setattr("indexer.pipeline.AHEAD", 0)
    for i in range(40):
        paint(colours / f"{i:02}.png", (i, 0, 0), "green")
    bundle = taken_over.encoder.bundle
    with pytest.raises(KeyboardInterrupt):
        taken_over.index(colours, encoder=InterruptsOnce(bundle))
    left = waiting(taken_over)
    assert {"red.jpg", "blue.jpg", "green.jpg"} & set(left)
    looked_at = found(taken_over, bundle, "green")
    assert looked_at
    assert sorted([*looked_at, *left]) == sorted(taken_over.names())
    with taken_over.open() as store:
        assert indexes.check(store) == store.problems() == []
    report = taken_over.index(colours)
    assert report.updated == len(left)
    assert waiting(taken_over) == []
    assert len(found(taken_over, bundle, "green")) == 44


def test_photos_that_moved_meanwhile_keep_their_ids(taken_over, colours, tmp_path):
    ids = taken_over.ids()
    (tmp_path / "elsewhere").mkdir()
    (colours / "green.jpg").rename(tmp_path / "elsewhere" / "grass.jpg")
    report = taken_over.index(colours, tmp_path / "elsewhere")
    assert (report.moved, report.updated, report.added, report.removed) == (1, 3, 0, 0)
    assert taken_over.ids() == {
        **{name: ids[name] for name in ids if name != "green.jpg"},
        "grass.jpg": ids["green.jpg"],
    }
    assert waiting(taken_over) == []
    assert found(taken_over, taken_over.encoder.bundle, "green")[0] == "grass.jpg"


def test_photos_that_are_gone_leave_and_those_of_a_disk_that_is_not_there_wait(taken_over, colours):
    (colours / "green.jpg").unlink()
    away = colours.rename(colours.with_name("away"))
    colours.mkdir()
    taken_over.index(colours)
    assert waiting(taken_over) == ["blue.jpg", "copy.jpg", "green.jpg", "red.jpg"]
    colours.rmdir()
    away.rename(colours)
    assert taken_over.index(colours).removed == 1
    assert waiting(taken_over) == []


def test_a_photo_that_cannot_be_read_for_once_is_not_lost(taken_over, colours, monkeypatch):
    really = look.read_file

    def fails(path):
        if path.endswith("green.jpg"):
            raise UnreadFile(path, "input/output error")
        return really(path)

    ids = taken_over.ids()
    with monkeypatch.context() as patch:
        patch.setattr(look, "read_file", fails)
        assert taken_over.index(colours).failed == 1
    assert waiting(taken_over) == ["green.jpg"]
    assert taken_over.failures() == {"green.jpg": "input/output error"}
    taken_over.index(colours)
    assert (waiting(taken_over), taken_over.failures(), taken_over.ids()) == ([], {}, ids)


def test_a_region_map_that_is_lost_is_made_again_by_the_next_run(library, colours, tmp_path):
    library.index(colours)
    before = library.content()
    with Store.open(library.folder, writable=True) as store, store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM region_maps WHERE photo_id = 2")
    assert len(waiting(library)) == 1
    assert library.index(colours).updated == 1
    assert library.content() == before
    with library.open() as store:
        assert indexes.check(store) == []


def test_the_commands_say_what_to_do_do_it_and_say_what_is_left(unseen, colours, library, new_bundle, monkeypatch):
    meadow = library.folder.parent / "meadow"
    meadow.mkdir()
    (colours / "green.jpg").rename(meadow / "green.jpg")
    unseen("index", colours, meadow)
    monkeypatch.setattr(RegionEncoder, "open", classmethod(lambda cls, bundle, threads=None: ColourEncoder(bundle)))
    monkeypatch.setenv("UNSEEN_MODEL", str(new_bundle.folder))
    status, _, err = unseen("index", colours)
    assert status == 1
    assert "To have this one look at its photos again: unseen index FOLDER --new-model" in " ".join(err)
    status, out, _ = unseen("index", colours, meadow, "--new-model", "--dry-run")
    assert (status, out) == (0, ["3 found, 0 new, 3 changed, 0 unchanged, 0 vanished, 0 failed; nothing was done"])
    status, out, _ = unseen("index", colours, "--new-model")
    assert status == 0
    assert "2 updated" in out[0]
    assert "photos   3 (1 wait for unseen index to look at them, or for their files)" in unseen("status")[1]
    assert json.loads(unseen("status", "--json")[1][0])["waiting"] == 1
    status, out, _ = unseen("db", "check")
    assert status == 0
    assert "The model has not looked at 1 of them, which are not found; unseen index does." in out
    assert json.loads(unseen("db", "check", "--json")[1][0]) == {
        "ok": True,
        "problems": [],
        "not_in_index": 0,
        "waiting": 1,
    }
    assert "1 updated, 2 unchanged" in unseen("index", colours, meadow, "--new-model")[1][0]
    assert unseen("search", "green", "--top", "0", "--min-confidence", "0")[1][0].endswith("green.jpg")


def test_the_index_is_gone_before_the_model_changes(library, colours, new_bundle, monkeypatch):
    library.index(colours)

    def killed(*_):
        raise LibraryError("killed")

    monkeypatch.setattr(Store, "change_model", killed)
    settings = updating.Settings(library=library.folder, model=str(new_bundle.folder), cache=new_bundle.cache)
    with pytest.raises(LibraryError, match="killed"):
        updating.index_folders(settings, scan([colours]), new_model=True)
    with library.open() as store:
        assert store.fingerprint() == library.encoder.bundle.fingerprint
        assert indexes.behind(store) == 3
    assert found(library, library.encoder.bundle, "green")[0] == "green.jpg"


def test_who_watches_goes_on_with_the_new_model_unless_one_was_named(library, colours, new_bundle, monkeypatch):
    old = library.encoder.bundle
    with Store.create(library.folder, str(old.folder), old.fingerprint):
        pass
    monkeypatch.setattr(watch_command, "EncoderWhenNeeded", ColourEncoder)
    settings = updating.Settings(library=library.folder, cache=old.cache)
    watching = watch_command._Updates(settings, [str(colours)], (), False, False)
    watching.update([str(colours)])
    with Store.open(library.folder, writable=True) as store:
        updating.take_over(store, new_bundle)
    assert len(waiting(library)) == 3
    watching.update([str(colours)])
    assert waiting(library) == []
    assert found(library, new_bundle, "green")[0] == "green.jpg"
    named = settings.model_copy(update={"model": str(old.folder)})
    with pytest.raises(WrongBundle):
        watch_command._Updates(named, [str(colours)], (), False, False).update([str(colours)])


def test_a_searcher_whose_library_was_taken_over_says_so(library, colours, new_bundle):
    library.index(colours)
    with library.open() as store:
        searcher = Searcher(store, library.encoder.bundle)
        assert searcher.search("green").hits
        take_over(library, new_bundle)
        assert not searcher.fits()
        with pytest.raises(WrongBundle, match="made with another model"):
            searcher.search("green")
