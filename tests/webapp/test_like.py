"""An image can be the query, for programs and on the page, and nothing of it stays."""

import io

import pytest
from PIL import Image

from engine.library.store import Store
from engine.settings import Settings
from tests.webapp.test_api import API, ok, problem
from tests.webapp.test_pages import Page, photos
from webapp import create_app


@pytest.fixture
def red(painted):
    return painted[0].read_bytes()


def send(client, data, path=f"{API}/search", name="holiday.png", **fields):
    image = {} if data is None else {"image": (io.BytesIO(data), name)}
    return client.post(path, data={**fields, **image}, content_type="multipart/form-data")


def test_an_image_finds_photos_that_show_the_same(client, ids, red):
    answered = send(client, red).json
    assert answered["query"] == {"text": "", "terms": [], "like": True}
    best = answered["items"][0]
    assert best["id"] == ids["all-red.png"]
    assert best["score"] == pytest.approx(1, abs=1e-3)
    assert best["heatmap_url"] is None
    assert answered["total"] == len(answered["items"]) == len(ids)
    similar = ok(client, f"/images/{ids['all-red.png']}/similar")["items"]
    assert [hit["id"] for hit in answered["items"][1:]] == [one["id"] for one in similar]


def test_words_beside_an_image_are_read_as_typed(client, ids, red):
    answered = send(client, red, q='"yellow" -blue').json
    assert answered["query"]["text"] == '"yellow" -blue'
    assert [term["weight"] for term in answered["query"]["terms"]] == [1, -1]
    assert answered["items"][0]["id"] == ids["<b>&'\".png"]
    assert client.get(answered["items"][0]["heatmap_url"]).status_code == 200


def test_the_other_arguments_work_beside_an_image(client, red):
    whole = send(client, red).json["items"]
    assert send(client, red, top="2", cursor="1").json["items"] == whole[1:3]
    assert send(client, red, camera="pinhole").json["total"] == 1
    assert send(client, red, min_confidence="0.999", after="", q="").json["total"] == 1


def test_the_same_form_sent_to_next_gives_the_next_page(client, red):
    whole = [hit["id"] for hit in send(client, red, q="-blue").json["items"]]
    found, path = [], f"{API}/search"
    while path:
        answered = send(client, red, path, q="-blue", top="2").json
        found += [hit["id"] for hit in answered["items"]]
        path = answered["next"]
    assert found == whole


@pytest.mark.parametrize(
    ("data", "fields", "status", "kind"),
    [
        (None, {}, 422, "invalid-arguments"),
        (None, {"image": "red"}, 422, "invalid-arguments"),
        (b"", {}, 422, "unreadable-photo"),
        (b"a letter, not a photo", {}, 415, "not-a-photo"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", {}, 415, "not-a-photo"),
        ("half", {}, 422, "unreadable-photo"),
        ("red", {"q": "redd"}, 422, "unknown-word"),
        ("red", {"q": "red^x"}, 400, "malformed-query"),
        ("red", {"min_confidence": "2"}, 422, "invalid-arguments"),
        ("red", {"after": "someday"}, 400, "malformed-query"),
    ],
)
def test_what_cannot_be_searched_with_is_a_problem_document(client, red, data, fields, status, kind):
    data = {"red": red, "half": red[: len(red) // 2]}.get(data, data)
    document = problem(send(client, data, **fields), status, kind)
    assert "holiday.png" not in document["detail"]


def test_an_image_of_too_many_bytes_or_pixels_is_refused(client, app, red, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("engine.photo.formats.MAX_PIXELS", 1000)
        assert "megapixels" in problem(send(client, red), 422, "unreadable-photo")["detail"]
    monkeypatch.setitem(app.config, "MAX_CONTENT_LENGTH", 200)
    assert "64 MB" in problem(send(client, red), 413, "too-large")["detail"]
    page = send(client, red, "/")
    assert page.status_code == 413
    assert "64 MB" in page.text


@pytest.mark.parametrize("fields", [{"q": "x" * 600_000}, {f"f{i}": "x" for i in range(3000)}], ids=["long", "many"])
def test_a_form_of_too_many_or_too_long_fields_is_not_called_an_image_that_is_too_large(client, red, fields):
    detail = problem(send(client, red, **fields), 413, "too-large")["detail"]
    assert "1,000 fields" in detail and "500 kB" in detail and "64 MB" not in detail


def test_nothing_of_the_image_stays(client, library, red):
    def state():
        return {path: path.stat().st_mtime_ns for path in library[0].rglob("*") if path.suffix not in {".db-shm"}}

    before = state()
    other = io.BytesIO()
    Image.new("RGB", (40, 40), "orange").save(other, "PNG")
    assert send(client, other.getvalue()).status_code == 200
    assert state() == before


def test_the_encoder_is_opened_once(client, red, monkeypatch):
    send(client, red)
    monkeypatch.setattr("engine.model.encoder.RegionEncoder.open", lambda *_: 1 / 0)
    assert send(client, red).status_code == 200


def test_an_empty_library_has_nothing_like_it(tmp_path, colour_bundle, red):
    with Store.create(tmp_path, colour_bundle.name, colour_bundle.fingerprint):
        pass
    settings = Settings(library=tmp_path, model=str(colour_bundle.folder), cache=colour_bundle.cache)
    assert send(create_app(settings).test_client(), red).json["items"] == []


def test_the_openapi_document_says_how_an_image_is_sent(client):
    spec = ok(client, "/openapi.json")
    operation = spec["paths"][f"{API}/search"]["post"]
    (schema,) = [kind["schema"] for kind in operation["requestBody"]["content"].values()]
    schema = spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    assert "multipart/form-data" in operation["requestBody"]["content"]
    assert schema["required"] == ["image"]
    assert schema["properties"]["image"]["format"] == "binary"
    assert {"200", "400", "413", "415", "422"} <= operation["responses"].keys()


# The page, without scripts


def test_the_page_takes_an_image_and_shows_what_is_like_it(client, red):
    form = Page(client.get("/")).all("form", id="like")[0]
    assert (form["method"], form["enctype"]) == ("post", "multipart/form-data")
    page = Page(send(client, red, form["action"], name="<b>me</b>.png"))
    assert "Most like <b>me</b>.png" in page.text
    assert photos(page) == [hit["id"] for hit in send(client, red).json["items"]]
    for link in page.all("a"):
        assert client.get(link["href"]).status_code == 200
        assert "at=" not in link["href"]


def test_words_beside_an_image_stay_in_the_box(client, red):
    page = Page(send(client, red, "/", q="rouge"))
    assert page.all("input", type="search")[0]["value"] == "rouge"
    assert page.all("a", **{"class": "button"})[0]["href"] == "/?q=rouge"
    assert photos(page) == [hit["id"] for hit in send(client, red, q="rouge").json["items"]]


def test_without_an_image_the_page_searches_by_the_words(client):
    response = send(client, None, "/", q="red", _external="1", endpoint="x")
    assert response.status_code == 303
    assert response.headers["Location"] == "/?q=red"


def test_an_image_that_cannot_be_read_is_said_on_the_page(client, red):
    page = send(client, b"a letter", "/")
    assert page.status_code == 415
    assert "Cannot read the image" in page.text
    page = send(client, red, "/", q="gren")
    assert page.status_code == 422
    assert "/?q=green" in page.text


def test_an_image_that_cannot_be_read_can_be_left_out_of_the_query(client):
    page = Page(send(client, b"a letter, not a photo", "/", q="red", camera="Pinhole 7"))
    (link,) = [link["href"] for link in page.all("a", **{"class": "button"}) if "red" in link["href"]]
    assert client.get(link, follow_redirects=True).status_code == 200
    assert "Without the image" in page.text
