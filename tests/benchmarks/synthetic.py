"""Libraries of any size whose regions are like those of real photos, made without a photo.

Each synthetic photo mixes the region maps of two photos of the bundle's background, one of them for the most part,
mirrored at random. Mixed by √w and √(1 − w) about their mean, they keep the mean and the covariance of real regions,
within a photo and between photos, and stay different from one another. Their class scores are mixed likewise.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from engine.library.records import Batch, FileStamp, Metadata, NewPhoto
from engine.library.region_map import Array, Grid, RegionMap, pooled_scores
from engine.library.store import Store
from engine.model.bundle import Bundle

AT_ONCE = 2000  # photos in a transaction
START = datetime(2000, 1, 1, tzinfo=UTC)
CAMERAS = ("Canon EOS 5D", "NIKON D750", "Apple iPhone 12", "SONY ILCE-7M3")


def make(folder: Path, bundle: Bundle, photos: int, seed: int = 0) -> Store:
    """The library of `photos` photos in `folder`, filled up where it holds fewer; its index is left as it is."""
    store = Store.create(folder, bundle.name, bundle.fingerprint)
    real, held = _Real.of(bundle), store.count()
    while held < photos:
        count = min(AT_ONCE, photos - held)
        store.apply(Batch(added=list(_photos(real, held, count, seed))))
        held += count
        print(f"\r{held:,} synthetic photos", end="" if held < photos else "\n", file=sys.stderr)
    return store


@dataclass(frozen=True)
class _Real:
    """The M photos of a bundle's background: region maps less their mean, and standardised class scores."""

    grid: Grid
    centre: Array  # (D,)
    maps: Array  # (M, rows, cols, D)
    class_scores: Array  # (M, labels)

    @classmethod
    def of(cls, bundle: Bundle) -> "_Real":
        grid, reference = bundle.grid, bundle.label_reference
        maps = bundle.background.codes.reshape(len(bundle.background), grid.rows, grid.cols, -1).astype(np.float32)
        centre = maps.mean(axis=(0, 1, 2))
        pooled = pooled_scores(bundle.background, bundle.label_queries, bundle.top_k)
        return cls(grid, centre, maps - centre, (pooled - reference.mean) / reference.deviation)


def _photos(real: _Real, first: int, count: int, seed: int) -> Iterator[NewPhoto]:
    rng = np.random.default_rng([seed, first])
    shares = np.sqrt(rng.uniform(0.75, 0.97, count)).astype(np.float32)
    codes = np.zeros((count, *real.maps.shape[1:]), np.float32)
    scores = np.zeros((count, real.class_scores.shape[1]), np.float32)
    for share in (shares, np.sqrt(1 - shares**2)):
        chosen = rng.integers(len(real.maps), size=count)
        mixed = real.maps[chosen]
        mirrored = rng.random(count) < 0.5
        mixed[mirrored] = mixed[mirrored][:, :, ::-1]
        mixed *= share[:, None, None, None]
        codes += mixed
        scores += share[:, None] * real.class_scores[chosen]
    maps = np.clip(np.rint(codes + real.centre), -127, 127).astype(np.int8).reshape(count, len(real.grid), -1)
    for i in range(count):
        number = first + i
        taken = START + timedelta(seconds=int(rng.integers(25 * 365 * 86400)))
        yield NewPhoto(
            f"/synthetic/{number // 1000:05d}/{number:08d}.jpg",
            FileStamp(1_000_000, number),
            int(number + (seed << 64)).to_bytes(16, "big"),
            640,
            480,
            "JPEG",
            Metadata(taken, camera=str(rng.choice(CAMERAS))),
            RegionMap(real.grid, maps[i]),
            scores[i].astype(np.float16),
        )
