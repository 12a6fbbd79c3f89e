"""Confidence is a probability that was fitted, not a guess."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.search.calibration import Calibration, fit


def test_the_curve_that_made_the_outcomes_is_found_again():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, 200_000)
    truth = Calibration(1.7, -2.5)
    outcomes = (rng.random(z.size) < truth.confidence(z)).astype(float)
    found = fit(z, outcomes)
    np.testing.assert_allclose([found.slope, found.offset], [1.7, -2.5], rtol=0.03)


def test_separable_outcomes_have_a_finite_curve():
    found = fit(np.array([-1.0, -2, 3, 4]), np.array([0.0, 0, 1, 1]))
    assert np.isfinite([found.slope, found.offset]).all()
    assert found.confidence(np.array([4.0]))[0] > 0.5 > found.confidence(np.array([-2.0]))[0]


@given(st.floats(0.01, 10), st.floats(-10, 10), st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_confidence_lies_between_zero_and_one_and_keeps_the_order(slope, offset, z):
    confidence = Calibration(slope, offset).confidence(np.sort(np.array(z)))
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert (np.diff(confidence) >= 0).all()
