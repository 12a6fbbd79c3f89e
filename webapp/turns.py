"""Requests that compute for a moment take turns.

Those that mostly wait, for a file or for the indexer, go past them, and so do those that ask for very much: who takes
turns would have to wait until they are done.
"""

from flask import Flask, request

from engine.library.scan import cores
from engine.turns import Turns
from webapp.caching import SETTLED

EXTENSION = "unseen.turns"
LIST = 500  # items, up to which a list is made in a moment


def register(app: Flask) -> None:
    """Let requests of `app` take turns. Half the cores are left for what needs no interpreter, as scans do."""
    turns = app.extensions[EXTENSION] = Turns(max(cores() // 2, 1))

    @app.before_request
    def take() -> None:
        if _takes_a_moment():
            turns.take()

    @app.teardown_request
    def give(_: BaseException | None) -> None:
        turns.give()


def _takes_a_moment() -> bool:
    if request.endpoint in SETTLED:
        return 0 < request.args.get("top", LIST, int) <= LIST
    return request.blueprint == "pages" and request.method == "GET" and request.endpoint != "pages.download"
