"""Measures of retrieval and of heatmaps, taken through the same door as users search by."""

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.library.region_map import pooled_scores
from engine.library.store import Store
from engine.model.bundle import Bundle
from engine.model.encoder import RegionEncoder
from engine.search.calibration import features, fit
from engine.search.searcher import Searcher
from engine.search.similar import similar_photos, similar_regions
from engine.training.datasets.everyday import UNTELLING
from engine.training.datasets.panoptic import spoken
from engine.words.vectors import STOP_WORDS
from indexer.pipeline import bring_up_to_date
from indexer.scan import scan

Boxes = dict[str, list[tuple[str, float, float, float, float]]]
AT_LEAST = 3  # photos of an object, for its precision to mean something
FILLS = 0.02  # of the photo, for a thing or stuff to be pointed at by its mask
LARGE = 0.04  # of the photo, for an object to fill the region in its middle
NEAREST = 5  # photos most like another one that are looked at
REPEATS = 10  # of fitting confidence on half of the words and photos and measuring it on the others
BINS = 10


@contextmanager
def searching(bundle: Bundle, folder: Path) -> Iterator[Searcher]:
    """A searcher over the photos in `folder`, indexed for it."""
    with (
        tempfile.TemporaryDirectory() as library,
        Store.create(Path(library), bundle.name, bundle.fingerprint) as store,
    ):
        bring_up_to_date(store, RegionEncoder.open(bundle), scan([str(folder)]), jobs=2)
        yield Searcher(store, bundle)


def boxes_of(data: Path) -> Boxes:
    """Object, left, top, right, bottom, in fractions of the photo, by file of `coco-128`."""
    boxes = defaultdict(list)
    for line in (data / "coco-128" / "objects.tsv").read_text().splitlines():
        file, name, *numbers = line.split("\t")
        x, y, w, h = map(float, numbers)
        boxes[file].append((name, x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    return boxes


def words_of_captions(data: Path) -> dict[str, set[str]]:
    """The words of all captions of a photo, by file of `flickr-captions`."""
    words = defaultdict(set)
    for line in (data / "flickr-captions" / "captions.tsv").read_text().splitlines():
        file, caption = line.split("\t", 1)
        words[file] |= set(re.findall(r"[a-z]+", caption.lower()))
    return words


def telling(words: Mapping[str, set[str]], at_least: int, searcher: Searcher) -> list[str]:
    """The words of at least so many photos that name something."""
    count = Counter(word for found in words.values() for word in found)
    dull = STOP_WORDS | UNTELLING
    known = searcher.bundle.words.knows
    return sorted(w for w, n in count.items() if n >= at_least and len(w) > 2 and w not in dull and known(w))


def ranking(searcher: Searcher, word: str) -> list[str]:
    """Names of all files, best first."""
    return [Path(hit.photo.path).name for hit in searcher.search(word, top=0).hits]


def precision(order: Sequence[str], relevant: set[str]) -> float:
    """Average precision of a ranking."""
    hits = np.array([file in relevant for file in order])
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def object_precisions(searcher: Searcher, boxes: Boxes) -> dict[str, float]:
    """Average precision for each object with AT_LEAST photos."""
    shown = {
        name: {file for file, found in boxes.items() if any(n == name for n, *_ in found)} for name in names(boxes)
    }
    return {name: precision(ranking(searcher, name), files) for name, files in shown.items() if len(files) >= AT_LEAST}


def names(boxes: Boxes) -> list[str]:
    """The objects, sorted."""
    return sorted({name for found in boxes.values() for name, *_ in found})


def first_ranks(searcher: Searcher, boxes: Boxes, words: Sequence[str]) -> dict[str, int]:
    """At which rank the first photo of each word comes."""
    ranks = {}
    for word in words:
        hits = [any(n == word for n, *_ in boxes.get(file, ())) for file in ranking(searcher, word)]
        ranks[word] = hits.index(True) + 1
    return ranks


def pointing_at_boxes(searcher: Searcher, boxes: Boxes, words: Sequence[str]) -> list[bool]:
    """Whether the hottest region lies in a box of the word, for every photo that has one."""
    photos = {Path(photo.path).name: photo for photo in searcher.store.page(limit=1000)}
    inside = []
    for file, found in boxes.items():
        for word in {name for name, *_ in found} & set(words) if file in photos else ():
            x, y = hottest(searcher, photos[file].id, word)
            inside.append(any(n == word and l <= x <= r and t <= y <= b for n, l, t, r, b in found))  # noqa: E741
    return inside


def boxes_by_photo(searcher: Searcher, boxes: Boxes) -> dict[int, list[tuple[str, float, float, float, float]]]:
    """The boxes of each photo of the library."""
    return {photo.id: boxes.get(Path(photo.path).name, []) for photo in searcher.store.page(limit=1000)}


def shared_by_similar(searcher: Searcher, boxes: Boxes) -> tuple[float, float]:
    """How many of the NEAREST photos most like a photo show an object that it shows, and how many of all do."""
    shown = {i: {name for name, *_ in found} for i, found in boxes_by_photo(searcher, boxes).items()}
    like = [
        bool(shown[i] & shown[one.photo.id]) for i in shown if shown[i] for one in similar_photos(searcher, i, NEAREST)
    ]
    chance = [bool(shown[i] & shown[other]) for i in shown if shown[i] for other in shown if other != i]
    return float(np.mean(like)), float(np.mean(chance))


def shown_by_similar(searcher: Searcher, boxes: Boxes) -> tuple[float, float]:
    """How many of the NEAREST photos with a region like the middle of an object show that object, and of all photos.

    The objects are those whose box fills LARGE of a photo.
    """
    found_in = boxes_by_photo(searcher, boxes)
    shown = {i: {name for name, *_ in found} for i, found in found_in.items()}
    grid = searcher.bundle.grid
    like, chance = [], []
    for i, objects in found_in.items():
        for name, left, top, right, bottom in objects:
            if (right - left) * (bottom - top) >= LARGE:
                row, col = int((top + bottom) / 2 * grid.rows), int((left + right) / 2 * grid.cols)
                similar = similar_regions(searcher, i, min(row, grid.rows - 1), min(col, grid.cols - 1), NEAREST)
                like += [name in shown[one.photo.id] for one in similar]
                chance += [name in shown[other] for other in shown if other != i]
    return float(np.mean(like)), float(np.mean(chance))


def hottest(searcher: Searcher, photo_id: int, word: str) -> tuple[float, float]:
    """The middle of the hottest region, in fractions of the photo from the left and the top."""
    term = searcher.explain(f'"{word}"', searcher.store.region_map(photo_id)).terms[0]
    row, col = term.best
    return (col + 0.5) / term.grid.cols, (row + 0.5) / term.grid.rows


@dataclass(frozen=True)
class Pointed:
    """Whether the hottest region was on a thing or stuff, and what share of the photo that fills."""

    name: str
    hit: bool
    share: float


def pointing_at_masks(searcher: Searcher, data: Path, files: set[str] | None = None) -> list[Pointed]:
    """For every thing and stuff that fills FILLS or more of a photo, of all or of the masks in `files`."""
    segments = defaultdict(lambda: defaultdict(list))
    for line in (data / "coco-128" / "segments.tsv").read_text().splitlines():
        file, number, name, _ = line.split("\t")
        if files is None or file in files:
            segments[file][spoken(name)].append(int(number))
    photos = {Path(photo.path).stem: photo for photo in searcher.store.page(limit=1000)}
    pointed = []
    for file, named in segments.items():
        with Image.open(data / "coco-128" / "masks" / file) as mask:
            numbers = np.asarray(mask.convert("RGB")).astype(np.int64) @ np.array([1, 256, 65536])
        for name, members in named.items():
            area = np.isin(numbers, members)
            if area.mean() >= FILLS:
                x, y = hottest(searcher, photos[Path(file).stem].id, name)
                hit = bool(area[int(y * area.shape[0]), int(x * area.shape[1])])
                pointed.append(Pointed(name, hit, float(area.mean())))
    return pointed


@dataclass(frozen=True)
class Trust:
    """Confidence (N,) and truth (N,) of pairs that it was not fitted on, and confidence (M,) for what is not there."""

    confidence: NDArray[np.float64]
    shown: NDArray[np.bool_]
    absent: NDArray[np.float64]

    def bins(self) -> list[tuple[float, float, int]]:
        """Mean confidence, share that is right, and number of pairs, in BINS equal steps of confidence."""
        place = np.minimum((self.confidence * BINS).astype(int), BINS - 1)
        inside = [place == i for i in range(BINS)]
        return [
            (float(self.confidence[i].mean()), float(self.shown[i].mean()), int(i.sum())) for i in inside if i.any()
        ]

    @property
    def error(self) -> float:
        """Expected calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""
        return sum(count * abs(said - right) for said, right, count in self.bins()) / len(self.shown)


def trust(searcher: Searcher, boxes: Boxes, absent: Sequence[str]) -> Trust:
    """Confidence fitted on half of the words and photos and judged on the others, REPEATS times; and, as the bundle
    has it, for words that no photo shows."""
    bundle, store = searcher.bundle, searcher.store
    words = names(boxes)
    maps = store.region_maps(store.photo_ids().tolist())
    photos = store.photos(maps.ids.tolist())
    found = [{name for name, *_ in boxes.get(Path(photos[i].path).name, ())} for i in maps.ids.tolist()]
    labels = np.array([[word in shown for word in words] for shown in found])
    queries = bundle.queries(np.stack([bundle.words.vector(word) for word in (*words, *absent)]))
    scores, reference = pooled_scores(maps, queries, bundle.top_k), bundle.reference(queries)
    rows = features(scores, reference)[:, : len(words)]
    rng = np.random.default_rng(0)
    p, y = [], []
    for _ in range(REPEATS):
        photo, word = rng.permutation(len(labels)), rng.permutation(len(words))
        seen, rest = np.ix_(photo[::2], word[::2]), np.ix_(photo[1::2], word[1::2])
        weights = fit(rows[seen].reshape(-1, rows.shape[-1]), labels[seen].ravel().astype(np.float32)).weights
        p.append((1 / (1 + np.exp(-rows[rest] @ np.array(weights)))).ravel())
        y.append(labels[rest].ravel())
    sure = searcher.calibration.curves(reference).confidence(scores)[:, len(words) :]
    return Trust(np.concatenate(p), np.concatenate(y), sure.ravel())
