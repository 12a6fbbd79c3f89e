"""`unseen export`, with the colour encoder in the place of the network."""

import csv
import json

import pytest

from engine.photo.xmp import metadata_from_xmp
from tests.conftest import paint


@pytest.fixture
def indexed(unseen, colours, library):
    assert unseen("index", colours)[0] == 0
    return colours


def test_lines_of_json_hold_a_photo_each(unseen, indexed):
    status, out, _ = unseen("export", "--format", "jsonl", "--min-confidence", "0")
    assert status == 0
    lines = {line["path"]: line for line in map(json.loads, out)}
    assert len(lines) == 3
    assert lines[str(indexed / "red.jpg")]["tags"][0]["tag"] == "red"


def test_csv_holds_a_tag_each_and_only_certain_ones(unseen, indexed, tmp_path):
    assert unseen("export", "--format", "csv", "--min-confidence", "0.01", "--output", tmp_path / "tags.csv")[0] == 0
    rows = list(csv.DictReader((tmp_path / "tags.csv").open()))
    assert rows and all(float(row["confidence"]) >= 0.01 for row in rows)
    assert rows[0].keys() == {"path", "tag", "confidence"}


def test_sidecars_get_the_tags_which_are_not_read_as_keywords(unseen, indexed, library):
    status, out, _ = unseen("export", "--format", "xmp", "--min-confidence", "0")
    assert (status, out) == (0, ["3 sidecars written."])
    packet = (indexed / "red.jpg.xmp").read_bytes()
    assert b">red<" in packet and metadata_from_xmp(packet).keywords == ()
    assert unseen("export", "--format", "xmp", "--min-confidence", "0")[1] == ["0 sidecars written."]
    unseen("index", indexed)
    with library.open() as store:
        assert store.keywords_of(store.photo_ids().tolist()) == {}


def test_a_sidecar_that_cannot_be_written_is_named_and_stops_nothing(unseen, indexed):
    (indexed / "red.jpg.xmp").write_bytes(b"no XML")
    status, out, err = unseen("export", "--format", "xmp", "--min-confidence", "0")
    assert (status, out) == (1, ["2 sidecars written."])
    assert err[0].startswith(f"Cannot write {indexed}/red.jpg.xmp: not XMP")


def test_sidecars_cannot_be_written_elsewhere(unseen, indexed, tmp_path):
    assert unseen("export", "--format", "xmp", "--output", tmp_path / "x")[0] == 2


def test_exporting_from_no_library_says_how_to_make_one(unseen, tmp_path):
    paint(tmp_path / "a.jpg")
    status, _, err = unseen("export", "--format", "csv", "--library", tmp_path / "none")
    assert status == 1 and "unseen index FOLDER" in err[0]
