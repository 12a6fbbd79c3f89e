"""What HTTP offers works as a client expects: conditions, compression, HEAD, ranges, other origins."""

import gzip
import json
import shutil

import pytest

from tests.webapp.conftest import index
from tests.webapp.test_feedback import give
from webapp import caching, create_app

API = "/api/v1"
SETTLED = [
    "/search?q=red",
    "/images",
    "/images/1",
    "/images/1/heatmap?q=red",
    "/images/1/heatmap.png?q=red",
    "/images/1/similar",
    "/suggest?q=r",
    "/tags",
    "/folders",
    "/cameras",
    "/timeline",
    "/places",
    "/failures",
]


@pytest.mark.parametrize("path", SETTLED)
def test_an_answer_is_good_until_the_library_changes(own, colour_bundle, painted, path):
    client = own.test_client()
    first = client.get(API + path)
    etag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = client.get(API + path, headers={"If-None-Match": etag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
    assert client.get(API + path, headers={"If-None-Match": '"other"'}).status_code == 200
    index(own.extensions["unseen"].folder, colour_bundle, [], failed=[("/photos/also-broken.jpg", "empty file")])
    assert client.get(API + path, headers={"If-None-Match": etag}).status_code == 200


def test_what_is_said_of_a_hit_is_a_change(own):
    client = own.test_client()
    etag = client.get(f"{API}/search?q=red").headers["ETag"]
    mark = give(client, "red", 1, False).json
    changed = client.get(f"{API}/search?q=red", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    client.delete(f"{API}/feedback/{mark['id']}")
    give(client, "red", 1, True)
    headers = {"If-None-Match": changed.headers["ETag"]}
    assert client.get(f"{API}/search?q=red", headers=headers).status_code == 200


def test_another_cut_off_of_the_model_is_a_change(own, colour_bundle, tmp_path):
    settings = own.extensions["unseen"].settings
    etag = own.test_client().get(f"{API}/search?q=red").headers["ETag"]
    surer = shutil.copytree(colour_bundle.folder, tmp_path / "surer")
    spec = json.loads((surer / "bundle.json").read_text())
    (surer / "bundle.json").write_text(json.dumps({**spec, "min_confidence": 0.99}))
    for model, status in ((settings.model, 304), (str(surer), 200)):
        client = create_app(settings.model_copy(update={"model": model})).test_client()
        assert client.get(f"{API}/search?q=red", headers={"If-None-Match": etag}).status_code == status


def test_another_version_of_the_program_is_a_change(own, monkeypatch):
    etag = own.test_client().get(f"{API}/tags").headers["ETag"]
    monkeypatch.setattr(caching, "version", lambda name: "999")
    caching._maker.cache_clear()  # as in a new process
    assert own.test_client().get(f"{API}/tags", headers={"If-None-Match": etag}).status_code == 200
    caching._maker.cache_clear()


def test_etags_tell_answers_apart(client):
    tags = {client.get(API + path).headers["ETag"] for path in SETTLED}
    tags.add(client.get(f"{API}/images/1/heatmap?q=red", headers={"Accept": "image/png"}).headers["ETag"])
    assert len(tags) == len(SETTLED) + 1


@pytest.mark.parametrize("path", ["/status", "/jobs", "/search?q=redd", "/images/999", "/metrics", "/feedback"])
def test_what_changes_by_itself_and_errors_are_not_kept(client, path):
    response = client.get(API + path)
    assert response.headers["Cache-Control"] == "no-store"
    assert "ETag" not in response.headers


def test_an_error_is_an_error_whatever_a_client_says_it_has(client):
    assert client.get(f"{API}/images/999", headers={"If-None-Match": "*"}).status_code == 404


@pytest.mark.parametrize("path", [f"{API}/images", f"{API}/openapi.json", "/", "/static/app.css"])
def test_text_is_compressed_for_who_takes_it(client, path):
    plain = client.get(path)
    assert "Content-Encoding" not in plain.headers
    small = client.get(path, headers={"Accept-Encoding": "gzip, br"})
    assert small.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in small.headers["Vary"]
    assert len(small.data) < len(plain.data) == len(gzip.decompress(small.data))
    assert int(small.headers["Content-Length"]) == len(small.data)
    refused = client.get(path, headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in refused.headers


@pytest.mark.parametrize("path", [f"{API}/images/1/thumbnail", f"{API}/images/1/original", f"{API}/healthz"])
def test_what_would_not_become_smaller_is_left_alone(client, path):
    assert "Content-Encoding" not in client.get(path, headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize(
    "path",
    [*(API + path for path in SETTLED), f"{API}/images/1/thumbnail", f"{API}/images/1/original", "/", "/healthz"],
)
def test_head_says_what_get_would_and_sends_nothing(client, path):
    whole, head = client.get(path), client.head(path)
    assert head.status_code == whole.status_code == 200
    assert head.data == b""
    assert head.mimetype == whole.mimetype
    assert head.headers.get("ETag") == whole.headers.get("ETag")


def test_an_original_is_sent_in_parts(client, ids, painted):
    path, whole = f"{API}/images/{ids['all-red.png']}/original", painted[0].read_bytes()
    part = client.get(path, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.data) == (206, whole[2:6])
    assert part.headers["Content-Range"] == f"bytes 2-5/{len(whole)}"
    assert client.get(path).headers["Accept-Ranges"] == "bytes"
    beyond = client.get(path, headers={"Range": "bytes=999999-"})
    assert (beyond.status_code, beyond.mimetype) == (416, "application/problem+json")
    same = {"Range": "bytes=2-5", "If-Range": part.headers["ETag"]}
    assert client.get(path, headers=same).status_code == 206
    assert client.get(path, headers=same | {"If-Range": '"older"'}).status_code == 200


@pytest.mark.parametrize("asked", ["items=0-1", "bytes=0-1,4-5", "bytes=0-1, 9999999-", "bytes=x-y", "nonsense"])
def test_what_is_not_one_range_of_bytes_gets_the_whole_original(client, ids, painted, asked):
    answer = client.get(f"{API}/images/{ids['all-red.png']}/original", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (200, painted[0].read_bytes())


def test_no_other_site_may_read_an_answer(client):
    headers = {"Origin": "https://friend.example"}
    assert "Access-Control-Allow-Origin" not in client.get(f"{API}/tags", headers=headers).headers
    asked = client.options(f"{API}/feedback", headers=headers | {"Access-Control-Request-Method": "POST"})
    assert "Access-Control-Allow-Origin" not in asked.headers


def test_a_site_that_the_settings_name_may_read_the_api_and_no_more(settings):
    friendly = create_app(settings.model_copy(update={"cors": ("https://friend.example",), "auth": True})).test_client()
    headers = {"Origin": "https://friend.example"}
    asked = friendly.options(f"{API}/feedback", headers=headers | {"Access-Control-Request-Method": "POST"})
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Origin"] == "https://friend.example"
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    answer = friendly.get(f"{API}/healthz", headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://friend.example"
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    for path, origin in (("/login", "https://friend.example"), (f"{API}/healthz", "https://friend.example.evil")):
        assert "Access-Control-Allow-Origin" not in friendly.get(path, headers={"Origin": origin}).headers


def test_the_liveness_and_the_measurements_are_also_where_programs_look(client):
    assert json.loads(client.get("/healthz").data) == {"status": "ok"}
    assert client.get("/metrics").data.startswith(b"# HELP")


@pytest.mark.parametrize("call", ["feedback", "index"])
@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", "{}", 415),
        ("application/x-www-form-urlencoded", "q=red", 415),
        ("application/json", "{", 400),
        ("application/json", "", 400),
        ("application/json", "[1]", 422),
        ("application/json", "[" * 100_000, 400),
        ("application/json", '{"q": 1, "folder": 1}', 422),
    ],
)
def test_a_body_that_is_no_json_object_is_refused_in_words_and_without_names_of_ours(client, call, kind, body, status):
    answer = client.post(f"/api/v1/{call}", data=body, content_type=kind)
    assert answer.status_code == answer.json["status"] == status
    assert answer.mimetype == "application/problem+json"
    assert "In " not in answer.json["detail"] and "instance" not in answer.json["detail"]


@pytest.mark.parametrize("half", ["\\ud800", "red \\udfff"])
@pytest.mark.parametrize(("call", "name"), [("feedback", "q"), ("index", "folder")])
def test_half_a_character_in_a_text_is_an_invalid_argument(client, call, name, half):
    body = f'{{"q": "{half}", "folder": "{half}", "image_id": 1, "relevant": true}}'
    answer = client.post(f"{API}/{call}", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["type"]) == (422, "urn:unseen:problem:invalid-arguments")
    assert [fault["name"] for fault in answer.json["errors"]] == [name]
