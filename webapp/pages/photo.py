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
    previous, following = _neighbours(photo_id, place)
    store = searcher().store
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
        copies=list(store.photos(searcher().corpus().stacks.others(photo_id)[:COPIES]).values()),
        grid_size=searcher().bundle.grid,
        best=_best_cells(explanation) if explanation else [],
        picked=_box_of(cell) if cell else None,
        similar=api.alike(photo_id, cell, SIMILAR) if cell or place.similar else [],
        previous=previous,
        following=following,
        here={**helpers.kept(place), "photo_id": photo_id, "at": place.at},
        back=url_for(".home", **helpers.kept(place)),
    )
    return page, status_of(error)[0] if error else 200


def _mark(q: str, photo_id: int) -> Mark | None:
    """What was said of the photo for this query."""
    return next((mark for mark in feedback.given(q) if mark.photo_id == photo_id), None)


def _neighbours(photo_id: int, place: Place) -> tuple[Shown | None, Shown | None]:
    """The photos before and after this one in what it was reached by."""
    if place.at is None:
        return None, None
    start = max(place.at - 2, 0)
    try:
        row = _row(place, start)
    except UnseenError:
        return None, None
    before = [shown for shown in row if shown.at == place.at - 1 and shown.photo.id != photo_id]
    after = [shown for shown in row if shown.at == place.at + 1 and shown.photo.id != photo_id]
    return (before[0] if before else None), (after[0] if after else None)


def _row(place: Place, start: int) -> Sequence[Shown]:
    """Three photos of what the place is in, from `start` on."""
    query = parse(place.q, beside_image=True)
    if query.terms:
        return found(search(place, 3, start).hits)
    wanted = both(query.filters, place.filters())
    photos = searcher().store.page(filters=wanted, newest_first=True, limit=3, offset=start)
    return [Shown(photo, start + i) for i, photo in enumerate(photos, start=1)]


def _best_cells(explanation: Explanation) -> list[str]:
    """Where each word is most likely, as an address writes a region."""
    return ["{},{}".format(*term.best) for term in explanation.terms]


def _box_of(cell: tuple[int, int]) -> tuple[float, ...]:
    grid = searcher().bundle.grid
    return grid.box(cell[0] * grid.cols + cell[1])
