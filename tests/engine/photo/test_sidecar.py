"""Tags in XMP sidecars, beside what others wrote there."""

import os
from pathlib import Path

import pytest

from engine.photo import UnreadablePhoto
from engine.photo.sidecar import sidecar_path, with_tags, write_tags
from engine.photo.xmp import metadata_from_xmp
from tests.engine.photo.test_metadata import PACKET


def test_everything_else_in_a_sidecar_stays():
    written = with_tags(PACKET, ["dog", "zoë"])
    before, after = metadata_from_xmp(PACKET), metadata_from_xmp(written)
    assert after == before  # also the keywords: ours are not people's
    assert b"<rdf:li>dog</rdf:li>" in written
    assert b"hierarchicalSubject" in written and b"Places|Africa" in written and b'xmp:Rating="4"' in written


@pytest.mark.parametrize("kind", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("declared", ["", '<?xml version="1.0" encoding="UTF-16"?>\n'])
def test_a_sidecar_in_utf_16_is_read_and_written(kind, declared):
    packet = (declared + PACKET.decode().strip() + "\n\0").encode(kind)
    assert metadata_from_xmp(packet) == metadata_from_xmp(PACKET)
    written = with_tags(packet, ["dog"])
    assert metadata_from_xmp(written) == metadata_from_xmp(PACKET)
    assert b"<rdf:li>dog</rdf:li>" in written
    with pytest.raises(ValueError, match="not XMP"):
        with_tags(packet + b"\xd8\xd8\xd8", ["dog"])


def test_remarks_and_names_of_namespaces_stay():
    inside = b"<!-- by hand --><?a program?><dc:subject>"
    around = b"<!-- by me: \xc3\xa9 & < -->\n<?xml-stylesheet href='x.css'?>", b"<?and more?>\n<!-- the end -->"
    packet = PACKET.replace(b"<dc:subject>", inside).replace(b"<x:xmpmeta", around[0] + b"<x:xmpmeta")
    packet = packet.replace(b"</x:xmpmeta>", b"</x:xmpmeta>" + around[1])
    written = with_tags(packet, ["dog"])
    assert inside[:-12] in written and written.count(b"<?xpacket") == 2
    before, after = written.split(b"<x:xmpmeta")[0], written.split(b"</x:xmpmeta>")[1]
    assert around[0] in before and around[1] in after
    assert with_tags(written, ["dog"]) == written
    assert b"aux:Lens" in written and b"lr:hierarchicalSubject" in written and b"ns0" not in written


def test_what_was_written_before_is_taken_back_and_nothing_of_others():
    once = with_tags(PACKET, ["dog", "cat"])
    twice = with_tags(once, ["cat", "bird"])
    assert b">dog<" not in twice and twice.count(b">cat<") == 2 and b">bird<" in twice  # a keyword, and known as ours
    assert with_tags(twice, ["cat", "bird"]) == twice
    assert "Zoë".encode() in with_tags(twice, [])


def test_a_new_sidecar_is_written_and_one_that_is_right_is_left_alone(tmp_path):
    photo = str(tmp_path / "a.jpg")
    assert not write_tags(photo, [])
    assert write_tags(photo, ["dog"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg.xmp"]
    assert not write_tags(photo, ["dog"])
    assert metadata_from_xmp(Path(sidecar_path(photo)).read_bytes()).keywords == ()


@pytest.mark.parametrize(
    "junk",
    [b"no XML", b"<x>&bomb;</x>", b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', b"<a>" * 5000 + b"</a>" * 5000],
    ids=["no XML", "unknown entity", "entities", "deep"],
)
def test_a_sidecar_that_cannot_be_read_is_not_touched(tmp_path, junk):
    (tmp_path / "a.jpg.xmp").write_bytes(junk)
    with pytest.raises(UnreadablePhoto, match="not XMP"):
        write_tags(str(tmp_path / "a.jpg"), ["dog"])
    assert (tmp_path / "a.jpg.xmp").read_bytes() == junk


def test_a_sidecar_that_is_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path):
    kept = tmp_path / "kept" / "a.xmp"
    kept.parent.mkdir()
    kept.write_bytes(PACKET)
    (tmp_path / "a.jpg.xmp").symlink_to("kept/a.xmp")
    assert write_tags(str(tmp_path / "a.jpg"), ["dog"])
    assert (tmp_path / "a.jpg.xmp").is_symlink() and b">dog<" in kept.read_bytes()
    kept.unlink()
    with pytest.raises(FileNotFoundError):  # which the export names
        write_tags(str(tmp_path / "a.jpg"), ["dog"])
    assert list(kept.parent.iterdir()) == []


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_a_sidecar_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg.xmp")
    with pytest.raises(OSError, match="not a plain file"):
        write_tags(str(tmp_path / "a.jpg"), ["dog"])


def test_a_write_that_fails_leaves_the_sidecar_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "a.jpg.xmp").write_bytes(PACKET)

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.photo.sidecar.Path.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_tags(str(tmp_path / "a.jpg"), ["dog"])
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.jpg.xmp", PACKET)]
