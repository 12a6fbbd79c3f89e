"""The metrics equal the paper's own outputs, and the plainest loops that define them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import average_precision_score

from engine.training import metrics
from engine.training.metrics import (
    average_precision,
    mean_average_precision,
    pooled_average_precision,
    precision_at_k,
    precision_recall_f1_at_k,
    weighted_mean_average_precision,
)

GOLDEN = Path(__file__).parents[2] / "golden"
SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)


def golden(name):
    return np.load(GOLDEN / f"metrics_{name}.npz")


def ranked(scores, labels):
    """Labels, best score first, equal scores in their own order."""
    return [label for _, _, label in sorted((-s, i, y) for i, (s, y) in enumerate(zip(scores, labels, strict=True)))]


def plain_ap(scores, labels):
    annotated = [label for label in ranked(scores, labels) if label]
    precisions = [annotated[: i + 1].count(1) / (i + 1) for i, label in enumerate(annotated) if label == 1]
    return sum(precisions) / len(precisions) if precisions else 0.0


@st.composite
def cases(draw):
    """Scores with many ties, both zeros included, and labels of all three kinds."""
    shape = draw(SHAPES)
    scores = draw(arrays.arrays(np.float32, shape, elements=st.sampled_from([-np.inf, -2, -0.5, -0.0, 0.0, 1e-30, 3])))
    return scores, draw(arrays.arrays(np.int8, shape, elements=st.integers(-1, 1)))


@pytest.mark.parametrize(("name", "ap"), [("nus", average_precision), ("openimages", pooled_average_precision)])
def test_average_precision_equals_the_official_code(name, ap):
    z = golden(name)
    values = ap(z["scores"], z["labels"])
    np.testing.assert_allclose(values, z["ap"], rtol=1e-5, atol=1e-7)
    weighted = weighted_mean_average_precision(values, (z["labels"] > 0).sum(axis=0))
    assert weighted == pytest.approx(float(z["weighted_map"]), rel=1e-5)
    assert mean_average_precision(values) == pytest.approx(float(z["ap"].mean()), rel=1e-5)


@pytest.mark.parametrize(("name", "k"), [("nus", 3), ("nus", 5), ("openimages", 10), ("openimages", 20)])
def test_precision_recall_and_f1_equal_the_official_code(name, k):
    z = golden(name)
    result = precision_recall_f1_at_k(z["scores"], z["labels"], k)
    assert result == pytest.approx([float(z[f"{key}_{k}"]) for key in ("p", "r", "f1")], rel=1e-5)


@pytest.mark.parametrize("name", ["nus", "openimages"])
def test_average_precision_equals_scikit_learn_over_the_annotated_images(name):
    z = golden(name)
    values = average_precision(z["scores"], z["labels"])
    for s, y, value in zip(z["scores"].T, z["labels"].T, values, strict=True):
        if (y > 0).any():
            assert value == pytest.approx(average_precision_score(y[y != 0] > 0, s[y != 0]))


@given(cases())
@settings(deadline=None)
def test_average_precision_equals_a_loop_whatever_the_ties(case):
    scores, labels = case
    expected = [plain_ap(s, y) for s, y in zip(scores.T, labels.T, strict=True)]
    np.testing.assert_allclose(average_precision(scores, labels), expected)


@given(cases())
@settings(deadline=None)
def test_pooled_average_precision_equals_a_loop_over_the_images_annotated_for_each_tag(case):
    scores, labels = case
    images = [labels[:, c] != 0 for c in range(labels.shape[1])]
    expected = [plain_ap(scores[rows].ravel(), labels[rows].ravel()) for rows in images]
    np.testing.assert_allclose(pooled_average_precision(scores, labels), expected)


@given(cases(), st.integers(1, 14))
@settings(deadline=None)
def test_f1_at_k_equals_a_loop_whatever_the_ties(case, k):
    scores, labels = case
    hits = sum(ranked(s, y)[:k].count(1) for s, y in zip(scores, labels, strict=True))
    p, r = hits / (len(labels) * min(k, labels.shape[1])), hits / max(1, (labels > 0).sum())
    expected = (p, r, 2 * p * r / (p + r) if hits else 0)
    assert precision_recall_f1_at_k(scores, labels, k) == pytest.approx(expected)


@given(cases(), st.integers(1, 14))
@settings(deadline=None)
def test_precision_at_k_equals_a_loop_over_the_annotated_images(case, k):
    scores, labels = case
    tops = [[y for y in ranked(s, column) if y][:k] for s, column in zip(scores.T, labels.T, strict=True)]
    np.testing.assert_allclose(precision_at_k(scores, labels, k), [top.count(1) / min(k, len(labels)) for top in tops])


@given(cases(), st.integers(1, 40), st.integers(1, 12))
@settings(deadline=None)
def test_working_in_slices_gives_what_working_on_the_whole_gives(case, chunk, block):
    whole = [average_precision(*case), precision_at_k(*case, 3), precision_recall_f1_at_k(*case, 3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "CHUNK", chunk)
        patch.setattr(metrics, "BLOCK", block)
        sliced = [average_precision(*case), precision_at_k(*case, 3), precision_recall_f1_at_k(*case, 3)]
    for one, other in zip(whole, sliced, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_tag_without_positives_counts_as_zero_and_stays_in_the_mean():
    ap = average_precision(np.array([[2.0, 1], [1, 2]]), np.array([[1, -1], [-1, 0]]))
    np.testing.assert_array_equal(ap, [1, 0])
    assert mean_average_precision(ap) == 0.5
    assert weighted_mean_average_precision(ap, np.array([1, 0])) == 1


def test_an_unannotated_prediction_is_a_false_positive_for_f1_and_skipped_for_ap():
    scores, labels = np.array([[3.0, 2.0, 1.0]]), np.array([[0, 1, -1]])
    assert precision_recall_f1_at_k(scores, labels, 2) == pytest.approx((1 / 2, 1, 2 / 3))
    assert average_precision(scores.T, labels.T) == [1]


def test_nothing_to_measure_gives_zero_and_not_a_division_by_zero():
    scores, labels = np.zeros((0, 3)), np.zeros((0, 3), int)
    for values in (average_precision(scores, labels), precision_at_k(scores, labels, 2)):
        np.testing.assert_array_equal(values, [0, 0, 0])
    assert precision_recall_f1_at_k(scores, labels, 2) == (0, 0, 0)
    assert mean_average_precision(np.zeros(0)) == 0
    assert weighted_mean_average_precision(np.zeros(2), np.zeros(2)) == 0


def test_scores_of_a_diverged_model_are_refused_and_not_ranked():
    for metric in (average_precision, pooled_average_precision):
        with pytest.raises(ValueError, match="NaN"):
            metric(np.array([[np.nan], [1.0]]), np.array([[1], [-1]]))


def test_shapes_and_k_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"must both be \[N, C\]"):
        average_precision(np.zeros((2, 3)), np.zeros((3, 2), int))
    with pytest.raises(ValueError, match="K must be at least 1"):
        precision_at_k(np.zeros((2, 3)), np.zeros((2, 3), int), 0)


def test_the_arguments_are_left_as_they_were():
    z = golden("nus")
    scores, labels = z["scores"].copy(), z["labels"].copy()
    average_precision(scores, labels)
    precision_recall_f1_at_k(scores, labels, 3)
    np.testing.assert_array_equal(scores, z["scores"])
    np.testing.assert_array_equal(labels, z["labels"])
