"""Photos that look alike are one hit: the best of them."""

import numpy as np
import pytest

from engine.library import indexes, thumbnails
from engine.library.records import Batch
from engine.search.searcher import Searcher
from engine.search.similar import search_like
from tests.engine.search.conftest import new_photo
from tests.scenes import scene


def near_copies_of(encoder, folder, seed, image, *changes):
    """A photo and copies of it that are seen as a little different; their thumbnails are kept."""
    rng, photos = np.random.default_rng(seed), []
    pixels = rng.integers(60, 256, (4, 4, 3))
    for number, change in enumerate((lambda same: same, *changes)):
        noisy = np.clip(pixels + rng.integers(-40, 41, (4, 4, 3)), 0, 255).astype(np.uint8)
        photos.append(new_photo(encoder, f"/seen/{seed}-{number}.jpg", noisy))
        thumbnails.write(folder, photos[-1].content_hash, thumbnails.make(change(image).convert("RGB")))
    return photos


@pytest.fixture
def stacked(filled, colour_bundle, colour_encoder):
    """A library in which some photos have copies at half and at a third of the size."""
    for seed in range(40):
        one = near_copies_of(
            colour_encoder, filled.folder, seed, scene(seed), lambda i: i.reduce(2), lambda i: i.reduce(3)
        )
        filled.apply(Batch(added=one))
    indexes.refresh(filled)
    return Searcher(filled, colour_bundle)


def stack_of(path):
    return path.rsplit("-", 1)[0] if path.startswith("/seen/") else path


@pytest.mark.parametrize("text", ["red", "green blue", "blue -red"])
def test_of_photos_that_look_alike_the_best_is_listed(stacked, text):
    whole = stacked.search(text, top=500, min_confidence=0, fold=False).hits
    best = list({stack_of(hit.photo.path): hit.photo.id for hit in reversed(whole)}.values())
    best = [hit.photo.id for hit in whole if hit.photo.id in best]
    results = stacked.search(text, top=400, min_confidence=0)
    assert [hit.photo.id for hit in results.hits] == best
    assert results.total == len(best) == 340
    for hit in results.hits:
        others = [other.photo.id for other in whole if stack_of(other.photo.path) == stack_of(hit.photo.path)]
        assert hit.duplicates == tuple(sorted(set(others) - {hit.photo.id}))


@pytest.mark.parametrize("sort", ["relevance", "date"])
def test_pages_of_stacks_are_the_parts_of_one_list(stacked, sort):
    for cut in (0, 0.3):
        whole = stacked.search("red", top=400, min_confidence=cut, sort=sort)
        cursor, seen = None, []
        while True:
            page = stacked.search("red", top=7, min_confidence=cut, sort=sort, cursor=cursor)
            assert page.total == whole.total == len(whole.hits)
            seen += [hit.photo.id for hit in page.hits]
            cursor = page.next
            if cursor is None:
                break
        assert seen == [hit.photo.id for hit in whole.hits]


def test_a_stack_is_found_by_any_of_its_photos(stacked):
    """The one that is shown reaches the cut-off, whichever came first."""
    everything = stacked.search("red", top=0).hits
    cut = float(np.median([hit.confidence for hit in everything]))
    reaching = {stack_of(hit.photo.path) for hit in everything if hit.confidence >= cut}
    hits = stacked.search("red", top=400, min_confidence=cut).hits
    assert {stack_of(hit.photo.path) for hit in hits} == reaching
    assert min(hit.confidence for hit in hits) >= cut


def test_what_changed_since_the_index_was_written_is_no_copy_any_more(stacked, filled, colour_encoder):
    (hit,) = (hit for hit in stacked.search("red", top=400, min_confidence=0).hits if "/seen/3-" in hit.photo.path)
    changed = filled.photo(hit.duplicates[0])
    filled.apply(Batch(updated={changed.id: new_photo(colour_encoder, changed.path, np.zeros((4, 4, 3), np.uint8))}))
    hits = stacked.search("red", top=400, min_confidence=0).hits
    assert changed.id in {hit.photo.id for hit in hits}
    assert not any(changed.id in hit.duplicates for hit in hits)


def test_photos_like_an_image_are_stacked_too(stacked, filled):
    asked = filled.class_scores([filled.photo_at("/seen/5-1.jpg").id])[1][0]
    whole = search_like(stacked, asked, top=0)
    results = search_like(stacked, asked, top=30)
    best = {}
    for hit in whole.hits:
        best.setdefault(stack_of(hit.photo.path), hit.photo.id)
    assert [hit.photo.id for hit in results.hits] == list(best.values())[:30]
    assert results.total == 340
