"""The server stops without losing what it has taken on, and what it loses by force leaves the library sound."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from engine.errors import LibraryLocked
from engine.library.feedback import Feedback
from engine.library.lock import writer_lock
from engine.library.store import Store
from engine.settings import Settings
from tests.conftest import paint
from tests.webapp.conftest import index
from tests.webapp.serving import COLOUR_SERVE, serving, started
from webapp import children
from webapp.children import Watcher

API = "/api/v1"
PATHS = (f"{API}/search?q=red", f"{API}/images/1/thumbnail?size=300", f"{API}/images/1/heatmap?q=blue", "/")


class Client(threading.Thread):
    """Asks again and again over kept connections; counts answers, and what was asked and not answered."""

    def __init__(self, port, path):
        super().__init__()
        self.port, self.path = port, path
        self.answered = 0
        self.lost = []
        self.started = threading.Event()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while True:
            try:
                connection.connect()
            except OSError:
                return  # nobody listens any more
            try:
                while connection.sock is not None:  # until an answer says that the connection closes
                    connection.request("GET", self.path)
                    answer = connection.getresponse()
                    body = answer.read()
                    if answer.status != 200 or len(body) != int(answer.headers["Content-Length"]):
                        self.lost.append(answer.status)
                    self.answered += 1
                    self.started.set()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(error)
                return


def test_sigterm_under_load_loses_no_request_that_was_accepted(settings):
    with started(settings) as running:
        port = int(running.address.rsplit(":", 1)[1])
        clients = [Client(port, path) for path in PATHS * 4]
        for client in clients:
            client.start()
        for client in clients:
            assert client.started.wait(30)
        running.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(40)
        assert running.process.wait(30) == 0
        assert running.process.stderr.read() == ""
    assert [client.lost for client in clients if client.lost] == []
    assert sum(client.answered for client in clients) >= len(clients)


def nobody_is_let_in(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_request_that_is_half_sent_when_the_server_stops_is_answered_and_nobody_else_let_in(app):
    with serving(app) as running:
        slow = socket.create_connection(("127.0.0.1", running.port), timeout=20)
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        heard = http.client.HTTPConnection("127.0.0.1", running.port)
        heard.request("GET", "/healthz")
        assert heard.getresponse().status == 200  # so the server has heard of the other one too
        running.stop()
        while not nobody_is_let_in(running.port):
            time.sleep(0.01)
        slow.sendall(b"Host: localhost\r\n\r\n")
        answer = slow.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in answer
    slow.close()
    heard.close()


@pytest.mark.parametrize("wish", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_ends_under_load_amid_an_index_run_leaves_the_library_sound(tmp_path, colour_bundle, wish):
    photos = tmp_path / "photos"
    first = paint(photos / "0.png", "red")
    library = tmp_path / "library"
    index(library, colour_bundle, [first])
    for i in range(1, 400):
        paint(photos / f"{i}.png", (i % 256, i // 2 % 256, 99), size=(64 + i % 7, 48))
    settings = Settings(library=library, model=str(colour_bundle.folder), cache=colour_bundle.cache)
    environment = {"UNSEEN_ROOTS": str(photos)}
    with started(settings, code=COLOUR_SERVE, **environment) as running:
        port = int(running.address.rsplit(":", 1)[1])
        clients = [Client(port, path) for path in PATHS]
        for client in clients:
            client.start()
        connection = http.client.HTTPConnection("127.0.0.1", port)
        mark = json.dumps({"q": "red", "image_id": 1, "relevant": True})
        job = ask(connection, "POST", "index", json.dumps({"folder": str(photos)}))
        while ask(connection, "GET", "status")["photos"] == 1:  # until the first batch is written
            ask(connection, "POST", "feedback", mark)
        running.process.send_signal(wish)
        assert running.process.wait(60) == (0 if wish == signal.SIGTERM else -wish)
        for client in clients:
            client.join(40)
    if wish == signal.SIGTERM:
        assert [client.lost for client in clients if client.lost] == []
    while is_written(library):  # by the index run, which hears at its next word that nobody listens
        pass
    unseen = [sys.executable, "-c", "from engine.cli import main; main()"]
    checked = subprocess.run(
        [*unseen, "db", "check", "--json", "--library", str(library)], capture_output=True, text=True
    )
    assert json.loads(checked.stdout)["problems"] == [], job
    assert checked.returncode == 0, checked.stderr
    with Store.open(library) as store:
        assert store.count() > 1
        assert Feedback(store).all()[0].relevant


def ask(connection, method, path, body=None):
    connection.request(method, f"{API}/{path}", body, {"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    assert answer.status < 300, answer.status
    return json.loads(answer.read())


def is_written(library):
    try:
        with writer_lock(library):
            return False
    except LibraryLocked:
        return True


def test_a_watcher_ends_with_its_server_also_where_that_is_killed(settings, painted):
    with started(settings, "--watch", code=COLOUR_SERVE, UNSEEN_ROOTS=str(painted[0].parent)) as running:
        assert any("Watching" in line for line in running.process.stderr)
        running.process.kill()
        assert "what is done is kept" in running.process.stderr.read()  # its last words; it has closed this


@pytest.mark.timeout(60)
def test_a_watcher_that_ends_by_itself_is_said_in_the_log_and_started_again(settings, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(children, "PAUSE", 0.0)
    died = tmp_path / "died"
    dies_once = f"""
import pathlib, signal
died = pathlib.Path({str(died)!r})
if not died.exists():
    died.touch()
    raise SystemExit(3)
pathlib.Path({str(tmp_path / "again")!r}).touch()
signal.pause()
"""
    watcher = Watcher(settings, [sys.executable, "-c", dies_once])
    while not (tmp_path / "again").exists():
        time.sleep(0.01)
    assert [record.getMessage() for record in caplog.records] == [
        "unseen watch has ended (status 3); it is started again in 0 s"
    ]
    watcher.close()
    assert watcher._process.returncode == -signal.SIGTERM
    assert len(caplog.records) == 1


def test_a_watcher_that_waits_to_be_started_again_is_not_once_the_server_stops(settings, caplog):
    watcher = Watcher(settings, [sys.executable, "-c", "raise SystemExit(3)"])
    while not caplog.records:
        time.sleep(0.01)
    first = watcher._process
    watcher.close()
    assert watcher._process is first


# A watcher that takes its time, and is ended by a second request
SLOW = """
import os, pathlib, signal, sys, threading
def note(*_):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pathlib.Path(sys.argv[1]).unlink()
    threading.Timer(0.5, os._exit, [0]).start()
signal.signal(signal.SIGTERM, note)
pathlib.Path(sys.argv[1]).touch()
while True: signal.pause()
"""


@pytest.mark.timeout(60)
def test_a_watcher_is_asked_once_to_end(settings, tmp_path, caplog):
    watcher = Watcher(settings, [sys.executable, "-c", SLOW, str(tmp_path / "ready")])
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    watcher.stop()
    while (tmp_path / "ready").exists():  # two requests at once are one
        pass
    watcher.close()
    assert watcher._process.returncode == 0
    assert caplog.records == []


def test_with_watch_a_photo_that_arrives_is_found_and_nothing_is_left_running(tmp_path, colour_bundle):
    photos, library = tmp_path / "photos", tmp_path / "library"
    index(library, colour_bundle, [paint(photos / "first.png", "blue")])
    settings = Settings(library=library, model=str(colour_bundle.folder), cache=colour_bundle.cache)
    with started(settings, "--watch", code=COLOUR_SERVE, UNSEEN_ROOTS=str(photos)) as running:
        assert any("Watching" in line for line in running.process.stderr)
        paint(photos / "second.png", "red", size=(80, 60))
        connection = http.client.HTTPConnection("127.0.0.1", int(running.address.rsplit(":", 1)[1]))
        while True:
            connection.request("GET", f"{API}/images")
            if json.loads(connection.getresponse().read())["total"] == 2:
                break
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
        assert "what is done is kept" in running.process.stderr.read()  # the watcher's own last words
