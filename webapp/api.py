"""The JSON API under /api/v1: each call parses, asks the engine, returns."""

import io
from collections.abc import Sequence

from flask import Response, jsonify, request

from engine.library.listing import Place
from engine.library.records import Photo
from engine.photo import open_picture, squash
from engine.search.explain import overlay
from engine.search.results import Explanation, Results
from engine.search.serialise import (
    Json,
    explanation_to_json,
    photo_to_json,
    results_to_json,
    similar_to_json,
)
from engine.search.similar import Similar, search_like, similar_photos, similar_regions
from webapp import arguments, pictures, schemas
from webapp.answers import Answer, answers, blueprint, content, following, urls, whole
from webapp.errors import NotLookedAt
from webapp.library import current, photo_of, searcher
from webapp.limits import costly

TAGS = 10  # of a photo
OVERLAY_EDGE = 512  # pixels of the longest side of a heatmap's picture

PICTURE = {**content("image/jpeg", statuses=(404, 410)), 304: None}
ORIGINAL = {
    **content("image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", statuses=(404, 410, 416)),
    206: None,
    304: None,
}

api = blueprint("photos", "Finding photos, and looking at them")


@api.get("/search", summary="Find photos by words", responses=answers(schemas.ResultsOut, 400))
def search(query: arguments.SearchArguments) -> Answer:
    """Photos at or above the cut-off, a page at a time."""
    results = searcher().search(
        query.q,
        top=query.top,
        offset=query.offset,
        cursor=query.place,
        min_confidence=query.min_confidence,
        sort=query.sort,
        filters=query.filters(),
        exact=query.exact,
    )
    return results_to_json(results, urls(), following(results.next))


@api.post("/search", summary="Find photos by an image", responses=answers(schemas.ResultsOut, 400, 413, 415))
def search_by_image(form: arguments.ImageArguments) -> Answer:
    """Photos that show what an image shows, and what the words say where there are any; the most alike come first.

    `next` takes the same form.
    """
    results = like(form, form.top)
    return results_to_json(results, urls(), following(results.next))


@api.get("/images", summary="List photos", responses=answers(schemas.PhotosOut, 400))
def images(query: arguments.ListArguments) -> Answer:
    """All photos of the library, or those of a folder, a camera, a time."""
    store, filters = searcher().store, query.filters()
    photos = store.page(
        filters=filters,
        newest_first=query.sort == "date",
        limit=query.top + 1 if query.top else -1,  # one more tells whether there is a next page
        offset=query.offset,
        after=Place.decode(query.place) if query.place else None,
    )
    shown = photos[: query.top or None]
    following_place = Place.after(shown[-1]).encode() if len(shown) < len(photos) else None
    return {"items": _photos(shown), "total": store.count(filters), "next": following(following_place)}


@api.get("/images/<int:id>", summary="One photo", responses=answers(schemas.PhotoOut, 404))
def image(path: arguments.PhotoId) -> Answer:
    """A photo with its best tags."""
    return _photos([photo_of(path.id)])[0]


@api.get("/images/<int:id>/thumbnail", summary="A photo, small", responses=PICTURE)
def thumbnail(path: arguments.PhotoId, query: arguments.ThumbnailArguments) -> Answer:
    """The photo upright and scaled down; conditional requests are answered with 304."""
    return pictures.thumbnail(photo_of(path.id), query.size, query.v)


@api.get("/images/<int:id>/original", summary="A photo, whole", responses=ORIGINAL)
def original(path: arguments.PhotoId) -> Answer:
    """The file itself where a browser shows it upright, else an upright JPEG of it."""
    return pictures.original(photo_of(path.id))


@api.get(
    "/images/<int:id>/heatmap", summary="Where the words are", responses=answers(schemas.HeatmapOut, 400, 404, 409)
)
def heatmap(path: arguments.PhotoId, query: arguments.Words) -> Answer:
    """Region scores and a box for each term; with `Accept: image/png` the picture of heatmap.png."""
    if request.accept_mimetypes.best_match(["application/json", "image/png"]) == "image/png":
        response = _overlay(path.id, query.q)
    else:
        response = jsonify(explanation_to_json(explain(path.id, query.q)))
    response.vary.add("Accept")
    return response


@api.get(
    "/images/<int:id>/heatmap.png",
    summary="Where the words are, drawn",
    responses=content("image/png", statuses=(400, 404, 409)),
)
def heatmap_picture(path: arguments.PhotoId, query: arguments.Words) -> Answer:
    """A transparent picture to lay over the photo."""
    return _overlay(path.id, query.q)


@api.get("/images/<int:id>/similar", summary="Photos like this one", responses=answers(schemas.SimilarsOut, 400, 404))
def similar(path: arguments.PhotoId, query: arguments.SimilarArguments) -> Answer:
    """Photos that show the same, or that hold a region like one of this photo."""
    found = alike(photo_of(path.id).id, arguments.cell_of(query.region), query.top)
    return whole(similar_to_json(one, urls()) for one in found)


@api.get("/suggest", summary="Complete a word", responses=answers(schemas.SuggestionsOut))
def suggest(query: arguments.Prefix) -> Answer:
    """Tags and words that begin like what has been typed."""
    return whole(searcher().suggest(query.q, query.top))


def like(asked: arguments.ImageArguments, top: int) -> Results:
    """Photos like an image that was sent; raises UnreadablePhoto, UnknownWord, QueryError or TooMany."""
    costly()
    found, encoder = searcher(), current().encoder()
    picture = open_picture(asked.image.read(), "the image", square=encoder.input_size)
    ((_, class_scores),) = encoder.encode(squash(picture.image, encoder.input_size)[None])
    return search_like(
        found,
        class_scores,
        asked.q,
        top=top,
        offset=asked.offset,
        cursor=asked.place,
        min_confidence=asked.min_confidence,
        sort=asked.sort,
        filters=asked.filters(),
    )


def explain(photo_id: int, words: str) -> Explanation:
    """Where in a photo the words are; raises NotInLibrary, NotLookedAt, EmptyQuery, UnknownWord or QueryError."""
    region_map = searcher().store.region_map(photo_id)
    if region_map is None:
        raise NotLookedAt(photo_of(photo_id))
    return searcher().explain(words, region_map)


def alike(photo_id: int, cell: tuple[int, int] | None, top: int) -> list[Similar]:
    """Photos like this one, or like its region in (row, column); raises QueryError for one outside the grid."""
    if cell is None:
        return similar_photos(searcher(), photo_id, top)
    return similar_regions(searcher(), photo_id, *cell, top)


def _photos(photos: Sequence[Photo]) -> list[Json]:
    found, ids = searcher(), [photo.id for photo in photos]
    scores = dict(zip(*found.store.class_scores(ids), strict=True))
    keywords, companions = found.store.keywords_of(ids), found.store.companions_of(ids)
    floor = found.bundle.spec.min_confidence
    return [
        photo_to_json(
            photo,
            found.tags(scores[photo.id], TAGS, floor) if photo.id in scores else [],
            keywords.get(photo.id, ()),
            companions.get(photo.id, ()),
            urls(),
        )
        for photo in photos
    ]


def _overlay(photo_id: int, words: str) -> Response:
    explanation = explain(photo_id, words)
    photo = photo_of(photo_id)
    scale = OVERLAY_EDGE / max(photo.width, photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    out = io.BytesIO()
    pairs = zip(explanation.terms, explanation.infos, strict=True)
    wanted = [term for term, info in pairs if info.weight > 0]
    overlay(wanted, size).save(out, "PNG", compress_level=1)
    return Response(out.getvalue(), mimetype="image/png")
