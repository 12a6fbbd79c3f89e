"""The query language: words, "phrases", -exclusions, weights^2 and filters."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from engine.errors import EmptyQuery, QueryError
from engine.words.spelling import bare
from engine.words.vectors import STOP_WORDS, normalise

MAX_LENGTH = 1000
MAX_TERMS = 16
LONGEST_COMPOUND = 4  # words
FILTERS = ("folder", "camera", "lens", "keyword", "after", "before", "rating", "type")

# An item is -"some words"^2, filter:"some words", or the same without quotes.
_ITEM = re.compile(
    rf"""(?P<minus>-)?
        (?:(?P<filter>{"|".join(FILTERS)}):)?
        (?:"(?P<quoted>[^"]*)"?|(?P<plain>[^\s"^]+))
        (?:\^(?P<weight>\S*))?""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Term:
    """One concept of a query. A negative weight pushes photos that show it down."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Filters:
    """What a photo must be, whatever it shows. Times are UTC; `after` is included, `before` is not.

    `keyword` is one that people gave it, whole; `rating` is the least number of stars. `also` has more that it
    must be.
    """

    folder: str | None = None
    camera: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    type: str | None = None
    lens: str | None = None
    keyword: str | None = None
    rating: int | None = None
    also: "Filters | None" = None

    def __bool__(self) -> bool:
        return self != Filters()


@dataclass(frozen=True)
class Query:
    """A parsed query; `text` is what was typed."""

    text: str
    terms: tuple[Term, ...]
    filters: Filters = field(default_factory=Filters)


def parse(text: str, is_compound: Callable[[str], bool] = lambda _: False, *, beside_image: bool = False) -> Query:
    """Read a query. Neighbouring words that `is_compound` knows ("traffic light") become one term.

    Raises EmptyQuery where no word is asked for, unless there is an image to ask with, and QueryError for a malformed
    weight, date or length.
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(f"The query has {len(text)} characters", f"At most {MAX_LENGTH} are read")
    terms: list[Term] = []
    filters: dict[str, str] = {}
    run: list[str] = []  # plain words in a row, in which compounds are looked for

    def flush() -> None:
        terms.extend(Term(words) for words in _join_compounds(run, is_compound))
        run.clear()

    for item in _ITEM.finditer(text):
        typed = item["quoted"] if item["quoted"] is not None else item["plain"]
        if item["filter"]:
            if item["minus"]:
                raise QueryError(f"“{item[0].strip()}” is a filter with a minus", "Filters say which photos to keep")
            if typed.strip():
                filters[item["filter"]] = typed.strip()
            continue
        words = bare(normalise(typed))
        if not any(character.isalnum() for character in words):
            continue
        plain = item["quoted"] is None and not item["minus"] and item["weight"] is None
        if plain:
            run.extend(filter(None, map(bare, re.split("[,;]", words))))
            continue
        flush()
        weight = _weight(item["weight"]) if item["weight"] is not None else 1.0
        terms.append(Term(words, -weight if item["minus"] else weight))
    flush()
    terms = _without_stop_words(terms)
    if not beside_image and not any(term.weight > 0 for term in terms):
        if terms:
            raise EmptyQuery("The query holds only words to leave out", "Add a word to look for")
        typed = text.strip()[:40]
        message = f"“{typed}” holds no word to look for" if typed else "The query is empty"
        raise EmptyQuery(message, "Type a word, such as: lighthouse")
    if len(terms) > MAX_TERMS:
        raise QueryError(f"The query has {len(terms)} terms", f"At most {MAX_TERMS} are searched at once")
    return Query(text, tuple(terms), _filters(filters))


def filters_in(text: str) -> list[tuple[str, str, str]]:
    """Each filter of a query: its name, what it asks for, and the query without it."""
    return [
        (item["filter"], typed.strip(), " ".join(f"{text[: item.start()]} {text[item.end() :]}".split()))
        for item in _ITEM.finditer(text)
        if item["filter"] and (typed := item["plain"] if item["quoted"] is None else item["quoted"]).strip()
    ]


def with_filter(text: str, name: str, value: str | None) -> str:
    """The query with this filter in place of any other of its name; without one for None.

    A value holds no quote: the language has no way to write it.
    """
    while others := [rest for found, _, rest in filters_in(text) if found == name]:
        text = others[0]
    if value is None:
        return text
    written = value if value.replace("-", "").isalnum() else f'"{value}"'
    return f"{text} {name}:{written}".strip()


def _join_compounds(words: list[str], is_compound: Callable[[str], bool]) -> list[str]:
    """The longest known compound at each place, from the left."""
    joined = []
    start = 0
    while start < len(words):
        for stop in range(min(len(words), start + LONGEST_COMPOUND), start, -1):
            candidate = " ".join(words[start:stop])
            if stop == start + 1 or is_compound(candidate):
                joined.append(candidate)
                start = stop
                break
    return joined


def _without_stop_words(terms: list[Term]) -> list[Term]:
    telling = [term for term in terms if term.text not in STOP_WORDS]
    return telling if any(term.weight > 0 for term in telling) else terms


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0.01 <= weight <= 100:  # less is nothing at all in single precision, beside other words or alone
        raise QueryError(f"“^{text}” is not a weight", "Write word^2, with a number from 0.01 to 100")
    return weight


def _filters(found: dict[str, str]) -> Filters:
    return Filters(
        folder=found.get("folder"),
        camera=found.get("camera"),
        lens=found.get("lens"),
        keyword=found.get("keyword"),
        rating=_rating(found["rating"]) if "rating" in found else None,
        after=parse_time(found["after"]) if "after" in found else None,
        before=parse_time(found["before"]) if "before" in found else None,
        type=found.get("type", "").lower() or None,
    )


def _rating(text: str) -> int:
    if text not in tuple("012345"):
        raise QueryError(f"“{text}” is not a rating", "Write rating:4 for photos with four stars or more")
    return int(text)


def parse_time(text: str) -> datetime:
    """A year, a month, a day or an RFC 3339 time, as its first moment in UTC; raises QueryError."""
    for pattern in ("%Y", "%Y-%m", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter where it is in no year that has a number in UTC
        today = datetime.now(UTC).date()
        example: date = today - timedelta(days=30)
        raise QueryError(f"“{text}” is not a date", f"Write 2024, 2024-07 or {example.isoformat()}") from None
