"""What the shipped bundle finds in `coco-128`, which it was never trained on, through the same door as its users.

    python -m tests.benchmarks.quality [DATA] [MODEL]

prints mean average precision over COCO's objects, whether a photo of each held-out word is among the first five, and
how often the hottest region, and the middle of the box, lie in a labelled box.
"""

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from engine.library.store import Store
from engine.model.bundle import open_bundle
from engine.model.encoder import RegionEncoder
from engine.search.searcher import Searcher
from engine.settings import load_settings
from engine.training.datasets.everyday import UNSEEN
from indexer.pipeline import bring_up_to_date
from indexer.scan import scan
from tests.conftest import SHARED

AT_LEAST = 3  # photos of an object, for its precision to mean something
POINTED_AT = ("elephant", "giraffe", "train", "zebra")


def boxes_of(data: Path) -> dict[str, list[tuple[str, float, float, float, float]]]:
    """Object, left, top, right, bottom, in fractions of the photo, by file."""
    boxes = defaultdict(list)
    for line in (data / "coco-128" / "objects.tsv").read_text().splitlines():
        file, name, *numbers = line.split("\t")
        x, y, w, h = map(float, numbers)
        boxes[file].append((name, x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    return boxes


def main(data: Path = SHARED, model: str = "lite") -> None:
    settings = load_settings()
    bundle = open_bundle(model, settings.cache)
    boxes = boxes_of(data)
    photos = scan([str(data / "coco-128" / "images")])
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.create(Path(folder), bundle.name, bundle.fingerprint) as store,
    ):
        bring_up_to_date(store, RegionEncoder.open(bundle), photos, jobs=2)
        measure(Searcher(store, bundle), boxes)


def measure(searcher: Searcher, boxes: dict[str, list[tuple[str, float, float, float, float]]]) -> None:
    names = sorted({name for found in boxes.values() for name, *_ in found})
    precisions = {}
    for name in names:
        relevant = {file for file, found in boxes.items() if any(n == name for n, *_ in found)}
        ranking = [Path(hit.photo.path).name for hit in searcher.search(name, top=0).hits]
        hits = np.array([file in relevant for file in ranking])
        if name in UNSEEN:
            first = int(np.flatnonzero(hits)[0]) + 1
            print(f"{name:12} first photo at rank {first}: {'among' if first <= 5 else 'NOT among'} the first five")
        if len(relevant) >= AT_LEAST:
            precisions[name] = (np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean()
    mean = 100 * np.mean(list(precisions.values()))
    print(f"mAP over {len(precisions)} objects with {AT_LEAST} photos or more: {mean:.1f}")

    hottest, middle = [], []
    for file, found in boxes.items():
        photo = next((p for p in searcher.store.page(limit=1000) if Path(p.path).name == file), None)
        for name in {n for n, *_ in found} & set(POINTED_AT) if photo is not None else ():
            term = searcher.explain(name, searcher.store.region_map(photo.id)).terms[0]
            x, y, w, h = term.box
            row, col = term.best
            points = {
                "hottest": ((col + 0.5) / term.grid.cols, (row + 0.5) / term.grid.rows),
                "middle": (x + w / 2, y + h / 2),
            }
            for kind, (px, py) in points.items():
                inside = any(n == name and l <= px <= r and t <= py <= b for n, l, t, r, b in found)  # noqa: E741
                (hottest if kind == "hottest" else middle).append(inside)
    print(f"{', '.join(POINTED_AT)}, {len(hottest)} photos:")
    print(f"hottest region in a labelled box: {100 * np.mean(hottest):.0f} %")
    print(f"middle of the box in a labelled box: {100 * np.mean(middle):.0f} %")


if __name__ == "__main__":
    main(*([Path(sys.argv[1])] if len(sys.argv) > 1 else []), *sys.argv[2:3])
