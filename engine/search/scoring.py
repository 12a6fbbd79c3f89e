"""From the pooled scores of single terms to the score of a query.

With one term the score is the model's own: the mean of its top-k region scores. With several it is a soft "and": the
weighted sum of log c over the wanted terms and of log(1 − c) over the excluded ones, where c is a term's confidence.
Raw scores of different words cannot be added; confidences can be multiplied, and a photo that lacks one of two wanted
things is not saved by much of the other.
"""

from dataclasses import dataclass

import numpy as np

from engine.library.region_map import Array
from engine.search.calibration import Curves, log_sigmoid


@dataclass(frozen=True)
class ScoredQuery:
    """The terms of a query: `queries` (T, D) with the steps folded in, `weights` (T,), and their curves.

    The score rises with the pooled score of each wanted term and falls with that of each excluded one.
    """

    queries: Array
    weights: Array
    curves: Curves

    @property
    def plain(self) -> bool:
        """Whether the score is that of a single term."""
        return len(self.weights) == 1 and self.weights[0] > 0

    def combine(self, term_scores: Array) -> Array:
        """Pooled scores of terms (…, T) → score of the query (…)."""
        if self.plain:
            return term_scores[..., 0]
        logit = self.curves.logit(term_scores)
        weights = self.weights * len(self.weights) / np.abs(self.weights).sum()
        log_c = log_sigmoid(np.where(weights > 0, logit, -logit))
        score: Array = (log_c @ np.abs(weights)).astype(np.float32)
        return score

    def confidence(self, term_scores: Array) -> Array:
        """Pooled scores of terms (…, T) → confidence (…): that of the term, or of all terms at once."""
        if self.plain:
            return self.curves.confidence(term_scores)[..., 0]
        return np.exp(self.combine(term_scores))

    def score_at(self, confidence: float) -> float:
        """The score from which on the confidence is at least this."""
        if confidence <= 0:
            return -np.inf
        sure = min(confidence, 1 - 2.0**-25)  # nearer to 1 than that is 1 in single precision
        if not self.plain:
            return float(np.log(sure))
        return float((np.log(sure / (1 - sure)) - self.curves.offset[0]) / self.curves.slope[0])
