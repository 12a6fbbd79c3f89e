"""Measurements for Prometheus: requests and how long they took, the library, the index run that is going on."""

import time
from collections.abc import Iterator

from flask import Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from engine.errors import UnseenError
from engine.library.region_index import generation_on_disk
from webapp.jobs import Jobs
from webapp.library import Library

EXTENSION = "unseen.metrics"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def register(app: Flask, library: Library, jobs: Jobs) -> None:
    """Measure `app`."""
    registry = CollectorRegistry()
    requests = Counter("unseen_requests", "Requests answered", ("call", "method", "status"), registry=registry)
    seconds = Histogram("unseen_request_seconds", "Time to answer", ("call",), buckets=SECONDS, registry=registry)
    running = Gauge("unseen_requests_in_progress", "Requests being answered", registry=registry)
    registry.register(State(library, jobs))
    app.extensions[EXTENSION] = registry

    @app.before_request
    def begin() -> None:
        g.measured_since = time.perf_counter()
        running.inc()

    @app.after_request
    def count(response: Response) -> Response:
        call = request.endpoint or "none"
        requests.labels(call, _method(request.method), response.status_code).inc()
        if "measured_since" in g:
            seconds.labels(call).observe(time.perf_counter() - g.measured_since)
        return response

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        if g.pop("measured_since", None) is not None:
            running.dec()


class State(Collector):
    """The library and the running job, looked at when they are asked for."""

    def __init__(self, library: Library, jobs: Jobs) -> None:
        self._library = library
        self._jobs = jobs

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Each measurement; those of a library only where there is one."""
        job = self._jobs.running()
        yield GaugeMetricFamily("unseen_job_running", "Whether an index run is going on", int(job is not None))
        yield GaugeMetricFamily("unseen_job_files_done", "Files the index run has dealt with", job.done if job else 0)
        yield GaugeMetricFamily("unseen_job_files", "Files it has to deal with", (job.total or 0) if job else 0)
        try:
            searcher = self._library.searcher()
            store = searcher.store
            found = {
                "unseen_photos": ("Photos in the library", store.count()),
                "unseen_failed_files": ("Files that could not be read", store.failure_count()),
                "unseen_library_generation": ("Batches written to the library", store.generation()),
            }
        except UnseenError:
            return
        for name, (description, value) in found.items():
            yield GaugeMetricFamily(name, description, value)
        yield CounterMetricFamily("unseen_photos_scored_closely", "Photos that a scan left in doubt", searcher.closely)
        covered = generation_on_disk(store.folder)
        if covered is not None:
            yield GaugeMetricFamily("unseen_index_generation", "Batches that the region index covers", covered)


def exposition() -> Response:
    """All measurements in Prometheus's text format."""
    return Response(generate_latest(current_app.extensions[EXTENSION]), content_type=CONTENT_TYPE_LATEST)


def _method(method: str) -> str:
    """One of few, whatever clients make up."""
    return method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
