"""Leaves the machine to others."""

import contextlib
import os
import signal
import threading


def step_back() -> None:
    """Run only while nobody else needs the cores, and read after everybody else; as far as the system has this."""
    with contextlib.suppress(OSError):
        os.nice(19)
    if hasattr(os, "sched_setscheduler"):  # Linux; its disk scheduler follows
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def end_with_parent() -> None:
    """Interrupt this process, as Ctrl-C does, once its standard input ends: a pipe whose other end its parent has."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=wait, name="parent", daemon=True).start()
