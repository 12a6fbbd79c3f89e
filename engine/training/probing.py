"""Fitting linear probes: ridge regression on tags and outlines, brought into the space of words.

Ridge regression gives each tag coefficients of its own, which say nothing of a word that no photo was tagged with. So
coefficients are regressed on label vectors in turn, which leaves one matrix from features to the space of words
(Romera-Paredes and Torr: *An embarrassingly simple approach to zero-shot learning*, ICML 2015).

Letters in shapes: N photos, X numbers in a feature, C tags, M names of outlined things, d numbers in a label vector.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from engine.library.region_map import Array
from engine.model.probe import LinearProbes, ProbeConfig
from engine.training.datasets.base import Split
from engine.training.features import Features
from engine.training.located import LocatedSet
from engine.training.trainer import TrainingSet

PHOTO_PENALTY = 0.0075  # times photos, for features whose mean square length is 1
REGION_PENALTY = 0.1  # times regions, for features each of which has a mean square of 1
WORD_PENALTY = 1.0  # beside some hundred unit vectors of words
MOST_COLLECTIONS = 8  # that have a regression of their own, of 25 MB each for `lite`
LEAST_PHOTOS = 2  # that show a tag, for it to have coefficients
RAREST = 1e-3  # variance below which a tag does not count for more
CHUNK = 128  # photos at a time

Precise = NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """A linear map from features to region vectors: weights (d + 1, X), bias (d + 1)."""

    weights: Array
    bias: Array

    def __call__(self, features: Array) -> Array:
        """(…, X) → (…, d + 1)."""
        vectors: Array = features @ self.weights.T + self.bias
        return vectors

    def times(self, factor: float) -> "Probe":
        """The probe with this weight."""
        return Probe(self.weights * np.float32(factor), self.bias * np.float32(factor))


class Moments:
    """Sums over rows of features (X) and targets (C) that linear regression needs."""

    def __init__(self, features: int, targets: int) -> None:
        self.count = 0
        self.x, self.y = np.zeros(features), np.zeros(targets)
        self.xx, self.xy = np.zeros((features, features)), np.zeros((features, targets))

    def add(self, x: Array, y: Array) -> None:
        """Rows (n, X) and (n, C)."""
        self.count += len(x)
        self.x += x.sum(axis=0, dtype=np.float64)
        self.y += y.sum(axis=0, dtype=np.float64)
        self.xx += x.T @ x
        self.xy += x.T @ y

    def ridge(self, deviation: Precise, penalty: float) -> Precise:
        """Coefficients (C, X) of features in units of `deviation`, both sides less their means."""
        xx = (self.xx - np.outer(self.x, self.x) / self.count) / np.outer(deviation, deviation)
        xy = (self.xy - np.outer(self.x, self.y) / self.count) / deviation[:, None]
        return np.asarray(np.linalg.solve(xx + penalty * self.count * np.eye(len(xx)), xy).T, np.float64)


def standard(collections: Sequence[Moments]) -> tuple[Precise, Precise]:
    """Mean and standard deviation of the features of all collections, each (X,)."""
    count = sum(each.count for each in collections)
    mean: Precise = np.sum([each.x for each in collections], axis=0) / count
    square: Precise = np.sum([np.diag(each.xx) for each in collections], axis=0) / count
    return mean, np.sqrt(np.maximum(square - mean**2, 1e-12))


def photo_probe(photos: TrainingSet, labels: Array) -> Probe:
    """From `photo_features` to what a whole photo shows.

    `labels` (C, d) are the label vectors of the first C tags; photos may come several times and count once. What is
    known of one collection of photos is not known of another, so each has its own regression.
    """
    _, first = np.unique(photos.split.names, return_index=True)
    photos = photos.subset(np.sort(first))
    groups = annotated_alike(photos.split, len(labels))
    collections = [
        _moments(photos.subset(np.flatnonzero(groups == group)), len(labels)) for group in range(groups.max() + 1)
    ]
    mean, deviation = standard(collections)
    deviation *= np.sqrt(len(deviation))
    coefficients, words = [], []
    for each in collections:
        shown = np.flatnonzero((each.y >= 2 * LEAST_PHOTOS) & labels.any(axis=1))  # each photo with its mirror image
        share = each.y[shown] / each.count
        weight = 1 / np.sqrt(share * (1 - share) + RAREST)
        coefficients.append(each.ridge(deviation, PHOTO_PENALTY)[shown] * weight[:, None])
        words.append(labels[shown])
    queries = np.pad(np.concatenate(words), ((0, 0), (0, 1)), constant_values=1)
    weights = in_words(np.concatenate(coefficients), queries) / deviation
    return Probe(weights.astype(np.float32), -(weights @ mean).astype(np.float32))


def region_probe(located: LocatedSet, names: Array) -> Probe:
    """From `region_features` to what of a photo a region shows.

    `names` (M, d) are the label vectors of what is outlined in the views.
    """
    regions = located.features.regions
    moments = Moments(regions.shape[1], len(names))
    for start in range(0, len(located), CHUNK):
        x = region_features(regions[start : start + CHUNK])
        y = located.shares[start : start + CHUNK].astype(np.float32)
        y -= y.mean(axis=1, keepdims=True)
        moments.add(x.reshape(-1, x.shape[2]), y.reshape(-1, y.shape[2]))
    deviation = np.sqrt(np.maximum(np.diag(moments.xx) / moments.count, 1e-12))
    shown = located.shares.any(axis=(0, 1))
    weights = in_words(moments.ridge(deviation, REGION_PENALTY)[shown], names[shown]) / deviation
    weights = np.pad(weights, ((0, 1), (0, 0)))
    return Probe(weights.astype(np.float32), np.zeros(len(weights), np.float32))


def in_words(coefficients: Precise, vectors: Array) -> Precise:
    """The matrix (d, X) that, asked with the vectors (C, d) of words, gives about their coefficients (C, X)."""
    precise = vectors.astype(np.float64)
    square = precise.T @ precise + WORD_PENALTY * np.eye(precise.shape[1])
    return np.asarray(np.linalg.solve(square, precise.T @ coefficients), np.float64)


def photo_features(features: Features) -> Array:
    """What is seen of whole photos (N, S + F): the scene, and the mean of the regions."""
    regions = features.regions.astype(np.float32).mean(axis=(2, 3))
    return np.concatenate([features.scene.astype(np.float32), regions], axis=1)


def region_features(regions: NDArray[np.float16]) -> Array:
    """What is seen of regions, less the mean of their photo: (N, F, H, W) → (N, R, F)."""
    rows: Array = regions.astype(np.float32).reshape(*regions.shape[:2], -1).transpose(0, 2, 1)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows


def annotated_alike(split: Split, tags: int) -> NDArray[np.int64]:
    """A number for each photo, the same for collections (first part of the name) of which the same tags are known.

    More than MOST_COLLECTIONS of them are somebody's folders rather than collections, and count as one.
    """
    together = np.zeros(len(split), np.int64)
    if split.complete:
        return together
    names, folder = np.unique([n.split(b"/")[0] if b"/" in n else b"" for n in split.names], return_inverse=True)
    rows, columns = split.annotations[:, :tags].nonzero()
    known = csr_array((np.ones(len(rows), bool), (folder[rows], columns)), shape=(len(names), tags))
    known.sum_duplicates()
    sets = [known.indices[start:stop].tobytes() for start, stop in pairwise(known.indptr.tolist())]
    groups, group = np.unique(np.array(sets, object), return_inverse=True)
    return np.asarray(group[folder], np.int64) if len(groups) <= MOST_COLLECTIONS else together


def probes_of(photo: Probe, region: Probe | None, scene: int) -> LinearProbes:
    """The module that adds up what both say; `scene` is S."""
    rows, width = photo.weights.shape
    probes = LinearProbes(ProbeConfig(width - scene, scene, rows - 1))
    probes.photo.copy_(torch.from_numpy(photo.weights))
    probes.bias.copy_(torch.from_numpy(photo.bias))
    if region is not None:
        probes.region.copy_(torch.from_numpy(region.weights))
    return probes


def _moments(photos: TrainingSet, tags: int) -> Moments:
    """Of photos and their mirror images, where there are any, and of which tags they show."""
    moments = Moments(photos.features.scene.shape[1] + photos.features.regions.shape[1], tags)
    for rows in _chunks(len(photos)):
        shown = (photos.split.labels(rows)[:, :tags] > 0).astype(np.float32)
        for mirrored in (False, True):
            moments.add(photo_features(photos.take(rows, mirrored)), shown)
    return moments


def _chunks(count: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, CHUNK):
        yield np.arange(start, min(start + CHUNK, count))
