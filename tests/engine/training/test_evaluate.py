"""The table is what the metrics say of the scores the bundle gives, for photos and for released features."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array
from torch.nn import functional

from engine.cli import run
from engine.errors import BundleError, DataError
from engine.model.biam import initialise, pool
from engine.model.bundle import Bundle, BundleSpec, save_bundle
from engine.model.encoder import RegionEncoder
from engine.model.network import Ensemble, Head, ensemble_of
from engine.photo import load_square
from engine.training import evaluate as module
from engine.training.datasets import load
from engine.training.datasets.base import Dataset, Split, file_names
from engine.training.evaluate import evaluate, measure
from engine.training.features import SceneNetwork
from engine.training.metrics import (
    average_precision,
    pooled_average_precision,
    precision_at_k,
    precision_recall_f1_at_k,
)

GOLDEN = Path(__file__).parents[2] / "golden"


def write_bundle(folder, recipe, grid, cache):
    head = Head(recipe.biam, None)
    initialise(head.biam, 1)
    spec = BundleSpec("untrained", recipe.backbone, recipe.biam.as_dict(), recipe.words, grid)
    codes = np.zeros((2, grid[0] * grid[1], recipe.biam.words + 1), np.int8)
    steps = np.ones(recipe.biam.words + 1, np.float32)
    save_bundle(folder, spec, head=Ensemble([head]).arrays(), steps=steps, background=codes, tags=[], labels=["red"])
    return Bundle(folder, cache)


@pytest.fixture
def bundle(tmp_path, recipe, colours):
    return write_bundle(tmp_path / "bundle", recipe, (4, 4), tmp_path / "cache")


def scores_by_hand(bundle, vectors, tags):
    queries = torch.from_numpy(np.stack([bundle.words.vector(tag) for tag in tags]))
    return pool(torch.as_tensor(vectors) @ functional.pad(queries, (0, 1), value=1.0).T, bundle.top_k).numpy()


def test_each_figure_is_the_metric_of_the_scores_of_region_vectors_that_are_not_rounded(bundle, photo_folder):
    dataset = load("csv", photo_folder)
    result = evaluate(bundle, dataset)
    pixels = np.stack([load_square(path, 16) for path in dataset.test.paths()])
    scores = scores_by_hand(bundle, RegionEncoder.open(bundle).region_vectors(pixels), dataset.tags)
    labels = dataset.test.labels()
    zsl, gzsl = result.rows
    for row, columns in ((zsl, dataset.unseen), (gzsl, slice(None))):
        some, known = scores[:, columns], labels[:, columns]
        ap, positives = average_precision(some, known), (known > 0).sum(0)
        assert row.map.plain == pytest.approx(ap.mean())
        assert row.map.weighted == pytest.approx(ap @ positives / positives.sum())
        assert row.official_map is None
        assert row.first_page == pytest.approx(precision_at_k(some, known, 10).mean())
        assert row.at == {k: pytest.approx(precision_recall_f1_at_k(some, known, k)) for k in (3, 5)}
    assert (zsl.setting, zsl.tags, gzsl.setting, gzsl.tags) == ("ZSL", 1, "GZSL", 5)
    np.testing.assert_allclose(result.ap, average_precision(scores, labels))
    assert not list((bundle.cache).glob("tmp*"))  # scores and labels are gone


def test_released_features_are_scored_through_the_head(released, released_recipe, tmp_path, colours):
    bundle = write_bundle(tmp_path / "bundle", released_recipe, (14, 14), tmp_path / "cache")
    dataset = load("nus-wide", released)
    result = evaluate(bundle, dataset)
    regions = torch.from_numpy(dataset.test.features())
    with torch.no_grad():
        vectors = ensemble_of(bundle)(regions, SceneNetwork(bundle.spec.backbone)(regions), None)
    expected = average_precision(scores_by_hand(bundle, vectors, dataset.tags), dataset.test.labels())
    np.testing.assert_allclose(result.ap, expected)
    assert "official log" in result.table()


def test_released_features_need_a_bundle_with_the_backbone_that_made_them(bundle, released):
    with pytest.raises(DataError, match="features of the data set are VGG-19's"):
        evaluate(bundle, load("nus-wide", released))


# --- Open Images: partial annotation, photos without a positive ---


@pytest.fixture
def open_images():
    golden = np.load(GOLDEN / "metrics_openimages.npz")
    scores, labels = golden["scores"], golden["labels"]
    labels[:, 5] = 0  # a tag nobody annotated
    nothing = Split(Path(), file_names([]), csr_array((0, labels.shape[1]), dtype=np.int8))
    tags = tuple(f"tag {i}" for i in range(labels.shape[1]))
    return Dataset("open-images", tags, 80, nothing, nothing, nothing, skip_untagged=True), scores, labels


def test_on_open_images_each_setting_has_the_photos_with_a_positive_of_its_own(open_images):
    dataset, scores, labels = open_images
    tagged = (labels > 0).any(axis=1)
    result = measure("bundle", dataset, "test", scores[tagged], labels[tagged])
    zsl, gzsl = result.rows
    of_unseen = (labels[:, 80:] > 0).any(axis=1)
    assert (zsl.photos, gzsl.photos) == (of_unseen.sum(), tagged.sum())
    assert (zsl.tags, gzsl.tags) == (40, 119)
    assert zsl.map.plain == pytest.approx(average_precision(scores[of_unseen, 80:], labels[of_unseen, 80:]).mean())
    assert set(zsl.at) == {10, 20}
    expected = precision_recall_f1_at_k(scores[of_unseen, 80:], labels[of_unseen, 80:], 10)
    assert zsl.at[10] == pytest.approx(expected)


def test_a_tag_that_nobody_annotated_is_not_in_the_mean(open_images):
    dataset, scores, labels = open_images
    gzsl = measure("bundle", dataset, "test", scores, labels).rows[1]
    ap = average_precision(scores, labels)
    assert gzsl.map.plain == pytest.approx(np.delete(ap, 5).mean())


def test_the_ap_of_the_official_script_is_shown_beside_the_real_one(open_images):
    dataset, scores, labels = open_images
    result = measure("bundle", dataset, "test", scores, labels)
    official = result.rows[1].official_map
    assert official.plain == pytest.approx(np.delete(pooled_average_precision(scores, labels), 5).mean())
    assert abs(official.plain - result.rows[1].map.plain) > 0.01
    table = result.table()
    assert "GZSL, AP as the official script has it" in table
    assert "73.6" in table and "weighted mean of the official script's own AP" in table


def test_without_unseen_tags_there_is_one_row(open_images):
    dataset, scores, labels = open_images
    (row,) = measure("bundle", replace(dataset, seen_count=120), "test", scores, labels).rows
    assert row.setting == "GZSL"


def test_scores_and_labels_may_lie_on_disk_and_are_read_in_blocks(open_images, tmp_path):
    dataset, scores, labels = open_images
    np.save(tmp_path / "scores.npy", scores)
    np.save(tmp_path / "labels.npy", labels)
    mapped = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("scores", "labels"))
    in_memory = measure("bundle", dataset, "test", scores, labels)
    assert measure("bundle", dataset, "test", *mapped).as_dict() == in_memory.as_dict()


# --- the command ---


@pytest.fixture
def evaluates(bundle, photo_folder, monkeypatch):
    monkeypatch.setenv("UNSEEN_CACHE", str(bundle.cache))
    where = ["--dataset", "csv", "--data", str(photo_folder), "--model", str(bundle.folder)]
    return lambda *options: run(["evaluate", *where, *map(str, options)])


def test_the_command_prints_a_table_in_percent(evaluates, capsys):
    assert evaluates() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "untrained on csv, test, in percent"
    assert lines[2].split() == ["mAP", "weighted", "F1@3", "P@3", "R@3", "F1@5", "P@5", "R@5", "P@10", "of", "a", "tag"]
    assert lines[3].startswith("ZSL, 1 tags, 12 photos")
    assert lines[4].startswith("GZSL, 5 tags, 12 photos")
    assert lines[4].split()[-2] == "100.0"  # all five of five tags: recall is whole


def test_tags_without_a_vector_are_counted(evaluates, photo_folder, capsys):
    table = photo_folder / "tags.csv"
    table.write_text(table.read_text().replace("green", "mauve"))
    assert evaluates() == 0
    assert "Note: 1 of 5 tags have no word vector" in capsys.readouterr().err


def test_another_seed_than_that_of_the_training_is_noted(evaluates, bundle, capsys):
    card = bundle.folder / "bundle.json"
    written = json.loads(card.read_text())
    card.write_text(json.dumps({**written, "card": {"recipe": {"dataset": "csv", "seed": 3}}}))
    assert evaluates() == evaluates("--seed", 3) == 0
    assert "Note" not in capsys.readouterr().err
    assert evaluates("--seed", 4) == 0
    assert "Note: trained with seed 3" in capsys.readouterr().err


def test_the_command_prints_json_and_nothing_else(evaluates, capsys):
    assert evaluates("--json", "--split", "validation") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["bundle"], result["dataset"], result["split"]) == ("untrained", "csv", "validation")
    zsl, gzsl = result["settings"]
    assert zsl["setting"] == "ZSL"
    assert set(gzsl) == {"setting", "photos", "tags", "map", "official_map", "at", "precision_at_10"}
    assert set(gzsl["at"]["3"]) == {"precision", "recall", "f1"}
    assert result["published"] == []


def test_the_command_writes_the_figures_of_each_tag(evaluates, tmp_path, capsys):
    assert evaluates("--per-class", tmp_path / "tags.csv", "--json") == 0
    with (tmp_path / "tags.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["tag"] for row in rows] == ["blue", "green", "red", "yellow", "purple"]
    assert [row["seen"] for row in rows] == ["1", "1", "1", "1", "0"]
    gzsl = json.loads(capsys.readouterr().out)["settings"][1]
    assert np.mean([float(row["ap"]) for row in rows]) == pytest.approx(gzsl["map"]["plain"], abs=1e-5)


def test_figures_that_cannot_be_written_do_not_cost_the_table(evaluates, capsys):
    assert evaluates("--per-class", "/nowhere/tags.csv") == 1
    assert "GZSL, 5 tags, 12 photos" in capsys.readouterr().out


def test_a_bundle_that_has_come_apart_is_named(released, released_recipe, tmp_path, colours):
    bundle = write_bundle(tmp_path / "bundle", released_recipe, (14, 14), tmp_path / "cache")
    path = bundle.folder / "head.safetensors"
    weights = load_file(path)
    next(values for name, values in weights.items() if name.endswith("W.weight"))[:] = np.nan
    save_file(weights, path)
    with pytest.raises(BundleError, match="scores of the bundle untrained are not all numbers"):
        evaluate(bundle, load("nus-wide", released))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dataset", "everyday"), "lacks"),
        (("--dataset", "nonesuch"), "There is no data set “nonesuch”"),
        (("--model", "nonesuch"), "no bundle called nonesuch"),
        (("--data", "/nowhere"), "lacks tags.csv"),
        (("--per-class", "/nowhere/tags.csv"), "Cannot write /nowhere/tags.csv"),
    ],
)
def test_what_cannot_be_measured_is_one_line(evaluates, capsys, options, message):
    assert evaluates(*options) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unseen:")]
    assert len(error) == 1
    assert message in error[0]


def test_an_empty_split_says_which_there_are(bundle, photo_folder):
    dataset = load("csv", photo_folder)
    empty = replace(dataset, validation=dataset.validation.subset(slice(0)))
    with pytest.raises(DataError, match=r"no photo in its split validation.*test, validation, train"):
        evaluate(bundle, empty, "validation")


def test_a_photo_that_cannot_be_read_is_named(bundle, photo_folder):
    dataset = load("csv", photo_folder)
    dataset.test.paths()[3].write_bytes(b"")
    with pytest.raises(DataError, match=f"{dataset.test.paths()[3].name}: empty file"):
        evaluate(bundle, dataset)


def test_a_disk_without_room_for_the_scores_is_refused(bundle, photo_folder, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(DataError, match=r"Scores need .* UNSEEN_CACHE"):
        evaluate(bundle, load("csv", photo_folder))
