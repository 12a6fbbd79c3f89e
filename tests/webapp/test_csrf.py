import re

import pytest

from webapp import create_app

API = "/api/v1"
MARK = {"q": "red", "image_id": 1, "relevant": True}


@pytest.fixture
def client(own):
    return own.test_client()


def token(client):
    return re.search(r'name="csrf" content="([^"]+)"', client.get("/").text)[1]


def send(client, **headers):
    return client.post(f"{API}/feedback", json=MARK, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_a_program_needs_no_token_of_a_page(client):
    assert send(client).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "https://localhost"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://localhost"},
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_another_web_site_cannot_act_in_a_visitors_name(client, headers, known):
    more = {"X_CSRF_Token": token(client)} if known else {}
    refused = send(client, **headers, **more)
    assert (refused.status_code, refused.json["type"]) == (403, "urn:unseen:problem:cross-site")
    assert client.get(f"{API}/feedback").json["total"] == 0


def test_a_page_of_ours_needs_the_token_that_it_was_given(client):
    known = token(client)
    assert token(client) != known  # masked anew
    for wrong in ("", "x", known[:-4] + "AAAA", "é"):
        assert send(client, Origin="http://localhost", X_CSRF_Token=wrong.encode().decode("latin-1")).status_code == 403
    assert send(client, Origin="http://localhost", X_CSRF_Token=known).status_code == 201
    assert send(client, Sec_Fetch_Site="same-origin", X_CSRF_Token=token(client)).status_code == 201


def test_a_token_of_another_session_is_worth_nothing(own, client):
    token(client)
    assert send(client, Origin="http://localhost", X_CSRF_Token=token(own.test_client())).status_code == 403


def test_a_cookie_alone_makes_a_browser(client):
    token(client)
    assert send(client).status_code == 403


def test_a_search_by_an_image_changes_nothing_and_needs_no_token(client, painted):
    for path in ("/", f"{API}/search"):
        sent = {"image": painted[0].open("rb")}
        assert client.post(path, data=sent, headers={"Origin": "http://localhost"}).status_code == 200
        sent = {"image": painted[0].open("rb")}
        assert client.post(path, data=sent, headers={"Origin": "https://evil.example"}).status_code == 403


def test_a_site_that_the_settings_name_may_call(own):
    friendly = create_app(own.extensions["unseen"].settings.model_copy(update={"cors": ("https://friend.example",)}))
    assert send(friendly.test_client(), Origin="https://friend.example").status_code == 201
    assert send(friendly.test_client(), Origin="https://other.example").status_code == 403
