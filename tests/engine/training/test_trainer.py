"""Training can be interrupted, killed, repeated and shared, and keeps what did best."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import DataError, UnseenError
from engine.training.distributed import Team
from engine.training.losses import mirror_loss
from engine.training.metrics import average_precision
from engine.training.precision import autocast_type
from engine.training.recipes import RECIPES, Schedule, recipe_for
from engine.training.trainer import Trainer
from tests.engine.training.tiny import RECIPE, TAGS, photos, trainer, vectors, without_chance

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def log(folder) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def same(first, second) -> bool:
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def python(*arguments) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return trainer(folder).fit(photos()), folder


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_run_interrupted_after_an_epoch_and_resumed_is_the_undisturbed_run(
    undisturbed, tmp_path, monkeypatch, epochs
):
    save = Trainer._save

    def save_and_stop(self):
        save(self)
        if self.epoch == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path).fit(photos())
    monkeypatch.undo()
    assert len(log(tmp_path)) == epochs
    assert same(trainer(tmp_path).fit(photos()), undisturbed[0])
    assert (tmp_path / "log.csv").read_text() == (undisturbed[1] / "log.csv").read_text()


def test_a_run_killed_in_the_middle_of_an_epoch_and_resumed_is_the_undisturbed_run(undisturbed, tmp_path):
    assert python("-m", "tests.engine.training.tiny", tmp_path, 2).returncode == -9
    assert len(log(tmp_path)) == 2
    assert same(trainer(tmp_path).fit(photos()), undisturbed[0])
    assert (tmp_path / "log.csv").read_text() == (undisturbed[1] / "log.csv").read_text()


@pytest.mark.parametrize("more", [{}, {"mirror": 1.0, "across": 1.0, "channel_dropout": 0.2}])
def test_the_average_of_the_weights_is_kept_and_survives_an_interruption(tmp_path, monkeypatch, more):
    recipe = replace(RECIPE, average=0.9, **more)
    made = trainer(tmp_path / "whole", recipe)
    whole = made.fit(photos())
    assert same(whole, made.average.module.head)
    assert not same(whole, trainer(tmp_path / "plain").fit(photos()))

    save = Trainer._save

    def save_and_stop(self):
        save(self)
        if self.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "parts", recipe).fit(photos())
    monkeypatch.undo()
    assert same(trainer(tmp_path / "parts", recipe).fit(photos()), whole)


def test_a_finished_run_is_not_trained_again(undisturbed):
    again = trainer(undisturbed[1])
    again._step = None  # would fail
    assert same(again.fit(photos()), undisturbed[0])


def test_another_seed_is_another_run(undisturbed, tmp_path):
    assert not same(trainer(tmp_path, replace(RECIPE, seed=1)).fit(photos()), undisturbed[0])


def test_two_processes_train_the_model_that_one_trains_on_disjoint_halves_of_each_batch(tmp_path):
    (tmp_path / "two").mkdir()
    result = python(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2),
        *("-m", "tests.engine.training.tiny", tmp_path / "two"),
    )
    assert result.returncode == 0, result.stderr
    first, second = (torch.load(tmp_path / "two" / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first["head"][name], second["head"][name]) for name in first["head"])
    for mine, theirs in zip(first["taken"], second["taken"], strict=True):
        assert (len(mine), len(theirs)) == (4, 3)
        assert not set(mine) & set(theirs)

    alone = without_chance(tmp_path / "one")
    alone.fit(photos(mirrored=False))
    for name, value in alone.head.state_dict().items():
        if name.endswith("w_k.bias"):
            continue  # moves no softmax, so its gradient is rounding noise, which Adam makes large
        torch.testing.assert_close(first["head"][name], value, rtol=1e-4, atol=1e-5)
    for row, expected in zip(log(tmp_path / "two"), log(tmp_path / "one"), strict=True):
        assert float(row["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-4)


def test_a_batch_too_small_to_share_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Team, "join", lambda: Team(torch.device("cpu"), size=9))
    with pytest.raises(DataError, match="batch of 8 photos cannot be shared by 9 processes"):
        trainer(tmp_path)


def test_training_learns_what_the_features_show(tmp_path):
    recipe = replace(RECIPE, prior=None, distillation=0.0, schedule=Schedule(1e-2, 1e-3, epochs=12))
    training, test = photos(120), photos(60, seed=1)
    made = trainer(tmp_path, recipe)

    def mean_ap():
        made.head.eval()
        with torch.no_grad():
            scores = made._scores(made.scorer, test.take(np.arange(60)))[0][:, :TAGS].numpy()
        return average_precision(scores, test.split.labels()).mean()

    before = mean_ap()
    made.fit(training)
    assert mean_ap() > max(0.8, before + 0.2)
    losses = [float(row["loss"]) for row in log(tmp_path)]
    assert losses[-1] < losses[0] / 1.5


def test_the_epoch_with_the_best_f1_on_the_validation_photos_is_kept(tmp_path, monkeypatch):
    states, save = [], Trainer._save

    def remember(self):
        states.append({name: value.clone() for name, value in self.head.state_dict().items()})
        save(self)

    monkeypatch.setattr(Trainer, "_save", remember)
    figures = iter([0.2, 0.4, 0.1, 0.3])
    monkeypatch.setattr("engine.training.trainer.precision_recall_f1_at_k", lambda *_: fake(next(figures)))
    head = trainer(tmp_path).fit(photos(), photos(12, seed=3))
    assert [row["f1"] for row in log(tmp_path)] == ["0.2", "0.4", "0.1", "0.3"]
    assert all(torch.equal(value, states[1][name]) for name, value in head.state_dict().items())


def fake(f1):
    return type("Figures", (), {"f1": f1})


def test_the_last_stage_goes_on_from_the_best_epoch_with_all_photos_and_its_own_rate(tmp_path, monkeypatch):
    recipe = replace(RECIPE, finish=Schedule(3e-4, 3e-4, epochs=2))
    figures = iter([0.2, 0.4, 0.1, 0.3])
    monkeypatch.setattr("engine.training.trainer.precision_recall_f1_at_k", lambda *_: fake(next(figures)))
    starts, run = [], Trainer._run_epoch

    def remember(self, network, training, schedule, epoch):
        optimiser = self.optimiser.state_dict()["state"]
        starts.append((len(training), len(optimiser), {k: v.clone() for k, v in self.head.state_dict().items()}))
        return run(self, network, training, schedule, epoch)

    monkeypatch.setattr(Trainer, "_run_epoch", remember)
    made = trainer(tmp_path, recipe)
    made.fit(photos(), photos(12, seed=3), photos(52))
    assert [count for count, _, _ in starts] == [40, 40, 40, 40, 52, 52]
    _, moments, state = starts[4]
    assert moments == 0  # a fresh Adam
    assert all(torch.equal(value, starts[2][2][name]) for name, value in state.items())  # as epoch 2 left it
    rows = log(tmp_path)
    assert [row["rate"] for row in rows[4:]] == ["0.0003", "0.0003"]
    assert [bool(row["f1"]) for row in rows] == [True] * 4 + [False] * 2
    assert same(made.selected(), made.selected())
    assert not same(made.selected(), made.head)


def test_photos_can_be_picked_without_copying_their_features():
    whole = photos()
    some = whole.subset(np.array([5, 3, 8])).subset(np.array([2, 0]))
    assert some.features is whole.features
    assert [path.name for path in some.split.paths()] == ["8.jpg", "5.jpg"]
    np.testing.assert_array_equal(some.take(np.array([1])).regions, whole.features.regions[[5]])
    np.testing.assert_array_equal(
        some.take(np.array([1]), mirrored=True).regions, whole.features.regions[[5], :, :, ::-1]
    )


def test_bfloat16_gives_nearly_the_scores_of_single_precision(tmp_path):
    taken = photos().take(np.arange(8))
    exact, fast = (trainer(tmp_path, autocast=dtype) for dtype in (None, torch.bfloat16))
    for made in (exact, fast):
        made.head.eval()
    with torch.no_grad():
        expected, scores = (made._scores(made.scorer, taken)[0] for made in (exact, fast))
    assert scores.dtype == torch.float32
    assert (scores - expected).abs().max() < 0.02 * expected.abs().max()


def test_the_fast_number_type_is_one_that_the_machine_has():
    assert autocast_type(torch.device("cpu")) in {None, torch.bfloat16}
    assert autocast_type(torch.device("meta")) is None


def test_training_that_comes_apart_says_so_and_keeps_the_last_good_epoch(tmp_path, monkeypatch):
    training = photos(mirrored=False)
    run = Trainer._run_epoch

    def spoil(self, network, photos_, schedule, epoch):
        if epoch == 2:
            training.features.regions[:] = np.inf
        return run(self, network, photos_, schedule, epoch)

    monkeypatch.setattr(Trainer, "_run_epoch", spoil)
    with pytest.raises(DataError, match=r"Training came apart in epoch 3: the loss is nan") as error:
        trainer(tmp_path).fit(training)
    assert "\n" not in str(error.value)
    assert torch.load(tmp_path / "checkpoint.pt")["epoch"] == 2


def test_no_photo_to_train_on_is_an_error_that_says_so(tmp_path):
    with pytest.raises(DataError, match="no photo to train on"):
        trainer(tmp_path).fit(photos().subset(np.arange(0)))


def test_a_checkpoint_of_another_recipe_is_not_resumed(undisturbed):
    with pytest.raises(DataError, match=r"checkpoint\.pt belongs to a run with another recipe"):
        trainer(undisturbed[1], replace(RECIPE, weight_decay=0.0)).fit(photos())


@pytest.mark.parametrize("change", ["photos", "validation", "tags", "vectors"])
def test_a_checkpoint_of_other_photos_or_tags_is_not_resumed(undisturbed, change):
    training, made = photos(), trainer(undisturbed[1])
    if change == "photos":
        training = photos(39)
    if change == "tags":
        training = replace(training, split=replace(training.split, annotations=training.split.annotations[::-1]))
    if change == "vectors":
        made.scorer.vectors[:2] = made.scorer.vectors[:2].flip(0)
    with pytest.raises(DataError, match=r"checkpoint\.pt belongs to a run with other photos or tags"):
        made.fit(training, photos(3) if change == "validation" else None)


def test_a_run_is_resumed_with_photos_that_were_moved(undisturbed):
    assert same(trainer(undisturbed[1]).fit(photos(folder=Path("elsewhere"))), undisturbed[0])


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_named_in_one_line(tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"Cannot resume from .*checkpoint\.pt") as error:
        trainer(tmp_path).fit(photos())
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written_is_named_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"Cannot write the checkpoint to .*file/work"):
        trainer(tmp_path / "file" / "work").fit(photos())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_named_in_one_line(tmp_path):
    (tmp_path / "checkpoint.partial").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"Cannot write the checkpoint to .*: No space left on device\. Make room"):
        trainer(tmp_path).fit(photos())


def test_fewer_photos_than_a_batch_are_one_batch(tmp_path):
    trainer(tmp_path).fit(photos(3))
    assert len(log(tmp_path)) == 4


@pytest.mark.parametrize(
    ("epoch", "rate"), [(0, 1e-3 / 3), (1, 2e-3 / 3), (2, 1e-3), (3, 1e-3), (21.5, 7.5e-4), (40, 5e-4)]
)
def test_the_rate_of_nus_wide_warms_up_for_three_epochs_and_falls_in_a_cosine_to_half(epoch, rate):
    assert RECIPES["nus-wide"].schedule.at(epoch) == pytest.approx(rate)


def test_the_recipes_are_those_of_the_protocols():
    nus, images = recipe_for("nus-wide"), recipe_for("open-images")
    assert (nus.schedule.epochs, nus.finish.epochs, nus.finish.rate, nus.batch_size) == (40, 5, 3.33e-4, 32)
    assert {images.schedule.at(epoch) for epoch in range(20)} == {1e-4}
    for recipe in (nus, images):
        assert recipe.with_replacement
        assert recipe.weight_decay == 5e-4
        assert not recipe.decoupled_decay
        assert recipe.prior is None and not recipe.distillation and not recipe.flip


def test_a_data_set_without_a_recipe_names_those_that_have_one():
    with pytest.raises(UnseenError, match=r"no recipe for “imagenet”.*nus-wide"):
        recipe_for("imagenet")


def test_label_vectors_are_scored_with_the_bias(tmp_path):
    made = trainer(tmp_path)
    assert made.scorer.queries.shape == (TAGS + 5, 5)
    assert (made.scorer.queries[:, -1] == 1).all()
    np.testing.assert_array_equal(made.scorer.queries[:TAGS, :-1], vectors(TAGS, 1))


def test_each_loss_is_in_the_log_and_the_mirror_loss_makes_maps_of_mirror_images_alike(tmp_path):
    schedule = Schedule(1e-2, 1e-3, epochs=8, warmup=1)
    unlike = {}
    for weight in (0.0, 3.0):
        folder = tmp_path / str(weight)
        recipe = replace(RECIPE, schedule=schedule, average=0.8, across=0.5, mirror=weight)
        head = trainer(folder, recipe).fit(photos())
        drawn = photos()
        with torch.no_grad():
            plain, mirrored = (
                head.biam.region_vectors(*(torch.from_numpy(half.copy()).float() for half in features[:2]))
                for features in (drawn.features, drawn.mirrored)
            )
        unlike[weight] = mirror_loss(plain, mirrored, 4)
    assert unlike[3.0] < 0.9 * unlike[0.0]
    assert all(float(row["across"]) > 0 for row in log(folder))
    assert float(log(folder)[-1]["mirror"]) > 0


def test_a_mirror_loss_without_mirrored_photos_or_an_average_is_refused():
    for lacking in ({"average": 0.9, "flip": False}, {"flip": True}):
        with pytest.raises(ValueError, match="average of the weights, on mirrored photos"):
            replace(RECIPE, mirror=1.0, **lacking)


def test_channels_are_dropped_in_training_only(tmp_path):
    scorer = trainer(tmp_path, replace(RECIPE, channel_dropout=0.5)).scorer
    scorer.head.biam.region_context_block.dropout = 0.0
    inputs = trainer(tmp_path)._inputs(photos().take(np.arange(4)))
    assert torch.equal(scorer.eval().region_vectors(*inputs), scorer.region_vectors(*inputs))
    drawn = {float(scorer.train().region_vectors(*inputs).detach().sum()) for _ in range(4)}
    assert len(drawn) == 4
