"""docs/api.md shows what the API answers."""

import argparse
import json
import re
import shlex
from pathlib import Path

import pytest

from webapp import indexing
from webapp.errors import STATUS

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL))
EXAMPLES = {
    name: re.findall(r"^\$ (curl .+)\n((?:(?!\$ |```).*\n)*)", text, re.MULTILINE) for name, text in SECTIONS.items()
}
CHANGING = {"took_ms", "fingerprint", "schema_version", "updated_at", "disk", "thumbnail_url", "seconds", "found"}
CHANGING |= {"created_at", "given_at", "started_at", "ended_at", "failed_at", "added_at"}

CURL = argparse.ArgumentParser()
CURL.add_argument("-F", dest="form", action="append", default=[])
CURL.add_argument("-H", dest="headers", action="append", default=[])
CURL.add_argument("-d", dest="data")
CURL.add_argument("-X", dest="method")
CURL.add_argument("-N", action="store_true")
CURL.add_argument("address")


def settled(value, folders):
    """What does not differ between two runs: no times, no sizes, folders as in the docs, four digits."""
    if isinstance(value, dict):
        return {name: None if name in CHANGING else settled(inner, folders) for name, inner in value.items()}
    if isinstance(value, list):
        return [settled(inner, folders) for inner in value]
    if isinstance(value, str):
        for folder, name in folders.items():
            value = value.replace(folder, name)
    return pytest.approx(value, abs=2e-3) if isinstance(value, float) else value


def curl(client, command, photos):
    """What `curl` would do, done to the app: the same method, address, headers and body."""
    given = CURL.parse_args(shlex.split(command)[1:])
    body = given.data.replace("/photos", str(photos)) if given.data else None
    if given.form:
        fields = dict(field.split("=", 1) for field in given.form)
        body = {name: (photos / value[1:]).open("rb") if value[0] == "@" else value for name, value in fields.items()}
    return client.open(
        given.address.removeprefix("http://127.0.0.1:8410"),
        method=given.method or ("POST" if body else "GET"),
        headers=[header.split(": ", 1) for header in given.headers],
        data=body,
    )


@pytest.mark.parametrize("section", [name for name, examples in EXAMPLES.items() if examples])
def test_the_examples_show_what_is_answered(own, painted, section):
    photos = painted[0].parent
    folders = {str(photos): "/photos", own.extensions["unseen"].folder.as_posix(): "/library", photos.name: "photos"}
    for command, shown in EXAMPLES[section]:
        response = curl(own.test_client(), command, photos)
        if response.mimetype == "text/event-stream":
            assert re.findall("^event: (.+)", response.text, re.MULTILINE)[-1] == "end"
            assert shown.endswith("…}\n\n")
        elif shown:
            assert settled(response.json, folders) == settled(json.loads(shown), {}), command
        else:
            assert response.status_code in (200, 204), command


def test_every_call_and_every_problem_is_described(client):
    for path in client.get("/api/v1/openapi.json").json["paths"]:
        assert path.removeprefix("/api/v1").rsplit("/", 1)[-1].strip("{}") in DOCS
    for _, status, kind in STATUS:
        assert re.search(rf"`{kind}`.*\| {status} \|", DOCS)
    assert sum(map(len, EXAMPLES.values())) >= 20


def test_the_docs_say_how_many_streams_there_are():
    assert indexing.STREAMS == 4
    assert "Four streams" in DOCS
