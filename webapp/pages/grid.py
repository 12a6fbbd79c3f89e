"""A grid of photos: what each shows, where it leads, and the months between them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from engine.library.records import Photo
from engine.search.results import Hit
from webapp import texts

PAGE = 60  # photos


@dataclass(frozen=True)
class Shown:
    """A photo in a grid; `hit` is set where it was found by a query."""

    photo: Photo
    at: int | None  # None where the order cannot be had again from an address
    hit: Hit | None = None


@dataclass(frozen=True)
class Heading:
    """What is written over the photos that follow."""

    name: str


Item = Shown | Heading


def found(hits: Iterable[Hit]) -> list[Shown]:
    """Hits as they are shown."""
    return [Shown(hit.photo, hit.rank, hit) for hit in hits]


def by_month(shown: Sequence[Shown]) -> Iterator[Item]:
    """Photos that are in order of their dates, with a heading over each month."""
    last = ""
    for one in shown:
        taken = one.photo.taken_at
        name = texts.month(taken.isoformat()[:7] if taken else None)  # strftime does not pad every year
        if name != last:
            yield Heading(name)
            last = name
        yield one


def guesses_apart(shown: Sequence[Shown]) -> Iterator[Item]:
    """Photos in order of relevance, with a heading over the guesses where others come before them."""
    sure = False
    for one in shown:
        guess = one.hit is not None and one.hit.guess
        if guess and sure:
            yield Heading(texts.text("less_sure_from_here"))
        sure = not guess
        yield one
