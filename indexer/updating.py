"""Brings the library of the settings up to date: what `index`, `demo` and `watch` do."""

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from engine.errors import UnseenError
from engine.library import indexes
from engine.library.database import is_library
from engine.library.lock import writer_lock
from engine.library.region_map import RegionMap
from engine.library.store import Store
from engine.model.bundle import Bundle, open_bundle
from engine.photo import SUFFIXES
from engine.settings import Settings
from indexer.pipeline import Progress, Report, bring_up_to_date
from indexer.progress import progress_for_stderr
from indexer.scan import Scan

if TYPE_CHECKING:
    from engine.model.encoder import RegionEncoder


def index_folders(
    settings: Settings,
    found: Scan,
    *,
    retry_failed: bool = False,
    keep_missing: bool = False,
    prune_missing_roots: bool = False,
    new_model: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Bring the library of the settings up to date with a scan; makes it where there is none.

    If it was made with another model, a `new_model` takes it over: its photos keep their ids and all that was said of
    them, and wait until a run looks at them. Searches find what has been looked at.

    Raises UnseenError where there is no photo in the folders, and none of theirs in the library.
    """
    if not len(found) and not found.unreadable and not _holds_any_of(settings.library, found.roots):
        formats = " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise UnseenError(
            f"There are no photos in {', '.join(found.roots)}", f"Name a folder that holds some; read are: {formats}"
        )
    bundle = bundle_for(settings)
    with writer_lock(settings.library), Store.create(settings.library, bundle.known_as, bundle.fingerprint) as store:
        if new_model:
            take_over(store, bundle)
        try:
            return bring_up_to_date(
                store,
                EncoderWhenNeeded(bundle),
                found,
                retry_failed=retry_failed,
                keep_missing=keep_missing,
                prune_missing_roots=prune_missing_roots,
                jobs=settings.jobs,
                progress=progress or progress_for_stderr(),
            )
        except KeyboardInterrupt:
            click.echo("Stopped; what is done is kept. To go on, run the same command again.", err=True)
            raise click.exceptions.Exit(130) from None


def take_over(store: Store, bundle: Bundle) -> None:
    """Give a library to a bundle; all photos wait, unless it has been its own before.

    Call it while holding the writer's lock.
    """
    if store.fingerprint() != bundle.fingerprint:
        indexes.discard(store.folder)  # before all else, so that it is never taken for the new model's
        store.change_model(bundle.known_as, bundle.fingerprint)


def bundle_for(settings: Settings) -> Bundle:
    """The bundle to index with: the user's choice, else the library's own."""
    name = settings.model
    if settings.chosen_model is None and is_library(settings.library):
        with Store.open(settings.library) as store:
            name = store.info().bundle
    return open_bundle(name, settings.cache)


class EncoderWhenNeeded:
    """An encoder that is opened at the first photo, since most runs have none to look at.

    It computes in the thread that calls it: photos side by side are faster than the parts of one side by side.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._encoder: RegionEncoder | None = None
        self._opening = threading.Lock()

    @property
    def input_size(self) -> int:
        """S, pixels a side of the square that a photo is squashed to."""
        return self.bundle.spec.backbone.input_size

    def encode(self, pixels: NDArray[np.uint8]) -> list[tuple[RegionMap, NDArray[np.float16]]]:
        """Upright pixels (B, S, S, 3) → a region map and class scores for each photo; raises BundleError."""
        with self._opening:
            if self._encoder is None:
                self._encoder = self._open()
        return self._encoder.encode(pixels)

    def _open(self) -> "RegionEncoder":
        from engine.model.encoder import RegionEncoder

        if sys.stderr.isatty():
            tqdm.write("Preparing the model…", file=sys.stderr)  # which takes a while the first time
        return RegionEncoder.open(self.bundle, threads=1)


def _holds_any_of(library: Path, roots: list[str]) -> bool:
    """Whether there is something to remove: a photo or a failure of these folders."""
    if not is_library(library):
        return False
    with Store.open(library) as store:
        return any(next(store.known_files(root), None) or store.failures(root) for root in roots)
