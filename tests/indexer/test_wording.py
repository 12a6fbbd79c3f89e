from datetime import UTC, datetime, timedelta

import pytest

from indexer.pipeline import Report
from indexer.wording import _ago, _size, report_in_words, shown


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/a b/é日.jpg", "/a b/é日.jpg"), ("/a\x1b[2J", "/a�[2J"), ("/a\nb", "/a�b"), ("/caf\udce9", "/caf�")],
)
def test_a_path_is_shown_without_what_a_terminal_would_obey(path, expected):
    assert shown(path) == expected


def test_a_report_says_what_was_done_and_what_to_do_about_failures():
    words = report_in_words(Report(found=1204, added=1200, failed=4, seconds=12.34, images_per_second=97.25))
    assert words.splitlines() == [
        "1,204 photos found: 1,200 added, 0 updated, 0 unchanged, 0 moved, 0 removed, 4 failed, in 12.3 s "
        "(97.2 photos a second)",
        "See what failed and why: unseen status --failed",
    ]


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1, seconds=5), "1 minute ago"),
        (timedelta(hours=5, seconds=5), "5 hours ago"),
        (timedelta(days=40, hours=3), "40 days ago"),
    ],
)
def test_ages_are_rounded_down_to_one_unit(age, words):
    assert _ago(datetime.now(UTC) - age) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "2 KB"), (98_304, "98 KB"), (5.1e9, "5.1 GB")]
)
def test_sizes_have_a_unit_that_people_know(count, words):
    assert _size(count) == words
