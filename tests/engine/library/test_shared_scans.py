"""Queries that come together share a scan, one that comes again needs none, and each gets its own scores."""

import threading
import tracemalloc

import numpy as np
import pytest

from engine.library import scan, shared_scans
from engine.library.basis import Basis
from engine.library.shared_scans import SharedScans
from engine.library.sketch import Form, Sketches

K = 3
COUNT = 40


@pytest.fixture
def sketches():
    return made(Form.of_sketch(12, 8))


@pytest.fixture
def scans(sketches):
    return SharedScans(sketches, made(Form.of_draft(12, 8)), COUNT)


def made(form):
    codes = np.random.default_rng(0).normal(0, 30, (COUNT, 12, 8)).round().clip(-127, 127).astype(np.int8)
    return Sketches.of(form, Basis.fit(codes), codes)


@pytest.fixture
def scanned(monkeypatch):
    """How many terms each scan has had, in order."""
    terms, sketch_scores = [], scan.sketch_scores

    def counting(sketches, queries, top_k, count, **how):
        terms.append(len(queries))
        return sketch_scores(sketches, queries, top_k, count, **how)

    monkeypatch.setattr(scan, "sketch_scores", counting)
    return terms


def queries(count, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


def assert_same(found, expected):
    """Up to what single precision rounds: many terms are scored in another order than few."""
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


@pytest.mark.parametrize("terms", [1, 2, scan.TERMS_AT_ONCE, 2 * scan.TERMS_AT_ONCE + 1])
def test_scores_are_those_of_a_scan_also_the_second_time(scans, sketches, terms):
    expected = scan.sketch_scores(sketches, queries(terms), K, COUNT)
    for _ in range(2):
        assert_same(scans.sketch_scores(queries(terms), K), expected)


def test_drafts_are_scanned_once_for_each_term_too(scans, sketches, monkeypatch):
    expected, _ = scan.sketch_scores(made(Form.of_draft(12, 8)), queries(3), K, COUNT)
    np.testing.assert_allclose(scans.draft_scores(queries(3), K), expected, rtol=1e-5)
    assert_same(scans.sketch_scores(queries(3), K), scan.sketch_scores(sketches, queries(3), K, COUNT))
    monkeypatch.setattr(scan, "sketch_scores", None)
    np.testing.assert_allclose(scans.draft_scores(queries(3), K), expected, rtol=1e-5)


def test_a_term_that_was_scanned_is_not_scanned_again_until_it_is_forgotten(scans, scanned):
    scans.sketch_scores(queries(2), K)
    scans.sketch_scores(queries(3), K)  # the first two are those above
    assert scanned == [2, 1]
    scans.sketch_scores(queries(3), K + 1)
    scans.forget()
    scans.sketch_scores(queries(3), K)
    assert scanned == [2, 1, 3, 3]


def test_only_so_much_is_kept_and_what_was_asked_for_last(sketches, scanned, monkeypatch):
    monkeypatch.setattr(shared_scans, "KEPT", 4 * (8 * COUNT + shared_scans.BESIDE))
    scans = SharedScans(sketches, sketches, COUNT)
    expected = scan.sketch_scores(sketches, queries(20), K, COUNT)
    assert_same(scans.sketch_scores(queries(20), K), expected)
    del scanned[:]
    scans.sketch_scores(queries(20)[16:], K)
    assert scanned == []
    scans.sketch_scores(queries(20)[:1], K)
    assert scanned == [1]


def test_what_is_kept_of_few_photos_is_bounded_too(sketches):
    kept = SharedScans(sketches, sketches, 16)
    tracemalloc.start()
    for seed in range(100):
        kept.sketch_scores(queries(100, seed), K)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / 10_000 * kept._most < 1.5 * shared_scans.KEPT


def test_all_who_come_while_a_scan_goes_on_share_the_next_one(scans, sketches, scanned, monkeypatch):
    begun, go_on, counting = threading.Event(), threading.Event(), scan.sketch_scores

    def held(*arguments, **how):
        begun.set()
        go_on.wait()
        return counting(*arguments, **how)

    expected = [scan.sketch_scores(sketches, queries(2, seed), K, COUNT) for seed in range(6)]
    del scanned[:]
    monkeypatch.setattr(scan, "sketch_scores", held)
    found = {}

    def ask(seed):
        found[seed] = scans.sketch_scores(queries(2, seed), K)

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


def test_a_scan_that_fails_fails_for_who_asked_and_the_next_one_tries_again(scans, sketches, monkeypatch):
    sketch_scores = scan.sketch_scores

    def failing(*_, **__):
        raise MemoryError

    monkeypatch.setattr(scan, "sketch_scores", failing)
    with pytest.raises(MemoryError):
        scans.sketch_scores(queries(1), K)
    monkeypatch.setattr(scan, "sketch_scores", sketch_scores)
    assert_same(scans.sketch_scores(queries(1), K), sketch_scores(sketches, queries(1), K, COUNT))
