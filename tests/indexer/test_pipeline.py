import hashlib
import os
import shutil
import signal
import time
from dataclasses import asdict
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import insert, select

from engine.errors import WrongBundle
from engine.library import indexes, thumbnails
from engine.library.feedback import Feedback
from engine.library.records import Batch
from engine.library.schema import feedback
from engine.library.store import Store
from engine.model.bundle import Bundle
from engine.photo import UnreadFile, open_picture, read_file, squash
from indexer import look, pipeline
from indexer.scan import scan
from tests.conftest import ColourEncoder, paint
from tests.indexer.conftest import InterruptsOnce, Library


def album(folder, count=12, start=0):
    """So many different photos."""
    for i in range(start, start + count):
        spot, corner = ((i * 37) % 256, (i * 59) % 256, (i * 83) % 256), (i % 4, i // 4 % 4)
        paint(folder / f"{i:03}.jpg", (i, i, i), spot, corner, quality=95)
    return folder


def counts(report):
    """Those that are not zero."""
    return {name: value for name, value in asdict(report).items() if value and isinstance(value, int)}


def later(path):
    """Give a file another time of modification, as saving it again would."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns + 1_000_000))


# What is indexed


def test_every_photo_is_stored_with_what_the_model_sees_in_it(library, photos, colour_encoder):
    album(photos, 20)
    exif = Image.Exif()
    exif[272], exif[306] = "Camera", "2020:05:04 13:14:15"
    paint(photos / "sub/dated.jpg", "red", size=(300, 200), exif=exif)
    report = library.index(photos)
    assert counts(report) == {"found": 21, "added": 21}
    assert report.seconds > 0 and report.images_per_second > 0
    with library.open() as store:
        for file in store.known_files():
            data = read_file(file.path).data
            pixels = squash(open_picture(data, file.path, 32).image, 32)
            ((expected, scores),) = colour_encoder.encode(pixels[None])
            np.testing.assert_array_equal(store.region_map(file.id).codes, expected.codes)
            np.testing.assert_array_equal(store.class_scores([file.id])[1][0], scores)
            assert file.content_hash == hashlib.blake2b(data, digest_size=16).digest()
        dated = store.photo_at(str(photos / "sub/dated.jpg"))
        assert (dated.width, dated.height, dated.format, dated.camera) == (300, 200, "JPEG", "Camera")
        assert dated.taken_at == datetime(2020, 5, 4, 13, 14, 15, tzinfo=UTC)
        assert indexes.check(store) == [] and store.problems() == []
        assert store.roots() == [str(photos)]
    assert library.heard.total == library.heard.done == 21


def test_thumbnails_show_the_photos_upright(library, photos):
    exif = Image.Exif()
    exif[0x0112] = 6
    paint(photos / "a.jpg", "black", "red", (0, 0), (1200, 800), exif=exif)
    library.index(photos)
    data = thumbnails.read(library.folder, read_file(str(photos / "a.jpg")).content_hash)
    with Image.open(BytesIO(data)) as thumbnail:
        assert thumbnail.size == (400, 600)
        assert thumbnail.getpixel((390, 10))[0] > 200 > 50 > thumbnail.getpixel((10, 10))[0]


def test_photos_are_never_written_to(library, photos):
    album(photos, 5)
    (photos / "broken.jpg").write_bytes(b"broken")

    def state():
        return {
            path.name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) for path in photos.iterdir()
        }

    before = state()
    library.index(photos)
    later(photos / "001.jpg")
    before["001.jpg"] = state()["001.jpg"]
    library.index(photos)
    assert state() == before


def test_the_same_codes_come_out_however_many_photos_are_indexed_at_once(library, photos, tmp_path, colour_encoder):
    album(photos, 11)
    library.index(photos)
    one_by_one = Library(tmp_path / "other", colour_encoder)
    for path in sorted(photos.iterdir()):
        moved = tmp_path / "one" / path.name
        moved.parent.mkdir(exist_ok=True)
        shutil.copy2(path, moved)
        one_by_one.index(moved.parent)
    assert [value[3:] for value in one_by_one.content().values()] == [value[3:] for value in library.content().values()]


def test_every_photo_is_encoded_by_itself_so_that_its_codes_depend_on_no_other(library, photos, colour_bundle):
    sizes = []

    class Counting(ColourEncoder):
        def encode(self, pixels):
            sizes.append(len(pixels))
            return super().encode(pixels)

    library.index(album(photos, 11), encoder=Counting(colour_bundle))
    assert sizes == [1] * 11


# What has not changed


def test_nothing_is_read_again_that_has_not_changed(library, photos, unneeded, monkeypatch):
    library.index(album(photos))
    monkeypatch.setattr(look, "read_file", lambda path: pytest.fail("it was read"))
    before = {path: path.stat().st_mtime_ns for path in library.folder.glob("*.faiss")}
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 12, "unchanged": 12}
    assert before == {path: path.stat().st_mtime_ns for path in library.folder.glob("*.faiss")}


def test_a_touched_file_is_read_but_not_encoded(library, photos, unneeded):
    library.index(album(photos))
    later(photos / "003.jpg")
    before = library.ids()
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 12, "unchanged": 12}
    assert library.ids() == before
    assert library.heard.total == 1
    library.index(photos)
    assert library.heard.total == 0


def test_a_changed_photo_keeps_its_id_and_gets_another_map(library, photos):
    library.index(album(photos))
    before, ids = library.content(), library.ids()
    old = read_file(str(photos / "003.jpg")).content_hash
    paint(photos / "003.jpg", "yellow")
    later(photos / "003.jpg")
    assert counts(library.index(photos)) == {"found": 12, "updated": 1, "unchanged": 11}
    after = library.content()
    assert library.ids() == ids
    assert [Path(path).name for path in after if after[path][3] != before[path][3]] == ["003.jpg"]
    assert thumbnails.read(library.folder, old) is None
    assert thumbnails.read(library.folder, after[str(photos / "003.jpg")][0]) is not None


# Copies and moves


def test_a_copy_is_not_encoded_again(library, photos, unneeded):
    library.index(album(photos))
    shutil.copy2(photos / "003.jpg", photos / "copy.jpg")
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 13, "added": 1, "unchanged": 12}
    content = library.content()
    assert content[str(photos / "copy.jpg")][2:] == content[str(photos / "003.jpg")][2:]
    assert library.ids()["copy.jpg"] != library.ids()["003.jpg"]


def test_copies_that_are_new_together_are_encoded_once(library, photos, colour_bundle):
    album(photos, 1, start=5)
    for i in range(200):
        shutil.copy(photos / "005.jpg", photos / f"copy{i:03}.jpg")
    encoded = []

    class Counting(ColourEncoder):
        def encode(self, pixels):
            encoded.append(int(pixels.any(axis=(1, 2, 3)).sum()))
            return super().encode(pixels)

    assert counts(library.index(photos, encoder=Counting(colour_bundle))) == {"found": 201, "added": 201}
    assert encoded == [1]
    assert len({value[3] for value in library.content().values()}) == 1


def test_a_moved_photo_keeps_its_id_and_is_not_encoded_again(library, photos, unneeded):
    library.index(album(photos))
    before = library.ids()
    (photos / "sub").mkdir()
    (photos / "003.jpg").rename(photos / "sub/three.jpg")
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 12, "unchanged": 11, "moved": 1}
    assert library.ids() == {("three.jpg" if name == "003.jpg" else name): id for name, id in before.items()}


def test_a_renamed_folder_keeps_all_ids(library, photos, unneeded):
    library.index(album(photos / "old", 30))
    before = library.ids()
    (photos / "old").rename(photos / "new")
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 30, "moved": 30}
    assert library.ids() == before


def test_a_photo_moved_to_a_folder_that_is_indexed_later_keeps_its_id(library, tmp_path, unneeded):
    library.index(album(tmp_path / "a"))
    before = library.ids()
    (tmp_path / "b").mkdir()
    (tmp_path / "a/003.jpg").rename(tmp_path / "b/003.jpg")
    assert counts(library.index(tmp_path / "b", encoder=unneeded)) == {"found": 1, "moved": 1}
    assert library.ids() == before


def test_of_several_copies_of_a_vanished_photo_one_takes_its_place(library, photos, unneeded):
    library.index(album(photos))
    before = library.ids()
    for name in ("x.jpg", "y.jpg"):
        shutil.copy(photos / "003.jpg", photos / name)
    (photos / "003.jpg").unlink()
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 13, "added": 1, "unchanged": 11, "moved": 1}
    assert library.ids()["x.jpg"] == before["003.jpg"]


def test_each_of_several_vanished_copies_finds_a_place_of_its_own(library, photos, unneeded):
    album(photos / "old", 1)
    for i in range(1, 4):
        shutil.copy(photos / "old/000.jpg", photos / f"old/{i:03}.jpg")
    library.index(photos)
    before = set(library.ids().values())
    (photos / "old").rename(photos / "new")
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 4, "moved": 4}
    assert set(library.ids().values()) == before


def test_photos_that_change_places_end_up_as_if_indexed_anew(library, photos, tmp_path, colour_encoder):
    library.index(album(photos))
    (photos / "000.jpg").rename(photos / "swap")
    (photos / "001.jpg").rename(photos / "000.jpg")
    (photos / "swap").rename(photos / "001.jpg")
    (photos / "004.jpg").replace(photos / "003.jpg")
    for name in ("000.jpg", "001.jpg", "003.jpg"):
        later(photos / name)
    assert counts(library.index(photos)) == {"found": 11, "updated": 3, "unchanged": 8, "removed": 1}
    fresh = Library(tmp_path / "fresh", colour_encoder)
    fresh.index(photos)
    assert library.content() == fresh.content()


# What is gone


def test_a_deleted_photo_leaves_with_its_thumbnail(library, photos):
    library.index(album(photos))
    gone = read_file(str(photos / "003.jpg")).content_hash
    (photos / "003.jpg").unlink()
    assert counts(library.index(photos)) == {"found": 11, "unchanged": 11, "removed": 1}
    assert "003.jpg" not in library.names()
    assert thumbnails.read(library.folder, gone) is None
    with library.open() as store:
        assert indexes.check(store) == []


def test_a_thumbnail_stays_while_a_copy_of_the_photo_does(library, photos):
    album(photos, 1)
    shutil.copy(photos / "000.jpg", photos / "copy.jpg")
    library.index(photos)
    (photos / "000.jpg").unlink()
    library.index(photos)
    assert thumbnails.read(library.folder, read_file(str(photos / "copy.jpg")).content_hash) is not None


def test_a_folder_whose_photos_are_all_gone_empties_the_library(library, photos):
    library.index(album(photos))
    for path in photos.iterdir():
        path.unlink()
    (photos / "notes.txt").touch()
    assert counts(library.index(photos)) == {"removed": 12}
    assert library.names() == []
    assert list(library.folder.glob("*.faiss")) == []


@pytest.mark.parametrize("leaves", ["an empty folder", "nothing"])
def test_a_disk_that_is_not_connected_takes_no_photo_along_unless_it_is_said_to(library, photos, tmp_path, leaves):
    library.index(album(photos))
    shutil.rmtree(photos)
    if leaves == "an empty folder":
        photos.mkdir()
    (tmp_path / "other").mkdir()
    assert counts(library.index(photos, tmp_path / "other")) == {"failed": 1}
    assert len(library.names()) == 12
    assert ("in case its disk" in library.failures()["photos"]) == (leaves == "an empty folder")
    assert counts(library.index(photos, prune_missing_roots=True)) == {"removed": 12}
    assert library.failures() == {}


def test_a_disk_inside_a_folder_that_is_not_connected_takes_no_photo_along_unless_it_is_said_to(library, photos):
    (photos / "disk" / "2020").mkdir(parents=True)
    (photos / "few").mkdir()
    album(photos / "disk" / "2020", 21)
    album(photos / "few", 20, start=21)
    library.index(photos)
    shutil.rmtree(photos / "disk" / "2020")
    for path in (photos / "few").iterdir():
        path.unlink()
    assert counts(library.index(photos)) == {"removed": 20, "failed": 1}
    assert len(library.names()) == 21
    assert library.failures() == {
        "disk": "empty; 21 photos of it stay in the library, in case its disk is not connected "
        "(--prune-missing-roots removes them)"
    }
    assert library.heard.failures.keys() == {str(photos / "disk")}
    album(photos / "disk", 1, start=41)
    (photos / "disk" / "041.jpg").rename(photos / "041.jpg")
    assert counts(library.index(photos / "disk")) == {"failed": 1}
    assert counts(library.index(photos, prune_missing_roots=True)) == {"found": 1, "added": 1, "removed": 21}
    assert library.failures() == {}


def test_a_disk_that_is_connected_again_is_as_it_was(library, photos, unneeded):
    (photos / "disk").mkdir()
    album(photos / "disk", 21)
    library.index(photos)
    before = library.ids()
    (photos / "disk").rename(photos.parent / "unplugged")
    (photos / "disk").mkdir()
    library.index(photos, encoder=unneeded)
    (photos / "disk").rmdir()
    (photos.parent / "unplugged").rename(photos / "disk")
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 21, "unchanged": 21}
    assert (library.ids(), library.failures()) == (before, {})


def test_a_folder_that_is_empty_because_its_photos_moved_is_no_disk_that_is_missing(library, photos, unneeded):
    (photos / "a").mkdir()
    album(photos / "a", 30)
    library.index(photos)
    before = library.ids()
    (photos / "b").mkdir()
    for path in (photos / "a").iterdir():
        path.rename(photos / "b" / path.name)
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 30, "moved": 30}
    assert (library.ids(), library.failures()) == (before, {})


def test_photos_that_are_kept_while_their_file_is_gone_are_marked_until_it_is_back(library, photos, unneeded):
    library.index(album(photos))
    before = library.ids()
    (photos / "003.jpg").rename(photos.parent / "aside.jpg")

    def missing():
        with library.open() as store:
            return [Path(file.path).name for file in store.known_files() if file.missing]

    assert counts(library.index(photos, keep_missing=True)) == {"found": 11, "unchanged": 11}
    assert missing() == ["003.jpg"]
    library.index(photos, keep_missing=True)
    (photos.parent / "aside.jpg").rename(photos / "003.jpg")
    assert counts(library.index(photos, keep_missing=True, encoder=unneeded)) == {"found": 12, "unchanged": 12}
    assert (missing(), library.ids()) == ([], before)
    (photos / "004.jpg").unlink()
    library.index(photos, keep_missing=True)
    assert counts(library.index(photos)) == {"found": 11, "unchanged": 11, "removed": 1}


def test_a_whole_tree_that_moves_keeps_ids_and_what_was_said_of_its_photos(library, photos, tmp_path, unneeded):
    album(photos / "old" / "deep", 100)
    library.index(photos)
    before = library.ids()
    with library.open() as store, Store.create(library.folder, "", "") as writer:
        (photo_id,) = store.photo_ids()[:1].tolist()
        with writer.writing() as connection:
            said = {"query": "red", "photo_id": photo_id, "relevant": True, "given_at": datetime.now(UTC)}
            connection.execute(insert(feedback).values(**said))
    (photos / "old").rename(photos / "new")
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 100, "moved": 100}
    assert library.ids() == before
    with library.open() as store, store.reading() as connection:
        assert connection.execute(select(feedback.c.photo_id)).scalars().all() == [photo_id]


# What belongs to a photo

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmp:Rating="{}">
<dc:subject><rdf:Bag><rdf:li>{}</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"""


def said(library, path):
    with library.open() as store:
        photo = store.photo_at(str(path))
        return photo.rating, store.keywords_of([photo.id]).get(photo.id, [])


def test_a_sidecar_that_is_written_later_is_read_without_looking_at_the_photo_again(library, photos, unneeded):
    photo, sidecar = paint(photos / "a.jpg", "red"), photos / "a.jpg.xmp"
    library.index(photos)
    assert said(library, photo) == (None, [])
    sidecar.write_text(XMP.format(5, "sea"))
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 1, "unchanged": 1}
    assert said(library, photo) == (5, ["sea"])
    library.index(photos)
    assert library.heard.total == 0
    sidecar.write_text(XMP.format(1, "mountain"))
    library.index(photos, encoder=unneeded)
    assert said(library, photo) == (1, ["mountain"])
    sidecar.unlink()
    library.index(photos, encoder=unneeded)
    assert said(library, photo) == (None, [])


@pytest.mark.parametrize("at_once", [True, False], ids=["in one run", "one after the other"])
@pytest.mark.parametrize("order", ["abc", "cab", "bca"])
def test_each_copy_of_a_photo_has_what_its_own_sidecar_says(library, photos, at_once, order):
    said_of = {"a": (5, ["mine"]), "b": (2, ["theirs"]), "c": (None, [])}
    copies = []
    for number, name in enumerate(order):
        copies.append(photos / f"{number}{name}" / "x.jpg")
        if number:
            copies[-1].parent.mkdir()
            shutil.copy(copies[0], copies[-1])
        else:
            paint(copies[-1], "red")
        rating, words = said_of[name]
        if words:
            copies[-1].with_suffix(".xmp").write_text(XMP.format(rating, *words))
        if not at_once:
            library.index(photos)
    library.index(photos)
    assert [said(library, copy) for copy in copies] == [said_of[name] for name in order]


def test_a_sidecar_moves_with_its_photo(library, photos, unneeded):
    photo = paint(photos / "a.jpg", "red")
    (photos / "a.xmp").write_text(XMP.format(5, "sea"))
    library.index(photos)
    (photos / "sub").mkdir()
    for name in ("a.jpg", "a.xmp"):
        (photos / name).rename(photos / "sub" / name)
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 1, "moved": 1}
    assert said(library, photos / "sub" / photo.name) == (5, ["sea"])
    library.index(photos)
    assert library.heard.total == 0


def test_a_live_photo_and_a_raw_beside_a_jpeg_are_one_photo(library, photos):
    paint(photos / "a.jpg", "red")
    (photos / "a.mov").write_bytes(b"video")
    (photos / "a.cr2").write_bytes(b"raw")
    assert counts(library.index(photos)) == {"found": 1, "added": 1}
    with library.open() as store:
        (belonging,) = store.companions_of(store.photo_ids().tolist()).values()
    assert [(Path(one.path).name, one.kind) for one in belonging] == [("a.cr2", "raw"), ("a.mov", "video")]
    (photos / "a.mov").unlink()
    assert counts(library.index(photos)) == {"found": 1, "unchanged": 1}
    assert library.heard.total == 0
    with library.open() as store:
        (belonging,) = store.companions_of(store.photo_ids().tolist()).values()
    assert [one.kind for one in belonging] == ["raw"]


def test_photos_outside_the_folders_named_are_left_alone(library, tmp_path):
    library.index(album(tmp_path / "a"))
    shutil.rmtree(tmp_path / "a")
    assert counts(library.index(album(tmp_path / "ab", 3, start=50))) == {"found": 3, "added": 3}
    assert len(library.names()) == 15


def test_a_copy_on_another_disk_is_no_move_while_the_first_disk_is_unplugged(library, tmp_path, unneeded):
    library.index(album(tmp_path / "disk"))
    before = library.ids()
    shutil.copytree(tmp_path / "disk", tmp_path / "backup")
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    assert counts(library.index(tmp_path / "backup", encoder=unneeded)) == {"found": 12, "added": 12}
    with library.open() as store:
        kept = {Path(file.path).name: file.id for file in store.known_files(str(tmp_path / "disk"))}
    assert kept == before


def test_what_is_excluded_stays_out_and_leaves_if_it_was_in(library, photos):
    album(photos, 4)
    paint(photos / "trash/x.png", "red")
    library.index(photos)
    assert counts(library.index(photos, exclude=["trash", "000*"])) == {"found": 3, "unchanged": 3, "removed": 2}
    assert library.names() == ["001.jpg", "002.jpg", "003.jpg"]


# What fails


@pytest.fixture
def bad(photos):
    """Good and bad files; the bad ones with the reasons they must get."""
    album(photos, 3)
    whole = paint(photos / "whole.png", "red", "blue", size=(300, 200)).read_bytes()
    (photos / "whole.png").unlink()
    files = {
        "text.jpg": (b"Dear diary", "not an image this program can read"),
        "empty.png": (b"", "empty file"),
        "cut.png": (whole[:-200], "truncated PNG: "),
    }
    for name, (data, _) in files.items():
        (photos / name).write_bytes(data)
    Image.new("1", (20_000, 20_000)).save(photos / "bomb.png")
    return {name: reason for name, (_, reason) in files.items()} | {"bomb.png": "20,000×20,000 pixels"}


def test_files_that_fail_are_recorded_and_named_once_and_stop_nothing(library, photos, bad):
    assert counts(library.index(photos)) == {"found": 7, "added": 3, "failed": 4}
    failures = library.failures()
    assert failures.keys() == bad.keys()
    assert all(failures[name].startswith(reason) for name, reason in bad.items())
    assert {Path(path).name: reason for path, reason in library.heard.failures.items()} == failures


def test_what_could_be_read_of_a_file_is_used_and_marked(library, photos):
    whole = paint(photos / "cut.jpg", "red", "blue", size=(300, 200)).read_bytes()
    (photos / "cut.jpg").write_bytes(whole[:-200])
    assert counts(library.index(photos)) == {"found": 1, "added": 1}
    with library.open() as store:
        assert store.photo_at(str(photos / "cut.jpg")).warning == "the end of the file is missing"


def test_a_file_that_failed_is_counted_but_not_read_until_it_changes(library, photos, bad, unneeded):
    library.index(photos)
    assert counts(library.index(photos, encoder=unneeded)) == {"found": 7, "unchanged": 3, "failed": 4}
    assert (library.heard.total, library.heard.failures) == (0, {})
    assert counts(library.index(photos, retry_failed=True)) == {"found": 7, "unchanged": 3, "failed": 4}
    assert library.heard.total == 4
    paint(photos / "text.jpg", "red")
    (photos / "empty.png").unlink()
    assert counts(library.index(photos)) == {"found": 6, "added": 1, "unchanged": 3, "failed": 2}
    assert library.failures().keys() == {"cut.png", "bomb.png"}


def test_a_photo_that_can_no_longer_be_read_leaves_the_library_for_the_failures(library, photos):
    library.index(album(photos, 3))
    (photos / "001.jpg").write_bytes(b"overwritten")
    assert counts(library.index(photos)) == {"found": 3, "unchanged": 2, "failed": 1}
    assert library.names() == ["000.jpg", "002.jpg"]
    assert library.failures() == {"001.jpg": "not an image this program can read"}
    paint(photos / "001.jpg", "red")
    assert counts(library.index(photos)) == {"found": 3, "added": 1, "unchanged": 2}
    assert library.failures() == {}


def test_a_file_without_permission_is_tried_again_each_time(library, photos, monkeypatch):
    album(photos, 3)
    really = open

    def denied(path, *arguments, **options):
        if str(path).endswith("001.jpg"):
            raise PermissionError(13, "Permission denied", path)
        return really(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", denied)
        for _ in range(2):
            report = library.index(photos)
            assert report.failed == 1
            assert library.failures() == {"001.jpg": "permission denied"}
        with library.open() as store:
            assert store.generation() == 1  # the same failure again is no news
    assert counts(library.index(photos)) == {"found": 3, "added": 1, "unchanged": 2}


def test_a_file_that_vanishes_between_finding_and_reading_is_a_failure_for_this_time(library, photos, monkeypatch):
    album(photos, 3)
    really = look.read_file

    def vanishing(path):
        if path.endswith("001.jpg"):
            Path(path).unlink()
        return really(path)

    monkeypatch.setattr(look, "read_file", vanishing)
    assert counts(library.index(photos)) == {"found": 3, "added": 2, "failed": 1}
    assert counts(library.index(photos)) == {"found": 2, "unchanged": 2}
    assert library.failures() == {}


def test_a_folder_that_cannot_be_read_is_a_failure_and_its_photos_stay(library, photos, monkeypatch):
    album(photos, 2)
    album(photos / "closed", 3, start=50)
    library.index(photos)
    really = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return really(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        assert counts(library.index(photos)) == {"found": 2, "unchanged": 2, "failed": 1}
    assert len(library.names()) == 5
    assert library.failures() == {"closed": "permission denied"}
    assert counts(library.index(photos)) == {"found": 5, "unchanged": 5}
    assert library.failures() == {}


def test_names_that_are_not_utf8_are_indexed_as_they_are(library, photos):
    path = os.fsdecode(os.fsencode(photos) + b"/caf\xe9.jpg")
    paint(photos / "a.jpg", "red").rename(path)
    assert counts(library.index(photos)) == {"found": 1, "added": 1}
    assert list(library.content()) == [path]
    assert counts(library.index(photos)) == {"found": 1, "unchanged": 1}


# Stopping, and what belongs together


def test_an_interrupt_writes_what_is_in_hand_and_the_next_run_goes_on(library, photos, tmp_path, colour_bundle):
    album(photos, 60)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        library.index(photos, encoder=InterruptsOnce(colour_bundle))
    assert signal.getsignal(signal.SIGINT) is handler
    done = len(library.names())
    assert 0 < done < 60
    with library.open() as store:
        assert store.roots() == []
        assert indexes.check(store) == []
    assert counts(library.index(photos)) == {"found": 60, "added": 60 - done, "unchanged": done}


@pytest.mark.parametrize("keep_missing", [True, False])
def test_a_photo_that_cannot_be_read_for_a_moment_keeps_its_id_and_what_was_said_of_it(
    library, photos, monkeypatch, keep_missing
):
    library.index(album(photos, 3))
    ids, before = library.ids(), library.content()
    with Store.open(library.folder, writable=True) as store:
        Feedback(store).mark("red", ids["000.jpg"], relevant=True)
    later(photos / "000.jpg")
    with monkeypatch.context() as patch:
        fails_for(patch, "000.jpg")
        assert counts(library.index(photos, keep_missing=keep_missing)) == {"found": 3, "unchanged": 2, "failed": 1}
        assert library.content() == before
        assert library.failures() == {"000.jpg": "input/output error"}
    assert counts(library.index(photos)) == {"found": 3, "unchanged": 3}
    assert (library.ids(), library.failures()) == (ids, {})
    with library.open() as store:
        assert [mark.photo_id for mark in Feedback(store).of("red")] == [ids["000.jpg"]]


def fails_for(monkeypatch, name):
    """Until undone, a file of this name cannot be read."""
    reading = look.read_file

    def fails(path):
        if path.endswith(name):
            raise UnreadFile(path, "input/output error")
        return reading(path)

    monkeypatch.setattr(look, "read_file", fails)


@pytest.mark.parametrize("unread", ["a.jpg", "a.xmp"])
def test_a_sidecar_is_read_once_it_and_its_photo_can_be(library, photos, monkeypatch, unread):
    photo = paint(photos / "a.jpg", "red")
    library.index(photos)
    (photos / "a.xmp").write_text(XMP.format(5, "sea"))
    with monkeypatch.context() as patch:
        fails_for(patch, unread)
        library.index(photos)
    assert said(library, photo) == (None, [])
    library.index(photos)
    assert said(library, photo) == (5, ["sea"])
    assert library.failures() == {}
    library.index(photos)
    assert library.heard.total == 0


def test_a_photo_that_could_not_be_read_and_is_as_it_was_is_no_failure_any_more(library, photos, monkeypatch):
    photo = album(photos, 1) / "000.jpg"
    library.index(photos)
    before = photo.stat().st_mtime_ns
    later(photo)
    with monkeypatch.context() as patch:
        fails_for(patch, "000.jpg")
        library.index(photos)
    os.utime(photo, ns=(before, before))
    assert list(library.failures()) == ["000.jpg"]
    library.index(photos)
    assert library.failures() == {}


def test_an_interrupted_run_reads_the_other_sidecars_the_next_time(library, photos, colour_bundle, monkeypatch):
    library.index(album(photos, 12))
    monkeypatch.setattr(pipeline, "BATCH", 2)
    monkeypatch.setattr(pipeline, "AHEAD", 0)
    for photo in sorted(photos.glob("*.jpg")):
        photo.with_suffix(".xmp").write_text(XMP.format(5, photo.stem))
    paint(photos / "0.jpg", "red")
    with pytest.raises(KeyboardInterrupt):
        library.index(photos, encoder=InterruptsOnce(colour_bundle))
    library.index(photos)
    for number in range(12):
        assert said(library, photos / f"{number:03}.jpg") == (5, [f"{number:03}"])


@pytest.mark.parametrize("seconds", [10**10, -(10**10)])
def test_a_file_from_a_far_time_is_indexed_like_any_other_and_not_read_again(library, photos, seconds):
    album(photos, 2)
    (photos / "bad.jpg").write_bytes(b"no")
    for name in ("000.jpg", "bad.jpg"):
        os.utime(photos / name, (seconds, seconds))
    assert counts(library.index(photos)) == {"found": 3, "added": 2, "failed": 1}
    assert counts(library.index(photos)) == {"found": 3, "unchanged": 2, "failed": 1}
    assert library.heard.total == 0


def test_an_interrupted_run_removes_nothing(library, photos, colour_bundle):
    library.index(album(photos, 3))
    (photos / "000.jpg").unlink()
    album(photos, 20, start=50)

    with pytest.raises(KeyboardInterrupt):
        library.index(photos, encoder=InterruptsOnce(colour_bundle))
    assert "000.jpg" in library.names()


def test_a_library_of_another_bundle_is_not_written(library, photos, colour_bundle, tmp_path):
    library.index(album(photos, 2))
    shutil.copytree(colour_bundle.folder, tmp_path / "other")
    (tmp_path / "other/labels.txt").write_text("red\n")
    other = ColourEncoder(Bundle(tmp_path / "other", colour_bundle.cache))
    with pytest.raises(WrongBundle, match="made with another model"):
        library.index(photos, encoder=other)
    assert len(library.names()) == 2


def test_what_a_batch_could_not_write_is_not_half_there(library, photos, monkeypatch):
    album(photos, 20)
    monkeypatch.setattr(pipeline, "BATCH", 8)
    really, calls = Store.apply, []

    def failing(self, batch: Batch):
        calls.append(batch)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return really(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "apply", failing)
        with pytest.raises(OSError, match="No space"):
            library.index(photos)
    assert len(library.names()) == 8
    library.index(photos)
    assert len(library.names()) == 20


def test_as_many_threads_as_one_likes_give_the_same_library(photos, tmp_path, colour_encoder):
    album(photos, 40)
    shutil.copy(photos / "000.jpg", photos / "copy.jpg")
    contents = []
    for jobs in (1, 7):
        made = Library(tmp_path / f"library{jobs}", colour_encoder)
        with Store.create(made.folder, "colours", colour_encoder.bundle.fingerprint) as store:
            pipeline.bring_up_to_date(store, colour_encoder, scan([photos]), jobs=jobs)
        contents.append(made.content())
    assert contents[0] == contents[1]


# The indexes


def test_the_indexes_follow_in_steps_while_a_run_goes_on(library, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "BATCH", 2)
    monkeypatch.setattr(pipeline, "REFRESHED", 4)
    refreshed, bring_indexes_up_to_date = [], indexes.refresh

    def refresh(store, basis_of):
        indexed = bring_indexes_up_to_date(store, basis_of)
        refreshed.append((store.count(), len(indexed.ids)))

    monkeypatch.setattr(pipeline.indexes, "refresh", refresh)
    library.index(album(tmp_path / "more", 12))
    assert [count for count, _ in refreshed[:-1]] == [4, 8, 12]
    assert all(count == held for count, held in refreshed)
    with library.open() as store:
        assert indexes.check(store) == []
