"""What a browser or a program may keep: an answer that depends on the library alone is good until the library changes.

Its ETag is known from the state of the library before anything is computed, so asking again costs two short queries.
What answers are made by, this program and the model with its cut-off, is part of it.
"""

import hashlib
from functools import lru_cache
from importlib.metadata import version

from flask import Flask, Response, g, request

from engine.errors import UnseenError
from engine.library.overview import Overview
from engine.model.bundle import Bundle
from webapp.answers import PREFIX
from webapp.library import current

# Calls whose answer is settled by the library and the address. Pictures have ETags of their own.
SETTLED = frozenset(
    f"photos.{name}" for name in ("search", "images", "image", "heatmap", "heatmap_picture", "similar", "suggest")
) | frozenset(f"library.{name}" for name in ("tags", "folders", "cameras", "timeline", "places", "failures"))
KEPT = "private, no-cache"  # by who asked alone, who asks each time whether it is still good


def register(app: Flask) -> None:
    """Let answers of `app` be kept."""

    @app.before_request
    def as_it_was() -> Response | None:
        if request.method not in ("GET", "HEAD") or request.endpoint not in SETTLED:
            return None
        g.etag = _etag()
        if g.etag is None or g.etag not in request.if_none_match.as_set(include_weak=True):
            return None
        return Response(status=304)

    @app.after_request
    def for_how_long(response: Response) -> Response:
        etag = g.get("etag")
        if etag is not None and response.status_code in (200, 304):
            response.set_etag(etag, weak=True)
            response.headers.setdefault("Cache-Control", KEPT)
        elif "Cache-Control" not in response.headers:
            for_programs = request.path.startswith(PREFIX) or response.status_code >= 400
            response.headers["Cache-Control"] = "no-store" if for_programs else KEPT
        return response


def _etag() -> str | None:
    """Stands for the state of the library and for what was asked; None where there is no library."""
    library = current()
    try:
        state = Overview(library.database()).state()
        maker = _maker(library.searcher().bundle)
    except UnseenError:
        return None  # the call itself will say what is wrong
    asked = f"{request.script_root}{request.full_path}\0{request.headers.get('Accept', '')}"
    return hashlib.blake2b(f"{library.identity}\0{state}\0{maker}\0{asked}".encode(), digest_size=12).hexdigest()


@lru_cache(maxsize=1)
def _maker(bundle: Bundle) -> str:
    """Stands for what answers are made by; a bundle's cut-off and its calibration have no part in its fingerprint."""
    return f"{version('unseen')} {bundle.fingerprint} {bundle.spec.to_json()}"
