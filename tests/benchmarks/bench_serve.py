"""Serving: 50 clients that ask for searches, heatmaps and thumbnails by turns, while an index run goes on.

Once as people do, who look at each answer for a second on average (exponentially distributed) before they ask for
more; once as programs do, which ask again at once and so keep the server as busy as it can be. A third of the calls
are searches for 50 hits, a third heatmaps, a third thumbnails. Words are the labels of the bundle at random, so few
searches come again. The clients run on the same cores as the server and the index run.

PHOTOS in the environment says how many photos the library has (100,000), SECONDS how long each part lasts (60). Before
the first one the server is put under load for a third of that, so that its memory is seen to be flat, not to fill up.
"""

import asyncio
import http.client
import io
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from engine.library import indexes, thumbnails
from engine.model.bundle import Bundle, open_bundle
from engine.settings import load_settings
from tests.benchmarks import bench_index, synthetic
from tests.benchmarks.bench_search import memory_speed

CLIENTS = 50
BAR = 500  # ms, of the 99th percentile
PAUSE = 1.0  # seconds that a person looks at an answer, on average
SHOWN = 200  # photos that have a thumbnail
NEW = 20_000  # photos for the index run to find
SAMPLE = 5.0  # seconds after which memory is looked at again
FLAT = 0.1  # share by which it may end above where it began


@dataclass
class Load:
    """What clients met: seconds by kind of call, failures, and the server's own memory over time in MB."""

    taken: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def library(folder: Path, bundle: Bundle, photos: int) -> Path:
    """A synthetic library with an index, and thumbnails of its first photos, in a folder named for its bundle."""
    folder = folder / f"{photos}-{bundle.fingerprint[:8]}"
    with synthetic.make(folder, bundle, photos) as store:
        indexes.refresh(store)
        thumbnail = thumbnails.make(Image.open(io.BytesIO(bench_index.photo((640, 480), 0))))
        for photo in store.photos(range(1, SHOWN + 1)).values():
            thumbnails.write(folder, photo.content_hash, thumbnail)
    return folder


async def client(number: int, port: int, words: Sequence[str], until: float, pause: float, load: Load) -> None:
    """Ask, wait for the answer, look at it, and ask again, over one connection."""
    rng = random.Random(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for turn in itertools.count(number):
        if pause:
            await asyncio.sleep(rng.expovariate(1 / pause))
        if time.perf_counter() > until:
            break
        photo, word = rng.randrange(1, SHOWN + 1), quote(f'"{rng.choice(words)}"')
        kind, path = (
            ("search", f"search?q={word}&top=50"),
            ("thumbnail", f"images/{photo}/thumbnail"),
            ("heatmap", f"images/{photo}/heatmap?q={word}"),
        )[turn % 3]
        started = time.perf_counter()
        writer.write(f"GET /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        load.taken[kind].append(time.perf_counter() - started)
        if not head.startswith(b"HTTP/1.1 200"):
            load.failed.append(f"{path}: {head.split(b' ', 2)[1].decode()}")
    writer.close()


async def put_under_load(port: int, words: Sequence[str], seconds: float, pause: float, pid: int) -> Load:
    """All clients at once."""
    load, until = Load(), time.perf_counter() + seconds
    asking = [asyncio.create_task(client(n, port, words, until, pause, load)) for n in range(CLIENTS)]
    while time.perf_counter() < until:
        load.memory.append(resident(pid))
        await asyncio.sleep(min(SAMPLE, seconds / 6))
    for done in await asyncio.gather(*asking, return_exceptions=True):
        if isinstance(done, BaseException):
            load.failed.append(repr(done))
    load.memory.append(resident(pid))
    return load


def resident(pid: int) -> int:
    """Memory of a process that is its own, in MB: without the pages of files that it maps."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) >> 10


def cpu_seconds(pid: int) -> float:
    """Time that a process has had of all cores."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def call(port: int, method: str, path: str, body: object = None) -> dict:
    """One call of the API; raises RuntimeError where it is refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, f"/api/v1/{path}", body and json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    if response.status >= 400:
        raise RuntimeError(f"{method} {path}: {answer}")
    return answer


def begun(port: int, job: dict) -> dict:
    """An index run as soon as it has looked at a photo; it loads the model first."""
    while not job["done"] and job["ended_at"] is None:
        time.sleep(0.2)
        job = call(port, "GET", f"jobs/{job['id']}")
    return job


def main() -> None:
    """Print the tables."""
    photos, seconds = int(os.environ.get("PHOTOS", "100000")), float(os.environ.get("SECONDS", "60"))
    cache = load_settings().cache
    bundle = open_bundle("lite", cache)
    print(f"{os.cpu_count()} cores, memory read at {memory_speed():.0f} GB/s; {CLIENTS} clients, {photos:,} photos")
    with tempfile.TemporaryDirectory() as scratch:
        folder, new = Path(scratch) / "library", Path(scratch) / "new"
        shutil.copytree(library(cache / "bench", bundle, photos), folder)
        bench_index.photos(new, (640, 480), NEW)
        environment = {**os.environ, "UNSEEN_LIBRARY": str(folder), "UNSEEN_ROOTS": str(new)}
        command = [sys.executable, "-c", "from webapp.commands import serve; serve()", "--port", "0"]
        server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            port = int(server.stderr.readline().split(":")[2].split()[0])
            call(port, "GET", f"search?q={quote(bundle.labels[0])}")
            asyncio.run(put_under_load(port, bundle.labels, seconds / 3, 0.0, server.pid))
            for title, pause, indexing in (
                ("People, who pause for a second", PAUSE, True),
                ("Programs, which do not pause", 0.0, True),
                ("Programs, without the index run", 0.0, False),
            ):
                job = begun(port, call(port, "POST", "index", {"folder": str(new)})) if indexing else None
                done = job["done"] if job else 0
                before, started = cpu_seconds(server.pid), time.perf_counter()
                lasting = seconds if indexing else seconds / 4
                load = asyncio.run(put_under_load(port, bundle.labels, lasting, pause, server.pid))
                took, used = time.perf_counter() - started, cpu_seconds(server.pid) - before
                show(title, load, took, used)
                if job:
                    job = call(port, "GET", f"jobs/{job['id']}")
                    print(
                        f"  index run: {job['state']}, {job['done'] - done:,} photos meanwhile, {job['failed']} failed"
                    )
                    call(port, "DELETE", f"jobs/{job['id']}")
                    while call(port, "GET", f"jobs/{job['id']}")["ended_at"] is None:
                        time.sleep(0.2)
        finally:
            server.terminate()
            server.wait(90)


def show(title: str, load: Load, took: float, used: float) -> None:
    """Print what was measured in so many seconds, of which the server `used` some on all cores together."""
    times = {**load.taken, "all": list(itertools.chain(*load.taken.values()))}
    count = len(times["all"])
    print(f"\n{title}: {count:,} requests in {took:.0f} s, {count / took:.0f}/s, {len(load.failed)} failed", end="")
    print(f": {load.failed[0]}" if load.failed else "")
    print(f"  {'':10}{'requests':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for kind, seconds in times.items():
        p50, p95, p99 = np.percentile(seconds, (50, 95, 99)) * 1000
        bar = f"   bar {BAR}: {'kept' if p99 <= BAR else 'missed'}" if kind == "all" else ""
        print(f"  {kind:10}{len(seconds):10,}{p50:9.0f}{p95:9.0f}{p99:9.0f}{max(seconds) * 1000:9.0f}{bar}")
    print(f"  the server took {1000 * used / count:.1f} ms of a core for a request, and")
    grown = np.mean(load.memory[-3:]) / np.mean(load.memory[:3]) - 1
    print(f"  {' '.join(f'{one}' for one in load.memory)} MB of memory of its own, every {SAMPLE:.0f} s:", end="")
    print(f" {grown:+.0%} at the end   bar {FLAT:+.0%}: {'kept' if grown <= FLAT else 'missed'}")


if __name__ == "__main__":
    main()
