"""`unseen serve`: the page and the API, by a server made for it."""

import errno
import logging
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import click

from engine.errors import UnseenError
from engine.options import library_option, model_option
from engine.settings import load_settings

THREADS = 8


@click.command()
@click.option("--host", help="Address to listen on (UNSEEN_HOST). [default: 127.0.0.1, this machine only]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port (UNSEEN_PORT); 0 takes a free one. [default: 8410]")
@library_option
@model_option
def serve(host: str | None, port: int | None, library: Path | None, model: str | None) -> None:
    """Serve the web page and the JSON API.

    \b
    Example: unseen serve --port 8080
    """
    from waitress.server import create_server

    from webapp import create_app
    from webapp.errors import MAX_UPLOAD
    from webapp.library import EXTENSION
    from webapp.security import is_loopback

    settings = load_settings(library=library, model=model, host=host, port=port or None)
    wanted = settings.port if port is None else port
    app = create_app(settings)
    try:
        server = create_server(
            app,
            host=settings.host.strip("[]"),
            port=wanted,
            threads=THREADS,
            ident=None,
            max_request_body_size=2 * MAX_UPLOAD,  # what is a little too large is refused in words, by the app
        )
    except (OSError, ValueError) as error:  # waitress says ValueError for a name that is no address
        raise _cannot_listen(error, settings.host, wanted) from None
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # that requests wait their turn is no news
    for wish in (signal.SIGTERM, signal.SIGINT):  # a shell may have started us with the latter ignored
        signal.signal(wish, _stop)
    threading.Thread(target=app.extensions[EXTENSION].warm, daemon=True).start()
    if not is_loopback(settings.host):
        click.echo("Careful: anyone who can reach this machine can see the photos in the library.", err=True)
    click.echo(f"unseen is at http://{_shown(settings.host)}:{_port(server)} (stop it with Ctrl-C)", err=True)
    server.run()
    server.close()


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(0)  # the server's loop ends, and it lets running requests finish


def _cannot_listen(error: Exception, host: str, port: int) -> UnseenError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return UnseenError(f"Port {port} of {host} is taken by another program", "Choose another one with --port")
    reason = getattr(error, "strerror", None) or str(error)
    return UnseenError(f"Cannot listen on {host}, port {port}: {reason}", "Choose others with --host and --port")


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _port(server: Any) -> int:
    """The port in use; a name such as localhost may stand for several addresses."""
    listen = getattr(server, "effective_listen", None)
    return int(listen[0][1] if listen else server.effective_port)
