"""The shipped bundle, on real photos that installed packages carry: a folder goes in, a word that no training tag ever
named goes in, the right photo comes out, with a heatmap on the thing."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.model.bundle import SHIPPED, open_bundle

skimage = pytest.importorskip("skimage", reason="scikit-image carries the photos")
PHOTOS = Path(skimage.__file__).parent / "data"
SAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "brick.png", "grass.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    for name in SAMPLES:
        source = PHOTOS / name
        if source.exists():
            (root / name).write_bytes(source.read_bytes())
    if len(list(root.iterdir())) < 3:
        pytest.skip("this scikit-image has no photos in its wheel")
    return root


@pytest.fixture(scope="module")
def unseen(folder, cache):
    environment = {**os.environ, "UNSEEN_CACHE": str(cache), "UNSEEN_LIBRARY": str(folder.parent / "library")}

    def run(*arguments):
        command = [sys.executable, "-c", "from engine.cli import main; main()", *map(str, arguments)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    report = json.loads(run("index", folder, "--json").splitlines()[-1])
    assert report["added"] == report["found"] == len(list(folder.iterdir()))
    return run


def best(unseen, word):
    return Path(
        json.loads(unseen("search", word, "--top", 1, "--min-confidence", 0, "--json"))["items"][0]["path"]
    ).name


@pytest.mark.parametrize(
    ("word", "name"), [("cat", "chelsea.png"), ("kitten", "chelsea.png"), ("coffee", "coffee.png")]
)
def test_a_word_finds_its_photo(unseen, folder, word, name):
    if not (folder / name).exists():
        pytest.skip(f"{name} is not in this scikit-image")
    assert best(unseen, word) == name


def test_a_second_run_has_nothing_to_do(unseen, folder):
    report = json.loads(unseen("index", folder, "--json").splitlines()[-1])
    assert report["unchanged"] == report["found"]


def test_a_photo_outside_the_library_is_explained_too(unseen, folder, tmp_path):
    mirrored = tmp_path / "mirrored.png"
    with Image.open(folder / "coffee.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)
    found = json.loads(unseen("explain", "coffee", mirrored, "--json"))
    scores = np.array(found["terms"][0]["scores"])
    assert scores.shape == (found["grid"]["rows"], found["grid"]["cols"])
    assert 0 <= found["confidence"] <= 1


def test_the_readme_shows_what_is_printed(cache, tmp_path):
    """The commands of its first example, on the sample photos; `…` stands for the folder of the installed package."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    example = readme.split("On the sample photos of")[1].split("```")[1].removeprefix("console\n")
    packages = str(PHOTOS.parents[1])
    environment = {**os.environ, "UNSEEN_CACHE": str(cache), "UNSEEN_LIBRARY": str(tmp_path / "library")}

    def run(command):
        line = [sys.executable, "-c", "from engine.cli import main; main()", *shlex.split(command)]
        return subprocess.run(line, env=environment, capture_output=True, text=True)

    assert run(f"demo --no-serve --library {shlex.quote(str(tmp_path / 'library'))}").returncode == 0
    for step in example.split("$ unseen ")[1:]:
        command, expected = step.split("\n", 1)
        result = run(command.replace("…", packages))
        assert (result.stdout + result.stderr).replace(packages, "…") == expected, command


def test_the_words_held_out_of_training_are_no_tags(cache):
    bundle = open_bundle("lite", cache)
    assert {"dog", "elephant", "giraffe", "pizza", "train", "zebra"}.isdisjoint(bundle.tags)
    assert len(bundle.tags) > 300


def test_the_bundle_is_whole_and_names_its_data_and_licences():
    card = json.loads((SHIPPED / "lite" / "bundle.json").read_text())["card"]
    assert {"data", "licences", "figures", "limits", "recipe"} <= set(card)


def test_the_exported_encoder_computes_what_torch_computes(cache):
    import torch

    from engine.model.encoder import RegionEncoder, random_pixels
    from engine.model.network import network_of

    bundle = open_bundle("lite", cache)
    pixels = random_pixels(3, bundle.spec.backbone.input_size, seed=5)
    with torch.inference_mode():
        expected = network_of(bundle)(torch.from_numpy(pixels)).numpy()
    found = RegionEncoder.open(bundle).region_vectors(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
