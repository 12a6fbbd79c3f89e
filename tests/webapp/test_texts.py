"""All words of the pages are in webapp/texts.py."""

import re
from pathlib import Path

import pytest

from webapp import texts

ROOT = Path(texts.__file__).parent
TEMPLATES = sorted((ROOT / "templates").glob("*.html"))
SCRIPTS = sorted((ROOT / "static").glob("*.js"))
NAMES = {"CSV", "JSON", "unseen", "h", "r", "u", "unseen index ~/Pictures", "openapi.json"}  # keys, files, commands
CODE = re.compile(r"{#.*?#}|{%.*?%}|{{.*?}}", re.DOTALL)


def words(template):
    """What stands between the marks of a template."""
    text = re.sub(r"{% block body_class %}\w*", "", template.read_text(encoding="utf-8"))
    bare = CODE.sub("", text)
    return {text.strip(" ·\n") for text in re.split(r"<[^>]*>", bare) if re.search("[a-zA-Z]", text)}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_words(template):
    assert words(template) - NAMES == set()
    spoken = re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]*)"', CODE.sub("", template.read_text("utf-8")))
    assert [text for text in spoken if re.search("[a-z]", text)] == []


def test_every_text_is_used_and_every_one_that_is_used_exists():
    code = "".join(path.read_text("utf-8") for path in [*TEMPLATES, *ROOT.rglob("*.py")] if path.name != "texts.py")
    scripts = "".join(path.read_text("utf-8") for path in SCRIPTS)
    own = (ROOT / "texts.py").read_text("utf-8").split("def text(")[1]
    for key in texts.TEXTS:
        if key.startswith("js."):
            assert f'"{key.removeprefix("js.")}"' in scripts, key
        elif not key.startswith("filter."):
            assert re.search(rf"[\"']{re.escape(key)}[\"']", code + own), key
    for key in re.findall(r"\bt\([\"']([a-z_.]+)[\"'][,)]", code):
        assert key in texts.TEXTS
    for key in re.findall(r'\btext\("([a-z_]+)"', scripts):
        assert f"js.{key}" in texts.TEXTS


def test_values_are_escaped_and_numbers_are_written_as_people_do():
    assert texts.text("never_label", term="<b>") == "<b>&lt;b&gt;</b> was never a label in training"
    assert [texts.text("photos", count=n) for n in (1, 2, 12345)] == ["1 photo", "2 photos", "12,345 photos"]
    assert texts.month("2024-07") == "July 2024"
    assert texts.month(None) == "Without a date"
    assert [texts.duration(s) for s in (1, 80, 300, 7200)] == ["1 second", "80 seconds", "5 minutes", "2 hours"]
