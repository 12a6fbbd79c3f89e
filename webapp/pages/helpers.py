"""What every template may call."""

import re
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, request, url_for
from flask.sansio.blueprints import BlueprintSetupState

from engine.errors import UnknownWord, UnseenError
from engine.library.records import Photo
from engine.paths import basename, readable
from engine.search.serialise import rfc3339, version
from engine.words.query import FILTERS
from webapp import texts
from webapp.answers import urls
from webapp.arguments import SearchArguments
from webapp.indexing import jobs
from webapp.pages.grid import Heading, Shown

KEPT = ("q", "sort", "min_confidence", *FILTERS)


def register(pages: Blueprint) -> None:
    """Give the templates their filters and functions."""
    for filter in (aspect, name, basename, percent, caption, readable, rfc3339, version, quoted, zip):
        pages.add_app_template_filter(filter)
    for word in (texts.day, texts.minute, texts.month, texts.duration):
        pages.add_app_template_filter(word)
    pages.app_context_processor(_functions)
    pages.record_once(_without_blank_lines)


def _without_blank_lines(state: BlueprintSetupState) -> None:
    state.app.jinja_env.trim_blocks = state.app.jinja_env.lstrip_blocks = True


def _functions() -> dict[str, Any]:
    return {
        "t": texts.text,
        "script_texts": texts.for_scripts,
        "urls": urls(),
        "photo_link": photo_link,
        "kept": kept,
        "filter_names": FILTERS,
        "instead": instead,
        "is_heading": lambda item: isinstance(item, Heading),
        "indexing": jobs().running() is not None,
    }


def aspect(photo: Photo) -> str:
    """The class of a photo's aspect, in steps of 5 %, so that its place is kept before it is loaded."""
    return f"a{min(max(round(20 * photo.width / photo.height), 8), 60) * 5}"


def name(photo: Photo) -> str:
    """The file's name."""
    return basename(readable(photo.path))


def percent(share: float) -> str:
    """A share of 0…1 in whole per cent."""
    return texts.text("percent", count=round(100 * share))


def caption(photo: Photo) -> str:
    """What stands under a photo: its name, and the day it was taken."""
    return f"{name(photo)} · {texts.day(photo.taken_at)}" if photo.taken_at else name(photo)


def quoted(tag: str) -> str:
    """A tag as a query for it."""
    return f'"{tag}"' if " " in tag or "-" in tag else tag


def kept(arguments: SearchArguments) -> dict[str, Any]:
    """What of a query's arguments a link carries on: those that were given."""
    return {name: request.values[name] for name in KEPT if name in arguments.model_fields_set and request.values[name]}


def photo_link(shown: Shown, arguments: SearchArguments | None) -> str:
    """Where a photo of a grid leads: it knows the query that it was found by."""
    return url_for("pages.photo", photo_id=shown.photo.id, **(kept(arguments) if arguments else {}), at=shown.at)


def instead(text: str, typed: str, suggestions: Sequence[str]) -> list[tuple[str, str]]:
    """Each suggested spelling, and the query with it in the place of what was typed."""
    found = re.search(rf"(?<!\w){re.escape(typed)}(?!\w)", text, re.IGNORECASE)
    before, after = (text[: found.start()], text[found.end() :]) if found else ("", "")
    return [(word, before + word + after) for word in suggestions]


def corrections(text: str, error: UnseenError | None) -> list[tuple[str, str]]:
    """What may have been meant where a word is unknown."""
    return instead(text, error.word, error.suggestions) if isinstance(error, UnknownWord) else []
