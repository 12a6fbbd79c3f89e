"""A checkpoint that the paper's authors released becomes a bundle with the same scores."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.cli import run
from engine.errors import BundleError
from engine.model.backbones import Features
from engine.model.biam import pool
from engine.model.bundle import Bundle, open_bundle
from engine.model.encoder import RegionEncoder
from engine.model.network import ensemble_of
from engine.model.official import default_name, generated, read_checkpoint
from tests.conftest import paint

GOLDEN = Path(__file__).parents[2] / "golden" / "biam_forward_c32_h4.npz"
WORDS = ("sky", "zebra", "tiger", "lamp")


class Coarse(nn.Module):
    """Stands where VGG-19 stands: mean colours, in as many channels."""

    region_features, scene_features = 512, 4096

    def forward(self, pixels):
        colours = functional.adaptive_avg_pool2d(pixels, 14)  # (B, 3, 14, 14)
        scene = colours.mean((2, 3)).repeat(1, 1366)[:, :4096]
        return Features(colours.repeat(1, 171, 1, 1)[:, :512].relu(), scene.relu(), None)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as recorded:
        return {name: torch.from_numpy(np.asarray(recorded[name])) for name in recorded.files}


@pytest.fixture(scope="module")
def state(golden):
    return {name[3:]: value for name, value in golden.items() if name.startswith("sd/")}


@pytest.fixture
def place(tmp_path, monkeypatch, golden):
    """A folder with word vectors, in whose cache bundles are found."""
    monkeypatch.setattr("engine.model.network.build_backbone", lambda spec: Coarse())
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    rows = zip(WORDS, golden["vectors"].tolist(), strict=False)
    (tmp_path / "words.txt").write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows))
    (tmp_path / "tags.txt").write_text("sky\nlamp\nnonsense\n")
    return tmp_path


def imports(place, content, *options) -> int:
    torch.save(content, place / "model_best.pth")
    file, words = str(place / "model_best.pth"), str(place / "words.txt")
    return run(["models", "import", file, "--words", words, "--heads", "4", *map(str, options)])


def wrappings(state):
    return {
        "bare": state,
        "wrapped": {"state_dict": state, "epoch": 3},
        "parallel": {f"module.{name}": value for name, value in state.items()},
        "both": {"state_dict": {f"module.{name}": value for name, value in state.items()}},
    }


@pytest.mark.parametrize("kind", ["bare", "wrapped", "parallel", "both"])
def test_an_imported_checkpoint_gives_the_scores_of_the_papers_own_implementation(place, golden, state, kind):
    assert imports(place, wrappings(state)[kind], "--name", "paper", "--tags", place / "tags.txt") == 0
    bundle = open_bundle("paper", place / "cache")
    with torch.no_grad():
        vectors = ensemble_of(bundle)(golden["features"].reshape(2, 512, 14, 14), golden["scene"], None)
        scores = pool(vectors @ functional.pad(golden["vectors"], (0, 1), value=1.0).T, bundle.top_k)
    assert ((scores - golden["logits"]).abs().max() / golden["logits"].abs().max()).item() <= 1e-5


def test_sizes_come_from_the_file_and_the_card_says_what_was_not_measured(place, state, capsys):
    assert imports(place, state, "--out", place / "bundle", "--tags", place / "tags.txt") == 0
    bundle = Bundle(place / "bundle", place / "cache")
    assert bundle.name == "model-best"
    sizes = ("features", "scene", "width", "embedding", "words", "heads", "top_k")
    assert [bundle.spec.biam[key] for key in sizes] == [512, 4096, 32, 512, 300, 4, 6]
    assert bundle.tags == ["sky", "lamp"]  # those that have a vector
    assert {"sky", "lamp", "zebra", "tiger"} <= set(bundle.labels)  # and what ImageNet has
    assert "uncalibrated" in bundle.spec.card["confidence"]
    assert "generated" in bundle.spec.card["steps and background"]
    assert "--photos" in capsys.readouterr().err


def test_a_folder_of_photos_is_what_scores_are_judged_against(place, state):
    for colour in ("red", "green", "blue"):
        paint(place / "photos" / "more" / f"{colour}.png", colour, spot="white")
    (place / "photos" / "broken.jpg").write_bytes(b"not a photo")
    assert imports(place, state, "--out", place / "bundle", "--photos", place / "photos") == 0
    bundle = Bundle(place / "bundle", place / "cache")
    assert len(bundle.background) == 3
    assert "3 photos" in bundle.spec.card["steps and background"]
    assert 60 < np.abs(bundle.background.codes).max() < 68  # the steps fit these photos, and leave room for others


def test_an_imported_bundle_encodes_photos(place, state):
    assert imports(place, state, "--out", place / "bundle", "--tags", place / "tags.txt") == 0
    bundle = Bundle(place / "bundle", place / "cache")
    (region_map, scores), *_ = RegionEncoder.open(bundle, threads=1).encode(generated(224)[:2])
    assert len(region_map.grid) == 196
    assert scores.shape == (len(bundle.labels),)


def test_the_older_class_of_the_open_images_weights_is_refused_with_the_reason(place, capsys):
    older = {"w_g.weight": torch.zeros(512, 4096), "w_q.weight": torch.zeros(512, 512, 1, 1)}
    assert imports(place, older) == 1
    message = capsys.readouterr().err
    for part in ("AttentionClassifier", "512 channels", "4096→512", "issue 10", "train"):
        assert part in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.zeros(1)}, "lacks conv_3X3"),
        ([torch.zeros(1)], "no state dict"),
        ({"state_dict": {"a": 1}}, "no state dict"),
    ],
)
def test_what_is_no_checkpoint_of_biam_says_so_in_one_line(place, capsys, content, message):
    assert imports(place, content) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (place / "cache" / "bundles").exists()


def test_weights_that_do_not_fit_together_are_refused(place, state, capsys):
    assert imports(place, {**state, "conv_1X1.body.weight": torch.zeros(512, 60, 1, 1)}) == 1
    assert "conv_1X1.body.weight" in capsys.readouterr().err
    assert imports(place, {**state, "W.weight": torch.zeros(512)}) == 1
    assert "other dimensions" in capsys.readouterr().err
    assert imports(place, state, "--heads", 5) == 1
    assert "--heads" in capsys.readouterr().err


def test_weights_that_are_no_numbers_are_refused(place, state, capsys):
    assert imports(place, {**state, "W.weight": torch.full_like(state["W.weight"], torch.nan)}) == 1
    assert "holds weights that are no numbers: W.weight" in capsys.readouterr().err


def test_tags_that_are_left_out_are_counted(place, state, capsys):
    assert imports(place, state, "--tags", place / "tags.txt") == 0
    assert "1 of 3 tags have no word vector and are left out." in capsys.readouterr().err


def test_words_of_another_length_are_refused(place, state, capsys):
    (place / "words.txt").write_text("sky 1 2 3\nzebra 1 2 4\n")
    assert imports(place, state) == 1
    assert "words of 300 numbers" in capsys.readouterr().err


def test_a_folder_without_a_photo_is_refused(place, state, capsys):
    (place / "empty").mkdir()
    assert imports(place, state, "--photos", place / "empty") == 1
    assert "it holds none" in capsys.readouterr().err


def test_a_pickle_that_wants_to_run_code_is_not_run(tmp_path):
    class Command:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    torch.save({"state_dict": Command()}, tmp_path / "evil.pth")
    with pytest.raises(BundleError, match="not a checkpoint of tensors"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"Cannot read .*none\.pth"):
        read_checkpoint(tmp_path / "none.pth")


@pytest.mark.parametrize(("file", "name"), [("model_best.pth", "model-best"), ("Über.PTH", "ber"), ("___.pth", "biam")])
def test_a_bundle_is_named_after_its_file(file, name):
    assert default_name(Path(file)) == name


def test_the_bundle_json_is_plain_json(place, state):
    assert imports(place, state, "--out", place / "bundle") == 0
    assert json.loads((place / "bundle" / "bundle.json").read_text())["backbone"]["name"] == "vgg19"
