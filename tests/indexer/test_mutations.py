"""No damaged file stops the indexer, takes long or takes much memory; UNSEEN_FUZZ=5000 tries as many."""

import multiprocessing
import os
import resource
import time

from indexer import look
from indexer.isolation import MEMORY
from tests.indexer.mutations import mutated, seeds

COUNT = int(os.environ.get("UNSEEN_FUZZ", "150"))


def largest_process():
    """Bytes that this process or one that it has started held at most."""
    return 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def test_of_many_damaged_files_none_stops_a_run_and_each_is_used_or_named(library, photos, monkeypatch):
    good = [f"good{number}.{ending}" for number, (ending, _) in enumerate(seeds())]
    for name, (_, data) in zip(good, seeds(), strict=True):
        (photos / name).write_bytes(data)
    for name, data in mutated(COUNT):
        (photos / name).write_bytes(data)
    took = {}
    really = look.Looker.look

    def timed(self, item):
        started = time.perf_counter()
        outcome = really(self, item)
        took[item.path] = time.perf_counter() - started
        return outcome

    monkeypatch.setattr(look.Looker, "look", timed)

    def run(pipe):
        pipe.send((library.index(photos), max(took, key=took.__getitem__), max(took.values()), largest_process()))

    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=run, args=(theirs,)
    )  # whose children are the run's own
    process.start()
    report, slowest, seconds, largest = ours.recv()
    process.join()
    names = set(library.names())
    assert set(good) <= names
    assert names | library.failures().keys() == {path.name for path in photos.iterdir()}
    assert report.found == COUNT + len(good) == report.added + report.failed
    assert all(library.failures().values())
    assert largest < 2 * MEMORY  # with all that the tests themselves hold
    print(f"{report.added} used, {report.failed} named, at most {seconds:.2f} s ({slowest}), {largest / 1e6:.0f} MB")
