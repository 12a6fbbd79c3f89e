"""What all calls of the API share: where it answers, how answers are described, how a list goes on."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from flask_openapi3.types import ResponseDict
from pydantic import BaseModel

from engine.search.serialise import Json, Urls

Answer = Json | Response | tuple[Json, int] | tuple[Json, int, dict[str, str]] | tuple[str, int]

PREFIX = "/api/v1"
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
ALWAYS = (401, 409, 421, 422, 429, 500, 503)  # problems that every call may meet


def blueprint(name: str, description: str) -> APIBlueprint:
    """A group of calls."""
    return APIBlueprint(
        name,
        __name__,
        url_prefix=PREFIX,
        abp_tags=[Tag(name=name, description=description)],
        operation_id_callback=lambda *, name, **_: name,
    )


def answers(shape: type[BaseModel], *statuses: int, status: int = 200) -> ResponseDict:
    """An object of this shape, or one of these problems."""
    return {status: shape, **problems(*statuses)}


def content(*kinds: str, statuses: tuple[int, ...] = ()) -> ResponseDict:
    """Bytes of one of these media types, or one of these problems."""
    schemas = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {200: {"content": schemas}, **problems(*statuses)}


def problems(*statuses: int) -> ResponseDict:
    """Problems that a call may meet, beside those that any may."""
    return {status: {"content": PROBLEM} for status in sorted({*statuses, *ALWAYS})}


def urls() -> Urls:
    """Where the API answers, also behind a proxy that puts a prefix before it."""
    return Urls(request.script_root + PREFIX)


def whole(items: Iterable[Any]) -> Json:
    """A list that is short enough to be given whole."""
    given = list(items)
    return {"items": given, "total": len(given), "next": None}


def next_page(top: int, cursor: int, total: int) -> str | None:
    """The address of the page after this one, or None."""
    return following(cursor + top) if top and cursor + top < total else None


def following(cursor: int | str | None) -> str | None:
    """The address of the page after `cursor`, or None."""
    if cursor is None:
        return None
    arguments = {name: value for name, value in request.args.items() if value} | {"cursor": cursor}
    return f"{request.script_root}{request.path}?{urlencode(arguments)}"
