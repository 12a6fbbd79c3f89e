"""The command line of the indexer, with the colour encoder in the place of the network."""

import ctypes
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from PIL import Image

from engine.library import class_index
from engine.library.lock import writer_lock
from engine.library.records import Batch
from engine.library.store import Store
from engine.model.encoder import RegionEncoder
from indexer import samples
from tests.conftest import paint
from tests.indexer.conftest import InterruptsOnce

pytestmark = pytest.mark.usefixtures("command_line")
REPORT = ["found", "added", "updated", "unchanged", "moved", "removed", "failed", "seconds", "images_per_second"]


@pytest.fixture
def without_power():
    """The test cannot pass over permissions, even when root runs it."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # capabilities(7), version 3
    assert libc.capget(header, sets) == 0
    had = sets[0]
    sets[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0
    yield
    sets[0] = had
    assert libc.capset(header, sets) == 0


# index


def test_index_says_in_words_what_it_did(unseen, colours, monkeypatch):
    monkeypatch.setattr("indexer.progress.LINE_SECONDS", 3600)  # however slow the machine is
    status, out, err = unseen("index", colours)
    assert status == 0
    assert out[0].startswith("3 photos found: 3 added, 0 updated, 0 unchanged, 0 moved, 0 removed, 0 failed, in ")
    assert err == []


def test_index_with_json_prints_events_and_the_report_as_the_last_line(unseen, colours):
    (colours / "bad.jpg").write_bytes(b"")
    status, out, err = unseen("index", colours, "--json")
    assert status == 0
    *events, report = map(json.loads, out)
    progress = [event for event in events if event["event"] == "progress"]
    assert {"event": "failed", "path": f"{colours}/bad.jpg", "reason": "empty file"} in events
    assert (progress[0]["done"], progress[0]["total"]) == (0, 4)
    assert (progress[-1]["done"], progress[-1]["failed"]) == (4, 1)
    assert list(report) == REPORT
    assert (report["found"], report["added"], report["failed"]) == (4, 3, 1)
    assert err == [f"Cannot read {colours}/bad.jpg: empty file"]


def test_what_was_indexed_is_found(unseen, colours):
    unseen("index", colours)
    status, out, _ = unseen("search", "red", "--top", "1")
    assert status == 0
    score, path = out[0].split("\t")
    assert path == str(colours / "red.jpg") and float(score) > 0


def test_several_folders_and_globs_can_be_named(unseen, colours, tmp_path):
    paint(tmp_path / "more/x.png", "cyan")
    _, out, _ = unseen("index", colours, tmp_path / "more", "--exclude", "*.png", "--exclude", "blue*", "--json")
    assert json.loads(out[-1])["found"] == 2


def test_a_dry_run_says_what_would_be_done_and_does_nothing(unseen, colours, library):
    status, out, _ = unseen("index", colours, "--dry-run")
    assert status == 0 and out == ["3 found, 3 new, 0 changed, 0 unchanged, 0 vanished, 0 failed; nothing was done"]
    assert not library.folder.exists()
    unseen("index", colours)
    (colours / "red.jpg").unlink()
    _, out, _ = unseen("index", colours, "--dry-run", "--json")
    assert json.loads(out[0]) == {"found": 2, "new": 0, "changed": 0, "unchanged": 2, "vanished": 1, "failed": 0}
    assert "red.jpg" in library.names()


def test_a_library_remembers_its_model(unseen, colours, monkeypatch, library, colour_bundle):
    unseen("index", colours)
    monkeypatch.delenv("UNSEEN_MODEL")
    paint(colours / "cyan.jpg", "cyan")
    status, _, _ = unseen("index", colours)
    assert status == 0 and "cyan.jpg" in library.names()
    with library.open() as store:
        assert store.info().bundle == str(colour_bundle.folder)


def test_a_model_named_by_a_relative_path_is_found_from_anywhere(unseen, colours, monkeypatch, colour_bundle, tmp_path):
    monkeypatch.chdir(colour_bundle.folder.parent)
    assert unseen("index", colours, "--model", f"./{colour_bundle.folder.name}")[0] == 0
    monkeypatch.chdir(tmp_path)
    assert unseen("search", "red")[0] == 0


def test_failures_are_named_without_what_a_terminal_would_obey(unseen, colours):
    (colours / "\x1b[31m\nred.jpg").write_bytes(b"")
    status, _, err = unseen("index", colours)
    assert status == 0
    assert err == [f"Cannot read {colours}/�[31m�red.jpg: empty file"]


def test_failed_files_are_tried_again_on_request(unseen, colours, monkeypatch):
    (colours / "bad.jpg").write_bytes(b"")
    unseen("index", colours)
    assert unseen("index", colours)[2] == []
    assert len(unseen("index", colours, "--retry-failed")[2]) == 1


def test_an_interrupt_says_how_to_go_on(unseen, colours, monkeypatch, library):
    monkeypatch.setattr(RegionEncoder, "open", classmethod(lambda cls, bundle, threads=None: InterruptsOnce(bundle)))
    for i in range(30):
        paint(colours / f"{i}.jpg", (8 * i, 0, 0))  # as different files, none waits for the one that it is a copy of
    status, out, err = unseen("index", colours)
    assert (status, out) == (130, [])
    assert err[-1] == "Stopped; what is done is kept. To go on, run the same command again."
    assert 0 < len(library.names()) < 33


# index, with input that cannot be used


def one_line(result, *parts):
    status, out, err = result
    assert (status, out) == (1, []), err
    assert len(err) == 1 and err[0].startswith("unseen: error: "), err
    for part in parts:
        assert str(part) in err[0]


def test_a_folder_that_does_not_exist(unseen, tmp_path, library):
    one_line(unseen("index", tmp_path / "gone"), f"There is no folder {tmp_path}/gone", "Check the spelling")
    assert not library.folder.exists()


def test_a_folder_without_photos(unseen, photos, library):
    (photos / "notes.txt").touch()
    one_line(unseen("index", photos), f"There are no photos in {photos}", "jpg", "webp")
    assert not library.folder.exists()


def test_a_folder_without_photos_beside_others_that_were_indexed(unseen, colours, tmp_path):
    unseen("index", colours)
    (tmp_path / "empty").mkdir()
    one_line(unseen("index", tmp_path / "empty"), f"There are no photos in {tmp_path}/empty")


def test_a_folder_whose_photos_are_all_gone_is_no_mistake(unseen, colours, library):
    unseen("index", colours)
    for path in colours.iterdir():
        path.unlink()
    (colours / "notes.txt").touch()
    status, out, _ = unseen("index", colours, "--json")
    assert status == 0 and json.loads(out[-1])["removed"] == 3
    one_line(unseen("index", colours), "There are no photos")


def test_bad_files_of_all_kinds_among_good_ones(unseen, colours):
    whole = paint(colours / "whole.png", "red", size=(400, 300)).read_bytes()
    (colours / "text.jpg").write_text("Dear diary")
    (colours / "cut.png").write_bytes(whole[:-100])
    (colours / "empty.jpg").write_bytes(b"")
    Image.new("1", (20_000, 20_000)).save(colours / "bomb.png")
    status, out, err = unseen("index", colours, "--json")
    assert status == 0
    report = json.loads(out[-1])
    assert (report["added"], report["failed"]) == (4, 4)
    reasons = dict(line.removeprefix(f"Cannot read {colours}/").split(": ", 1) for line in err)
    assert reasons["text.jpg"] == "not an image this program can read"
    assert reasons["empty.jpg"] == "empty file"
    assert reasons["cut.png"].startswith("truncated PNG: ")
    assert reasons["bomb.png"].startswith("20,000×20,000 pixels")


def test_a_file_and_a_folder_that_may_not_be_read(unseen, colours, without_power):
    (colours / "red.jpg").chmod(0)
    paint(colours / "shut/b.jpg", "red").parent.chmod(0)
    status, out, err = unseen("index", colours, "--json")
    (colours / "shut").chmod(0o755)
    assert status == 0
    report = json.loads(out[-1])
    assert (report["found"], report["added"], report["failed"]) == (3, 2, 2)
    assert sorted(err) == [
        f"Cannot read {colours}/red.jpg: permission denied",
        f"Cannot read {colours}/shut: permission denied",
    ]


@pytest.mark.parametrize("searched_before", [False, True])
def test_a_library_that_may_not_be_written_can_be_searched_but_not_indexed(
    unseen, colours, library, without_power, monkeypatch, searched_before
):
    unseen("index", colours)
    if searched_before:  # readers may leave files of their own beside the database
        unseen("search", "red")
    paint(colours / "cyan.jpg", "cyan")
    for path in [*library.folder.iterdir(), library.folder]:
        path.chmod(0o555)
    try:
        assert unseen("search", "red")[0] == 0
        assert unseen("status")[0] == 0
        one_line(unseen("index", colours), f"The library in {library.folder} cannot be written", "--library")
        monkeypatch.setenv("UNSEEN_LIBRARY", str(library.folder / "new"))
        one_line(unseen("index", colours), f"{library.folder}/new cannot be written")
    finally:
        library.folder.chmod(0o755)


def test_a_disk_that_is_full(unseen, colours, monkeypatch):
    def full(self, batch):
        raise OSError(28, "No space left on device", "/library/library.db")

    monkeypatch.setattr(Store, "apply", full)
    one_line(unseen("index", colours), "/library/library.db: No space left on device", "Make room")


def test_a_model_that_does_not_exist(unseen, colours, library):
    one_line(unseen("index", colours, "--model", "nonsense"), "There is no bundle called nonsense")
    one_line(unseen("index", colours, "--model", "./nonsense"), "nonsense")
    assert not library.folder.exists()


def test_a_library_of_another_model(unseen, colours, colour_bundle, tmp_path):
    unseen("index", colours)
    shutil.copytree(colour_bundle.folder, tmp_path / "other")
    (tmp_path / "other/labels.txt").write_text("red\n")
    for more in ([], ["--dry-run"]):
        one_line(
            unseen("index", colours, "--model", tmp_path / "other", *more),
            "made with another model",
            "unseen index FOLDER --new-model",
        )


def test_two_writers(unseen, colours, library):
    script = f"""
import sys
from pathlib import Path
from engine.library.lock import writer_lock
sys.argv = ["unseen", "index", "/elsewhere"]
with writer_lock(Path({str(library.folder)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        one_line(
            unseen("index", colours), f"process {holder.pid} on ", "unseen index /elsewhere", "Wait until it is done"
        )
        holder.communicate("")
    assert unseen("index", colours)[0] == 0


# status


def test_status_says_what_the_library_holds(unseen, colours):
    (colours / "bad.jpg").write_bytes(b"")
    unseen("index", colours)
    status, out, _ = unseen("status")
    assert status == 0
    values = dict(line.split(maxsplit=1) for line in out)
    assert values["photos"] == "3" and values["failed"].startswith("1 ") and values["index"] == "up to date"
    assert values["folders"] == str(colours)
    _, out, _ = unseen("status", "--failed")
    assert out[-1] == f"{colours}/bad.jpg\tempty file"


def test_status_as_json_has_everything(unseen, colours, colour_bundle, library):
    (colours / "bad.jpg").write_bytes(b"")
    unseen("index", colours)
    _, out, _ = unseen("status", "--failed", "--json")
    values = json.loads(out[0])
    assert (values["photos"], values["failed"], values["library"]) == (3, 1, str(library.folder))
    assert values["model"] == {"name": str(colour_bundle.folder), "fingerprint": colour_bundle.fingerprint}
    assert values["index"] == {"generation": values["generation"], "up_to_date": True}
    assert values["disk"].keys() == {"database", "index", "thumbnails"} and all(values["disk"].values())
    assert [(failure["path"], failure["reason"]) for failure in values["failures"]] == [
        (f"{colours}/bad.jpg", "empty file")
    ]


def test_status_of_no_library_says_how_to_make_one(unseen):
    one_line(unseen("status"), "There is no library", "unseen index FOLDER")


# db


def test_db_check_and_rebuild(unseen, colours, library):
    unseen("index", colours)
    status, out, _ = unseen("db", "check")
    assert status == 0 and out == ["The database is sound and the index agrees with it: 3 photos, generation 1."]
    for path in library.folder.glob("regions*"):
        path.unlink()
    one_line(unseen("db", "check"), "index of regions cannot be read", "unseen db rebuild")
    status, out, _ = unseen("db", "rebuild")
    assert status == 0 and out == ["The index of 3 photos is rebuilt."]
    _, out, _ = unseen("db", "check", "--json")
    assert json.loads(out[0]) == {"ok": True, "problems": [], "not_in_index": 0, "waiting": 0}
    class_index.discard(library.folder)
    status, out, _ = unseen("db", "check")
    assert status == 0 and "lacks 3 of them" in out[1] and "unseen index adds them" in out[1]


def test_db_check_as_json_names_the_problems_too(unseen, colours, library):
    unseen("index", colours)
    for path in library.folder.glob("classes-*"):
        path.write_bytes(b"")
    status, out, err = unseen("db", "check", "--json")
    assert status == 1 and json.loads(out[0]) == {
        "ok": False,
        "problems": ["The index of class scores cannot be read."],
        "not_in_index": 0,
        "waiting": 0,
    }
    assert len(err) == 1


def test_a_damaged_database_is_not_blamed_on_the_index(unseen, colours, library):
    unseen("index", colours)
    with closing(sqlite3.connect(library.folder / "library.db", isolation_level=None)) as database:
        database.execute("DELETE FROM photos WHERE id = 1")  # which takes nothing else along without foreign keys
    one_line(unseen("db", "check"), "1 region maps belong to no photo", "Restore library.db from a backup")


def test_db_upgrade_brings_an_old_library_to_this_version(unseen, library, colour_bundle):
    with Store.create(library.folder, str(colour_bundle.folder), colour_bundle.fingerprint) as store:
        store.migrate("0001")
    status, out, _ = unseen("db", "upgrade")
    assert status == 0 and out[0].startswith(f"The library in {library.folder} is at schema 0")


@pytest.mark.parametrize("cut_short", ["an empty file", "a database without tables", "a library without its row"])
def test_a_library_whose_making_was_cut_short_is_none_and_is_made_by_the_next_run(unseen, colours, library, cut_short):
    database = library.folder / "library.db"
    library.folder.mkdir()
    if cut_short == "an empty file":
        database.touch()
    elif cut_short == "a database without tables":
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    else:
        with Store.create(library.folder, "colours", "f") as store, store.writing() as connection:
            connection.exec_driver_sql("DELETE FROM library")
    for command in (["status"], ["search", "red"], ["db", "check"], ["db", "upgrade"], ["tags", "x.jpg"]):
        one_line(unseen(*command), "There is no library in", "unseen index FOLDER")
    assert unseen("index", colours)[0] == 0
    assert unseen("search", "red", "--top", "1")[1][0].endswith("red.jpg")


@pytest.mark.parametrize("command", ["upgrade", "check", "rebuild"])
def test_db_commands_make_no_library(unseen, library, command):
    one_line(unseen("db", command), "There is no library")
    assert not library.folder.exists()


def test_db_rebuild_waits_for_no_other_writer(unseen, colours, library):
    unseen("index", colours)
    with Store.create(library.folder, "", "") as store:
        store.apply(Batch(removed=[1]))
    with writer_lock(library.folder):
        one_line(unseen("db", "rebuild"), "Another process is writing")


# demo


def test_the_demo_indexes_sample_photos_into_a_library_of_its_own(unseen, colours, monkeypatch, library, tmp_path):
    chosen = [colours / "red.jpg", colours / "blue.jpg"]
    monkeypatch.setattr("indexer.commands.sample_photos", lambda: chosen)
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    status, _, err = unseen("demo", "--no-serve")
    assert status == 0 and err[-1].startswith("2 photos found: 2 added")
    assert not library.folder.exists()
    (made,) = (tmp_path / "cache/demo").iterdir()
    status, out, _ = unseen("search", "red", "--top", "1", "--library", made)
    assert status == 0 and out[0].endswith("red.jpg")


def test_the_demo_takes_a_folder_and_a_library_and_opens_the_page(unseen, colours, monkeypatch, tmp_path):
    import webapp.commands

    served = []
    monkeypatch.setattr(webapp.commands.serve, "main", lambda arguments, **options: served.append(arguments))
    status, _, _ = unseen("demo", colours, "--library", tmp_path / "demo", "--port", "0")
    assert status == 0
    assert served == [["--library", str(tmp_path / "demo"), "--port", "0"]]


def test_sample_photos_come_from_an_installed_package_and_can_be_read():
    pytest.importorskip("skimage")
    found = samples.sample_photos()
    assert any(path.name == "astronaut.png" for path in found)
    for path in found:
        with Image.open(path) as image:
            assert min(image.size) >= 100


def test_without_such_a_package_the_demo_says_how_to_get_one(unseen, monkeypatch):
    monkeypatch.setattr(samples, "find_spec", lambda package: None)
    one_line(unseen("demo"), "No installed package brings sample photos", "pip install 'unseen[demo]'")
