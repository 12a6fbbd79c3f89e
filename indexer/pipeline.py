"""From a scan to a library that is up to date: read → decode → encode → store → index.

Threads read and decode; the caller's thread encodes, a batch at a time, and is the only one that writes. What waits
between them is bounded. Every batch is one transaction, so a run that ends at any moment loses at most the batch in
hand, and the same command goes on from there.
"""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import WrongBundle
from engine.library import indexes, thumbnails
from engine.library.records import Batch, Failure, FileStamp, KnownFile, NewPhoto
from engine.library.region_map import RegionMap
from engine.library.store import Store
from engine.model.bundle import Bundle
from engine.photo import UnreadablePhoto, UnreadFile, read_file
from engine.photo.metadata import dated_by_file
from indexer.decode import Decoded, decode
from indexer.scan import UNREAD, FoundFile, Plan, Scan, compare, within

ENCODED_AT_ONCE = 8  # photos
BATCH = 64  # photos in a transaction
BATCH_SECONDS = 2.0  # after which a smaller one is written
AHEAD = 4  # photos read ahead, for each thread


class Encoder(Protocol):
    """What looks at photos: `engine.model.encoder.RegionEncoder`, or a double of it."""

    @property
    def bundle(self) -> Bundle:
        """The model."""
        ...

    @property
    def input_size(self) -> int:
        """S, pixels a side of the square that a photo is squashed to."""
        ...

    def encode(self, pixels: NDArray[np.uint8]) -> list[tuple[RegionMap, NDArray[np.float16]]]:
        """Upright pixels (B, S, S, 3) → a region map and class scores for each photo."""
        ...


class Progress:
    """Hears how a run goes, and does nothing about it; for subclasses to show."""

    def scanning(self, found: int) -> None:
        """So many files have been found so far."""

    def begin(self, total: int) -> None:
        """There are `total` files to read."""

    def read(self) -> None:
        """One more file has been dealt with."""

    def failed(self, failure: Failure) -> None:
        """A file or folder could not be read."""

    def stopping(self) -> None:
        """The user wants to stop; the batch in hand is being written."""

    def end(self) -> None:
        """All files have been dealt with, or the run was stopped."""


@dataclass
class Report:
    """What a run did. `found` counts files that may be photos; `failed` also counts folders that cannot be read."""

    found: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    moved: int = 0
    removed: int = 0
    failed: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0


def plan_for(store: Store, found: Scan, *, retry_failed: bool = False) -> Plan:
    """What there is to do to bring the library up to date with a scan."""
    known = (file for root in found.roots for file in store.known_files(root))
    failed = (failure for root in found.roots for failure in store.failures(root))
    return compare(found, known, failed, retry_failed=retry_failed)


def bring_up_to_date(
    store: Store,
    encoder: Encoder,
    found: Scan,
    *,
    retry_failed: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Bring the library up to date with a scan, using `jobs` threads to read and decode.

    Call it while holding the writer's lock. A file that cannot be used is recorded as a failure, and read again only
    when it changes, or with `retry_failed`. On an interrupt from the keyboard the batch in hand is written before
    KeyboardInterrupt is raised. Raises WrongBundle, LibraryError, or OSError where thumbnails or indexes cannot be
    written.
    """
    started = time.perf_counter()
    check_bundle(store, encoder.bundle)
    thumbnails.clear_partial(store.folder)
    plan = plan_for(store, found, retry_failed=retry_failed)
    run = _Run(store, encoder, plan, jobs, progress or Progress())
    with _stoppable() as stop:
        run.everything(stop)
        indexes.refresh(store)
    if stop.is_set():
        raise KeyboardInterrupt
    for root in found.roots:
        store.remember_root(root)
    report = run.report
    report.found = len(found.files)
    report.seconds = round(time.perf_counter() - started, 3)
    report.images_per_second = round((report.added + report.updated) / max(report.seconds, 1e-3), 2)
    return report


def check_bundle(store: Store, bundle: Bundle) -> None:
    """Raise WrongBundle unless the library was made with this bundle."""
    info = store.info()
    if info.fingerprint != bundle.fingerprint:
        raise WrongBundle(
            f"The library in {store.folder} was made with another model ({info.bundle}), not with this {bundle.name}",
            "Leave out --model to go on with that one, or index again with this one into another folder: "
            "unseen index FOLDER --library NEW --model NAME",
        )


@dataclass
class _Waiting:
    """A photo that waits to be encoded, and the files with that content."""

    decoded: Decoded
    files: list[tuple[str, FileStamp, KnownFile | None]]


class _Run:
    """One run in the making. Its methods run in the caller's thread, but for `_read`."""

    def __init__(self, store: Store, encoder: Encoder, plan: Plan, jobs: int, progress: Progress) -> None:
        self.report = Report(unchanged=plan.unchanged, failed=len(plan.still_failing))
        self._store = store
        self._encoder = encoder
        self._plan = plan
        self._jobs = jobs
        self._ahead = jobs * AHEAD + ENCODED_AT_ONCE  # photos between `_read` and `_take`
        self._progress = progress
        self._roots = store.roots()
        self._recorded = {(failure.path, failure.stamp, failure.reason) for failure in store.failures()}
        self._vanished = {file.id: file for file in plan.vanished}  # less those found elsewhere
        self._waiting: dict[bytes, _Waiting] = {}  # by content
        self._recent: dict[bytes, NewPhoto] = {}  # photos that `_read` may not have seen in the library, by content
        self._batch = Batch(healed=list(plan.healed))
        self._replaced: list[bytes] = []  # contents that the batch takes out of the library
        self._committed_at = time.monotonic()

    def everything(self, stop: threading.Event) -> None:
        """Read what is new or changed, then remove what is gone; after `stop` only finish what is in hand."""
        to_read = self._plan.to_read
        self._progress.begin(len(to_read))
        for failure in self._plan.unreadable:
            self._fail(failure)
        with ThreadPoolExecutor(self._jobs, "read") as pool:
            for (file, known), outcome in _in_order(pool, self._read, to_read, self._ahead):
                self._take(file, known, outcome)
                self._progress.read()
                if len(self._batch) >= BATCH or time.monotonic() - self._committed_at > BATCH_SECONDS:
                    self._commit()
                if stop.is_set():
                    self._progress.stopping()
                    break
        self._encode()
        if not stop.is_set():
            self._remove_vanished()
        self._commit()
        self._progress.end()

    def _read(self, item: tuple[FoundFile, KnownFile | None]) -> Decoded | NewPhoto | UnreadablePhoto:
        """In a thread: what there is at a path. A content that the library knows need not be decoded."""
        path = item[0].path
        try:
            file = read_file(path)
            known = self._store.known_content(file.content_hash)
            if known is not None:
                return _at(known, path, file.stamp)
            decoded = decode(file, self._encoder.input_size)
        except UnreadablePhoto as error:
            return error
        thumbnails.write(self._store.folder, decoded.content_hash, decoded.thumbnail)
        return decoded

    def _take(self, file: FoundFile, known: KnownFile | None, outcome: Decoded | NewPhoto | UnreadablePhoto) -> None:
        """Sort what was read into the batch, or among the photos that wait to be encoded."""
        if isinstance(outcome, UnreadablePhoto):
            if known is not None:
                self._batch.removed.append(known.id)
                self._replaced.append(known.content_hash)
            self._fail(Failure(file.path, UNREAD if isinstance(outcome, UnreadFile) else file.stamp, outcome.reason))
        elif isinstance(outcome, NewPhoto):
            self._put(outcome, known)
        elif outcome.content_hash in self._recent:
            self._put(_at(self._recent[outcome.content_hash], file.path, outcome.stamp), known)
        else:
            waiting = self._waiting.setdefault(outcome.content_hash, _Waiting(outcome, []))
            waiting.files.append((file.path, outcome.stamp, known))
            if len(self._waiting) == ENCODED_AT_ONCE or len(waiting.files) >= BATCH:
                self._encode()

    def _encode(self) -> None:
        """Encode what waits. Always equally many, so that no photo's codes depend on how many came with it."""
        if not self._waiting:
            return
        size = self._encoder.input_size
        pixels = np.zeros((ENCODED_AT_ONCE, size, size, 3), np.uint8)
        pixels[: len(self._waiting)] = [waiting.decoded.pixels for waiting in self._waiting.values()]
        encoded = self._encoder.encode(pixels)[: len(self._waiting)]
        for waiting, (region_map, class_scores) in zip(self._waiting.values(), encoded, strict=True):
            for path, stamp, known in waiting.files:
                photo = waiting.decoded
                self._put(
                    NewPhoto(
                        path,
                        stamp,
                        photo.content_hash,
                        photo.width,
                        photo.height,
                        photo.format,
                        dated_by_file(photo.metadata, stamp),
                        region_map,
                        class_scores,
                        photo.warning,
                    ),
                    known,
                    new_content=True,
                )
        self._waiting.clear()

    def _put(self, photo: NewPhoto, known: KnownFile | None, *, new_content: bool = False) -> None:
        """Add a photo to the batch as what it is: touched, changed, moved or new."""
        self._recent[photo.content_hash] = photo
        if known is not None and known.content_hash == photo.content_hash:
            self._batch.touched[known.id] = photo.stamp
            self.report.unchanged += 1
        elif known is not None:
            self._batch.updated[known.id] = photo
            self._replaced.append(known.content_hash)
            self.report.updated += 1
        elif not new_content and (moved := self._moved_from(photo.content_hash)) is not None:
            self._batch.moved[moved.id] = (photo.path, photo.stamp)
            self._vanished.pop(moved.id, None)
            self.report.moved += 1
        else:
            self._batch.added.append(photo)
            self.report.added += 1

    def _moved_from(self, content_hash: bytes) -> KnownFile | None:
        """A photo of the library with this content that is no longer where it was."""
        for file in self._store.with_content(content_hash):
            if file.id not in self._batch.moved and (file.id in self._vanished or self._is_gone(file.path)):
                return file
        return None

    def _is_gone(self, path: str) -> bool:
        """Whether a file is missing although the folder that it was indexed with is there: not an unplugged disk."""
        if os.path.lexists(path):
            return False
        return any(within(path, [root]) and os.path.isdir(root) for root in self._roots)  # noqa: PTH112

    def _fail(self, failure: Failure) -> None:
        self.report.failed += 1
        self._progress.failed(failure)
        if (failure.path, failure.stamp, failure.reason) not in self._recorded:
            self._batch.failed.append(failure)

    def _remove_vanished(self) -> None:
        self._batch.removed += self._vanished
        self._replaced += [file.content_hash for file in self._vanished.values()]
        self.report.removed += len(self._vanished)

    def _commit(self) -> None:
        """Write the batch, and delete thumbnails that no photo needs any more."""
        if len(self._batch):
            self._store.apply(self._batch)
        for content_hash in self._replaced:
            if not self._store.with_content(content_hash):
                thumbnails.remove(self._store.folder, content_hash)
        for content_hash in list(self._recent)[: -(self._ahead + ENCODED_AT_ONCE + BATCH)]:
            del self._recent[content_hash]
        self._batch, self._replaced = Batch(), []
        self._committed_at = time.monotonic()


def _at(photo: NewPhoto, path: str, stamp: FileStamp) -> NewPhoto:
    """The same content in another file."""
    return replace(photo, path=path, stamp=stamp, metadata=dated_by_file(photo.metadata, stamp))


Item = TypeVar("Item")
Result = TypeVar("Result")


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[tuple[Item, Result]]:
    """Each item with what `work` makes of it in the pool's threads, in order, at most `ahead` of them begun."""
    begun: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            begun.append((item, pool.submit(work, item)))
            if len(begun) == ahead:
                first, future = begun.popleft()
                yield first, future.result()
        while begun:
            first, future = begun.popleft()
            yield first, future.result()
    finally:
        for _, future in begun:
            future.cancel()


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Within, the first interrupt from the keyboard sets the event, and a second one interrupts as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread hears signals
        return

    def note(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
