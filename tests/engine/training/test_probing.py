"""Linear probes are fitted by ridge regression and brought into the space of words."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import Ridge

from engine.model.network import Ensemble
from engine.training.datasets.base import Split, file_names
from engine.training.features import Features
from engine.training.finish import Outlines, background_of, complete, region_vectors
from engine.training.located import LocatedSet
from engine.training.probing import (
    MOST_COLLECTIONS,
    PHOTO_PENALTY,
    RAREST,
    WORD_PENALTY,
    Moments,
    annotated_alike,
    in_words,
    photo_features,
    photo_probe,
    region_features,
    region_probe,
)
from engine.training.scorer import initialise_head
from tests.engine.training import tiny


def asked(vectors, words):
    """Scores of words (C, d) for vectors (…, d + 1)."""
    return vectors @ np.pad(words, ((0, 0), (0, 1)), constant_values=1).T


def test_moments_in_parts_give_the_ridge_regression_of_all_rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 4)).astype(np.float32) * [1, 2, 3, 4] + 5
    y = (x @ rng.standard_normal((4, 3)) + rng.standard_normal((50, 3))).astype(np.float32)
    moments, deviation = Moments(4, 3), np.array([1.0, 2.0, 3.0, 4.0])
    for part in (slice(0, 7), slice(7, 50)):
        moments.add(x[part].astype(np.float32), y[part])
    expected = Ridge(alpha=0.1 * 50).fit(x / deviation, y).coef_
    np.testing.assert_allclose(moments.ridge(deviation, 0.1), expected, rtol=1e-3, atol=1e-4)


def test_coefficients_of_words_come_back_when_asked_with_their_vectors():
    rng = np.random.default_rng(0)
    words = tiny.vectors(400, 3)
    true = rng.standard_normal((4, 6))
    np.testing.assert_allclose(in_words(words @ true, words), true, atol=0.3)
    lost = np.abs(in_words(words @ true, words) - true).max()
    assert lost < np.abs(in_words(words[:40] @ true, words[:40]) - true).max()  # few words are trusted less


def test_a_photo_probe_finds_the_photos_of_a_tag_among_others():
    photos, words = tiny.photos(200), tiny.vectors(tiny.TAGS, 1)
    others = tiny.photos(100, seed=1)
    scores = asked(photo_probe(photos, words)(photo_features(others.features)), words)
    shown = others.split.labels() > 0
    better = [scores[shown[:, i], i].mean() - scores[~shown[:, i], i].mean() for i in range(tiny.TAGS)]
    assert min(better) > 0


def test_a_photo_probe_is_ridge_regression_of_standardised_tags_on_standardised_features():
    photos, words = tiny.photos(60, mirrored=False), tiny.vectors(tiny.TAGS, 1)
    found = photo_probe(photos, words)
    x = photo_features(photos.features).astype(np.float64)
    x = (x - x.mean(axis=0)) / x.std(axis=0) / np.sqrt(x.shape[1])
    y = (photos.split.labels() > 0).astype(np.float64)
    share = y.mean(axis=0)
    ridge = Ridge(alpha=PHOTO_PENALTY * len(x)).fit(x, y / np.sqrt(share * (1 - share) + RAREST))
    queries = np.pad(words.astype(np.float64), ((0, 0), (0, 1)), constant_values=1)
    expected = x @ np.linalg.solve(queries.T @ queries + WORD_PENALTY * np.eye(5), queries.T @ ridge.coef_).T
    np.testing.assert_allclose(found(photo_features(photos.features)), expected, atol=1e-3)


def test_photos_that_come_several_times_count_once():
    photos, words = tiny.photos(40), tiny.vectors(tiny.TAGS, 1)
    repeated = photos.subset(np.repeat(np.arange(40), 1 + np.arange(40) % 3))
    np.testing.assert_array_equal(photo_probe(repeated, words).weights, photo_probe(photos, words).weights)


def test_a_tag_that_one_photo_shows_or_without_a_vector_has_no_say():
    photos = tiny.photos(60)
    labels = photos.split.labels()
    labels[1:, 0] = -1
    photos = replace(photos, split=replace(photos.split, annotations=csr_array(labels)))
    words = tiny.vectors(tiny.TAGS, 1)
    words[1] = 0
    fewer = replace(photos, split=replace(photos.split, annotations=csr_array(labels[:, 2:])))
    np.testing.assert_allclose(photo_probe(photos, words).weights, photo_probe(fewer, words[2:]).weights, atol=1e-5)


def test_collections_with_other_tags_have_regressions_of_their_own():
    """What is unknown of a collection is not held against its photos."""
    photos, words = tiny.photos(80), tiny.vectors(tiny.TAGS, 1)
    labels = photos.split.labels()
    labels[:40, 3:], labels[40:, :3] = 0, 0
    names = file_names([f"a/{i}.jpg" for i in range(40)] + [f"b/{i}.jpg" for i in range(40)])
    photos = replace(photos, split=Split(photos.split.folder, names, csr_array(labels), complete=False))
    groups = annotated_alike(photos.split, tiny.TAGS)
    assert len(set(groups[:40])) == len(set(groups[40:])) == 1 and groups[0] != groups[-1]
    scores = asked(photo_probe(photos, words)(photo_features(photos.features)), words)
    of_a, of_b = (scores[part, tags] for part, tags in ((slice(0, 40), slice(0, 3)), (slice(40, 80), slice(3, 6))))
    for found, shown in ((of_a, labels[:40, :3] > 0), (of_b, labels[40:, 3:] > 0)):
        assert found[shown].mean() > found[~shown].mean()


def test_folders_with_the_same_tags_are_one_collection():
    labels = csr_array(np.array([[1, -1, 0], [0, 0, 1], [-1, 1, 0]], np.int8))
    split = Split(None, file_names(["a/1.jpg", "b/1.jpg", "c/1.jpg"]), labels, complete=False)
    first, second, third = annotated_alike(split, 3).tolist()
    assert first == third != second
    assert set(annotated_alike(replace(split, complete=True), 3).tolist()) == {0}


def test_many_folders_of_which_other_tags_are_known_are_no_collections():
    """Where near tags are unknown, each small folder lacks others; a regression for each would take all memory."""
    for folders, collections in ((MOST_COLLECTIONS, MOST_COLLECTIONS), (MOST_COLLECTIONS + 1, 1)):
        names = file_names(f"{i}/photo.jpg" for i in range(folders))
        split = Split(None, names, csr_array(np.eye(folders, dtype=np.int8)), complete=False)
        assert len(set(annotated_alike(split, folders).tolist())) == collections


@pytest.fixture
def views():
    """Views in which the name i fills where the i-th feature is high."""
    rng = np.random.default_rng(0)
    shares = np.zeros((60, 16, 3), np.float16)
    shares[np.arange(60)[:, None], np.arange(16), rng.integers(3, size=(60, 16))] = 1
    regions = rng.random((60, 16, 7)) + np.pad(2 * shares, ((0, 0), (0, 0), (0, 4)))
    regions = regions.transpose(0, 2, 1).reshape(60, 7, 4, 4).astype(np.float16)
    features = Features(regions, rng.random((60, 5)).astype(np.float16), None, None)
    return LocatedSet(features, shares, ["sky", "sea", "sand"], tiny.vectors(3, 5), [()] * 60)


def test_a_region_probe_finds_where_a_name_is(views):
    scores = asked(region_probe(views, views.vectors)(region_features(views.features.regions)), views.vectors)
    right = np.take_along_axis(views.shares, scores.argmax(axis=1)[:, None], axis=1)
    assert right.mean() > 0.9


def test_a_region_probe_says_nothing_of_a_photo_that_is_the_same_all_over(views):
    same = np.ones((1, 7, 4, 4), np.float16)
    np.testing.assert_allclose(region_probe(views, views.vectors)(region_features(same)), 0, atol=1e-6)


@pytest.mark.parametrize("outlined", [False, True])
def test_probes_weigh_what_the_recipe_says_beside_the_heads(views, outlined):
    recipe = replace(tiny.RECIPE, photo_probe=0.4, region_probe=0.2 * outlined)
    photos, words = tiny.photos(40), tiny.vectors(tiny.TAGS, 1)
    heads = [initialise_head(recipe, tiny.vectors(tiny.CLASSES, 2)) for _ in range(2)]
    plain, probed = Ensemble(heads), Ensemble(heads)
    outlines = Outlines(views, views.vectors)
    complete(probed, recipe, photos, labels=words, rivals=words, outlines=outlines)
    some = background_of(photos)
    said, added = (np.concatenate(list(region_vectors(each, some)))[..., :4] for each in (plain, probed))
    added = added - said
    of_photo = np.broadcast_to(added.mean(axis=1, keepdims=True), added.shape)
    sizes = [np.sqrt(np.square(part).sum(axis=-1).mean()) for part in (said, of_photo, added - of_photo)]
    assert sizes[1] / sizes[0] == pytest.approx(0.4, rel=1e-3)
    assert sizes[2] / sizes[0] == pytest.approx(0.2 * outlined, rel=1e-3, abs=1e-5)
