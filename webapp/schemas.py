"""What the API takes and gives; the OpenAPI document is made from these models."""

from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal

from flask import request
from flask_openapi3.models.file import FileStorage
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from engine.words.query import Filters, parse_time
from webapp.errors import for_api
from webapp.library import LARGEST

NOT_TEXT = frozenset({"top", "cursor", "sort", "min_confidence", "rating", "size", "exact"})
Left = SkipJsonSchema[None]  # an argument that was left out
Box = tuple[float, float, float, float]
Region = Annotated[str, Field(pattern=r"^(\d{1,4},\d{1,4})?$")]
Share = Annotated[float, Field(ge=0, le=1)]
Stars = Annotated[int, Field(ge=0, le=5)]
Side = Annotated[int, Field(ge=16, le=4096)]
Moment = Annotated[datetime, WithJsonSchema({"type": "string", "pattern": r"^(\d{4}(-\d\d(-\d\d(T.+)?)?)?)?$"})]


def optional(description: str) -> Any:
    """An argument that may be left out. There is no other way to say so: an address has no null."""
    return Field(None, description=description, json_schema_extra=_without_default)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def cell_of(region: str | None) -> tuple[int, int] | None:
    """Row and column of a region."""
    if region is None:
        return None
    row, col = region.split(",")
    return int(row), int(col)


class Arguments(BaseModel):
    """Base of all arguments. A text that is left empty was not given, nor what else a form of a page leaves empty."""

    @classmethod
    def model_json_schema(cls, *args: Any, **named: Any) -> dict[str, Any]:
        """As pydantic makes it, once: flask-openapi3 asks for it with every request."""
        return super().model_json_schema(*args, **named) if args or named else _schema_of(cls)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: dict[str, Any]) -> dict[str, Any]:
        kept = NOT_TEXT if for_api() else ()
        return {name: value for name, value in values.items() if value != "" or name in kept}


@cache
def _schema_of(arguments: type[Arguments]) -> dict[str, Any]:
    return super(Arguments, arguments).model_json_schema()


class Body(BaseModel):
    """Base of all JSON that is sent: a number is a number there, and not its text."""

    model_config = ConfigDict(strict=True)


class PhotoId(BaseModel):
    """Which photo."""

    id: int = Field(description="id of the photo", ge=0, le=LARGEST)


class Page(Arguments):
    """Which part of a list."""

    top: int = Field(50, ge=0, le=1_000_000, description="items on a page; 0 is all of them")
    cursor: int = Field(0, ge=0, le=LARGEST // 2, description="where to go on, taken from `next`")


class Filtered(Arguments):
    """Which photos, whatever they show."""

    folder: str | Left = optional("only photos in this folder or below it")
    camera: str | Left = optional("only photos of a camera whose name holds this")
    after: Moment | Left = optional("only photos taken then or later: 2024, 2024-07, or RFC 3339")
    before: Moment | Left = optional("only photos taken earlier than that")
    lens: str | Left = optional("only photos of a lens whose name holds this")
    keyword: str | Left = optional("only photos that people or other programs gave this keyword")
    rating: Stars | Left = optional("only photos of so many stars, or more")
    type: str | Left = optional("only files of this type, such as jpeg")

    @field_validator("after", "before", mode="before")
    @classmethod
    def _time(cls, value: object) -> object:
        return parse_time(value) if isinstance(value, str) else value

    def filters(self) -> Filters:
        """The same for the engine."""
        given = {name: getattr(self, name) or None for name in ("folder", "camera", "lens", "keyword", "type")}
        return Filters(**given, after=self.after, before=self.before, rating=self.rating)


class Where(Filtered, Page):
    """A page of some of the photos."""


class SearchArguments(Filtered):
    """A query and the page of its hits."""

    top: int = Field(50, ge=0, le=1_000_000, description="hits on a page; 0 is all of them")
    cursor: str = Field(
        "",
        pattern=r"^(\d{1,18}|[\w-]{35})?$",
        description="where to go on, taken from `next`; or how many to pass over",
    )
    exact: bool = Field(False, description="insist on a proven ranking and an exact total, whatever they cost")
    q: str = Field("", description='words, "a phrase", -without, word^2, and filters such as after:2024')
    sort: Literal["relevance", "date"] = Field("relevance", description="best first, or newest first")
    min_confidence: Share | Left = optional("cut-off; the model's own where not given")

    @property
    def offset(self) -> int:
        """How many hits to pass over."""
        return int(self.cursor) if self.cursor.isdecimal() else 0

    @property
    def place(self) -> str | None:
        """The cursor, where it names a place among the hits."""
        return None if not self.cursor or self.cursor.isdecimal() else self.cursor


class ImageArguments(SearchArguments):
    """An image, and what is asked for beside it."""

    image: FileStorage = Field(description="a photo of any kind that can be indexed; it is looked at and not kept")

    @model_validator(mode="before")
    @classmethod
    def _as_sent(cls, _: object) -> dict[str, Any]:
        """The fields as they came: flask-openapi3 reads them as JSON, and a phrase would lose its quotes."""
        return {**request.form.to_dict(), "image": request.files.get("image") or ""}


class ListArguments(Where):
    """A page of the library."""

    sort: Literal["path", "date"] = Field("path", description="by path, or newest first")


class Words(Arguments):
    """A query."""

    q: str = Field("", description="a query, as for /search")


class Prefix(Arguments):
    """The beginning of a word."""

    q: str = Field("", max_length=1000, description="what has been typed so far")
    top: int = Field(10, ge=1, le=100, description="how many completions")


class ThumbnailArguments(Arguments):
    """Which thumbnail."""

    size: Side | Left = optional("longest side in pixels; the stored one where not given")
    v: str | Left = optional("version of the photo; thumbnail_url has it, so that browsers keep the picture")


class SimilarArguments(Arguments):
    """Like what of the photo."""

    region: Region | Left = optional("row,column of a region of its heatmap")
    top: int = Field(24, ge=1, le=500, description="how many photos")


class TermOut(BaseModel):
    """One term of a query."""

    term: str
    weight: float = Field(description="negative for an excluded term")
    zero_shot: bool = Field(description="whether no photo with this tag was ever shown in training")
    nearest_tags: list[str] = Field(description="the learned tags nearest in meaning")
    did_you_mean: list[str] = Field(description="frequent words spelt almost like a rare one")


class QueryOut(BaseModel):
    """A query as it was understood."""

    text: str
    terms: list[TermOut]
    like: bool = Field(description="whether an image was asked with")


class GivenOut(BaseModel):
    """What was said of a photo."""

    id: int = Field(description="id of the mark, to take it back")
    relevant: bool


class HitOut(BaseModel):
    """One photo found."""

    rank: int
    id: int
    path: str
    score: float = Field(description="the model's own score, of several terms a soft “and”; likeness to an image")
    confidence: float = Field(description="0…1, comparable between queries")
    box: Box = Field(description="x, y, width, height of the best region, in fractions of the upright photo")
    thumbnail_url: str
    heatmap_url: str | None = Field(description="null where no word was asked for")
    taken_at: datetime | None
    duplicates: list[int]
    feedback: GivenOut | None = Field(description="what was said of it as a hit of this query")


class ResultsOut(BaseModel):
    """A page of hits."""

    query: QueryOut
    took_ms: float
    exact: bool = Field(description="whether the ranking is proven equal to scoring every photo")
    total: int = Field(description="photos at or above the cut-off")
    items: list[HitOut]
    next: str | None


class TagOut(BaseModel):
    """A tag of a photo."""

    tag: str
    confidence: float


class CompanionOut(BaseModel):
    """A file that belongs to a photo and is not shown by itself."""

    path: str
    kind: str = Field(description="raw, video or sidecar")


class PhotoOut(BaseModel):
    """A photo, with what it says of itself, in its file or in a sidecar; null where it says nothing."""

    id: int
    path: str
    width: int = Field(description="upright pixels")
    height: int
    format: str
    taken_at: datetime | None
    taken_offset: int | None = Field(description="minutes east of UTC where it was taken")
    taken_from: str | None = Field(description="where taken_at is from: exif, xmp, or file, when that was written")
    camera: str | None
    lens: str | None
    latitude: float | None = Field(description="degrees north")
    longitude: float | None = Field(description="degrees east")
    rating: int | None = Field(description="-1 rejected, 0 none, 1…5 stars")
    keywords: list[str] = Field(description="that people or other programs gave it")
    folder: str
    companions: list[CompanionOut] = Field(description="files that are shown as one with it")
    tags: list[TagOut] = Field(description="what it most likely shows")
    warning: str | None = Field(description="what is wrong with a file that could be read in part")
    missing_since: datetime | None = Field(description="since when the file is gone")
    added_at: datetime
    thumbnail_url: str
    image_url: str


class PhotosOut(BaseModel):
    """A page of photos."""

    items: list[PhotoOut]
    total: int
    next: str | None


class GridOut(BaseModel):
    """Rows and columns of regions."""

    rows: int
    cols: int


class TermMapOut(BaseModel):
    """Where one term was found."""

    term: str
    weight: float = Field(description="negative for an excluded term")
    score: float = Field(description="the model's own score of the photo for this term")
    confidence: float = Field(description="that the photo shows this term, also where it is excluded")
    scores: list[list[float]] = Field(description="region scores, row by row from the top left")
    box: Box
    heat: list[list[float]] = Field(description="0…1 for drawing; 0 where a region scores like any background")


class HeatmapOut(BaseModel):
    """Where in a photo the terms of a query were found."""

    grid: GridOut
    terms: list[TermMapOut]
    score: float
    confidence: float


class SimilarOut(BaseModel):
    """A photo like another one."""

    id: int
    path: str
    similarity: float = Field(description="cosine, up to 1")
    thumbnail_url: str


class SimilarsOut(BaseModel):
    """Photos like another one, most similar first."""

    items: list[SimilarOut]
    total: int
    next: str | None


class SuggestionsOut(BaseModel):
    """Completions, best first."""

    items: list[str]
    total: int
    next: str | None


class FaultOut(BaseModel):
    """An argument that is not what it should be."""

    name: str
    reason: str


class ProblemOut(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    suggestions: list[str] | None = Field(None, description="with unknown-word: the nearest spellings, best first")
    word: str | None = Field(None, description="with unknown-word: the word")
    errors: list[FaultOut] | None = Field(None, description="with invalid-arguments: what is wrong with each one")
    job: int | None = Field(None, description="with job-running: the job")
