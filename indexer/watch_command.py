"""`unseen watch`."""

import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import click

from engine.errors import LibraryLocked, LibraryNotFound, UnseenError
from engine.library.database import is_library
from engine.library.lock import writer_lock
from engine.library.store import Store
from engine.options import library_option, model_option
from engine.settings import Settings, load_settings
from indexer.background import step_back
from indexer.events import Events
from indexer.options import exclude_option, jobs_option
from indexer.pipeline import Progress, Report, bring_up_to_date
from indexer.progress import Both, progress_for_stderr
from indexer.scan import scan
from indexer.updating import EncoderWhenNeeded, bundle_for
from indexer.watch import Watch
from indexer.wording import report_in_words

PATIENCE = 5.0  # seconds until it is tried again to write to a library that another process writes to


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(), metavar="[FOLDER…]")
@library_option
@model_option
@jobs_option
@exclude_option
@click.option("--keep-missing", is_flag=True, help="Keep photos whose file is gone, and mark them.")
@click.option("--background", is_flag=True, help="Leave the machine to others as long as they need it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a line for each event, and for each report.")
def watch(
    folders: tuple[str, ...],
    library: Path | None,
    model: str | None,
    jobs: int | None,
    exclude: tuple[str, ...],
    keep_missing: bool,
    background: bool,
    as_json: bool,
) -> None:
    """Keep the library up to date with folders of photos until stopped.

    Without FOLDER it watches the folders that were indexed before. Files that are still being written are waited for.
    Folders on network disks, whose changes nobody reports, are looked through every five minutes.

    \b
    Example: unseen watch ~/Pictures --background
    """
    settings = load_settings(library=library, model=model, jobs=jobs)
    if background:
        step_back()
    updates = _Updates(settings, folders or _folders_of(settings.library), exclude, keep_missing, as_json)
    with suppress(KeyboardInterrupt), _terminable():
        changes = Watch.of(updates.roots).changes(lambda text: click.echo(text, err=True))
        updates.update(next(changes))
        click.echo(f"Watching {', '.join(updates.roots)}; Ctrl-C ends it.", err=True)
        for changed in changes:
            updates.update(changed)
    click.echo("Stopped; what is done is kept.", err=True)


class _Updates:
    """Brings a library up to date again and again, with one encoder."""

    def __init__(
        self, settings: Settings, folders: Sequence[str], exclude: Sequence[str], keep_missing: bool, as_json: bool
    ) -> None:
        self._settings = settings
        self._exclude = exclude
        self._keep_missing = keep_missing
        self._as_json = as_json
        self._bundle = bundle_for(settings)
        self._encoder = EncoderWhenNeeded(self._bundle)
        self.roots = scan(folders, ["*"]).roots  # also says what is wrong with them

    def update(self, folders: Sequence[str]) -> None:
        """Look through folders, which may be parts of those that are watched."""
        progress: Progress = progress_for_stderr()
        if self._as_json:
            progress = Both(progress, Events())
        with self._writing() as store:
            found = scan(
                folders,
                self._exclude,
                missing_is_empty=not set(folders) & set(self.roots),
                inside=self.roots,
                heard=progress.scanning,
            )
            report = bring_up_to_date(
                store,
                self._encoder,
                found,
                keep_missing=self._keep_missing,
                remember=set(folders) <= set(self.roots),
                jobs=self._settings.jobs,
                progress=progress,
            )
        self._say(report)

    @contextmanager
    def _writing(self) -> Iterator[Store]:
        """The library, once nobody else writes to it."""
        waiting = False
        while True:
            try:
                with writer_lock(self._settings.library):
                    self._follow_model()
                    with Store.create(self._settings.library, self._bundle.known_as, self._bundle.fingerprint) as store:
                        yield store
                    return
            except LibraryLocked as error:
                if not waiting:
                    click.echo(f"{error.message}; waiting for it.", err=True)
                waiting = True
                time.sleep(PATIENCE)

    def _follow_model(self) -> None:
        """Where another model has taken the library over, look at photos with that one, unless the user named one."""
        library = self._settings.library
        if self._settings.chosen_model is not None or not is_library(library):
            return
        with Store.open(library) as store:
            fits = store.fingerprint() == self._bundle.fingerprint
        if not fits:
            self._bundle = bundle_for(self._settings)
            self._encoder = EncoderWhenNeeded(self._bundle)

    def _say(self, report: Report) -> None:
        if self._as_json:
            click.echo(json.dumps(asdict(report)))
        elif report.added or report.updated or report.moved or report.removed or report.failed:
            click.echo(report_in_words(report))


def _folders_of(library: Path) -> list[str]:
    """The folders that a library was indexed with."""
    try:
        with Store.open(library) as store:
            folders = store.roots()
    except LibraryNotFound:
        folders = []
    if not folders:
        raise UnseenError(f"The library in {library} does not know any folder yet", "Name one: unseen watch FOLDER")
    return folders


@contextmanager
def _terminable() -> Iterator[None]:
    """Within, a request to end is like Ctrl-C: what is in hand is finished. A second one adds nothing."""

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: None)  # a second Ctrl-C would end it amid the batch
        signal.raise_signal(signal.SIGINT)

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
