"""Requests that compute take turns, and give them back however they end."""

import pytest

from webapp.turns import EXTENSION


@pytest.fixture
def turns(app, monkeypatch):
    """The turns of the app, and how often one was taken."""
    taken, turns = [], app.extensions[EXTENSION]
    take = turns.take
    monkeypatch.setattr(turns, "take", lambda: (taken.append(1), take()))
    turns.taken = taken
    return turns


@pytest.mark.parametrize(
    ("address", "times"),
    [
        ("/?q=red", 1),
        ("/api/v1/search?q=red", 1),
        ("/api/v1/search?q=qwrtzx", 1),  # a word that nobody knows
        ("/api/v1/search?top=many", 1),
        ("/api/v1/images/99999/heatmap?q=red", 1),
        ("/api/v1/images/1/thumbnail", 0),
        ("/api/v1/images/1/original", 0),
        ("/api/v1/status", 0),
        ("/healthz", 0),
        ("/nowhere", 0),
    ],
)
def test_a_request_that_computes_takes_a_turn_and_gives_it_back(client, turns, address, times):
    free = turns._free
    client.get(address)
    assert len(turns.taken) == times
    assert turns._free == free
