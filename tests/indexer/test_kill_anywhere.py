"""Processes that are killed at random moments lose nothing: index, delete, rebuild and migrate runs, and ones in which
another model takes the library over, one after another.

UNSEEN_KILLS says how many moments are tried; a few in CI.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.library import indexes
from engine.library.store import Store
from engine.model.bundle import Bundle
from engine.search.searcher import Searcher
from tests.conftest import paint

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("UNSEEN_KILLS", "3"))

RUN = """
import sys
from pathlib import Path
from engine.library import indexes
from engine.library.lock import writer_lock
from engine.library.store import Store
from engine.model.bundle import Bundle
from indexer import pipeline
from indexer.scan import scan
from indexer.updating import take_over
from tests.conftest import ColourEncoder

bundle, cache, folder, photos, action = sys.argv[1:]
bundle = Bundle(Path(bundle), Path(cache))
encoder = ColourEncoder(bundle)
pipeline.BATCH = 8
print("ready", flush=True)
with writer_lock(Path(folder)), Store.create(Path(folder), bundle.known_as, bundle.fingerprint) as store:
    if action == "migrate":
        store.migrate("0001")
        store.migrate()
    elif action == "rebuild":
        indexes.refresh(store, rebuild=True)
    else:
        take_over(store, bundle)
        pipeline.bring_up_to_date(store, encoder, scan([photos]), jobs=2)
"""


@pytest.fixture
def album(tmp_path):
    """Photos, of which some come and go; and a place for those that are away."""
    folder, away = tmp_path / "album", tmp_path / "away"
    away.mkdir()
    for i in range(24):
        paint(folder / f"{i:02}.png", (i, 50, i), ((i * 37) % 256, (i * 59) % 256, (i * 83) % 256), (i % 4, i // 4 % 4))
    return folder, away


def test_runs_killed_at_random_moments_lose_nothing(tmp_path, album, colour_bundle):
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    print("seed", seed)  # shown where it fails
    folder, (photos, away) = tmp_path / "library", album
    bundle, other = colour_bundle, another(colour_bundle, tmp_path / "other")

    def start(action):
        arguments = [bundle.folder, colour_bundle.cache, folder, photos, action]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-c", RUN, *map(str, arguments)], cwd=ROOT, env=environment, stdout=subprocess.PIPE
        )

    started = time.monotonic()
    with start("index") as process:
        process.stdout.readline()
        begun = time.monotonic()
        assert process.wait() == 0
    longest = time.monotonic() - begun
    for _ in range(KILLS):
        action = rng.choice(["index", "delete", "rebuild", "migrate", "another model"])
        before = {} if action in ("index", "delete") else ids_by_path(folder)
        if action == "delete":
            for path in rng.sample(sorted(photos.iterdir()), min(5, len(list(photos.iterdir())) - 4)):
                path.rename(away / path.name)
        elif action == "index":
            for path in away.iterdir():
                path.rename(photos / path.name)
        elif action == "another model":
            bundle, other = other, bundle
        with start(action) as process:
            process.stdout.readline()
            try:
                process.wait(rng.uniform(0, longest))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        with Store.open(folder) as store:  # whatever state it was left in, it is sound and searched rightly
            assert store.problems() == []
            assert agrees_with_the_database(
                store, next(one for one in (bundle, other) if one.fingerprint == store.fingerprint())
            )
        with start("index") as process:
            assert process.wait() == 0
        with Store.open(folder) as store:
            assert store.problems() == [] and indexes.check(store) == []
            assert store.mapped_count() == store.count()
            assert agrees_with_the_database(store, bundle)
        after = ids_by_path(folder)
        assert sorted(after) == sorted(map(str, photos.iterdir()))
        assert before in ({}, after)
    print(f"{KILLS} kills in {time.monotonic() - started:.0f} s")


def another(bundle, folder):
    """Another version of a bundle, with fewer labels."""
    shutil.copytree(bundle.folder, folder)
    (folder / "labels.txt").write_text("red\nblue\n")
    return Bundle(folder, bundle.cache)


def ids_by_path(folder):
    with Store.open(folder) as store:
        return {photo.path: photo.id for photo in store.photos(store.photo_ids().tolist()).values()}


def agrees_with_the_database(store, bundle):
    """Whether a search through the index finds what one without any index finds."""
    found = [(hit.photo.id, hit.score) for hit in Searcher(store, bundle).search("red", top=0).hits]
    scanned = Searcher(store, bundle)
    scanned._distrusted = scanned.corpus().stamp
    return found == [(hit.photo.id, hit.score) for hit in scanned.search("red", top=0).hits]
