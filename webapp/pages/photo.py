"""One photo: where the words are in it, what it shows, and others like it."""

from collections.abc import Sequence

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import Field

from engine.errors import UnseenError
from engine.library.feedback import Mark
from engine.search.results import Explanation
from engine.search.searcher import both
from engine.search.serialise import explanation_to_json
from engine.search.similar import Similar
from engine.words.query import parse
from webapp import api, feedback
from webapp.arguments import Region, SearchArguments, cell_of
from webapp.errors import status_of
from webapp.library import photo_of, searcher
from webapp.pages import helpers
from webapp.pages.grid import Shown, found
from webapp.pages.search import search

SIMILAR = 18
COPIES = 20  # named
AROUND = 10  # photos on either side in which one is looked for whose place has changed


class Place(SearchArguments):
    """A photo as it was reached: by a query, at a place in its results."""

    at: int | None = Field(None, ge=1, le=2**53, description="rank in the results")
    region: Region | None = Field(None, description="row,column of the region that similar photos are found by")
    similar: bool = Field(False, description="whether photos like it are shown, which takes longest to find")
    show: str = Field("", max_length=1000, description="words to show in place of those of the query")

    @property
    def words(self) -> str:
        """What is looked for in the photo."""
        return self.show or self.q


def photo(photo_id: int) -> ResponseReturnValue:
    """The photo, with its heatmap where words are asked for."""
    place = Place.model_validate(request.args.to_dict())
    shown = photo_of(photo_id)
    cell = cell_of(place.region)
    explanation, mark, error = None, None, None
    try:
        if parse(place.words, beside_image=True).terms:
            explanation = api.explain(photo_id, place.words)
        if parse(place.q, beside_image=True).terms:
            mark = _mark(place.q, photo_id)
    except UnseenError as caught:
        error = caught
    previous, following = _neighbours(photo_id, place, mark)
    store = searcher().store
    copies = searcher().corpus().stacks.others(photo_id)
    page = render_template(
        "photo.html",
        photo=shown,
        place=place,
        error=error,
        corrections=helpers.corrections(place.q, error),
        explanation=explanation,
        guess=explanation is not None and explanation.confidence < searcher().bundle.spec.min_confidence,
        heatmap=explanation_to_json(explanation) if explanation else None,
        mark=mark,
        tags=searcher().tags_of(photo_id, api.TAGS),
        keywords=store.keywords_of([photo_id]).get(photo_id, []),
        copies=list(store.photos(copies[:COPIES]).values()),
        grid_size=searcher().bundle.grid,
        best=_best_cells(explanation) if explanation else [],
        picked=_box_of(cell) if cell else None,
        similar=_similar(photo_id, cell, copies) if cell or place.similar else [],
        previous=previous,
        following=following,
        here={**helpers.kept(place), "photo_id": photo_id, "at": place.at},
        back=url_for(".home", **helpers.kept(place)),
    )
    return page, status_of(error)[0] if error else 200


def _mark(q: str, photo_id: int) -> Mark | None:
    """What was said of the photo for this query."""
    return next((mark for mark in feedback.given(q) if mark.photo_id == photo_id), None)


def _similar(photo_id: int, cell: tuple[int, int] | None, copies: Sequence[int]) -> list[Similar]:
    """Photos like this one or like a region of it, but for its copies, which are named as such."""
    found = api.alike(photo_id, cell, SIMILAR + len(copies))
    return [one for one in found if one.photo.id not in copies][:SIMILAR]


def _neighbours(photo_id: int, place: Place, mark: Mark | None) -> tuple[Shown | None, Shown | None]:
    """The photos before and after this one in what it was reached by.

    What others were marked as, and new photos, move it: they are those of where it is now. Its own mark puts it first
    or last: they are those that it was between.
    """
    if place.at is None:
        return None, None
    start = max(place.at - 1 - AROUND, 0)
    try:
        row = list(_row(place, start, place.at + AROUND - start))
    except UnseenError:
        return None, None
    at = place.at - 1 - start
    here = next((i for i, shown in enumerate(row) if shown.photo.id == photo_id), None)
    if here is not None:
        del row[here]
        at = here if mark is None else at
    elif mark is not None and mark.relevant:
        at += 1  # it is before all of these now
    return (row[at - 1] if 0 < at <= len(row) else None), (row[at] if at < len(row) else None)


def _row(place: Place, start: int, count: int) -> Sequence[Shown]:
    """Photos of what the place is in, from `start` on."""
    query = parse(place.q, beside_image=True)
    if query.terms:
        return found(search(place, count, start).hits)
    wanted = both(query.filters, place.filters())
    photos = searcher().store.page(filters=wanted, newest_first=True, limit=count, offset=start)
    return [Shown(photo, start + i) for i, photo in enumerate(photos, start=1)]


def _best_cells(explanation: Explanation) -> list[str]:
    """Where each word is most likely, as an address writes a region."""
    return ["{},{}".format(*term.best) for term in explanation.terms]


def _box_of(cell: tuple[int, int]) -> tuple[float, ...]:
    grid = searcher().bundle.grid
    return grid.box(cell[0] * grid.cols + cell[1])
