"""Errors become responses here and nowhere else: problem documents (RFC 9457) for the API, a page for people."""

import logging
from http import HTTPStatus
from math import ceil
from typing import Any

from flask import Flask, Response, g, json, render_template, request
from flask.typing import ResponseReturnValue
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from engine.errors import (
    BundleError,
    EmptyQuery,
    LibraryError,
    LibraryNotFound,
    QueryError,
    UnknownWord,
    UnseenError,
    WrongBundle,
)
from engine.library.records import Photo
from engine.paths import readable
from engine.photo import NotAPhoto, UnreadablePhoto
from webapp import texts

logger = logging.getLogger("unseen.errors")

MAX_UPLOAD = 64 << 20  # bytes
MAX_FIELDS, MAX_TEXT = 1000, 500_000  # of a form beside its image; bytes
WRITTEN = {  # how arguments with a form of their own are
    "cursor": "Should be as “next” of the page before has it",
    "region": "Should be a row and a column, such as 2,3",
    "within": "Should be south,west,north,east in degrees",
}
NO_OBJECT = {"name": "body", "reason": "Should be an object"}


class NotInLibrary(UnseenError):
    """No photo has this id."""

    def __init__(self, photo_id: int) -> None:
        super().__init__(f"There is no photo {photo_id} in the library", "It may have been removed; search again")


class NotLookedAt(UnseenError):
    """The library's model has not looked at the photo."""

    def __init__(self, photo: Photo) -> None:
        super().__init__(
            f"The model of the library has not looked at {readable(photo.path)}",
            "The next index run does: unseen index",
        )


class FileGone(UnseenError):
    """The library knows the photo, but its file cannot be read any more."""


class TooLarge(UnseenError):
    """More was sent than is taken: as a whole, or in the fields of a form."""

    @classmethod
    def as_a_whole(cls) -> "TooLarge":
        """Of more bytes than any request may have."""
        return cls(f"More than {MAX_UPLOAD >> 20} MB were sent", "Send a smaller copy of the image")


class NoMark(UnseenError):
    """No mark has this id."""

    def __init__(self, mark_id: int) -> None:
        super().__init__(f"There is no mark {mark_id}", "It may have been taken back or replaced")


class NoJob(UnseenError):
    """No job has this id."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"There is no job {job_id}", "Jobs are known until the server stops")


class JobRunning(UnseenError):
    """Another job is running; `job_id` names it."""

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        super().__init__("An index run is going on, and there is only one at a time", "Wait for it, or stop it")


class Stopping(UnseenError):
    """The server is about to stop."""

    def __init__(self) -> None:
        super().__init__("The server is stopping", "Try again when it is up again")


class OutsideRoots(UnseenError):
    """A folder that may not be indexed from here."""

    def __init__(self) -> None:
        super().__init__(
            "This folder is not below one that was indexed before, or that UNSEEN_ROOTS names",
            "Index it once on the machine itself: unseen index FOLDER",
        )


class NoFolder(UnseenError):
    """There is nothing to index."""


class TokenNeeded(UnseenError):
    """Who asks has to show a token, and did not, or a wrong one."""


class Forged(UnseenError):
    """Another web site acts in a visitor's name."""


class TooMany(UnseenError):
    """More was asked for than is good for the others; `seconds` says when to ask again."""

    def __init__(self, message: str, hint: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(message, hint)


# The first class that fits says the status and the last part of the problem's type.
STATUS: tuple[tuple[type[UnseenError], int, str], ...] = (
    (NotInLibrary, 404, "no-photo"),
    (NoMark, 404, "no-mark"),
    (NoJob, 404, "no-job"),
    (JobRunning, 409, "job-running"),
    (TokenNeeded, 401, "token-needed"),
    (Forged, 403, "cross-site"),
    (OutsideRoots, 403, "outside-roots"),
    (NoFolder, 422, "no-folder"),
    (TooMany, 429, "too-many-requests"),
    (Stopping, 503, "stopping"),
    (NotLookedAt, 409, "not-looked-at"),
    (FileGone, 410, "file-gone"),
    (EmptyQuery, 400, "empty-query"),
    (UnknownWord, 422, "unknown-word"),
    (QueryError, 400, "malformed-query"),
    (TooLarge, 413, "too-large"),
    (NotAPhoto, 415, "not-a-photo"),
    (UnreadablePhoto, 422, "unreadable-photo"),
    (LibraryNotFound, 503, "no-library"),
    (WrongBundle, 409, "wrong-bundle"),
    (LibraryError, 503, "library"),
    (BundleError, 503, "bundle"),
    (UnseenError, 500, "internal"),
)


def register(app: Flask) -> None:
    """Answer every error of `app`."""
    app.config.update(MAX_CONTENT_LENGTH=MAX_UPLOAD, MAX_FORM_PARTS=MAX_FIELDS, MAX_FORM_MEMORY_SIZE=MAX_TEXT)
    app.register_error_handler(UnseenError, _known)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(ValidationError, _invalid)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def status_of(error: UnseenError) -> tuple[int, str]:
    """HTTP status and problem type of an error."""
    return next((status, kind) for fits, status, kind in STATUS if isinstance(error, fits))


def problem(status: int, detail: str, kind: str | None = None, **more: Any) -> Response:
    """A problem document; `kind` names a problem of ours, `more` are its extension members."""
    document = {
        "type": f"urn:unseen:problem:{kind}" if kind else "about:blank",
        "title": HTTPStatus(status).phrase if kind is None else kind.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        **more,
    }
    return Response(json.dumps(document), status, mimetype="application/problem+json")


def invalid_arguments(error: ValidationError) -> Response:
    """Arguments that are not what the OpenAPI document says: 422, with each one's name and reason.

    A body that should be JSON and is not called so is 415, and one that cannot be read 400.
    """
    if any(not fault["loc"] and fault["type"] == "model_type" for fault in error.errors()):
        if not request.is_json:
            return problem(415, "Send a JSON object, as Content-Type: application/json")
        if request.get_json(silent=True) is None:
            return problem(400, "The body is not a JSON object")
        return problem(422, "The body is JSON, but not an object", "invalid-arguments", errors=[NO_OBJECT])
    faults = _faults(error)
    return problem(422, _told(faults), "invalid-arguments", errors=faults)


def for_api() -> bool:
    """Whether the request is a program's."""
    return request.path.startswith("/api/") and request.path != "/api/docs"


def _is_seen() -> bool:
    """Whether a person sees the answer: a page, or an original in a tab of its own."""
    if request.endpoint == "photos.original":
        return request.accept_mimetypes.best_match(["application/problem+json", "text/html"]) == "text/html"
    return not for_api()


def _known(error: UnseenError) -> ResponseReturnValue:
    status, kind = status_of(error)
    if _is_seen():
        page = render_template("error.html", title=readable(error.message), detail=readable(error.hint))
        response = Response(page, status)
    else:
        response = problem(status, readable(str(error)), kind, **_members(error))
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(max(1, ceil(error.seconds)))
    if isinstance(error, TokenNeeded):
        response.headers["WWW-Authenticate"] = 'Bearer realm="unseen"'
    return response


def _too_large(_: RequestEntityTooLarge) -> ResponseReturnValue:
    if (request.content_length or 0) > (request.max_content_length or 0):
        return _known(TooLarge.as_a_whole())
    fields = f"more than {MAX_FIELDS:,} fields, or one of more than {MAX_TEXT // 1000} kB"
    return _known(TooLarge(f"The form has {fields}", "Send less beside the image"))


def _members(error: UnseenError) -> dict[str, Any]:
    """What a problem document says beyond its detail."""
    if isinstance(error, UnknownWord):
        return {"suggestions": error.suggestions, "word": error.word}
    return {"job": error.job_id} if isinstance(error, JobRunning) else {}


def _invalid(error: ValidationError) -> ResponseReturnValue:
    """Arguments of a page; those of the API are refused before they come this far."""
    return render_template("error.html", title=texts.text("not_readable"), detail=_told(_faults(error))), 422


def _faults(error: ValidationError) -> list[dict[str, str]]:
    """Name and reason of each argument that is not what it should be."""
    return [
        {"name": str(fault["loc"][0]) if fault["loc"] else "body", "reason": _reason(fault)}
        for fault in error.errors()
        if fault["type"] != "none_required"  # that it might have been left out helps nobody
    ]


def _reason(fault: ErrorDetails) -> str:
    """What is wrong, in words; a regular expression is none."""
    if fault["type"] != "string_pattern_mismatch":
        return fault["msg"]
    return WRITTEN.get(str(fault["loc"][0]), "Is not written as it should be")


def _told(faults: list[dict[str, str]]) -> str:
    return "; ".join(f"{fault['name']}: {fault['reason']}" for fault in faults)


def _http(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None or error.code is None or error.code < 400:
        return error.get_response()
    if _is_seen():
        title, detail = error.name, error.description
        if error.code == HTTPStatus.NOT_FOUND:
            title, detail = texts.text("not_found"), texts.text("not_found_hint")
        response = Response(render_template("error.html", title=title, detail=detail), error.code)
    else:
        response = problem(error.code, error.description or error.name)
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value  # such as Allow with 405
    return response


def _unforeseen(error: Exception) -> ResponseReturnValue:
    number = g.get("request_id")
    extra = {"fields": {"request_id": number}}
    logger.error("%s %r failed (request %s)", request.method, request.path, number, exc_info=error, extra=extra)
    return _known(UnseenError("The server met an error it did not expect", f"Its log says more (request {number})"))
