"""Commands of unseen that the server runs beside itself, each as a process of its own with the lowest priority."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from engine.settings import Settings

logger = logging.getLogger("unseen.children")

COMMAND = (
    sys.executable,
    "-P",
    "-c",
    "import os, sys; sys.argv[0] = 'unseen'; os.nice(19); from indexer.background import end_with_parent; "
    "end_with_parent(); from engine.cli import main; main()",
)
PAUSE = 60.0  # seconds after which a watcher that has ended by itself is started again
PATIENCE = 30.0  # seconds that it has for the batch in hand when the server stops


def spawn(settings: Settings, name: str, *arguments: str, command: Sequence[str] = COMMAND, **how: Any) -> Any:
    """Run `unseen NAME` for the library of the settings; `how` is as for `subprocess.Popen`."""
    options = ["--library", str(settings.library), "--jobs", str(settings.jobs)]
    if settings.chosen_model is not None:
        options += ["--model", settings.chosen_model]
    return subprocess.Popen(  # noqa: S603  (our own command; folders come after --, and are no options)
        [*command, name, *options, *arguments],
        env={**os.environ, "UNSEEN_CACHE": str(settings.cache)},
        stdin=subprocess.PIPE,  # it ends with us, however we end
        # Ctrl-C on the server's terminal reaches it through us, once. In a session of its own its priority would count
        # for nothing: Linux shares out the cores between sessions first.
        process_group=0,
        **how,
    )


class Watcher:
    """`unseen watch` beside a server: for the folders of the settings, else for those that were indexed before.

    It is started again where it ends by itself.
    """

    def __init__(self, settings: Settings, command: Sequence[str] = COMMAND) -> None:
        folders = [str(root) for root in settings.roots]
        self._spawn = partial(spawn, settings, "watch", "--", *folders, command=command, stdout=subprocess.DEVNULL)
        self._process = self._spawn()
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # of the process, while it is exchanged
        threading.Thread(target=self._follow, name="watcher", daemon=True).start()

    def stop(self) -> None:
        """Let it end after the batch in hand; returns at once, and asks it only once."""
        with self._lock:
            if not self._stopping.is_set():
                self._stopping.set()
                self._process.terminate()

    def close(self) -> None:
        """Stop it, and wait; end it the hard way if that takes too long."""
        self.stop()
        end(self._process)

    def _follow(self) -> None:
        """In a thread: where it ends by itself, say so and start it again."""
        while True:
            status = self._process.wait()
            if self._stopping.is_set():
                return
            logger.error("unseen watch has ended (status %s); it is started again in %.0f s", status, PAUSE)
            self._stopping.wait(PAUSE)
            with self._lock, suppress(OSError):  # of a machine that has no room for it; then the next time
                if not self._stopping.is_set():
                    self._process = self._spawn()


def end(process: "subprocess.Popen[Any]") -> None:
    """Wait for a process that has been asked to end, and do not wait for ever."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
