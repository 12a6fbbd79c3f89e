"""What keeps a server that is left running in order: limits, logs, measurements, a proxy before it."""

import json
import logging
import re
import sys
import threading

import pytest

from engine.errors import UnseenError
from engine.settings import Settings
from webapp import create_app, logs
from webapp.limits import Limit

API = "/api/v1"


def test_a_bucket_empties_fills_again_and_is_each_clients_own():
    now = [0.0]
    limit = Limit(60, 2, lambda: now[0])
    assert [limit.take("a"), limit.take("a")] == [0.0, 0.0]
    assert limit.take("a") == pytest.approx(1.0)
    assert limit.take("b") == 0.0
    now[0] = 1.0
    assert limit.take("a") == 0.0
    assert limit.take("a") > 0
    now[0] = 1000.0
    assert [limit.take("a", 0.5) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limit.take("a", 0) > 0


def test_no_rate_is_no_limit():
    limit = Limit(0, 1)
    assert not any(limit.take("a") for _ in range(100))


def test_costly_calls_are_limited_and_cheap_ones_are_not(settings, painted):
    client = create_app(settings.model_copy(update={"rate": 2})).test_client()
    answers = [client.post(f"{API}/search", data={"image": painted[0].open("rb")}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json["type"] == "urn:unseen:problem:too-many-requests"
    assert int(answers[1].headers["Retry-After"]) in range(1, 31)
    assert client.get(f"{API}/search?q=red").status_code == 200
    other = {"REMOTE_ADDR": "10.0.0.9"}
    sent = {"image": painted[0].open("rb")}
    assert client.post(f"{API}/search", data=sent, environ_base=other).status_code == 200


# The log


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "unseen.requests")
    return lambda: [record for record in caplog.records if record.name == "unseen.requests"]


def test_a_line_tells_how_it_went_but_not_what_was_searched_for(client, lines):
    client.get(f"{API}/search?q=red")
    (line,) = lines()
    assert f"GET {API}/search 200" in line.getMessage()
    assert "red" not in line.getMessage()
    assert line.fields["status"] == 200
    assert line.fields["milliseconds"] > 0
    assert line.fields["bytes"] > 0
    assert "red" not in json.dumps(line.fields)


def test_a_stream_of_events_begins_at_once_also_where_requests_are_logged(own, lines):
    own.extensions["unseen.jobs"].command = [sys.executable, "-c", "import signal; signal.pause()"]
    client = own.test_client()
    job = client.post(f"{API}/index", json={}).json
    ender = threading.Timer(30, own.extensions["unseen.jobs"].close)  # or a stream that says nothing would never end
    ender.start()
    stream = client.get(job["events_url"], buffered=False)
    assert "event: progress" in next(stream.iter_encoded()).decode()
    assert client.get(job["url"]).json["state"] == "running"
    stream.close()
    ender.cancel()
    assert [line.fields["bytes"] for line in lines() if line.fields["path"] == job["events_url"]] == [None]


def test_it_tells_that_where_it_shall(settings, lines):
    client = create_app(settings.model_copy(update={"log_queries": True})).test_client()
    client.get(f"{API}/search?q=red")
    assert f"{API}/search?q=red" in lines()[0].getMessage()


def test_a_line_stays_one_line_whatever_is_asked(client, lines):
    client.get("/nothing%0a2026-01-01 ERROR forged%1b[31m")
    assert lines()[0].getMessage().isprintable()


def test_no_token_is_ever_logged(settings, lines):
    client = create_app(settings.model_copy(update={"auth": True, "log_queries": True})).test_client()
    client.get(f"{API}/status", headers={"Authorization": "Bearer unseen_secret"})
    client.post("/login", data={"token": "unseen_secret"})
    assert len(lines()) == 2
    assert "unseen_secret" not in str([vars(line) for line in lines()])


def test_a_line_may_be_json(settings, client):
    record = logging.LogRecord("unseen.requests", logging.INFO, "", 1, "hello %s", ("é",), None)
    record.fields = {"status": 200}
    line = json.loads(logs.JsonLines().format(record))
    assert (line["message"], line["level"], line["status"]) == ("hello é", "info", 200)
    assert line["time"].endswith("+00:00")


def test_an_error_that_nobody_foresaw_is_found_in_the_log_by_its_number(app, caplog, monkeypatch):
    monkeypatch.setattr("webapp.api.explain", lambda *_: 1 / 0)
    answer = app.test_client().get(f"{API}/images/1/heatmap?q=red")
    number = answer.headers["X-Request-Id"]
    assert number in answer.json["detail"]
    (record,) = (record for record in caplog.records if record.name == "unseen.errors")
    assert number in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError


# Measurements


def value(text, name):
    (line,) = (line for line in text.splitlines() if line.startswith(f"{name} "))
    return float(line.rpartition(" ")[2])


def test_requests_and_the_library_are_measured(settings):
    client = create_app(settings).test_client()
    client.get(f"{API}/search?q=red")
    client.get(f"{API}/search?q=redd")
    client.get("/nothing")
    text = client.get(f"{API}/metrics").text
    assert value(text, 'unseen_requests_total{call="photos.search",method="GET",status="200"}') == 1
    assert value(text, 'unseen_requests_total{call="photos.search",method="GET",status="422"}') == 1
    assert value(text, 'unseen_requests_total{call="none",method="GET",status="404"}') == 1
    assert value(text, 'unseen_request_seconds_count{call="photos.search"}') == 2
    assert value(text, "unseen_requests_in_progress") == 1  # this one
    assert value(text, "unseen_photos") == 7
    assert value(text, "unseen_failed_files") == 1
    assert value(text, "unseen_library_generation") == value(text, "unseen_index_generation") == 1
    assert value(text, "unseen_photos_scored_closely_total") == 7  # all that there are
    assert value(text, "unseen_job_running") == 0


def test_measurements_do_not_need_a_library_nor_grow_with_what_clients_make_up(tmp_path):
    client = create_app(Settings(library=tmp_path)).test_client()
    before = client.get(f"{API}/metrics").text
    for i in range(20):
        client.open(f"/nothing/{i}", method=f"M{i}")
    assert len(client.get(f"{API}/metrics").text.splitlines()) < len(before.splitlines()) + 60
    assert "unseen_photos" not in before


# Behind a proxy


def test_a_proxy_that_is_named_is_believed(settings):
    proxied = settings.model_copy(update={"proxies": ("127.0.0.1", "10.0.0.0/8"), "hosts": ("photos.example",)})
    client = create_app(proxied.model_copy(update={"auth": False})).test_client()
    headers = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "photos.example",
        "X-Forwarded-Prefix": "/unseen",
    }
    found = client.get(f"{API}/search?q=red&top=1", headers=headers).json
    assert found["items"][0]["thumbnail_url"].startswith("/unseen/api/v1/")
    assert found["next"].startswith("/unseen/api/v1/")
    page = client.get("/", headers=headers).text
    assert re.search(r'<link rel="stylesheet" href="/unseen/static/[\w/.?=-]+\.css', page)
    assert 'href="/static/' not in page
    assert client.get("/", headers=headers | {"X-Forwarded-Host": "evil.example"}).status_code == 421


def test_what_a_stranger_forwards_is_ignored(settings, lines):
    client = create_app(settings.model_copy(update={"proxies": ("10.0.0.0/8",), "auth": False})).test_client()
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil"}
    answer = client.get("/", headers=headers)
    assert answer.status_code == 200
    assert "evil" not in answer.text
    assert lines()[0].fields["client"] == "127.0.0.1"


@pytest.mark.parametrize("prefix", ["//evil.example", "/a/../b\n", "https://evil.example", '/"><script>', "/a b"])
def test_a_prefix_that_is_no_path_is_ignored(settings, prefix):
    client = create_app(settings.model_copy(update={"proxies": ("127.0.0.1",), "auth": False})).test_client()
    environ = {"HTTP_X_FORWARDED_PREFIX": prefix}
    assert "evil" not in client.get("/", environ_overrides=environ).text
    assert client.get("/", environ_overrides=environ).status_code == 200


@pytest.mark.parametrize("path", ["/photos/api/v1/search?q=red", "/api/v1/search?q=red"])
def test_a_prefix_may_be_set_for_a_proxy_that_does_not_send_one(settings, path):
    client = create_app(settings.model_copy(update={"prefix": "/photos"})).test_client()
    assert client.get(path).json["items"][0]["thumbnail_url"].startswith("/photos/api/v1/")


def test_a_proxy_that_is_no_address_is_said_in_words():
    with pytest.raises(UnseenError, match="neither an address nor a network"):
        create_app(Settings(proxies=("nginx",)))
