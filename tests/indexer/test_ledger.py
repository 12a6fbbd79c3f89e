import pytest

from engine.library.records import Companion, Failure, FileStamp, KnownFile
from indexer.ledger import UNREAD, Ledger

OLD, NEW = FileStamp(1, 1), FileStamp(1, 2)


def known(path, number=1, stamp=OLD, missing=False):
    return KnownFile(number, path, stamp, bytes(16), missing)


def compared(found, known_files=(), companions=(), failed=(), unreadable=(), waiting=(), retry_failed=False):
    ledger = Ledger()
    for path, (stamp, belonging) in found.items():
        ledger.note(path, stamp, belonging)
    ledger.compare(known_files, companions, failed, unreadable, waiting, retry_failed=retry_failed)
    return ledger


def to_read(ledger):
    return [(path, before.id if before else None) for path, _, _, before in ledger.to_read()]


def test_new_changed_unchanged_and_vanished_files_are_told_apart():
    files = {"/r/same": (OLD, ()), "/r/changed": (NEW, ()), "/r/new": (NEW, ())}
    ledger = compared(files, [known("/r/changed", 1), known("/r/gone", 2), known("/r/same", 3)])
    assert to_read(ledger) == [("/r/changed", 1), ("/r/new", None)]
    assert list(ledger.vanished()) == [known("/r/gone", 2)]
    assert (ledger.count("to_read"), ledger.count_new(), ledger.count("vanished")) == (2, 1, 1)


def test_photos_that_wait_are_read_although_they_have_not_changed():
    files = {"/r/same": (OLD, ()), "/r/waits": (OLD, ())}
    ledger = compared(files, [known("/r/same", 1), known("/r/waits", 2)], waiting=[2, 3])
    assert to_read(ledger) == [("/r/waits", 2)]
    assert [ledger.is_waiting(i) for i in (1, 2, 3)] == [False, True, True]


def test_what_was_found_elsewhere_has_not_vanished():
    ledger = compared({}, [known("/r/a", 1), known("/r/b", 2)])
    assert ledger.is_vanished(1)
    ledger.found_elsewhere(1)
    assert not ledger.is_vanished(1)
    assert list(ledger.vanished()) == [known("/r/b", 2)]


def test_a_file_that_failed_is_tried_again_when_it_changed_or_when_asked():
    failed = [Failure("/r/bad", OLD, "empty file")]
    assert to_read(compared({"/r/bad": (OLD, ())}, failed=failed)) == []
    assert compared({"/r/bad": (OLD, ())}, failed=failed).count_failing() == 1
    assert to_read(compared({"/r/bad": (OLD, ())}, failed=failed, retry_failed=True)) == [("/r/bad", None)]
    assert to_read(compared({"/r/bad": (NEW, ())}, failed=failed)) == [("/r/bad", None)]


def test_a_file_that_could_not_be_read_at_all_is_always_tried_again():
    ledger = compared({"/r/bad": (OLD, ())}, failed=[Failure("/r/bad", UNREAD, "permission denied")])
    assert to_read(ledger) == [("/r/bad", None)]


def test_failures_of_files_that_are_gone_are_forgotten():
    assert compared({}, failed=[Failure("/r/bad", OLD, "empty file")]).healed() == ["/r/bad"]


def test_what_lies_in_a_place_that_cannot_be_read_has_not_vanished():
    ledger = compared(
        {},
        [known("/r/closed/a", 1), known("/r/closed2/b", 2), known("/r/closed", 3)],
        failed=[Failure("/r/closed/c", OLD, "empty file"), Failure("/r/closed", UNREAD, "permission denied")],
        unreadable=["/r/closed"],
    )
    assert [file.id for file in ledger.vanished()] == [2]
    assert ledger.healed() == []


def test_missing_photos_that_are_there_again_are_found():
    ledger = compared({"/r/a": (OLD, ())}, [known("/r/a", 1, missing=True), known("/r/b", 2, missing=True)])
    assert list(ledger.found_again()) == [(1, OLD)]
    assert [file.missing for file in ledger.vanished()] == [True]


RAW, VIDEO, SIDECAR = (Companion(f"/r/a.{kind}", kind, OLD) for kind in ("raw", "video", "sidecar"))


@pytest.mark.parametrize(
    ("now", "before", "others", "read"),
    [
        ((RAW, SIDECAR), (RAW, SIDECAR), [], False),
        ((RAW, VIDEO), (RAW,), [(RAW, VIDEO)], False),
        ((), (RAW,), [()], False),
        ((SIDECAR,), (), [(SIDECAR,)], True),
        ((), (SIDECAR,), [()], True),
        ((Companion(SIDECAR.path, "sidecar", NEW),), (SIDECAR,), [(Companion(SIDECAR.path, "sidecar", NEW),)], True),
    ],
    ids=["same", "one more", "one less", "a sidecar more", "a sidecar less", "a sidecar written anew"],
)
def test_only_a_change_of_a_sidecar_makes_a_photo_be_read_again(now, before, others, read):
    ledger = compared({"/r/a": (OLD, now)}, [known("/r/a", 7)], [(7, one) for one in before])
    assert list(ledger.other_companions()) == ([] if read else [(7, companions) for companions in others])
    assert to_read(ledger) == ([("/r/a", 7)] if read else [])


def test_names_of_any_bytes_and_times_of_broken_clocks_are_kept():
    ledger = compared({"/r/caf\udce9": (FileStamp(1, -(1 << 63)), ()), "/r/z": (FileStamp(1, (1 << 63) - 1), ())})
    assert [path for path, _, _ in ledger.found_files()] == ["/r/caf\udce9", "/r/z"]


def test_many_files_come_one_after_the_other_in_the_order_of_their_paths():
    ledger = compared(
        {f"/r/{i:05}": (OLD, ()) for i in reversed(range(2500))}, [known(f"/s/{i}", i) for i in range(2500)]
    )
    assert [path for path, _ in to_read(ledger)] == [f"/r/{i:05}" for i in range(2500)]
    assert [file.id for file in ledger.vanished()] == list(range(2500))
