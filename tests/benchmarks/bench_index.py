"""Indexing: photos a second of the whole pipeline, of the model alone, and of the peer's model alone, in one run.

The peer is CLIP ViT-B/32's vision tower, which rclip runs, through the same ONNX Runtime with the same threads.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from engine.library.store import Store
from engine.model.bundle import open_bundle
from engine.model.encoder import RegionEncoder, random_pixels
from engine.model.onnx import export, open_session
from engine.settings import load_settings
from indexer.pipeline import bring_up_to_date
from indexer.scan import scan

PHOTOS = 256
BATCH = 8


def photos(folder: Path, size: tuple[int, int], count: int) -> None:
    """JPEG files whose content costs as much to decode as a photo's: smooth shapes under fine noise."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        noise = rng.normal(0, 6, (size[1], size[0], 1))
        pixels = np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.jpg", quality=90)


def per_second(run, photos_a_run: int, seconds: float = 4.0) -> float:
    """Photos a second, best of the runs that fit into the time."""
    run()
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        run()
        best = max(best, photos_a_run / (time.perf_counter() - started))
    return best


def clip_tower(folder: Path):
    """CLIP's ViT-B/32 vision tower with random weights; only its speed matters."""
    import timm
    import torch

    tower = timm.create_model("vit_base_patch32_clip_224", pretrained=False).eval()
    example = torch.zeros(2, 3, 224, 224)
    example[1] = 1
    export(tower, example, ["embedding"], folder / "clip.onnx")
    return open_session(folder / "clip.onnx", os.cpu_count())


def main() -> None:
    cores = os.cpu_count() or 1
    encoder = RegionEncoder.open(open_bundle("lite", load_settings().cache), cores)
    size = encoder.input_size
    pixels = random_pixels(BATCH, size)
    alone = per_second(lambda: encoder.region_vectors(pixels), BATCH)
    with tempfile.TemporaryDirectory() as folder:
        tower = clip_tower(Path(folder))
        batch = np.zeros((BATCH, 3, 224, 224), np.float32)
        peer = per_second(lambda: tower.run(None, {"pixels": batch}), BATCH)
    print(f"{cores} threads, batches of {BATCH}")
    print(f"{'model alone':42} {alone:7.1f} photos/s")
    print(f"{'peer alone, CLIP ViT-B/32 at 224':42} {peer:7.1f} photos/s   model is {alone / peer:.2f} times as fast")
    for name, shape, count in (("640×480", (640, 480), PHOTOS), ("12 megapixels", (4000, 3000), 48)):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "photos").mkdir()
            photos(Path(folder) / "photos", shape, count)
            with Store.create(Path(folder) / "library", "lite", encoder.bundle.fingerprint) as store:
                report = bring_up_to_date(store, encoder, scan([str(Path(folder) / "photos")]), jobs=cores)
        rate = report.images_per_second
        print(f"{f'whole pipeline, {name}':42} {rate:7.1f} photos/s   {100 * rate / alone:.0f} % of the model alone")


if __name__ == "__main__":
    main()
