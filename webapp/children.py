"""Commands of unseen that the server runs beside itself, each as a process of its own with the lowest priority."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from engine.settings import Settings

COMMAND = (
    sys.executable,
    "-P",
    "-c",
    "import os, sys; sys.argv[0] = 'unseen'; os.nice(19); from engine.cli import main; main()",
)
PATIENCE = 30.0  # seconds that it has for the batch in hand when the server stops


def spawn(settings: Settings, name: str, *arguments: str, command: Sequence[str] = COMMAND, **how: Any) -> Any:
    """Run `unseen NAME` for the library of the settings; `how` is as for `subprocess.Popen`."""
    options = ["--library", str(settings.library), "--jobs", str(settings.jobs)]
    if "model" in settings.model_fields_set:
        options += ["--model", settings.model]
    return subprocess.Popen(  # noqa: S603  (our own command; folders come after --, and are no options)
        [*command, name, *options, *arguments],
        env={**os.environ, "UNSEEN_CACHE": str(settings.cache)},
        stdin=subprocess.DEVNULL,
        # Ctrl-C on the server's terminal reaches it through us, once. In a session of its own its priority would count
        # for nothing: Linux shares out the cores between sessions first.
        process_group=0,
        **how,
    )


class Watcher:
    """`unseen watch` beside a server: it looks after all folders that were indexed, and those of the settings."""

    def __init__(self, settings: Settings, command: Sequence[str] = COMMAND) -> None:
        folders = [str(root) for root in settings.roots]
        self._process = spawn(settings, "watch", "--", *folders, command=command, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        """Let it end after the batch in hand; returns at once."""
        self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Stop it, and wait; end it the hard way if that takes too long."""
        self.stop()
        end(self._process)


def end(process: "subprocess.Popen[Any]") -> None:
    """Wait for a process that has been asked to end, and do not wait for ever."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
