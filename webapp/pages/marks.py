"""Thumbs up and down, for a browser without scripts."""

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from webapp import feedback
from webapp.library import photo_of


def mark(photo_id: int) -> ResponseReturnValue:
    """Say that a photo is a match for a query, or is none, or take that back; then show it again."""
    q, said = request.form.get("q", ""), request.form.get("said", "")
    if said == "undo":
        for one in feedback.given(q):
            if one.photo_id == photo_id:
                feedback.take_back(one.id)
    else:
        feedback.give(q, photo_of(photo_id).id, relevant=said == "match")
    return redirect(url_for("pages.photo", photo_id=photo_id, q=q, at=request.form.get("at") or None), 303)
