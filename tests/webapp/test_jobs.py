import json
import sys
import threading
import time

import pytest

from engine.settings import Settings
from tests.conftest import paint
from webapp.errors import JobRunning, NoJob, Stopping
from webapp.jobs import Jobs

API = "/api/v1"
# A run that says what it is told to, and ends when interrupted: {"say": […], "wait": bool, "status": 0}
RUN = """
import json, os, signal, sys
signal.signal(signal.SIGINT, lambda *_: (print('{"found": 1, "added": 1}', flush=True), os._exit(130)))
told = json.loads(os.environ["RUN"])
for line in told.get("say", []):
    print(line, flush=True)
print(told.get("complain", ""), file=sys.stderr, flush=True)
if told.get("wait"):
    signal.pause()
sys.exit(told.get("status", 0))
"""


@pytest.fixture
def jobs(tmp_path):
    running = Jobs(Settings(library=tmp_path), [sys.executable, "-c", RUN])
    yield running
    running.close()


def told(monkeypatch, **what):
    monkeypatch.setenv("RUN", json.dumps(what))


def ended(jobs, job):
    while not job.over:
        job = jobs.after(job.id, job.version, 20)
    return job


def test_a_run_reports_its_progress_and_what_it_did(jobs, monkeypatch):
    report = {"found": 3, "added": 2, "failed": 1}
    told(monkeypatch, say=['{"event": "progress", "done": 2, "total": 3, "failed": 1}', "noise", json.dumps(report)])
    job = ended(jobs, jobs.start(["/photos"]))
    assert (job.state, job.done, job.total, job.failed, job.report) == ("done", 2, 3, 1, report)


def test_a_run_that_fails_says_why(jobs, monkeypatch):
    told(monkeypatch, complain="unseen: error: There are no photos in /photos. Name a folder", status=1)
    job = ended(jobs, jobs.start(["/photos"]))
    assert (job.state, job.error) == ("failed", "There are no photos in /photos. Name a folder")


def test_a_run_that_dies_without_a_word_has_failed_too(jobs, monkeypatch):
    told(monkeypatch, status=9)
    assert "status 9" in ended(jobs, jobs.start(["/photos"])).error


def test_there_is_one_job_at_a_time(jobs, monkeypatch):
    told(monkeypatch, wait=True)
    first = jobs.start(["/photos"])
    with pytest.raises(JobRunning) as caught:
        jobs.start(["/photos"])
    assert caught.value.job_id == first.id
    jobs.cancel(first.id)
    ended(jobs, first)
    told(monkeypatch)
    assert ended(jobs, jobs.start(["/photos"])).id == first.id + 1


def test_a_number_is_not_given_again_after_the_server_has_started_anew(jobs, monkeypatch):
    told(monkeypatch)
    now = time.time()
    assert ended(jobs, jobs.start(["/photos"])).id > now - 60
    monkeypatch.setattr(time, "time", lambda: now + 10)
    later = Jobs(jobs._settings, jobs.command)
    assert ended(later, later.start(["/photos"])).id > jobs.all()[0].id


def test_a_cancelled_run_ends_as_on_the_command_line_and_keeps_what_is_done(jobs, monkeypatch):
    told(monkeypatch, wait=True, say=['{"event": "progress", "done": 1, "total": 9}'])
    job = jobs.start(["/photos"])
    while not job.done:
        job = jobs.after(job.id, job.version, 20)
    assert jobs.cancel(job.id).state == "stopping"
    job = ended(jobs, job)
    assert (job.state, job.report) == ("cancelled", {"found": 1, "added": 1})
    assert jobs.cancel(job.id) == job


def test_closing_ends_the_running_job_and_takes_no_more(jobs, monkeypatch):
    told(monkeypatch, wait=True, say=['{"event": "progress", "done": 1}'])
    job = jobs.start(["/photos"])
    while not job.done:
        job = jobs.after(job.id, job.version, 20)
    jobs.close()
    assert ended(jobs, job).state == "cancelled"
    with pytest.raises(Stopping):
        jobs.start(["/photos"])


# A run that takes its time for the batch in hand, unless it is interrupted again
LONG_BATCH = """
import os, signal, threading
def note(*_):
    signal.signal(signal.SIGINT, lambda *_: os._exit(9))
    print('{"event": "progress", "done": 2}', flush=True)
signal.signal(signal.SIGINT, note)
print('{"event": "progress", "done": 1}', flush=True)
while signal.getsignal(signal.SIGINT) is note: threading.Event().wait(0.01)
threading.Event().wait(0.5)
print('{"found": 1, "added": 1}', flush=True)
os._exit(130)
"""


def test_a_server_that_stops_tells_a_run_once_so_that_the_batch_in_hand_is_kept(jobs):
    jobs.command = [sys.executable, "-c", LONG_BATCH]
    job = jobs.start(["/photos"])
    for done in (1, 2):
        while job.done < done:
            job = jobs.after(job.id, job.version, 20)
        jobs.stop()
    jobs.close()
    job = ended(jobs, job)
    assert (job.state, job.report) == ("cancelled", {"found": 1, "added": 1})


def test_a_job_that_never_was_is_not_found(jobs):
    with pytest.raises(NoJob):
        jobs.get(1)


# Over the API, with the command itself


def start(app, **body):
    return app.test_client().post(f"{API}/index", json=body)


def finish(app, job):
    """The job once its stream of events has ended."""
    app.test_client().get(job["events_url"]).get_data()
    return app.test_client().get(job["url"]).json


def test_a_new_photo_is_found_after_an_index_run_from_the_page(own, colour_bundle, tmp_path):
    from engine.library.store import Store

    folder = tmp_path / "photos"
    paint(folder / "sunset.png", "red", size=(80, 60))
    with Store.create(own.extensions["unseen"].folder, "colours", colour_bundle.fingerprint) as store:
        store.remember_root(str(folder))
    response = start(own, folder=str(folder))
    assert response.status_code == 202
    assert response.headers["Location"] == response.json["url"]
    job = finish(own, response.json)
    assert (job["state"], job["report"]["added"]) == ("done", 1), job
    found = own.test_client().get(f"{API}/search?q=red").json["items"]
    assert any(hit["path"] == str(folder / "sunset.png") for hit in found)
    assert own.test_client().get(f"{API}/status").json["job"] is None
    assert [one["id"] for one in own.test_client().get(f"{API}/jobs").json["items"]] == [job["id"]]


def test_without_a_folder_all_that_were_indexed_before_are_looked_through(own, painted):
    job = finish(own, start(own).json)
    assert job["folders"] == [str(painted[0].parent)]
    assert job["report"]["unchanged"] == len(painted)


@pytest.mark.parametrize(
    "escape", ["/etc", "/", "{photos}/../..", "{photos}x", "relative", "", "{photos}/\0", "{photos}/out", "~"]
)
def test_a_folder_outside_is_refused_whether_or_not_it_exists(own, painted, escape):
    photos = painted[0].parent
    link = photos / "out"
    link.symlink_to("/etc")
    try:
        response = start(own, folder=escape.replace("{photos}", str(photos)))
    finally:
        link.unlink()
    assert response.status_code == 403
    assert response.json["type"].endswith("outside-roots")


def test_a_folder_inside_that_does_not_exist_is_said_so(own, painted):
    response = start(own, folder=str(painted[0].parent / "gone"))
    assert (response.status_code, response.json["type"].rsplit(":", 1)[1]) == (422, "no-folder")


def test_a_folder_of_the_settings_may_be_indexed_before_there_is_a_library(tmp_path, colour_bundle):
    from tests.webapp.conftest import COLOUR_INDEX
    from webapp import create_app, indexing

    paint(tmp_path / "photos" / "a.png", "red")
    paint(tmp_path / "other" / "b.png", "red")
    app = create_app(
        Settings(
            library=tmp_path / "library",
            model=str(colour_bundle.folder),
            cache=colour_bundle.cache,
            roots=(tmp_path / "photos",),
        )
    )
    app.extensions[indexing.EXTENSION].command = COLOUR_INDEX
    assert start(app, folder=str(tmp_path / "other")).status_code == 403
    assert finish(app, start(app).json)["report"]["added"] == 1


def test_a_second_run_is_refused_and_names_the_first(own, monkeypatch):
    own.extensions["unseen.jobs"].command = [sys.executable, "-c", RUN]
    told(monkeypatch, wait=True, say=['{"event": "progress", "done": 1}'])
    job = start(own).json
    refused = start(own)
    assert (refused.status_code, refused.json["job"]) == (409, job["id"])
    assert own.test_client().get(f"{API}/status").json["job"]["id"] == job["id"]
    jobs = own.extensions["unseen.jobs"]
    while not jobs.get(job["id"]).done:
        jobs.after(job["id"], jobs.get(job["id"]).version, 20)
    assert own.test_client().delete(job["url"]).json["state"] == "stopping"
    assert finish(own, job)["state"] == "cancelled"


def test_streams_are_bounded_and_given_back(own, monkeypatch):
    own.extensions["unseen.jobs"].command = [sys.executable, "-c", RUN]
    told(monkeypatch, wait=True)
    job = start(own).json
    streams = [own.test_client().get(job["events_url"], buffered=False) for _ in range(4)]
    refused = own.test_client().get(job["events_url"])
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    for stream in streams:
        stream.close()
    stream = own.test_client().get(job["events_url"], buffered=False)
    assert stream.status_code == 200
    ender = threading.Timer(0, own.extensions["unseen.jobs"].close)
    ender.start()
    assert "event: end" in stream.get_data(as_text=True)
    ender.join()
