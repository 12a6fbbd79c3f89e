"""What the library holds: tags, months, folders, cameras, and photos at random."""

import math
import random

import numpy as np
from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from engine.library.overview import Bounds, Overview
from engine.library.records import Photo
from engine.paths import readable
from engine.search.searcher import Searcher
from webapp.library import current, searcher
from webapp.pages.filters import tree
from webapp.pages.grid import Shown, found
from webapp.pages.helpers import quoted
from webapp.tag_counts import TagCount

CLOUD = 120  # tags
COVERS = 14  # tags with a photo
RANDOM = 18  # photos
FOLDERS = 200
BEST = 60  # photos of a tag
BESIDE = 12  # tags beside it


def explore() -> str:
    """All of it on one page."""
    library = searcher()
    overview = Overview(library.store)
    counts = current().tag_counts.soon(library)
    ids = library.store.photo_ids()
    picked = random.sample(range(len(ids)), min(RANDOM, len(ids)))
    photos = library.store.photos([int(ids[i]) for i in picked])
    _, placed = overview.places(Bounds(), 1)
    return render_template(
        "explore.html",
        counted=counts is not None,
        covers=_covers(library, counts or []),
        cloud=_cloud((counts or [])[:CLOUD]),
        chance=[Shown(photos[int(ids[i])], None) for i in picked if int(ids[i]) in photos],
        years=_years(overview.months()),
        during=_during,
        folders=[(readable(folder.path), depth, folder.photos_below) for folder, depth in tree(overview.folders())][
            :FOLDERS
        ],
        cameras=overview.cameras(),
        placed=placed,
    )


def tag(tag: str) -> ResponseReturnValue:
    """One tag: the photos that show it best, and what is near it. What is no tag is searched for."""
    library = searcher()
    if tag not in library.bundle.labels:
        return redirect(url_for("pages.home", q=quoted(tag)))
    results = library.search(f'"{tag}"', top=BEST)
    counts = {one.tag: one.count for one in current().tag_counts.soon(library) or []}
    vector = library.bundle.words.vector(tag)
    near = [other for other in library.bundle.nearest_tags(vector, BESIDE + 1) if other != tag][:BESIDE]
    return render_template(
        "tag.html",
        tag=tag,
        count=counts.get(tag),
        near=near,
        beside=_beside(library, tag, [hit.photo.id for hit in results.hits]),
        items=found(results.hits),
        total=results.total,
    )


def _covers(library: Searcher, counts: list[TagCount]) -> list[tuple[TagCount, Photo]]:
    """The most frequent tags, each with a photo that stands for no other."""
    by_photo: dict[int, TagCount] = {}
    for one in counts:
        if len(by_photo) < COVERS:
            by_photo.setdefault(one.best, one)
    photos = library.store.photos(list(by_photo))
    return [(one, photos[best]) for best, one in by_photo.items() if best in photos]


def _cloud(counts: list[TagCount]) -> list[tuple[TagCount, int]]:
    """Tags by name, each with a size of 1…5."""
    logs = [math.log(one.count) for one in counts]
    least, most = min(logs, default=0), max(logs, default=0)
    sizes = [1 + round(4 * (log - least) / ((most - least) or 1)) for log in logs]
    return sorted(zip(counts, sizes, strict=True), key=lambda pair: pair[0].tag)


def _years(months: list[tuple[str | None, int]]) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """Years, the newest first, each with its twelve months: name, photos, and how high a bar stands for them.

    That grows with the square root, so that a month of a few photos shows beside one of thousands.
    """
    counts = {month: count for month, count in months if month is not None}
    most = max(counts.values(), default=1)
    years = sorted({month[:4] for month in counts}, reverse=True)
    names = {year: [f"{year}-{number:02}" for number in range(1, 13)] for year in years}
    return [(year, [(m, counts.get(m, 0), math.sqrt(counts.get(m, 0) / most)) for m in names[year]]) for year in years]


def _during(period: str) -> str:
    """A query for the photos of a year or a month; no date comes after the year 9999."""
    year, month = int(period[:4]), int(period[5:] or 0)
    following = year + (month in (0, 12))
    until = f" before:{following:04}" + (f"-{month % 12 + 1:02}" if month else "")
    return f"after:{period}" + (until if following < 10_000 else "")


def _beside(library: Searcher, tag: str, ids: list[int]) -> list[str]:
    """Tags that photos show together with this one."""
    _, scores = library.store.class_scores(ids)
    if not len(scores):
        return []
    mean = library.label_curves.confidence(scores.astype(np.float32)).mean(axis=0)
    order = np.argsort(-mean, kind="stable")[: BESIDE + 1]
    return [library.bundle.labels[i] for i in order if library.bundle.labels[i] != tag and mean[i] > 0.1][:BESIDE]
