"""The pages as a browser without scripts sees them."""

import csv
import io
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from engine.library.records import Metadata
from engine.settings import Settings
from tests.conftest import paint
from tests.webapp.conftest import index
from webapp import create_app

STATIC = Path(__file__).parents[2] / "webapp" / "static"
TEMPLATES = STATIC.parent / "templates"


class Page(HTMLParser):
    """The elements of a page as (tag, attributes), and its text."""

    def __init__(self, response):
        super().__init__()
        self.elements = []
        self.text = ""
        self.feed(response.text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag, **wanted):
        return [
            attributes
            for found, attributes in self.elements
            if found == tag and all(attributes.get(name) == value for name, value in wanted.items())
        ]


def visit(client, path, status=200, **arguments):
    response = client.get(path, query_string=arguments or None)
    assert response.status_code == status, response.text
    assert response.mimetype == "text/html"
    return Page(response)


def photos(page):
    return [
        int(re.search(r"/photo/(\d+)", link["href"])[1]) for link in page.all("a") if "/photo/" in link.get("href", "")
    ]


def test_the_first_page_shows_the_newest_photos(client, ids):
    page = visit(client, "/")
    assert photos(page)[:2] == [ids["blue.jpg"], ids["lying.jpg"]]
    assert len(photos(page)) == len(ids)


def test_a_search_shows_the_searchers_order_and_leads_to_each_photo(client):
    page = visit(client, "/", q="red", min_confidence=0)
    hits = client.get("/api/v1/search?q=red&min_confidence=0").json["items"]
    assert photos(page) == [hit["id"] for hit in hits]
    for link in page.all("a"):
        if "/photo/" in link.get("href", ""):
            assert client.get(link["href"]).status_code == 200


def test_each_place_is_kept_before_its_photo_is_loaded(client, ids):
    page = visit(client, "/")
    for image in page.all("img"):
        assert int(image["width"]) > 0
        assert int(image["height"]) > 0
    style = (STATIC / "grid.css").read_text()
    shapes = {item["class"] for item in page.all("li") if "data-id" in item}
    assert {"a50", "a75", "a135"} <= shapes  # 48 × 96, 48 × 64, 64 × 48
    for shape in shapes:
        assert f".{shape}{{" in style


def test_the_link_to_more_photos_needs_no_script(client, monkeypatch):
    monkeypatch.setattr("webapp.pages.search.PAGE", 3)
    seen, address = [], "/?q=red&min_confidence=0"
    while address:
        page = visit(client, address)
        seen += photos(page)
        address = next((link["href"] for link in page.all("a", rel="next")), None)
    hits = client.get("/api/v1/search?q=red&min_confidence=0").json["items"]
    assert seen == [hit["id"] for hit in hits]


def test_a_photo_shows_where_the_word_is_without_scripts(client, ids):
    number = ids["red-spot.png"]
    page = visit(client, f"/photo/{number}", q="red", at=1)
    (overlay,) = [image for image in page.all("img") if "heatmap.png" in image["src"]]
    assert client.get(overlay["src"]).mimetype == "image/png"
    box = page.all("rect", **{"class": "over"})[0]
    assert [float(box[name]) for name in ("x", "y", "width", "height")] == [48, 12, 16, 12]


def test_a_zero_shot_word_says_which_learned_tags_are_near(client, ids):
    assert "zero-shot: near red" in visit(client, f"/photo/{ids['all-red.png']}", q="rouge").text
    assert "was never a label in training; near" in visit(client, "/", q="rouge").text


def test_previous_and_next_follow_the_order_of_the_results(client):
    hits = client.get("/api/v1/search?q=red&min_confidence=0").json["items"]
    first = photos(visit(client, "/", q="red", min_confidence=0))[0]
    address, seen = f"/photo/{first}?q=red&min_confidence=0&at=1", [first]
    while True:
        page = visit(client, address)
        following = page.all("a", rel="next")
        if not following:
            break
        address = following[0]["href"]
        seen.append(int(re.search(r"/photo/(\d+)", address)[1]))
    assert seen == [hit["id"] for hit in hits]
    previous = page.all("a", rel="prev")[0]["href"]
    assert f"/photo/{seen[-2]}?" in previous


def test_previous_and_next_stay_right_after_a_mark(own):
    client = own.test_client()
    red = {"q": "red", "min_confidence": 0}
    before = photos(visit(client, "/", **red))
    for relevant in (True, False):
        client.post("/api/v1/feedback", json={"q": "red", "image_id": before[2], "relevant": relevant})
        assert turns(client, before[2], at=3, **red) == [before[1], before[3]]
    now = photos(visit(client, "/", **red))
    moved = now.index(before[3])
    assert turns(client, before[3], at=4, **red) == [now[moved - 1], now[moved + 1]]


def turns(client, number, **place):
    """Ids of the photos before and after one."""
    page = visit(client, f"/photo/{number}", **place)
    links = [page.all("a", rel=rel)[0]["href"] for rel in ("prev", "next")]
    return [int(re.search(r"/photo/(\d+)", link)[1]) for link in links]


def test_photos_with_something_like_the_best_region_are_one_click_away(client, ids):
    number = ids["red-spot.png"]
    page = visit(client, f"/photo/{number}", q="red", at=1)
    (link,) = [link["href"] for link in page.all("a") if "region=" in link.get("href", "")]
    found = visit(client, link.split("#")[0])
    like = client.get(f"/api/v1/images/{number}/similar?region=1,3").json["items"]
    assert photos(found)[-len(like) :] == [one["id"] for one in like]


def test_photos_like_it_are_one_click_away_and_not_waited_for(client, ids):
    number = ids["red-spot.png"]
    page = visit(client, f"/photo/{number}", q="red", at=1)
    (link,) = page.all("a", id="similar-link")
    assert ids["all-red.png"] not in photos(page)
    found = photos(visit(client, link["href"].split("#")[0]))
    like = client.get(f"/api/v1/images/{number}/similar").json["items"]
    assert found[-len(like) :] == [one["id"] for one in like]


@pytest.mark.parametrize("query", ["q=red&min_confidence=0.01", "q=camera:x", ""])
def test_the_list_is_the_same_as_csv_and_as_json(client, query):
    table = list(csv.DictReader(io.StringIO(client.get(f"/photos.csv?{query}").text)))
    objects = client.get(f"/photos.json?{query}").json
    assert [{name: "" if value is None else str(value) for name, value in one.items()} for one in objects] == table
    assert [one["rank"] for one in objects] == list(range(1, len(objects) + 1))


def test_what_is_left_out_by_the_cut_off_is_one_click_away(client):
    sure = visit(client, "/", q="red", min_confidence=0.5)
    (link,) = [link["href"] for link in sure.all("a") if link.get("href", "").endswith("min_confidence=0")]
    assert len(photos(visit(client, link))) > len(photos(sure)) > 0


def test_an_excluded_word_is_named_but_not_drawn(client, ids):
    page = visit(client, f"/photo/{ids['all-red.png']}", q="red -blue")
    assert "left out" in page.text
    assert len(page.all("g")) == 1
    assert page.all("g", **{"class": "term"})  # has no colour of its own, as there are no others
    assert "like any background" in page.text


def test_a_date_that_is_the_files_own_is_not_called_taken(client, own, ids):
    photo = f"/photo/{ids['blue.jpg']}"
    page = visit(client, photo)
    assert "Taken" in page.text
    assert page.all("time", datetime="2024-07-01T12:00:00Z")
    with closing(sqlite3.connect(own.extensions["unseen"].folder / "library.db", isolation_level=None)) as library:
        library.execute("UPDATE photos SET taken_from = 'file'")
    assert "File written" in visit(own.test_client(), photo).text


def test_an_unknown_word_offers_spellings_that_can_be_clicked(client, ids):
    page = visit(client, "/", 422, q="Gren red", min_confidence="0.1")
    assert "not in the vocabulary" in page.text
    (link,) = [link["href"] for link in page.all("a") if "green+red" in link.get("href", "")]
    assert "min_confidence=0.1" in link
    assert client.get(link).status_code == 200
    assert "not in the vocabulary" in visit(client, f"/photo/{ids['blue.jpg']}", 422, q="gren").text


def test_a_likely_typo_is_searched_and_can_be_corrected_within_the_query(client, monkeypatch):
    asked = "engine.words.vectors.WordVectors.did_you_mean"
    monkeypatch.setattr(asked, lambda _, phrase: ["red"] if phrase == "rouge" else [])
    page = visit(client, "/", q="blue Rouge", min_confidence=0)
    assert "rouge is rare; did you mean" in " ".join(page.text.split())
    assert photos(page)
    assert "/?q=blue+red&min_confidence=0" in [link.get("href") for link in page.all("a")]


def test_each_of_several_words_says_how_sure_it_is_but_not_what_is_left_out(client, ids):
    number = ids["all-red.png"]
    found = client.get(f"/api/v1/images/{number}/heatmap?q=red+-blue").json
    page = visit(client, f"/photo/{number}", q="red -blue")
    for term in found["terms"]:
        alone = client.get(f"/api/v1/images/{number}/heatmap?q={term['term']}").json
        assert (term["score"], term["confidence"]) == (alone["score"], alone["confidence"])
        shown = f"{round(100 * term['confidence'])}\u202f% sure that it is here" in page.text
        assert shown == (term["weight"] > 0)
    red, blue = (term["confidence"] for term in found["terms"])
    assert found["confidence"] == pytest.approx(red * (1 - blue), rel=1e-3)


def test_when_nothing_is_sure_enough_the_nearest_are_one_click_away(client):
    page = visit(client, "/", q="red", min_confidence=1)
    assert "No photo is sure enough" in page.text
    (link,) = [link["href"] for link in page.all("a", **{"class": "button"})]
    assert photos(visit(client, link))


@pytest.mark.parametrize("query", ["red after:2030", "after:2030", "red after:2030 folder:/photos camera:box"])
def test_when_the_filters_leave_nothing_the_words_alone_are_one_click_away(client, query):
    page = visit(client, "/", q=query)
    assert "No photo passes these filters" in page.text
    assert "sure enough" not in page.text
    (link,) = [link["href"] for link in page.all("a", **{"class": "button"})]
    assert link == ("/?q=red" if "red" in query else "/")


def test_a_chip_names_a_folder_by_its_last_part(client):
    (chip,) = visit(client, "/", q='folder:"/a/very/long/path"').all("a", **{"class": "chip"})
    assert chip["title"] == "/a/very/long/path"
    assert chip["aria-label"] == "Remove the filter Folder /a/very/long/path"


@pytest.mark.parametrize("path", ["/?sort=beauty", "/?min_confidence=x", "/photo/1?at=0", "/?cursor=-1"])
def test_an_address_that_cannot_be_read_is_said_in_words(client, path):
    response = client.get(path)
    assert response.status_code == 422
    assert "cannot be read" in response.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/?q=red&cursor=%21", "of the page before"),
        ("/photo/1?region=x", "a row and a column"),
        ("/api/v1/images?cursor=%21", "of the page before"),
        ("/api/v1/images/1/similar?region=x", "a row and a column"),
        ("/api/v1/places?within=x", "in degrees"),
    ],
)
def test_how_an_argument_is_written_is_said_in_words(client, path, words):
    response = client.get(path)
    assert response.status_code == 422
    assert words in response.text
    assert "pattern" not in response.text.lower()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/photo/999", 404),
        ("/photo/" + "9" * 30, 404),
        ("/photo/1?region=9,9", 400),
        ("/nothing", 404),
        ("/?q=red+after:someday", 400),
        ("/map?lat=91", 422),
        ("/map?lat=north", 422),
        ("/photos.csv?q=gren", 422),
    ],
)
def test_errors_are_pages_for_people(client, path, status):
    page = visit(client, path, status)
    assert page.all("a", **{"class": "button"})
    assert "Traceback" not in page.text


def test_without_a_library_the_page_says_how_to_begin(tmp_path, colour_bundle):
    settings = Settings(library=tmp_path / "none", model=str(colour_bundle.folder), cache=colour_bundle.cache)
    client = create_app(settings).test_client()
    page = visit(client, "/")
    assert "unseen index" in page.text
    assert str(tmp_path / "none") in page.text
    assert "unseen index" in visit(client, "/photo/1", 503).text
    assert "unseen index" in visit(client, "/library", 503).text


def test_the_library_page_names_every_failed_file_with_its_reason(client):
    text = visit(client, "/library").text
    assert "/photos/broken.jpg" in text
    assert "truncated JPEG" in text


def test_the_api_page_has_a_form_for_every_call(client):
    page = visit(client, "/api/docs")
    calls = client.get("/api/v1/openapi.json").json["paths"]
    expected = {(path, method) for path, operations in calls.items() for method in operations}
    assert {(form["action"], form.get("data-method", "").lower()) for form in page.all("form")} >= expected
    assert page.all("input", type="file", name="image")


@pytest.mark.parametrize(
    "attack",
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'-alert(1)-'", "javascript:alert(1)", "{{7*7}}"],
)
def test_what_is_typed_never_becomes_markup(client, ids, attack):
    for path in ("/", f"/photo/{ids['all-red.png']}"):
        for q in (attack, f"red {attack}", f'"{attack}"', f"folder:{attack} red"):
            response = client.get(path, query_string={"q": q, "min_confidence": 0, "folder": attack})
            page = Page(response)
            assert not [
                attributes for _, attributes in page.elements if any(name.startswith("on") for name in attributes)
            ]
            assert all(script.get("src", "").startswith("/static/") for script in page.all("script"))
            assert not [image for image in page.all("img") if image["src"] == "x"]
            assert not [link for link in page.all("a") if link.get("href", "").startswith("javascript")]
            assert "49" not in page.text or "{{7*7}}" in page.text


def test_a_file_name_never_becomes_markup(client, ids):
    name = "<b>&'\".png"
    for path in ("/?q=red", f"/photo/{ids[name]}?q=red"):
        page = visit(client, path)
        assert name in {image.get("alt") for image in page.all("img")}
        assert "<b>&" not in client.get(path).text


def test_pages_hold_neither_inline_code_nor_anything_from_elsewhere(client, ids):
    for path in ("/", "/?q=red", f"/photo/{ids['blue.jpg']}?q=red", "/library", "/api/docs", "/nothing"):
        for tag, attributes in Page(client.get(path)).elements:
            assert "style" not in attributes
            assert tag != "style"
            for name in ("src", "href", "action"):
                assert not re.match(r"[a-z]+:|//", attributes.get(name) or ""), (path, attributes)
    for file in STATIC.iterdir():
        assert not re.search(r"https?://(?!www\.w3\.org)", file.read_text()), file


def weight(client, path):
    """Bytes of a page with its styles and scripts, not compressed and without pictures."""
    waiting, seen, total = [path], set(), 0
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        body = client.get(address).text
        total += len(body.encode())
        if address == path:
            elements = Page(client.get(path)).elements
            waiting += [found["href"] for tag, found in elements if tag == "link" and found.get("rel") == "stylesheet"]
            waiting += [found["src"] for tag, found in elements if tag == "script"]
        elif address.endswith(".js"):
            waiting += [f"/static/{name}" for name in re.findall(r'from "\./(.+?)"', body)]
    return total


@pytest.mark.parametrize("path", ["/", "/?q=red&min_confidence=0", "/photo/1?q=red", "/explore", "/map", "/library"])
def test_a_page_is_light_before_its_photos(client, path):
    assert 20_000 < weight(client, path) < 100_000


def test_importing_the_page_does_not_import_torch():
    heavy = "{'torch', 'timm', 'faiss', 'gensim'}"
    code = f"import sys, webapp, webapp.api, webapp.pages, webapp.commands; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=STATIC.parents[1])
    assert done.stdout == "set()\n", done.stderr


def test_guesses_are_called_so_one_by_one_and_come_after_a_heading(client, app, monkeypatch):
    found = app.extensions["unseen"].searcher()
    sure = [hit["confidence"] for hit in client.get("/api/v1/search?q=red&min_confidence=0").json["items"]]
    cut = next((a + b) / 2 for a, b in pairwise(sure) if a > b)
    guesses = sum(one < cut for one in sure)
    monkeypatch.setattr(found.bundle, "spec", replace(found.bundle.spec, min_confidence=cut))
    page = client.get("/?q=red&min_confidence=0").text
    assert page.count("Less sure: guesses") == 1
    assert page.count(">guess ") == guesses > 0
    assert page.index("Less sure: guesses") < page.index(">guess ")
    rows = client.get("/photos.json?q=red&min_confidence=0").json
    assert [row["guess"] for row in rows] == [row["confidence"] < cut for row in rows]
    table = client.get("/photos.csv?q=red&min_confidence=0").text.splitlines()
    assert [line.split(",")[3] for line in table] == ["guess", *(str(row["guess"]) for row in rows)]
    page = client.get("/?q=blue").text
    assert "Nothing was found for sure" not in page


def test_a_downloaded_list_holds_the_guesses_that_the_page_shows(client, app, monkeypatch):
    found = app.extensions["unseen"].searcher()
    best = client.get("/api/v1/search?q=red&min_confidence=0").json["items"][0]["confidence"]
    monkeypatch.setattr(found.bundle, "spec", replace(found.bundle.spec, min_confidence=best * 0.999))
    monkeypatch.setattr("engine.search.searcher.SURE", 1.0)
    shown = client.get("/api/v1/search?q=red").json["items"]
    assert {hit["guess"] for hit in shown} == {True, False}
    assert [row["path"] for row in client.get("/photos.json?q=red").json] == [hit["path"] for hit in shown]


def test_a_folder_that_cannot_be_indexed_is_refused_beside_the_form(own, tmp_path):
    library = own.extensions["unseen"]
    library.settings = library.settings.model_copy(update={"roots": (tmp_path,)})
    client = own.test_client()
    page = visit(client, "/library")
    assert page.all("input", name="folder", value=str(tmp_path))
    token = page.all("meta", name="csrf")[0]["content"]
    gone = str(tmp_path / "gone")
    refused = client.post("/library/index", data={"csrf_token": token, "folder": gone})
    assert refused.status_code >= 400
    assert f"There is no folder {gone}. Check the spelling" in refused.text
    assert Page(refused).all("input", name="folder", value=gone)


def test_a_tag_page_leads_to_all_photos_of_the_tag(client, monkeypatch):
    monkeypatch.setattr("webapp.pages.explore.BEST", 1)
    page = visit(client, "/tag/red")
    total = client.get("/api/v1/search?q=red").json["total"]
    assert f"All {total} photos" in page.text


def test_photos_of_the_first_and_of_the_last_year_are_shown_and_their_months_lead_to_them(tmp_path, colour_bundle):
    dates = {paint(tmp_path / f"{year}.png", "red", size=(64, 48 + i)): year for i, year in enumerate((1, 987, 9999))}
    said = {path: (Metadata(datetime(year, 12, 24, tzinfo=UTC)), ()) for path, year in dates.items()}
    index(tmp_path / "library", colour_bundle, dates, said=said)
    settings = Settings(library=tmp_path / "library", model=str(colour_bundle.folder), cache=colour_bundle.cache)
    client = create_app(settings).test_client()
    page = visit(client, "/")
    for month in ("December 0001", "December 0987", "December 9999"):
        assert month in page.text
    links = [link["href"] for link in visit(client, "/explore").all("a") if "after:" in link["href"]]
    assert len(links) == 6  # a year, and a month of it, for each photo
    assert [len(set(photos(visit(client, link)))) for link in links] == [1] * 6
