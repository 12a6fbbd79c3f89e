"""From a scan to a library that is up to date: look at what is new → store → index.

Threads look at photos (`indexer.look`); the caller's thread is the only one that writes. What waits between them is
bounded. Every batch is one transaction, so a run that ends at any moment loses at most the batch in hand, and the same
command goes on from there.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from threadpoolctl import threadpool_limits

from engine.library import indexes, thumbnails
from engine.library.records import Batch, Failure, KnownFile, NewPhoto
from engine.library.store import Store
from engine.paths import within
from engine.photo import UnreadablePhoto, UnreadFile
from indexer.ledger import UNREAD
from indexer.look import Copy, Encoder, Looker, ToRead, at
from indexer.scan import Scan
from indexer.stopping import stoppable

BATCH = 64  # photos in a transaction
BATCH_SECONDS = 2.0  # after which a smaller one is written
REFRESHED = 4000  # photos written between one refresh of the indexes and the next
AHEAD = 64  # photos looked at ahead, for each thread: it is not to wait while the indexes are refreshed
A_FEW = 20  # photos that somebody may have deleted from a folder; more may be on a disk that is not connected


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


@dataclass
class Plan:
    """What there is to do, by numbers; the files are in the ledger of the scan. `new` includes those that failed
    before, `vanished` those that have moved; only their content will tell.
    """

    new: int
    changed: int
    unchanged: int
    vanished: int
    still_failing: int
    unreadable: list[Failure]
    disconnected: list[str]  # folders that are empty as if their disk were not there, whose photos stay


def plan_for(
    store: Store,
    found: Scan,
    *,
    retry_failed: bool = False,
    prune_missing_roots: bool = False,
    new_model: bool = False,
) -> Plan:
    """Compare a scan with the library; photos of places that could not be looked into stay.

    So do photos of a folder that holds nothing at all any more, as a mount point does whose disk is not there, unless
    `prune_missing_roots`; a folder within those that were named must have held more than `A_FEW` for that. Photos that
    wait for the model to look at them count as changed; for a `new_model` all do.
    """
    disconnected = [] if prune_missing_roots else _disconnected(store, found)
    ledger = found.ledger
    ledger.compare(
        (file for root in found.roots for file in store.known_files(root)),
        (pair for root in found.roots for pair in store.companions_under(root)),
        (failure for root in found.roots for failure in store.failures(root)),
        [*(failure.path for failure in found.unreadable), *disconnected],
        (store.photo_ids() if new_model else store.waiting_ids()).tolist(),
        retry_failed=retry_failed,
    )
    to_read, new, still_failing = ledger.count("to_read"), ledger.count_new(), ledger.count_failing()
    unchanged = len(found) - to_read - still_failing
    return Plan(new, to_read - new, unchanged, ledger.count("vanished"), still_failing, found.unreadable, disconnected)


def _disconnected(store: Store, found: Scan) -> list[str]:
    """Empty folders that held photos: any where people named them, more than a few below."""
    return [
        *(folder for folder in found.empty if store.count_under(folder)),
        *(folder for folder in found.empty_below if store.count_under(folder) > A_FEW),
    ]


def bring_up_to_date(
    store: Store,
    encoder: Encoder,
    found: Scan,
    *,
    retry_failed: bool = False,
    keep_missing: bool = False,
    prune_missing_roots: bool = False,
    remember: bool = True,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Bring the library up to date with a scan, looking at photos in `jobs` threads.

    Call it while holding the writer's lock. A file that cannot be used is recorded as a failure, and read again only
    when it changes, or with `retry_failed`. Photos that are gone leave the library, or stay and are marked with
    `keep_missing`. With `remember` the folders count as indexed from then on, which parts of such need not. On an
    interrupt from the keyboard the batch in hand is written before KeyboardInterrupt is raised. Raises WrongBundle,
    LibraryError, or OSError where thumbnails or indexes cannot be written.
    """
    started = time.perf_counter()
    encoder.bundle.check(store.info(), store.folder)
    thumbnails.clear_partial(store.folder)
    indexes.discard_if_ahead(store)
    plan = plan_for(store, found, retry_failed=retry_failed, prune_missing_roots=prune_missing_roots)
    looker = Looker(store, encoder)
    run = _Run(store, looker, found, plan, jobs, progress or Progress())
    try:
        with stoppable() as stop:
            # Several threads that each have NumPy use all cores wait for each other most of the time.
            with threadpool_limits(1, user_api="blas"):
                run.everything(stop, keep_missing=keep_missing)
            indexes.refresh(store, encoder.bundle.basis)
    finally:
        looker.close()
    if stop.is_set():
        raise KeyboardInterrupt
    for root in found.roots if remember else ():
        if root not in plan.disconnected and not any(failure.path == root for failure in plan.unreadable):
            store.remember_root(root)
    report = run.report
    report.seconds = round(time.perf_counter() - started, 3)
    report.images_per_second = round((report.added + report.updated) / max(report.seconds, 1e-3), 2)
    return report


class _Run:
    """One run in the making."""

    def __init__(self, store: Store, looker: Looker, found: Scan, plan: Plan, jobs: int, progress: Progress) -> None:
        self.report = Report(found=len(found), unchanged=plan.unchanged, failed=plan.still_failing)
        self._store = store
        self._looker = looker
        self._ledger = found.ledger
        self._plan = plan
        self._jobs = jobs
        self._ahead = jobs * AHEAD + 8  # photos between the threads and `_take`
        self._progress = progress
        self._some_wait = self._ledger.count("waiting") > 0
        self._roots = store.roots()
        self._recorded = {(failure.path, failure.stamp, failure.reason) for failure in store.failures()}
        self._failing = {path for path, _, _ in self._recorded}
        self._recent: dict[bytes, NewPhoto] = {}  # photos that a thread may not have seen in the library, by content
        self._copies: dict[bytes, list[tuple[ToRead, Copy]]] = {}  # that came before the photo they are copies of
        self._batch = Batch(
            healed=self._ledger.healed(),
            touched=dict(self._ledger.found_again()),
            companions=dict(self._ledger.other_companions()),
        )
        self._replaced: list[bytes] = []  # contents that the batch takes out of the library
        self._committed_at = time.monotonic()
        self._unindexed = 0  # photos written since the indexes were refreshed

    def everything(self, stop: threading.Event, *, keep_missing: bool) -> None:
        """Look at what is new or changed, then remove what is gone; after `stop` only finish what is in hand."""
        self._progress.begin(self._plan.new + self._plan.changed)
        for failure in self._plan.unreadable:
            self._fail(failure)
        to_read = (ToRead(*row) for row in self._ledger.to_read())
        with ThreadPoolExecutor(self._jobs, "look") as pool:
            for item, outcome in _in_order(pool, self._looker.look, to_read, self._ahead):
                self._take(item, outcome)
                self._progress.read()
                if len(self._batch) >= BATCH or time.monotonic() - self._committed_at > BATCH_SECONDS:
                    self._commit()
                if stop.is_set():
                    self._progress.stopping()
                    break
        if not stop.is_set():
            self._settle_copies()
            self._settle_vanished(keep_missing=keep_missing)
            self._commit()
            self._name_disconnected()
        self._commit()
        self._progress.end()

    def _take(self, item: ToRead, outcome: NewPhoto | Copy | UnreadablePhoto) -> None:
        """Sort what was seen into the batch."""
        if isinstance(outcome, UnreadablePhoto):
            if item.known is not None and not isinstance(outcome, UnreadFile):
                self._batch.removed.append(item.known.id)
                self._batch.touched.pop(item.known.id, None)
                self._replaced.append(item.known.content_hash)
            self._fail(Failure(item.path, UNREAD if isinstance(outcome, UnreadFile) else item.stamp, outcome.reason))
        elif isinstance(outcome, NewPhoto):
            fresh = not self._some_wait and self._looker.is_fresh(outcome.content_hash)
            self._put(outcome, item.known, fresh=fresh)
            for other, copy in self._copies.pop(outcome.content_hash, ()):
                self._put(_as_copy(outcome, other, copy), other.known)
        elif outcome.content_hash in self._recent:
            self._put(_as_copy(self._recent[outcome.content_hash], item, outcome), item.known)
        else:
            self._copies.setdefault(outcome.content_hash, []).append((item, outcome))

    def _put(self, photo: NewPhoto, known: KnownFile | None, *, fresh: bool = False) -> None:
        """Add a photo to the batch as what it is: touched, changed, moved or new."""
        self._recent.setdefault(photo.content_hash, photo)
        if known is not None and known.content_hash == photo.content_hash and not self._waits(known):
            self._batch.touched[known.id] = photo.stamp
            self._batch.described[known.id] = photo.metadata
            self._batch.companions[known.id] = photo.companions
            if photo.path in self._failing:
                self._batch.healed.append(photo.path)
            self.report.unchanged += 1
        elif known is not None:
            self._batch.updated[known.id] = photo
            self._replaced.append(known.content_hash)
            self.report.updated += 1
        elif not fresh and (moved := self._moved_from(photo.content_hash)) is not None:
            if self._waits(moved):
                self._batch.updated[moved.id] = photo
            else:
                self._batch.moved[moved.id] = (photo.path, photo.stamp)
                self._batch.described[moved.id] = photo.metadata
                self._batch.companions[moved.id] = photo.companions
            self._ledger.found_elsewhere(moved.id)
            self.report.moved += 1
        else:
            self._batch.added.append(photo)
            self.report.added += 1

    def _moved_from(self, content_hash: bytes) -> KnownFile | None:
        """A photo of the library with this content that is no longer where it was."""
        for file in self._store.with_content(content_hash):
            taken = file.id in self._batch.moved or file.id in self._batch.updated
            if not taken and (self._ledger.is_vanished(file.id) or self._is_gone(file.path)):
                return file
        return None

    def _waits(self, known: KnownFile) -> bool:
        """Whether the model has not looked at a photo of the library before this run."""
        return self._some_wait and self._ledger.is_waiting(known.id)

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

    def _settle_copies(self) -> None:
        """Look again at copies whose original could not be used, or was written long before they came."""
        for item, _ in [waiting for copies in self._copies.values() for waiting in copies]:
            self._take(item, self._looker.look(item))

    def _settle_vanished(self, *, keep_missing: bool) -> None:
        for file in self._ledger.vanished():
            if keep_missing:
                self._batch.missing += [] if file.missing else [file.id]
            else:
                self._batch.removed.append(file.id)
                self._replaced.append(file.content_hash)
                self.report.removed += 1
            if len(self._batch) >= BATCH:
                self._commit()

    def _name_disconnected(self) -> None:
        """Say of which empty folders photos stay; those that were found elsewhere have moved by now."""
        for folder in self._plan.disconnected:
            held = self._store.count_under(folder)
            if held:
                reason = f"empty; {held:,} photos of it stay in the library, in case its disk is not connected"
                self._fail(Failure(folder, UNREAD, f"{reason} (--prune-missing-roots removes them)"))

    def _commit(self) -> None:
        """Write the batch, delete thumbnails that no photo needs any more, and let the indexes follow in steps."""
        if len(self._batch):
            self._store.apply(self._batch)
        self._unindexed += len(self._batch.added) + len(self._batch.updated)
        if self._unindexed >= REFRESHED:
            indexes.refresh(self._store, self._looker.bundle.basis)
            self._unindexed = 0
        for content_hash in self._replaced:
            if not self._store.with_content(content_hash):
                thumbnails.remove(self._store.folder, content_hash)
        for content_hash in list(self._recent)[: -(self._ahead + BATCH)]:
            del self._recent[content_hash]
            self._looker.forget(content_hash)
        self._batch, self._replaced = Batch(), []
        self._committed_at = time.monotonic()


def _as_copy(photo: NewPhoto, item: ToRead, copy: Copy) -> NewPhoto:
    return at(photo, item.path, copy.stamp, copy.companions, copy.metadata)


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
