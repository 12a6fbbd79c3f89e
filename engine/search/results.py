"""What a search answers: hits and what became of the query; and of one photo, where its words are and its tags."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from engine.library.feedback import Mark
from engine.library.records import Photo
from engine.search.boxes import Box
from engine.search.explain import TermMap
from engine.words.query import Query


@dataclass(frozen=True)
class TermInfo:
    """What became of one term of a query."""

    term: str
    weight: float
    zero_shot: bool  # whether the head was never trained with this word as a tag
    did_you_mean: list[str]  # much more frequent words spelt almost like it, where it may be a typo
    find_nearest: Callable[[], list[str]] = field(repr=False, compare=False)

    @cached_property
    def nearest_tags(self) -> list[str]:
        """The learned tags nearest in meaning; found when asked for, since the first time takes as long as a search."""
        return self.find_nearest()


@dataclass(frozen=True)
class Hit:
    """One photo found. `box` is around its best region, in fractions of the upright photo."""

    rank: int
    photo: Photo
    score: float
    confidence: float
    box: Box
    guess: bool = False  # whether it is less sure than the model's own cut-off, and nobody said that it is right
    mark: Mark | None = None  # what was said of it
    duplicates: tuple[int, ...] = ()  # ids of its copies, which are not listed themselves


@dataclass(frozen=True)
class Results:
    """A page of hits.

    `total` counts all photos at or above the cut-off; in a large library it is counted from rounded scores, unless an
    exact answer is asked for. `exact` says that the ranking is proven equal to scoring every photo. `next` is the
    cursor of the page after this one, None where there is none.
    """

    query: Query
    terms: list[TermInfo]
    hits: list[Hit]
    total: int
    exact: bool
    took_ms: float
    like: bool = False  # whether an image was asked with
    next: str | None = None


@dataclass(frozen=True)
class Explanation:
    """Where in a photo the terms of a query were found, and how sure each of them and the whole query is."""

    terms: list[TermMap]
    infos: list[TermInfo]  # what became of each term
    term_scores: list[float]  # the model's own
    term_confidence: list[float]  # that the photo shows the term, also where it is excluded
    score: float
    confidence: float


@dataclass(frozen=True)
class Tag:
    """A label of the bundle and the confidence that a photo shows it."""

    tag: str
    confidence: float
