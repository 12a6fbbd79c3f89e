"""The pages for people: search, one photo, the library. They work without scripts; static/*.js only adds comfort."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import Field

from engine.errors import LibraryNotFound, UnknownWord, UnseenError
from engine.library.records import Photo
from engine.search.searcher import Explanation, Hit, Results
from engine.search.serialise import explanation_to_json, readable, rfc3339, version
from webapp import api, docs, overview
from webapp.answers import urls
from webapp.errors import status_of
from webapp.library import current, photo_of, searcher
from webapp.schemas import ImageArguments, Region, SearchArguments, cell_of

PAGE = 60  # photos
SIMILAR = 12
FAILURES = 500  # named on the library page

pages = Blueprint("pages", __name__)


class Place(SearchArguments):
    """A photo as it was reached: by a query, at a place in its results."""

    at: int | None = Field(None, ge=1, le=2**53, description="rank in the results")
    region: Region | None = Field(None, description="row,column of the region that similar photos are found by")


@dataclass(frozen=True)
class Shown:
    """A photo in a grid; `hit` is set where it was found by a query."""

    photo: Photo
    at: int | None  # None where the order cannot be had again from an address
    hit: Hit | None = None


@pages.get("/")
def home() -> ResponseReturnValue:
    """Search results, or the newest photos where nothing is searched for."""
    arguments = SearchArguments.model_validate(request.args.to_dict())
    try:
        searcher()
    except LibraryNotFound as error:
        return render_template("welcome.html", error=error, folder=current().folder)
    if not arguments.q.strip():
        return _browse(arguments)
    try:
        results = _results(arguments, PAGE, arguments.offset, arguments.place)
    except UnseenError as error:
        return _failed(arguments, error)
    shown = [Shown(hit.photo, hit.rank, hit) for hit in results.hits]
    return _search_page(arguments, results=results, shown=shown, total=results.total)


@pages.post("/")
def home_like() -> ResponseReturnValue:
    """Photos like an image that is sent."""
    if not request.files.get("image"):
        return redirect(url_for(".home", q=request.form.get("q") or None), 303)
    arguments = ImageArguments.model_validate(None)
    try:
        results = api.like(arguments, PAGE)
    except UnseenError as error:
        return _failed(arguments, error)
    shown = [Shown(hit.photo, None, hit) for hit in results.hits]
    return _search_page(arguments, results=results, shown=shown, total=len(shown), like=arguments.image.filename)


@pages.get("/photo/<int:photo_id>")
def photo(photo_id: int) -> ResponseReturnValue:
    """One photo, where the words are in it, and what it shows."""
    place = Place.model_validate(request.args.to_dict())
    shown = photo_of(photo_id)
    cell = cell_of(place.region)
    explanation, error = None, None
    if place.q.strip():
        try:
            explanation = api.explain(photo_id, place.q)
        except UnseenError as caught:
            error = caught
    previous, following = _neighbours(photo_id, place)
    page = render_template(
        "photo.html",
        photo=shown,
        place=place,
        error=error,
        corrections=_instead(place.q, error.word, error.suggestions) if isinstance(error, UnknownWord) else [],
        explanation=explanation,
        heatmap=explanation_to_json(explanation) if explanation else None,
        tags=searcher().tags_of(photo_id, api.TAGS),
        grid=searcher().bundle.grid,
        best=_best_cell(explanation) if explanation else None,
        picked=_box_of(cell) if cell else None,
        similar=api.alike(photo_id, cell, SIMILAR),
        previous=previous,
        following=following,
        here={**_kept(place), "photo_id": photo_id, "at": place.at},
        back=url_for(".home", **_kept(place)),
    )
    return page, status_of(error)[0] if error else 200


@pages.get("/library")
def library() -> ResponseReturnValue:
    """What is in the library, which model made it, and which files failed and why."""
    store = searcher().store
    return render_template(
        "library.html",
        status=overview.status_json(),
        failures=store.failures()[:FAILURES],
        tags=current().tag_counts.of(searcher())[:60],
    )


pages.add_url_rule("/api/docs", "docs", docs.page)
pages.add_url_rule("/api/v1/openapi.json", "openapi", docs.document)


@pages.app_template_filter("aspect")
def aspect(photo: Photo) -> str:
    """The class of a photo's aspect, in steps of 5 %, so that its place is kept before it is loaded."""
    return f"a{min(max(round(20 * photo.width / photo.height), 8), 60) * 5}"


@pages.app_template_filter("name")
def name(photo: Photo) -> str:
    """The file's name."""
    return PurePath(readable(photo.path)).name


@pages.app_template_filter("percent")
def percent(share: float) -> str:
    """A share of 0…1 in whole per cent."""
    return f"{round(100 * share)}\u202f%"


@pages.app_template_filter("caption")
def caption(photo: Photo) -> str:
    """What stands under a photo: its name, and the day it was taken."""
    return f"{name(photo)} · {photo.taken_at:%-d %B %Y}" if photo.taken_at else name(photo)


pages.add_app_template_filter(readable)
pages.add_app_template_filter(rfc3339)
pages.add_app_template_filter(version)
pages.add_app_template_filter(zip)


@pages.app_context_processor
def helpers() -> dict[str, Any]:
    """What every template may call."""
    return {"urls": urls(), "photo_link": _photo_link, "kept": _kept, "instead": _instead}


def _browse(arguments: SearchArguments) -> ResponseReturnValue:
    store, filters = searcher().store, arguments.filters()
    total = store.count(filters)
    photos = store.page(filters=filters, newest_first=True, limit=PAGE, offset=arguments.offset)
    shown = [Shown(photo, arguments.offset + place) for place, photo in enumerate(photos, start=1)]
    return _search_page(arguments, shown=shown, total=total)


def _failed(arguments: SearchArguments, error: UnseenError) -> ResponseReturnValue:
    status, _ = status_of(error)
    corrections = _instead(arguments.q, error.word, error.suggestions) if isinstance(error, UnknownWord) else []
    return _search_page(arguments, error=error, corrections=corrections), status


def _search_page(
    arguments: SearchArguments,
    *,
    shown: Sequence[Shown] = (),
    total: int = 0,
    results: Results | None = None,
    error: UnseenError | None = None,
    corrections: Sequence[tuple[str, str]] = (),
    like: str | None = None,
) -> str:
    end = arguments.offset + PAGE
    following = results.next if results else end if end < total else None
    more = url_for(".home", **_kept(arguments), cursor=following) if following else None
    default_cut = searcher().bundle.spec.min_confidence
    return render_template(
        "search.html",
        arguments=arguments,
        shown=shown,
        total=total,
        results=results,
        error=error,
        corrections=corrections,
        like=like,
        more=more,
        cut=default_cut if arguments.min_confidence is None else arguments.min_confidence,
        default_cut=default_cut,
    )


def _results(arguments: SearchArguments, top: int, offset: int, place: str | None = None) -> Results:
    return searcher().search(
        arguments.q,
        top=top,
        offset=offset,
        cursor=place,
        min_confidence=arguments.min_confidence,
        sort=arguments.sort,
        filters=arguments.filters(),
    )


def _neighbours(photo_id: int, place: Place) -> tuple[Shown | None, Shown | None]:
    """The photos before and after this one in what it was reached by."""
    if place.at is None:
        return None, None
    start = max(place.at - 2, 0)
    if place.q.strip():
        try:
            hits = _results(place, 3, start).hits
        except UnseenError:
            return None, None
        row = [Shown(hit.photo, hit.rank, hit) for hit in hits]
    else:
        photos = searcher().store.page(filters=place.filters(), newest_first=True, limit=3, offset=start)
        row = [Shown(photo, start + i) for i, photo in enumerate(photos, start=1)]
    before = [shown for shown in row if shown.at == place.at - 1 and shown.photo.id != photo_id]
    after = [shown for shown in row if shown.at == place.at + 1 and shown.photo.id != photo_id]
    return (before[0] if before else None), (after[0] if after else None)


def _best_cell(explanation: Explanation) -> tuple[int, int]:
    """Where the first word asked for is most likely."""
    pairs = zip(explanation.terms, explanation.infos, strict=True)
    return next(term.best for term, info in pairs if info.weight > 0)


def _box_of(cell: tuple[int, int]) -> tuple[float, ...]:
    grid = searcher().bundle.grid
    return grid.box(cell[0] * grid.cols + cell[1])


def _kept(arguments: SearchArguments) -> dict[str, Any]:
    """What of a query's arguments a link carries on: those that were given."""
    names = ("q", "sort", "min_confidence", "folder", "camera", "after", "before")
    return {name: request.values[name] for name in names if name in arguments.model_fields_set and request.values[name]}


def _photo_link(shown: Shown, arguments: SearchArguments) -> str:
    return url_for("pages.photo", photo_id=shown.photo.id, **_kept(arguments), at=shown.at)


def _instead(text: str, typed: str, suggestions: Sequence[str]) -> list[tuple[str, str]]:
    """Each suggested spelling, and the query with it in the place of what was typed."""
    found = re.search(rf"(?<!\w){re.escape(typed)}(?!\w)", text, re.IGNORECASE)
    before, after = (text[: found.start()], text[found.end() :]) if found else ("", "")
    return [(word, before + word + after) for word in suggestions]
