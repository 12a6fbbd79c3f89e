import os
import socket
from pathlib import Path

import pytest

from engine.errors import UnseenError
from engine.library.records import Failure
from indexer.ignore import IGNORE_FILE
from indexer.ledger import UNREAD
from indexer.scan import scan


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def found(*folders, **options):
    """Paths below the first folder, as found."""
    return [os.path.relpath(file.path, folders[0]) for file in scan(folders, **options)]


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
    assert [Path(file.path).name for file in result] == ["a.jpg", "b.jpg"]
    assert result.unreadable == [Failure(str(tmp_path / "c.jpg"), UNREAD, "no such file or directory")]


def test_the_owners_own_path_is_kept_also_where_it_leads_through_a_link(tmp_path, monkeypatch):
    make(tmp_path / "disk", "a.jpg")
    (tmp_path / "photos").symlink_to("disk")
    monkeypatch.chdir(tmp_path)
    result = scan(["photos/"])
    assert result.roots == [str(tmp_path / "photos")]
    assert [file.path for file in result] == [str(tmp_path / "photos/a.jpg")]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_of_folders_within_each_other_every_file_is_found_once(tmp_path, order):
    make(tmp_path, "a.jpg", "sub/b.jpg", "sub/deep/c.jpg")
    folders = [tmp_path, tmp_path / "sub", tmp_path / "sub/deep/.."]
    result = scan([folders[i] for i in order])
    assert len(result) == len({file.path for file in result}) == 3


def test_pipes_and_sockets_are_not_touched(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "b.jpg"))
        assert found(tmp_path) == []


def test_a_pipe_in_place_of_an_ignore_file_is_not_waited_for(tmp_path):
    make(tmp_path, "in/a.jpg")
    os.mkfifo(tmp_path / "in" / IGNORE_FILE)
    result = scan([tmp_path])
    assert (len(result), [(failure.path, failure.reason) for failure in result.unreadable]) == (
        0,
        [(str(tmp_path / "in"), "not a file")],
    )


def test_names_that_are_not_utf8_are_found_as_they_are(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Path(os.fsdecode(path)).touch()
    (file,) = scan([tmp_path])
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
    assert [os.path.relpath(file.path, tmp_path) for file in result] == ["a.jpg", "open/c.jpg"]
    assert result.unreadable == [Failure(str(tmp_path / "closed"), UNREAD, "permission denied")]


def test_folders_that_are_missing_or_no_folders_are_an_error_that_names_the_first(tmp_path):
    make(tmp_path, "file")
    with pytest.raises(UnseenError, match=r"There is no folder .*/gone"):
        scan([tmp_path / "gone", tmp_path / "too"])
    with pytest.raises(UnseenError, match="/file is not a folder"):
        scan([tmp_path / "file"])


def test_an_empty_name_is_not_taken_for_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(make(tmp_path, "a.jpg"))
    with pytest.raises(UnseenError, match="name of a folder is empty"):
        scan([""])
    assert found(".") == ["a.jpg"]


def test_folders_that_cannot_be_looked_into_beside_one_that_can_are_recorded_and_stop_nothing(tmp_path, monkeypatch):
    make(tmp_path, "there/a.jpg", "file", "closed/b.jpg")
    really = os.scandir

    def scandir(path):
        if path == str(tmp_path / "closed"):  # whoever runs the tests may read everything
            raise PermissionError(13, "Permission denied")
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result = scan([tmp_path / name for name in ("there", "gone", "file", "closed")])
    assert [Path(file.path).name for file in result] == ["a.jpg"]
    assert {Path(failure.path).name: failure.reason for failure in result.unreadable} == {
        "closed": "permission denied",
        "file": "not a directory",
        "gone": "no such file or directory",
    }


def test_a_folder_that_is_missing_on_purpose_is_an_empty_one(tmp_path):
    result = scan([tmp_path / "gone"], missing_is_empty=True)
    assert (len(result), result.unreadable) == (0, [])


def test_a_folder_without_a_single_entry_is_told_from_one_without_photos(tmp_path):
    make(tmp_path, "some/notes.txt")
    (tmp_path / "none/below").mkdir(parents=True)
    (tmp_path / "mount").mkdir()
    assert scan([tmp_path / name for name in ("some", "none", "mount")]).empty == [str(tmp_path / "mount")]


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        (["*.png"], ["a.jpg", "sub/b.jpg", "sub/deep/d.jpg", "x.png"]),
        (["# only the deep", "deep/", ""], ["a.jpg", "sub/b.jpg", "sub/e.png", "x.png"]),
        (["/b.jpg", "/d.jpg"], ["a.jpg", "sub/deep/d.jpg", "sub/e.png", "x.png"]),
        (["deep/*"], ["a.jpg", "sub/b.jpg", "sub/e.png", "x.png"]),
        (["*.jpg", "!d.jpg"], ["a.jpg", "sub/deep/d.jpg", "sub/e.png", "x.png"]),
        ([], ["a.jpg", "x.png"]),
    ],
    ids=["glob", "folder", "anchored", "path", "taken back", "empty file"],
)
def test_a_folder_says_itself_what_of_it_is_left_out(tmp_path, lines, left):
    make(tmp_path, "a.jpg", "x.png", "sub/b.jpg", "sub/e.png", "sub/deep/d.jpg")
    (tmp_path / "sub/.unseenignore").write_text("\n".join(lines))
    assert found(tmp_path) == left


def test_what_belongs_to_a_photo_is_found_with_it(tmp_path):
    make(tmp_path, "IMG_1.JPG", "IMG_1.CR2", "img_1.mov", "IMG_1.xmp", "b.heic", "b.heic.xmp", "c.mov", "d.xmp")
    belonging = {
        Path(file.path).name: [(Path(one.path).name, one.kind) for one in file.companions] for file in scan([tmp_path])
    }
    assert belonging == {
        "IMG_1.JPG": [("IMG_1.CR2", "raw"), ("IMG_1.xmp", "sidecar"), ("img_1.mov", "video")],
        "b.heic": [("b.heic.xmp", "sidecar")],
    }


def test_a_scan_says_how_many_it_has_found(tmp_path):
    make(tmp_path, "a.jpg", "sub/b.jpg")
    heard = []
    scan([tmp_path], heard=heard.append)
    assert heard == [1, 2]
