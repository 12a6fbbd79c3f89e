"""Requests that compute take turns; those that mostly wait, for a file or for the indexer, go past them."""

from flask import Flask, request

from engine.library.scan import cores
from engine.turns import Turns
from webapp.caching import SETTLED

EXTENSION = "unseen.turns"


def register(app: Flask) -> None:
    """Let requests of `app` take turns. Half the cores are left for what needs no interpreter, as scans do."""
    turns = app.extensions[EXTENSION] = Turns(max(cores() // 2, 1))

    @app.before_request
    def take() -> None:
        if request.endpoint in SETTLED or (request.blueprint == "pages" and request.method == "GET"):
            turns.take()

    @app.teardown_request
    def give(_: BaseException | None) -> None:
        turns.give()
