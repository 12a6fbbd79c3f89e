import re
import time

import pytest
from click.testing import CliRunner

from engine.library.database import Database
from engine.library.tokens import Tokens
from engine.settings import Settings
from webapp import create_app
from webapp.auth import EXTENSION as GUESSES
from webapp.auth import only_here, token_needed
from webapp.limits import Limit
from webapp.token_commands import token

API = "/api/v1"


@pytest.fixture
def secret(own):
    """A token of the library of `own`."""
    with Database.open(own.extensions["unseen"].folder, writable=True) as database:
        return Tokens(database).new("test")


@pytest.fixture
def guarded(own, secret):
    """An app that asks for a token, over the same library."""
    return create_app(own.extensions["unseen"].settings.model_copy(update={"auth": True}))


@pytest.fixture
def client(guarded):
    return guarded.test_client()


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def csrf(page):
    return re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]


def log_in(client, secret, goal="/"):
    page = client.get("/login", query_string={"next": goal})
    return client.post(
        "/login",
        data={"token": secret, "csrf_token": csrf(page), "next": goal},
        headers={"Origin": "http://localhost"},
    )


@pytest.mark.parametrize(
    ("values", "here", "needed"),
    [
        ({}, True, False),
        ({"host": "0.0.0.0"}, False, True),
        ({"host": "0.0.0.0", "auth": False}, False, False),
        ({"auth": True}, True, True),
        ({"proxies": ("127.0.0.1",)}, False, True),
    ],
)
def test_a_token_is_asked_for_where_others_than_this_machine_may_ask(values, here, needed):
    assert only_here(Settings(**values)) is here
    assert token_needed(Settings(**values)) is needed


@pytest.mark.parametrize(
    "path", ["/search?q=red", "/images", "/images/1", "/images/1/thumbnail", "/images/1/original", "/status", "/tags"]
)
def test_a_call_without_a_token_learns_nothing(client, secret, path):
    refused = client.get(API + path)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert refused.json["type"] == "urn:unseen:problem:token-needed"
    assert client.get(API + path, headers=bearer(secret)).status_code == 200


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Bearer ", "Bearer", "Basic dW5zZWVuOng=", "Token x", "Bearer \N{SNOWMAN}"]
)
def test_a_wrong_token_opens_nothing(client, header):
    headers = {"Authorization": header.encode("utf-8").decode("latin-1")}
    assert client.get(f"{API}/status", headers=headers).status_code == 401


def test_only_the_liveness_and_the_login_page_are_open(client):
    assert client.get(f"{API}/healthz").status_code == 200
    assert client.get("/login").status_code == 200
    assert client.get("/static/base.css").status_code == 200
    for path in ("/", "/library", "/photo/1", "/api/docs"):
        response = client.get(path)
        assert response.status_code == 302 or response.status_code == 401, path


def test_a_visitor_logs_in_and_comes_to_where_they_wanted(client, secret):
    response = client.get("/?q=red")
    assert response.location == "/login?next=/?q%3Dred"
    answer = log_in(client, secret, "/?q=red")
    assert (answer.status_code, answer.location) == (303, "/?q=red")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert secret not in cookie
    assert client.get("/?q=red").status_code == 200


def test_behind_tls_the_session_is_only_sent_over_tls(own, secret):
    settings = own.extensions["unseen"].settings.model_copy(update={"proxies": ("127.0.0.1",)})
    client = create_app(settings).test_client()
    page = client.get("/login", headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in page.headers["Set-Cookie"]


def test_a_wrong_token_on_the_login_page_is_said_so(client):
    answer = log_in(client, "unseen_wrong")
    assert answer.status_code == 401
    assert "This token is not known" in answer.text
    assert client.get("/").status_code == 302


@pytest.mark.parametrize(
    "goal",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "evil",
        "",
        "/\n/evil",
        "javascript:alert(1)",
        "\\\\e",
    ],
)
def test_the_login_leads_nowhere_else(client, secret, goal):
    assert log_in(client, secret, goal).location == "/"


def test_a_session_ends_with_the_logout_with_its_token_and_with_time(client, guarded, secret, monkeypatch):
    log_in(client, secret)
    assert client.get("/library").status_code == 200
    monkeypatch.setattr("webapp.auth.time.time", lambda now=time.time: now() + 31 * 86400)
    assert client.get("/library").status_code == 302
    monkeypatch.undo()
    with Database.open(guarded.extensions["unseen"].folder, writable=True) as database:
        assert Tokens(database).revoke("test")
    assert client.get("/library").status_code == 302
    assert client.get(f"{API}/status", headers=bearer(secret)).status_code == 401


def test_the_logout_needs_the_page_and_ends_the_session(client, secret):
    log_in(client, secret)
    assert client.post("/logout").status_code == 403
    meta = re.search(r'name="csrf" content="([^"]+)"', client.get("/library").text)[1]
    assert client.post("/logout", data={"csrf_token": meta}).status_code == 303
    assert client.get("/library").status_code == 302


def test_a_session_outlives_the_server_but_not_a_forged_signature(guarded, client, secret):
    log_in(client, secret)
    cookie = client.get_cookie("unseen").value
    again = create_app(guarded.extensions["unseen"].settings).test_client()
    again.set_cookie("unseen", cookie)
    assert again.get("/library").status_code == 200
    again.set_cookie("unseen", cookie[:-2] + "xx")
    assert again.get("/library").status_code == 302
    assert (guarded.extensions["unseen"].folder / "session.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("left", [b"", b"short"])
def test_a_key_that_a_power_failure_has_cut_short_is_made_again(own, left):
    key = own.extensions["unseen"].folder / "session.key"
    key.write_bytes(left)
    page = create_app(own.extensions["unseen"].settings).test_client().get("/login")
    assert (page.status_code, len(key.read_bytes())) == (200, 32)
    assert key.stat().st_mode & 0o077 == 0
    assert list(key.parent.glob("*.partial")) == []


def test_guesses_are_limited_for_each_address(guarded, client, secret):
    now = [0.0]
    guarded.extensions[GUESSES] = Limit(10, 10, lambda: now[0])
    for _ in range(10):
        assert client.get(f"{API}/status", headers=bearer("wrong")).status_code == 401
    refused = client.get(f"{API}/status", headers=bearer(secret))
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 6
    other = client.get(f"{API}/status", headers=bearer(secret), environ_base={"REMOTE_ADDR": "10.0.0.9"})
    assert other.status_code == 200
    now[0] += 6
    assert client.get(f"{API}/status", headers=bearer(secret)).status_code == 200


def test_tokens_are_hashed_and_their_use_is_noted(guarded, client, secret):
    folder = guarded.extensions["unseen"].folder
    client.get(f"{API}/status", headers=bearer(secret))
    with Database.open(folder) as database:
        (kept,) = Tokens(database).all()
    assert kept.last_used_at is not None
    assert secret.encode() not in b"".join(file.read_bytes() for file in folder.glob("library.db*"))


def test_tokens_are_made_listed_and_revoked_on_the_command_line(own):
    library = ["--library", str(own.extensions["unseen"].folder)]
    runner = CliRunner()
    made = runner.invoke(token, ["new", "phone", *library])
    assert re.fullmatch(r"unseen_[\w-]{43}\n", made.stdout)
    assert "phone" in runner.invoke(token, ["new", "phone", *library]).exception.message
    assert runner.invoke(token, ["list", *library]).stdout.startswith("phone\tmade 20")
    assert '"name": "phone"' in runner.invoke(token, ["list", "--json", *library]).stdout
    assert runner.invoke(token, ["revoke", "phone", *library]).exit_code == 0
    assert "phone" in runner.invoke(token, ["revoke", "phone", *library]).exception.message


def test_without_a_library_no_one_gets_in(tmp_path):
    client = create_app(Settings(library=tmp_path, auth=True)).test_client()
    assert client.get(f"{API}/status", headers=bearer("x")).status_code == 401
    assert client.get("/").status_code == 302
    assert client.get("/login").status_code == 200
