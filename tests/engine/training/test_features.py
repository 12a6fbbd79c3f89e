"""Features are computed once, equal what the network sees, and survive interruption."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import DataError
from engine.model.bundle import BackboneSpec
from engine.model.prior import PriorConfig, SemanticPrior
from engine.photo import load_square
from engine.training import features as module
from engine.training.datasets import load
from engine.training.features import FeatureCache, FeatureNetwork
from tests.conftest import paint

SPEC = BackboneSpec("colours", "none", input_size=16)
pytestmark = pytest.mark.usefixtures("colours")


@pytest.fixture
def paths(tmp_path):
    shades = ["red", "lime", "blue", "white", "black", "yellow", "gray"]
    return [paint(tmp_path / "photos" / f"{i}.png", shade, "orange", (i % 4, 0)) for i, shade in enumerate(shades)]


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "cache", SPEC, None, top_k=2)


@pytest.fixture
def prior():
    prior = SemanticPrior(PriorConfig(classes=3, words=2))
    prior.class_vectors.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, 0]]))
    return prior


def seen(paths, prior=None, flip=False):
    pixels = np.stack([load_square(path, 16) for path in paths])
    network = FeatureNetwork(SPEC, prior, 2).eval()
    with torch.inference_mode():
        return network(torch.from_numpy(np.ascontiguousarray(pixels[:, :, ::-1] if flip else pixels)))


@pytest.fixture
def decoded(monkeypatch):
    """The photos that are decoded, in order."""
    names = []

    def note(path, size):
        names.append(path.name)
        return load_square(path, size)

    monkeypatch.setattr(module, "load_square", note)
    return names


@pytest.mark.parametrize("flip", [False, True])
def test_features_are_what_the_network_sees_in_half_precision_and_in_order(cache, paths, flip, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 3)  # the last batch is not full
    features = cache.features(paths, flip=flip)
    for half, expected in zip(features[:2], seen(paths, flip=flip), strict=True):
        assert half.dtype == np.float16
        np.testing.assert_allclose(half, expected, rtol=2e-3, atol=2e-3)
    assert features.direction is None and features.teacher is None


def test_a_mirrored_photo_has_the_features_of_its_mirror_image(cache, paths, tmp_path):
    mirrors = []
    for path in paths:
        with Image.open(path) as photo:
            photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / path.name)
        mirrors.append(tmp_path / path.name)
    np.testing.assert_allclose(cache.features(paths, flip=True).regions, cache.features(mirrors).regions, atol=1e-2)


def test_with_a_prior_there_are_its_unit_vectors_and_the_teachers_probabilities(cache, paths, prior):
    features = replace(cache, prior=prior).features(paths)
    *_, direction, teacher = seen(paths, prior)
    np.testing.assert_allclose(features.direction, direction, atol=2e-3)
    np.testing.assert_allclose(features.teacher, teacher, atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(features.direction.astype(np.float32), axis=-1), 1, atol=2e-3)


def test_features_are_mapped_from_disk_and_computed_once(cache, paths, decoded):
    first = cache.features(paths)
    assert sorted(decoded) == sorted(path.name for path in paths)
    again = cache.features(paths)
    assert len(decoded) == len(paths)
    assert isinstance(again.regions, np.memmap)
    np.testing.assert_array_equal(first.regions, again.regions)


def test_another_photo_backbone_or_prior_has_features_of_its_own(cache, paths, prior, decoded):
    cache.features(paths)
    paint(paths[2], "white", size=(10, 10))
    changes = [cache, replace(cache, spec=replace(SPEC, input_size=32)), replace(cache, prior=prior)]
    for count, changed in enumerate(changes, 2):
        changed.features(paths)
        assert len(decoded) == count * len(paths)


def interrupt(cache, paths, monkeypatch):
    """Compute features and stop at the sixth photo."""
    load = module.load_square

    def stop_at_the_sixth(path, size):
        if path == paths[5]:
            raise KeyboardInterrupt
        return load(path, size)

    with monkeypatch.context() as patch:
        patch.setattr(module, "load_square", stop_at_the_sixth)
        with pytest.raises(KeyboardInterrupt):
            cache.features(paths)


def test_an_interrupted_run_goes_on_from_the_last_photos_it_wrote(cache, paths, monkeypatch, decoded):
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "SAVED_EVERY", 1)
    expected = replace(cache, folder=cache.folder / "other").features(paths)
    decoded.clear()
    interrupt(cache, paths, monkeypatch)
    decoded.clear()
    features = cache.features(paths)
    assert set(decoded) == {"4.png", "5.png", "6.png"}
    np.testing.assert_array_equal(features.regions, expected.regions)
    np.testing.assert_array_equal(features.scene, expected.scene)


def test_a_photo_that_cannot_be_read_is_named_in_one_line(cache, paths):
    paths[3].write_bytes(b"not a photo")
    with pytest.raises(DataError, match=r"3\.png.*Remove it from the data set") as error:
        cache.features(paths)
    assert "\n" not in str(error.value)
    paths[3].unlink()
    with pytest.raises(DataError, match=r"Cannot read the photo .*3\.png: No such file"):
        cache.features(paths)


def test_a_cache_that_cannot_be_written_says_what_to_set(paths, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"Cannot write features to .*UNSEEN_CACHE"):
        FeatureCache(tmp_path / "file", SPEC, None, 2).features(paths)


@pytest.mark.parametrize("done", [0, 4])
def test_a_disk_without_room_for_all_that_is_missing_is_refused(cache, paths, monkeypatch, done):
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "SAVED_EVERY", 1)
    needed = 2 * (3 * 4 * 4 + 3) * (len(paths) - done)  # regions and scene in half precision
    if done:
        interrupt(cache, paths, monkeypatch)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": needed - 1}))
    with pytest.raises(DataError, match=r"0\.0 GB are needed and 0\.0 GB are free"):
        cache.features(paths)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": needed}))
    assert len(cache.features(paths).scene) == len(paths)


def test_no_photos_is_an_error_that_says_so(cache):
    with pytest.raises(DataError, match="has no training photos"):
        cache.features([], label="training photos")


def test_taking_rows_reads_them_into_memory_in_the_order_asked(cache, paths):
    features = cache.features(paths)
    some = features.take(np.array([4, 1]))
    assert not isinstance(some.regions, np.memmap)
    np.testing.assert_array_equal(some.regions, features.regions[[4, 1]])
    assert some.teacher is None


# --- features of the official release ---


@pytest.fixture
def official(tmp_path):
    return FeatureCache(tmp_path / "cache", BackboneSpec("vgg19", "none", 224), None, top_k=6)


def test_released_features_get_their_scene_feature_from_the_rest_of_vgg19(released, official):
    split = load("nus-wide", released).test
    features = official.precomputed(split)
    regions = split.features()
    np.testing.assert_allclose(features.regions, regions, rtol=1e-3)
    with torch.inference_mode():
        expected = module.build_backbone(official.spec).scene(torch.from_numpy(regions))
    assert features.scene.shape == (6, 4096)
    np.testing.assert_allclose(features.scene, expected, rtol=1e-2, atol=1e-3)


def test_released_features_are_converted_once_for_each_split(released, official, monkeypatch):
    dataset = load("nus-wide", released)
    assert len(official.precomputed(dataset.train).regions) == 16
    assert len(official.precomputed(dataset.test).regions) == 6
    monkeypatch.setattr(module, "SceneNetwork", None)  # would fail
    assert len(official.precomputed(dataset.train).regions) == 16


def test_released_features_need_the_backbone_that_made_them(released, cache):
    with pytest.raises(DataError, match=r"features of the data set are VGG-19's.*with colours"):
        cache.precomputed(load("nus-wide", released).test)
