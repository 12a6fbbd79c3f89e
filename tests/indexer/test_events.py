import json

from engine.library.records import Failure, FileStamp
from indexer.events import Events


class Listener:
    """Hears events at a time that it sets itself."""

    def __init__(self):
        self.now = 0.0
        self.heard = []
        self.events = Events(lambda line: self.heard.append(json.loads(line)), lambda: self.now)

    def read(self, files, seconds):
        for _ in range(files):
            self.now += seconds / files
            self.events.read()


def test_counts_come_a_few_times_a_second_with_rate_and_time_left():
    listener = Listener()
    listener.events.begin(1000)
    listener.read(400, 2.0)
    listener.events.end()
    assert listener.heard[0] == {
        "event": "progress",
        "done": 0,
        "total": 1000,
        "failed": 0,
        "per_second": None,
        "seconds_left": None,
    }
    assert listener.heard[-1] == {
        "event": "progress",
        "done": 400,
        "total": 1000,
        "failed": 0,
        "per_second": 200.0,
        "seconds_left": 3,
    }
    assert 8 <= len(listener.heard) <= 11


def test_every_failure_is_named_at_once_by_a_path_that_is_valid_text():
    listener = Listener()
    listener.events.begin(2)
    for name in ("a", "caf\udce9"):
        listener.events.failed(Failure(f"/{name}.jpg", FileStamp(1, 1), "empty file"))
    listener.events.stopping()
    listener.events.end()
    assert listener.heard[1:4] == [
        {"event": "failed", "path": "/a.jpg", "reason": "empty file"},
        {"event": "failed", "path": "/caf�.jpg", "reason": "empty file"},
        {"event": "stopping"},
    ]
    assert listener.heard[-1]["failed"] == 2


def test_a_long_search_for_photos_says_how_many_it_has_found():
    listener = Listener()
    for found in range(1000):
        listener.now += 0.001
        listener.events.scanning(found)
    assert [event["event"] for event in listener.heard] == ["scanning"] * 4
    assert listener.heard[-1]["found"] > 500
