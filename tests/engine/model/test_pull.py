"""A bundle is fetched from a web server or a file, whole or not at all, and nothing else of an archive is."""

import re
import threading
import zipfile
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest

from engine.errors import BundleError
from engine.model import pull as pull_module
from engine.model.bundle import open_bundle
from engine.model.pull import pull


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def archive(colour_bundle, tmp_path):
    """The colour bundle in a folder of an archive, beside files that nobody asked for."""
    path = tmp_path / "shared" / "colours.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in colour_bundle.folder.iterdir():
            packed.write(file, f"colours/{file.name}")
        packed.writestr("colours/run.py", "import os")
        packed.writestr("../../outside.txt", "here")
    return path


@pytest.fixture
def address(archive):
    with HTTPServer(("127.0.0.1", 0), lambda *args: Quiet(*args, directory=archive.parent)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_bundle_is_fetched_from_a_web_server_and_found_by_its_name(address, colour_bundle, tmp_path):
    cache = tmp_path / "cache"
    fetched = pull(f"{address}/colours.zip", cache)
    assert fetched.folder == cache / "bundles" / "colours"
    assert open_bundle("colours", cache).fingerprint == colour_bundle.fingerprint
    assert {path.name for path in fetched.folder.iterdir()} == {path.name for path in colour_bundle.folder.iterdir()}
    assert sorted(path.name for path in (cache / "bundles").iterdir()) == ["colours"]
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_file_will_do_and_another_name_too(archive, tmp_path):
    pull(str(archive.rename(archive.with_name("Vögel.zip"))), tmp_path, "mine")
    assert open_bundle("mine", tmp_path).name == "colours"


@pytest.mark.parametrize("name", ["mine", "lite"])
def test_a_bundle_that_is_there_is_not_replaced(archive, tmp_path, name):
    if name == "mine":
        pull(str(archive), tmp_path, name)
    with pytest.raises(BundleError, match=f"a bundle called {name} already.*--name"):
        pull(str(archive), tmp_path, name)


@pytest.mark.parametrize("name", ["../up", "a/b", ".", "..", ".hidden", "-x", "a b"])
def test_a_name_is_no_path(archive, tmp_path, name):
    with pytest.raises(BundleError, match="is no name for a bundle"):
        pull(str(archive), tmp_path, name)
    assert list((tmp_path / "bundles").iterdir()) == []


def broken(archive, how):
    if how == "cut off":
        archive.write_bytes(archive.read_bytes()[:-200])
    elif how == "no archive":
        archive.write_text("<html>not found</html>")
    elif how == "flipped":
        data = bytearray(archive.read_bytes())
        data[200:400] = bytes(byte ^ 255 for byte in data[200:400])
        archive.write_bytes(data)
    else:
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("readme.txt", "no bundle")
            if how == "half a bundle":
                packed.writestr("bundle.json", "{}")


@pytest.mark.parametrize("how", ["cut off", "no archive", "flipped", "no bundle", "half a bundle"])
def test_what_is_no_bundle_is_told_and_leaves_nothing(archive, tmp_path, how):
    broken(archive, how)
    with pytest.raises(BundleError):
        pull(str(archive), tmp_path / "cache")
    assert list((tmp_path / "cache" / "bundles").iterdir()) == []


def test_what_a_bundle_lacks_is_named(archive, tmp_path):
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(tmp_path / "part.zip", "w") as packed:
        for name in ("bundle.json", "search.safetensors", "tags.txt"):
            packed.writestr(name, whole.read(f"colours/{name}"))
    with pytest.raises(BundleError, match=r"part\.zip lacks head\.safetensors, labels\.txt"):
        pull(str(tmp_path / "part.zip"), tmp_path / "cache")


@pytest.mark.parametrize(
    "where", ["http://127.0.0.1:9/ä.zip", "/no/x.zip", "ftp://h/x.zip", "http://[::1/x", "http:///"]
)
def test_an_address_without_anything_is_told(tmp_path, where):
    with pytest.raises(BundleError, match=f"Cannot fetch {re.escape(where)}: "):
        pull(where, tmp_path)


def test_a_page_that_is_not_found_and_an_archive_without_end_are_told(address, tmp_path, monkeypatch):
    with pytest.raises(BundleError, match="File not found"):
        pull(f"{address}/nosuch.zip", tmp_path)
    monkeypatch.setattr(pull_module, "MOST", 1000)
    with pytest.raises(BundleError, match="larger than"):
        pull(f"{address}/colours.zip", tmp_path)
