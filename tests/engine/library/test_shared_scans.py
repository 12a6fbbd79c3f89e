"""Queries that come together share a scan, one that comes again needs none, and each gets its own scores."""

import threading

import numpy as np
import pytest

from engine.library import scan, shared_scans
from engine.library.planes import Planes
from engine.library.shared_scans import SharedScans

K = 3


@pytest.fixture
def planes():
    random = np.random.default_rng(0)
    return Planes.of(random.normal(0, 30, (40, 12, 8)).round().clip(-127, 127).astype(np.int8))


@pytest.fixture
def scanned(monkeypatch):
    """How many terms each scan has had, in order."""
    terms, near_scores = [], scan.near_scores

    def counting(planes, queries, top_k, **how):
        terms.append(len(queries))
        return near_scores(planes, queries, top_k, **how)

    monkeypatch.setattr(scan, "near_scores", counting)
    return terms


def queries(count, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


def assert_same(found, expected):
    """Up to what single precision rounds: many terms are scored in another order than few."""
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


@pytest.mark.parametrize("terms", [1, 2, scan.TERMS_AT_ONCE, 2 * scan.TERMS_AT_ONCE + 1])
def test_scores_are_those_of_a_scan_also_the_second_time(planes, terms):
    expected = scan.near_scores(planes, queries(terms), K)
    scans = SharedScans(planes)
    for _ in range(2):
        assert_same(scans.near_scores(queries(terms), K), expected)


def test_sketches_are_scanned_once_for_each_term_too(planes, monkeypatch):
    scans, expected = SharedScans(planes), scan.sketch_scores(planes, queries(3), K)
    np.testing.assert_array_equal(scans.sketch_scores(queries(3), K), expected)
    assert_same(scans.near_scores(queries(3), K), scan.near_scores(planes, queries(3), K))
    monkeypatch.setattr(scan, "sketch_scores", None)
    np.testing.assert_array_equal(scans.sketch_scores(queries(3), K), expected)


def test_a_term_that_was_scanned_is_not_scanned_again_until_it_is_forgotten(planes, scanned):
    scans = SharedScans(planes)
    scans.near_scores(queries(2), K)
    scans.near_scores(queries(3), K)  # the first two are those above
    assert scanned == [2, 1]
    scans.near_scores(queries(3), K + 1)
    scans.forget()
    scans.near_scores(queries(3), K)
    assert scanned == [2, 1, 3, 3]


def test_only_so_much_is_kept_and_what_was_asked_for_last(planes, scanned, monkeypatch):
    monkeypatch.setattr(shared_scans, "KEPT", 4 * 8 * len(planes))
    scans = SharedScans(planes)
    expected = scan.near_scores(planes, queries(20), K)
    assert_same(scans.near_scores(queries(20), K), expected)
    del scanned[:]
    scans.near_scores(queries(20)[16:], K)
    assert scanned == []
    scans.near_scores(queries(20)[:1], K)
    assert scanned == [1]


def test_all_who_come_while_a_scan_goes_on_share_the_next_one(planes, scanned, monkeypatch):
    begun, go_on, counting = threading.Event(), threading.Event(), scan.near_scores

    def held(*arguments, **how):
        begun.set()
        go_on.wait()
        return counting(*arguments, **how)

    expected = [scan.near_scores(planes, queries(2, seed), K) for seed in range(6)]
    del scanned[:]
    monkeypatch.setattr(scan, "near_scores", held)
    scans, found = SharedScans(planes), {}

    def ask(seed):
        found[seed] = scans.near_scores(queries(2, seed), K)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    threads[0].start()
    begun.wait()
    for thread in threads[1:]:
        thread.start()
    while len(scans._terms) < 12:
        pass
    go_on.set()
    for thread in threads:
        thread.join()
    assert scanned == [2, 10]
    for seed in range(6):
        assert_same(found[seed], expected[seed])


def test_a_scan_that_fails_fails_for_who_asked_and_the_next_one_tries_again(planes, monkeypatch):
    scans, near_scores = SharedScans(planes), scan.near_scores

    def failing(*_, **__):
        raise MemoryError

    monkeypatch.setattr(scan, "near_scores", failing)
    with pytest.raises(MemoryError):
        scans.near_scores(queries(1), K)
    monkeypatch.setattr(scan, "near_scores", near_scores)
    assert_same(scans.near_scores(queries(1), K), near_scores(planes, queries(1), K))
