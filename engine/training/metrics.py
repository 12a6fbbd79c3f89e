"""Metrics of multi-label zero-shot learning: AP, mAP, F1@K, P@K. Pure functions of NumPy arrays.

Protocol: Narayan et al., ICCV 2021, arXiv 2108.09301, after Huynh and Elhamifar, "A Shared Multi-Attention Framework
for Multi-Label Zero-Shot Learning", CVPR 2020.

Dimensions: N images, C tags. Labels are −1 (absent), 0 (not annotated) and +1 (present).

Ties: equal scores rank in the order of the array, lower index first, so a metric never depends on the sorting routine.

Every ranking here is a sort of 64-bit keys: score (descending) in the upper half, index below it, and in the last bit
whether the label is positive. Plain integers sort several times faster than an indirect sort, and the sorted keys
already hold the labels in order. At most about CHUNK of them are held at a time, so memory stays bounded however large
the arrays, which may be memory-mapped. They are made for BLOCK images at a time, few enough for the processor's cache:
half the time would otherwise go into reading the scores column by column.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Scores: TypeAlias = NDArray[np.floating[Any]]
Labels: TypeAlias = NDArray[np.integer[Any]]
Floats: TypeAlias = NDArray[np.float64]
Keys: TypeAlias = NDArray[np.uint64]

CHUNK = 1 << 22
BLOCK = 1024
UNRANKED = np.uint64(2**64 - 2)  # after every score, and not positive


class PrecisionRecallF1(NamedTuple):
    """Precision, recall and their harmonic mean, each in 0..1."""

    precision: float
    recall: float
    f1: float


def average_precision(scores: Scores, labels: Labels) -> Floats:
    """Non-interpolated average precision of each tag [C], in 0..1.

    The mean, over the positives of a tag, of the precision at each one's rank among the images annotated for that tag.
    A tag without positives gets 0 (and so lowers the mean, as in the paper's protocol).

    Args:
        scores: [N, C], compared in float32.
        labels: −1, 0 or +1 [N, C].

    Raises:
        ValueError: the shapes differ, or a score is not a number.
    """
    _check(scores, labels)
    N, C = labels.shape
    result = np.zeros(C)
    for tags in _slices(C, CHUNK // max(1, N)):
        keys = _keys_by_tag(scores, labels, tags)
        keys.sort(axis=1)
        tag, rank = np.divmod(np.flatnonzero(keys.astype(np.uint8) & 1), N)  # of each positive, by tag, then by rank
        positives = np.bincount(tag, minlength=len(keys))
        found = np.arange(1, len(tag) + 1) - (positives.cumsum() - positives)[tag]
        result[tags] = np.bincount(tag, found / (rank + 1), len(keys)) / positives.clip(1)
    return result


def pooled_average_precision(scores: Scores, labels: Labels) -> Floats:
    """What the paper's code calls the AP of a tag on Open Images [C], in 0..1: for comparing with its figures only.

    That code takes every image annotated for the tag, and then ranks all annotated (image, tag) pairs of those images
    together, the pairs of other tags included (`compute_AP` in its `util_openimages.py`; NUS-WIDE's does not). So the
    value says how well pairs are ranked across tags, not how well images are ranked for a tag, and it can be far from
    `average_precision`: show both, labelled.

    Args:
        scores: [N, C], compared in float32.
        labels: −1, 0 or +1 [N, C]; meant for few annotations: takes time C times the number of annotated pairs.

    Raises:
        ValueError: the shapes differ, or a score is not a number.
    """
    _check(scores, labels)
    image, tag = np.nonzero(labels)
    keys = _keys(scores[image, tag], labels[image, tag] > 0)
    order = np.argsort(keys)
    image, positive = image[order], (keys[order] & np.uint64(1)).astype(bool)
    result = np.zeros(labels.shape[1])
    for c in np.unique(tag):
        hits = positive[(labels[:, c] != 0)[image]]
        (rank,) = np.nonzero(hits)
        result[c] = (np.arange(1, len(rank) + 1) / (rank + 1)).sum() / max(1, len(rank))
    return result


def mean_average_precision(ap: Floats) -> float:
    """Plain mean of the average precisions [C]; tags without positives stay in, as 0. No tags: 0."""
    return float(ap.mean()) if ap.size else 0.0


def weighted_mean_average_precision(ap: Floats, positives: NDArray[Any]) -> float:
    """Mean of the average precisions [C] weighted by each tag's number of positives [C]; without any positive, 0.

    Logs on Open Images report both means, and they differ by several points: label which one is shown.
    """
    total = positives.sum()
    return float(ap @ positives / total) if total else 0.0


def precision_recall_f1_at_k(scores: Scores, labels: Labels, k: int) -> PrecisionRecallF1:
    """“Overall” precision, recall and F1 when the K best tags of every image are predicted.

    P = TP / (N·K), R = TP / (all positives). A prediction that is not annotated is a false positive. When there are
    fewer than K tags, all of them are predicted. Without any true positive all three are 0.

    Args:
        scores: [N, C], compared in float32.
        labels: −1, 0 or +1 [N, C].
        k: tags predicted an image, at least 1: 3 and 5 on NUS-WIDE, 10 and 20 on Open Images.

    Raises:
        ValueError: the shapes differ, a score is not a number, or k is below 1.
    """
    _check(scores, labels, k)
    N, C = labels.shape
    hits = positives = 0
    for images in _slices(N, BLOCK):
        positive = labels[images] > 0
        hits += int(_best(_keys(scores[images], positive), k).sum())
        positives += int(positive.sum())
    if not hits:
        return PrecisionRecallF1(0.0, 0.0, 0.0)
    precision, recall = hits / (N * min(k, C)), hits / positives
    return PrecisionRecallF1(precision, recall, 2 * precision * recall / (precision + recall))


def precision_at_k(scores: Scores, labels: Labels, k: int) -> Floats:
    """Share of positives among the K best images of each tag [C]: what the first page of a search is worth.

    Images not annotated for a tag are left out of its ranking, as for average precision. The share is always of K (or
    of N, where there are fewer images), so a tag with fewer than K positives cannot reach 1.

    Args:
        scores: [N, C], compared in float32.
        labels: −1, 0 or +1 [N, C].
        k: images looked at, at least 1.

    Raises:
        ValueError: the shapes differ, a score is not a number, or k is below 1.
    """
    _check(scores, labels, k)
    N, C = labels.shape
    result = np.zeros(C)
    for tags in _slices(C, CHUNK // max(1, N)):
        result[tags] = _best(_keys_by_tag(scores, labels, tags), k).sum(axis=1) / max(1, min(k, N))
    return result


def _check(scores: Scores, labels: Labels, k: int = 1) -> None:
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise ValueError(f"Scores and labels must both be [N, C], got {scores.shape} and {labels.shape}")
    if k < 1:
        raise ValueError(f"K must be at least 1, got {k}")


def _slices(length: int, step: int) -> Iterator[slice]:
    step = max(1, step)
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def _keys_by_tag(scores: Scores, labels: Labels, tags: slice) -> Keys:
    """Keys of all images for some of the tags [tags, N]; images that are not annotated come last."""
    keys = np.empty((tags.stop - tags.start, len(scores)), dtype=np.uint64)
    for images in _slices(len(scores), BLOCK):
        label = labels[images, tags].T
        block = _keys(scores[images, tags].T, label > 0, images.start)
        block[label == 0] = UNRANKED
        keys[:, images] = block
    return keys


def _keys(scores: Scores, positive: NDArray[np.bool_], first: int = 0) -> Keys:
    """Keys whose ascending order along the last axis, indexed from `first`, is the ranking.

    Reversed as integers, the bits of IEEE 754 numbers order like the numbers once those below zero have theirs flipped.
    """
    values = np.ascontiguousarray(scores, dtype=np.float32) + np.float32(0)  # −0 becomes 0
    if np.isnan(values).any():
        raise ValueError("A score is not a number (NaN); the model has diverged")
    bits = values.view(np.int32)
    descending = (bits ^ (~(bits >> 31) & 0x7FFFFFFF)).view(np.uint32)
    keys = descending.astype(np.uint64) << np.uint64(32)
    keys |= np.arange(first, first + keys.shape[-1], dtype=np.uint64) << np.uint64(1)
    keys |= positive
    return keys


def _best(keys: Keys, k: int) -> Keys:
    """Whether each of the K lowest keys along the last axis is positive, 0 or 1; their order is left open."""
    if k < keys.shape[-1]:
        keys = np.partition(keys, k - 1, axis=-1)[..., :k]
    return keys & np.uint64(1)
