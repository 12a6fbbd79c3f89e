"""The map: photos that say where they were taken, put together where they lie close.

It is drawn here, as a picture of lines and links, so it needs neither scripts nor maps from elsewhere.
"""

from dataclasses import dataclass

from flask import render_template, request
from pydantic import Field

from engine.library.overview import Bounds, Overview, Place
from webapp.arguments import Arguments
from webapp.library import searcher
from webapp.pages.grid import PAGE, Shown

ACROSS = 24  # clusters side by side
SMALLEST = 0.02  # degrees; closer is one place
MOST = 200_000  # photos
DEGREE_STEPS = (60, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


class View(Arguments):
    """Which part of the world: its middle, and how much of it."""

    lat: float = Field(0.0, ge=-90, le=90)
    lon: float = Field(0.0, ge=-180, le=180)
    span: float = Field(360.0, ge=SMALLEST, le=360, description="degrees of longitude from edge to edge")

    @property
    def bounds(self) -> Bounds:
        """The part of the world in sight, which is twice as wide as high and stays within the world."""
        wide, high = self.span, self.span / 2
        west = min(max(self.lon - wide / 2, -180), 180 - wide)
        south = min(max(self.lat - high / 2, -90), 90 - high)
        return Bounds(south, west, south + high, west + wide)


@dataclass(frozen=True)
class Cluster:
    """Photos that lie close; their middle in degrees, and the part of the world that holds them."""

    latitude: float
    longitude: float
    count: int
    span: float


def world() -> str:
    """The map of a part of the world, and the photos that were taken there."""
    view = View.model_validate(request.args.to_dict())
    store = searcher().store
    placed, total = Overview(store).places(view.bounds, MOST)
    photos = store.photos([place.photo_id for place in placed[:PAGE]])
    return render_template(
        "map.html",
        view=view,
        bounds=view.bounds,
        clusters=clusters(placed, view),
        lines=graticule(view),
        total=total,
        items=[Shown(photos[place.photo_id], None) for place in placed[:PAGE] if place.photo_id in photos],
    )


def clusters(placed: list[Place], view: View) -> list[Cluster]:
    """Places put together by the cells of a lattice; a cell joins a fuller one that is near."""
    side = view.span / ACROSS
    cells: dict[tuple[int, int], list[Place]] = {}
    for place in placed:
        cells.setdefault((int(place.latitude // side), int(place.longitude // side)), []).append(place)
    middles: dict[tuple[float, float], list[Place]] = {}
    for members in sorted(cells.values(), key=len, reverse=True):
        latitude, longitude = _middle(members)
        near = (m for m in middles if max(abs(m[0] - latitude), abs(m[1] - longitude)) < side)
        middles.setdefault(next(near, (latitude, longitude)), []).extend(members)
    return [_cluster(members, view) for members in middles.values()]


def graticule(view: View) -> tuple[list[float], list[float]]:
    """Meridians and parallels in sight, about a dozen."""
    step = next((step for step in DEGREE_STEPS if view.span / step >= 6), DEGREE_STEPS[-1])
    bounds = view.bounds
    return _multiples(step, bounds.west, bounds.east), _multiples(step, bounds.south, bounds.north)


def _multiples(step: float, start: float, stop: float) -> list[float]:
    return [i * step for i in range(int(start // step) + 1, int(stop // step) + 1)]


def _middle(members: list[Place]) -> tuple[float, float]:
    return sum(p.latitude for p in members) / len(members), sum(p.longitude for p in members) / len(members)


def _cluster(members: list[Place], view: View) -> Cluster:
    latitudes, longitudes = [p.latitude for p in members], [p.longitude for p in members]
    wide = max(max(longitudes) - min(longitudes), 2 * (max(latitudes) - min(latitudes)))
    return Cluster(
        *_middle(members),
        len(members),
        min(max(1.5 * wide, view.span / 12, SMALLEST), view.span),
    )
