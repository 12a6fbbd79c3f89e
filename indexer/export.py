"""`unseen export`: the tags of all photos, for other programs."""

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from engine.errors import UnseenError
from engine.library.records import Photo
from engine.options import Share, library_option, model_option
from engine.paths import readable
from engine.photo import UnreadablePhoto
from engine.photo.sidecar import sidecar_path, write_tags
from engine.printing import print_json
from engine.search.results import Tag
from engine.search.searcher import Searcher, open_searcher
from engine.search.serialise import rfc3339
from engine.settings import load_settings
from indexer.wording import shown

AT_ONCE = 500  # photos


@click.command()
@click.option(
    "--format", "kind", type=click.Choice(["xmp", "csv", "jsonl"]), required=True, help="What is written; see above."
)
@click.option(
    "--min-confidence",
    type=Share(),
    default=0.5,
    show_default=True,
    metavar="X",
    help="Leave out tags that are less certain.",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="PATH", help="File for csv and jsonl."
)
@library_option
@model_option
def export(kind: str, min_confidence: float, output: Path | None, library: Path | None, model: str | None) -> None:
    """Write out the tags that were found in all photos of the library.

    xmp writes them as keywords into PHOTO.jpg.xmp beside each photo and keeps everything else there; csv has a line for
    each tag of a photo, jsonl one for each photo.

    \b
    Example: unseen export --format csv --min-confidence 0.7 --output tags.csv
    """
    if kind == "xmp" and output is not None:
        raise click.UsageError("xmp is written beside the photos; leave out --output")
    settings = load_settings(library=library, model=model)
    searcher = open_searcher(settings.library, settings.chosen_model, settings.cache)
    if kind == "xmp":
        _write_sidecars(searcher, min_confidence)
        return
    with _opened(output) as file:
        if kind == "csv":
            writer = csv.writer(file)
            writer.writerow(["path", "tag", "confidence"])
            for photo, tags, _ in _tagged(searcher, min_confidence):
                writer.writerows([readable(photo.path), tag.tag, f"{tag.confidence:.4f}"] for tag in tags)
        else:
            for photo, tags, keywords in _tagged(searcher, min_confidence):
                print_json(_line(photo, tags, keywords), file)


def _tagged(searcher: Searcher, min_confidence: float) -> Iterator[tuple[Photo, list[Tag], list[str]]]:
    """Each photo with its tags, best first, and the keywords that people gave it."""
    store = searcher.store
    ids = store.photo_ids().tolist()
    for start in range(0, len(ids), AT_ONCE):
        part = ids[start : start + AT_ONCE]
        photos, keywords = store.photos(part), store.keywords_of(part)
        for photo_id, scores in zip(*store.class_scores(part), strict=True):
            photo = photos.get(int(photo_id))
            if photo is not None:
                yield photo, searcher.tags(scores, 0, min_confidence), keywords.get(photo.id, [])


def _line(photo: Photo, tags: list[Tag], keywords: list[str]) -> dict[str, object]:
    return {
        "path": readable(photo.path),
        "tags": [{"tag": tag.tag, "confidence": round(tag.confidence, 4)} for tag in tags],
        "keywords": keywords,
        "taken_at": rfc3339(photo.taken_at),
        "camera": photo.camera,
        "lens": photo.lens,
        "latitude": photo.latitude,
        "longitude": photo.longitude,
        "rating": photo.rating,
    }


def _write_sidecars(searcher: Searcher, min_confidence: float) -> None:
    """Bring all sidecars up to date; raises UnseenError at the end where some could not be written."""
    written = failed = 0
    for photo, tags, _ in _tagged(searcher, min_confidence):
        if photo.missing_since is not None:
            continue
        try:
            written += write_tags(photo.path, [tag.tag for tag in tags])
        except (OSError, UnreadablePhoto) as error:
            failed += 1
            reason = error.reason if isinstance(error, UnreadablePhoto) else (error.strerror or str(error)).lower()
            click.echo(f"Cannot write {shown(sidecar_path(photo.path))}: {shown(reason)}", err=True)
    click.echo(f"{written:,} sidecars written.")
    if failed:
        raise UnseenError(f"{failed:,} sidecars could not be written", "They are named above, with the reason")


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """A file, or standard output."""
    if output is None:
        yield sys.stdout
        return
    with output.open("w", encoding="utf-8", newline="") as file:
        yield file
