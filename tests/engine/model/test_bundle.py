"""A bundle is written whole, read back as it was, and refused in one line when it is not what it says."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from safetensors import SafetensorError

from engine.errors import BundleError, WrongBundle
from engine.library.records import LibraryInfo
from engine.library.region_map import pooled_scores, quantise
from engine.model.bundle import SHIPPED, BackboneSpec, Bundle, BundleSpec, open_bundle, save_bundle

SPEC = BundleSpec(
    name="small",
    backbone=BackboneSpec("none", "none", input_size=32),
    biam={"top_k": 2},
    words="",
    grid=(2, 3),
    prior={"scale": 4.0},
    calibration=(1.5, -2.0),
    card={"made": "für Tests"},
)
ROWS = {"sun": (1, 0), "moon": (0, 1), "hot dog": (1, 1), "hot": (1, 0.5), "dog": (0.5, 1)}


@pytest.fixture
def make(tmp_path):
    """Writes a bundle with two-dimensional words; keywords replace its parts."""
    words = tmp_path / "words.txt"
    words.write_text("".join(f"{word} {x} {y}\n" for word, (x, y) in ROWS.items() if " " not in word))

    def write(folder=tmp_path / "bundle", **parts):
        spec = replace(SPEC, words=str(words), **parts.pop("spec", {}))
        steps = np.array([0.1, 0.2, 0.3], np.float32)
        background = np.random.default_rng(0).integers(-127, 128, (5, 6, 3)).astype(np.int8)
        contents = {
            "head": {"weight": np.arange(4, dtype=np.float32)},
            "steps": steps,
            "background": background,
            "tags": ["sun", "moon"],
            "labels": ["sun", "moon", "hot dog"],
        }
        save_bundle(folder, spec, **(contents | parts))
        return Bundle(folder, tmp_path / "cache")

    return write


def test_what_is_written_is_read_back(make):
    bundle = make()
    assert bundle.spec == replace(SPEC, words=bundle.spec.words)
    assert (bundle.name, bundle.top_k, len(bundle.grid)) == ("small", 2, 6)
    assert bundle.tags == ["sun", "moon"]
    assert bundle.labels == ["sun", "moon", "hot dog"]
    np.testing.assert_array_equal(bundle.steps, np.float32([0.1, 0.2, 0.3]))
    assert len(bundle.background) == 5
    assert BundleSpec.from_json(bundle.spec.to_json()) == bundle.spec


def test_a_query_has_the_steps_folded_in_and_ends_with_the_bias(make):
    bundle = make()
    vectors = np.float32([[0.6, 0.8]])
    regions = np.random.default_rng(1).standard_normal((6, 3)).astype(np.float32)
    codes = quantise(regions, bundle.steps)
    expected = (codes * bundle.steps) @ np.float32([0.6, 0.8, 1])
    np.testing.assert_allclose(codes.astype(np.float32) @ bundle.queries(vectors)[0], expected, rtol=1e-5)


def test_scores_are_judged_against_the_background_photos(make):
    bundle = make()
    scores = pooled_scores(bundle.background, bundle.label_queries, bundle.top_k)
    found = bundle.label_reference
    np.testing.assert_allclose(found.mean, scores.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.deviation, scores.std(0), rtol=1e-5)
    np.testing.assert_allclose(found.tail, (np.quantile(scores, 0.95, 0) - scores.mean(0)) / scores.std(0), rtol=1e-4)
    assert found.mean.shape == (3,)


def test_the_nearest_learned_tags_are_those_with_the_nearest_vectors(make):
    bundle = make()
    assert bundle.nearest_tags(np.float32([0.8, 0.6])) == ["sun", "moon"]
    assert bundle.nearest_tags(np.float32([1, 0])) == ["sun"]
    assert make(tags=[]).nearest_tags(np.float32([1, 0])) == []


def test_labels_of_several_words_are_one_concept(make):
    bundle = make()
    assert bundle.is_compound("hot dog")
    assert not bundle.is_compound("sun moon")


@pytest.mark.parametrize(
    "change",
    [
        {"head": {"weight": np.zeros(4, np.float32)}},
        {"steps": np.ones(3, np.float32)},
        {"labels": ["sun"]},
        {"spec": {"biam": {"top_k": 3}}},
        {"spec": {"prior": None}},
        {"spec": {"backbone": BackboneSpec("none", "none", input_size=64)}},
    ],
)
def test_the_fingerprint_stands_for_all_that_region_maps_depend_on(make, change):
    fingerprint = make().fingerprint
    assert make(**change).fingerprint != fingerprint
    assert make().fingerprint == fingerprint


@pytest.mark.parametrize(
    "change", [{"card": {}}, {"calibration": (9.0, 9.0)}, {"name": "other"}, {"min_confidence": 0.5}]
)
def test_what_region_maps_do_not_depend_on_leaves_the_fingerprint(make, change):
    assert make(spec=change).fingerprint == make().fingerprint


def test_a_bundle_is_found_by_name_in_the_cache_and_by_folder_anywhere(make, tmp_path):
    cache = tmp_path / "cache"
    make(cache / "bundles" / "mine")
    assert open_bundle("mine", cache).folder == cache / "bundles" / "mine"
    make(tmp_path / "elsewhere")
    assert open_bundle(str(tmp_path / "elsewhere"), cache).folder == tmp_path / "elsewhere"
    with pytest.raises(BundleError, match=r"no bundle called nonesuch.*mine"):
        open_bundle("nonesuch", cache)


def test_a_bundle_is_known_as_what_finds_it_whatever_its_card_calls_it(make, tmp_path):
    cache = tmp_path / "cache"
    fetched, named_like_ours = make(cache / "bundles" / "fetched"), make(cache / "bundles" / "lite")
    elsewhere = make(tmp_path / "elsewhere")
    for bundle in (fetched, named_like_ours, elsewhere, open_bundle("lite", cache)):
        assert open_bundle(bundle.known_as, cache).folder == bundle.folder
    assert (fetched.known_as, fetched.name) == ("fetched", "small")
    assert elsewhere.known_as == str(tmp_path / "elsewhere")


def test_a_library_of_another_model_is_refused_with_what_finds_this_one(make, tmp_path):
    bundle = make(tmp_path / "cache" / "bundles" / "fetched")
    now = datetime.now(UTC)
    with pytest.raises(WrongBundle, match=r"another model .* --new-model --model fetched$"):
        bundle.check(LibraryInfo("small", "0" * 32, 1, now, now), tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        ("bundle.json", b""),
        ("bundle.json", b"[]"),
        ("bundle.json", b'{"format": 99}'),
        ("bundle.json", b'{"format": 1}'),
        ("bundle.json", b"\xff\xfe"),
        ("search.safetensors", b"short"),
        ("search.safetensors", None),
        ("tags.txt", None),
        ("bundle.json", None),
    ],
)
def test_a_damaged_bundle_is_named_in_one_line(make, damage):
    bundle = make()
    name, content = damage
    (bundle.folder / name).unlink() if content is None else (bundle.folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=str(bundle.folder)) as error:
        Bundle(bundle.folder, bundle.cache)
    assert "\n" not in str(error.value)


def test_a_newer_format_says_which_one_is_read(make):
    bundle = make()
    path = bundle.folder / "bundle.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(BundleError, match="format 2, this version of unseen reads 1"):
        Bundle(bundle.folder, bundle.cache)


def test_a_label_that_the_words_lack_is_named(make):
    with pytest.raises(BundleError, match="names “quasar”"):
        _ = make(labels=["sun", "quasar"]).label_queries


@pytest.mark.parametrize("error", [OSError(28, "No space left"), SafetensorError("I/O error: No space left")])
def test_an_interrupted_write_over_a_bundle_leaves_no_bundle(make, monkeypatch, error):
    bundle = make()
    monkeypatch.setattr("engine.model.bundle.save_file", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(BundleError, match=r"Cannot write the bundle .*No space left"):
        make()
    with pytest.raises(BundleError, match="Cannot read the bundle"):
        Bundle(bundle.folder, bundle.cache)


def test_reading_a_bundle_imports_no_torch(make):
    bundle = make()
    program = (
        "import sys; from pathlib import Path; from engine.model.bundle import open_bundle\n"
        f"bundle = open_bundle({str(bundle.folder)!r}, Path({str(bundle.cache)!r})); bundle.label_reference\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_folder_of_the_same_name_does_not_stand_in_for_a_bundle(tmp_path, monkeypatch):
    (tmp_path / "lite").mkdir()
    monkeypatch.chdir(tmp_path)
    assert open_bundle("lite", tmp_path / "cache").folder == SHIPPED / "lite"
    with pytest.raises(BundleError):
        open_bundle("./lite", tmp_path / "cache")
