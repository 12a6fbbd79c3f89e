"""Confidence: how sure a score makes us that the photo shows the thing, comparable between words.

Raw scores of two words cannot be compared: one word scores high everywhere, another nowhere. So a score is first
measured against the bundle's background photos, z = (score − mean) / standard deviation, and one logistic curve for the
whole bundle, fitted on photos that were held out of training, turns z into a probability (Platt scaling).
"""

from dataclasses import dataclass

import numpy as np

from engine.library.region_map import Array


@dataclass(frozen=True)
class Calibration:
    """The logistic curve 1 / (1 + exp(−(slope·z + offset)))."""

    slope: float
    offset: float

    def confidence(self, z: Array) -> Array:
        """z → 0…1, elementwise."""
        p: Array = (1 / (1 + np.exp(-np.clip(self.slope * z + self.offset, -60, 60)))).astype(np.float32)
        return p


def fit(z: Array, relevant: Array, weight: Array | None = None, steps: int = 50) -> Calibration:
    """The curve of highest likelihood for standardised scores z (N,) and outcomes 0 or 1 (N,), by Newton's method.

    Outcomes are smoothed as Platt proposes (1999), so that separable data has a finite answer.
    """
    weight = np.ones_like(z) if weight is None else weight
    positives, negatives = float((weight * relevant).sum()), float((weight * (1 - relevant)).sum())
    target = np.where(relevant > 0.5, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([z, np.ones_like(z)], axis=1).astype(np.float64)
    theta = np.array([1.0, np.log((positives + 1) / (negatives + 1))])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(design @ theta, -60, 60)))
        gradient = design.T @ (weight * (p - target))
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        theta -= step
        if np.abs(step).max() < 1e-9:
            break
    return Calibration(float(theta[0]), float(theta[1]))
