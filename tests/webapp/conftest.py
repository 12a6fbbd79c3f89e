"""A library of painted photos, and the app that shows it."""

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.library.indexes import refresh
from engine.library.records import Batch, Failure, FileStamp, NewPhoto
from engine.library.store import Store
from engine.photo import open_picture, read_file
from engine.settings import Settings
from tests.conftest import ColourEncoder, paint
from webapp import create_app, indexing

# The command `unseen` as it is, but with the encoder of the colour bundle.
COLOUR_INDEX = (
    sys.executable,
    "-c",
    f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); sys.argv[0] = 'unseen'; "
    "from indexer.background import end_with_parent; end_with_parent(); "
    "from engine.model.encoder import RegionEncoder; from tests.conftest import ColourEncoder; "
    "RegionEncoder.open = lambda bundle, **_: ColourEncoder(bundle); from engine.cli import main; main()",
)


def index(folder, bundle, paths, failed=(), said=()):
    """Put photos into the library in `folder` as the indexer does; returns their ids by file name.

    `said` has metadata and companions of some of them, by path, in the place of their own.
    """
    encoder = ColourEncoder(bundle)
    batch = Batch()
    for path in paths:
        file = read_file(str(path))
        picture = open_picture(file.data, str(path), encoder.input_size)
        pixels = np.asarray(picture.image.resize((encoder.input_size, encoder.input_size), Image.Resampling.BOX))
        ((region_map, class_scores),) = encoder.encode(pixels[None])
        metadata, companions = dict(said).get(path, (picture.metadata, ()))
        batch.added.append(
            NewPhoto(
                file.path,
                file.stamp,
                file.content_hash,
                picture.width,
                picture.height,
                picture.format,
                metadata,
                region_map,
                class_scores,
                companions=companions,
            )
        )
    batch.failed += [Failure(path, FileStamp(1, 1), reason) for path, reason in failed]
    with Store.create(folder, bundle.name, bundle.fingerprint) as store:
        store.apply(batch)
        refresh(store)
        return {path.name: store.photo_at(str(path)).id for path in paths}


def exif(taken_at=None, camera=None, orientation=1):
    """EXIF of a photo."""
    values = Image.Exif()
    values[0x0112] = orientation
    if taken_at:
        values[0x0132] = taken_at.strftime("%Y:%m:%d %H:%M:%S")
    if camera:
        values[0x0110] = camera
    return values


@pytest.fixture(scope="session")
def painted(tmp_path_factory):
    """Photos: mostly red, mostly green, a red spot on black, blue with a date, one that lies on its side, a TIFF."""
    folder = tmp_path_factory.mktemp("photos")
    return [
        paint(folder / "all-red.png", "red"),
        paint(folder / "all-green.png", "green", size=(48, 96)),
        paint(folder / "red-spot.png", "black", "red", (3, 1)),
        paint(folder / "blue.jpg", "blue", exif=exif(datetime(2024, 7, 1, 12, tzinfo=UTC), "Pinhole 7")),
        paint(
            folder / "lying.jpg", "purple", "yellow", (0, 0), exif=exif(datetime(2023, 1, 2, tzinfo=UTC), orientation=6)
        ),
        paint(folder / "sub" / "cyan.tif", "cyan"),
        paint(folder / "<b>&'\".png", "yellow", "red", (1, 1)),
    ]


@pytest.fixture(scope="session")
def library(tmp_path_factory, colour_bundle, painted):
    """The folder of a library that holds the painted photos; `library.ids` has their ids by name."""
    folder = tmp_path_factory.mktemp("library")
    ids = index(folder, colour_bundle, painted, failed=[("/photos/broken.jpg", "truncated JPEG")])
    with Store.create(folder, colour_bundle.name, colour_bundle.fingerprint) as store:
        store.remember_root(str(painted[0].parent))
    return folder, ids


@pytest.fixture(scope="session")
def ids(library):
    return library[1]


@pytest.fixture(scope="session")
def settings(library, colour_bundle):
    return Settings(library=library[0], model=str(colour_bundle.folder), cache=colour_bundle.cache)


@pytest.fixture(autouse=True)
def colours_are_seen(monkeypatch):
    """The encoder of the colour bundle, which has no network, stands where that of any other would."""
    monkeypatch.setattr("engine.model.encoder.RegionEncoder.open", ColourEncoder)


@pytest.fixture(scope="session")
def app(settings):
    app = create_app(settings)
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


@pytest.fixture
def own(library, colour_bundle, tmp_path):
    """An app with a library of its own, to be changed: a copy of the one with the painted photos."""
    folder = shutil.copytree(library[0], tmp_path / "library")
    app = create_app(Settings(library=folder, model=str(colour_bundle.folder), cache=colour_bundle.cache))
    app.extensions[indexing.EXTENSION].command = COLOUR_INDEX
    yield app
    app.extensions[indexing.EXTENSION].close()


@pytest.fixture
def client(app):
    return app.test_client()
