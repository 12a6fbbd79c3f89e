import pytest

from engine.settings import Settings
from webapp import create_app
from webapp.security import is_loopback, is_ours


@pytest.mark.parametrize(
    ("asked", "listening", "ours"),
    [
        ("localhost:8410", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1:8410", "127.0.0.1", True),
        ("[::1]:8410", "::1", True),
        ("[::1]", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("photos.lan:8410", "photos.lan", True),
        ("192.168.1.7:8410", "192.168.1.7", True),
        ("192.168.1.7:8410", "0.0.0.0", True),
        ("[fe80::1]:8410", "::", True),
        ("evil.example", "127.0.0.1", False),
        ("evil.example:8410", "0.0.0.0", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("localhost.evil.example:8410", "0.0.0.0", False),
        ("192.168.1.7", "127.0.0.1", False),
        ("", "127.0.0.1", False),
    ],
)
def test_only_names_of_this_server_are_answered(asked, listening, ours):
    assert is_ours(asked, listening) is ours


@pytest.mark.parametrize("path", ["/", "/api/v1/search?q=red", "/api/v1/images/1/original", "/static/app.css"])
def test_a_rebound_name_sees_nothing(client, path):
    response = client.get(path, headers={"Host": "evil.example:8410"})
    assert response.status_code == 421
    assert b"evil.example" in response.data


@pytest.mark.parametrize("host", ["evil.example:80:90", "a b", "[::1", "localhost:99999"])
def test_a_malformed_host_is_refused_in_words(client, host):
    assert client.get("/api/v1/healthz", headers={"Host": host}).status_code in (400, 421)


@pytest.mark.parametrize(
    "path", ["/", "/?q=red", "/photo/1?q=red", "/library", "/nothing", "/api/v1/status", "/api/docs"]
)
def test_every_answer_carries_the_security_headers(client, path):
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_configured_name_is_answered(settings):
    app = create_app(Settings(**{**settings.model_dump(), "host": "photos.lan"}))
    assert app.test_client().get("/api/v1/healthz", headers={"Host": "photos.lan:8410"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("lan", False),
    ],
)
def test_who_can_reach_a_host(host, loopback):
    assert is_loopback(host) is loopback
