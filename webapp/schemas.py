"""What the API gives; the OpenAPI document is made from these models, and from those of webapp.arguments."""

from datetime import datetime

from pydantic import BaseModel, Field

Box = tuple[float, float, float, float]


class Listed(BaseModel):
    """Base of all lists: a page of `items`."""

    total: int = Field(description="of all pages")
    next: str | None = Field(description="address of the next page; null after the last")


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
    guess: bool = Field(description="whether it is less sure than the model's own cut-off")
    box: Box = Field(description="x, y, width, height of the best region, in fractions of the upright photo")
    thumbnail_url: str
    heatmap_url: str | None = Field(description="null where no word was asked for")
    taken_at: datetime | None
    duplicates: list[int] = Field(description="ids of copies, by content or by looks, that are not listed themselves")
    feedback: GivenOut | None = Field(description="what was said of it as a hit of this query")


class ResultsOut(Listed):
    """A page of hits."""

    query: QueryOut
    took_ms: float
    exact: bool = Field(description="whether the ranking is proven equal to scoring every photo")
    total: int = Field(description="photos at or above the cut-off")
    items: list[HitOut]


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


class PhotosOut(Listed):
    """A page of photos."""

    items: list[PhotoOut]


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


class SimilarsOut(Listed):
    """Photos like another one, most similar first."""

    items: list[SimilarOut]


class SuggestionsOut(Listed):
    """Completions, best first."""

    items: list[str]


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
