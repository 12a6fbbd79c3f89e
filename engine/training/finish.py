"""From trained heads to a bundle: the steps of its codes, its background photos, its labels and its confidence."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.library.region_map import Array, fit_steps, quantise
from engine.model.bundle import BundleSpec, save_bundle
from engine.model.colours import ColourShares
from engine.model.network import Ensemble
from engine.model.probe import LinearProbes
from engine.model.refinement import RefinementConfig
from engine.training.features import squares
from engine.training.located import LocatedSet
from engine.training.probing import photo_features, photo_probe, probes_of, region_features, region_probe
from engine.training.recipes import Recipe
from engine.training.trainer import TrainingSet
from engine.words.lexicon import LexiconTable


class Outlines(NamedTuple):
    """Views in which things are outlined, and the label vectors (M, d) of their names when training is over."""

    views: LocatedSet
    vectors: Array


def background_of(train: TrainingSet) -> TrainingSet:
    """Some of the photos, each once, that stand for all of them."""
    _, first = np.unique(train.split.names, return_index=True)
    once = np.sort(first)
    return train.subset(once[background_rows(train.split.names[once].tolist())])


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


def complete(
    ensemble: Ensemble,
    recipe: Recipe,
    train: TrainingSet,
    labels: Array,
    rivals: Array,
    outlines: Outlines | None = None,
) -> None:
    """Do to heads what the recipe has for when training on `train` is over.

    `labels` (C, d) are the label vectors of the tags, `rivals` (T, d) those of all words that were learned.
    """
    ensemble.strengthen_prior(recipe.prior_gain)
    if recipe.photo_probe:
        ensemble.probe(_weighed_probes(ensemble, recipe, train, labels, outlines))
    if recipe.contrast or recipe.smoothing:
        count, words = rivals.shape
        ensemble.refine(RefinementConfig(count, words, recipe.contrast, recipe.smoothing), rivals)


def _weighed_probes(
    ensemble: Ensemble, recipe: Recipe, train: TrainingSet, labels: Array, outlines: Outlines | None
) -> LinearProbes:
    """Linear probes that weigh what the recipe says, by the mean square of what they say of some of the photos."""
    some = background_of(train)
    features = some.take(np.arange(len(some)))
    level = _size(np.concatenate(list(region_vectors(ensemble, some))))
    photo = photo_probe(train, labels)
    photo = photo.times(recipe.photo_probe * level / _size(photo(photo_features(features))))
    region = None
    if recipe.region_probe and outlines is not None:
        region = region_probe(outlines.views, outlines.vectors)
        region = region.times(recipe.region_probe * level / _size(region(region_features(features.regions))))
    return probes_of(photo, region, features.scene.shape[1])


def _size(vectors: Array) -> float:
    """Root of the mean square length of vectors (…, d + 1), without their last number."""
    return max(float(np.sqrt(np.square(vectors[..., :-1]).sum(axis=-1).mean())), 1e-6)


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
        probes=None if ensemble.probes is None else asdict(ensemble.probes.config),
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
