"""What is trained: a head, and the vectors of the labels that it is trained to score.

Letters in shapes: B images of a batch, V views with outlines, R regions, C seen tags, K classes of the teacher, M names
of outlined things, d numbers in a label vector.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.library.region_map import Array
from engine.model.biam import initialise
from engine.model.network import Head
from engine.training.located import located_loss
from engine.training.pooling import pooled_scores
from engine.training.recipes import Recipe


class Scored(NamedTuple):
    """What a Scorer says of a batch, in single precision."""

    scores: Tensor  # (B, C + K)
    located: Tensor  # the loss of the views; 0 without any


class Scorer(nn.Module):
    """A head and the vectors it is trained to score: features → scores for the seen tags and the teacher's classes.

    With `tuning` the tags' own vectors are trained too, that many times as fast as the head: each moves from where the
    words put it to where the photos want it, and stays a unit vector.
    """

    vectors: Tensor
    names: Tensor

    def __init__(
        self, head: Head, vectors: Array, labels: int, names: Array | None = None, tuning: float = 0.0
    ) -> None:
        super().__init__()
        self.head = head
        self.tuning = tuning
        self.register_buffer("vectors", torch.from_numpy(vectors.astype(np.float32)), persistent=False)  # (C + K, d)
        found = torch.zeros(0, vectors.shape[1]) if names is None else torch.from_numpy(names.astype(np.float32))
        self.register_buffer("names", functional.pad(found, (0, 1), value=1.0), persistent=False)  # (M, d + 1)
        self.offsets = nn.Parameter(torch.zeros(labels, vectors.shape[1])) if tuning else None

    def label_vectors(self) -> Tensor:
        """The vectors (C + K, d), those of tags as they have been tuned."""
        if self.offsets is None:
            return self.vectors
        labels = len(self.offsets)
        tuned = functional.normalize(self.vectors[:labels] + self.tuning * self.offsets, dim=-1)
        known = self.vectors[:labels].any(dim=-1, keepdim=True)  # a tag without a vector stays without
        return torch.cat([tuned * known, self.vectors[labels:]])

    @property
    def queries(self) -> Tensor:
        """The vectors with the bias after them (C + K, d + 1)."""
        return functional.pad(self.label_vectors(), (0, 1), value=1.0)

    def forward(self, regions: Tensor, scene: Tensor, direction: Tensor | None, shares: Tensor | None = None) -> Scored:
        """Regions (B + V, F, H, W), scene (B + V, S) and the prior's unit vectors (B + V, R, d) → Scored.

        The last V are views of which `shares` (V, R, M) says what is where; they are no photos with tags.
        """
        vectors = self.head.biam.region_vectors(regions, scene)
        if self.head.prior is not None and direction is not None:
            vectors = vectors + self.head.prior.scaled(direction).to(vectors.dtype)
        located = vectors.new_zeros(())
        if shares is not None:
            views = vectors[-len(shares) :]
            vectors = vectors[: -len(shares)]
            located = located_loss(views, shares, self.names)
        return Scored(pooled_scores(vectors, self.queries, self.head.biam.config.top_k), located)


def initialise_head(recipe: Recipe, class_vectors: Array | None) -> Head:
    """A fresh head, its weights drawn from the recipe's seed."""
    head = Head(recipe.biam, recipe.prior)
    initialise(head.biam, recipe.seed)
    if head.prior is not None and class_vectors is not None:
        head.prior.class_vectors.copy_(torch.from_numpy(class_vectors))
    return head
