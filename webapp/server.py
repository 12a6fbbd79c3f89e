"""The server under the page: waitress, with a stop that loses no request, and no patience for clients that dawdle."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer, create_server
from waitress.task import ErrorTask

from webapp.errors import MAX_UPLOAD, TooLarge, problem
from webapp.indexing import STREAMS

CONNECTIONS = 512
IDLE = 60  # seconds that a connection may say nothing
RECEIVING = 120.0  # seconds in which a request must have come in whole
DRAINING = 30.0  # seconds that requests have to finish when the server stops
GRACE = 1.0  # seconds in which a client that is connected then may still ask
TICK = 0.5  # seconds


class ProblemTask(ErrorTask):  # type: ignore[misc]
    """Answers what is no request at all, as the application answers its errors."""

    def execute(self) -> None:
        """Write a problem document."""
        error = self.request.error
        answer = problem(error.code, error.body)
        if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            answer = problem(error.code, str(TooLarge.as_a_whole()), "too-large")
        body = answer.get_data()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/problem+json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection that knows since when it has been receiving a request, and whether it shall be the last one."""

    error_task_class = ProblemTask
    receiving_since: float | None = None
    last = False

    def received(self, data: bytes) -> bool:
        """Take what a client sends."""
        more = bool(super().received(data))
        if self.request is None:
            self.receiving_since = None
        elif self.receiving_since is None:
            self.receiving_since = time.time()
        return more

    def writable(self) -> bool:
        """Whether there is something to send, or to close.

        Not what a thread is sending just now: waitress would ask for it again and again, and get nowhere.
        """
        if self.will_close or self.close_when_flushed:
            return True
        if not self.total_outbufs_len or not self.outbuf_lock.acquire(blocking=False):
            return False
        self.outbuf_lock.release()
        return True

    def service(self) -> None:
        """Answer a request, in a thread."""
        if self.last:
            self.requests[0].headers["CONNECTION"] = "close"
        super().service()

    @property
    def busy(self) -> bool:
        """Whether a request is coming in, being answered or going out."""
        return bool(self.requests or self.request is not None or self.total_outbufs_len)


class Server:
    """An application on a socket, or on several where a host name stands for several addresses."""

    def __init__(self, app: Any, host: str, port: int, threads: int) -> None:
        """Listen; raises OSError, or ValueError for a name that is no address."""
        self._stopping = False
        self._map: dict[int, Any] = {}
        self._waitress = create_server(
            app,
            map=self._map,
            host=host,
            port=port,
            threads=threads + STREAMS,  # so that streams of events take none from the others
            ident=None,
            connection_limit=CONNECTIONS,
            channel_timeout=IDLE,
            cleanup_interval=10,
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=False,  # webapp.proxy decides whom to believe
            max_request_body_size=2 * MAX_UPLOAD,  # what is a little too large is refused in words, by the app
        )
        self._listeners = [one for one in self._map.values() if isinstance(one, TcpWSGIServer)]
        for listener in self._listeners:
            listener.channel_class = Channel

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._listeners[0].effective_port)

    def run(self, on_stop: Callable[[], object] = lambda: None) -> None:
        """Answer until `stop` is called; then call `on_stop`, and finish what has been asked."""
        while not self._stopping:
            self._turn()
        self._stop_listening()
        on_stop()
        stopped = time.time()
        while self._channels() and time.time() < stopped + DRAINING:
            for channel in self._channels():
                channel.last = True
                if not channel.busy and time.time() > max(stopped, channel.last_activity) + GRACE:
                    channel.will_close = True
            self._turn()
        self._waitress.task_dispatcher.shutdown()

    def stop(self) -> None:
        """Begin to stop; a signal handler may call it."""
        self._stopping = True
        for listener in self._listeners:
            listener.pull_trigger()

    def _stop_listening(self) -> None:
        """Take in who has connected already, and no one else."""
        for listener in self._listeners:
            before = -1
            while len(self._map) != before:
                before = len(self._map)
                listener.handle_accept()
            listener.del_channel()
            listener.socket.close()

    def _turn(self) -> None:
        wasyncore.loop(timeout=TICK, map=self._map, use_poll=True, count=1)
        too_late = time.time() - RECEIVING
        for channel in self._channels():
            if channel.receiving_since is not None and channel.receiving_since < too_late:
                channel.will_close = True

    def _channels(self) -> list[Any]:
        return [one for one in self._map.values() if isinstance(one, Channel)]
