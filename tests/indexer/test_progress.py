import io
import sys

import pytest

from engine.library.records import Failure, FileStamp
from indexer.progress import Bar, Lines, progress_for_stderr

FAILURE = Failure("/photos/a\nb.jpg", FileStamp(1, 1), "empty file")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_and_a_log_gets_lines(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(progress_for_stderr(), Bar)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(progress_for_stderr(), Lines)


def test_a_log_gets_a_line_every_ten_seconds_with_rate_and_time_left(capsys):
    clock = [0.0]
    lines = Lines(lambda: clock[0])
    lines.begin(1000)
    lines.failed(FAILURE)
    for _ in range(250):
        clock[0] += 0.125
        lines.read()
    lines.end()
    assert capsys.readouterr().err.splitlines() == [
        "Cannot read /photos/a�b.jpg: empty file",
        "80 of 1,000 photos, 8.0 a second, 1:55 left, 1 failed",
        "160 of 1,000 photos, 8.0 a second, 1:45 left, 1 failed",
        "240 of 1,000 photos, 8.0 a second, 1:35 left, 1 failed",
    ]


def test_a_bar_shows_how_far_it_is_and_how_many_failed(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = Bar()
    bar.begin(3)
    bar.read()
    bar.failed(FAILURE)
    bar.read()
    bar.stopping()
    bar.end()
    shown = terminal.getvalue()
    assert "Cannot read /photos/a�b.jpg: empty file\n" in shown
    assert "2/3" in shown and "1 failed" in shown and "Finishing what is in hand…" in shown


@pytest.mark.parametrize("kind", [Bar, Lines])
def test_a_run_with_nothing_to_read_shows_no_progress(kind, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = kind()
    shown.begin(0)
    shown.end()
    assert terminal.getvalue() == ""
