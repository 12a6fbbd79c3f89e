"""How a run shows itself on standard error: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable

import click
from tqdm import tqdm

from engine.library.records import Failure
from indexer.pipeline import Progress
from indexer.wording import shown

LINE_SECONDS = 10.0


def progress_for_stderr() -> Progress:
    """The progress that suits where standard error goes."""
    return Bar() if sys.stderr.isatty() else Lines()


class Pace:
    """How far a run is: files dealt with of `total`, failures among them, and how fast it goes."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = self.failed = 0
        self._clock = clock
        self._started = clock()

    @property
    def per_second(self) -> float | None:
        """Files a second since the start; None before the first."""
        seconds = self._clock() - self._started
        return self.done / seconds if self.done and seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at that speed."""
        rate = self.per_second
        return None if rate is None else (self.total - self.done) / rate


class Both(Progress):
    """Tells two listeners the same."""

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = listeners

    def scanning(self, found: int) -> None:
        """So many files have been found so far."""
        for listener in self._listeners:
            listener.scanning(found)

    def begin(self, total: int) -> None:
        """There are `total` files to read."""
        for listener in self._listeners:
            listener.begin(total)

    def read(self) -> None:
        """One more file has been dealt with."""
        for listener in self._listeners:
            listener.read()

    def failed(self, failure: Failure) -> None:
        """A file or folder could not be read."""
        for listener in self._listeners:
            listener.failed(failure)

    def stopping(self) -> None:
        """The user wants to stop."""
        for listener in self._listeners:
            listener.stopping()

    def end(self) -> None:
        """All files have been dealt with, or the run was stopped."""
        for listener in self._listeners:
            listener.end()


class Bar(Progress):
    """A bar with rate, time left and failures so far."""

    def __init__(self) -> None:
        self._bar: tqdm[None] = tqdm(disable=True)
        self._scan: tqdm[None] | None = None
        self._failures = 0

    def scanning(self, found: int) -> None:
        """So many files have been found so far."""
        if self._scan is None:
            self._scan = tqdm(desc="Looking for photos", unit=" found", bar_format="{desc}: {n:,} found", leave=False)
        self._scan.update(found - self._scan.n)

    def begin(self, total: int) -> None:
        """There are `total` files to read."""
        if self._scan is not None:
            self._scan.close()
        if total:
            self._bar = tqdm(total=total, unit=" photos", smoothing=0.05, dynamic_ncols=True)

    def read(self) -> None:
        """One more file has been dealt with."""
        self._bar.update()

    def failed(self, failure: Failure) -> None:
        """A file or folder could not be read."""
        self._failures += 1
        self._bar.set_postfix_str(f"{self._failures} failed", refresh=False)
        with tqdm.external_write_mode():
            _name(failure)

    def stopping(self) -> None:
        """The user wants to stop."""
        with tqdm.external_write_mode():
            click.echo("Finishing what is in hand…", err=True)

    def end(self) -> None:
        """All files have been dealt with."""
        self._bar.close()


class Lines(Progress):
    """A line every ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pace = Pace(0, clock)
        self._said = clock()

    def begin(self, total: int) -> None:
        """There are `total` files to read."""
        self._pace = Pace(total, self._clock)
        self._said = self._clock()

    def read(self) -> None:
        """One more file has been dealt with."""
        pace = self._pace
        pace.done += 1
        now = self._clock()
        if now - self._said >= LINE_SECONDS:
            self._said = now
            minutes, seconds = divmod(round(pace.seconds_left or 0), 60)
            click.echo(
                f"{pace.done:,} of {pace.total:,} photos, {pace.per_second or 0:.1f} a second, "
                f"{minutes}:{seconds:02} left, {pace.failed} failed",
                err=True,
            )

    def failed(self, failure: Failure) -> None:
        """A file or folder could not be read."""
        self._pace.failed += 1
        _name(failure)

    def stopping(self) -> None:
        """The user wants to stop."""
        click.echo("Finishing what is in hand…", err=True)


def _name(failure: Failure) -> None:
    click.echo(f"Cannot read {shown(failure.path)}: {shown(failure.reason)}", err=True)
