"""Progress for other programs: one JSON object a line on standard output, a few a second at most."""

import json
import time
from collections.abc import Callable
from typing import Any

import click

from engine.library.records import Failure
from engine.paths import readable
from indexer.pipeline import Progress
from indexer.progress import Pace

EVENT_SECONDS = 0.25  # between two events of the same kind that only count


class Events(Progress):
    """Writes what happens as it happens, and counts now and then.

    Every object has an `event`: `scanning` (found), `progress` (done, total, failed, per_second, seconds_left, the last
    two null at first), `failed` (path, reason) and `stopping`. The first and the last `progress` are never left out.
    """

    def __init__(self, write: Callable[[str], None] = click.echo, clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._pace = Pace(0, clock)
        self._said_at = -EVENT_SECONDS

    def scanning(self, found: int) -> None:
        """So many files have been found so far."""
        if self._due():
            self._say("scanning", found=found)

    def begin(self, total: int) -> None:
        """There are `total` files to read."""
        self._pace = Pace(total, self._clock)
        self._count()

    def read(self) -> None:
        """One more file has been dealt with."""
        self._pace.done += 1
        if self._due():
            self._count()

    def failed(self, failure: Failure) -> None:
        """A file or folder could not be read."""
        self._pace.failed += 1
        self._say("failed", path=readable(failure.path), reason=failure.reason)

    def stopping(self) -> None:
        """The user wants to stop; the batch in hand is being written."""
        self._say("stopping")

    def end(self) -> None:
        """All files have been dealt with, or the run was stopped."""
        self._count()

    def _count(self) -> None:
        pace = self._pace
        rate, left = pace.per_second, pace.seconds_left
        self._say(
            "progress",
            done=pace.done,
            total=pace.total,
            failed=pace.failed,
            per_second=None if rate is None else round(rate, 2),
            seconds_left=None if left is None else round(left),
        )

    def _due(self) -> bool:
        now = self._clock()
        if now - self._said_at < EVENT_SECONDS:
            return False
        self._said_at = now
        return True

    def _say(self, event: str, **values: Any) -> None:
        self._write(json.dumps({"event": event, **values}))
