"""How often a client may do what costs: a bucket for each, which fills again over time."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from flask import Flask, current_app, request

from webapp.errors import TooMany

EXTENSION = "unseen.costly"
CLIENTS = 10_000  # that are remembered; the longest unseen is forgotten first


class Limit:
    """`rate` calls a minute for each client, up to `burst` of them at once; threads may share it.

    A rate of 0 is no limit at all.
    """

    def __init__(self, rate: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = rate / 60
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # calls left, at what time

    def take(self, client: str, calls: float = 1.0) -> float:
        """Take a call, or a part of one; returns 0.0, or the seconds to wait where there is none left.

        With 0 calls it only looks.
        """
        if not self._per_second:
            return 0.0
        with self._lock:
            now = self._clock()
            left, at = self._buckets.pop(client, (float(self._burst), now))
            left = min(self._burst, left + (now - at) * self._per_second)
            enough = left >= 1
            self._buckets[client] = (left - calls if enough else left, now)
            if len(self._buckets) > CLIENTS:
                self._buckets.popitem(last=False)
            return 0.0 if enough else (1 - left) / self._per_second


def register(app: Flask, rate: int) -> None:
    """Let each client of `app` make `rate` costly calls a minute; 0 is any number."""
    app.extensions[EXTENSION] = Limit(rate, max(1, rate // 2))


def costly(calls: float = 1.0) -> None:
    """The running request costs as much as so many calls; raises TooMany where the client has made too many."""
    limit: Limit = current_app.extensions[EXTENSION]
    if seconds := limit.take(request.remote_addr or "", calls):
        raise TooMany("Too many costly calls came from this address", "Wait a little", seconds)
