import os
import sqlite3
from io import BytesIO

import pytest
from PIL import Image

from engine.library import thumbnails
from engine.settings import Settings
from tests.conftest import paint
from tests.webapp.conftest import exif, index
from tests.webapp.test_attacks import png
from webapp import create_app

API = "/api/v1/images"


@pytest.fixture
def one(tmp_path, colour_bundle):
    """An app with one large photo that lies on its side: its file, its id, a client."""
    path = paint(tmp_path / "photo.jpg", "green", "red", size=(1200, 900), exif=exif(orientation=6))
    folder = tmp_path / "library"
    (photo_id,) = index(folder, colour_bundle, [path]).values()
    app = create_app(Settings(library=folder, model=str(colour_bundle.folder), cache=colour_bundle.cache))
    return path, photo_id, app.test_client()


def picture(response):
    assert response.status_code == 200, response.text
    return Image.open(BytesIO(response.data)).convert("RGB")


def test_a_thumbnail_is_upright_and_as_small_as_asked(one):
    _, photo_id, client = one
    assert picture(client.get(f"{API}/{photo_id}/thumbnail")).size == (384, 512)
    small = picture(client.get(f"{API}/{photo_id}/thumbnail?size=100"))
    assert small.size == (75, 100)
    assert small.getpixel((70, 5))[0] > 200  # the red corner, top left in the file, is top right
    assert picture(client.get(f"{API}/{photo_id}/thumbnail?size=800")).size == (600, 800)
    assert picture(client.get(f"{API}/{photo_id}/thumbnail?size=4000")).size == (900, 1200)


def test_a_missing_thumbnail_is_put_back_into_the_library(one, tmp_path):
    _, photo_id, client = one
    first = client.get(f"{API}/{photo_id}/thumbnail?size=64")
    assert picture(first).size == (48, 64)
    (kept,) = (tmp_path / "library" / "thumbnails").rglob("*.jpg")
    assert Image.open(kept).size == (450, 600)
    assert thumbnails.thumbnail_path(tmp_path / "library", bytes.fromhex(kept.stem)) == kept


@pytest.mark.parametrize("size", ["", "?size=64", "?size=900"])
def test_a_damaged_thumbnail_is_made_again(one, tmp_path, size):
    _, photo_id, client = one
    client.get(f"{API}/{photo_id}/thumbnail")
    (kept,) = (tmp_path / "library" / "thumbnails").rglob("*.jpg")
    kept.write_bytes(bytes(5000))
    picture(client.get(f"{API}/{photo_id}/thumbnail{size}"))
    assert max(Image.open(kept).size) >= 512


def test_the_thumbnail_stays_when_the_file_is_gone_and_larger_views_fall_back_to_it(one):
    path, photo_id, client = one
    client.get(f"{API}/{photo_id}/thumbnail")
    path.unlink()
    assert picture(client.get(f"{API}/{photo_id}/thumbnail")).size == (450, 600)
    assert picture(client.get(f"{API}/{photo_id}/thumbnail?size=1024")).size == (450, 600)
    response = client.get(f"{API}/{photo_id}/original")
    assert response.status_code == 410
    assert response.json["type"] == "urn:unseen:problem:file-gone"
    assert str(path) in response.json["detail"]


def test_who_opens_an_original_that_is_gone_sees_a_page_and_a_program_a_problem(one):
    path, photo_id, client = one
    path.unlink()
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
    for accept, kind in (
        (browser, "text/html"),
        ("*/*", "application/problem+json"),
        ("image/*", "application/problem+json"),
    ):
        response = client.get(f"{API}/{photo_id}/original", headers={"Accept": accept})
        assert (response.status_code, response.mimetype) == (410, kind)
        assert path.name in response.text


def test_a_thumbnail_that_cannot_be_made_is_a_problem_that_names_the_file(one):
    path, photo_id, client = one
    path.write_bytes(b"not a photo any more")
    response = client.get(f"{API}/{photo_id}/thumbnail")
    assert response.status_code == 410
    assert str(path) in response.json["detail"]


@pytest.mark.parametrize("part", ["thumbnail", "thumbnail?size=64", "thumbnail?size=900", "original"])
def test_a_picture_that_the_browser_holds_is_not_sent_again(one, part):
    _, photo_id, client = one
    first = client.get(f"{API}/{photo_id}/{part}")
    again = client.get(f"{API}/{photo_id}/{part}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert client.get(f"{API}/{photo_id}/{part}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_address_with_the_version_is_kept_for_good_and_any_other_is_asked_again(one):
    _, photo_id, client = one
    named = client.get(client.get(f"{API}/{photo_id}").json["thumbnail_url"]).headers["Cache-Control"]
    assert named == "private, max-age=31536000, immutable"
    for path in (f"{API}/{photo_id}/thumbnail", f"{API}/{photo_id}/thumbnail?v=old", f"{API}/{photo_id}/original"):
        assert client.get(path).headers["Cache-Control"] == "private, no-cache"


def test_an_upright_original_is_the_file_byte_for_byte(client, ids, painted):
    for place, kind in ((0, "image/png"), (3, "image/jpeg")):
        response = client.get(f"{API}/{ids[painted[place].name]}/original")
        assert response.mimetype == kind
        assert response.data == painted[place].read_bytes()
        part = client.get(f"{API}/{ids[painted[place].name]}/original", headers={"Range": "bytes=0-9"})
        assert (part.status_code, part.data) == (206, painted[place].read_bytes()[:10])


def test_an_original_costs_a_header_however_many_pixels_it_has(one):
    path, photo_id, client = one
    path.write_bytes(png(40_000, 40_000))  # as if the rest came later: whoever decodes it finds nothing
    with sqlite3.connect(path.parent / "library" / "library.db") as database:
        database.execute("UPDATE photos SET format = 'PNG'")
    response = client.get(f"{API}/{photo_id}/original")
    assert (response.status_code, response.data) == (200, path.read_bytes())


def test_a_file_that_is_of_another_format_by_now_is_sent_as_a_jpeg(one):
    path, photo_id, client = one
    Image.new("RGB", (30, 20), "red").save(path, "PNG")
    response = client.get(f"{API}/{photo_id}/original")
    sent = Image.open(BytesIO(response.data))
    assert (response.mimetype, sent.format, sent.size) == ("image/jpeg", "JPEG", (30, 20))


@pytest.mark.parametrize("part", ["thumbnail", "original"])
def test_a_pipe_in_the_place_of_a_photo_is_not_waited_for(one, part):
    path, photo_id, client = one
    path.unlink()
    os.mkfifo(path)
    response = client.get(f"{API}/{photo_id}/{part}")
    assert (response.status_code, response.json["type"]) == (410, "urn:unseen:problem:file-gone")


def test_an_original_that_lies_on_its_side_is_sent_upright(one):
    path, photo_id, client = one
    upright = picture(client.get(f"{API}/{photo_id}/original"))
    assert upright.size == (900, 1200)
    assert upright.getpixel((890, 5))[0] > 200
    assert Image.open(path).size == (1200, 900)


def test_an_original_that_browsers_do_not_know_is_sent_as_a_jpeg(client, ids):
    response = client.get(f"{API}/{ids['cyan.tif']}/original")
    assert response.mimetype == "image/jpeg"
    assert picture(response).size == (64, 48)


def test_a_library_that_cannot_be_written_still_shows_its_photos(one, tmp_path, monkeypatch):
    _, photo_id, client = one

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(thumbnails, "write", refuse)
    assert picture(client.get(f"{API}/{photo_id}/thumbnail")).size == (384, 512)


def test_pictures_are_named_by_id_alone(client, painted):
    for path in (str(painted[0]), "../../etc/passwd", "..%2f..%2fetc%2fpasswd", os.path.basename(painted[0])):  # noqa: PTH119
        assert client.get(f"{API}/{path}/original").status_code == 404
