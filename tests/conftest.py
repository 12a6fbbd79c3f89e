"""Parts that all rooms' tests share: a model of colours that is small, fast and right.

`colour_bundle` is a real bundle on disk whose word space is colour: the vector of "red" is red. `ColourEncoder` stands
where RegionEncoder stands and makes the region map of a photo from the mean colour of each region, so that a search for
"red" must find red photos, in the red region, and the right answer is known without a network.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from engine.library.region_map import Grid, RegionMap, RegionMaps, pooled_scores, quantise
from engine.model.bundle import BackboneSpec, Bundle, BundleSpec, save_bundle

# A busy machine is no failure; and what is tried in CI is the same every time, new finds are for developers' machines.
settings.register_profile("unhurried", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("unhurried")

COLOURS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (0.7, 0.7, 0),
    "purple": (0.7, 0, 0.7),
    "cyan": (0, 0.7, 0.7),
    "rouge": (1, 0.02, 0),
}
GRID = Grid(4, 4)
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as a shell starts what it does not wait for; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache folder for the whole run, so that word vectors and the encoder are converted once."""
    named = os.environ.get("UNSEEN_TEST_CACHE")
    return Path(named) if named else tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def colour_bundle(tmp_path_factory, cache):
    """A bundle in which words are colours; `red`, `green` and `blue` are learned tags, the others are not."""
    folder = tmp_path_factory.mktemp("bundle") / "colours"
    words = folder.parent / "colours.txt"
    words.write_text("".join(f"{word} {r} {g} {b}\n" for word, (r, g, b) in COLOURS.items()))
    spec = BundleSpec(
        name="colours",
        backbone=BackboneSpec("none", "none", input_size=32),
        biam={"top_k": 2},
        words=str(words),
        grid=(GRID.rows, GRID.cols),
        calibration=(2.0, -3.0),
    )
    steps = np.full(4, 1 / 127, np.float32)
    noise = np.random.default_rng(0).random((64, len(GRID), 3)) * np.random.default_rng(1).random((64, 1, 3))
    background = quantise(np.pad(noise.astype(np.float32) - 0.3, ((0, 0), (0, 0), (0, 1))), steps)
    save_bundle(
        folder,
        spec,
        head={"none": np.zeros(1, np.float32)},
        steps=steps,
        background=background,
        tags=["red", "green", "blue"],
        labels=["red", "green", "blue", "yellow"],
    )
    return Bundle(folder, cache)


@dataclass(frozen=True)
class ColourEncoder:
    """Region maps of mean colours, less a grey that leaves only what is colourful."""

    bundle: Bundle

    @property
    def input_size(self):
        return self.bundle.spec.backbone.input_size

    def encode(self, pixels):
        count, size = len(pixels), self.input_size
        cell = size // GRID.rows
        cells = pixels.reshape(count, GRID.rows, cell, GRID.cols, cell, 3).mean((2, 4)) / 255
        vectors = np.pad(cells.reshape(count, len(GRID), 3).astype(np.float32) - 0.3, ((0, 0), (0, 0), (0, 1)))
        codes = quantise(vectors, self.bundle.steps)
        maps = [RegionMap(GRID, photo) for photo in codes]
        pooled = pooled_scores(RegionMaps.of(list(enumerate(maps))), self.bundle.label_queries, self.bundle.top_k)
        reference = self.bundle.label_reference
        return list(zip(maps, ((pooled - reference.mean) / reference.deviation).astype(np.float16), strict=True))


@pytest.fixture(scope="session")
def colour_encoder(colour_bundle):
    return ColourEncoder(colour_bundle)


def paint(path: Path, base="black", spot=None, corner=(0, 0), size=(64, 48), **save) -> Path:
    """A photo of one colour, with a spot of another one a quarter as wide and high; `corner` in quarters."""
    picture = Image.new("RGB", size, base)
    if spot is not None:
        w, h = size[0] // 4, size[1] // 4
        picture.paste(spot, (corner[0] * w, corner[1] * h, (corner[0] + 1) * w, (corner[1] + 1) * h))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **save)
    return path
