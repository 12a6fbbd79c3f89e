"""From trained heads to a bundle: the steps of its codes, its background photos, its labels and its confidence."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.library.region_map import Array, fit_steps, quantise
from engine.model.bundle import BundleSpec, save_bundle
from engine.model.colours import ColourShares
from engine.model.network import Ensemble
from engine.model.refinement import RefinementConfig
from engine.training.features import squares
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
def region_vectors(ensemble: Ensemble, photos: TrainingSet) -> Iterator[Array]:
    """Region vectors (n, R, D) of photos whose features are known, a few photos at a time."""
    ensemble.eval()
    for start in range(0, len(photos), 32):
        features = photos.take(np.arange(start, min(start + 32, len(photos))))
        regions, scene = (torch.from_numpy(half.astype(np.float32)) for half in (features.regions, features.scene))
        direction = features.direction
        yield ensemble.with_direction(
            regions, scene, None if direction is None else torch.from_numpy(direction.astype(np.float32))
        ).numpy()


@torch.no_grad()
def colours(paths: Sequence[Path], size: int, grid: tuple[int, int]) -> Array:
    """What the regions of photos have of each colour (N, R, 7), from their pixels; raises DataError."""
    shares = ColourShares(grid)
    return np.concatenate([shares(torch.from_numpy(batch)).numpy() for batch in squares(paths, size)])


def complete(ensemble: Ensemble, recipe: Recipe, rivals: Array) -> None:
    """Do to heads what the recipe has for when training is over; `rivals` (T, d) are the words that were learned."""
    ensemble.strengthen_prior(recipe.prior_gain)
    if recipe.contrast or recipe.smoothing:
        count, words = rivals.shape
        ensemble.refine(RefinementConfig(count, words, recipe.contrast, recipe.smoothing), rivals)


def write_bundle(
    folder: Path,
    name: str,
    recipe: Recipe,
    ensemble: Ensemble,
    background: TrainingSet,
    *,
    tags: list[str],
    labels: list[str],
    calibration: tuple[float, ...],
    min_confidence: float,
    card: dict[str, Any],
    lexicon: LexiconTable | None = None,
) -> BundleSpec:
    """Write the bundle of trained heads; `background` are the photos that scores are judged against.

    Weights are kept in half precision, and everything is measured with what is left of them.
    """
    ensemble = ensemble.half().float()
    vectors = np.concatenate(list(region_vectors(ensemble, background)))
    rows, cols = background.features.regions.shape[2:]
    coloured = recipe.colours and background.split.feature_file is None
    if coloured:
        found = colours(background.split.paths(), recipe.backbone.input_size, (rows, cols))
        vectors = np.concatenate([vectors[..., :-1], found, vectors[..., -1:]], axis=-1)
    steps = fit_steps(vectors.reshape(-1, vectors.shape[-1]))
    spec = BundleSpec(
        name=name,
        backbone=recipe.backbone,
        biam=recipe.biam.as_dict(),
        words=recipe.words,
        grid=(rows, cols),
        prior=None if recipe.prior is None else asdict(recipe.prior),
        heads=len(ensemble.heads),
        refinement=None if ensemble.refinement is None else asdict(ensemble.refinement.config),
        colours=coloured,
        calibration=calibration,
        min_confidence=min_confidence,
        card={**recipe.about, **card, "recipe": recipe.as_dict()},
    )
    save_bundle(
        folder,
        spec,
        head={name: _half(weights) for name, weights in ensemble.arrays().items()},
        steps=steps,
        background=quantise(vectors, steps),
        tags=tags,
        labels=labels,
        lexicon=lexicon,
    )
    return spec


def _half(weights: NDArray[Any]) -> NDArray[Any]:
    """Single precision in half of it; counts of batches as they are."""
    return weights.astype(np.float16) if weights.dtype == np.float32 else weights
