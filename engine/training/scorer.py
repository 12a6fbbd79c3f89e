"""What is trained: a head, and the vectors of the labels that it is trained to score.

Letters in shapes: B images of a batch, V views with outlines, R = H·W regions, C seen tags, K classes of the teacher,
M names of outlined things, d numbers in a label vector.
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
from engine.training.losses import mirror_loss
from engine.training.pooling import pooled_scores
from engine.training.recipes import Recipe


class Scored(NamedTuple):
    """What a Scorer says of a batch, in single precision."""

    scores: Tensor  # (B, C + K)
    located: Tensor  # the loss of the views; 0 without any
    mirror: Tensor  # the loss of photos beside their mirror images; 0 without any


class Scorer(nn.Module):
    """A head and the vectors it is trained to score: features → scores for the seen tags and the teacher's classes.

    With `tuning` the tags' own vectors are trained too, that many times as fast as the head: each moves from where the
    words put it to where the photos want it, and stays a unit vector. In training a share `channel_dropout` of the
    channels of the regions is missing (Tompson et al. 2015, https://arxiv.org/abs/1411.4280).
    """

    vectors: Tensor
    names: Tensor

    def __init__(
        self,
        head: Head,
        vectors: Array,
        labels: int,
        names: Array | None = None,
        tuning: float = 0.0,
        channel_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.head = head
        self.tuning = tuning
        self.channel_dropout = channel_dropout
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

    def region_vectors(self, regions: Tensor, scene: Tensor, direction: Tensor | None) -> Tensor:
        """Regions (B, F, H, W), scene (B, S) and the prior's unit vectors (B, R, d) → (B, R, d + 1)."""
        if self.channel_dropout:
            regions = functional.dropout2d(regions, self.channel_dropout, self.training)
        vectors: Tensor = self.head(regions, scene, direction)
        return vectors

    def forward(
        self,
        regions: Tensor,
        scene: Tensor,
        direction: Tensor | None,
        shares: Tensor | None = None,
        mirrored: Tensor | None = None,
    ) -> Scored:
        """Features of B + V images, as in `region_vectors`, → Scored.

        The last V are views of which `shares` (V, R, M) says what is where; they are no photos with tags. `mirrored`
        (B, R, d + 1) are region vectors of the photos' mirror images.
        """
        vectors = self.region_vectors(regions, scene, direction)
        located = mirror = vectors.new_zeros(())
        if shares is not None:
            views = vectors[-len(shares) :]
            vectors = vectors[: -len(shares)]
            located = located_loss(views, shares, self.names)
        if mirrored is not None:
            mirror = mirror_loss(vectors, mirrored, regions.shape[-1])
        return Scored(pooled_scores(vectors, self.queries, self.head.biam.config.top_k), located, mirror)


def initialise_head(recipe: Recipe, class_vectors: Array | None) -> Head:
    """A fresh head, its weights drawn from the recipe's seed."""
    head = Head(recipe.biam, recipe.prior)
    initialise(head.biam, recipe.seed)
    if head.prior is not None and class_vectors is not None:
        head.prior.class_vectors.copy_(torch.from_numpy(class_vectors))
    return head
