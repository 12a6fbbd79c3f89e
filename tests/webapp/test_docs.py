"""docs/api.md shows what the API answers."""

import json
import re
from pathlib import Path

import pytest

from webapp.errors import STATUS

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^\$ curl ((?:-F \S+ )*)'http://127\.0\.0\.1:8410(.+?)'\n((?:.+\n)+?)(?=\$ |```)", DOCS, re.MULTILINE
)
CHANGING = {"took_ms", "fingerprint", "schema_version", "created_at", "updated_at", "disk", "thumbnail_url"}


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


@pytest.mark.parametrize(("form", "path", "shown"), EXAMPLES, ids=[path for _, path, _ in EXAMPLES])
def test_an_example_shows_what_is_answered(client, painted, library, form, path, shown):
    folders = {str(painted[0].parent): "/photos", str(library[0]): "/library"}
    fields = dict(field.split("=") for field in form.replace("-F", "").split())
    if fields:
        fields["image"] = (painted[0].parent / fields["image"].removeprefix("@")).open("rb")
    response = client.post(path, data=fields) if fields else client.get(path)
    assert settled(response.json, folders) == settled(json.loads(shown), {})


def test_every_call_and_every_problem_is_described(client):
    for path in client.get("/api/v1/openapi.json").json["paths"]:
        assert path.removeprefix("/api/v1").rsplit("/", 1)[-1].strip("{}") in DOCS
    for _, status, kind in STATUS:
        assert re.search(rf"`{kind}`.*\| {status} \|", DOCS)
    assert len(EXAMPLES) >= 9
