"""Backbones that see colours, and small data sets that they can learn."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.model.backbones import VGG19, Features
from engine.model.biam import BiAMConfig
from engine.model.bundle import BackboneSpec
from engine.training.recipes import Recipe, Schedule
from tests.conftest import COLOURS, paint


class Colours(nn.Module):
    """Stands where EfficientNet stands: the colour of each region, and a classifier that names it."""

    region_features = scene_features = classes = 3

    def forward(self, pixels):
        regions = functional.adaptive_avg_pool2d(pixels, 4)
        return Features(regions, regions.mean((2, 3)), 4 * regions.flatten(2).transpose(1, 2))


class ColourVGG(VGG19):
    """Stands where VGG-19 stands: pool5 and “fc7” of region features."""

    def __init__(self):
        nn.Module.__init__(self)
        self.region_features, self.scene_features = 512, 4096
        torch.manual_seed(0)
        self.net = nn.Module()
        self.net.features = nn.Sequential(nn.Identity(), nn.MaxPool2d(2))
        self.net.pre_logits = nn.Sequential(nn.Conv2d(512, 4096, 7), nn.ReLU())


@pytest.fixture
def colours(monkeypatch):
    """Every backbone is one of the above, in training and in bundles."""

    def build(spec):
        return (ColourVGG() if spec.name == "vgg19" else Colours()).eval()

    for module in ("engine.training.features", "engine.model.network"):
        monkeypatch.setattr(f"{module}.build_backbone", build)


@pytest.fixture
def words(tmp_path):
    """A file of word vectors whose words are colours; no word is `mauve`."""
    path = tmp_path / "words.txt"
    path.write_text("".join(f"{word} {r} {g} {b}\n" for word, (r, g, b) in COLOURS.items()))
    return path


@pytest.fixture
def recipe(words):
    """Trains in a moment."""
    return Recipe(
        dataset="csv",
        backbone=BackboneSpec("colours", "none", input_size=16),
        words=str(words),
        biam=BiAMConfig(features=3, scene=3, width=8, embedding=8, heads=2, words=3, top_k=2),
        schedule=Schedule(1e-2, 1e-3, epochs=3),
        batch_size=8,
        flip=True,
    )


@pytest.fixture
def photo_folder(tmp_path):
    """A data set of the kind `csv`: 60 photos of one colour with a spot of another; purple is unseen."""
    folder = tmp_path / "photos"
    rng = np.random.default_rng(0)
    names = ["red", "green", "blue", "yellow", "purple"]
    lines = ["file,tags"]
    for i in range(60):
        base, spot = rng.choice(names, 2, replace=False)
        paint(folder / f"{i}.png", base, spot, corner=tuple(rng.integers(0, 4, 2)))
        lines.append(f'{i}.png,"{base},{spot}"')
    (folder / "tags.csv").write_text("\n".join(lines) + "\n")
    (folder / "unseen.txt").write_text("purple\n")
    return folder


@pytest.fixture
def released(tmp_path):
    """NUS-WIDE as released features: two seen tags and two unseen ones, 20 training photos and 6 test photos."""
    h5py = pytest.importorskip("h5py")
    folder = tmp_path / "NUS-WIDE"
    (folder / "features").mkdir(parents=True)
    (folder / "TagList1k.txt").write_text("red\nblue\ngreen\n")
    (folder / "Concepts81.txt").write_text("blue\nyellow\n")
    rng = np.random.default_rng(0)
    for split, count, seen in (("train", 20, 2), ("test", 6, 4)):
        names = [f"{split}/{i}.jpg" for i in range(count)]
        prefix = "" if split == "train" else "test_"
        (folder / f"{prefix}img_names.pkl").write_bytes(pickle.dumps({"img_names": names}))
        with h5py.File(folder / "features" / f"nus_wide_{split}.h5", "w") as file:
            for i, name in enumerate(names):
                tags = np.array([1, -1] if i % 2 else [-1, 1], np.int8)
                features = rng.random((512, 196), np.float32)
                features[i % 2] += 3
                file[f"{name}-features"] = features
                file[f"{name}-labels"] = np.concatenate([tags, -tags])[:seen]
                file[f"{name}-labels_81"] = -tags
    return folder


@pytest.fixture
def released_recipe(words):
    """Trains on `released` in a moment, in two stages."""
    return Recipe(
        dataset="nus-wide",
        backbone=BackboneSpec("vgg19", "none", input_size=224),
        words=str(words),
        biam=BiAMConfig(features=512, scene=4096, width=8, embedding=8, heads=2, words=3),
        schedule=Schedule(1e-2, 1e-3, epochs=2),
        finish=Schedule(1e-3, 1e-3, epochs=1),
        batch_size=8,
        with_replacement=True,
    )
