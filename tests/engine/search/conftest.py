"""A library of painted photos, written the way the indexer writes one."""

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from engine.library import indexes
from engine.library.records import Batch, FileStamp, Metadata, NewPhoto
from engine.library.store import Store
from engine.search.searcher import Searcher


def new_photo(encoder, path, pixels, taken_at=None):
    image = Image.fromarray(pixels).resize((encoder.input_size, encoder.input_size), Image.Resampling.NEAREST)
    ((region_map, class_scores),) = encoder.encode(np.asarray(image)[None])
    digest = hashlib.blake2b(pixels.tobytes() + path.encode(), digest_size=16).digest()
    size = pixels.shape[1], pixels.shape[0]
    return NewPhoto(
        path, FileStamp(1, 1), digest, *size, "JPEG", Metadata(taken_at, camera="Test Camera"), region_map, class_scores
    )


def random_photos(encoder, count, seed=0):
    rng = np.random.default_rng(seed)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    return [
        new_photo(
            encoder,
            f"/photos/{seed}-{i:05d}.jpg",
            rng.integers(0, 256, (4, 4, 3), dtype=np.uint8),
            start + timedelta(days=int(rng.integers(1000))) if i % 3 else None,
        )
        for i in range(count)
    ]


@pytest.fixture
def store(tmp_path, colour_bundle):
    with Store.create(tmp_path / "library", colour_bundle.name, colour_bundle.fingerprint) as store:
        yield store


@pytest.fixture
def filled(store, colour_encoder):
    store.apply(Batch(added=random_photos(colour_encoder, 300)))
    indexes.refresh(store)
    return store


@pytest.fixture
def searcher(filled, colour_bundle):
    return Searcher(filled, colour_bundle)
