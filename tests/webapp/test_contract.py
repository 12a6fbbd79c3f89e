"""The server keeps what its OpenAPI document promises, and clients that are made from the document work.

EXAMPLES in the environment says how much is tried of each call; `make contract` tries more than 5,000 cases.
"""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.settings import Settings
from tests.webapp.serving import COLOUR_SERVE, ROOT, started

EXAMPLES = os.environ.get("EXAMPLES", "12")
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(scope="module")
def live(library, colour_bundle, tmp_path_factory):
    """The address of a server with a library of its own."""
    folder = shutil.copytree(library[0], tmp_path_factory.mktemp("contract") / "library")
    settings = Settings(library=folder, model=str(colour_bundle.folder), cache=colour_bundle.cache)
    with started(settings, code=COLOUR_SERVE) as running:
        yield running.address


def test_the_document_in_the_docs_is_the_one_that_is_served(client):
    written = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert written == client.get("/api/v1/openapi.json").json, "run: python docs/openapi.py"


def test_right_and_wrong_calls_are_answered_as_the_document_says(live, tmp_path):
    pytest.importorskip("schemathesis")
    phases = "fuzzing" if int(EXAMPLES) < 50 else "examples,coverage,fuzzing,stateful"
    options = ["--max-examples", EXAMPLES, "--phases", phases, "--seed", "1", "--continue-on-failure", "--no-color"]
    tried = subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("--config-file", CONFIG, "run", f"{live}/api/v1/openapi.json", *options),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    sys.stdout.write(tried.stdout)
    assert tried.returncode == 0
    assert int(re.search(r"(\d+) generated", tried.stdout)[1]) > (5000 if int(EXAMPLES) >= 250 else 200)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A Python client that openapi-python-client made from the document."""
    pytest.importorskip("openapi_python_client")
    folder = tmp_path_factory.mktemp("client")
    made = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--path", ROOT / "docs" / "openapi.json"),
            *("--meta", "none", "--output-path", folder / "unseen_client"),
        ],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"unseen_client.{name}")
    sys.path.remove(str(folder))


def test_a_client_that_is_made_from_the_document_finds_photos_and_gives_feedback(live, generated, painted):
    client = generated("client").Client(base_url=live, raise_on_unexpected_status=True)
    found = generated("api.photos.search").sync(client=client, q="red", top=2)
    assert found.query.terms[0].term == "red"
    assert Path(found.items[0].path).name == "all-red.png"
    photo = generated("api.photos.image").sync(found.items[0].id, client=client)
    assert photo.tags[0].tag == "red"
    heat = generated("api.photos.heatmap").sync(photo.id, client=client, q="red")
    assert len(heat.terms[0].scores) == heat.grid.rows
    models = generated("models")
    body = models.MarkIn(q="red", image_id=photo.id, relevant=True)
    mark = generated("api.feedback.give_feedback").sync(client=client, body=body)
    assert mark.image_id == photo.id
    taken = generated("api.feedback.take_feedback_back").sync_detailed(mark.id, client=client)
    assert taken.status_code == 204
    image = generated("types").File(payload=painted[0].open("rb"), file_name="a.png", mime_type="image/png")
    alike = generated("api.photos.search_by_image").sync(client=client, body=models.ImageArguments(image=image, top=1))
    assert [Path(hit.path).name for hit in alike.items] == ["all-red.png"]
    job = generated("api.indexing.index").sync(client=client, body=models.IndexIn())
    assert generated("api.indexing.job").sync(job.id, client=client).id == job.id
    refused = generated("api.photos.search").sync(client=client, q="gren")
    assert (refused.status, refused.suggestions) == (422, ["green"])
