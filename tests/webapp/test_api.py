import json
import os
import shutil
from urllib.parse import urlsplit

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from engine.library.listing import Place
from engine.library.records import Companion, FileStamp, Metadata
from engine.library.store import Store
from engine.model.bundle import Bundle
from engine.search.serialise import results_to_json
from engine.settings import Settings
from tests.conftest import paint
from tests.webapp.conftest import index
from webapp import create_app
from webapp.library import EXTENSION

API = "/api/v1"
PIECES = [
    "red",
    "rouge",
    " ",
    '"',
    "-",
    "^",
    "2",
    "folder:",
    "camera:",
    "after:",
    "before:",
    "2024",
    "type:",
    "%",
    "\0",
    "é",
]


@pytest.fixture
def searcher(app):
    return app.extensions[EXTENSION].searcher()


def ok(client, path, **arguments):
    response = client.get(API + path, query_string=arguments)
    assert response.status_code == 200, response.text
    assert response.mimetype == "application/json"
    return response.json


def problem(response, status, kind=None):
    """The problem document of a response, after checking that it is one."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    assert response.json["status"] == status
    assert response.json.keys() >= {"type", "title", "detail"}
    if kind:
        assert response.json["type"] == f"urn:unseen:problem:{kind}"
    return response.json


# Searching


def test_a_search_answers_what_the_searcher_finds(client, searcher):
    answered = ok(client, "/search", q="red", min_confidence=0)
    expected = results_to_json(searcher.search("red", min_confidence=0))
    assert {**answered, "took_ms": 0} == {**json.loads(json.dumps(expected)), "took_ms": 0}
    assert answered["took_ms"] > 0


def test_the_best_hit_has_the_shape_of_the_contract(client, ids):
    best = ok(client, "/search", q="red")["items"][0]
    assert best.keys() == {
        "rank",
        "id",
        "path",
        "score",
        "confidence",
        "guess",
        "box",
        "thumbnail_url",
        "heatmap_url",
        "taken_at",
        "duplicates",
        "feedback",
    }
    assert best["rank"] == 1
    assert best["id"] in (ids["all-red.png"], ids["red-spot.png"])
    assert 0 <= best["confidence"] <= 1
    assert client.get(best["thumbnail_url"]).status_code == 200
    assert client.get(best["heatmap_url"]).json["terms"][0]["term"] == "red"


def test_a_word_that_was_never_a_tag_is_marked_as_zero_shot_with_the_nearest_tags(client):
    (term,) = ok(client, "/search", q="rouge")["query"]["terms"]
    assert term == {"term": "rouge", "weight": 1.0, "zero_shot": True, "nearest_tags": ["red"], "did_you_mean": []}


def test_following_next_gives_every_photo_once_in_the_order_of_one_long_page(client):
    whole = ok(client, "/search", q="red -green", top=0, min_confidence=0)
    assert whole["next"] is None
    seen, page = [], ok(client, "/search", q="red -green", top=3, min_confidence=0)
    while True:
        seen += page["items"]
        assert page["total"] == whole["total"]
        if page["next"] is None:
            break
        page = client.get(page["next"]).json
    assert seen == whole["items"]


def test_the_cut_off_leaves_out_what_is_less_sure(client):
    every = ok(client, "/search", q="red", min_confidence=0)["items"]
    middle = every[len(every) // 2]["confidence"]
    sure = ok(client, "/search", q="red", min_confidence=middle)
    assert sure["total"] == len(sure["items"]) == sum(hit["confidence"] >= middle for hit in every) < len(every)


def test_sorted_by_date_the_newest_comes_first_and_photos_without_a_date_last(client, ids):
    hits = ok(client, "/search", q="red", sort="date", min_confidence=0)["items"]
    assert [hit["id"] for hit in hits[:2]] == [ids["blue.jpg"], ids["lying.jpg"]]
    assert [hit["taken_at"] for hit in hits[:3]] == ["2024-07-01T12:00:00Z", "2023-01-02T00:00:00Z", None]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"after": "2024"}, {"blue.jpg"}),
        ({"before": "2024"}, {"lying.jpg"}),
        ({"after": "2023-01-02", "before": "2024-07-01T12:00:00Z"}, {"lying.jpg"}),
        ({"camera": "pinhole"}, {"blue.jpg"}),
        ({"camera": "pinhole", "after": "2025"}, set()),
    ],
)
def test_filters_leave_out_photos_in_a_search_and_in_a_list(client, ids, arguments, names):
    wanted = {ids[name] for name in names}
    assert {hit["id"] for hit in ok(client, "/search", q="red", min_confidence=0, **arguments)["items"]} == wanted
    assert {photo["id"] for photo in ok(client, "/images", **arguments)["items"]} == wanted


def test_a_folder_holds_what_lies_below_it(client, ids, painted):
    inside = ok(client, "/images", folder=str(painted[0].parent / "sub"))
    assert [photo["id"] for photo in inside["items"]] == [ids["cyan.tif"]]


def test_a_filter_beside_the_query_adds_to_those_inside_it(client):
    assert ok(client, "/search", q="red camera:pinhole", before="2024", min_confidence=0)["total"] == 0
    assert ok(client, "/search", q="red camera:pinhole", min_confidence=0)["total"] == 1


def test_empty_arguments_as_a_form_sends_them_are_not_given_to_a_page(client):
    page = client.get("/", query_string={"q": "red", "min_confidence": "", "after": "", "folder": "", "sort": ""})
    assert page.status_code == 200


def test_empty_texts_are_not_given(client):
    answered = ok(client, "/search", q="red", after="", folder="", camera="")
    assert answered["total"] == ok(client, "/search", q="red")["total"]


# Photos


def test_a_photo_says_what_it_is_and_what_it_shows(client, ids, painted):
    photo = ok(client, f"/images/{ids['blue.jpg']}")
    assert photo["tags"][0]["tag"] == "blue"
    path = str(painted[3])
    expected = {
        "id": ids["blue.jpg"],
        "path": path,
        "width": 64,
        "height": 48,
        "format": "JPEG",
        "taken_at": "2024-07-01T12:00:00Z",
        "taken_from": "exif",
        "camera": "Pinhole 7",
        "lens": None,
        "keywords": [],
        "companions": [],
        "warning": None,
        "folder": os.path.dirname(path),  # noqa: PTH120
        "image_url": f"{API}/images/{ids['blue.jpg']}/original",
    }
    assert {name: photo[name] for name in expected} == expected


def test_what_a_photo_says_of_itself_is_told_and_filtered_by(tmp_path, colour_bundle):
    folder = tmp_path / "library"
    said = Metadata(lens="Lens 35", latitude=47.4, longitude=8.5, rating=4, keywords=("Zürich", "lake"))
    path = paint(tmp_path / "a.png", "blue")
    companion = Companion(str(tmp_path / "a.dng"), "raw", FileStamp(1, 1))
    index(folder, colour_bundle, [path, paint(tmp_path / "b.png", "red")], said={path: (said, (companion,))})
    client = create_app(_settings(folder, colour_bundle)).test_client()
    photo = ok(client, "/images/1")
    assert (photo["lens"], photo["latitude"], photo["longitude"], photo["rating"]) == ("Lens 35", 47.4, 8.5, 4)
    assert photo["keywords"] == ["lake", "Zürich"]
    assert photo["companions"] == [{"path": companion.path, "kind": "raw"}]
    for name, value in {"lens": "lens", "keyword": "zÜRICH", "rating": 3, "type": "png"}.items():
        found = ok(client, "/images", **{name: value})
        assert [one["id"] for one in found["items"]] == ([1] if name != "type" else [1, 2]), name
        assert ok(client, "/search", q="blue", min_confidence=0, **{name: value})["total"] == found["total"]
    (place,) = ok(client, "/places", within="47,8,48,9")["items"]
    assert place["id"] == 1


def test_a_list_pages_through_the_library_by_path(client, painted):
    first = ok(client, "/images", top=4)
    rest = client.get(first["next"]).json
    paths = [photo["path"] for photo in first["items"] + rest["items"]]
    assert paths == sorted(str(path) for path in painted)
    assert first["total"] == len(painted)
    assert rest["next"] is None


@pytest.mark.parametrize("sort", ["path", "date"])
def test_next_leads_through_a_list_in_every_order(client, sort):
    whole = [photo["id"] for photo in ok(client, "/images", sort=sort)["items"]]
    answered, found = ok(client, "/images", sort=sort, top=2), []
    while answered["next"]:
        found += [photo["id"] for photo in answered["items"]]
        answered = client.get(answered["next"]).json
    assert found + [photo["id"] for photo in answered["items"]] == whole
    problem(client.get(f"{API}/images?cursor={'x' * 40}"), 400)


@pytest.mark.parametrize("path", ["/a", "/ab", "/abc.jpg", "/photos/a.jpg"])
def test_a_place_in_a_list_may_be_short(client, path):
    assert ok(client, "/images", cursor=Place(path, None, 1).encode())["total"] > 0


def test_the_heatmap_is_hot_where_the_colour_is(client, ids):
    answered = ok(client, f"/images/{ids['red-spot.png']}/heatmap", q="red")
    (term,) = answered["terms"]
    heat = np.array(term["heat"])
    assert (answered["grid"]["rows"], answered["grid"]["cols"]) == heat.shape == np.array(term["scores"]).shape
    assert np.unravel_index(heat.argmax(), heat.shape) == (1, 3)
    assert heat[1, 3] > 0.5
    assert (np.delete(heat.ravel(), 4 + 3) == 0).all()
    assert term["box"] == [0.75, 0.25, 0.25, 0.25]


def test_the_heatmap_is_a_picture_for_who_accepts_only_pictures(client, ids):
    path = f"{API}/images/{ids['red-spot.png']}/heatmap"
    asked = client.get(path, query_string={"q": "red"}, headers={"Accept": "image/png"})
    named = client.get(f"{path}.png", query_string={"q": "red"})
    assert asked.mimetype == named.mimetype == "image/png"
    assert asked.data == named.data
    assert asked.headers["Vary"] == "Accept"
    assert client.get(path, query_string={"q": "red"}).mimetype == "application/json"


def test_similar_photos_show_the_same_and_leave_out_the_photo_itself(client, ids):
    found = ok(client, f"/images/{ids['red-spot.png']}/similar")
    assert ids["red-spot.png"] not in [one["id"] for one in found["items"]]
    assert found["items"] == sorted(found["items"], key=lambda one: -one["similarity"])
    assert found["items"][0]["id"] == ids["all-red.png"]


def test_similar_by_region_finds_photos_with_such_a_region_anywhere(client, ids):
    found = ok(client, f"/images/{ids['red-spot.png']}/similar", region="1,3", top=2)["items"]
    assert {one["id"] for one in found} == {ids["all-red.png"], ids["<b>&'\".png"]}
    assert found[0]["similarity"] == pytest.approx(1, abs=0.01)


# The library


def test_suggestions_complete_a_word(client):
    assert ok(client, "/suggest", q="r")["items"] == ["red", "rouge"]
    assert ok(client, "/suggest", q="")["items"] == []


def test_tags_are_counted_over_the_whole_library(client):
    counts = {item["tag"]: item["count"] for item in ok(client, "/tags")["items"]}
    photos = ok(client, "/images")["items"]
    for tag, count in counts.items():
        assert count == sum(any(t["tag"] == tag and t["confidence"] >= 0.5 for t in photo["tags"]) for photo in photos)


def test_the_status_counts_photos_and_failures(client, library, painted):
    status = ok(client, "/status")
    assert (status["photos"], status["failed"], status["model"]["name"]) == (len(painted), 1, "colours")
    assert status["library"] == str(library[0])
    assert status["disk"]["database"] > 0


def test_a_path_that_is_not_utf8_is_readable_json_and_its_photo_is_shown(tmp_path, colour_bundle):
    path = paint(tmp_path / os.fsdecode(b"caf\xe9.png"), "red")
    (photo_id,) = index(tmp_path / "library", colour_bundle, [path]).values()
    client = create_app(_settings(tmp_path / "library", colour_bundle)).test_client()
    photo = ok(client, f"/images/{photo_id}")
    assert photo["path"].endswith("caf\ufffd.png")
    assert client.get(photo["image_url"]).data == path.read_bytes()
    assert client.get(photo["thumbnail_url"]).status_code == 200
    assert client.get("/", query_string={"q": "red"}).status_code == 200
    assert client.get(f"/photo/{photo_id}").status_code == 200


def test_the_path_of_a_folder_is_what_the_argument_takes_also_where_it_is_not_utf8(tmp_path, colour_bundle):
    path = paint(tmp_path / os.fsdecode(b"bad\xff") / "sub" / "a.png", "red")
    index(tmp_path / "library", colour_bundle, [path, paint(tmp_path / "b.png", "red", size=(48, 64))])
    client = create_app(_settings(tmp_path / "library", colour_bundle)).test_client()
    (folder,) = (one["path"] for one in ok(client, "/folders")["items"] if one["path"].endswith("sub"))
    assert ok(client, "/images", folder=folder)["total"] == ok(client, "/images", folder=f"{folder}/")["total"] == 1
    assert ok(client, "/search", q="red", min_confidence=0, folder=folder)["total"] == 1
    assert ok(client, "/search", q=f'red folder:"{folder}"', min_confidence=0)["total"] == 1
    assert ok(client, "/images", folder=f"{folder}\ufffd")["total"] == 0
    assert ok(client, "/images", folder=folder[:-1])["total"] == 0
    listed = client.get("/", query_string={"folder": folder}, follow_redirects=True).get_data(as_text=True)
    assert ("a.png" in listed, "b.png" in listed) == (True, False)


# Problems


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/search", 400, "empty-query"),
        ("/search?q=-red", 400, "empty-query"),
        ("/search?q=%20%21", 400, "empty-query"),
        ("/search?q=redd", 422, "unknown-word"),
        ("/search?q=red^x", 400, "malformed-query"),
        ("/search?q=red&after=someday", 400, "malformed-query"),
        ("/search?q=red&top=many", 422, "invalid-arguments"),
        ("/search?q=red&top=-1", 422, "invalid-arguments"),
        ("/search?q=red&sort=beauty", 422, "invalid-arguments"),
        ("/search?q=red&min_confidence=2", 422, "invalid-arguments"),
        ("/search?q=red&min_confidence=nan", 422, "invalid-arguments"),
        ("/search?q=red&cursor=99999999999999999999999", 422, "invalid-arguments"),
        ("/search?q=" + "red%20" * 20, 400, "malformed-query"),
        ("/search?q=" + "x" * 1001, 400, "malformed-query"),
        ("/images/999", 404, "no-photo"),
        ("/images/999/thumbnail", 404, "no-photo"),
        ("/images/999/original", 404, "no-photo"),
        ("/images/999/heatmap?q=red", 404, "no-photo"),
        ("/images/999/similar", 404, "no-photo"),
        ("/images/99999999999999999999", 422, "invalid-arguments"),
        ("/images/1/heatmap", 400, "empty-query"),
        ("/images/1/heatmap?q=redd", 422, "unknown-word"),
        ("/images/1/heatmap.png?q=redd", 422, "unknown-word"),
        ("/images/1/thumbnail?size=1", 422, "invalid-arguments"),
        ("/images/1/similar?region=9,9", 400, "malformed-query"),
        ("/images/1/similar?region=x", 422, "invalid-arguments"),
        ("/images/one", 404, None),
        ("/nothing", 404, None),
    ],
)
def test_every_error_is_a_problem_document(client, path, status, kind):
    problem(client.get(API + path), status, kind)


def test_an_unknown_word_comes_with_the_nearest_spellings(client):
    assert problem(client.get(f"{API}/search?q=gren"), 422)["suggestions"][0] == "green"


def test_a_wrong_method_says_which_ones_are_right(client):
    response = client.post(f"{API}/images")
    problem(response, 405)
    assert "GET" in response.headers["Allow"]


def test_what_nobody_foresaw_is_a_problem_without_a_traceback(app, client, monkeypatch):
    monkeypatch.setattr("webapp.api.explain", lambda *_: 1 / 0)
    document = problem(client.get(f"{API}/images/1/heatmap?q=red"), 500, "internal")
    assert "ZeroDivision" not in json.dumps(document)


def _settings(folder, bundle, **more):
    return Settings(library=folder, model=str(bundle.folder), cache=bundle.cache, **more)


def test_without_a_library_the_api_says_how_to_begin_and_finds_it_once_it_is_there(tmp_path, colour_bundle):
    client = create_app(_settings(tmp_path / "library", colour_bundle)).test_client()
    document = problem(client.get(f"{API}/search?q=red"), 503, "no-library")
    assert "unseen index FOLDER" in document["detail"]
    assert client.get(f"{API}/healthz").json == {"status": "ok"}
    index(tmp_path / "library", colour_bundle, [paint(tmp_path / "a.png", "red")])
    assert ok(client, "/search", q="red", min_confidence=0)["total"] == 1


def test_a_library_that_grows_or_is_made_anew_is_seen_without_a_restart(tmp_path, colour_bundle):
    folder = tmp_path / "library"
    index(folder, colour_bundle, [paint(tmp_path / "a.png", "red")])
    client = create_app(_settings(folder, colour_bundle)).test_client()
    assert ok(client, "/search", q="red", min_confidence=0)["total"] == 1
    assert ok(client, "/tags")["items"][0] == {"tag": "red", "count": 1}
    more = [paint(tmp_path / f"{name}.png", "red", size=(64, size)) for name, size in (("b", 50), ("c", 52))]
    index(folder, colour_bundle, more)
    assert ok(client, "/search", q="red", min_confidence=0)["total"] == 3
    assert ok(client, "/tags")["items"][0] == {"tag": "red", "count": 3}
    folder.rename(tmp_path / "old")
    problem(client.get(f"{API}/search?q=red"), 503, "no-library")
    index(folder, colour_bundle, [paint(tmp_path / "d.png", "blue")])
    assert ok(client, "/images")["items"][0]["path"].endswith("d.png")


def test_a_library_of_another_model_is_a_problem_that_names_both(tmp_path, colour_bundle, library):
    from engine.library.store import Store

    with Store.create(tmp_path, "vgg", "another fingerprint"):
        pass
    client = create_app(_settings(tmp_path, colour_bundle)).test_client()
    detail = problem(client.get(f"{API}/search?q=red"), 409, "wrong-bundle")["detail"]
    assert "vgg" in detail
    assert "colours" in detail


def test_a_library_that_another_model_has_taken_over_is_searched_with_that_one(tmp_path, colour_bundle):
    folder, other = tmp_path / "library", tmp_path / "other"
    shutil.copytree(colour_bundle.folder, other)
    (other / "labels.txt").write_text("blue\nred\n")
    new = Bundle(other, colour_bundle.cache)
    Store.create(folder, str(colour_bundle.folder), colour_bundle.fingerprint).close()
    index(folder, colour_bundle, [paint(tmp_path / f"{colour}.png", colour) for colour in ("red", "blue")])
    client = create_app(Settings(library=folder, cache=colour_bundle.cache)).test_client()
    assert ok(client, "/search", q="red", min_confidence=0)["total"] == 2
    assert [item["tag"] for item in ok(client, "/tags")["items"]] == ["red", "blue"]
    with Store.open(folder, writable=True) as store:
        store.change_model(str(other), new.fingerprint)
    assert ok(client, "/search", q="red", min_confidence=0)["total"] == 0
    waiting = ok(client, "/images")["items"]
    assert (len(waiting), ok(client, "/status")["waiting"]) == (2, 2)
    detail = problem(client.get(f"{API}/images/{waiting[0]['id']}/heatmap?q=red"), 409, "not-looked-at")["detail"]
    assert waiting[0]["path"] in detail
    assert ok(client, f"/images/{waiting[0]['id']}/similar")["items"] == []
    page = client.get(f"/photo/{waiting[0]['id']}?q=red")
    assert page.status_code == 409
    assert "has not looked at" in page.text


# The OpenAPI document


def test_the_openapi_document_describes_every_call_and_only_those(app, client):
    spec = ok(client, "/openapi.json")
    assert spec["openapi"].startswith("3.1")
    described = set(spec["paths"])
    served = {
        rule.rule.replace("<int:id>", "{id}")
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(API) and not rule.rule.endswith("openapi.json")
    }
    assert described == served


def test_every_reference_in_the_openapi_document_leads_somewhere(client):
    spec = ok(client, "/openapi.json")
    text = json.dumps(spec)
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        assert part.split('"')[0] in spec["components"]["schemas"]


def test_answers_have_the_keys_that_the_openapi_document_promises(client, ids):
    spec = ok(client, "/openapi.json")
    number = ids["blue.jpg"]
    for path, arguments in {
        "/search": {"q": "red"},
        "/images": {},
        "/images/{id}": {},
        "/images/{id}/heatmap": {"q": "red"},
        "/images/{id}/similar": {},
        "/suggest": {"q": "r"},
        "/tags": {},
        "/status": {},
        "/healthz": {},
    }.items():
        schema = spec["paths"][API + path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        _conforms(ok(client, path.replace("{id}", str(number)), **arguments), schema, spec, path)


def _conforms(value, schema, spec, place):
    if "$ref" in schema:
        schema = spec["components"]["schemas"][urlsplit(schema["$ref"]).fragment.rsplit("/", 1)[1]]
    if schema.get("type") == "object":
        assert value.keys() == schema["properties"].keys(), place
        for name, inner in schema["properties"].items():
            _conforms(value[name], inner, spec, f"{place}.{name}")
    if schema.get("type") == "array" and "items" in schema:
        for item in value:
            _conforms(item, schema["items"], spec, f"{place}[]")


# Anything at all


@given(q=st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
@hypothesis.settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_typed_is_answered_or_refused_in_words(client, q):
    for path in (f"{API}/search", f"{API}/suggest", f"{API}/images/1/heatmap", "/", "/photo/1"):
        response = client.get(path, query_string={"q": q})
        assert response.status_code in (200, 400, 422), (path, q)
        response.data.decode()
