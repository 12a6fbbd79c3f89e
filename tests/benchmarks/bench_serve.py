"""Serving: 50 clients that ask without a pause for search, heatmap and thumbnail, while an index run goes on.

PHOTOS in the environment says how many photos the library has (100,000), SECONDS how long it lasts (60).
"""

import asyncio
import http.client
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
from pathlib import Path

import numpy as np
from PIL import Image

from engine.library import indexes, thumbnails
from engine.model.bundle import open_bundle
from engine.settings import load_settings
from tests.benchmarks import bench_index, synthetic

CLIENTS = 50
SHOWN = 200  # photos that have a thumbnail
NEW = 6000  # photos for the index run to find
WORDS = ("dog", "beach", "lighthouse", "zebra", "red car", "mountain lake", "pizza", "child -dog", "sunset", "train")


def library(folder: Path, photos: int) -> None:
    """A synthetic library with an index, and thumbnails of its first photos."""
    bundle = open_bundle("lite", load_settings().cache)
    with synthetic.make(folder, bundle, photos) as store:
        indexes.refresh(store)
        picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (384, 512, 3), dtype=np.uint8))
        thumbnail = thumbnails.make(picture)
        for photo in store.photos(range(1, SHOWN + 1)).values():
            thumbnails.write(folder, photo.content_hash, thumbnail)


def new_photos(folder: Path, count: int) -> None:
    """Photos that are equal but for what follows their end, so that each is decoded and looked at."""
    bench_index.photos(folder, (640, 480), 1)
    (first,) = folder.iterdir()
    data = first.read_bytes()
    for number in range(count):
        (folder / f"new-{number:05d}.jpg").write_bytes(data + number.to_bytes(4, "big"))


async def client(number: int, port: int, until: float, taken: dict[str, list[float]], failed: list[str]) -> None:
    """Ask, wait for the answer, and ask again, over one connection."""
    rng = random.Random(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for turn in itertools.count(number):
        if time.perf_counter() > until:
            break
        photo = rng.randrange(1, SHOWN + 1)
        word = rng.choice(WORDS).replace(" ", "+")
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
        taken[kind].append(time.perf_counter() - started)
        if not head.startswith(b"HTTP/1.1 200"):
            failed.append(f"{path}: {head.split(b' ', 2)[1].decode()}")
    writer.close()


async def load(port: int, seconds: float, pid: int) -> tuple[dict[str, list[float]], list[str], list[int]]:
    """All clients at once; returns seconds by kind, failures, and the server's memory over time in MB."""
    taken: dict[str, list[float]] = defaultdict(list)
    failed: list[str] = []
    until = time.perf_counter() + seconds
    asking = [asyncio.create_task(client(n, port, until, taken, failed)) for n in range(CLIENTS)]
    memory = []
    while time.perf_counter() < until:
        await asyncio.sleep(min(5.0, seconds / 6))
        memory.append(resident(pid))
    for done in await asyncio.gather(*asking, return_exceptions=True):
        if isinstance(done, BaseException):
            failed.append(repr(done))
    return taken, failed, memory


def resident(pid: int) -> int:
    """Memory of a process that is its own, in MB: without the pages of files that it maps."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) >> 10


def call(port: int, method: str, path: str, body: object = None) -> dict:
    """One call of the API."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, f"/api/v1/{path}", body and json.dumps(body), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def main() -> None:
    """Print the table."""
    photos, seconds = int(os.environ.get("PHOTOS", "100000")), float(os.environ.get("SECONDS", "60"))
    cache = load_settings().cache
    with tempfile.TemporaryDirectory() as scratch:
        kept, folder, new = cache / "bench" / f"library-{photos}", Path(scratch) / "library", Path(scratch) / "new"
        library(kept, photos)
        shutil.copytree(kept, folder)
        new.mkdir()
        new_photos(new, NEW)
        environment = {**os.environ, "UNSEEN_LIBRARY": str(folder), "UNSEEN_ROOTS": str(new), "UNSEEN_JOBS": "1"}
        command = [sys.executable, "-c", "from webapp.commands import serve; serve()", "--port", "0"]
        server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            port = int(server.stderr.readline().split(":")[2].split()[0])
            for word in WORDS:
                call(port, "GET", f"search?q={word.replace(' ', '+')}")
            print(f"{CLIENTS} clients, {photos:,} photos, {seconds:.0f} s, {os.cpu_count()} cores\n")
            for title, indexing in (("without an index run", False), ("with an index run", True)):
                job = call(port, "POST", "index", {"folder": str(new)}) if indexing else None
                taken, failed, memory = asyncio.run(load(port, seconds if indexing else seconds / 4, server.pid))
                show(title, taken, failed, memory)
                if job:
                    job = call(port, "GET", f"jobs/{job['id']}")
                    print(f"  index run: {job['state']}, {job['done']} photos meanwhile, {job['failed']} failed")
                    call(port, "DELETE", f"jobs/{job['id']}")
        finally:
            server.terminate()
            server.wait(90)


def show(title: str, taken: dict[str, list[float]], failed: list[str], memory: list[int]) -> None:
    """Print what was measured."""
    total = sum(map(len, taken.values()))
    print(f"{title}: {total:,} requests, {len(failed)} failed{': ' + failed[0] if failed else ''}")
    print(f"  {'':10}{'requests':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for kind, times in {**taken, "all": list(itertools.chain(*taken.values()))}.items():
        p50, p95, p99 = np.percentile(times, (50, 95, 99)) * 1000
        print(f"  {kind:10}{len(times):10,}{p50:9.0f}{p95:9.0f}{p99:9.0f}{max(times) * 1000:9.0f}")
    print(f"  memory of the server's own: {' '.join(f'{one}' for one in memory)} MB")


if __name__ == "__main__":
    main()
