"""Confidence is a probability that was fitted, not a guess."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.model.bundle import Reference
from engine.search.calibration import Calibration, features, fit, log_sigmoid

BACKGROUND = np.random.default_rng(0).normal(size=(256, 40)) * np.linspace(0.5, 3, 40) + np.linspace(-4, 4, 40)
REFERENCE = Reference.of(BACKGROUND.astype(np.float32))


def test_the_weights_that_made_the_outcomes_are_found_again():
    rng = np.random.default_rng(1)
    scores = (REFERENCE.mean + REFERENCE.deviation * rng.normal(0, 2, (5000, 40))).astype(np.float32)
    truth = Calibration((1.7, -2.5, 0.3, -0.2))
    outcomes = (rng.random(scores.shape) < truth.curves(REFERENCE).confidence(scores)).astype(float)
    found = fit(features(scores, REFERENCE).reshape(-1, 4), outcomes.ravel())
    expected = truth.curves(REFERENCE).confidence(scores)
    assert np.abs(found.curves(REFERENCE).confidence(scores) - expected).max() < 0.03


def test_a_curve_over_z_alone_can_be_fitted():
    rng = np.random.default_rng(2)
    scores = (REFERENCE.mean + REFERENCE.deviation * rng.normal(0, 2, (2000, 40))).astype(np.float32)
    outcomes = (rng.random(scores.shape) < Calibration((1.0, -1.0)).curves(REFERENCE).confidence(scores)).astype(float)
    found = fit(features(scores, REFERENCE)[..., :2].reshape(-1, 2), outcomes.ravel())
    np.testing.assert_allclose(found.weights, [1, -1], rtol=0.1)


def test_separable_outcomes_have_a_finite_curve():
    z = np.array([[-1.0, 1], [-2, 1], [3, 1], [4, 1]])
    found = fit(z, np.array([0.0, 0, 1, 1]))
    assert np.isfinite(found.weights).all()
    assert found.weights[0] > 0


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=4),
    st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=20, unique=True),
)
def test_confidence_lies_between_zero_and_one_and_never_falls_with_the_score(weights, scores):
    curves = Calibration(tuple(weights)).curves(REFERENCE)
    assert (curves.slope > 0).all()
    confidence = curves.confidence(np.sort(np.array(scores, np.float32))[:, None])
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert (np.diff(confidence, axis=0) >= -1e-6).all()  # single precision


def test_the_logarithm_of_a_hopeless_confidence_is_no_infinity():
    np.testing.assert_allclose(log_sigmoid(np.array([-1000.0, 0, 1000])), [-1000, -np.log(2), 0])
    assert log_sigmoid(np.array([np.inf]))[0] == 0
