"""Changes of the file system reach the library."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from indexer import watch
from indexer.scan import scan
from indexer.stopping import stoppable
from indexer.watch import MOST, Watch, folders_of
from indexer.watch_command import _terminable
from tests.conftest import paint

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (["a.jpg"], ["."]),
        (["sub/a.jpg", "sub/b.jpg", "sub/deep/c.jpg"], ["sub"]),
        (["sub"], ["sub"]),
        (["gone/a.jpg", "gone/deep/b.jpg"], ["gone"]),
        (["gone/a.jpg", "gone2"], ["."]),
        ([".hidden/a.jpg", "sub/.b.jpg.part"], []),
        (["sub/.unseenignore"], ["sub"]),
        ([".unseenignore"], ["."]),
        ([".hidden/.unseenignore", "sub/.unseenignore~", "sub/.unseenignore/a.jpg"], []),
        ([f"x{i}/a.jpg" for i in range(MOST + 1)], ["."]),
    ],
    ids=["file", "several files", "folder", "gone", "gone as a whole", "hidden", "rules", "all rules", "none", "many"],
)
def test_the_folders_that_hold_what_changed_are_looked_through(tmp_path, changed, expected):
    (tmp_path / "sub/deep").mkdir(parents=True)
    folders = folders_of([str(tmp_path / path) for path in changed], [str(tmp_path)])
    assert folders == [str(tmp_path / folder) for folder in expected]


MOUNTS = """22 1 254:0 / / rw - ext4 /dev/vda rw
40 22 0:35 / /mnt/nas rw,relatime shared:1 - nfs4 nas:/photos rw
41 22 0:36 / /mnt/with\\040space rw - fuse.sshfs me@host: rw
42 40 8:1 / /mnt/nas/local rw - ext4 /dev/sda1 rw
43 22 0:37 / /mnt/Füße rw - nfs4 nas:/x rw
44 22 0:38 / /mnt/a\u2028b\u00a0c rw - nfs4 nas:/y rw
45 22 0:39 / /mnt/\udcff\\134 rw - cifs //nas/z rw
"""


@pytest.mark.parametrize(
    ("folder", "silent"),
    [
        ("/home", False),
        ("/mnt/nas/2024", True),
        ("/mnt/with space/x", True),
        ("/mnt/nas/local/x", False),
        ("/mnt/Füße/x", True),
        ("/mnt/a\u2028b\u00a0c", True),
        ("/mnt/\udcff\\", True),
    ],
)
def test_disks_of_other_machines_send_no_messages_and_are_looked_through_now_and_then(folder, silent):
    watch = Watch.of([folder], MOUNTS)
    assert (watch.silent == [folder]) is silent


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two folders, and what is heard of them."""
    monkeypatch.setattr(watch, "QUIET", 0.05)
    monkeypatch.setattr(watch, "BREATH", 50)
    folders = [tmp_path / "a", tmp_path / "b"]
    return *folders, Watch([str(folder) for folder in folders], []).changes()


def hear(changes, folder):
    return next(folders for folders in changes if str(folder) in folders)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("error", [OSError("no space left"), RuntimeError("too many open files")])
def test_where_the_system_has_no_room_for_listeners_folders_are_looked_through_now_and_then(
    tmp_path, monkeypatch, error
):
    def full(*_, **__):
        raise error
        yield

    monkeypatch.setattr("watchfiles.watch", full)
    monkeypatch.setattr(watch, "BREATH", 10)
    said, times = [], iter([0.0, *range(1000, 9000, 1000)])
    changes = Watch([str(tmp_path)], []).changes(said.append, clock=lambda: next(times))
    assert [next(changes) for _ in range(3)] == [[str(tmp_path)]] * 3
    assert len(said) == 1


def test_a_folder_that_is_there_later_is_looked_through_and_watched_from_then_on(two):
    a, b, changes = two
    a.mkdir()
    assert next(changes) == [str(a), str(b)]
    b.mkdir()
    assert hear(changes, b) == [str(a), str(b)]
    (b / "x.jpg").touch()
    assert next(changes) == [str(b)]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("at_once", [False, True])
def test_a_folder_that_goes_and_comes_back_is_watched_again(two, at_once):
    a, b, changes = two
    a.mkdir()
    b.mkdir()
    assert next(changes) == [str(a), str(b)]
    shutil.rmtree(a)
    if not at_once:
        (b / "x.jpg").touch()
        assert str(a) not in hear(changes, b)
    a.mkdir()
    hear(changes, a)
    (a / "x.jpg").touch()
    hear(changes, a)


def test_a_part_of_a_folder_is_looked_at_by_the_rules_of_the_whole(tmp_path):
    for name in ("a.jpg", "sub/b.jpg", "sub/c.png", "out/d.jpg", "sub/.hidden/e.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".unseenignore").write_text("out\n")

    def found(part, **options):
        return [Path(file.path).name for file in scan([tmp_path / part], inside=[str(tmp_path)], **options)]

    assert found("sub", exclude=["*.png"]) == ["b.jpg"]
    assert found("out") == found("sub/.hidden") == []


COMMAND = """
import sys
from engine.model.encoder import RegionEncoder
from indexer import watch
from tests.conftest import ColourEncoder
RegionEncoder.open = classmethod(lambda cls, bundle, threads=None: ColourEncoder(bundle))
watch.QUIET = 0.05
from engine.cli import main
sys.argv[0] = "unseen"
main()
"""


@pytest.fixture
def watching(library, photos, colour_bundle):
    """`unseen watch` over the folder of photos; gives its lines of JSON."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "UNSEEN_LIBRARY": str(library.folder),
        "UNSEEN_CACHE": str(colour_bundle.cache),
        "UNSEEN_MODEL": str(colour_bundle.folder),
    }
    command = [sys.executable, "-c", COMMAND, "watch", str(photos), "--json"]
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def report(process):
    """The next report."""
    for line in process.stdout:
        said = json.loads(line)
        if "event" not in said:
            return said
    pytest.fail(process.stderr.read())


def test_what_comes_moves_and_goes_while_it_is_watched_is_in_the_library(watching, library, photos):
    assert report(watching)["found"] == 0
    assert watching.stderr.readline().startswith(f"Watching {photos}")
    paint(photos / "sub/a.jpg", "red")
    added = report(watching)
    while not added["added"]:  # the folder may have been seen before the file in it
        added = report(watching)
    assert library.names() == ["a.jpg"]
    before = library.ids()
    (photos / "sub/a.jpg").rename(photos / "sub/b.jpg")
    while report(watching)["moved"] == 0:
        pass
    assert list(library.ids().values()) == list(before.values())
    (photos / "sub/b.jpg").unlink()
    while report(watching)["removed"] == 0:
        pass
    assert library.names() == []
    watching.send_signal(signal.SIGTERM)
    assert watching.wait() == 0
    with library.open() as store:
        assert store.roots() == [str(photos)]


def test_who_is_asked_twice_to_end_still_finishes_what_is_in_hand():
    with _terminable(), stoppable() as stop:
        try:
            for _ in range(2):
                signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            pytest.fail("the second request interrupted it")
        assert stop.is_set()


def test_a_burst_of_ten_thousand_files_is_in_the_library_to_the_last_one(watching, library, photos):
    assert report(watching)["found"] == 0
    paint(photos / "first.jpg", "red")
    data = (photos / "first.jpg").read_bytes()
    for folder in range(200):  # more than are looked through one by one
        (photos / f"{folder}").mkdir()
        for number in range(50):
            (photos / f"{folder}/{number}.jpg").write_bytes(data)
    added = 0
    while added < 10_001:
        added += report(watching)["added"]
    with library.open() as store:
        assert (added, store.count()) == (10_001, 10_001)
