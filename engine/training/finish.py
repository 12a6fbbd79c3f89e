"""From a trained head to a bundle: the steps of its codes, its background photos, its labels and its confidence."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.library.region_map import Array, fit_steps, quantise
from engine.model.bundle import BundleSpec, save_bundle
from engine.model.network import Head
from engine.training.recipes import Recipe
from engine.training.trainer import TrainingSet
from engine.words.lexicon import LexiconTable


def background_rows(names: Sequence[bytes], count: int = 256) -> list[int]:
    """Rows of `count` photos, as many from each collection (first part of the name), spread evenly over it."""
    collections: dict[bytes, list[int]] = {}
    for row, name in enumerate(names):
        collections.setdefault(name.split(b"/")[0] if b"/" in name else b"", []).append(row)
    share = -(-count // len(collections))
    picked = [
        rows[i]
        for rows in collections.values()
        for i in np.unique(np.linspace(0, len(rows) - 1, min(share, len(rows))).round().astype(int))
    ]
    return (
        sorted(picked)[:count]
        if len(picked) <= count
        else sorted(np.random.default_rng(0).choice(picked, count, replace=False).tolist())
    )


@torch.no_grad()
def region_vectors(head: Head, photos: TrainingSet) -> Iterator[Array]:
    """Region vectors (n, R, D) of photos whose features are known, a few photos at a time."""
    head.eval()
    for start in range(0, len(photos), 32):
        features = photos.take(np.arange(start, min(start + 32, len(photos))))
        regions, scene = (torch.from_numpy(half.astype(np.float32)) for half in (features.regions, features.scene))
        vectors = head.biam.region_vectors(regions, scene)
        if head.prior is not None and features.direction is not None:
            vectors = vectors + head.prior.scaled(torch.from_numpy(features.direction.astype(np.float32)))
        yield vectors.numpy()


def write_bundle(
    folder: Path,
    name: str,
    recipe: Recipe,
    head: Head,
    background: TrainingSet,
    *,
    tags: list[str],
    labels: list[str],
    calibration: tuple[float, ...],
    min_confidence: float,
    card: dict[str, Any],
    lexicon: LexiconTable | None = None,
) -> BundleSpec:
    """Write the bundle of a trained head; `background` are the photos that scores are judged against."""
    vectors = np.concatenate(list(region_vectors(head, background)))
    steps = fit_steps(vectors.reshape(-1, vectors.shape[-1]))
    rows, cols = background.features.regions.shape[2:]
    spec = BundleSpec(
        name=name,
        backbone=recipe.backbone,
        biam=recipe.biam.as_dict(),
        words=recipe.words,
        grid=(rows, cols),
        prior=None if recipe.prior is None else dict(recipe.prior.__dict__),
        calibration=calibration,
        min_confidence=min_confidence,
        card={**recipe.about, **card, "recipe": recipe.as_dict()},
    )
    save_bundle(
        folder,
        spec,
        head=head.arrays(),
        steps=steps,
        background=quantise(vectors, steps),
        tags=tags,
        labels=labels,
        lexicon=lexicon,
    )
    return spec
