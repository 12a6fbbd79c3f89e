"""`unseen serve` in a process of its own."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from webapp.server import Server as Serving

ROOT = Path(__file__).parents[2]
# `unseen serve` as it is, but with the encoder of the colour bundle, here and in its index runs.
COLOUR_SERVE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from engine.model.encoder import RegionEncoder
from tests.conftest import ColourEncoder
from tests.webapp.conftest import COLOUR_INDEX
from webapp import children
from webapp.jobs import Jobs
RegionEncoder.open = lambda bundle, **_: ColourEncoder(bundle)
for beside in (Jobs, children.Watcher):
    beside.__init__.__defaults__ = (COLOUR_INDEX,)
from webapp.commands import serve
serve()
"""


@dataclass(frozen=True)
class Server:
    """A running server: where it is, and the lines that it printed until it was there."""

    process: subprocess.Popen
    address: str
    said: list[str]


@contextmanager
def started(settings, *arguments, code="from webapp.commands import serve; serve()", **variables) -> Iterator[Server]:
    """A server on a free port; `variables` are set in its environment."""
    environment = {
        **os.environ,
        "UNSEEN_LIBRARY": str(settings.library),
        "UNSEEN_MODEL": settings.model,
        "UNSEEN_CACHE": str(settings.cache),
        **variables,
    }
    command = [sys.executable, "-c", code, "--port", "0", *arguments]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if "unseen is at" in line:
                break
        else:
            raise AssertionError("".join(said))
        yield Server(process, line.split(" at ")[1].split()[0], said)
    finally:
        process.kill()
        process.wait()


@contextmanager
def serving(app) -> Iterator[Serving]:
    """An app behind the server, in threads of this process."""
    server = Serving(app, "127.0.0.1", 0, 4)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
