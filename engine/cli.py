"""The command `unseen`: finds its commands by entry point, imports one only when it is called, and words every error.

Commands are entry points of the group `unseen.commands`, so another package can add its own.
"""

import errno
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points, version

import click

from engine.errors import UnseenError
from engine.printing import is_utf8

GROUP = "unseen.commands"
# Short help of our own commands, so that `unseen --help` need not import them; a test compares it with theirs.
SUMMARIES = {
    "index": "Bring the library up to date with folders of photos.",
    "watch": "Keep the library up to date with folders of photos until stopped.",
    "search": "Find photos by words, by an image, or by both; prints score and path, best first.",
    "explain": "Show where in a photo the words of a query are found, as a heatmap over the photo.",
    "export": "Write out the tags that were found in all photos of the library.",
    "tags": "Name what a photo most likely shows, with confidence.",
    "status": "Say what the library holds, how old it is and how much room it takes.",
    "serve": "Serve the web page and the JSON API.",
    "token": "Keys to the server, for who is not on this machine.",
    "demo": "Index the sample photos of an installed package and open the page.",
    "db": "Look after the library's database and index.",
    "models": "Bundles on this machine.",
    "train": "Train a bundle; an interrupted run goes on from its last epoch.",
    "evaluate": "Measure a bundle: the table of zero-shot and generalised zero-shot retrieval.",
}
_HINTS = {
    errno.ENOSPC: "Make room and run the same command again",
    errno.EACCES: "Check the permissions",
    errno.EROFS: "The disk is read-only",
}


class Commands(click.Group):
    """A group whose commands are entry points."""

    @cached_property
    def found(self) -> dict[str, EntryPoint]:
        """Entry points by name; where two packages claim a name, ours is kept."""
        points = sorted(entry_points(group=GROUP), key=lambda point: _package(point) == "unseen")
        return {point.name: point for point in points}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names: ours in the order of a first visit, then those of other packages."""
        ours = [name for name in SUMMARIES if name in self.found]
        return [*ours, *sorted(self.found.keys() - SUMMARIES.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; raises UnseenError if that fails."""
        point = self.found.get(cmd_name)
        if point is None:
            return None
        try:
            command = point.load()
        except (ImportError, AttributeError) as error:
            raise UnseenError(
                f"The command {cmd_name} cannot be loaded: {error}", f"Reinstall {_package(point)}"
            ) from error
        if not isinstance(command, click.Command):
            raise UnseenError(f"The command {cmd_name} ({point.value}) is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `unseen --help`."""
        rows = [(name, SUMMARIES.get(name) or self._summary(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _summary(self, ctx: click.Context, name: str) -> str:
        try:
            command = self.get_command(ctx, name)
        except UnseenError as error:
            return f"({error.message})"
        return command.get_short_help_str(80) if command else ""


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("unseen"), message="%(prog)s %(version)s")
def cli() -> None:
    """Search your photos by words nobody ever tagged them with, and see where in each photo the word was found.

    \b
    Example: unseen index ~/Pictures
             unseen search lighthouse
    """


def main() -> None:
    """Run the command line and exit."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a script's shell starts what it does not wait for
        signal.signal(signal.SIGINT, signal.default_int_handler)  # or nothing could ask this to stop and finish
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit status: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted."""
    try:
        _keep_bytes_of_paths()
        warnings.filterwarnings("ignore", module="PIL")  # of no consequence, or an error a moment later
        status = cli.main(list(arguments), prog_name="unseen", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        _say(str(error) or "interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains as it exits
        return 1
    except Exception as error:  # the border to the user: nothing may pass it as a traceback
        if _debug():
            traceback.print_exc()
        _say(f"error: {_in_words(error)}")
        return 1


def _in_words(error: Exception) -> str:
    if isinstance(error, UnseenError):
        return str(error)
    if isinstance(error, OSError):
        place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        hint = _HINTS.get(error.errno or 0)
        return f"{place}{error.strerror or error}{'. ' + hint if hint else ''}"
    return f"{type(error).__name__}: {error}. This is a bug in unseen; set UNSEEN_DEBUG=1 to see where it comes from"


def _say(text: str) -> None:
    click.echo(f"unseen: {' '.join(text.split())}", err=True)


def _debug() -> bool:
    from engine.settings import load_settings

    try:
        return load_settings().debug
    except UnseenError:
        return False


def _keep_bytes_of_paths() -> None:
    """Names of files that are not UTF-8 come out as the bytes that they are, and no letter is an error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started this
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="surrogateescape" if is_utf8(stream) else "backslashreplace")
