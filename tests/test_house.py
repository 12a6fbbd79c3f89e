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
