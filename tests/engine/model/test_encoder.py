"""The exported encoder computes what PyTorch does, for batches of any size, and an export that does not is refused."""

import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from engine.errors import BundleError
from engine.library.region_map import RegionMaps, pooled_scores, quantise
from engine.model.backbones import build_backbone
from engine.model.biam import BiAMConfig, initialise
from engine.model.bundle import BackboneSpec, Bundle, BundleSpec, save_bundle
from engine.model.encoder import RegionEncoder, random_pixels
from engine.model.network import Ensemble, Head, network_of
from engine.model.onnx import export, open_session
from engine.model.prior import PriorConfig
from engine.model.probe import LinearProbes, ProbeConfig
from engine.model.refinement import RefinementConfig
from engine.words.colours import COLOURS
from engine.words.lexicon import LexiconTable
from engine.words.sorted_words import SortedWords

NAME, SIZE, GRID = "tf_efficientnet_lite0", 64, (2, 2)
CONFIG = BiAMConfig(features=320, scene=1280, width=16, embedding=24, heads=4, words=3, top_k=3)


@pytest.fixture(scope="module", params=["one head", "two heads and probes, refined, with colours"])
def bundle(tmp_path_factory, request):
    """A bundle with random weights, small but complete: backbone, BiAM and prior."""
    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    torch.save(build_backbone(BackboneSpec(NAME, "none", SIZE)).net.state_dict(), folder / "backbone.pth")
    (folder / "words.txt").write_text("sun 1 0 0\nmoon 0 1 0\nsea 0 0 1\n")
    spec = BundleSpec(
        "tiny",
        BackboneSpec(NAME, str(folder / "backbone.pth"), SIZE),
        biam=CONFIG.as_dict(),
        words=str(folder / "words.txt"),
        grid=GRID,
        prior=asdict(PriorConfig(words=3)),
    )
    ensemble, lexicon, colours = Ensemble([head(0)]), None, 0
    if request.param != "one head":
        refinement = RefinementConfig(rivals=5, words=3)
        probes = random_probes(ProbeConfig(CONFIG.features, CONFIG.scene, words=3))
        spec = replace(spec, heads=2, probes=asdict(probes.config), refinement=asdict(refinement), colours=True)
        ensemble, colours = Ensemble([head(0), head(1)]), len(COLOURS)
        ensemble.probe(probes)
        ensemble.refine(refinement, np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32))
        entries = SortedWords.of([b"moon", b"sea", b"sun"])
        lexicon = LexiconTable(entries, 127 * np.eye(3, dtype=np.int8), np.ones(3, np.float32) / 127, np.eye(3))
    dims = 3 + colours + 1
    background = np.random.default_rng(0).integers(-127, 128, (6, 4, dims)).astype(np.int8)
    save_bundle(
        folder / "tiny",
        spec,
        head=ensemble.arrays(),
        steps=np.full(dims, 0.05, np.float32),
        background=background,
        tags=[],
        labels=["sun", "sea"],
        lexicon=lexicon,
    )
    return Bundle(folder / "tiny", folder / "cache")


def head(seed):
    made = Head(CONFIG, PriorConfig(words=3))
    initialise(made.biam, seed)
    made.prior.class_vectors.copy_(torch.randn(1000, 3, generator=torch.Generator().manual_seed(7)))
    return made


def random_probes(config):
    made = LinearProbes(config)
    for number, values in enumerate(made.buffers()):
        values.copy_(torch.randn(values.shape, generator=torch.Generator().manual_seed(number)) / 10)
    return made


@pytest.fixture(scope="module")
def encoder(bundle):
    return RegionEncoder.open(bundle, threads=1)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_onnx_runtime_computes_what_pytorch_does_for_any_number_of_photos(bundle, encoder, count):
    pixels = random_pixels(count, SIZE, seed=count)
    with torch.inference_mode():
        expected = network_of(bundle)(torch.from_numpy(pixels)).numpy()
    vectors = encoder.region_vectors(pixels)
    assert vectors.shape == (count, 4, len(bundle.steps))
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_photo_is_encoded_alike_alone_and_among_others(encoder):
    pixels = random_pixels(4, SIZE)
    together = encoder.region_vectors(pixels)
    alone = np.concatenate([encoder.region_vectors(pixels[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-5 * np.abs(together).max())


def test_encoding_gives_codes_and_class_scores_in_standard_deviations(bundle, encoder):
    pixels = random_pixels(3, SIZE)
    encoded = encoder.encode(pixels)
    codes = quantise(encoder.region_vectors(pixels), bundle.steps)
    for (region_map, _), expected in zip(encoded, codes, strict=True):
        assert (region_map.grid.rows, region_map.grid.cols) == GRID
        np.testing.assert_array_equal(region_map.codes, expected)
    maps = RegionMaps.of([(i, region_map) for i, (region_map, _) in enumerate(encoded)])
    reference = bundle.label_reference
    expected = (pooled_scores(maps, bundle.label_queries, 3) - reference.mean) / reference.deviation
    np.testing.assert_allclose(np.stack([scores for _, scores in encoded]), expected, rtol=2e-3, atol=2e-3)


def test_the_network_is_exported_once_and_then_needs_no_torch(bundle, encoder):
    (file,) = (bundle.cache / "encoders").iterdir()
    assert file.stem == bundle.fingerprint
    before = file.stat().st_mtime_ns
    program = (
        "import sys, numpy; from pathlib import Path\n"
        "from engine.model.bundle import open_bundle; from engine.model.encoder import RegionEncoder\n"
        f"bundle = open_bundle({str(bundle.folder)!r}, Path({str(bundle.cache)!r}))\n"
        f"RegionEncoder.open(bundle, 1).encode(numpy.zeros((1, {SIZE}, {SIZE}, 3), numpy.uint8))\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
    assert file.stat().st_mtime_ns == before


class Sum(nn.Module):
    def forward(self, pixels):
        return pixels.float().sum((1, 2, 3))


class Moody(nn.Module):
    """Computes something else each time, so no export can be right."""

    calls = 0

    def forward(self, pixels):
        Moody.calls += 1
        return pixels.float().sum((1, 2, 3)) * Moody.calls


PIXELS = torch.from_numpy(random_pixels(3, 4))


def test_an_export_in_training_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="training mode"):
        export(Sum().train(), PIXELS, ["sum"], tmp_path / "sum.onnx")
    assert not list(tmp_path.iterdir())


def test_an_export_that_computes_something_else_is_refused_and_not_kept(tmp_path):
    with pytest.raises(BundleError, match=r"differs from PyTorch by .* in its sum"):
        export(Moody().eval(), PIXELS, ["sum"], tmp_path / "sum.onnx")
    assert not list(tmp_path.iterdir())


def test_an_export_prints_nothing(tmp_path, capfd):
    export(Sum().eval(), PIXELS, ["sum"], tmp_path / "sum.onnx")
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match=r"Cannot write the encoder to .*UNSEEN_CACHE"):
        export(Sum().eval(), PIXELS, ["sum"], tmp_path / "file" / "sum.onnx")


def test_a_damaged_encoder_is_named_with_what_to_do(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(BundleError, match=r"broken\.onnx.*Delete the file") as error:
        open_session(tmp_path / "broken.onnx")
    assert "\n" not in str(error.value)


def test_a_damaged_head_is_named(bundle, tmp_path):
    from shutil import copytree

    folder = copytree(bundle.folder, tmp_path / "copy")
    (folder / "head.safetensors").write_bytes(b"short")
    with pytest.raises(BundleError, match="Cannot read the head of the bundle"):
        network_of(Bundle(folder, bundle.cache))
