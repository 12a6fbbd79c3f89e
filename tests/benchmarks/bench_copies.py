"""How well copies are told from other photos by their looks: real photos, what is done to copies, and every pair.

python -m tests.benchmarks.bench_copies FOLDER… takes every JPEG below the folders.
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from engine.library import looks, near_copies, thumbnails
from engine.library.looks import ALIKE, Looks
from tests.scenes import COPIES, OTHERS

CHANGED = 300  # photos that copies are made of


def main(folders: list[str]) -> None:
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.jp*g"))
    miniatures = np.stack([miniature(opened(path)) for path in paths])
    units = looks.units(miniatures)
    for wanted, changes in (("copies that are found", COPIES), ("others taken for copies", OTHERS)):
        for name, change in changes.items():
            some = range(0, len(paths), max(len(paths) // CHANGED, 1))
            changed = looks.units(np.stack([miniature(change(opened(paths[i]))) for i in some]))
            found = ((changed * units[some]).sum(axis=1) >= ALIKE).mean()
            print(f"{name + ', ' + wanted:60} {100 * found:6.1f} % of {len(some)}", flush=True)
    ids = np.arange(len(paths))
    started = time.perf_counter()
    keys, known = Looks.of(miniatures).keys, np.zeros(len(ids), np.bool_)
    found = near_copies.near_copies(ids, keys, lambda places: units[places], known, near_copies.NONE)
    took = time.perf_counter() - started
    pairs = len(ids) * (len(ids) - 1) // 2
    print(f"{len(found)} copies among {len(ids):,} photos, {pairs:,} pairs, in {took:.2f} s")
    for copy, first in found.tolist():
        print(f"{units[copy] @ units[first]:.4f} {paths[copy]} is a copy of {paths[first]}")


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def miniature(image: Image.Image) -> looks.Pixels:
    return thumbnails.miniature(thumbnails.make(image.convert("RGB")))


if __name__ == "__main__":
    main(sys.argv[1:])
