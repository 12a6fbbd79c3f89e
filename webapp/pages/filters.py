"""Filters are part of the query's text; this page is for those who would rather choose than type."""

from collections.abc import Mapping
from typing import Any

from flask import render_template, request

from engine.library.overview import FolderCount, Overview
from engine.paths import readable
from engine.words.query import FILTERS, filters_in, with_filter
from webapp.arguments import SearchArguments
from webapp.library import searcher

FOLDERS = 400  # offered


def choose() -> str:
    """What there is to choose from, with what is chosen."""
    arguments = SearchArguments.model_validate(request.args.to_dict())
    library = Overview(searcher().store)
    folders = library.folders()
    return render_template(
        "filters.html",
        arguments=arguments,
        chosen={name: value for name, value, _ in filters_in(arguments.q)},
        folders=[(readable(folder.path), depth, folder.photos_below) for folder, depth in tree(folders)[:FOLDERS]],
        cameras=library.cameras(),
    )


def written(given: Mapping[str, str]) -> dict[str, Any] | None:
    """The arguments of a page with its filters written into the query; None where they are already.

    A value with a quote in it stays beside the query, since there is no way to write it there.
    """
    form = "chosen" in given
    beside = {name: given[name].strip() for name in FILTERS if name in given and '"' not in given[name]}
    if not form:
        beside = {name: value for name, value in beside.items() if value}
    if not beside and not form:
        return None
    q = given.get("q", "")
    for name, value in beside.items():
        q = with_filter(q, name, value or None)
    rest = {name: value for name, value in given.items() if name not in (*beside, "chosen", "q", "cursor") and value}
    return {"q": q or None, **rest}


def without(q: str) -> str:
    """The words of a query."""
    for name in FILTERS:
        q = with_filter(q, name, None)
    return q


def tree(folders: list[FolderCount]) -> list[tuple[FolderCount, int]]:
    """Folders with how deep they lie; each comes after the one that holds it."""
    depths: dict[str, int] = {}
    for folder in folders:
        depths[folder.path] = depths[folder.parent] + 1 if folder.parent in depths else 0
    return [(folder, depths[folder.path]) for folder in folders]
