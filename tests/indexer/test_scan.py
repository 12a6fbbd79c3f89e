import os
import socket
from pathlib import Path

import pytest

from engine.errors import UnseenError
from engine.library.records import Failure, FileStamp, KnownFile
from indexer.scan import UNREAD, FoundFile, Scan, compare, scan, within


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def found(*folders, **options):
    """Paths below the first folder, as found."""
    return [os.path.relpath(file.path, folders[0]) for file in scan(folders, **options).files]


# Scanning


def test_files_are_found_by_the_endings_of_photos_in_any_case_sorted_by_path(tmp_path):
    endings = [
        "jpg",
        "JPEG",
        "jpe",
        "jfif",
        "PNG",
        "webp",
        "gif",
        "tif",
        "TIFF",
        "bmp",
        "avif",
        "heic",
        "HIF",
        "CR2",
        "dng",
    ]
    make(tmp_path, *(f"b/{ending}.{ending}" for ending in endings), "a.jpg", "c.jpg.txt", "jpg", "d.svg", "e.xmp")
    assert found(tmp_path) == ["a.jpg", *sorted(f"b/{ending}.{ending}" for ending in endings)]


def test_hidden_things_and_what_programs_keep_for_themselves_are_left_out(tmp_path):
    make(tmp_path, "a.jpg", ".b.jpg", ".thumbnails/c.jpg", "@eaDir/d.jpg", "x/node_modules/e.jpg")
    assert found(tmp_path) == ["a.jpg"]


def test_a_hidden_folder_that_is_named_is_meant(tmp_path):
    assert found(make(tmp_path / ".photos", "a.jpg")) == ["a.jpg"]


def test_a_folder_called_like_a_photo_is_a_folder(tmp_path):
    assert found(make(tmp_path, "x.jpg/a.jpg")) == ["x.jpg/a.jpg"]


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        (["*.png"], ["a.jpg", "trash/b.jpg", "trash/deep/d.jpg"]),
        (["trash"], ["a.jpg", "c.png"]),
        (["trash/"], ["a.jpg", "c.png"]),
        (["trash/deep"], ["a.jpg", "c.png", "trash/b.jpg"]),
        (["trash/*"], ["a.jpg", "c.png"]),
        (["a.jpg", "*/b.jpg"], ["c.png", "trash/deep/d.jpg"]),
        (["deep", "c.*"], ["a.jpg", "trash/b.jpg"]),
    ],
)
def test_globs_leave_out_files_and_folders_by_name_and_by_path(tmp_path, globs, left):
    make(tmp_path, "a.jpg", "c.png", "trash/b.jpg", "trash/deep/d.jpg")
    assert found(tmp_path, exclude=globs) == left


def test_links_are_followed_once_and_loops_end(tmp_path):
    make(tmp_path / "photos", "real/a.jpg")
    make(tmp_path / "elsewhere", "b.jpg", "deep/c.jpg")
    (tmp_path / "photos/alias").symlink_to("real")  # sorts before the folder it leads to
    (tmp_path / "photos/loop").symlink_to(".")
    (tmp_path / "photos/real/up").symlink_to("..")
    (tmp_path / "photos/out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/out2").symlink_to(tmp_path / "elsewhere/deep")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/self").symlink_to("self")
    assert found(tmp_path / "photos") == ["out/b.jpg", "out/deep/c.jpg", "real/a.jpg"]


def test_a_link_to_a_photo_is_a_photo_and_one_to_nothing_a_failure(tmp_path):
    make(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    (tmp_path / "c.jpg").symlink_to("gone.jpg")
    result = scan([tmp_path])
    assert [Path(file.path).name for file in result.files] == ["a.jpg", "b.jpg"]
    assert result.unreadable == [Failure(str(tmp_path / "c.jpg"), UNREAD, "no such file or directory")]


def test_the_owners_own_path_is_kept_also_where_it_leads_through_a_link(tmp_path, monkeypatch):
    make(tmp_path / "disk", "a.jpg")
    (tmp_path / "photos").symlink_to("disk")
    monkeypatch.chdir(tmp_path)
    result = scan(["photos/"])
    assert result.roots == [str(tmp_path / "photos")]
    assert [file.path for file in result.files] == [str(tmp_path / "photos/a.jpg")]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_of_folders_within_each_other_every_file_is_found_once(tmp_path, order):
    make(tmp_path, "a.jpg", "sub/b.jpg", "sub/deep/c.jpg")
    folders = [tmp_path, tmp_path / "sub", tmp_path / "sub/deep/.."]
    result = scan([folders[i] for i in order])
    assert len(result.files) == len({file.path for file in result.files}) == 3


def test_pipes_and_sockets_are_not_touched(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "b.jpg"))
        assert found(tmp_path) == []


def test_names_that_are_not_utf8_are_found_as_they_are(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Path(os.fsdecode(path)).touch()
    (file,) = scan([tmp_path]).files
    assert os.fsencode(file.path) == path


def test_the_thumbnails_of_a_library_among_the_photos_are_left_out(tmp_path):
    make(tmp_path, "a.jpg", "library.db", "thumbnails/00/b.jpg", "other/thumbnails/c.jpg")
    assert found(tmp_path) == ["a.jpg", "other/thumbnails/c.jpg"]


def test_a_subfolder_that_cannot_be_read_is_recorded_and_stops_nothing(tmp_path, monkeypatch):
    make(tmp_path, "a.jpg", "closed/b.jpg", "open/c.jpg")
    really = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result = scan([tmp_path])
    assert [os.path.relpath(file.path, tmp_path) for file in result.files] == ["a.jpg", "open/c.jpg"]
    assert result.unreadable == [Failure(str(tmp_path / "closed"), UNREAD, "permission denied")]


def test_a_folder_that_is_missing_or_is_a_file_is_an_error_that_names_it(tmp_path):
    make(tmp_path, "file")
    with pytest.raises(UnseenError, match=r"There is no folder .*/gone"):
        scan([tmp_path, tmp_path / "gone"])
    with pytest.raises(UnseenError, match="/file is not a folder"):
        scan([tmp_path / "file"])


# Comparing


OLD, NEW = FileStamp(1, 1), FileStamp(1, 2)


def known(path, stamp=OLD):
    return KnownFile(hash(path), path, stamp, bytes(16))


def test_comparing_tells_new_changed_unchanged_and_vanished_files_apart():
    files = [FoundFile("/r/changed", NEW), FoundFile("/r/new", NEW), FoundFile("/r/same", OLD)]
    plan = compare(Scan(["/r"], files, []), [known("/r/changed"), known("/r/gone"), known("/r/same")], [])
    assert plan.new == [FoundFile("/r/new", NEW)]
    assert plan.changed == [(FoundFile("/r/changed", NEW), known("/r/changed"))]
    assert plan.unchanged == 1
    assert plan.vanished == [known("/r/gone")]
    assert [file.path for file, _ in plan.to_read] == ["/r/changed", "/r/new"]


def test_a_file_that_failed_is_tried_again_when_it_changed_or_when_asked():
    failed = Failure("/r/bad", OLD, "empty file")
    same, changed = Scan(["/r"], [FoundFile("/r/bad", OLD)], []), Scan(["/r"], [FoundFile("/r/bad", NEW)], [])
    assert compare(same, [], [failed]).still_failing == [failed]
    assert compare(same, [], [failed]).new == []
    assert compare(same, [], [failed], retry_failed=True).new == same.files
    assert compare(changed, [], [failed]).new == changed.files


def test_a_file_that_could_not_be_read_at_all_is_always_tried_again():
    plan = compare(Scan(["/r"], [FoundFile("/r/bad", OLD)], []), [], [Failure("/r/bad", UNREAD, "permission denied")])
    assert [file.path for file in plan.new] == ["/r/bad"]


def test_failures_of_files_that_are_gone_are_forgotten():
    plan = compare(Scan(["/r"], [], []), [], [Failure("/r/bad", OLD, "empty file")])
    assert plan.healed == ["/r/bad"]


def test_what_lies_in_a_folder_that_cannot_be_read_has_not_vanished():
    closed = Failure("/r/closed", UNREAD, "permission denied")
    plan = compare(
        Scan(["/r"], [], [closed]),
        [known("/r/closed/a"), known("/r/closed2/b")],
        [Failure("/r/closed/c", OLD, "empty file"), closed],
    )
    assert plan.vanished == [known("/r/closed2/b")]
    assert plan.healed == []


@pytest.mark.parametrize(
    ("path", "inside"), [("/a/b", True), ("/a/b/c", True), ("/a/bc", False), ("/a", False), ("/x", False)]
)
def test_within_a_folder_is_the_folder_itself_and_what_is_below(path, inside):
    assert within(path, ["/y", "/a/b"]) is inside
    assert within(path, ["/"])
