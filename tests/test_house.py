"""The house rules hold: lint, format, types, who may import whom, and what every search must not load."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "ruff", "check", "."),
        ("-m", "ruff", "format", "--check", "."),
        ("-m", "mypy"),
        ("-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"),
    ],
    ids=["lint", "format", "types", "import contract"],
)
def test_the_code_keeps(command):
    result = run(sys.executable, *command)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("module", ["engine.search.searcher", "engine.commands", "indexer.commands", "webapp"])
def test_torch_is_not_loaded_by(module):
    heavy = "{'torch', 'timm', 'gensim', 'onnxruntime', 'scipy'}"
    result = run(sys.executable, "-c", f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))")
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_every_setting_is_documented_as_it_is():
    from engine.settings import Settings

    rows = {}
    for line in (ROOT / "docs" / "settings.md").read_text().splitlines():
        if line.startswith("| `"):
            name, variable, default, description = (cell.strip() for cell in line.strip("|").split("|"))
            rows[name.strip("`")] = (variable, default, description)
    assert list(rows) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        variable, default, description = rows[name]
        assert variable == f"`UNSEEN_{name.upper()}`"
        assert description == field.description
        if field.default_factory is None:
            shown = {None: "", False: "off", (): "none", "": "none"}
            assert default == shown.get(field.default, f"`{field.default}`"), name


def test_every_command_has_an_example():
    import click

    from engine.cli import Commands

    def leaves(command, path):
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                yield from leaves(command.get_command(context, name), (*path, name))
        else:
            yield " ".join(path), command

    found = dict(leaves(Commands("unseen"), ()))
    assert len(found) > 10
    assert [name for name, command in found.items() if "Example" not in (command.help or "")] == []


def test_every_page_of_the_docs_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in readme] == []
