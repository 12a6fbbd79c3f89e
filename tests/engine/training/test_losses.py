"""The losses equal the paper's own outputs, and a loop over pairs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from engine.training.losses import distillation_loss, mirror_loss, ranking_across_photos, ranking_loss

GOLDEN = Path(__file__).parents[2] / "golden"
SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)


def pairwise(scores: Tensor, labels: Tensor) -> Tensor:
    """The definition, one image at a time."""
    losses = []
    for s, y in zip(scores, labels, strict=True):
        hinge = (1 + s[y < 0][None, :] - s[y > 0][:, None]).relu()  # whose gradient at 0 is 0 in every version
        losses.append(hinge.sum() / ((hinge > 0).sum() + 1e-8))
    return torch.stack(losses).mean()


def value_and_gradient(loss, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    leaf = scores.clone().requires_grad_()
    value = loss(leaf, labels)
    value.backward()
    return value.detach(), leaf.grad


@pytest.mark.parametrize("name", ["nus", "openimages"])
def test_the_ranking_loss_equals_the_official_one_in_value_and_gradient(name):
    golden = np.load(GOLDEN / f"ranking_loss_{name}.npz")
    loss, gradient = value_and_gradient(ranking_loss, *(torch.tensor(golden[key]) for key in ("scores", "labels")))
    np.testing.assert_allclose(loss, golden["loss"], rtol=1e-5)
    np.testing.assert_allclose(gradient, golden["grad"], rtol=1e-5, atol=1e-7)


# Halves make ties and pairs exactly on the margin common; both are exact in floating point.
@given(st.data())
@settings(max_examples=200, deadline=None)
def test_the_ranking_loss_equals_a_loop_over_pairs_whatever_the_ties_and_labels(data):
    shape = data.draw(SHAPES)
    scores = torch.tensor(data.draw(arrays.arrays(np.int64, shape, elements=st.integers(-6, 6)))) / 2
    labels = torch.tensor(data.draw(arrays.arrays(np.int64, shape, elements=st.integers(-1, 1))))
    loss, gradient = value_and_gradient(ranking_loss, scores, labels)
    expected, expected_gradient = value_and_gradient(pairwise, scores, labels)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("label", [-1, 0, 1])
def test_images_without_a_pair_cost_nothing_and_move_nothing(label):
    loss, gradient = value_and_gradient(ranking_loss, torch.randn(3, 5), torch.full((3, 5), label))
    assert loss == 0
    assert not gradient.any()


def test_tags_nobody_annotated_change_nothing():
    scores, labels = torch.randn(4, 6), torch.tensor([[1, -1, 0, -1, 1, 0]] * 4)
    annotated = labels[0] != 0
    torch.testing.assert_close(ranking_loss(scores, labels), ranking_loss(scores[:, annotated], labels[:, annotated]))


def test_a_common_offset_of_a_million_keeps_the_gradient():
    scores, labels = torch.randint(-3, 4, (4, 50)).float(), torch.randint(-1, 2, (4, 50))
    loss, gradient = value_and_gradient(ranking_loss, scores, labels)
    far, far_gradient = value_and_gradient(ranking_loss, scores + 1e6, labels)
    torch.testing.assert_close(far, loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(far_gradient, gradient)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_photos_are_ranked_for_each_tag_that_one_has_and_another_lacks(data):
    shape = data.draw(SHAPES)
    scores = torch.tensor(data.draw(arrays.arrays(np.int64, shape, elements=st.integers(-6, 6)))) / 2
    labels = torch.tensor(data.draw(arrays.arrays(np.int64, shape, elements=st.integers(-1, 1))))
    loss, gradient = value_and_gradient(ranking_across_photos, scores, labels)
    tags = [i for i, tag in enumerate(labels.T.tolist()) if {-1, 1} <= set(tag)]
    if not tags:
        assert loss == 0
        assert not gradient.any()
        return
    expected, expected_gradient = value_and_gradient(lambda s, y: pairwise(s.T[tags], y.T[tags]), scores, labels)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("loss", [ranking_loss, ranking_across_photos, distillation_loss])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_scores_are_computed_in_float32_and_get_gradients_of_their_own_type(loss, dtype):
    scores = torch.randn(3, 8).to(dtype)
    value, gradient = value_and_gradient(loss, scores, torch.eye(8)[:3])
    torch.testing.assert_close(value, loss(scores.float(), torch.eye(8)[:3]))
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype


@pytest.mark.parametrize(("scores", "labels"), [((2, 3), (2, 4)), ((3,), (3,))])
def test_the_losses_refuse_shapes_that_do_not_fit(scores, labels):
    with pytest.raises(ValueError, match=r"must both be|Both must be"):
        ranking_loss(torch.zeros(scores), torch.zeros(labels))
    with pytest.raises(ValueError, match="Both must be"):
        distillation_loss(torch.zeros(scores), torch.zeros(labels))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_ranking_loss_on_a_gpu_equals_the_one_on_the_cpu():
    scores, labels = torch.randn(8, 300), torch.randint(-1, 2, (8, 300))
    on_cpu = value_and_gradient(ranking_loss, scores, labels)
    on_gpu = value_and_gradient(ranking_loss, scores.cuda(), labels.cuda())
    torch.testing.assert_close(tuple(x.cpu() for x in on_gpu), on_cpu)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_distillation_is_the_divergence_of_the_students_softmax_from_the_teacher(temperature):
    student, teacher = torch.randn(6, 7, dtype=torch.float64), torch.randn(6, 7, dtype=torch.float64).softmax(dim=1)
    q = (student / temperature).softmax(dim=1)
    expected = (teacher * (teacher.log() - q.log())).sum(dim=1).mean()
    torch.testing.assert_close(distillation_loss(student, teacher, temperature), expected)


def test_distillation_is_zero_for_a_student_that_agrees_and_finite_for_a_certain_teacher():
    student = torch.randn(4, 5)
    assert distillation_loss(student, student.softmax(dim=1)).item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(distillation_loss(student, torch.eye(5)[:4]), -student.log_softmax(1).diag().mean())


def test_distillation_does_not_train_the_teacher():
    teacher = torch.randn(2, 3).softmax(dim=1).requires_grad_()
    distillation_loss(torch.randn(2, 3, requires_grad=True), teacher).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("temperature", [0, -1, float("nan")])
def test_distillation_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match="Temperature must be positive"):
        distillation_loss(torch.zeros(1, 2), torch.ones(1, 2) / 2, temperature)


def test_a_map_and_its_mirror_image_agree_and_any_other_differs_by_its_share():
    vectors = torch.randn(2, 12, 5)
    mirrored = vectors.reshape(2, 3, 4, 5).flip(2).reshape(2, 12, 5)  # three rows of four
    assert mirror_loss(vectors, mirrored, 4) == 0
    assert mirror_loss(vectors, vectors, 4) > 0.1
    torch.testing.assert_close(mirror_loss(1.1 * vectors, mirrored, 4), torch.tensor(0.01))
    assert mirror_loss(vectors.bfloat16(), mirrored.bfloat16(), 4).dtype == torch.float32


def test_the_mirror_image_is_not_trained():
    mirrored = torch.randn(1, 4, 3, requires_grad=True)
    mirror_loss(torch.randn(1, 4, 3, requires_grad=True), mirrored, 2).backward()
    assert mirrored.grad is None
