"""What the API takes; the OpenAPI document is made from these models, and from those of webapp.schemas."""

from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal

from flask import request
from flask.json.provider import DefaultJSONProvider
from flask_openapi3.models.file import FileStorage
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticKnownError

from engine.words.query import Filters, parse_time
from webapp.errors import for_api
from webapp.library import LARGEST

NOT_TEXT = frozenset({"top", "cursor", "sort", "min_confidence", "rating", "size", "exact"})
Left = SkipJsonSchema[None]  # an argument that was left out
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


class Json(DefaultJSONProvider):
    """JSON as it is sent and answered."""

    sort_keys = False

    def loads(self, s: str | bytes, **named: Any) -> Any:
        """Raises ValueError for what is none, or is nested too deep."""
        try:
            return super().loads(s, **named)
        except RecursionError:
            raise ValueError("nested too deep") from None


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
    """Base of all JSON that is sent: a number is a number there and not its text, and a text can be kept as UTF-8."""

    model_config = ConfigDict(strict=True)

    @field_validator("*")
    @classmethod
    def _whole(cls, value: object) -> object:
        """Half of a surrogate pair, which JSON can name, is no text."""
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise PydanticKnownError("string_unicode")
        return value


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


class Where(Filtered):
    """A page of some of the photos, which holds still while the library changes."""

    top: int = Field(50, ge=0, le=1_000_000, description="photos on a page; 0 is all of them")
    cursor: str = Field(
        "",
        pattern=r"^(\d{1,18}|[A-Za-z][\w-]{6,})?$",
        description="where to go on, taken from `next`; or how many to pass over",
    )

    @property
    def offset(self) -> int:
        """How many photos to pass over."""
        return int(self.cursor) if self.cursor.isdecimal() else 0

    @property
    def place(self) -> str | None:
        """The cursor, where it names a place among the photos."""
        return None if not self.cursor or self.cursor.isdecimal() else self.cursor


class SearchArguments(Where):
    """A query and the page of its hits."""

    exact: bool = Field(False, description="insist on a proven ranking and an exact total, whatever they cost")
    q: str = Field("", description='words, "a phrase", -without, word^2, and filters such as after:2024')
    sort: Literal["relevance", "date"] = Field("relevance", description="best first, or newest first")
    min_confidence: Share | Left = optional("cut-off; the model's own where not given")


class ImageArguments(SearchArguments):
    """An image, and what is asked for beside it."""

    image: FileStorage = Field(description="a photo of any kind that can be indexed; it is looked at and not kept")

    @model_validator(mode="before")
    @classmethod
    def _as_sent(cls, _: object) -> dict[str, Any]:
        """The fields as they came: flask-openapi3 reads them as JSON, and a phrase would lose its quotes.

        The address of a next page adds its cursor to them.
        """
        cursor = {name: value for name, value in request.args.items() if name == "cursor"}
        return {**request.form.to_dict(), **cursor, "image": request.files.get("image") or ""}


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

    size: Side | Left = optional("longest side in pixels at most; the stored picture, of 512 to 640, for 512 or none")
    v: str | Left = optional("version of the photo; thumbnail_url has it, so that browsers keep the picture")


class SimilarArguments(Arguments):
    """Like what of the photo."""

    region: Region | Left = optional("row,column of a region of its heatmap")
    top: int = Field(24, ge=1, le=500, description="how many photos")
