import pytest

from engine.errors import UnseenError
from engine.settings import load_settings


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "unseen.toml"
    monkeypatch.setenv("UNSEEN_CONFIG", str(path))
    return path


def test_the_command_line_comes_before_the_environment_before_the_file_before_what_is_built_in(file, monkeypatch):
    file.write_text('port = 1\nhost = "file"\nmodel = "file"\n')
    monkeypatch.setenv("UNSEEN_HOST", "environment")
    monkeypatch.setenv("UNSEEN_MODEL", "environment")
    settings = load_settings(model="command line")
    assert (settings.port, settings.host, settings.model, settings.threads) == (1, "environment", "command line", 16)
    assert settings.model_fields_set >= {"port", "host", "model"}


def test_lists_are_arrays_in_the_file_and_have_commas_in_the_environment(file, monkeypatch, tmp_path):
    file.write_text('hosts = ["a", "b"]\nroots = ["/x,y", "~/z"]\n')
    settings = load_settings()
    assert settings.hosts == ("a", "b")
    assert str(settings.roots[0]) == "/x,y"
    assert "~" not in str(settings.roots[1])
    monkeypatch.setenv("UNSEEN_HOSTS", "c, d,")
    monkeypatch.setenv("UNSEEN_ROOTS", "/p:/q")
    assert load_settings().hosts == ("c", "d")
    assert [str(root) for root in load_settings().roots] == ["/p", "/q"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "There is no setting colour"),
        ("port = 'high'", "Setting port (UNSEEN_PORT)"),
        ("port = ", "cannot be read"),
        ("prefix = 'photos'", "Setting prefix"),
    ],
)
def test_a_file_that_is_wrong_is_said_in_words(file, text, said):
    file.write_text(text)
    with pytest.raises(UnseenError) as caught:
        load_settings()
    assert said in str(caught.value)


def test_a_file_that_is_named_must_be_there(file):
    with pytest.raises(UnseenError, match="There is no settings file"):
        load_settings()


def test_a_variable_that_is_empty_counts_as_not_set(monkeypatch):
    before = load_settings()
    for name in ("LIBRARY", "MODEL", "JOBS", "PORT"):
        monkeypatch.setenv(f"UNSEEN_{name}", "")
    assert load_settings() == before
