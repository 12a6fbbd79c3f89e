"""Confidence: how sure a score makes us that the photo shows the thing, comparable between words.

Raw scores of two words cannot be compared: one word scores high everywhere, another nowhere. So a word's score s is
judged against its scores on the bundle's background photos: z is its distance from their mean in standard deviations,
and their tail tells a word that some of them show from one that none does. A logistic regression on z, s and the tail,
fitted on photos that were held out of training, gives the probability (Platt scaling with covariates). For one word it
is a rising curve over s, so confidence never changes the order of photos.
"""

from dataclasses import dataclass

import numpy as np

from engine.library.region_map import Array
from engine.model.bundle import Reference

FEATURES = ("z", "constant", "score", "tail")
RIDGE = 1.0


@dataclass(frozen=True)
class Curves:
    """For each of T terms, the logit of its confidence: `slope` · score + `offset`, both (T,); slopes are positive."""

    slope: Array
    offset: Array

    def logit(self, scores: Array) -> Array:
        """Pooled scores (…, T) → logits (…, T)."""
        return (self.slope * scores + self.offset).astype(np.float32)

    def confidence(self, scores: Array) -> Array:
        """Pooled scores (…, T) → 0…1."""
        return np.exp(log_sigmoid(self.logit(scores)))

    def score_at(self, confidence: float) -> Array:
        """The pooled score (T,) at which each term has this confidence, which is more than 0 and less than 1."""
        scores: Array = ((np.log(confidence / (1 - confidence)) - self.offset) / self.slope).astype(np.float32)
        return scores


@dataclass(frozen=True)
class Calibration:
    """Weights of FEATURES; those left out at the end are 0."""

    weights: tuple[float, ...]

    def curves(self, reference: Reference) -> Curves:
        """The curves of T terms from their scores on background photos."""
        z, constant, score, tail = (*self.weights, *[0.0] * (len(FEATURES) - len(self.weights)))
        slope = np.maximum(z / reference.deviation + score, 1e-3 / reference.deviation)
        offset = constant + tail * reference.tail - z * reference.mean / reference.deviation
        return Curves(slope.astype(np.float32), offset.astype(np.float32))


def features(scores: Array, reference: Reference) -> Array:
    """FEATURES (N, T, 4) of pooled scores (N, T)."""
    z = (scores - reference.mean) / reference.deviation
    columns = (z, 1.0, scores, reference.tail)
    return np.stack([np.broadcast_to(column, scores.shape) for column in columns], axis=-1).astype(np.float32)


def fit(rows: Array, relevant: Array, steps: int = 100) -> Calibration:
    """The weights of highest likelihood for FEATURES (M, F) and outcomes 0 or 1 (M,), by Newton's method.

    A little ridge keeps the answer finite for data that can be separated. F may be 2: z and constant alone.
    """
    scale = np.maximum(np.abs(rows).max(axis=0), 1e-9).astype(np.float64)
    design = rows / scale
    penalty = np.full(design.shape[1], RIDGE / len(rows) ** 0.5)
    penalty[1] = 0.0
    theta = np.zeros(design.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(design @ theta, -60, 60)))
        gradient = design.T @ (p - relevant) + penalty * theta
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty + 1e-9)
        step = np.linalg.solve(hessian, gradient)
        theta -= np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    return Calibration(tuple(float(value) for value in theta / scale))


def log_sigmoid(logit: Array) -> Array:
    """log(1 / (1 + exp(−x))), exact for large x too."""
    logs: Array = np.minimum(logit, 0) - np.log1p(np.exp(-np.abs(logit)))  # in a fifth of the time of np.logaddexp
    return logs
