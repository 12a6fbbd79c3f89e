"""Indexing: photos a second of the whole pipeline, beside the model alone, full decoding and the peer's model alone.

All figures are of one run on the same cores. The peer is CLIP ViT-B/32's vision tower, which rclip runs, through the
same ONNX Runtime. Since the model and all else share the cores, the model's part of the CPU time of a photo is the most
that a pipeline can reach of the model alone; it hardly depends on what else the machine does. Run a part with
`python -m tests.benchmarks.bench_index speed|rescan|memory`.
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from engine.library.records import Batch, FileStamp, Metadata, NewPhoto
from engine.library.region_map import RegionMap
from engine.library.store import Store
from engine.model.bundle import open_bundle
from engine.model.encoder import RegionEncoder, random_pixels
from engine.model.onnx import export, open_session
from engine.photo import squash
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


def side_by_side(work, threads: int = CORES, seconds: float = 4.0) -> float:
    """How often a second `threads` threads do `work`."""
    work()
    counts = [0] * threads
    started = time.perf_counter()

    def go(thread: int) -> None:
        while time.perf_counter() - started < seconds:
            work()
            counts[thread] += 1

    running = [threading.Thread(target=go, args=(thread,)) for thread in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def clip_tower(folder: Path, threads: int):
    """CLIP's ViT-B/32 vision tower with random weights; only its speed matters."""
    import timm
    import torch

    tower = timm.create_model("vit_base_patch32_clip_224", pretrained=False).eval()
    example = torch.zeros(2, 3, 224, 224)
    example[1] = 1
    export(tower, example, ["embedding"], folder / "clip.onnx")
    return open_session(folder / "clip.onnx", threads)


def whole_pipeline(encoder, folder: Path) -> tuple[float, float]:
    """Photos a second from files to a library with its index, and milliseconds of CPU time a photo."""
    with (
        tempfile.TemporaryDirectory() as library,
        Store.create(Path(library), "lite", encoder.bundle.fingerprint) as store,
    ):
        before = sum(os.times()[:4])
        report = bring_up_to_date(store, encoder, scan([folder]), jobs=CORES)
        return report.images_per_second, 1000 * (sum(os.times()[:4]) - before) / report.added


def milliseconds(work, times: int = 100) -> float:
    """Milliseconds of CPU time that one `work` takes."""
    work()
    before = time.process_time()
    for _ in range(times):
        work()
    return 1000 * (time.process_time() - before) / times


def decoded_in_full(encoder, folder: Path) -> float:
    """Photos a second of a pipeline that decodes every pixel, then does what ours does."""
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


def speed() -> None:
    """Photos a second."""
    bundle = open_bundle("lite", load_settings().cache)
    encoder = RegionEncoder.open(bundle, 1)
    together = RegionEncoder.open(bundle, CORES)
    encoder.encode(random_pixels(1, encoder.input_size))  # which also prepares the words of the labels
    eight, one = random_pixels(8, encoder.input_size), random_pixels(1, encoder.input_size)
    in_batches = 8 * side_by_side(lambda: together.region_vectors(eight), threads=1)
    alone = side_by_side(lambda: encoder.region_vectors(one))
    looking = milliseconds(lambda: encoder.region_vectors(one))
    with tempfile.TemporaryDirectory() as folder:
        tower = clip_tower(Path(folder), 1)
        picture = np.zeros((1, 3, 224, 224), np.float32)
        peer = side_by_side(lambda: tower.run(None, {"pixels": picture}))
        tower = clip_tower(Path(folder), CORES)
        pictures = np.zeros((8, 3, 224, 224), np.float32)
        peer = max(peer, 8 * side_by_side(lambda: tower.run(None, {"pixels": pictures}), threads=1))
    print(f"{CORES} cores")
    print(f"{'model alone, batches of 8 over all cores':46} {in_batches:7.1f} photos/s")
    print(f"{'model alone, one photo a core':46} {alone:7.1f} photos/s, {looking:.1f} ms of CPU time a photo")
    print(f"{'peer alone, CLIP ViT-B/32 at 224, the faster way':46} {peer:7.1f} photos/s")
    for name, bar, shape, count, format_ in (
        ("640×480 JPEG", "≥ 90 % of the model alone", (640, 480), 512, "JPEG"),
        ("12-megapixel JPEG", "≥ 3 × full decode", (4000, 3000), 160, "JPEG"),
        ("12-megapixel HEIC", "none", (4000, 3000), 16, "HEIF"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            different = 1 if format_ == "HEIF" else 4
            rate, cpu = whole_pipeline(encoder, photos(Path(folder), shape, count, format_, different))
            full = decoded_in_full(encoder, Path(folder)) if format_ == "JPEG" else None
        against = f"{100 * rate / in_batches:4.0f} % of the model in batches, {100 * rate / alone:.0f} % one a core"
        against += f", {rate / peer:.1f} × peer" + (f", {rate / full:.1f} × full decode ({full:.1f})" if full else "")
        print(f"{'whole pipeline, ' + name:46} {rate:7.1f} photos/s {against}; bar: {bar}")
        print(f"{'':46} {cpu:7.1f} ms of CPU time a photo: at most {100 * looking / cpu:.0f} % of the model one a core")


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
