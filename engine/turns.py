"""Turns at the interpreter, of which threads have one between them.

Threads that all run Python spend much of their time on taking it from each other: on two cores, forty of them answered
137 requests a second where those that took turns answered 195. So who computes takes a turn, first come, first served,
and gives it up for as long as it waits for something else.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

_mine = threading.local()  # `turns`: those that this thread has one of


class Turns:
    """As many turns as threads may compute at once."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: deque[threading.Lock] = deque()  # a lock for each thread that waits, held until it is its turn
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait for a turn; who has one already keeps it."""
        if getattr(_mine, "turns", None) is self:
            return
        with self._lock:
            turn = None if self._free else threading.Lock()
            if turn is None:
                self._free -= 1
            else:
                turn.acquire()
                self._waiting.append(turn)
        if turn is not None:
            turn.acquire()
        _mine.turns = self

    def give(self) -> None:
        """Let the next thread have this one's turn, if it has one."""
        if getattr(_mine, "turns", None) is not self:
            return
        _mine.turns = None
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


@contextmanager
def aside() -> Iterator[None]:
    """Give this thread's turn up, if it has one, for something that others need not wait for."""
    turns: Turns | None = getattr(_mine, "turns", None)
    if turns is None:
        yield
        return
    turns.give()
    try:
        yield
    finally:
        turns.take()
