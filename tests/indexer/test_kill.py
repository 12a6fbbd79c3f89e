"""A run that is killed at any point and started again ends with the library of an undisturbed run."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.library import indexes
from tests.conftest import paint
from tests.indexer.conftest import Library

ROOT = Path(__file__).parents[2]

# Indexes photos with small batches, and kills itself with SIGKILL at the n-th call of a function.
RUN = """
import itertools, os, signal, sys
from pathlib import Path
from engine.library import batches, region_index, segments, store, thumbnails, vector_index
from engine.library.lock import writer_lock
from engine.model.bundle import Bundle
from indexer import look, pipeline
from indexer.scan import scan
from tests.conftest import ColourEncoder

bundle, cache, library, photos, where, when, count = sys.argv[1:]
owner, name = {
    "reading": (look.Looker, "look"),
    "encoding": (ColourEncoder, "encode"),
    "a transaction": (store.Store, "apply"),
    "the database": (batches, "_map"),
    "thumbnail": (thumbnails.tempfile, "mkstemp"),
    "index": (vector_index.FaissIndex, "save"),
    "a segment": (segments.Segment, "write"),
    "the manifest": (region_index, "_publish"),
    "roots": (store.Store, "remember_root"),
}[where]
really, calls = getattr(owner, name), itertools.count(1)

def deadly(*arguments, **options):
    call = next(calls)  # threads call too, and each call has its own number
    if when == "before" and call == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    result = really(*arguments, **options)
    if when == "after" and call == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(owner, name, deadly)
pipeline.BATCH = 8
encoder = ColourEncoder(Bundle(Path(bundle), Path(cache)))
with writer_lock(Path(library)), store.Store.create(Path(library), "colours", encoder.bundle.fingerprint) as opened:
    pipeline.bring_up_to_date(opened, encoder, scan([photos]), jobs=2)
"""

POINTS = [
    ("reading", "before", 1),
    ("reading", "after", 20),
    ("encoding", "before", 3),
    ("a transaction", "before", 1),
    ("a transaction", "after", 1),
    ("a transaction", "before", 3),
    ("a transaction", "after", 4),
    ("the database", "after", 13),
    ("thumbnail", "after", 11),
    ("index", "before", 1),
    ("index", "after", 1),
    ("a segment", "before", 1),
    ("a segment", "after", 1),
    ("the manifest", "before", 1),
    ("the manifest", "after", 1),
    ("roots", "before", 1),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Different photos, copies among them, and some that fail."""
    folder = tmp_path_factory.mktemp("album")
    for i in range(36):
        spot = ((i * 37) % 256, (i * 59) % 256, (i * 83) % 256)
        paint(folder / f"{i:02}.jpg", (i, 50, i), spot, (i % 4, i // 4 % 4))
    for i in (3, 4, 30):
        shutil.copy(folder / f"{i:02}.jpg", folder / f"{i:02} copy.jpg")
    (folder / "07.jpg").write_bytes(b"broken")
    (folder / "20.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def run(photos, colour_bundle):
    """Indexes `photos` into a folder in another process, which is killed at a point; returns its exit status."""

    def started(folder, where="reading", when="never", count=0):
        arguments = [colour_bundle.folder, colour_bundle.cache, folder, photos, where, when, count]
        command = [sys.executable, "-c", RUN, *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode

    return started


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory, colour_encoder):
    library = Library(tmp_path_factory.mktemp("undisturbed") / "library", colour_encoder)
    assert run(library.folder) == 0
    return library


@pytest.mark.parametrize(("where", "when", "count"), POINTS)
def test_a_killed_run_that_is_started_again_ends_like_an_undisturbed_one(run, undisturbed, library, where, when, count):
    assert run(library.folder, where, when, count) == -signal.SIGKILL
    assert run(library.folder) == 0
    assert library.content() == undisturbed.content()
    assert library.failures() == undisturbed.failures()
    with library.open() as store:
        assert indexes.check(store) == [] and store.problems() == []
        assert store.roots() == undisturbed_roots(undisturbed)

    def files(folder):
        names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        return {name for name in names if not name.endswith(("-wal", "-shm", ".faiss", ".maps"))}

    assert files(library.folder) == files(undisturbed.folder)


def undisturbed_roots(library):
    with library.open() as store:
        return store.roots()


def test_a_run_that_is_killed_again_and_again_comes_to_an_end(run, undisturbed, library):
    for count in (1, 1, 2):
        assert run(library.folder, "a transaction", "after", count) == -signal.SIGKILL
    assert run(library.folder) == 0
    assert library.content() == undisturbed.content()
