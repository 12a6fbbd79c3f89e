"""One command makes a bundle from a data set, whatever stages its recipe has."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.cli import run
from engine.errors import DataError
from engine.library.region_map import region_scores
from engine.model.bundle import SHIPPED, Bundle
from engine.model.encoder import RegionEncoder
from engine.model.network import ensemble_of
from engine.settings import load_settings
from engine.training.recipes import GLOVE_50, RECIPES
from engine.training.run import Session, train_bundle
from engine.training.trainer import Trainer
from engine.words.colours import COLOURS
from engine.words.lexicon import FILE as LEXICON
from engine.words.lexicon import LexiconTable

pytestmark = pytest.mark.usefixtures("colours")


@pytest.fixture
def trains(tmp_path, monkeypatch, recipe, photo_folder):
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(RECIPES, "csv", recipe)
    where = ["--dataset", "csv", "--data", str(photo_folder), "--out", str(tmp_path / "bundle")]
    return lambda *options: run(["train", *where, *map(str, options)])


def test_the_command_writes_a_bundle_that_can_be_opened_and_evaluated(trains, tmp_path, photo_folder, capsys):
    assert trains("--name", "mine") == 0
    bundle = Bundle(tmp_path / "bundle", tmp_path / "cache")
    assert (bundle.name, bundle.spec.grid) == ("mine", (4, 4))
    assert bundle.tags == ["blue", "green", "red", "yellow"]  # purple was kept from training
    assert set(bundle.tags) <= set(bundle.labels)
    assert bundle.spec.card["recipe"]["dataset"] == "csv"
    assert bundle.spec.calibration[0] > 0  # a higher score is a higher confidence
    assert (tmp_path / "bundle.training" / "all" / "log.csv").exists()
    capsys.readouterr()
    where = ["--dataset", "csv", "--data", str(photo_folder), "--model", str(tmp_path / "bundle")]
    assert run(["evaluate", *where, "--json"]) == 0
    zsl, gzsl = json.loads(capsys.readouterr().out)["settings"]
    assert (zsl["tags"], gzsl["tags"]) == (1, 5)


def test_epochs_and_seed_replace_those_of_the_recipe(trains, tmp_path):
    assert trains("--epochs", 2, "--seed", 7, "--work", tmp_path / "work") == 0
    with (tmp_path / "work" / "all" / "log.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    assert Bundle(tmp_path / "bundle", tmp_path / "cache").spec.card["recipe"]["seed"] == 7


def test_a_finished_run_writes_the_same_bundle_again_without_training(trains, tmp_path, monkeypatch):
    assert trains() == 0
    before = Bundle(tmp_path / "bundle", tmp_path / "cache").fingerprint
    monkeypatch.setattr(Trainer, "_step", None)
    assert trains() == 0
    assert Bundle(tmp_path / "bundle", tmp_path / "cache").fingerprint == before


def test_a_data_set_with_validation_photos_is_trained_once_and_calibrated_on_them(trains, tmp_path, monkeypatch):
    folders, fit = [], Trainer.fit

    def remember(self, *arguments):
        folders.append(self.folder.name)
        return fit(self, *arguments)

    monkeypatch.setattr(Trainer, "fit", remember)
    assert trains() == 0
    assert folders == ["all"]


def test_a_data_set_without_them_has_a_second_run_with_photos_held_out(tmp_path, recipe, photo_folder, monkeypatch):
    counts, fit = {}, Trainer.fit

    def remember(self, train, *arguments):
        counts[self.folder.name] = len(train)
        return fit(self, train, *arguments)

    monkeypatch.setattr(Trainer, "fit", remember)
    load = Session.open.__func__.__globals__["load"]

    def without_validation(*arguments, **options):
        dataset = load(*arguments, **options)
        return replace(dataset, validation=dataset.validation.subset(slice(0)))

    monkeypatch.setattr("engine.training.run.load", without_validation)
    folders = (tmp_path / "bundle", "mine", tmp_path / "work", tmp_path / "cache")
    assert train_bundle(recipe, photo_folder, *folders)
    assert counts["held-out"] == counts["all"] - -(-counts["all"] // 5)


def test_the_two_stages_of_nus_wide_share_their_features_and_calibrate_before_the_last(
    tmp_path, released, released_recipe, monkeypatch
):
    stages, fit = [], Trainer.fit

    def remember(self, train, validation=None, finish=None):
        stages.extend([train, validation, finish])
        return fit(self, train, validation, finish)

    monkeypatch.setattr(Trainer, "fit", remember)
    folders = (tmp_path / "bundle", "nus", tmp_path / "work", tmp_path / "cache")
    assert train_bundle(released_recipe, released, *folders)
    train, validation, finish = stages
    assert (len(train), len(validation), len(finish)) == (16, 4, 20)
    assert train.features is validation.features is finish.features
    assert [path.name for path in validation.split.paths()] == [f"{i}.jpg" for i in range(16, 20)]
    np.testing.assert_array_equal(validation.take(np.array([1])).regions, train.features.regions[[17]])
    state = torch.load(tmp_path / "work" / "all" / "checkpoint.pt")
    assert state["epoch"] == 3
    bundle = Bundle(tmp_path / "bundle", tmp_path / "cache")
    (head,) = ensemble_of(bundle).heads
    assert torch.equal(head.biam.W.weight.half(), state["scorer"]["head.biam.W.weight"].half())  # of the last stage
    assert not torch.equal(state["best_state"]["head.biam.W.weight"], state["scorer"]["head.biam.W.weight"])


def test_the_last_stage_has_the_photos_that_the_protocol_names(tmp_path, released, released_recipe):
    session = Session.open(released_recipe, released, tmp_path / "cache")
    expected = session.dataset.train_and_validation()
    finish = session.stages().finish
    assert finish.split.names.tolist() == expected.names.tolist()
    np.testing.assert_array_equal(finish.split.labels(), expected.labels())


def test_a_tag_without_a_word_vector_stays_a_column_of_training_and_is_no_tag_of_the_bundle(
    tmp_path, recipe, photo_folder, monkeypatch
):
    table = (photo_folder / "tags.csv").read_text()
    (photo_folder / "tags.csv").write_text(table.replace("green", "mauve"))
    session = Session.open(recipe, photo_folder, tmp_path / "cache")
    assert session.dataset.tags[:2] == ("blue", "mauve")
    assert not session.label_vectors(["mauve"]).any()
    np.testing.assert_array_equal(session.label_vectors(["mauve red"]), session.label_vectors(["red"]))
    folders = (tmp_path / "bundle", "mine", tmp_path / "work", tmp_path / "cache")
    train_bundle(recipe, photo_folder, *folders)
    bundle = Bundle(tmp_path / "bundle", tmp_path / "cache")
    assert bundle.tags == ["blue", "red", "yellow"]
    assert len(bundle.label_queries) == len(bundle.labels)


def test_validation_photos_keep_their_labels_where_near_tags_of_training_photos_are_forgotten(
    tmp_path, recipe, photo_folder
):
    session = Session.open(replace(recipe, near=0.6), photo_folder, tmp_path / "cache")
    train, validation, finish = session.stages()
    assert (train.split.labels() == 0).any()
    assert not (validation.split.labels() == 0).any()
    assert finish is None


def test_tags_none_of_which_has_a_vector_are_refused_before_training(tmp_path, recipe, photo_folder):
    table = photo_folder / "tags.csv"
    table.write_text(re.sub("red|green|blue|yellow|purple", "mauve", table.read_text()))
    (photo_folder / "unseen.txt").unlink()
    with pytest.raises(DataError, match="No tag to learn has a vector"):
        Session.open(recipe, photo_folder, tmp_path / "cache")


def test_training_begins_with_the_words_as_no_training_has_moved_them(tmp_path, recipe, photo_folder):
    shipped = LexiconTable.load(SHIPPED / "lite" / LEXICON)
    assert shipped.moved
    session = Session.open(replace(recipe, words=GLOVE_50, lexicon=True), photo_folder, load_settings().cache)
    moved = next(bytes(shipped.entries[place]).decode() for place in shipped.moved)
    assert not np.allclose(session.words.vector(moved), shipped.row(moved), atol=0.01)
    np.testing.assert_array_equal(session.words.vector(moved), shipped.with_moved({}).row(moved))


def test_heads_of_an_ensemble_differ_by_their_seeds_and_are_averaged(tmp_path, recipe, photo_folder):
    folders = (tmp_path / "bundle", "mine", tmp_path / "work", tmp_path / "cache")
    assert train_bundle(replace(recipe, heads=2), photo_folder, *folders)
    assert (tmp_path / "work" / "all" / "head-2" / "log.csv").exists()
    ensemble = ensemble_of(Bundle(tmp_path / "bundle", tmp_path / "cache"))
    first, second = ensemble.heads
    assert not torch.equal(first.biam.W.weight, second.biam.W.weight)
    features = torch.rand(2, 3, 4, 4), torch.rand(2, 3), None
    with torch.inference_mode():
        np.testing.assert_allclose(ensemble(*features), (first(*features) + second(*features)) / 2, atol=1e-5)
    for folder, seed in (("all", recipe.seed), ("all/head-2", recipe.seed + 1)):
        assert f"seed={seed}," in torch.load(tmp_path / "work" / folder / "checkpoint.pt")["recipe"]


def test_label_vectors_of_an_ensemble_are_between_those_that_its_heads_have_tuned(tmp_path, recipe, photo_folder):
    session = Session.open(replace(recipe, heads=2, tuning=4.0), photo_folder, tmp_path / "cache")
    trainer = session.trainer(tmp_path / "work")
    trainer.fit(session.stages().train)
    one, other = (each.label_vectors() for each in trainer.trainers)
    assert not np.allclose(one, other, atol=1e-3)
    found = trainer.label_vectors()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found, (one + other) / np.linalg.norm(one + other, axis=1, keepdims=True), atol=1e-5)


def test_a_bundle_has_the_linear_probes_that_its_recipe_asks_for(tmp_path, recipe, photo_folder):
    probed = replace(recipe, photo_probe=0.4, region_probe=0.15)
    for name, each in (("plain", recipe), ("probed", probed)):
        assert train_bundle(each, photo_folder, tmp_path / name, name, tmp_path / f"{name}-work", tmp_path / "cache")
    plain, bundle = (Bundle(tmp_path / name, tmp_path / "cache") for name in ("plain", "probed"))
    assert plain.fingerprint != bundle.fingerprint
    features = torch.rand(2, 3, 4, 4), torch.rand(2, 3), None
    without, ensemble = ensemble_of(plain), ensemble_of(bundle)
    assert without.probes is None
    assert ensemble.probes.photo.abs().max() > 0
    assert not ensemble.probes.region.any()  # nothing is outlined in these photos
    with torch.inference_mode():
        added = ensemble(*features) - without(*features)
        torch.testing.assert_close(added, ensemble.probes(*features[:2]), atol=1e-4, rtol=1e-4)


def test_a_bundle_with_colours_says_what_is_red_in_photos_and_in_words(tmp_path, recipe, photo_folder):
    biam = replace(recipe.biam, words=64)
    coloured = replace(recipe, words=GLOVE_50, lexicon=True, biam=biam, contrast=0.5, smoothing=0.3, colours=True)
    cache = load_settings().cache
    assert train_bundle(coloured, photo_folder, tmp_path / "bundle", "mine", tmp_path / "work", cache)
    bundle = Bundle(tmp_path / "bundle", cache)
    assert bundle.words.dim + 1 == len(bundle.steps) == 64 + len(COLOURS) + 1
    assert bundle.is_compound("red car")
    half = np.full((1, 16, 16, 3), (200, 20, 30), np.uint8)
    half[:, :, 8:] = 128
    ((region_map, _),) = RegionEncoder.open(bundle).encode(half)
    scores = region_scores(region_map.codes, bundle.queries(bundle.words.vector("red")[None]))[:, 0]
    assert scores.reshape(4, 4)[:, :2].min() > scores.reshape(4, 4)[:, 2:].max() + 1


@pytest.mark.parametrize("folder", ["--out", "--work"])
def test_a_folder_that_cannot_be_written_is_named_before_anything_is_computed(
    trains, tmp_path, monkeypatch, capsys, folder
):
    monkeypatch.setattr(Session, "stages", None)
    (tmp_path / "file").touch()
    assert trains(folder, tmp_path / "file" / "below") == 1
    assert f"Cannot write to {tmp_path}/file/below: Not a directory. Name another folder" in capsys.readouterr().err


def test_data_that_is_missing_is_one_line(trains, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    where = ["--data", str(tmp_path / "empty"), "--out", str(tmp_path / "b")]
    assert run(["train", "--dataset", "corel5k", *where]) == 1
    assert "lacks words.txt" in capsys.readouterr().err
    assert run(["train", "--dataset", "imagenet", *where]) == 1
    assert "no recipe for “imagenet”" in capsys.readouterr().err


def test_features_of_another_backbone_are_refused(tmp_path, released, released_recipe):
    other = replace(released_recipe, backbone=replace(released_recipe.backbone, name="colours"))
    folders = (tmp_path / "bundle", "nus", tmp_path / "work", tmp_path / "cache")
    with pytest.raises(DataError, match="features of the data set are VGG-19's"):
        train_bundle(other, released, *folders)
