import errno
import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import click
import pytest

from engine import cli
from engine.errors import LibraryError
from engine.settings import Settings


@pytest.fixture
def failing(monkeypatch):
    """A command that raises what it is given, in the place of `search`."""

    def install(error):
        @click.command()
        def search():
            raise error

        monkeypatch.setattr(cli.Commands, "get_command", lambda self, context, name: search)

    return install


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (LibraryError("The library in /x is busy", "Wait"), 1, "error: The library in /x is busy. Wait"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/library.db"),
            1,
            "error: /x/library.db: No space left on ",
        ),
        (PermissionError(errno.EACCES, "Permission denied", b"/x"), 1, "error: /x: Permission denied. Check the permi"),
        (OSError("odd"), 1, "error: odd"),
        (
            ZeroDivisionError("division\nby zero"),
            1,
            "error: ZeroDivisionError: division by zero. This is a bug in unseen",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
    ],
)
def test_whatever_goes_wrong_is_one_line_and_the_right_exit_status(failing, capsys, error, status, line):
    failing(error)
    assert cli.run(["search"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    (said,) = err.strip().splitlines()
    assert said.startswith(f"unseen: {line}")


def test_a_traceback_is_shown_to_those_who_ask_for_it(failing, capsys, monkeypatch):
    monkeypatch.setenv("UNSEEN_DEBUG", "1")
    failing(ZeroDivisionError("x"))
    assert cli.run(["search"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_bad_setting_is_no_reason_to_lose_the_error_itself(failing, capsys, monkeypatch):
    monkeypatch.setenv("UNSEEN_DEBUG", "perhaps")
    failing(LibraryError("The library in /x is busy"))
    assert cli.run(["search"]) == 1
    assert capsys.readouterr().err == "unseen: error: The library in /x is busy\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["search"], ["search", "x", "--top", "many"]])
def test_wrong_usage_is_exit_status_2_and_says_how_to_get_help(arguments, capsys):
    assert cli.run(arguments) == 2
    assert "--help" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    from importlib.metadata import version

    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"unseen {version('unseen')}\n"


def test_help_lists_every_command_without_importing_one(capsys, monkeypatch):
    monkeypatch.setattr(EntryPoint, "load", lambda self: pytest.fail(f"{self.value} was imported"))
    assert cli.run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in cli.SUMMARIES)


@pytest.mark.parametrize("name", cli.SUMMARIES)
def test_every_command_is_there_and_its_summary_is_its_own_first_sentence(name):
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command is not None and command.name == name
    assert command.get_short_help_str(limit=1000) == cli.SUMMARIES[name]


def leaves(command, path):
    """The commands in a group, as words of the command line; a plain command is one itself."""
    if not isinstance(command, click.Group):
        return [path]
    return [leaf for name, inner in command.commands.items() for leaf in leaves(inner, [*path, name])]


@pytest.mark.parametrize("name", cli.SUMMARIES)
def test_every_command_has_help_with_an_example(name, capsys):
    for path in leaves(cli.cli.get_command(click.Context(cli.cli), name), [name]):
        assert cli.run([*path, "--help"]) == 0
        assert "Example" in capsys.readouterr().out, path


def plugin(monkeypatch, value, name="extra"):
    ours = list(cli.entry_points(group=cli.GROUP))
    added = EntryPoint(name, value, cli.GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda group: [added, *ours])
    monkeypatch.delitem(cli.cli.__dict__, "found", raising=False)
    monkeypatch.setattr(cli.cli, "found", cli.Commands.found.func(cli.cli), raising=False)


@click.command()
def extra():
    """Does something more. At length."""
    click.echo("done")


def test_another_package_can_add_a_command(monkeypatch, capsys):
    plugin(monkeypatch, f"{__name__}:extra")
    assert cli.run(["extra"]) == 0
    assert capsys.readouterr().out == "done\n"
    cli.run(["--help"])
    assert "Does something more" in capsys.readouterr().out


def test_another_package_cannot_take_the_place_of_a_command(monkeypatch):
    plugin(monkeypatch, f"{__name__}:extra", name="search")
    assert cli.cli.get_command(click.Context(cli.cli), "search") is not extra


@pytest.mark.parametrize("value", ["no.such.module:command", f"{__name__}:missing", f"{__name__}:leaves"])
def test_a_command_that_cannot_be_loaded_is_an_error_of_its_own_only(monkeypatch, capsys, value):
    plugin(monkeypatch, value)
    assert cli.run(["extra"]) == 1
    assert capsys.readouterr().err.startswith("unseen: error: The command extra ")
    assert cli.run(["--help"]) == 0
    assert "The command extra " in capsys.readouterr().out


def unseen(*arguments, **options):
    command = [sys.executable, "-c", "from engine.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["status", "--help"]])
def test_a_command_imports_nothing_that_it_does_not_need(arguments):
    script = f"""
import sys
from engine.cli import run
run({arguments})
import json
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(json.loads(result.stdout.splitlines()[-1]))
    unwanted = {"torch", "timm", "flask", "gensim", "onnxruntime", "webapp"}
    unwanted |= {"indexer"} if arguments[0] != "status" else set()
    assert loaded & unwanted == set()


def test_a_reader_that_has_had_enough_is_no_error():
    command = f"{sys.executable} -c 'from engine.cli import main; main()' --help | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in result.stderr and "Exception" not in result.stderr


def test_a_path_that_is_not_utf8_is_named_by_its_own_bytes(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9"
    environment = {**os.environ, "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", "from engine.cli import main; main()", "search", "red", "--library", name]
    result = subprocess.run(command, capture_output=True, env=environment)
    assert result.returncode == 1
    assert b"caf\xe9" in result.stderr and b"Traceback" not in result.stderr


def test_letters_that_a_terminal_lacks_are_no_error(tmp_path):
    result = unseen("status", "--library", str(tmp_path / "日"), env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert result.returncode == 1
    assert r"\u65e5" in result.stderr and "Traceback" not in result.stderr


def test_settings_name_the_library_where_no_option_does(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_LIBRARY", str(tmp_path / "nowhere"))
    assert Settings().library == tmp_path / "nowhere"
    result = unseen("status")
    assert result.returncode == 1 and f"There is no library in {tmp_path}/nowhere" in result.stderr
    result = unseen("status", "--library", str(tmp_path / "other"))
    assert f"There is no library in {tmp_path}/other" in result.stderr


def test_a_command_that_a_shell_started_deaf_to_interrupts_hears_them(tmp_path):
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nfrom engine import cli\ncli.run = lambda _: "
    )
    program += "signal.getsignal(signal.SIGINT) is signal.default_int_handler and 7\ncli.main()"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 7
