"""The first page: what a query finds, or all photos, the newest first."""

import csv
import io
import json
from collections.abc import Iterable, Sequence

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from engine.errors import LibraryNotFound, UnseenError
from engine.paths import readable
from engine.search.results import Results
from engine.search.searcher import GUESS, both
from engine.search.serialise import rfc3339
from engine.words.query import Filters, filters_in, parse
from webapp import api
from webapp.arguments import ImageArguments, SearchArguments
from webapp.errors import status_of
from webapp.library import current, searcher
from webapp.pages import filters, helpers
from webapp.pages.grid import PAGE, Item, Shown, by_month, found, guesses_apart
from webapp.pages.library import welcome

TRY = 12  # tags
COLUMNS = ("rank", "path", "confidence", "guess", "score", "taken_at", "width", "height")


def home() -> ResponseReturnValue:
    """Search results, or the newest photos where no word is searched for."""
    arguments = SearchArguments.model_validate(request.args.to_dict())
    try:
        searcher()
    except LibraryNotFound:
        return welcome()
    written = filters.written(request.args)
    if written is not None:
        return redirect(url_for(".home", **written))
    try:
        wanted = _filters_alone(arguments)
        if wanted is not None:
            return _browse(arguments, wanted)
        results = search(arguments, PAGE, arguments.offset, arguments.place)
    except UnseenError as error:
        return _failed(arguments, error)
    shown = found(results.hits)
    items = by_month(shown) if arguments.sort == "date" else guesses_apart(shown)
    wanted = both(parse(arguments.q).filters, arguments.filters())
    none_passes = not results.total and bool(wanted) and not searcher().store.count(wanted)
    return _page(
        arguments, results=results, items=items, count=len(shown), total=results.total, none_passes=none_passes
    )


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
    return _page(
        arguments, results=results, items=shown, count=len(shown), total=len(shown), like=arguments.image.filename
    )


def download(kind: str) -> ResponseReturnValue:
    """All that a query finds, or all photos: a row for each, as CSV or JSON."""
    arguments = SearchArguments.model_validate(request.args.to_dict())
    wanted = _filters_alone(arguments)
    if wanted is not None:
        photos = searcher().store.page(filters=wanted, newest_first=True, limit=-1)
        shown = [Shown(photo, at) for at, photo in enumerate(photos, start=1)]
    else:
        cut = arguments.min_confidence
        if cut is None:  # as the page does, but with all copies
            guesses = any(hit.guess for hit in search(arguments, PAGE, 0).hits)
            cut = searcher().bundle.spec.min_confidence * (GUESS if guesses else 1)
        shown = found(search(arguments.model_copy(update={"min_confidence": cut}), 0, 0).hits)
    rows = [_row(one) for one in shown]
    content, mimetype = (_csv(rows), "text/csv") if kind == "csv" else (json.dumps(rows), "application/json")
    response = Response(content, mimetype=mimetype)
    response.headers["Content-Disposition"] = f"attachment; filename=photos.{kind}"
    return response


def search(arguments: SearchArguments, top: int, offset: int, place: str | None = None) -> Results:
    """What a query finds; raises as Searcher.search does."""
    return searcher().search(
        arguments.q,
        top=top,
        offset=offset,
        cursor=place,
        min_confidence=arguments.min_confidence,
        sort=arguments.sort,
        filters=arguments.filters(),
    )


def _filters_alone(arguments: SearchArguments) -> Filters | None:
    """What photos must be where the query holds no word; None where it does. Raises QueryError."""
    query = parse(arguments.q, beside_image=True)
    return None if query.terms else both(query.filters, arguments.filters())


def _browse(arguments: SearchArguments, wanted: Filters) -> ResponseReturnValue:
    store = searcher().store
    if arguments.q.strip() and not wanted:
        search(arguments, 1, 0)  # says what is wrong with words that are none
    total = store.count(wanted)
    if not total and not wanted:
        return welcome()  # also while the first index run has not stored anything
    photos = store.page(filters=wanted, newest_first=True, limit=PAGE, offset=arguments.offset)
    shown = [Shown(photo, arguments.offset + place) for place, photo in enumerate(photos, start=1)]
    return _page(arguments, items=by_month(shown), count=len(shown), total=total, none_passes=not total)


def _failed(arguments: SearchArguments, error: UnseenError) -> ResponseReturnValue:
    status, _ = status_of(error)
    return _page(arguments, error=error, corrections=helpers.corrections(arguments.q, error)), status


def _page(
    arguments: SearchArguments,
    *,
    items: Iterable[Item] = (),
    count: int = 0,
    total: int = 0,
    results: Results | None = None,
    error: UnseenError | None = None,
    corrections: Sequence[tuple[str, str]] = (),
    like: str | None = None,
    none_passes: bool = False,
) -> str:
    end = arguments.offset + count
    following = results.next if results else end if count and end < total else None
    more = url_for(".home", **helpers.kept(arguments), cursor=following) if following and like is None else None
    default_cut = searcher().bundle.spec.min_confidence
    return render_template(
        "search.html",
        arguments=arguments,
        items=list(items),
        total=total,
        results=results,
        error=error,
        corrections=corrections,
        like=like,
        none_passes=none_passes,
        words=filters.without(arguments.q),
        more=more,
        chips=filters_in(arguments.q),
        tags=_worth_trying() if not arguments.q and not arguments.cursor else [],
        cut=default_cut if arguments.min_confidence is None else arguments.min_confidence,
        default_cut=default_cut,
    )


def _worth_trying() -> list[str]:
    """The most frequent tags."""
    return [one.tag for one in (current().tag_counts.soon(searcher()) or [])[:TRY]]


def _row(shown: Shown) -> dict[str, object]:
    photo, hit = shown.photo, shown.hit
    return {
        "rank": shown.at,
        "path": readable(photo.path),
        "confidence": round(hit.confidence, 4) if hit else None,
        "guess": hit.guess if hit else None,
        "score": round(hit.score, 4) if hit else None,
        "taken_at": rfc3339(photo.taken_at),
        "width": photo.width,
        "height": photo.height,
    }


def _csv(rows: Sequence[dict[str, object]]) -> str:
    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS)
    table.writeheader()
    table.writerows(rows)
    return out.getvalue()
