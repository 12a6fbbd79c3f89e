"""Leaves the machine to others."""

import contextlib
import os


def step_back() -> None:
    """Run only while nobody else needs the cores, and read after everybody else; as far as the system has this."""
    with contextlib.suppress(OSError):
        os.nice(19)
    if hasattr(os, "sched_setscheduler"):  # Linux; its disk scheduler follows
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
