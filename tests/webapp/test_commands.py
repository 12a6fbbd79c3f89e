import signal
import socket
import urllib.request

import pytest
from click.testing import CliRunner

from engine.errors import UnseenError
from tests.webapp.serving import started
from webapp.commands import serve


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_serve_prints_its_address_answers_and_stops_when_told(settings, stop):
    with started(settings) as server:
        assert server.address.startswith("http://127.0.0.1:")
        assert len(server.said) == 1
        with urllib.request.urlopen(f"{server.address}/api/v1/search?q=red") as answer:
            assert answer.status == 200
            assert answer.headers["Server"] is None
        server.process.send_signal(stop)
        assert server.process.wait(20) == 0
        assert server.process.stderr.read() == ""


def test_a_server_that_shall_outlive_its_terminal_does(settings):
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from webapp.commands import serve; serve()"
    with started(settings, code=ignoring) as server:
        server.process.send_signal(signal.SIGHUP)
        with urllib.request.urlopen(f"{server.address}/healthz") as answer:
            assert answer.status == 200


def test_opened_to_anyone_it_says_what_that_means(settings):
    with started(settings, "--host", "0.0.0.0", "--no-auth") as server:
        assert "anyone who can reach this machine can see the photos" in server.said[0]


def test_a_port_that_is_taken_is_said_with_what_to_try():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = CliRunner().invoke(serve, ["--port", str(port)])
    assert isinstance(result.exception, UnseenError)
    assert str(port) in result.exception.message
    assert "--port" in result.exception.hint


def test_an_address_that_is_not_ours_is_said_in_words():
    result = CliRunner().invoke(serve, ["--host", "203.0.113.7", "--port", "0", "--no-auth"])
    assert isinstance(result.exception, UnseenError)
    assert "203.0.113.7" in result.exception.message


@pytest.mark.parametrize("arguments", [["--host", "0.0.0.0"], ["--auth"]])
def test_it_does_not_open_to_others_before_there_is_a_token(arguments, settings, monkeypatch):
    monkeypatch.setenv("UNSEEN_LIBRARY", str(settings.library))
    result = CliRunner().invoke(serve, [*arguments, "--port", "0"])
    assert isinstance(result.exception, UnseenError)
    assert "unseen token new" in result.exception.hint
    assert "--no-auth" in result.exception.hint


def test_help_has_an_example():
    assert "unseen serve" in CliRunner().invoke(serve, ["--help"]).output
