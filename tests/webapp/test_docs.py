"""docs/api.md shows what the API answers."""

import argparse
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from engine.settings import Settings
from tests.webapp.serving import COLOUR_SERVE, started
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
    own.extensions[indexing.EXTENSION]._last = 1795520399
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


PYTHON = {name: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for name, text in SECTIONS.items()}


@pytest.fixture(scope="module")
def live(library, colour_bundle, tmp_path_factory):
    """The address of a server with a library of its own."""
    folder = shutil.copytree(library[0], tmp_path_factory.mktemp("docs") / "library")
    settings = Settings(library=folder, model=str(colour_bundle.folder), cache=colour_bundle.cache)
    with started(settings, code=COLOUR_SERVE) as running:
        yield running.address


@pytest.mark.parametrize("section", [name for name, examples in PYTHON.items() if examples])
def test_the_python_examples_run(live, painted, section, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(painted[0], tmp_path)
    beginning = re.search(r"```python\n(.*?)```", DOCS.split("\n## ")[0], re.DOTALL)[1]
    code = "\n".join([beginning, *PYTHON[section]]).replace("http://127.0.0.1:8410", live)
    exec(code.replace('"/photos', f'"{painted[0].parent}'), {"__name__": section})


def test_every_call_has_an_example_in_python(client):
    code = "\n".join(example for examples in PYTHON.values() for example in examples)
    for path, operations in client.get("/api/v1/openapi.json").json["paths"].items():
        part = re.sub(r"\{id\}", r"(\\d+|\\{.+?\\})", path.removeprefix("/api/v1/"))
        if not part.endswith(("events", "thumbnail", "original")):  # by an address that an answer has
            assert re.search(rf'["/]{part}["?]', code), path
        for method in operations:
            assert method in ("get", "post") or method.upper() in code


def test_every_call_and_every_problem_is_described(client):
    for path in client.get("/api/v1/openapi.json").json["paths"]:
        assert path.removeprefix("/api/v1").rsplit("/", 1)[-1].strip("{}") in DOCS
    for _, status, kind in STATUS:
        assert re.search(rf"`{kind}`.*\| {status} \|", DOCS)
    assert sum(map(len, EXAMPLES.values())) >= 20


def test_the_docs_say_how_many_streams_there_are():
    assert indexing.STREAMS == 4
    assert "Four streams" in DOCS
