"""Decoders that may crash, hang or swallow memory work in a process of their own, which is ended if they do.

JPEG, PNG, WebP, GIF and BMP are decoded where they are: their decoders are small, their cost follows from the size that
the header tells, and no damaged file was ever found to upset them. The libraries behind the other formats are large;
the one for RAW files is asked for whatever is called so, however it begins.
What such a process says is not trusted either: `indexer.wire`.
"""

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time

from engine.photo import RAW_SUFFIXES, UnreadablePhoto
from engine.photo.formats import suffix_of
from indexer import wire
from indexer.decode import Decoded, decode

SECONDS = 10  # of work on one photo
PATIENCE = 60.0  # seconds until a process that neither works nor answers is given up
MEMORY = 1 << 30  # bytes on top of what the process takes without a photo

_MILD = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8", b"BM")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each takes memory, and has nothing to do
_AT_ONCE = 1 << 20  # bytes


class Decoders:
    """Decodes photos, each thread with a process of its own once it needs one. Close it at the end."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._all: list[_Process] = []

    def decode(self, data: bytes, path: str, size: int, sidecar: bytes | None = None) -> Decoded:
        """As `indexer.decode.decode`; also raises UnreadablePhoto for what would take too long or too much memory."""
        if not data or (data.startswith(_MILD) and suffix_of(path) not in RAW_SUFFIXES):
            return decode(data, path, size, sidecar)
        process = getattr(self._mine, "process", None)
        if process is None or not process.usable:
            process = self._mine.process = _Process()
            self._all.append(process)
        return process.decode(data, path, size, sidecar)

    def close(self) -> None:
        """End the processes."""
        for process in self._all:
            process.end()


class _Process:
    """A Python process that decodes one photo after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,  # an interrupt from the keyboard is for us, and we let it finish
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        self.usable = True

    def decode(self, data: bytes, path: str, size: int, sidecar: bytes | None) -> Decoded:
        until = time.monotonic() + PATIENCE
        try:
            self._write(wire.request(data, path, size, sidecar), until)
            return wire.read_answer(lambda length: self._read(length, until), path, size)
        except (OSError, EOFError, wire.Malformed) as error:
            reason = self._why_it_ended(late=isinstance(error, TimeoutError))
            raise UnreadablePhoto(path, reason) from None

    def _write(self, message: bytes, until: float) -> None:
        rest = memoryview(message)
        while rest:
            _wait(self._to, select.POLLOUT, until)
            rest = rest[os.write(self._to, rest[:_AT_ONCE]) :]

    def _read(self, length: int, until: float) -> bytes:
        taken = bytearray()
        while len(taken) < length:
            _wait(self._from, select.POLLIN, until)
            part = os.read(self._from, min(length - len(taken), _AT_ONCE))
            if not part:
                raise EOFError
            taken += part
        return bytes(taken)

    def end(self) -> int:
        """Stop the process; returns how it ended."""
        self.usable = False
        if self._process.poll() is None:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(0.5)
            self._process.kill()
        return self._process.wait()

    def _why_it_ended(self, *, late: bool) -> str:
        if not late:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
        if self.end() == -signal.SIGXCPU or late:
            return f"its decoder worked for more than {SECONDS} seconds"
        return "its decoder crashed"


def _wait(stream: int, for_what: int, until: float) -> None:
    """Wait for a stream; raises TimeoutError."""
    poll = select.poll()
    poll.register(stream, for_what)
    if not poll.poll(1000 * max(0.0, until - time.monotonic())):
        raise TimeoutError


def _serve() -> None:
    """In the process: decode what comes in until nothing comes any more."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not an answer

    def read(length: int) -> bytes:
        taken = source.read(length)
        if len(taken) < length:
            raise EOFError
        return taken

    first = True
    while True:
        try:
            data, path, size, sidecar = wire.read_request(read)
        except EOFError:
            return
        if first:
            _limit(resource.RLIMIT_DATA, _memory_taken() + MEMORY)
            first = False
        _limit(resource.RLIMIT_CPU, int(sum(os.times()[:2])) + 1 + SECONDS)
        outcome: Decoded | UnreadablePhoto
        try:
            outcome = decode(data, path, size, sidecar)
        except UnreadablePhoto as error:
            outcome = error
        except MemoryError:
            outcome = UnreadablePhoto(path, "not enough memory to decode it")
        del data
        sink.write(wire.answer(outcome))
        sink.flush()


def _limit(kind: int, value: int) -> None:
    """Lower a limit of this process, where the system has it."""
    _, hard = resource.getrlimit(kind)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (value, hard))


def _memory_taken() -> int:
    """Bytes of data that the process holds; a guess where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmData:"))
    except (OSError, StopIteration):
        return 1 << 29


if __name__ == "__main__":
    _serve()
