"""Calls that index: start a run, see how it goes, stop it."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from flask import Flask, Response, current_app
from pydantic import BaseModel, Field

from engine.paths import readable
from engine.search.serialise import Json, rfc3339
from engine.settings import Settings
from webapp.answers import Answer, answers, blueprint, problems, urls, whole
from webapp.arguments import Body
from webapp.errors import TooMany
from webapp.jobs import Job, Jobs
from webapp.library import LARGEST
from webapp.limits import costly
from webapp.roots import to_index
from webapp.schemas import Listed

EXTENSION = "unseen.jobs"
EXTENSION_STREAMS = "unseen.streams"
STREAMS = 4  # that are open at once: each one takes a thread
QUIET = 10.0  # seconds after which a stream says that it is alive

EVENT = {"event": {"type": "string", "enum": ["progress", "end"]}, "data": {"type": "string"}}
EVENTS = {"content": {"text/event-stream": {"schema": {"type": "object", "properties": EVENT}}}}

indexing = blueprint("indexing", "Index runs, one at a time")


class IndexIn(Body):
    """What to index."""

    folder: str | None = Field(
        None, max_length=4096, description="a folder that was indexed before, or below one; all of them where null"
    )
    retry_failed: bool = Field(False, description="whether to read files again that could not be read before")


class JobId(BaseModel):
    """Which job."""

    id: int = Field(description="id of the job", ge=0, le=LARGEST)


class ReportOut(BaseModel):
    """What a run did, in files."""

    found: int
    added: int
    updated: int
    unchanged: int
    moved: int
    removed: int
    failed: int
    seconds: float
    images_per_second: float


class JobOut(BaseModel):
    """An index run."""

    id: int
    state: Literal["running", "stopping", "done", "cancelled", "failed"]
    folders: list[str]
    retry_failed: bool
    done: int = Field(description="files dealt with so far")
    total: int | None = Field(description="files to deal with; null until the folders have been looked through")
    failed: int = Field(description="files that could not be read so far")
    found: int = Field(description="files found so far, while the folders are looked through")
    seconds_left: int | None = Field(description="how long it may take; null where nobody can tell")
    report: ReportOut | None = Field(description="what was done, at the end")
    error: str | None = Field(description="why it failed")
    started_at: datetime
    ended_at: datetime | None
    url: str
    events_url: str


class JobsOut(Listed):
    """Jobs since the server started, the newest first."""

    items: list[JobOut]


def register(app: Flask, settings: Settings) -> Jobs:
    """Give `app` its jobs, and return them."""
    app.extensions[EXTENSION_STREAMS] = threading.BoundedSemaphore(STREAMS)
    app.extensions[EXTENSION] = following = Jobs(settings)
    return following


@indexing.post("/index", summary="Start an index run", responses=answers(JobOut, 400, 403, 415, status=202))
def index(body: IndexIn) -> Answer:
    """Bring the library up to date with a folder, or with all that were indexed before. Photos are only read."""
    costly()
    job = jobs().start(to_index(body.folder), retry_failed=body.retry_failed)
    shown = job_to_json(job)
    return shown, 202, {"Location": shown["url"]}


@indexing.get("/jobs", summary="Index runs", responses=answers(JobsOut))
def list_jobs() -> Answer:
    """Those since the server started, the newest first."""
    return whole(job_to_json(job) for job in jobs().all())


@indexing.get("/jobs/<int:id>", summary="One index run", responses=answers(JobOut, 404))
def job(path: JobId) -> Answer:
    """How far it is."""
    return job_to_json(jobs().get(path.id))


@indexing.delete("/jobs/<int:id>", summary="Stop an index run", responses=answers(JobOut, 403, 404))
def cancel(path: JobId) -> Answer:
    """It ends after the batch in hand, and what is done is kept. One that has ended stays as it is."""
    return job_to_json(jobs().cancel(path.id))


@indexing.get("/jobs/<int:id>/events", summary="An index run as it goes", responses={200: EVENTS, **problems(404)})
def events(path: JobId) -> Answer:
    """Server-sent events: `progress` with the job at each change, and `end` with it as the last one."""
    following, prefix = jobs(), urls().prefix
    first = following.get(path.id)
    free: threading.BoundedSemaphore = current_app.extensions[EXTENSION_STREAMS]
    if not free.acquire(blocking=False):
        raise TooMany(f"{STREAMS} streams are open already", "Ask for the job itself every second instead", QUIET)
    response = Response(_events(following, first, prefix), mimetype="text/event-stream")
    response.call_on_close(free.release)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # a proxy that waits for more would hold events back
    return response


def _events(following: Jobs, job: Job, prefix: str) -> Iterator[str]:
    while not job.over and not following.closed:
        yield _event("progress", job, prefix)
        known = job.version
        while (job := following.after(job.id, known, QUIET)).version == known and not following.closed:
            yield ": still here\n\n"
    yield _event("end", job, prefix)


def _event(name: str, job: Job, prefix: str) -> str:
    return f"event: {name}\ndata: {json.dumps(job_to_json(job, prefix))}\n\n"


def jobs() -> Jobs:
    """The jobs of the running app."""
    running: Jobs = current_app.extensions[EXTENSION]
    return running


def job_to_json(job: Job, prefix: str | None = None) -> Json:
    """The object of `GET /jobs/{id}`."""
    url = f"{urls().prefix if prefix is None else prefix}/jobs/{job.id}"
    return {
        "id": job.id,
        "state": job.state,
        "folders": [readable(folder) for folder in job.folders],
        "retry_failed": job.retry_failed,
        "done": job.done,
        "total": job.total,
        "failed": job.failed,
        "found": job.found,
        "seconds_left": job.seconds_left,
        "report": None if job.report is None else {name: job.report.get(name, 0) for name in ReportOut.model_fields},
        "error": job.error,
        "started_at": rfc3339(job.started_at),
        "ended_at": rfc3339(job.ended_at),
        "url": url,
        "events_url": f"{url}/events",
    }
