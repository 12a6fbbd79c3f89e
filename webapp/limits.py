"""How often a client may do what costs: a bucket for each, which fills again over time."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

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

    def take(self, client: str) -> float:
        """Take a call; returns 0.0, or the seconds to wait where there is none left."""
        return self._look(client, 1.0)

    def wait(self, client: str) -> float:
        """Seconds until there is a call to take, without taking it."""
        return self._look(client, 0.0)

    def _look(self, client: str, calls: float) -> float:
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
