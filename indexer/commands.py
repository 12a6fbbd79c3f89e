"""`unseen index`, `status`, `db` and `demo`."""

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path

import click

from engine.errors import LibraryError, LibraryNotFound, UnseenError
from engine.library import indexes
from engine.library.basis import Basis
from engine.library.database import RESTORE, is_library
from engine.library.lock import writer_lock
from engine.library.status import status_of
from engine.library.store import Store
from engine.model.bundle import open_bundle
from engine.options import json_option, library_option, model_option
from engine.settings import Settings, load_settings
from indexer.background import step_back
from indexer.events import Events
from indexer.options import exclude_option, jobs_option
from indexer.pipeline import Plan, plan_for
from indexer.progress import Both, progress_for_stderr
from indexer.samples import sample_photos
from indexer.scan import Scan, scan
from indexer.updating import bundle_for, index_folders
from indexer.wording import report_in_words, shown, status_in_words


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(), metavar="FOLDER…")
@library_option
@model_option
@jobs_option
@exclude_option
@click.option(
    "--keep-missing", is_flag=True, help="Keep photos whose file is gone, and mark them: for disks that come and go."
)
@click.option(
    "--prune-missing-roots",
    is_flag=True,
    help="Remove the photos of a FOLDER that is gone or empty, and of an empty folder in it that held more than 20; "
    "they stay otherwise, in case their disk is not connected.",
)
@click.option(
    "--new-model",
    is_flag=True,
    help="If the library was made with another model or version of it, look at all photos again with this one.",
)
@click.option("--background", is_flag=True, help="Leave the machine to others as long as they need it.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--retry-failed", is_flag=True, help="Try files again that could not be read before.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a line for each event, and the report as the last.")
def index(
    folders: tuple[str, ...],
    library: Path | None,
    model: str | None,
    jobs: int | None,
    exclude: tuple[str, ...],
    keep_missing: bool,
    prune_missing_roots: bool,
    new_model: bool,
    background: bool,
    dry_run: bool,
    retry_failed: bool,
    as_json: bool,
) -> None:
    """Bring the library up to date with folders of photos.

    Photos are only read. What was indexed before and has not changed is not read again; what has moved keeps its data;
    what is gone from the folders is removed from the library. A folder may hold a file .unseenignore with globs of what
    to leave out.

    \b
    Example: unseen index ~/Pictures --exclude '*.gif' --exclude Trash
    """
    settings = load_settings(library=library, model=model, jobs=jobs)
    if background:
        step_back()
    progress = Both(progress_for_stderr(), Events()) if as_json and not dry_run else progress_for_stderr()
    found = scan(folders, exclude, missing_is_empty=prune_missing_roots, heard=progress.scanning)
    if dry_run:
        plan = _plan_without_writing(settings, found, retry_failed, prune_missing_roots, new_model)
        _print_plan(found, plan, as_json)
        return
    report = index_folders(
        settings,
        found,
        retry_failed=retry_failed,
        keep_missing=keep_missing,
        prune_missing_roots=prune_missing_roots,
        new_model=new_model,
        progress=progress,
    )
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        click.echo(report_in_words(report))


@click.command()
@library_option
@click.option("--failed", is_flag=True, help="List the files that could not be read, with reasons.")
@json_option
def status(library: Path | None, failed: bool, as_json: bool) -> None:
    """Say what the library holds, how old it is and how much room it takes.

    \b
    Example: unseen status --failed
    """
    with Store.open(load_settings(library=library).library) as store:
        state = status_of(store)
    if as_json:
        click.echo(json.dumps(state.to_json(failures=failed)))
        return
    click.echo(status_in_words(state))
    if failed:
        for failure in state.failures:
            click.echo(f"{shown(failure.path)}\t{failure.reason}")


@click.group()
def db() -> None:
    """Look after the library's database and index."""


@db.command("upgrade")
@library_option
def db_upgrade(library: Path | None) -> None:
    """Migrate the database to this version of unseen.

    \b
    Example: unseen db upgrade
    """
    folder = _existing(library)
    with writer_lock(folder), Store.open(folder) as store:
        click.echo(f"The library in {folder} is at schema {store.schema_version()}.")


@db.command("check")
@library_option
@json_option
def db_check(library: Path | None, as_json: bool) -> None:
    """Verify that the database is sound and that the index does not contradict it.

    A run that was killed leaves photos that the index lacks; searches read those from the database, and the next run
    adds them.

    \b
    Example: unseen db check
    """
    folder = _existing(library)
    with Store.open(folder) as store:
        damage, disagreement = store.problems(), indexes.check(store)
        behind, waiting = indexes.behind(store), len(store.waiting_ids())
        counts = f"{store.count():,} photos, generation {store.generation()}"
    if as_json:
        problems = damage + disagreement
        click.echo(json.dumps({"ok": not problems, "problems": problems, "not_in_index": behind, "waiting": waiting}))
    if damage:
        raise LibraryError(f"The library in {folder}: {' '.join(damage).rstrip('.')}", RESTORE)
    if disagreement:
        raise LibraryError(f"The library in {folder}: {' '.join(disagreement).rstrip('.')}", "Run: unseen db rebuild")
    if not as_json:
        click.echo(f"The database is sound and the index agrees with it: {counts}.")
        if behind:
            click.echo(f"The index lacks {behind:,} of them, which are searched all the same; unseen index adds them.")
        if waiting:
            click.echo(f"The model has not looked at {waiting:,} of them, which are not found; unseen index does.")


@db.command("rebuild")
@library_option
def db_rebuild(library: Path | None) -> None:
    """Make the index anew from the database.

    \b
    Example: unseen db rebuild
    """
    folder = _existing(library)
    with writer_lock(folder), Store.open(folder) as store:
        indexes.refresh(store, _basis_for(store), rebuild=True)
        click.echo(f"The index of {store.count():,} photos is rebuilt.")


@click.command()
@click.argument("folder", required=False, type=click.Path())
@click.option(
    "--library",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Library folder; one for each model in the cache if left out.",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the page; 0 takes a free one.")
@click.option("--no-serve", is_flag=True, help="Index the photos, but do not open the page.")
def demo(folder: str | None, library: Path | None, port: int | None, no_serve: bool) -> None:
    """Index the sample photos of an installed package and open the page.

    They go into a library of their own. FOLDER takes the place of the sample photos.

    \b
    Example: unseen demo
    """
    settings = load_settings()
    bundle = bundle_for(settings.model_copy(update={"library": library or settings.cache}))
    folder_of_demo = library or settings.cache / "demo" / bundle.fingerprint[:8]  # another model, another library
    settings = settings.model_copy(update={"library": folder_of_demo})
    report = index_folders(settings, _samples() if folder is None else scan([folder]))
    click.echo(report_in_words(report), err=True)
    if no_serve:
        return
    (serve,) = (point.load() for point in entry_points(group="unseen.commands", name="serve"))
    arguments = ["--library", str(settings.library), *(["--port", str(port)] if port is not None else [])]
    serve.main(arguments, prog_name="unseen serve", standalone_mode=False)


def _existing(library: Path | None) -> Path:
    folder = load_settings(library=library).library
    if not is_library(folder):
        raise LibraryNotFound(folder)
    return folder


def _basis_for(store: Store) -> Callable[[], Basis] | None:
    """What gives the basis of the library's bundle; None where that is gone, without which the index is only slower."""
    try:
        basis = open_bundle(store.info().bundle, load_settings().cache).basis()
    except UnseenError:
        return None
    return lambda: basis


def _samples() -> Scan:
    """The sample photos as a scan of their folders."""
    photos = sample_photos()
    found = scan(sorted({photo.parent for photo in photos}))
    chosen = {str(photo) for photo in photos}
    samples = Scan(found.roots)
    for file in found:
        if file.path in chosen:
            samples.ledger.note(file.path, file.stamp)
    return samples


def _plan_without_writing(settings: Settings, found: Scan, retry_failed: bool, prune: bool, new_model: bool) -> Plan:
    if not is_library(settings.library):
        return Plan(len(found), 0, 0, 0, 0, found.unreadable, [])
    bundle = bundle_for(settings)
    with Store.open(settings.library) as store:
        info = store.info()
        if not new_model:
            bundle.check(info, store.folder)
        changes = info.fingerprint != bundle.fingerprint
        return plan_for(store, found, retry_failed=retry_failed, prune_missing_roots=prune, new_model=changes)


def _print_plan(found: Scan, plan: Plan, as_json: bool) -> None:
    counts = {
        "found": len(found),
        "new": plan.new,
        "changed": plan.changed,
        "unchanged": plan.unchanged,
        "vanished": plan.vanished,
        "failed": plan.still_failing + len(plan.unreadable) + len(plan.disconnected),
    }
    if as_json:
        click.echo(json.dumps(counts))
    else:
        click.echo(f"{', '.join(f'{count:,} {name}' for name, count in counts.items())}; nothing was done")
