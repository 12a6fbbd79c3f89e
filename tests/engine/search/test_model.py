"""Any sequence of changes to a library, whether an index has heard of them or not, is searched like a model of it."""

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.library import indexes
from engine.library.records import Batch, FileStamp
from engine.library.store import Store
from engine.search.searcher import Searcher
from tests.engine.search.conftest import new_photo

STEPS = ["add", "add a copy", "change", "move", "remove", "index", "lose the index", "search", "search", "open again"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 10**6)), min_size=4, max_size=25))
def test_a_library_is_searched_like_a_model_of_it(tmp_path_factory, colour_bundle, colour_encoder, steps):
    folder = tmp_path_factory.mktemp("library")
    model = {}  # path → NewPhoto
    with Store.create(folder, colour_bundle.name, colour_bundle.fingerprint) as store:
        searcher = Searcher(store, colour_bundle)
        for step, chance in [*steps, ("search", 0)]:
            known = sorted(model)
            path = known[chance % len(known)] if known else None
            fresh = new_photo(colour_encoder, f"/{len(known)}-{chance}.jpg", colours(chance))
            if step == "add" and fresh.path not in model:
                store.apply(Batch(added=[fresh]))
                model[fresh.path] = fresh
            elif step == "add a copy" and path and fresh.path not in model:
                copy = replace(model[path], path=fresh.path)
                store.apply(Batch(added=[copy]))
                model[copy.path] = copy
            elif step == "change" and path:
                changed = replace(fresh, path=path)
                store.apply(Batch(updated={store.photo_at(path).id: changed}))
                model[path] = changed
            elif step == "move" and path and fresh.path not in model:
                store.apply(Batch(moved={store.photo_at(path).id: (fresh.path, FileStamp(2, 2))}))
                model[fresh.path] = replace(model.pop(path), path=fresh.path)
            elif step == "remove" and path:
                store.apply(Batch(removed=[store.photo_at(path).id]))
                del model[path]
            elif step == "index":
                indexes.refresh(store)
            elif step == "lose the index":
                indexes.discard(store.folder)
            elif step == "open again":
                searcher = Searcher(store, colour_bundle)
            elif step == "search":
                compare(searcher, model, colour_bundle)


def colours(seed):
    return np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)


def compare(searcher, model, bundle):
    """The whole ranking, and folded pages of it."""
    query = np.append(bundle.words.vector("red"), 1.0) * bundle.steps
    score = {
        path: np.sort(photo.region_map.codes.astype(np.float64) @ query)[-bundle.top_k :].mean()
        for path, photo in model.items()
    }
    results = searcher.search("red", top=0)
    assert sorted(hit.photo.path for hit in results.hits) == sorted(model)
    np.testing.assert_allclose([hit.score for hit in results.hits], sorted(score.values(), reverse=True), atol=1e-4)
    np.testing.assert_allclose(
        [hit.score for hit in results.hits], [score[h.photo.path] for h in results.hits], atol=1e-4
    )
    contents, cursor = [], None
    while True:
        page = searcher.search("red", top=3, min_confidence=0, cursor=cursor)
        contents += [hit.photo.content_hash for hit in page.hits]
        assert page.total == len({photo.content_hash for photo in model.values()})
        cursor = page.next
        if cursor is None:
            break
    assert sorted(contents) == sorted({photo.content_hash for photo in model.values()})
