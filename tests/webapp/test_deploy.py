"""What is handed to systemd, Docker and nginx says what the program understands."""

import configparser
import re

import pytest

from engine.settings import Settings
from tests.webapp.serving import ROOT
from webapp import children, server

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = (ROOT / "compose.yaml").read_text()
DEPLOY = (ROOT / "docs" / "deploy.md").read_text()


def unit():
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str
    parsed.read_string((ROOT / "docs" / "deploy" / "unseen.service").read_text())
    return parsed["Service"]


@pytest.mark.parametrize(
    "text", [DOCKERFILE, COMPOSE, DEPLOY, unit()["Environment"]], ids=["image", "compose", "docs", "unit"]
)
def test_every_setting_in_it_is_one(text):
    named = {name.lower() for name in re.findall(r"UNSEEN_([A-Z_]+)", text)}
    assert named
    assert named <= set(Settings.model_fields)


def test_a_stop_has_the_time_that_it_may_take():
    needed = server.DRAINING + children.PATIENCE
    assert float(unit()["TimeoutStopSec"]) > needed
    assert float(re.search(r"stop_grace_period: (\d+)s", COMPOSE)[1]) > needed
    assert f"({server.DRAINING:.0f} s at most)" in DEPLOY


def test_the_container_has_no_more_rights_than_it_needs():
    assert re.search(r"^USER unseen$", DOCKERFILE, re.MULTILINE)
    for line in (":/photos:ro", "read_only: true", "cap_drop: [ALL]", "no-new-privileges:true"):
        assert line in COMPOSE


def test_the_image_holds_all_that_is_imported():
    from setuptools import find_packages

    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    packages = {name.split(".")[0] for name in find_packages(ROOT) if not name.startswith(("tests", "docs", "build"))}
    assert copied == packages


def test_the_proxy_in_the_docs_may_send_what_the_server_takes():
    from webapp.errors import MAX_UPLOAD

    limit = int(re.search(r"client_max_body_size (\d+)m", DEPLOY)[1]) << 20
    assert limit > MAX_UPLOAD
