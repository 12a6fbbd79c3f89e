"""How a run shows itself on standard error: a bar on a terminal, a line now and then in a log."""

import sys
import time

import click
from tqdm import tqdm

from engine.library.records import Failure
from indexer.pipeline import Progress
from indexer.wording import shown

LINE_SECONDS = 10.0


def progress_for_stderr() -> Progress:
    """The progress that suits where standard error goes."""
    return Bar() if sys.stderr.isatty() else Lines()


class Bar(Progress):
    """A bar with rate, time left and failures so far."""

    def __init__(self) -> None:
        self._bar: tqdm[None] = tqdm(disable=True)
        self._failures = 0

    def begin(self, total: int) -> None:
        """There are `total` files to read."""
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

    def __init__(self) -> None:
        self._total = self._done = self._failures = 0
        self._started = self._said = time.monotonic()

    def begin(self, total: int) -> None:
        """There are `total` files to read."""
        self._total = total
        self._started = self._said = time.monotonic()

    def read(self) -> None:
        """One more file has been dealt with."""
        self._done += 1
        now = time.monotonic()
        if now - self._said >= LINE_SECONDS:
            self._said = now
            rate = self._done / (now - self._started)
            minutes, seconds = divmod(round((self._total - self._done) / rate), 60)
            click.echo(
                f"{self._done:,} of {self._total:,} photos, {rate:.1f} a second, {minutes}:{seconds:02} left, "
                f"{self._failures} failed",
                err=True,
            )

    def failed(self, failure: Failure) -> None:
        """A file or folder could not be read."""
        self._failures += 1
        _name(failure)

    def stopping(self) -> None:
        """The user wants to stop."""
        click.echo("Finishing what is in hand…", err=True)


def _name(failure: Failure) -> None:
    click.echo(f"Cannot read {shown(failure.path)}: {shown(failure.reason)}", err=True)
