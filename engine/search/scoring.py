"""From the pooled scores of single terms to the score of a query.

With one term the score is the model's own: the mean of its top-k region scores. With several it is a soft "and": the
weighted sum of log c over the wanted terms and of log(1 − c) over the excluded ones, where c is a term's confidence.
Raw scores of different words cannot be added; confidences can be multiplied, and a photo that lacks one of two wanted
things is not saved by much of the other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.library.region_map import Array
from engine.search.calibration import Curves, log_sigmoid

CLOSE = 1e-5  # what single precision may round when scores of terms are combined


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
        log_c = log_sigmoid(np.where(self.weights > 0, logit, -logit))
        score = np.zeros(log_c.shape[:-1], np.float32)
        for term, share in enumerate(self._shares()):  # not by `@`, which rounds as many rows otherwise than few
            score += log_c[..., term] * share
        return score

    def may_reach(self, term_scores: Array, score: float) -> NDArray[np.bool_]:
        """Which rows (n,) of pooled scores (n, T) may have a score, as far as their terms tell one by one.

        With several terms or an excluded one, none adds to a score: so each alone has to reach it, which takes a
        comparison and no logarithm.
        """
        least = (score - CLOSE * (1 + np.abs(score))) / self._shares()  # of log c
        with np.errstate(divide="ignore"):
            logit = least - np.log(-np.expm1(np.minimum(least, 0)))
        logit -= CLOSE * (1 + np.abs(logit) + np.abs(self.curves.offset))
        may = np.ones(len(term_scores), np.bool_)
        for term, weight in enumerate(self.weights):
            at = (np.sign(weight) * logit[term] - self.curves.offset[term]) / self.curves.slope[term]
            may &= term_scores[:, term] >= at if weight > 0 else term_scores[:, term] <= at
        return may

    def confidence(self, term_scores: Array) -> Array:
        """Pooled scores of terms (…, T) → confidence (…): that of the term, or of all terms at once."""
        if self.plain:
            return self.curves.confidence(term_scores)[..., 0]
        return np.exp(self.combine(term_scores))

    def _shares(self) -> Array:
        """By how much the log c of each term counts (T,), 1 on average."""
        sizes = np.abs(self.weights)
        return np.asarray(sizes * len(sizes) / sizes.sum())

    def score_at(self, confidence: float) -> float:
        """The score from which on the confidence is at least this."""
        if confidence <= 0:
            return -np.inf
        sure = min(confidence, 1 - 2.0**-25)  # nearer to 1 than that is 1 in single precision
        if not self.plain:
            return float(np.log(sure))
        return float((np.log(sure / (1 - sure)) - self.curves.offset[0]) / self.curves.slope[0])
