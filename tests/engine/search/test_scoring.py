"""Several terms are a soft "and" whose bound holds for whatever a photo shows."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.search.calibration import Curves
from engine.search.scoring import ScoredQuery

finite = st.floats(-8, 8, width=32)


@st.composite
def queries(draw, least=1):
    """Queries of up to five terms; the first one is wanted."""
    terms = draw(st.integers(least, 5))
    weights = draw(arrays.arrays(np.float32, terms, elements=st.floats(0.125, 16, width=32)))
    excluded = draw(arrays.arrays(bool, terms))
    excluded[0] = False
    slope = draw(arrays.arrays(np.float32, terms, elements=st.floats(0.125, 8, width=32)))
    offset = draw(arrays.arrays(np.float32, terms, elements=finite))
    return ScoredQuery(np.zeros((terms, 1), np.float32), np.where(excluded, -weights, weights), Curves(slope, offset))


def regions(terms):
    return arrays.arrays(np.float32, (6, terms), elements=finite)


@given(queries(), st.data(), st.floats(0.001, 0.999))
def test_a_photo_is_as_sure_as_asked_for_just_from_a_score_on(query, data, confidence):
    scores = data.draw(regions(len(query.weights)))
    sure, score = query.confidence(scores), query.combine(scores)
    clear = np.abs(sure - confidence) > 1e-4  # not at the very edge
    assert ((sure >= confidence) == (score >= query.score_at(confidence)))[clear].all()


@pytest.mark.parametrize("terms", [2, 3, 5, 8, 16])
def test_a_photo_scores_the_same_to_the_last_bit_whoever_is_beside_it(terms):
    rng = np.random.default_rng(terms)
    weights, slope, offset, *scores = rng.normal(size=(303, terms)).astype(np.float32)
    query = ScoredQuery(np.zeros((terms, 1), np.float32), weights, Curves(np.abs(slope) + 1, offset))
    together = query.combine(np.array(scores))
    assert together.tolist() == [float(query.combine(one[None])[0]) for one in scores]
    assert together[7:90].tolist() == query.combine(np.array(scores[7:90])).tolist()


@given(queries(least=2), st.data(), st.floats(0.001, 0.999))
def test_whoever_reaches_a_score_may_reach_it_and_who_cannot_by_one_term_may_not(query, data, confidence):
    scores, cut = data.draw(regions(len(query.weights))), query.score_at(confidence)
    may = query.may_reach(scores, cut)
    assert may[query.combine(scores) >= cut].all()
    certain = np.where(query.weights > 0, 1e6, -1e6).astype(np.float32)
    for term in range(len(query.weights)):
        alone = np.tile(certain, (len(scores), 1))
        alone[:, term] = scores[:, term]
        assert not may[query.combine(alone) < cut - 1e-2 * (1 - cut)].any()
    assert query.may_reach(scores, -np.inf).all()


@given(queries())
def test_no_cut_off_lets_everything_through_and_the_highest_only_what_is_certain(query):
    assert query.score_at(0) == -np.inf
    assert np.isfinite(query.score_at(1))


@given(queries(), st.data(), st.floats(0.5, 8))
def test_the_score_rises_with_what_is_wanted_and_falls_with_what_is_excluded(query, data, more):
    terms = len(query.weights)
    scores = data.draw(regions(terms))[0]
    term = data.draw(st.integers(0, terms - 1))
    higher = scores.copy()
    higher[term] += more
    rise = query.combine(higher) - query.combine(scores)
    surer = query.confidence(higher) - query.confidence(scores)
    assert rise >= 0 if query.weights[term] > 0 else rise <= 0
    assert surer >= -1e-7 if query.weights[term] > 0 else surer <= 1e-7


@given(queries(), st.data())
def test_confidence_lies_between_0_and_1_and_orders_photos_as_the_score_does(query, data):
    scores = data.draw(regions(len(query.weights)))
    score, confidence = query.combine(scores), query.confidence(scores)
    assert np.isfinite(score).all()
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert (np.diff(confidence[np.argsort(score, kind="stable")]) >= -1e-7).all()


@given(queries(least=2), st.data())
def test_the_confidence_of_plain_words_is_the_product_of_theirs(query, data):
    assume((query.weights > 0).all())
    plain = ScoredQuery(query.queries, np.ones_like(query.weights), query.curves)
    scores = data.draw(regions(len(query.weights)))
    np.testing.assert_allclose(
        plain.confidence(scores), query.curves.confidence(scores).prod(axis=1), rtol=1e-3, atol=1e-38
    )


@pytest.mark.parametrize("weight", [0.5, 1, 7])
def test_the_weight_of_a_single_word_changes_nothing(weight):
    one = ScoredQuery(np.zeros((1, 1)), np.array([weight]), Curves(np.array([2.0]), np.array([-1.0])))
    np.testing.assert_array_equal(one.combine(np.array([[0.3], [0.9]])), [0.3, 0.9])
    assert one.confidence(np.array([[0.5]]))[0] == pytest.approx(0.5)


def test_much_of_one_thing_does_not_make_up_for_none_of_another():
    both = ScoredQuery(np.zeros((2, 1)), np.array([1.0, 1]), Curves(np.array([1.0, 1]), np.array([0.0, 0])))
    some_of_each, all_of_one = both.combine(np.array([[1.0, 1], [50, -2]]))
    assert some_of_each > all_of_one
