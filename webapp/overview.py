"""Calls about the library as a whole: its state, and what there is to choose from."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from engine.library.overview import Bounds, Overview
from engine.paths import basename, readable
from engine.search.serialise import Json, rfc3339
from webapp.answers import Answer, answers, blueprint, next_page, problems, urls, whole
from webapp.arguments import Left, Page, optional
from webapp.indexing import JobOut, job_to_json, jobs
from webapp.library import current, searcher
from webapp.metrics import exposition
from webapp.schemas import Listed

TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}

overview = blueprint("library", "The library as a whole")


Rectangle = Annotated[str, Field(pattern=r"^(-?\d{1,3}(\.\d{1,9})?(,-?\d{1,3}(\.\d{1,9})?){3})?$")]


class TagCountOut(BaseModel):
    """A tag of the library."""

    tag: str
    count: int


class TagCountsOut(Listed):
    """Tags of the library, most frequent first."""

    items: list[TagCountOut]


class FolderOut(BaseModel):
    """A folder with its photos."""

    path: str
    name: str
    parent: str | None = Field(description="path of the folder above; null for the topmost")
    count: int = Field(description="photos right in it")
    count_below: int = Field(description="photos in it or below")


class FoldersOut(Listed):
    """Folders by path."""

    items: list[FolderOut]


class CameraOut(BaseModel):
    """A camera with its photos."""

    camera: str
    count: int


class CamerasOut(Listed):
    """Cameras, the most used first."""

    items: list[CameraOut]


class MonthOut(BaseModel):
    """A month with its photos."""

    month: str | None = Field(description="such as 2024-07, in UTC; null for photos without a date")
    count: int


class MonthsOut(Listed):
    """Months, the newest first."""

    items: list[MonthOut]


class PlacesArguments(Page):
    """Which part of the map."""

    within: Rectangle | Left = optional("south,west,north,east in degrees; the whole world where not given")

    def bounds(self) -> Bounds:
        """The same for the engine."""
        return Bounds() if self.within is None else Bounds(*map(float, self.within.split(",")))


class PlaceOut(BaseModel):
    """Where a photo was taken."""

    id: int
    latitude: float = Field(description="degrees north")
    longitude: float = Field(description="degrees east")
    taken_at: datetime | None
    thumbnail_url: str


class PlacesOut(Listed):
    """Photos that say where they were taken, the newest first."""

    items: list[PlaceOut]


class FailureOut(BaseModel):
    """A file that could not be read."""

    path: str
    reason: str
    failed_at: datetime | None


class FailuresOut(Listed):
    """Files that could not be read, by path."""

    items: list[FailureOut]


class ModelOut(BaseModel):
    """The bundle that the library belongs to."""

    name: str
    fingerprint: str


class IndexOut(BaseModel):
    """The region index."""

    generation: int | None = Field(description="batches that it covers; null where there is none")
    up_to_date: bool = Field(description="whether that is all of them; what it lacks is searched all the same")


class DiskOut(BaseModel):
    """Bytes on disk."""

    database: int
    index: int
    thumbnails: int


class StatusOut(BaseModel):
    """The library's state, as `unseen status --json` prints it, and the index run that is going on."""

    library: str
    photos: int
    missing: int = Field(description="photos that are kept although their file is gone")
    waiting: int = Field(
        description="photos that the library's model has not looked at; an index run does if their files are there"
    )
    failed: int
    model: ModelOut
    schema_version: str | None
    generation: int = Field(
        description="batches of photos and failures written; marks, folders and tokens do not count"
    )
    index: IndexOut
    disk: DiskOut
    created_at: datetime
    updated_at: datetime
    roots: list[str]
    job: JobOut | None = Field(description="the index run that is going on; null where there is none")


class HealthOut(BaseModel):
    """Liveness."""

    status: Literal["ok"]


@overview.get("/tags", summary="Tags of the library", responses=answers(TagCountsOut))
def tags() -> Answer:
    """Tags with the number of photos that show them, most frequent first."""
    return whole({"tag": one.tag, "count": one.count} for one in current().tag_counts.of(searcher()))


@overview.get("/folders", summary="Folders of the library", responses=answers(FoldersOut))
def folders() -> Answer:
    """Folders that hold photos, and those between them and the folder that was indexed; parents come first."""
    return whole(
        {
            "path": readable(folder.path),
            "name": basename(readable(folder.path)),
            "parent": None if folder.parent is None else readable(folder.parent),
            "count": folder.photos,
            "count_below": folder.photos_below,
        }
        for folder in Overview(searcher().store).folders()
    )


@overview.get("/cameras", summary="Cameras of the library", responses=answers(CamerasOut))
def cameras() -> Answer:
    """Cameras with their number of photos, the most used first."""
    return whole({"camera": camera, "count": count} for camera, count in Overview(searcher().store).cameras())


@overview.get("/timeline", summary="Photos by month", responses=answers(MonthsOut))
def timeline() -> Answer:
    """Months with their number of photos, the newest first; last, with null, photos without a date."""
    return whole({"month": month, "count": count} for month, count in Overview(searcher().store).months())


@overview.get("/places", summary="Photos on the map", responses=answers(PlacesOut))
def places(query: PlacesArguments) -> Answer:
    """Photos that say where they were taken, the newest first."""
    found, total = Overview(searcher().store).places(query.bounds(), query.top or -1, query.cursor)
    items = [
        {
            "id": place.photo_id,
            "latitude": place.latitude,
            "longitude": place.longitude,
            "taken_at": rfc3339(place.taken_at),
            "thumbnail_url": urls().photo(place.photo_id, "thumbnail", v=place.content_hash.hex()[:12]),
        }
        for place in found
    ]
    return {"items": items, "total": total, "next": next_page(query.top, query.cursor, total)}


@overview.get("/failures", summary="Files that could not be read", responses=answers(FailuresOut))
def failures(query: Page) -> Answer:
    """Each with the reason; `POST /index` with `retry_failed` tries them again."""
    store = searcher().store
    total = store.failure_count()
    items = [
        {
            "path": readable(failure.path),
            "reason": readable(failure.reason),
            "failed_at": rfc3339(failure.failed_at),
        }
        for failure in store.failures_page(query.top or -1, query.cursor)
    ]
    return {"items": items, "total": total, "next": next_page(query.top, query.cursor, total)}


@overview.get("/status", summary="The library's state", responses=answers(StatusOut))
def status() -> Answer:
    """Counts, model, disk use, age, and the index run that is going on."""
    return status_json()


@overview.get("/healthz", summary="Liveness", responses={200: HealthOut})
def healthz() -> Answer:
    """Whether the server answers; it says nothing of the library."""
    return health()


@overview.get("/metrics", summary="Measurements", responses={200: TEXT, **problems()})
def metrics() -> Answer:
    """Requests, times, the library and the running job, in Prometheus's text format."""
    return exposition()


def health() -> Json:
    """The object of `GET /healthz`."""
    return {"status": "ok"}


def status_json() -> Json:
    """The object of `GET /status`."""
    state, running = current().status(), jobs().running()
    readable_paths = {"library": readable(str(state.folder)), "roots": [readable(root) for root in state.roots]}
    return {**state.to_json(), **readable_paths, "job": None if running is None else job_to_json(running)}
