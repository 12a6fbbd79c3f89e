"""What is in the library, which model made it, index runs, and files that failed; and how to begin without one."""

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from engine.errors import LibraryNotFound, UnseenError
from engine.paths import readable
from webapp import overview
from webapp.errors import status_of
from webapp.indexing import job_to_json, jobs
from webapp.library import current, searcher
from webapp.limits import costly
from webapp.roots import named, to_index

FAILURES = 200  # named


def library(refused: UnseenError | None = None) -> str:
    """The state of it all; `refused` is why a folder is not indexed."""
    store = searcher().store
    return render_template(
        "library.html",
        status=overview.status_json(),
        failures=store.failures_page(FAILURES),
        allowed=_allowed(),
        job=_job(),
        refused=refused,
    )


def welcome(refused: UnseenError | None = None) -> str:
    """How to begin: a form where the settings allow folders, and the command."""
    return render_template("welcome.html", folder=current().folder, allowed=_allowed(), job=_job(), refused=refused)


def index() -> ResponseReturnValue:
    """Start an index run from a form, or show the form again with what is wrong; raises TooMany."""
    costly()
    try:
        jobs().start(to_index(request.form.get("folder") or None), retry_failed="retry_failed" in request.form)
    except UnseenError as error:
        return (library(error) if _begun() else welcome(error)), status_of(error)[0]
    return _back()


def stop() -> ResponseReturnValue:
    """Let the running job end after the batch in hand."""
    running = jobs().running()
    if running is not None:
        jobs().cancel(running.id)
    return _back()


def _back() -> ResponseReturnValue:
    return redirect(url_for("pages.library" if _begun() else "pages.home"), 303)


def _begun() -> bool:
    try:
        searcher()
    except LibraryNotFound:
        return False
    return True


def _allowed() -> list[str]:
    """Folders below which any may be indexed from here."""
    return [readable(root) for root in named()]


def _job() -> dict[str, object] | None:
    """The newest index run, running or not."""
    newest = next(iter(jobs().all()), None)
    return None if newest is None else job_to_json(newest)
