"""Requests that compute take turns, and give them back however they end."""

import pytest

from webapp.turns import EXTENSION


@pytest.fixture
def turns(app, monkeypatch):
    """The turns of the app, and a note of each time that one is taken, also after a scan."""
    taken, turns = [], app.extensions[EXTENSION]
    take = turns.take
    monkeypatch.setattr(turns, "take", lambda: (taken.append(1), take()))
    turns.taken = taken
    return turns


@pytest.mark.parametrize(
    ("address", "computes"),
    [
        ("/?q=red", True),
        ("/api/v1/search?q=red", True),
        ("/api/v1/search?q=qwrtzx", True),  # a word that nobody knows
        ("/api/v1/search?top=many", True),
        ("/api/v1/images/99999/heatmap?q=red", True),
        ("/api/v1/search?q=red&top=0", False),  # all of them, which may be many
        ("/api/v1/images?top=100000", False),
        ("/photos.csv", False),
        ("/api/v1/images/1/thumbnail", False),
        ("/api/v1/images/1/original", False),
        ("/api/v1/status", False),
        ("/healthz", False),
        ("/nowhere", False),
    ],
)
def test_a_request_that_computes_takes_a_turn_and_gives_it_back(client, turns, address, computes):
    free = turns._free
    client.get(address)
    assert bool(turns.taken) == computes
    assert turns._free == free
