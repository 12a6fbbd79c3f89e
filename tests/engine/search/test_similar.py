"""Photos like another, or like a region of it, are those of comparing every photo, whatever state the index is in."""

from dataclasses import replace

import numpy as np
import pytest

from engine.library import class_index, corpus, indexes
from engine.library.records import Batch
from engine.library.vector_index import FaissIndex, GpuIndex
from engine.search import likeness
from engine.search.searcher import Searcher
from engine.search.similar import search_like, similar_photos, similar_regions
from tests.engine.search.conftest import random_photos


def as_written(store, encoder):
    pass


def changed_since(store, encoder):
    ids = store.photo_ids().tolist()
    fresh = random_photos(encoder, 40, seed=1)
    store.apply(Batch(removed=ids[:30], updated=dict(zip(ids[50:60], fresh[:10], strict=True)), added=fresh[10:]))


def gone(store, encoder):
    indexes.discard(store.folder)


def damaged(store, encoder):
    index, generation = FaissIndex.load(store.folder, "classes-000000")
    keys = index.keys()
    vectors = index.vectors(keys)
    index.remove(keys)
    index.add(keys, np.roll(vectors, 1, axis=0))
    index.save(store.folder, "classes-000000", generation)


def without_a_part(store, encoder):
    FaissIndex.discard(store.folder, "classes-000001")


@pytest.fixture(params=[as_written, changed_since, gone, damaged, without_a_part], ids=lambda change: change.__name__)
def searcher(request, filled, colour_bundle, colour_encoder, monkeypatch):
    monkeypatch.setattr(likeness, "AT_ONCE", 7)
    monkeypatch.setattr(corpus, "REGIONS_AT_ONCE", 7)
    monkeypatch.setattr(corpus, "LOOSE_AT_ONCE", 7)
    monkeypatch.setattr(class_index, "PART", 100)
    indexes.refresh(filled, rebuild=True)
    request.param(filled, colour_encoder)
    return Searcher(filled, colour_bundle)


def cosine(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return a @ b / np.linalg.norm(a, axis=-1) / np.linalg.norm(b)


def cosines(store, seen):
    """By id, from every photo's class scores in the database."""
    ids, scores = store.class_scores(store.photo_ids().tolist())
    scores, seen = (np.maximum(values.astype(np.float64), 0) ** 2 for values in (scores, seen))
    return dict(zip(ids.tolist(), cosine(scores, seen).tolist(), strict=True))


def are_the_best(found, expected):
    """Whether pairs of an id and a number are those that `expected` says, largest first; equal ones in any order."""
    assert len({photo_id for photo_id, _ in found}) == len(found)
    np.testing.assert_allclose([value for _, value in found], [expected[photo_id] for photo_id, _ in found], atol=2e-6)
    best = sorted(expected.values(), reverse=True)[: len(found)]
    np.testing.assert_allclose([value for _, value in found], best, atol=2e-6)


def test_similar_photos_are_those_of_comparing_every_photo(searcher):
    photo_id = int(searcher.store.photo_ids()[70])
    expected = cosines(searcher.store, searcher.store.class_scores([photo_id])[1][0])
    del expected[photo_id]
    found = [(one.photo.id, one.similarity) for one in similar_photos(searcher, photo_id, top=25)]
    assert len(found) == 25
    are_the_best(found, expected)


def test_similar_regions_are_those_of_comparing_every_region(searcher):
    store, photo_id = searcher.store, int(searcher.store.photo_ids()[70])
    steps = np.append(searcher.bundle.steps[:-1], 0)
    asked = store.region_map(photo_id)
    region = asked.codes[1 * asked.grid.cols + 2] * steps
    maps = store.region_maps(store.photo_ids().tolist()).single()
    expected = {i: float(cosine(one.codes * steps, region).max()) for i, one in maps.items() if i != photo_id}
    found = [(one.photo.id, one.similarity) for one in similar_regions(searcher, photo_id, 1, 2, top=25)]
    assert len(found) == 25
    are_the_best(found, expected)


@pytest.mark.parametrize("cut", [None, 0.7])
@pytest.mark.parametrize("sort", ["relevance", "date"])
def test_pages_and_totals_of_a_search_by_image_are_those_of_comparing_every_photo(searcher, cut, sort):
    seen = searcher.store.class_scores([int(searcher.store.photo_ids()[70])])[1][0]
    expected = cosines(searcher.store, seen)
    pages = [search_like(searcher, seen, top=20, offset=at, min_confidence=cut, sort=sort) for at in (0, 20, 40)]
    assert {page.total for page in pages} == {sum(value >= (cut or -1) for value in expected.values())}
    assert all(page.exact for page in pages)
    found = [(hit.photo.id, hit.score) for page in pages for hit in page.hits]
    if sort == "relevance":
        are_the_best(found, expected)
    else:
        dates = [hit.photo.taken_at for page in pages for hit in page.hits]
        assert dates == sorted(dates, reverse=True)
        assert len({photo_id for photo_id, _ in found}) == 60
        np.testing.assert_allclose([value for _, value in found], [expected[i] for i, _ in found], atol=2e-6)


def test_similar_photos_are_found_where_more_are_the_same_than_the_index_is_asked_for(
    store, colour_bundle, colour_encoder
):
    (one, *others), copies = random_photos(colour_encoder, 100), likeness.SPARE + 50
    store.apply(Batch(added=[*others, *[replace(one, path=f"/{i:05d}.jpg") for i in range(copies)]]))
    indexes.refresh(store)
    same = store.photo_ids()[-copies:].tolist()
    found = similar_photos(Searcher(store, colour_bundle), same[-1], top=30)
    assert [one.photo.id for one in found] == same[:30]


class HalfPrecision:
    """What a GPU finds: vectors and queries are rounded there, and no more than 2,048 are found at once."""

    MOST, asked = GpuIndex.MOST, 0

    def __init__(self, parts):
        self.keys = np.concatenate([part.keys() for part in parts])
        self.vectors = np.concatenate([part.all_vectors() for part in parts])

    def search(self, queries, count):
        HalfPrecision.asked += 1
        cosines = queries.astype(np.float16).astype(np.float32) @ self.vectors.T
        best = np.argsort(-cosines, axis=1)[:, :count]
        return np.take_along_axis(cosines, best, axis=1), self.keys[best]


def test_similar_photos_are_the_same_where_a_gpu_is_asked(filled, colour_bundle, monkeypatch):
    ids = filled.photo_ids().tolist()
    expected = [similar_photos(Searcher(filled, colour_bundle), photo_id) for photo_id in ids[:20]]
    monkeypatch.setattr(GpuIndex, "of", HalfPrecision)
    searcher = Searcher(filled, colour_bundle)
    assert [similar_photos(searcher, photo_id) for photo_id in ids[:20]] == expected
    assert HalfPrecision.asked >= 20


def test_similar_photos_are_found_without_scoring_every_photo(filled, colour_bundle, monkeypatch):
    monkeypatch.setattr(likeness.Likeness, "of", None)
    read, of_store = [], filled.class_scores
    monkeypatch.setattr(filled, "class_scores", lambda ids: read.extend(ids) or of_store(ids))
    photo_id = int(filled.photo_ids()[70])
    assert len(similar_photos(Searcher(filled, colour_bundle), photo_id, top=10)) == 10
    assert 11 <= len(read) < 50


def test_few_photos_are_read_from_the_database_where_the_index_is_sound(filled, colour_bundle, monkeypatch):
    read = []
    searcher, of_store = Searcher(filled, colour_bundle), filled.class_scores
    rng = np.random.default_rng(0)
    seen = rng.normal(size=len(colour_bundle.labels))
    monkeypatch.setattr(filled, "class_scores", lambda ids: read.extend(ids) or of_store(ids))
    assert search_like(searcher, seen, top=3).exact
    assert 3 <= len(read) < 150
