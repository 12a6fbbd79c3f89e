"""docs/security.md, an attack a line: each is refused as documented."""

import http.client
import io
import json
import re
import socket
import struct
import time
import zlib
from pathlib import Path

import pytest

from engine.library.store import Store
from engine.settings import Settings
from tests.conftest import paint
from tests.webapp.conftest import exif, index
from tests.webapp.serving import serving, started
from webapp import create_app, server

API = "/api/v1"
SECRET = Path("/etc/passwd")
ESCAPES = ["../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "....//etc/passwd", "%00", "..\\..\\etc"]


def not_told(response):
    """Neither the file that was asked for, nor how this machine looks inside."""
    text = response.data.decode(errors="replace")
    assert "root:" not in text
    assert not re.search(r"Traceback|sqlite|SELECT |site-packages|\.py\b", text)


# Paths


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize(
    "path",
    [
        f"{API}/images/{{}}",
        f"{API}/images/{{}}/original",
        f"{API}/images/1/{{}}",
        f"{API}/jobs/{{}}",
        "/photo/{}",
        "/static/{}",
        "/{}",
    ],
)
def test_a_path_in_the_place_of_an_id(client, path, escape):
    response = client.get(path.format(escape))
    assert response.status_code in (308, 404, 421)
    not_told(response)


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"{API}/images/1/thumbnail", "v"),
        (f"{API}/images/1/thumbnail", "size"),
        (f"{API}/images/1/similar", "region"),
        (f"{API}/images", "folder"),
        (f"{API}/search", "folder"),
        (f"{API}/search", "cursor"),
        (f"{API}/search", "q"),
        (f"{API}/suggest", "q"),
        (f"{API}/places", "within"),
        ("/", "folder"),
    ],
)
def test_a_path_in_a_parameter(client, path, name, escape):
    response = client.get(path, query_string={"q": "red", name: escape}, follow_redirects=True)
    assert response.status_code in (200, 400, 422)
    not_told(response)


@pytest.mark.parametrize("name", ["../../../tmp/x.png", "/etc/passwd", "a\0.png", "<script>.png", "\u202egnp.exe"])
def test_the_name_of_an_upload_is_not_used_and_nothing_is_stored(own, painted, tmp_path, name):
    def files():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if "library.db" not in path.name}

    before = files()
    client = own.test_client()
    for path in (f"{API}/search", "/"):
        response = client.post(path, data={"image": (io.BytesIO(painted[0].read_bytes()), name)})
        assert response.status_code == 200
        assert "<script>" not in response.get_data(as_text=True).replace('<script type="module"', "")
    assert files() == before


def test_a_link_that_leads_out_of_the_indexed_folder(tmp_path, colour_bundle):
    outside = paint(tmp_path / "outside" / "secret.png", "blue")
    photo = paint(tmp_path / "photos" / "a.png", "red")
    folder = tmp_path / "library"
    (number,) = index(folder, colour_bundle, [photo]).values()
    with Store.create(folder, colour_bundle.name, colour_bundle.fingerprint) as store:
        store.remember_root(str(photo.parent))
    client = create_app(
        Settings(library=folder, model=str(colour_bundle.folder), cache=colour_bundle.cache)
    ).test_client()
    original, large = f"{API}/images/{number}/original", f"{API}/images/{number}/thumbnail?size=2048"
    assert client.get(original).status_code == 200
    for target in (outside, SECRET):
        photo.unlink()
        photo.symlink_to(target)
        for path in (original, large):
            response = client.get(path)
            assert (response.status_code, response.json["type"].rsplit(":", 1)[1]) == (410, "file-gone")
            assert str(outside) not in response.text
    photo.unlink()
    inside = paint(tmp_path / "photos" / "sub" / "b.png", "red")
    photo.symlink_to(inside)
    assert client.get(original).data == inside.read_bytes()


# Other web sites


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "0x7f000001"])
def test_a_name_that_was_made_to_point_here(client, host):
    for path in ("/", f"{API}/images", f"{API}/images/1/original", "/login", "/metrics"):
        response = client.get(path, headers={"Host": host})
        assert response.status_code == 421
        assert response.headers["Content-Security-Policy"]


def test_a_form_on_another_site_that_starts_a_run_or_gives_feedback(own):
    client = own.test_client()
    for path in ("/index", "/feedback"):
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            sent = client.post(API + path, data='{"q":"red"}', headers=headers, content_type="text/plain")
            assert sent.status_code == 403
    assert client.delete(f"{API}/jobs/1", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.get(f"{API}/jobs").json["total"] == 0


@pytest.mark.parametrize("path", ["/", "/library", f"{API}/images/1/original", f"{API}/images", "/login"])
def test_another_site_that_frames_a_page_or_shows_a_photo(client, path):
    headers = client.get(path).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


# Scripts


@pytest.fixture
def scripted(tmp_path, colour_bundle):
    """A library whose folder, file name and EXIF hold scripts."""
    nasty = "<img src=x onerror=alert(1)>\"'"
    photo = paint(tmp_path / nasty.replace("/", "") / f"{nasty}.jpg", "red", exif=exif(camera=f"</dd><script>{nasty}"))
    folder = tmp_path / "library"
    index(folder, colour_bundle, [photo], failed=[(f"/photos/{nasty}.jpg", f"damaged {nasty}")])
    return create_app(
        Settings(library=folder, model=str(colour_bundle.folder), cache=colour_bundle.cache)
    ).test_client()


@pytest.mark.parametrize("path", ["/", "/?q=red", "/photo/1", "/photo/1?q=red", "/library"])
def test_a_script_in_a_file_name_a_folder_or_exif(scripted, path):
    page = scripted.get(path)
    assert page.status_code == 200
    assert "<img src=x" not in page.text
    assert "</dd><script>" not in page.text
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/?q={}", "/?folder={}", "/photo/1?q={}", "/login?next=/{}", "/{}", f"{API}/search?q={{}}"]
)
def test_a_script_in_an_address(scripted, path):
    response = scripted.get(path.format("%3Cscript%3Ealert(1)%3C/script%3E%22%27"))
    assert "<script>alert" not in response.text or response.mimetype.endswith("json")


def test_a_file_that_is_not_what_its_name_says(tmp_path, colour_bundle):
    photo = paint(tmp_path / "photos" / "a.png", "red")
    (number,) = index(tmp_path / "library", colour_bundle, [photo]).values()
    photo.write_text("<html><script>alert(1)</script>")
    settings = Settings(library=tmp_path / "library", model=str(colour_bundle.folder), cache=colour_bundle.cache)
    response = create_app(settings).test_client().get(f"{API}/images/{number}/original")
    assert response.status_code == 410


# Uploads


def post(client, data, name="x.png"):
    return client.post(f"{API}/search", data={"image": (io.BytesIO(data), name)})


def png(width, height, *chunks):
    """The start of a PNG of this size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunk(*one) for one in chunks) + chunk(b"IEND", b"")


def test_an_upload_that_is_too_large(client):
    assert post(client, b"\0" * ((64 << 20) + 1)).status_code == 413


@pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (1, 400_000_000)])
def test_a_small_file_that_is_huge_in_pixels(client, size):
    started_at = time.monotonic()
    response = post(client, png(*size, (b"IDAT", zlib.compress(b"\0" * 10_000_000, 9))))
    assert response.status_code in (415, 422)
    not_told(response)
    assert time.monotonic() - started_at < 5  # the header is enough to refuse it


def test_text_that_unpacks_to_gigabytes(client):
    bomb = png(
        8, 8, (b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"\0" * 200_000_000, 9)), (b"IDAT", zlib.compress(b"\0" * 200))
    )
    response = post(client, bomb)
    assert response.status_code in (200, 415, 422)


@pytest.mark.parametrize(
    "data", [b"", b"%PDF-1.7", b"GIF89a", b"\xff\xd8\xff", b"<svg onload=alert(1)>", b"%!PS\n(r) file", b"MZ" * 99]
)
def test_an_upload_that_is_no_photo(client, data):
    response = post(client, data, "x.jpg")
    assert response.status_code in (415, 422)
    assert response.mimetype == "application/problem+json"
    not_told(response)


def test_a_form_of_very_many_fields(client):
    response = client.post(f"{API}/search", data={f"f{i}": "x" for i in range(2000)})
    assert response.status_code in (413, 422)


# Guesses


def test_guesses_at_a_token_are_few(own):
    client = create_app(own.extensions["unseen"].settings.model_copy(update={"auth": True})).test_client()
    answers = [client.get(f"{API}/images", headers={"Authorization": f"Bearer {i}"}).status_code for i in range(12)]
    assert answers == [401] * 10 + [429] * 2
    answers = [client.get(f"{API}/images").status_code for _ in range(3)]
    assert answers == [401] * 3


# Over a socket: what a client library would not send


@pytest.fixture(scope="module")
def live(library, colour_bundle):
    settings = Settings(library=library[0], model=str(colour_bundle.folder), cache=colour_bundle.cache)
    with started(settings) as running:
        yield int(running.address.rsplit(":", 1)[1])


def exchange(port, data):
    """What the server says to these bytes, until it closes or has nothing more to say."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /login?next=/%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/v1/images/1/thumbnail?v=%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Prefix: /a%0d%0aSet-Cookie: a=b\r\n\r\n",
    ],
)
def test_a_line_break_that_would_become_a_header(live, request_):
    head = exchange(live, request_).partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 ")
    assert b"\r\nset-cookie: a=b" not in head


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n", b"4"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", b"400"),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"400",
        ),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 262_200 + b"\r\n\r\n", b"431"),
        (b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
    ],
)
def test_what_is_no_request_is_refused_as_a_problem(live, request_, status):
    head, _, body = exchange(live, request_).partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1].startswith(status)
    assert b"application/problem+json" in head or b"text/html" in head
    assert b"waitress" not in head + body


def test_what_is_not_even_read_is_too_large_like_what_is(live):
    body = exchange(live, b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
    document = json.loads(body.partition(b"\r\n\r\n")[2])
    assert (document["type"], document["status"]) == ("urn:unseen:problem:too-large", 413)
    assert document["detail"].startswith("More than 64 MB were sent")


def test_clients_that_say_nothing_hold_up_nobody(live):
    idle = [socket.create_connection(("127.0.0.1", live)) for _ in range(60)]
    for connection in idle[:30]:
        connection.sendall(b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx")
    for _ in range(5):
        client = http.client.HTTPConnection("127.0.0.1", live, timeout=10)
        client.request("GET", f"{API}/search?q=red")
        assert client.getresponse().status == 200
        client.close()
    for connection in idle:
        connection.close()


def test_a_request_that_drips_in_is_cut_off(app, monkeypatch):
    monkeypatch.setattr(server, "RECEIVING", 0.2)
    monkeypatch.setattr(server, "TICK", 0.05)
    with serving(app) as running, socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert connection.recv(100) == b""
