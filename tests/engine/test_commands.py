"""`unseen search`, `explain`, `tags` and `models` as someone at a terminal meets them."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sqlalchemy import update

from engine.cli import main
from engine.commands import explain, models, search, tags
from engine.errors import BundleError
from engine.library import schema
from engine.library.records import Batch, FileStamp, Metadata, NewPhoto
from engine.library.store import Store
from engine.model.bundle import BundleSpec
from engine.photo import read_file
from indexer.export import export
from tests.conftest import paint


@pytest.fixture(scope="module")
def library(tmp_path_factory, colour_bundle, colour_encoder):
    """Four photos: red, green with a blue spot at the bottom right, black, and a red one whose name is not UTF-8."""
    root = tmp_path_factory.mktemp("commands")
    photos = [
        paint(root / "red.png", "red"),
        paint(root / "spot.png", "green", "blue", (3, 3)),
        paint(root / "black.png", "black"),
        paint(Path(os.fsdecode(bytes(root) + b"/caf\xe9.png")), "red"),
    ]
    batch = Batch()
    for path in photos:
        file = read_file(str(path))
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.NEAREST))
            size = image.size
        ((region_map, scores),) = colour_encoder.encode(pixels[None])
        batch.added.append(
            NewPhoto(str(path), file.stamp, file.content_hash, *size, "PNG", Metadata(), region_map, scores)
        )
    with Store.create(root / "library", str(colour_bundle.folder), colour_bundle.fingerprint) as store:
        store.apply(batch)
    return root / "library"


UNSEEN = "from engine.cli import main; main()"


def unseen(*arguments, **environment):
    """The command line in a process of its own."""
    command = [sys.executable, "-c", UNSEEN, *arguments]
    return subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})


def run(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_hits_are_lines_of_score_and_path_best_first(library):
    lines = run(search, "blue", "--library", library, "--top", 0).stdout_bytes.splitlines()
    scores = [float(line.split(b"\t")[0]) for line in lines]
    assert len(lines) == 4
    assert scores == sorted(scores, reverse=True)
    assert lines[0].endswith(b"spot.png")


def test_a_library_whose_model_has_moved_is_read_with_the_one_that_the_settings_name(
    library, colour_bundle, tmp_path, monkeypatch
):
    monkeypatch.setenv("UNSEEN_LIBRARY", str(shutil.copytree(library, tmp_path / "library")))
    with Store.open(tmp_path / "library", writable=True) as store, store.writing() as connection:
        connection.execute(update(schema.library).values(bundle="/gone"))
    commands = ((search, "red"), (tags, library.parent / "red.png"), (export, "--format", "csv"))
    for command in commands:
        with pytest.raises(BundleError, match="/gone"):
            run(*command)
    monkeypatch.setenv("UNSEEN_MODEL", str(shutil.copytree(colour_bundle.folder, tmp_path / "moved")))
    for command in commands:
        assert run(*command).exit_code == 0


def test_how_many_are_guesses_is_said_beside_the_list(library, monkeypatch):
    everything = ("blue", "--library", library, "--top", 0, "--min-confidence", 0)
    first, second = (hit["confidence"] for hit in json.loads(run(search, *everything, "--json").stdout)["items"][:2])
    read = BundleSpec.from_json

    def said(default):
        monkeypatch.setattr(BundleSpec, "from_json", lambda text: replace(read(text), min_confidence=default))
        result = run(search, *everything)
        assert all(len(line.split(b"\t")) == 2 for line in result.stdout_bytes.splitlines())
        return result.stderr

    assert said((first + second) / 2) == "3 of these are guesses.\n"
    assert said((first + 1) / 2) == "Nothing is sure: these are guesses.\n"
    assert said(0.0) == ""


def test_a_path_that_is_not_utf_8_keeps_its_bytes(library):
    assert b"/caf\xe9.png\n" in run(search, "red", "--library", library, "--top", 0).stdout_bytes


def test_json_is_one_object_with_everything_the_api_promises(library):
    result = run(search, "blue", "--library", library, "--top", 2, "--json")
    found = json.loads(result.stdout)
    assert set(found) >= {"query", "took_ms", "exact", "total", "items", "next"}
    expected = {"term": "blue", "weight": 1.0, "zero_shot": False, "nearest_tags": ["blue"], "did_you_mean": []}
    assert found["query"]["terms"] == [expected]
    hit = found["items"][0]
    assert hit["rank"] == 1
    assert hit["box"] == [0.75, 0.75, 0.25, 0.25]
    assert hit["path"].endswith("spot.png")


def test_a_photo_finds_photos_that_show_the_same(library):
    lines = run(search, "--like", library.parent / "red.png", "--library", library).stdout_bytes.splitlines()
    assert {line.split(b"/")[-1] for line in lines[:2]} == {b"red.png", b"caf\xe9.png"}
    found = json.loads(run(search, "--like", library.parent / "red.png", "--library", library, "--json").stdout)
    assert found["query"] == {"text": "", "terms": [], "like": True}
    assert [(hit["rank"], len(hit["duplicates"])) for hit in found["items"]] == [(1, 1), (2, 0), (3, 0)]
    assert found["items"][0]["score"] == pytest.approx(1, abs=1e-3)


def test_a_photo_and_words_find_what_is_like_it_and_shows_them(library):
    like = ["--like", library.parent / "spot.png", "--library", library]
    with_blue, with_red = (float(run(search, *like, word).stdout.split("\t")[0]) for word in ("blue", "red"))
    assert 1 > with_blue > 10 * with_red
    assert run(search, *like, "blue").stdout_bytes.splitlines()[0].endswith(b"spot.png")
    assert run(search, *like, "--top", 1).stdout_bytes.count(b"\n") == 1
    assert len(run(search, *like, "--min-confidence", 0.99).stdout_bytes.splitlines()) == 1


@pytest.mark.parametrize("query", ["-the blue", "-yellow blue", "-red -the blue"])
def test_a_query_may_begin_with_a_minus_whatever_letter_follows(library, query):
    before = ["--library", library, "--top", 1, "--min-confidence", 0]
    for arguments in ([*before, query], [query, *before], [*before[:2], query, *before[2:]], [*before, "--", query]):
        assert run(search, *arguments).stdout_bytes.rstrip().endswith(b"spot.png")


@pytest.mark.parametrize("arguments", ["--bogus", "red --min-confidence nan", "red --top -1", "-a -b"])
def test_what_is_no_option_is_wrong_usage(library, arguments):
    assert CliRunner().invoke(search, ["--library", str(library), *arguments.split()]).exit_code == 2
    assert CliRunner().invoke(search, ["-h"]).output.startswith("Usage:")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_can_be_read_whatever_the_terminal_can_show(library, encoding):
    for command in (["search", "“red”", "--json"], ["export", "--format", "jsonl"]):
        result = unseen(*command, UNSEEN_LIBRARY=str(library), PYTHONIOENCODING=encoding)
        for line in result.stdout.decode(encoding).splitlines():
            found = json.loads(line)
            assert found.get("query", {}).get("text", "“red”") == "“red”"


def test_a_closed_output_is_no_error_of_the_program(library):
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        shell = ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", UNSEEN, "search", "red"]
        result = subprocess.run(shell, capture_output=True, env={**os.environ, "UNSEEN_LIBRARY": str(library)})
        assert (result.returncode, result.stderr) == (0, b"")


def test_neither_a_query_nor_a_photo_is_wrong_usage(library):
    result = CliRunner().invoke(search, ["--library", str(library)])
    assert result.exit_code == 2
    assert "--like" in result.output


def test_nothing_found_says_what_to_try(library):
    result = run(search, "blue", "--library", library, "--min-confidence", 1)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "--min-confidence 0" in result.stderr


def test_a_heatmap_points_at_the_spot(library, tmp_path):
    photo = library.parent / "spot.png"
    before = photo.read_bytes()
    found = json.loads(run(explain, "blue", photo, "--library", library, "--json").stdout)
    scores = np.array(found["terms"][0]["scores"])
    assert scores.shape == (found["grid"]["rows"], found["grid"]["cols"])
    assert np.unravel_index(scores.argmax(), scores.shape) == (3, 3)
    assert found["terms"][0]["box"] == [0.75, 0.75, 0.25, 0.25]
    run(explain, "blue", photo, "--library", library, "--output", tmp_path / "heat.png")
    with Image.open(tmp_path / "heat.png") as picture:
        assert picture.size == (64, 48)
    assert photo.read_bytes() == before


def test_tags_name_what_a_photo_shows(library):
    lines = run(tags, library.parent / "spot.png", "--library", library).stdout.splitlines()
    assert {line.split("\t")[1] for line in lines[:2]} == {"green", "blue"}


def test_models_are_listed_and_shown(colour_bundle):
    assert "tags" in run(models, "list").stdout
    assert json.loads(run(models, "show", colour_bundle.folder).stdout)["name"] == "colours"


def test_bundles_are_listed_by_the_names_that_they_are_found_by(colour_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path))
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", colour_bundle.folder)
    line = f"mine\t3 tags\t{tmp_path / 'bundles' / 'mine'}\n"
    assert run(models, "pull", archive, "--name", "mine").stdout == line
    assert line in run(models, "list").stdout
    assert [one["name"] for one in json.loads(run(models, "list", "--json").stdout)["items"]] == ["lite", "mine"]
    (tmp_path / "bundles" / "mine" / "bundle.json").write_text("{")
    listed = run(models, "list")
    assert listed.stdout.startswith("lite\t")
    assert f"unseen: {tmp_path / 'bundles' / 'mine'} is not a bundle that can be used" in listed.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["search", "purpel"], "Did you mean purple"),
        (["search", " "], "query is empty"),
        (["search", "🦒"], "“🦒” holds no word"),
        (["search", "кошка"], "It is Cyrillic; only English words"),
        (["search", "--like", "nosuch.jpg"], "nosuch.jpg"),
        (["search", "-red"], "only words to leave out"),
        (["search", "red^x"], "is not a weight"),
        (["search", "red", "--library", "/nowhere"], "unseen index"),
        (["search", "red", "--model", "nosuch"], "no bundle called nosuch"),
        (["explain", "red", "nosuch.jpg"], "nosuch.jpg"),
        (["models", "show", "nosuch"], "no bundle called nosuch"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_status_1(library, arguments, expected, capfd, monkeypatch):
    monkeypatch.setenv("UNSEEN_LIBRARY", str(library))
    monkeypatch.setattr("sys.argv", ["unseen", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    error = capfd.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_the_photo_itself_is_never_overwritten(library, capfd, monkeypatch):
    photo = library.parent / "spot.png"
    before = photo.read_bytes(), FileStamp(photo.stat().st_size, photo.stat().st_mtime_ns)
    arguments = ["unseen", "explain", "blue", str(photo), "--library", str(library), "--output", str(photo)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit):
        main()
    assert "is the photo itself" in capfd.readouterr().err
    assert before == (photo.read_bytes(), FileStamp(photo.stat().st_size, photo.stat().st_mtime_ns))
