"""What the shipped bundle finds in `coco-128`, which it was never trained on, through the same door as its users.

    python -m tests.benchmarks.quality [DATA] [MODEL]

prints mean average precision over COCO's objects, whether a photo of each held-out word is among the first five, how
often the hottest region lies on what was asked for, and how far confidence can be trusted.
"""

import re
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from engine.library.region_map import pooled_scores
from engine.library.store import Store
from engine.model.bundle import open_bundle
from engine.model.encoder import RegionEncoder
from engine.search.calibration import features, fit
from engine.search.searcher import Searcher
from engine.settings import load_settings
from engine.training.datasets.everyday import UNSEEN
from indexer.pipeline import bring_up_to_date
from indexer.scan import scan
from tests.conftest import SHARED

AT_LEAST = 3  # photos of an object, for its precision to mean something
POINTED_AT = ("elephant", "giraffe", "train", "zebra")
FILLS = 0.02  # of the photo, for a thing or stuff to be pointed at by its mask
REPEATS = 10  # of fitting confidence on half of the words and photos and measuring it on the others
# Things that none of the photos shows.
ABSENT = [
    "penguin",
    "volcano",
    "piano",
    "submarine",
    "octopus",
    "fireworks",
    "castle",
    "lighthouse",
    "guitar",
    "waterfall",
    "dinosaur",
    "wedding",
    "desert",
    "cactus",
    "helicopter",
    "violin",
    "igloo",
    "saxophone",
    "pyramid",
    "whale",
    "shark",
    "parrot",
    "sunflower",
    "pumpkin",
    "telescope",
    "windmill",
    "canoe",
    "tank",
    "rocket",
    "snake",
    "spider",
    "butterfly",
    "crocodile",
    "kangaroo",
    "turtle",
    "jellyfish",
    "coral",
    "cathedral",
    "mosque",
]


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
        searcher = Searcher(store, bundle)
        measure(searcher, boxes)
        point(searcher, data / "coco-128")
        trust(searcher, boxes)


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


def point(searcher: Searcher, data: Path) -> None:
    """How often the hottest region lies on what was asked for, by the panoptic masks."""
    segments = defaultdict(lambda: defaultdict(list))
    for line in (data / "segments.tsv").read_text().splitlines():
        file, number, name, _ = line.split("\t")
        segments[file][name].append(int(number))
    photos = {Path(photo.path).stem: photo for photo in searcher.store.page(limit=1000)}
    hits, chance = [], []
    for file, names in segments.items():
        with Image.open(data / "masks" / file) as mask:
            numbers = np.asarray(mask.convert("RGB")).astype(np.int64) @ np.array([1, 256, 65536])
        for name, members in names.items():
            area = np.isin(numbers, members)
            if area.mean() < FILLS:
                continue
            word = re.sub("-(merged|other|stuff)", "", name).replace("-", " ").replace("playingfield", "playing field")
            region_map = searcher.store.region_map(photos[Path(file).stem].id)
            term = searcher.explain(f'"{word}"', region_map).terms[0]
            row, col = (
                (best + 0.5) / cells for best, cells in zip(term.best, (term.grid.rows, term.grid.cols), strict=True)
            )
            hits.append(area[int(row * area.shape[0]), int(col * area.shape[1])])
            chance.append(area.mean())
    print(f"hottest region on a thing or stuff: {100 * np.mean(hits):.0f} % of {len(hits)}")
    print(f"  a random region: {100 * np.mean(chance):.0f} %")


def trust(searcher: Searcher, boxes: dict[str, list[tuple[str, float, float, float, float]]]) -> None:
    """Calibration on words and photos that confidence was not fitted on, and false alarms for what is not there."""
    bundle, store = searcher.bundle, searcher.store
    names = sorted({name for found in boxes.values() for name, *_ in found})
    maps = store.region_maps(store.photo_ids().tolist())
    photos = store.photos(maps.ids.tolist())
    shown = [{name for name, *_ in boxes.get(Path(photos[i].path).name, ())} for i in maps.ids.tolist()]
    labels = np.array([[name in found for name in names] for found in shown])
    queries = bundle.queries(np.stack([bundle.words.vector(word) for word in (*names, *ABSENT)]))
    scores, reference = pooled_scores(maps, queries, bundle.top_k), bundle.reference(queries)

    rows = features(scores, reference)[:, : len(names)]
    rng = np.random.default_rng(0)
    p, y = [], []
    for _ in range(REPEATS):
        photo, word = rng.permutation(len(labels)), rng.permutation(len(names))
        seen = np.ix_(photo[::2], word[::2])
        weights = fit(rows[seen].reshape(-1, rows.shape[-1]), labels[seen].ravel().astype(np.float32)).weights
        rest = np.ix_(photo[1::2], word[1::2])
        p.append((1 / (1 + np.exp(-rows[rest] @ np.array(weights)))).ravel())
        y.append(labels[rest].ravel())
    p, y = np.concatenate(p), np.concatenate(y)
    bins = [(p >= low) & (p < low + 0.1) for low in np.arange(0, 1, 0.1)]
    error = sum(inside.sum() * abs(p[inside].mean() - y[inside].mean()) for inside in bins if inside.any()) / len(p)
    print(f"expected calibration error, held-out words and photos: {error:.3f}")
    for low in (0.1, 0.2, 0.5):
        sure = p >= low
        right, found = 100 * y[sure].mean(), 100 * y[sure].sum() / y.sum()
        print(f"  confidence {low} or more: right in {right:.0f} %, finds {found:.0f} %")
    absent = searcher.calibration.curves(reference).confidence(scores)[:, len(names) :]
    for cut in (bundle.spec.min_confidence, 0.1, 0.2):
        alarms = 100 * (absent >= cut).mean()
        print(f"{len(ABSENT)} words for what is not there: {alarms:.1f} % of photos at {cut} or more")


if __name__ == "__main__":
    main(*([Path(sys.argv[1])] if len(sys.argv) > 1 else []), *sys.argv[2:3])
