"""Training losses: pairwise ranking of tags and of photos, distillation of the backbone's own classifier, and agreement
with a mirror image.

References:
    Narayan et al., "Discriminative Region-based Multi-Label Zero-Shot Learning", ICCV 2021, arXiv 2108.09301 (ranking).
    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531 (distillation).
    Tarvainen, Valpola, "Mean teachers are better role models", NIPS 2017, arXiv 1703.01780 (mirror).

Dimensions: B images, C tags, P most positive tags of any image in the batch, K classes of the teacher, H×W regions,
D numbers in a region vector.
"""

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

EPSILON = 1e-8


def ranking_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Hinge over every (positive, negative) pair of an image, divided by the number of pairs that violate the margin.

    For one image: Σ max(0, 1 + s_n − s_p) / (number of pairs with 1 + s_n − s_p > 0, plus 1e-8), then the mean over
    the batch. Tags labelled 0 (not annotated) are in no pair, so dropping those absent from the whole batch, as the
    paper's code does, changes nothing.

    The pairs are never built. With the violating pairs known, the sum is linear in the scores: a negative counts once
    for each positive it violates and a positive once for each negative, so two numbers a tag hold value and gradient.
    Both come from ranking the negatives among the sorted positives: O(B·C·log C) time, O(B·C) memory.

    Args:
        scores: image scores [B, C], any floating type; computed in float64 (float32 where the device has no other).
        labels: −1, 0 or +1 [B, C].

    Returns:
        The loss, a scalar of the type of `scores`, but at least float32.

    Raises:
        ValueError: the shapes differ or are not [B, C].
    """
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise ValueError(f"Scores and labels must both be [B, C], got {tuple(scores.shape)} and {tuple(labels.shape)}")
    precise = scores.to(torch.float32 if scores.device.type == "mps" else torch.float64)
    violations = _violations(precise.detach(), labels)  # [B, C]
    pairs = violations.clamp(min=0).sum(dim=1)  # [B]
    hinge = pairs + (violations * precise).sum(dim=1)  # [B]
    loss = (hinge / (pairs + EPSILON)).mean()
    return loss.to(torch.promote_types(scores.dtype, torch.float32))


def ranking_across_photos(scores: Tensor, labels: Tensor) -> Tensor:
    """As `ranking_loss`, but photos are ranked for each tag, which is what a search does.

    Takes and returns what `ranking_loss` does; the mean is over the tags that the batch has in one image and lacks in
    another, 0 without any.
    """
    told_apart = (labels > 0).any(dim=0) & (labels < 0).any(dim=0)
    if not told_apart.any():
        return scores.to(torch.promote_types(scores.dtype, torch.float32)).sum() * 0.0
    return ranking_loss(scores[:, told_apart].T, labels[:, told_apart].T)


def mirror_loss(vectors: Tensor, mirrored: Tensor, width: int) -> Tensor:
    """How far region vectors are from those of the mirror image, once these are turned back.

    Args:
        vectors: [B, H·W, D], any floating type; computed in at least float32.
        mirrored: the same of the mirror images; no gradient flows into it.
        width: W, regions in a row.

    Returns:
        The mean squared difference, by the mean square of `mirrored`: a scalar, at least float32.
    """
    precise = torch.promote_types(vectors.dtype, torch.float32)
    B, R, D = mirrored.shape
    target = mirrored.detach().reshape(B, R // width, width, D).flip(2).reshape(B, R, D).to(precise)
    return torch.square(vectors.to(precise) - target).mean() / torch.square(target).mean()


def _violations(scores: Tensor, labels: Tensor) -> Tensor:
    """How many violating pairs each tag is in [B, C]: counted up for a negative, down for a positive."""
    positive, negative = labels > 0, labels < 0
    P = int(positive.sum(dim=1).amax())
    ordered, tags = scores.masked_fill(~positive, torch.inf).topk(P, dim=1, largest=False)  # [B, P] ascending
    above = torch.searchsorted(ordered, (1 + scores).contiguous()) * negative  # positives a negative violates [B, C]

    # The i-th smallest positive is violated by the negatives that violate more than i positives.
    histogram = above.new_zeros(len(scores), P + 1).scatter_add_(1, above, negative.long())
    below = histogram.flip(1).cumsum(dim=1).flip(1)[:, 1:]  # [B, P]; 0 where an image has fewer than P positives
    return above.to(scores).scatter_add_(1, tags, -below.to(scores))


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(teacher ‖ softmax(student / temperature)), mean over the batch, in nats.

    Args:
        student: class scores [B, K], any floating type; computed in at least float32.
        teacher: probabilities over the same K classes [B, K], rows summing to 1: the backbone's softmax pooled over
            regions. No gradient flows into it.
        temperature: divides the student's scores; above 1 softens them.

    Returns:
        The loss, a scalar, at least float32.

    Raises:
        ValueError: the shapes differ or are not [B, K], or the temperature is not positive.
    """
    if student.ndim != 2 or student.shape != teacher.shape:
        raise ValueError(f"Both must be [B, K], got student {tuple(student.shape)} and teacher {tuple(teacher.shape)}")
    if not temperature > 0:
        raise ValueError(f"Temperature must be positive, got {temperature}")
    precise = student.to(torch.promote_types(student.dtype, torch.float32))
    return kl_div(log_softmax(precise / temperature, dim=1), teacher.detach().to(precise), reduction="batchmean")
