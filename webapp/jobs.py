"""Index runs that the page starts: one at a time, each a process of its own, told apart by a number.

A run is the command `unseen index --json`, so it behaves as on the command line: photos are only read, what is done is
kept, and an interrupt ends it after the batch in hand. It has the lowest priority, since the server must go on.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO, Any, Literal

from engine.settings import Settings
from webapp.children import COMMAND, end, spawn
from webapp.errors import JobRunning, NoJob, Stopping

State = Literal["running", "stopping", "done", "cancelled", "failed"]

KEPT = 100  # jobs that are remembered after their end
TOLD = ("found", "done", "total", "failed", "seconds_left")  # by the events of a run


@dataclass(frozen=True)
class Job:
    """An index run as it stands. `total` is None until the folders have been looked through."""

    id: int
    folders: tuple[str, ...]
    retry_failed: bool
    started_at: datetime
    state: State = "running"
    done: int = 0
    total: int | None = None
    failed: int = 0
    found: int = 0  # files so far while the folders are looked through
    seconds_left: int | None = None
    report: Mapping[str, Any] | None = None  # the object that `unseen index --json` ends with
    error: str | None = None
    ended_at: datetime | None = None
    version: int = 0  # one more with each change

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.ended_at is not None


class Jobs:
    """The jobs of a server; threads may share it."""

    def __init__(self, settings: Settings, command: Sequence[str] = COMMAND) -> None:
        self.command = command
        self._settings = settings
        self._changed = threading.Condition()
        self._jobs: dict[int, Job] = {}
        self._last = int(time.time())  # number of a job; those of an earlier server are not given again
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    def start(self, folders: Sequence[str], *, retry_failed: bool = False) -> Job:
        """Begin to index folders; raises JobRunning while another job runs, Stopping at the end."""
        with self._changed:
            if self._closed:
                raise Stopping
            running = self.running()
            if running is not None:
                raise JobRunning(running.id)
            job = Job(self._last + 1, tuple(folders), retry_failed, datetime.now(UTC))
            self._process = self._spawn(job)
            self._last = job.id
            self._jobs[job.id] = job
            self._jobs.pop(job.id - KEPT, None)
            threading.Thread(target=self._follow, args=(job.id, self._process), name=f"job-{job.id}").start()
        return job

    def get(self, job_id: int) -> Job:
        """A job by its number; raises NoJob."""
        with self._changed:
            if job_id not in self._jobs:
                raise NoJob(job_id)
            return self._jobs[job_id]

    def all(self) -> list[Job]:
        """The jobs, the newest first."""
        with self._changed:
            return list(reversed(self._jobs.values()))

    def running(self) -> Job | None:
        """The job that runs, or None."""
        with self._changed:
            return next((job for job in reversed(self._jobs.values()) if not job.over), None)

    def cancel(self, job_id: int) -> Job:
        """Let a job end after the batch in hand; one that has ended stays as it is. Raises NoJob."""
        with self._changed:
            job = self.get(job_id)
            if job.over or job.state == "stopping" or self._process is None:
                return job  # a second interrupt would end it amid the batch in hand
            self._process.send_signal(signal.SIGINT)
            return self._change(job_id, state="stopping")

    def after(self, job_id: int, version: int, seconds: float) -> Job:
        """The job as soon as it differs from `version`, or as it is after so many seconds; raises NoJob."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.get(job_id).version != version, seconds)
            return self.get(job_id)

    @property
    def closed(self) -> bool:
        """Whether the server is about to stop."""
        return self._closed

    def stop(self) -> None:
        """Take no more jobs, and let the running one end after the batch in hand; returns at once."""
        with self._changed:
            self._closed = True
            running = self.running()
            if running is not None:
                self.cancel(running.id)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop, and wait for the running job; end it the hard way if that takes too long."""
        process = self._process
        self.stop()
        if process is not None:
            end(process)

    def _spawn(self, job: Job) -> "subprocess.Popen[str]":
        arguments = ["--json", *(["--retry-failed"] if job.retry_failed else []), "--", *job.folders]
        process: subprocess.Popen[str] = spawn(
            self._settings,
            "index",
            *arguments,
            command=self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        return process

    def _follow(self, job_id: int, process: "subprocess.Popen[str]") -> None:
        """In a thread: read what the run says until it ends."""
        with _last_line(process.stderr) as complaint:
            report = None
            for line in process.stdout or ():
                said = _object(line)
                if "event" in said:
                    self._note(job_id, said)
                elif said:
                    report = said
            status = process.wait()
        with self._changed:
            job = self.get(job_id)
            if status == 0:
                self._end(job_id, "done", report=report, total=job.total or job.done)
            elif job.state == "stopping":
                self._end(job_id, "cancelled", report=report)
            else:
                self._end(job_id, "failed", error=complaint() or f"The run ended with status {status}")

    def _note(self, job_id: int, event: Mapping[str, Any]) -> None:
        counts = {name: event[name] for name in TOLD if isinstance(event.get(name), int)}
        if counts:
            with self._changed:
                self._change(job_id, **counts)

    def _end(self, job_id: int, state: State, **values: Any) -> None:
        self._process = None
        self._change(job_id, state=state, ended_at=datetime.now(UTC), seconds_left=None, **values)

    def _change(self, job_id: int, **values: Any) -> Job:
        job = self._jobs[job_id]
        self._jobs[job_id] = replace(job, version=job.version + 1, **values)
        self._changed.notify_all()
        return self._jobs[job_id]


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@contextmanager
def _last_line(stream: IO[str] | None) -> Iterator[Callable[[], str]]:
    """Read a stream beside what is done within; what is yielded tells its last error, without our name before it."""
    errors = [""]

    def read() -> None:
        for line in stream or ():
            if "error: " in line:
                errors.append(line.split("error: ", 1)[1].strip())

    thread = threading.Thread(target=read)
    thread.start()

    def last() -> str:
        thread.join()
        return errors[-1]

    yield last
    thread.join()
