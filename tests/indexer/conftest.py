"""A folder of photos, a library, and the indexer between them."""

import os
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.cli import run
from engine.library.store import Store
from engine.model.encoder import RegionEncoder
from indexer.pipeline import Progress, Report, bring_up_to_date
from indexer.scan import scan
from tests.conftest import ColourEncoder, paint


@dataclass
class Heard(Progress):
    """What a run said of itself."""

    total: int = 0
    done: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def begin(self, total):
        self.total = total

    def read(self):
        self.done += 1

    def failed(self, failure):
        assert failure.path not in self.failures, "named twice"
        self.failures[failure.path] = failure.reason


@dataclass
class Library:
    """A library, and the indexer that writes it."""

    folder: Path
    encoder: object
    heard: Heard = field(default_factory=Heard)

    def index(self, *folders, encoder=None, exclude=(), **options) -> Report:
        self.heard = Heard()
        encoder = encoder or self.encoder
        with Store.create(self.folder, "colours", encoder.bundle.fingerprint) as store:
            found = scan(folders, exclude, missing_is_empty=options.get("prune_missing_roots", False))
            return bring_up_to_date(store, encoder, found, progress=self.heard, jobs=2, **options)

    def open(self):
        return Store.open(self.folder)

    def names(self):
        """Names of the photos in the library."""
        with self.open() as store:
            return sorted(Path(file.path).name for file in store.known_files())

    def ids(self):
        """Ids by name."""
        with self.open() as store:
            return {Path(file.path).name: file.id for file in store.known_files()}

    def failures(self):
        """Reasons by name."""
        with self.open() as store:
            return {Path(failure.path).name: failure.reason for failure in store.failures()}

    def content(self):
        """All that a library says of each path, but for ids and times."""
        with self.open() as store:
            photos = store.photos(store.photo_ids().tolist())
            return {
                photo.path: (
                    photo.content_hash,
                    photo.stamp,
                    (photo.width, photo.height, photo.format, photo.taken_at, photo.camera),
                    store.region_map(photo.id).to_bytes(),
                    store.class_scores([photo.id])[1].tobytes(),
                )
                for photo in photos.values()
            }


@dataclass(frozen=True)
class Unneeded:
    """An encoder that must not be asked."""

    bundle: object

    @property
    def input_size(self):
        return self.bundle.spec.backbone.input_size

    def encode(self, pixels):
        pytest.fail("a photo was encoded again")


class InterruptsOnce(ColourEncoder):
    """An encoder during whose first photo somebody presses Ctrl-C."""

    def __init__(self, bundle):
        super().__init__(bundle)
        object.__setattr__(self, "pressed", threading.Lock())

    def encode(self, pixels):
        if self.pressed.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGINT)
        return super().encode(pixels)


@pytest.fixture
def library(tmp_path, colour_encoder):
    return Library(tmp_path / "library", colour_encoder)


@pytest.fixture
def unneeded(colour_bundle):
    return Unneeded(colour_bundle)


@pytest.fixture
def photos(tmp_path):
    """The folder of photos, empty."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def command_line(monkeypatch, library, colour_bundle):
    monkeypatch.setattr(RegionEncoder, "open", classmethod(lambda cls, bundle, threads=None: ColourEncoder(bundle)))
    monkeypatch.setenv("UNSEEN_LIBRARY", str(library.folder))
    monkeypatch.setenv("UNSEEN_CACHE", str(colour_bundle.cache))
    monkeypatch.setenv("UNSEEN_MODEL", str(colour_bundle.folder))


@pytest.fixture
def unseen(capsys, command_line):
    """Runs a command line; returns its exit status, lines of standard output and lines of standard error."""

    def called(*arguments):
        capsys.readouterr()
        status = run([os.fspath(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return status, out.splitlines(), err.splitlines()

    return called


@pytest.fixture
def colours(photos):
    for colour in ("red", "green", "blue"):
        paint(photos / f"{colour}.jpg", "black", colour)
    return photos
