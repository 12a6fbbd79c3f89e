"""Indexing: photos a second of the whole pipeline, beside the model alone, full decoding and the peer's model alone.

All figures are of one run on the same cores. The peer is CLIP ViT-B/32's vision tower, which rclip runs, through the
same ONNX Runtime. All share the cores, so ratios of CPU time say what ratios of speed are on a machine
that has nothing else to do. Where the machine is faster at one time than at another, the share that the model has of
the pipeline's own CPU time says it best. A ceiling is what a pipeline would reach that did nothing but decode and run
the model.
Run a part with `python -m tests.benchmarks.bench_index speed|rescan|memory`.
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pillow_heif
from PIL import Image
from threadpoolctl import threadpool_limits

from engine.library.records import Batch, FileStamp, Metadata, NewPhoto
from engine.library.region_map import RegionMap
from engine.library.store import Store
from engine.model.bundle import open_bundle
from engine.model.encoder import RegionEncoder, random_pixels
from engine.model.onnx import export, open_session
from engine.photo import open_picture, squash
from engine.settings import load_settings
from indexer.pipeline import bring_up_to_date
from indexer.scan import scan

pillow_heif.register_heif_opener()
CORES = os.cpu_count() or 1


def photo(size: tuple[int, int], seed: int, format_: str = "JPEG") -> bytes:
    """A file whose content costs as much to decode as a photo's: smooth shapes under fine noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = rng.normal(0, 6, (size[1], size[0], 1))
    buffer = BytesIO()
    pixels = np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)
    options = {"enc_params": {"preset": "ultrafast"}} if format_ == "HEIF" else {}  # or it takes minutes and gigabytes
    Image.fromarray(pixels).save(buffer, format_, quality=90, **options)
    return buffer.getvalue()


def photos(folder: Path, size: tuple[int, int], count: int, format_: str = "JPEG", different: int = 16) -> Path:
    """`count` files of `different` pictures; what follows the end of a picture makes each a content of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [photo(size, seed, format_) for seed in range(min(different, count))]
    for number in range(count):
        after = number.to_bytes(8, "big")
        if format_ == "HEIF":
            after = b"\0\0\0\x10free" + after  # a box that says nothing
        (folder / f"{number:06}.{'heic' if format_ == 'HEIF' else 'jpg'}").write_bytes(made[number % len(made)] + after)
    return folder


class Speed(NamedTuple):
    """Photos a second, and milliseconds of CPU time for one."""

    rate: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.rate:7.1f} photos/s, {self.cpu:6.1f} ms of CPU time a photo"


def side_by_side(work, threads: int = CORES, seconds: float = 4.0, photos: int = 1) -> Speed:
    """How fast `threads` threads do `work`, which is done for so many photos at once."""
    work()
    counts = [0] * threads
    before, started = sum(os.times()[:4]), time.perf_counter()

    def go(thread: int) -> None:
        while time.perf_counter() - started < seconds:
            work()
            counts[thread] += photos

    running = [threading.Thread(target=go, args=(thread,)) for thread in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    done = sum(counts)
    return Speed(done / (time.perf_counter() - started), 1000 * (sum(os.times()[:4]) - before) / done)


def clip_tower(folder: Path, threads: int):
    """CLIP's ViT-B/32 vision tower with random weights; only its speed matters."""
    import timm
    import torch

    tower = timm.create_model("vit_base_patch32_clip_224", pretrained=False).eval()
    example = torch.zeros(2, 3, 224, 224)
    example[1] = 1
    export(tower, example, ["embedding"], folder / "clip.onnx")
    return open_session(folder / "clip.onnx", threads)


class Timed:
    """A session of one thread that notes how much CPU time it takes."""

    def __init__(self, session) -> None:
        self.session = session
        self.seconds: list[float] = []

    def run(self, *asked):
        before = time.thread_time()
        try:
            return self.session.run(*asked)
        finally:
            self.seconds.append(time.thread_time() - before)


def whole_pipeline(encoder, folder: Path) -> Speed:
    """From files to a library with its index."""
    with (
        tempfile.TemporaryDirectory() as library,
        Store.create(Path(library), "lite", encoder.bundle.fingerprint) as store,
    ):
        before = sum(os.times()[:4])
        report = bring_up_to_date(store, encoder, scan([folder]), jobs=CORES)
        return Speed(report.images_per_second, 1000 * (sum(os.times()[:4]) - before) / report.added)


def milliseconds(work, times: int = 100) -> float:
    """Milliseconds of CPU time that one `work` takes."""
    work()
    before = time.process_time()
    for _ in range(times):
        work()
    return 1000 * (time.process_time() - before) / times


def decoded_in_full(encoder, folder: Path) -> Speed:
    """A pipeline that decodes every pixel, then does what ours does."""
    paths = sorted(folder.iterdir())
    waiting = iter(paths * 100)
    lock = threading.Lock()

    def one() -> None:
        with lock:
            path = next(waiting)
        image = Image.open(path).convert("RGB")
        thumbnail = image.resize((512, 512 * image.height // image.width), Image.Resampling.BILINEAR)
        thumbnail.save(BytesIO(), "JPEG", quality=80)
        encoder.encode(squash(image, encoder.input_size)[None])

    return side_by_side(one)


@threadpool_limits.wrap(limits=1, user_api="blas")  # for all alike, as the pipeline has it
def speed() -> None:
    """Photos a second."""
    bundle = open_bundle("lite", load_settings().cache)
    encoder = RegionEncoder.open(bundle, 1)
    together = RegionEncoder.open(bundle, CORES)
    encoder.encode(random_pixels(1, encoder.input_size))  # which also prepares the words of the labels
    eight, one = random_pixels(8, encoder.input_size), random_pixels(1, encoder.input_size)
    in_batches = side_by_side(lambda: together.region_vectors(eight), threads=1, photos=8)
    with tempfile.TemporaryDirectory() as folder:
        tower = clip_tower(Path(folder), 1)
        picture = np.zeros((1, 3, 224, 224), np.float32)
        peer = side_by_side(lambda: tower.run(None, {"pixels": picture}))
        tower = clip_tower(Path(folder), CORES)
        pictures = np.zeros((8, 3, 224, 224), np.float32)
        peer = max(peer, side_by_side(lambda: tower.run(None, {"pixels": pictures}), threads=1, photos=8))
    print(f"{CORES} cores")
    print(f"{'model alone, batches of 8 over all cores':48} {in_batches}")
    print(f"{'peer alone, CLIP ViT-B/32 at 224, the faster way':48} {peer}")
    for name, bar, shape, count, format_ in (
        ("640×480 JPEG", "≥ 90 % of the model alone", (640, 480), 768, "JPEG"),
        ("12-megapixel JPEG", "≥ 3 × full decode", (4000, 3000), 160, "JPEG"),
        ("12-megapixel HEIC", "none", (4000, 3000), 16, "HEIF"),
    ):
        with tempfile.TemporaryDirectory() as place:
            folder = photos(Path(place), shape, count, format_, 1 if format_ == "HEIF" else 4)
            alone = side_by_side(lambda: encoder.region_vectors(one))
            timed = Timed(encoder.session)
            ours, full = whole_pipeline(replace(encoder, session=timed), folder), decoded_in_full(encoder, folder)
            path = min(folder.iterdir())
            data = path.read_bytes()
            decoding = milliseconds(lambda data=data, path=path: open_picture(data, str(path), encoder.input_size), 10)
        print(f"\n{name}; bar: {bar}")
        print(f"  {'model alone, one photo a core':46} {alone}")
        print(f"  {'whole pipeline':46} {ours}")
        print(f"  {'pipeline that decodes in full':46} {full}")
        by_speed = [ours.rate / other.rate for other in (alone, full, peer)]
        by_cpu = [other.cpu / ours.cpu for other in (alone, full, peer)]
        for how, (model, decode, clip) in (("speed", by_speed), ("CPU time", by_cpu)):
            print(
                f"  by {how + ':':10} {100 * model:.0f} % of the model, {decode:.1f} × full decode, {clip:.1f} × peer"
            )
        print(f"  the model's share of that CPU time: {100 * 1000 * np.mean(timed.seconds) / ours.cpu:.0f} %")
        least = alone.cpu + decoding
        print(
            f"  ceiling, decoding ({decoding:.1f} ms) and the model: {100 * alone.cpu / least:.0f} % of the model, "
            f"{full.cpu / least:.1f} × full decode"
        )


def rescan(count: int = 100_000) -> None:
    """Seconds to find that nothing has changed."""
    bundle = open_bundle("lite", load_settings().cache)
    with tempfile.TemporaryDirectory() as place:
        tree, grid = Path(place) / "photos", bundle.grid
        empty = RegionMap(grid, np.zeros((len(grid), 4), np.int8))
        with Store.create(Path(place) / "library", "lite", bundle.fingerprint) as store:
            for folder in range(0, count, 1000):
                (tree / f"{folder:06}").mkdir(parents=True)
                batch = Batch()
                for number in range(folder, folder + 1000):
                    path = tree / f"{folder:06}" / f"{number}.jpg"
                    path.touch()
                    stamp = FileStamp(0, path.stat().st_mtime_ns)
                    scores = np.zeros(1, np.float16)
                    content = number.to_bytes(16, "big")
                    batch.added.append(NewPhoto(str(path), stamp, content, 1, 1, "JPEG", Metadata(), empty, scores))
                store.apply(batch)
            encoder = RegionEncoder(bundle, None)
            bring_up_to_date(store, encoder, scan([tree]))
            started = time.perf_counter()
            report = bring_up_to_date(store, encoder, scan([tree]))
        assert (report.unchanged, report.added) == (count, 0)
        print(f"rescan of {count:,} unchanged files: {time.perf_counter() - started:.1f} s; bar: ≤ 20 s")


def memory() -> None:
    """Peak memory of an index run over few photos and over many."""
    for count in (1000, 20_000):
        command = [sys.executable, "-m", "tests.benchmarks.bench_index", "memory-of", str(count)]
        taken = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"peak memory over {count:,} photos: {taken / 1e6:,.0f} MB; bar: ≤ 1,500 MB, and flat")


class _Quick:
    """The encoder for the first photos, and then something with the same output that takes no time."""

    def __init__(self, encoder: RegionEncoder) -> None:
        self.bundle, self.input_size, self._encoder, self._left = encoder.bundle, encoder.input_size, encoder, 200
        self._made: list = []

    def encode(self, pixels):
        self._left -= 1
        if self._left > 0 or not self._made:
            self._made = self._encoder.encode(pixels)
        return self._made


def memory_of(count: int) -> None:
    """Index so many photos, and print the peak of memory in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        made = photos(Path(folder) / "photos", (320, 240), count)
        encoder = _Quick(RegionEncoder.open(open_bundle("lite", load_settings().cache), 1))
        whole_pipeline(encoder, made)
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    speed()
    rescan()
    memory()


if __name__ == "__main__":
    part, *arguments = sys.argv[1:] or ["all"]
    parts = {"all": main, "speed": speed, "rescan": rescan, "memory": memory, "memory-of": memory_of}
    parts[part](*map(int, arguments))
