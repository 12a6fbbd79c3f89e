"""Calls for relevance feedback: a photo is, or is not, what a query looks for."""

from datetime import datetime

from pydantic import BaseModel, Field

from engine.library.database import Database
from engine.library.feedback import Feedback, Mark
from engine.search.feedback import spelled
from engine.search.serialise import Json, rfc3339
from webapp.answers import Answer, answers, blueprint, problems, whole
from webapp.arguments import Arguments, Body
from webapp.errors import NoMark, NotInLibrary
from webapp.library import LARGEST, current, searcher
from webapp.schemas import Listed

feedback = blueprint("feedback", "Relevance feedback: what a query's hits were worth")


class MarkIn(Body):
    """What is said of a photo."""

    q: str = Field(description="the query that it was found by, or should have been")
    image_id: int = Field(ge=0, le=LARGEST, description="id of the photo")
    relevant: bool = Field(description="whether the photo is what the query looks for")


class MarkId(BaseModel):
    """Which mark."""

    id: int = Field(description="id of the mark", ge=0, le=LARGEST)


class MarksArguments(Arguments):
    """The marks of what."""

    q: str = Field("", description="a query; the marks of all of them where not given")


class MarkOut(BaseModel):
    """A photo that was said to be relevant to a query, or not."""

    id: int
    q: str = Field(description="the terms of the query in one way of writing them")
    image_id: int
    relevant: bool
    given_at: datetime


class MarksOut(Listed):
    """Marks, the oldest first."""

    items: list[MarkOut]


@feedback.post(
    "/feedback", summary="Say what a hit is worth", responses=answers(MarkOut, 400, 403, 404, 415, status=201)
)
def give_feedback(body: MarkIn) -> Answer:
    """Later searches for the same words put the photo first, or leave it out. It replaces what was said before."""
    return mark_to_json(give(body.q, body.image_id, relevant=body.relevant)), 201


@feedback.get("/feedback", summary="What was said of hits", responses=answers(MarksOut, 400))
def list_feedback(query: MarksArguments) -> Answer:
    """The marks of one query, or all of them."""
    return whole(mark_to_json(mark) for mark in given(query.q))


@feedback.delete("/feedback/<int:id>", summary="Take it back", responses={204: None, **problems(403, 404)})
def take_feedback_back(path: MarkId) -> Answer:
    """The photo is again where the model puts it."""
    take_back(path.id)
    return "", 204


def give(q: str, photo_id: int, *, relevant: bool) -> Mark:
    """Mark a photo; raises NotInLibrary, LibraryReadOnly, and as `GET /search` does for a query."""
    query = spelled(searcher().prepare(q).query)
    with Database.open(current().folder, writable=True) as database:
        mark = Feedback(database).mark(query, photo_id, relevant)
    if mark is None:
        raise NotInLibrary(photo_id)
    return mark


def given(q: str) -> list[Mark]:
    """The marks of a query, or all of them for an empty one; raises as `GET /search` does."""
    found = searcher()
    marks = Feedback(found.store)
    return marks.of(spelled(found.prepare(q).query)) if q else marks.all()


def take_back(mark_id: int) -> None:
    """Remove a mark; raises NoMark."""
    searcher()
    with Database.open(current().folder, writable=True) as database:
        if not Feedback(database).remove(mark_id):
            raise NoMark(mark_id)


def mark_to_json(mark: Mark) -> Json:
    """The object of `POST /feedback`."""
    return {
        "id": mark.id,
        "q": mark.query,
        "image_id": mark.photo_id,
        "relevant": mark.relevant,
        "given_at": rfc3339(mark.given_at),
    }
