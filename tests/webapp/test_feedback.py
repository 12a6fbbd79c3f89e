import pytest

from engine.search.feedback import spelled
from engine.words.query import parse

API = "/api/v1"


def give(client, q, image_id, relevant):
    return client.post(f"{API}/feedback", json={"q": q, "image_id": image_id, "relevant": relevant})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dog beach", "Beach   DOG"),
        ("dog beach folder:/photos after:2024", "beach dog"),
        ('"dog on a beach"', '"Dog on a Beach"'),
        ("dog^2 -cat", "-cat dog^2.0"),
    ],
)
def test_queries_that_mean_the_same_are_one(one, other):
    assert spelled(parse(one)) == spelled(parse(other))


@pytest.mark.parametrize(("one", "other"), [("dog", "-cat dog"), ("dog", "dog^2"), ('"dog beach"', "dog beach")])
def test_queries_that_differ_are_two(one, other):
    assert spelled(parse(one)) != spelled(parse(other))


def test_what_is_said_of_a_photo_is_remembered_replaced_and_taken_back(own, ids):
    client = own.test_client()
    first = give(client, "Red", ids["blue.jpg"], True)
    assert first.status_code == 201
    second = give(client, "red", ids["blue.jpg"], False)
    assert second.json["id"] > first.json["id"]
    marks = client.get(f"{API}/feedback?q=red").json
    assert [(mark["image_id"], mark["relevant"]) for mark in marks["items"]] == [(ids["blue.jpg"], False)]
    assert client.get(f"{API}/feedback?q=green").json["total"] == 0
    assert client.get(f"{API}/feedback").json["total"] == 1
    assert client.delete(f"{API}/feedback/{second.json['id']}").status_code == 204
    gone = client.delete(f"{API}/feedback/{second.json['id']}")
    assert (gone.status_code, gone.json["type"]) == (404, "urn:unseen:problem:no-mark")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"q": "red", "image_id": 999, "relevant": True}, 404, "no-photo"),
        ({"q": "redd", "image_id": 1, "relevant": True}, 422, "unknown-word"),
        ({"q": "", "image_id": 1, "relevant": True}, 400, "empty-query"),
        ({"q": "red", "image_id": "one", "relevant": True}, 422, "invalid-arguments"),
        ({"q": "red", "relevant": True}, 422, "invalid-arguments"),
        ([], 422, "invalid-arguments"),
        ([], 422, "invalid-arguments"),
    ],
)
def test_what_cannot_be_said_is_refused_in_words(own, body, status, kind):
    response = own.test_client().post(f"{API}/feedback", json=body)
    assert (response.status_code, response.json["type"]) == (status, f"urn:unseen:problem:{kind}")


@pytest.mark.parametrize("photo_id", [999, 2**63, 99999999999999999999])
def test_a_mark_for_a_photo_that_never_was_is_a_page_that_says_so(own, photo_id):
    response = own.test_client().post(f"/photo/{photo_id}/mark", data={"q": "red", "said": "match"})
    assert response.status_code == 404
    assert "There is no photo" in response.text


def test_a_library_that_cannot_be_written_says_so(own, ids):
    folder = own.extensions["unseen"].folder
    own.test_client().get(f"{API}/status")
    (folder / "library.db").chmod(0o444)
    folder.chmod(0o555)
    try:
        response = give(own.test_client(), "red", ids["blue.jpg"], True)
    finally:
        folder.chmod(0o755)
    assert response.status_code in (201, 503)  # root may write anywhere
    if response.status_code == 503:
        assert "cannot be written" in response.json["detail"]


def paths(client, **arguments):
    items = client.get(f"{API}/search", query_string={"q": "red", "min_confidence": 0.05, **arguments}).json["items"]
    return [item["path"].rsplit("/", 1)[1] for item in items]


def test_a_photo_said_to_be_relevant_comes_first_and_one_said_not_to_be_is_left_out(own, ids):
    client = own.test_client()
    before = paths(client)
    assert before[0] == "all-red.png"
    assert "blue.jpg" not in before
    right = give(client, "red", ids["blue.jpg"], True).json
    wrong = give(client, "RED", ids["all-red.png"], False).json
    assert paths(client)[0] == "blue.jpg"
    assert "all-red.png" not in paths(client)
    first = client.get(f"{API}/search?q=red").json["items"][0]
    assert first["feedback"] == {"id": right["id"], "relevant": True}
    assert first["confidence"] < 0.05
    assert paths(client, min_confidence=0)[-1] == "all-red.png"
    assert "blue.jpg" not in paths(client, q="green")
    for mark in (right, wrong):
        client.delete(f"{API}/feedback/{mark['id']}")
    assert paths(client) == before
