"""Plain JSON of results and explanations: the command line prints what the page's API answers.

The shapes are the contract of docs/api.md. Paths that are not UTF-8 keep their readable part; a photo is named by its
id, never by its path.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from engine.library.records import Companion, Photo
from engine.paths import readable
from engine.search.explain import TermMap
from engine.search.results import Explanation, Hit, Results, Tag, TermInfo
from engine.search.similar import Similar

Json = dict[str, Any]


@dataclass(frozen=True)
class Urls:
    """Where the API answers; `prefix` is its root."""

    prefix: str = "/api/v1"

    def photo(self, photo_id: int, part: str = "", **arguments: object) -> str:
        """The address of a photo, or of a `part` of it."""
        asked = f"?{urlencode(arguments)}" if arguments else ""
        return f"{self.prefix}/images/{photo_id}" + (f"/{part}" if part else "") + asked

    def thumbnail(self, photo: Photo) -> str:
        """The address of a photo's thumbnail; the content is part of it, so that a browser may keep it for good."""
        return f"{self.photo(photo.id, 'thumbnail')}?v={version(photo)}"


def results_to_json(results: Results, urls: Urls | None = None, next_page: str | None = None) -> Json:
    """The object of `GET /search`."""
    urls = urls or Urls()
    asked = urlencode({"q": results.query.text}) if any(term.weight > 0 for term in results.query.terms) else None
    return {
        "query": {
            "text": results.query.text,
            "terms": [_term(term) for term in results.terms],
            "like": results.like,
        },
        "took_ms": round(results.took_ms, 2),
        "exact": results.exact,
        "total": results.total,
        "items": [_hit(hit, asked, urls) for hit in results.hits],
        "next": next_page,
    }


def explanation_to_json(explanation: Explanation) -> Json:
    """The object of `GET /images/{id}/heatmap`: scores and heat row by row from the top left."""
    grid = explanation.terms[0].grid
    terms = zip(explanation.terms, explanation.infos, explanation.term_scores, explanation.term_confidence, strict=True)
    return {
        "grid": {"rows": grid.rows, "cols": grid.cols},
        "terms": [_term_map(*term) for term in terms],
        "score": explanation.score,
        "confidence": explanation.confidence,
    }


def photo_to_json(
    photo: Photo,
    tags: Sequence[Tag],
    keywords: Sequence[str] = (),
    companions: Sequence[Companion] = (),
    urls: Urls | None = None,
) -> Json:
    """The object of `GET /images/{id}`."""
    urls = urls or Urls()
    return {
        "id": photo.id,
        "path": readable(photo.path),
        "width": photo.width,
        "height": photo.height,
        "format": photo.format,
        "taken_at": rfc3339(photo.taken_at),
        "taken_offset": photo.taken_offset,
        "taken_from": photo.taken_from,
        "camera": photo.camera,
        "lens": photo.lens,
        "latitude": photo.latitude,
        "longitude": photo.longitude,
        "rating": photo.rating,
        "keywords": list(keywords),
        "folder": readable(photo.folder),
        "companions": [{"path": readable(file.path), "kind": file.kind} for file in companions],
        "tags": [{"tag": tag.tag, "confidence": tag.confidence} for tag in tags],
        "warning": photo.warning,
        "missing_since": rfc3339(photo.missing_since),
        "added_at": rfc3339(photo.added_at),
        "thumbnail_url": urls.thumbnail(photo),
        "image_url": urls.photo(photo.id, "original"),
    }


def version(photo: Photo) -> str:
    """Stands for the photo's content."""
    return photo.content_hash.hex()[:12]


def rfc3339(moment: datetime | None) -> str | None:
    """A time as RFC 3339 in UTC, or None."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def similar_to_json(similar: Similar, urls: Urls | None = None) -> Json:
    """One of the items of `GET /images/{id}/similar`."""
    urls = urls or Urls()
    return {
        "id": similar.photo.id,
        "path": readable(similar.photo.path),
        "similarity": similar.similarity,
        "thumbnail_url": urls.thumbnail(similar.photo),
    }


def _term(info: TermInfo) -> Json:
    return {
        "term": info.term,
        "weight": info.weight,
        "zero_shot": info.zero_shot,
        "nearest_tags": info.nearest_tags,
        "did_you_mean": info.did_you_mean,
    }


def _hit(hit: Hit, asked: str | None, urls: Urls) -> Json:
    return {
        "rank": hit.rank,
        "id": hit.photo.id,
        "path": readable(hit.photo.path),
        "score": hit.score,
        "confidence": hit.confidence,
        "guess": hit.guess,
        "box": list(hit.box),
        "thumbnail_url": urls.thumbnail(hit.photo),
        "heatmap_url": f"{urls.photo(hit.photo.id, 'heatmap')}?{asked}" if asked else None,
        "taken_at": rfc3339(hit.photo.taken_at),
        "duplicates": list(hit.duplicates),
        "feedback": None if hit.mark is None else {"id": hit.mark.id, "relevant": hit.mark.relevant},
    }


def _term_map(term: TermMap, info: TermInfo, score: float, confidence: float) -> Json:
    return {
        "term": term.term,
        "weight": info.weight,
        "score": score,
        "confidence": confidence,
        "scores": term.scores.tolist(),
        "box": list(term.box),
        "heat": [[round(value, 4) for value in row] for row in term.heat.tolist()],
    }
