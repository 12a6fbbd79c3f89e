"""From the pooled scores of single terms to the score of a query.

score = Σ w·s / Σ |w| over the terms, where s is the model's own score of a term (the mean of its top-k region scores)
and w its weight, negative for an excluded term. With one term the score is the model's own.
"""

from dataclasses import dataclass

import numpy as np

from engine.library.region_map import Array


@dataclass(frozen=True)
class ScoredQuery:
    """The vectors of a query's terms: `queries` (T, D) with the steps folded in, `weights` (T,)."""

    queries: Array
    weights: Array

    def combine(self, term_scores: Array) -> Array:
        """Scores of terms (…, T) → score of the query (…)."""
        return term_scores @ (self.weights / np.abs(self.weights).sum())  # type: ignore[no-any-return]

    @property
    def monotone(self) -> bool:
        """Whether a photo's score can only rise with each term's score, so that bounds on terms bound the query."""
        return bool((self.weights > 0).all())
