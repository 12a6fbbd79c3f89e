"""`unseen serve`: the page and the API, by a server made for it."""

import ctypes
import errno
import signal
import threading
from contextlib import suppress
from pathlib import Path

import click

from engine.errors import LibraryNotFound, UnseenError
from engine.options import library_option, model_option
from engine.settings import Settings, load_settings

# Of malloc.h: options, and their values.
M_ARENA_MAX, ARENAS = -8, 2
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, KEPT = -3, -1, 32 << 20


@click.command()
@click.option("--host", help="Address to listen on (UNSEEN_HOST). [default: 127.0.0.1, this machine only]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port (UNSEEN_PORT); 0 takes a free one. [default: 8410]")
@click.option(
    "--auth/--no-auth",
    default=None,
    help="Whether who asks must show a token (UNSEEN_AUTH). [default: if others than this machine may ask]",
)
@click.option("--watch", is_flag=True, help="Keep the library up to date meanwhile, as unseen watch does.")
@library_option
@model_option
def serve(
    host: str | None, port: int | None, auth: bool | None, watch: bool, library: Path | None, model: str | None
) -> None:
    """Serve the web page and the JSON API.

    \b
    Example: unseen serve --port 8080
    """
    from webapp import create_app, logs
    from webapp.auth import only_here, token_needed
    from webapp.children import Watcher
    from webapp.indexing import EXTENSION as JOBS
    from webapp.library import EXTENSION as LIBRARY
    from webapp.server import Server

    _share_memory_between_threads()
    settings = load_settings(library=library, model=model, host=host, port=port or None, auth=auth)
    wanted = settings.port if port is None else port
    if token_needed(settings):
        _check_that_there_is_a_token(settings)
    app = create_app(settings)
    try:
        server = Server(app, settings.host.strip("[]"), wanted, settings.threads)
    except (OSError, ValueError) as error:  # waitress says ValueError for a name that is no address
        raise _cannot_listen(error, settings.host, wanted) from None
    logs.configure(settings)
    wishes = [signal.SIGTERM, signal.SIGINT]  # a shell may have started us with the latter ignored
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        wishes.append(signal.SIGHUP)  # of a terminal that is closed
    for wish in wishes:
        signal.signal(wish, lambda *_: server.stop())
    threading.Thread(target=app.extensions[LIBRARY].warm, daemon=True).start()
    if not token_needed(settings) and not only_here(settings):
        click.echo("Careful: anyone who can reach this machine can see the photos in the library.", err=True)
    click.echo(f"unseen is at http://{_shown(settings.host)}:{server.port} (stop it with Ctrl-C)", err=True)
    beside = [app.extensions[JOBS], *([Watcher(settings)] if watch else [])]
    server.run(on_stop=lambda: [one.stop() for one in beside])
    for one in beside:
        one.close()


def _share_memory_between_threads() -> None:
    """Let threads use what others have freed.

    With an arena for each of them, glibc holds on to twice as much; and what a query needs for a moment it would give
    back to the system, to be cleared for the next query.
    """
    with suppress(OSError, TypeError, AttributeError):  # another C library than glibc
        for option, value in ((M_ARENA_MAX, ARENAS), (M_MMAP_THRESHOLD, KEPT), (M_TRIM_THRESHOLD, KEPT)):
            ctypes.CDLL(None).mallopt(option, value)


def _check_that_there_is_a_token(settings: Settings) -> None:
    from engine.library.database import Database
    from engine.library.tokens import Tokens

    try:
        with Database.open(settings.library) as database:
            tokens = Tokens(database).all()
    except LibraryNotFound:
        tokens = []
    if not tokens:
        raise UnseenError(
            "Others than this machine could ask this server, and there is no token for them",
            "Index a folder, then make a token with: unseen token new; or let anyone see the photos with --no-auth",
        )


def _cannot_listen(error: Exception, host: str, port: int) -> UnseenError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return UnseenError(f"Port {port} of {host} is taken by another program", "Choose another one with --port")
    reason = getattr(error, "strerror", None) or str(error)
    return UnseenError(f"Cannot listen on {host}, port {port}: {reason}", "Choose others with --host and --port")


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
