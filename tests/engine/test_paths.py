import pytest

from engine.paths import basename, readable, within


@pytest.mark.parametrize(
    ("path", "inside"), [("/a/b", True), ("/a/b/c", True), ("/a/bc", False), ("/a", False), ("/x", False)]
)
def test_within_a_folder_is_the_folder_itself_and_what_is_below(path, inside):
    assert within(path, ["/y", "/a/b"]) is inside
    assert within(path, ["/"])


@pytest.mark.parametrize(("path", "name"), [("/a/b", "b"), ("/a/b/", "b"), ("b", "b"), ("/", "/")])
def test_the_last_part_of_a_root_is_the_root(path, name):
    assert basename(path) == name


def test_what_is_not_utf8_is_readable():
    assert readable("/caf\udce9/é") == "/caf\ufffd/é"
