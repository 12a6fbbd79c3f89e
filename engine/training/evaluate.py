"""The table: how well a bundle finds tags it has never seen (ZSL), and finds them among all tags (GZSL).

Protocol: Narayan et al., ICCV 2021, arXiv 2108.09301; see `metrics` for what each figure means. A photo is scored with
its region vectors as the encoder gives them, not rounded to the 8 bits that a library keeps: the table is about the
model. Scores and labels lie in files that are mapped into memory, so 125,000 photos × 7,586 classes need 5 GB of disk
for a while and little memory.

Letters in shapes: N photos, R regions, D numbers in a region vector, C tags.
"""

import csv
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from engine.errors import BundleError, DataError
from engine.library.region_map import Array
from engine.model.bundle import Bundle
from engine.model.encoder import RegionEncoder
from engine.model.network import ensemble_of
from engine.training.classes import label_vectors
from engine.training.datasets.base import Dataset, Split
from engine.training.features import BATCH, SceneNetwork, squares
from engine.training.metrics import (
    PrecisionRecallF1,
    average_precision,
    mean_average_precision,
    pooled_average_precision,
    precision_at_k,
    precision_recall_f1_at_k,
    weighted_mean_average_precision,
)
from engine.training.pooling import pooled_scores
from engine.training.published import PUBLISHED

SPLITS = ("test", "validation", "train")
KS = {"open-images": (10, 20)}  # of F1@K; elsewhere as on NUS-WIDE
OFFICIAL_AP = {"open-images"}  # data sets whose official script has an AP of its own
FIRST_PAGE = 10  # photos of a tag


class Means(NamedTuple):
    """mAP over tags, plain and weighted by each tag's positives."""

    plain: float
    weighted: float


@dataclass(frozen=True)
class Figures:
    """One row of the table, all in 0..1. `tags` is how many have an annotation, and so count in the means."""

    setting: str
    photos: int
    tags: int
    map: Means
    official_map: Means | None  # of `pooled_average_precision`
    at: dict[int, PrecisionRecallF1]
    first_page: float  # mean P@10 of the tags

    def as_dict(self) -> dict[str, Any]:
        """The row as plain JSON values."""
        return {
            "setting": self.setting,
            "photos": self.photos,
            "tags": self.tags,
            "map": self.map._asdict(),
            "official_map": None if self.official_map is None else self.official_map._asdict(),
            "at": {str(k): figures._asdict() for k, figures in self.at.items()},
            f"precision_at_{FIRST_PAGE}": self.first_page,
        }


@dataclass(frozen=True)
class Evaluation:
    """Rows of the table, and the figures of each tag over all photos that were looked at."""

    bundle: str
    dataset: Dataset
    split: str
    rows: list[Figures]
    positives: NDArray[np.int64]  # [C]
    ap: NDArray[np.float64]  # [C]
    first_page: NDArray[np.float64]  # P@10 [C]

    def as_dict(self) -> dict[str, Any]:
        """What `unseen evaluate --json` prints."""
        return {
            "bundle": self.bundle,
            "dataset": self.dataset.name,
            "split": self.split,
            "settings": [row.as_dict() for row in self.rows],
            "published": [row.__dict__ for row in PUBLISHED.get(self.dataset.name, ())],
        }

    def table(self) -> str:
        """The rows for people, in percent, with those of others below."""
        ks = list(self.rows[0].at)
        at_k = [f"{name}@{k}" for k in ks for name in ("F1", "P", "R")]
        head = ["", "mAP", "weighted", *at_k, f"P@{FIRST_PAGE} of a tag"]
        lines = [head]
        for row in self.rows:
            at = [value for k in ks for value in (row.at[k].f1, row.at[k].precision, row.at[k].recall)]
            name = f"{row.setting}, {row.tags:,} tags, {row.photos:,} photos"
            lines.append([name, *(f"{100 * value:.1f}" for value in (*row.map, *at, row.first_page))])
            if row.official_map is not None:
                lines.append([f"{row.setting}, AP as the official script has it", *map(_percent, row.official_map)])
        notes = []
        for other in PUBLISHED.get(self.dataset.name, ()):
            for setting, value in other.map.items():
                f1 = other.f1.get(setting, {})
                values = [f"{value:.1f}", "", *(text for k in ks for text in (str(f1.get(k, "")), "", "")), ""]
                lines.append([f"{setting}, {other.method} ({other.backbone})", *values])
            notes += [f"{other.method}: {other.note}"] if other.note else []
        widths = [max(len(line[i]) for line in lines if i < len(line)) for i in range(len(head))]
        texts = [
            "  ".join(cell.ljust(width) if not i else cell.rjust(width) for i, (cell, width) in enumerate(cells))
            for cells in (list(zip(line, widths, strict=False)) for line in lines)
        ]
        title = f"{self.bundle} on {self.dataset.name}, {self.split}, in percent"
        return "\n".join(text.rstrip() for text in (title, "", *texts, *notes))

    def write_csv(self, path: Path) -> None:
        """A line for each tag: whether it was seen, its positives, AP and P@10; raises DataError."""
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["tag", "seen", "positives", "ap", f"precision_at_{FIRST_PAGE}"])
                for i, tag in enumerate(self.dataset.tags):
                    seen = int(i < self.dataset.seen_count)
                    writer.writerow([tag, seen, self.positives[i], f"{self.ap[i]:.6f}", f"{self.first_page[i]:.6f}"])
        except OSError as error:
            raise DataError(f"Cannot write {path}: {error.strerror or error}", "Name another file") from None


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def evaluate(bundle: Bundle, dataset: Dataset, split: str = "test") -> Evaluation:
    """Measure a bundle on the photos of a split, or on the features that come with it.

    Raises DataError, BundleError, WordsError.
    """
    photos: Split = getattr(dataset, split)
    if dataset.skip_untagged:
        photos = photos.with_positives(slice(None))
    if not len(photos):
        raise DataError(
            f"The data set {dataset.name} has no photo in its split {split}", f"Choose one of {', '.join(SPLITS)}"
        )
    shape = (len(photos), len(dataset.tags))
    try:
        bundle.cache.mkdir(parents=True, exist_ok=True)
        needed, free = 5 * shape[0] * shape[1], shutil.disk_usage(bundle.cache).free
        if needed > free:
            raise DataError(
                f"Scores need {needed / 1e9:.1f} GB in {bundle.cache}, where {free / 1e9:.1f} GB are free",
                "Set UNSEEN_CACHE to a folder on a larger disk",
            )
        with tempfile.TemporaryDirectory(dir=bundle.cache, ignore_cleanup_errors=True) as scratch:
            scores = np.lib.format.open_memmap(Path(scratch) / "scores.npy", "w+", np.float32, shape)
            labels = np.lib.format.open_memmap(Path(scratch) / "labels.npy", "w+", np.int8, shape)
            _score(bundle, photos, dataset.tags, scores, labels)
            return measure(bundle.name, dataset, split, scores, labels)
    except OSError as error:
        raise DataError(
            f"Cannot write scores to {bundle.cache}: {error.strerror or error}", "Set UNSEEN_CACHE"
        ) from None


def measure(bundle: str, dataset: Dataset, split: str, scores: Array, labels: NDArray[np.int8]) -> Evaluation:
    """The evaluation from scores and labels [N, C] of photos, whose columns are the tags of the data set."""
    settings = [("GZSL", slice(0, len(dataset.tags)))]
    if dataset.seen_count < len(dataset.tags):
        settings.insert(0, ("ZSL", dataset.unseen))
    rows = []
    for setting, columns in settings:
        some, known = scores[:, columns], labels[:, columns]
        if dataset.skip_untagged and columns != settings[-1][1]:
            tagged = np.flatnonzero((known > 0).any(axis=1))
            some, known = some[tagged], known[tagged]
        rows.append(_figures(setting, dataset.name, some, known))
    return Evaluation(
        bundle,
        dataset,
        split,
        rows,
        _count(labels)[0],
        average_precision(scores, labels),
        precision_at_k(scores, labels, FIRST_PAGE),
    )


def _figures(setting: str, dataset: str, scores: Array, labels: NDArray[np.int8]) -> Figures:
    positives, annotations = _count(labels)
    annotated = annotations > 0
    official = None
    if dataset in OFFICIAL_AP:
        official = _means(pooled_average_precision(scores, labels), positives, annotated)
    return Figures(
        setting,
        len(scores),
        int(annotated.sum()),
        _means(average_precision(scores, labels), positives, annotated),
        official,
        {k: precision_recall_f1_at_k(scores, labels, k) for k in KS.get(dataset, (3, 5))},
        float(precision_at_k(scores, labels, FIRST_PAGE)[annotated].mean()) if annotated.any() else 0.0,
    )


def _count(labels: NDArray[np.int8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positives and annotations of each tag [C], a block of photos at a time."""
    positives, annotations = np.zeros((2, labels.shape[1]), np.int64)
    for start in range(0, len(labels), 4096):
        block = labels[start : start + 4096]
        positives += (block > 0).sum(axis=0)
        annotations += (block != 0).sum(axis=0)
    return positives, annotations


def _means(ap: NDArray[np.float64], positives: NDArray[np.int64], annotated: NDArray[np.bool_]) -> Means:
    """Over the tags that somebody annotated, as the official script for Open Images has it."""
    return Means(mean_average_precision(ap[annotated]), weighted_mean_average_precision(ap, positives))


def _score(bundle: Bundle, photos: Split, tags: tuple[str, ...], scores: Array, labels: NDArray[np.int8]) -> None:
    queries = np.pad(label_vectors(tags, bundle.words), ((0, 0), (0, 1)), constant_values=1)
    row = 0
    with tqdm(total=len(photos), desc="photos", unit=" photos", leave=False) as bar, torch.no_grad():
        for vectors in _region_vectors(bundle, photos):
            rows = slice(row, row + len(vectors))
            pooled = pooled_scores(
                torch.from_numpy(vectors), torch.from_numpy(queries.astype(np.float32)), bundle.top_k
            )
            if not torch.isfinite(pooled).all():
                raise BundleError(
                    f"The scores of the bundle {bundle.name} are not all numbers", "Train or fetch it again"
                )
            scores[rows], labels[rows] = pooled.numpy(), photos.labels(rows)
            row = rows.stop
            bar.update(len(vectors))


def _region_vectors(bundle: Bundle, photos: Split) -> Iterator[Array]:
    """Region vectors (B, R, D), batch by batch."""
    if photos.feature_file is None:
        encoder = RegionEncoder.open(bundle)
        for pixels in squares(photos.paths(), encoder.input_size):
            yield encoder.region_vectors(pixels)
        return
    network, ensemble = SceneNetwork(bundle.spec.backbone).eval(), ensemble_of(bundle)
    for start in range(0, len(photos), BATCH):
        regions = torch.from_numpy(photos.feature_file.read(photos.names[start : start + BATCH]))
        with torch.inference_mode():
            yield ensemble(regions, network(regions), None).numpy()
