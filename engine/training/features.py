"""What a frozen backbone sees in the photos of a data set, computed once and mapped from disk.

Training reads every photo many times, but the backbone never changes. So its features are kept in the cache folder in
half precision, and an epoch neither decodes a photo nor waits for the disk. Computing them can be interrupted: it goes
on from the last photos that were written.

Region features that were computed by others (`Split.features`) come without a scene feature. It is computed from them
by the rest of VGG-19, pool5 → fc6 → fc7, just as it would be from a photo.
"""

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from engine.errors import DataError, UnseenError
from engine.model.backbones import VGG19, build_backbone
from engine.model.biam import pool
from engine.model.bundle import BackboneSpec
from engine.model.encoder import random_pixels
from engine.model.onnx import export, open_session
from engine.model.prior import SemanticPrior
from engine.photo import load_square
from engine.training.datasets.base import Rows, Split

BATCH = 16
SAVED_EVERY = 64  # batches
Half = NDArray[np.float16]
Outputs = Sequence[NDArray[np.floating[Any]]]


class Features(NamedTuple):
    """Features of N photos, in half precision; the last two are None without a prior."""

    regions: Half  # (N, F, H, W)
    scene: Half  # (N, S)
    direction: Half | None  # (N, R, d): the prior's unit vectors
    teacher: Half | None  # (N, K): the classifier's probabilities, pooled over regions like a score

    def take(self, rows: Rows) -> "Features":
        """Features of some of the photos, in memory."""
        return Features(*(None if array is None else np.ascontiguousarray(array[rows]) for array in self))  # type: ignore[arg-type]


class FeatureNetwork(nn.Module):
    """Photos → everything that training needs of a frozen backbone and prior."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: BackboneSpec, prior: SemanticPrior | None, top_k: int) -> None:
        super().__init__()
        self.backbone = build_backbone(spec)
        self.prior = prior
        self.top_k = top_k
        self.register_buffer("mean", torch.tensor(spec.mean)[:, None, None] * 255)
        self.register_buffer("std", torch.tensor(spec.std)[:, None, None] * 255)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(B, S, S, 3), 0…255 → regions, scene and, with a prior, direction and teacher."""
        regions, scene, logits = self.backbone((pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std)
        if self.prior is None or logits is None:
            return regions, scene
        return regions, scene, self.prior.direction(logits), pool(logits.softmax(-1), self.top_k)


class SceneNetwork(nn.Module):
    """VGG-19's region features (B, 512, 14, 14) → its scene feature (B, 4096), for features computed by others."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        backbone = build_backbone(spec)
        if not isinstance(backbone, VGG19):
            raise DataError(
                f"The features of the data set are VGG-19's, but the model looks at photos with {spec.name}",
                "Use the photos themselves, or a model with the backbone vgg19",
            )
        self.backbone = backbone

    def forward(self, regions: Tensor) -> Tensor:
        """(B, 512, 14, 14) → (B, 4096)."""
        return self.backbone.scene(regions)


@dataclass(frozen=True)
class FeatureCache:
    """Makes and finds features in a cache folder."""

    folder: Path
    spec: BackboneSpec
    prior: SemanticPrior | None
    top_k: int

    def features(self, paths: Sequence[Path], *, flip: bool = False, label: str = "photos") -> Features:
        """Features of photos, mirrored with `flip`; computed where they are not in the cache.

        Raises DataError for a photo that cannot be read, and for a cache that cannot be written.
        """

        def pixels(first: int) -> Iterator[NDArray[np.uint8]]:
            for batch in squares(paths[first:], self.spec.input_size):
                yield np.ascontiguousarray(batch[:, :, ::-1]) if flip else batch

        return self._looked(self._key(paths, flip), len(paths), label, pixels)

    def of_pixels(
        self, key: str, count: int, pixels: Callable[[int], Iterator[NDArray[np.uint8]]], label: str
    ) -> Features:
        """Features of `count` pictures (S, S, 3), which `pixels` gives from a place on; `key` stands for them all."""

        def batches(first: int) -> Iterator[NDArray[np.uint8]]:
            pictures = pixels(first)
            while batch := list(islice(pictures, BATCH)):
                yield np.stack(batch)

        return self._looked(self._key([], flip=False, beside=key), count, label, batches)

    def _looked(
        self, key: str, count: int, label: str, pixels: Callable[[int], Iterator[NDArray[np.uint8]]]
    ) -> Features:
        """Features of batches of pixels (B, S, S, 3)."""
        names = list(Features._fields if self.prior is not None else Features._fields[:2])

        def compute(folder: Path, first: int) -> Iterator[Outputs]:
            look = self._network(names, folder)
            return map(look, pixels(first))

        return self._cached(key, names, count, label, compute)

    def precomputed(self, split: Split, *, label: str = "photos") -> Features:
        """Region features that come with the data set, and the scene features computed from them.

        Raises DataError for a file that cannot be read, a backbone that is not VGG-19, and as `features` does.
        """
        digest = hashlib.sha256(repr((self.spec, split.feature_file)).encode() + split.names.tobytes())
        if split.feature_file is not None and split.feature_file.path.exists():
            status = split.feature_file.path.stat()
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())

        def compute(folder: Path, first: int) -> Iterator[Outputs]:
            network = SceneNetwork(self.spec).eval()
            for start in range(first, len(split), BATCH):
                regions = split.features(slice(start, start + BATCH))
                assert regions is not None
                with torch.inference_mode():
                    yield regions, network(torch.from_numpy(regions)).numpy()

        return self._cached(digest.hexdigest()[:24], list(Features._fields[:2]), len(split), label, compute)

    def _cached(
        self, key: str, names: list[str], count: int, label: str, compute: Callable[[Path, int], Iterator[Outputs]]
    ) -> Features:
        """The arrays in the folder `key`; what is missing of them is computed, by one process at a time."""
        if not count:
            raise DataError(f"The data set has no {label}", "Check that its photos are there")
        folder = self.folder / "features" / key
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                if not (folder / "done").exists():
                    _write(folder, names, count, label, compute)
        except OSError as error:
            raise DataError(
                f"Cannot write features to {folder}: {error.strerror or error}", "Set UNSEEN_CACHE"
            ) from None
        arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in names]
        return Features(arrays[0], arrays[1], *(arrays[2:] or (None, None)))

    def _key(self, paths: Sequence[Path], flip: bool, beside: str = "") -> str:
        digest = hashlib.sha256(json.dumps([repr(self.spec), self.top_k, flip]).encode() + beside.encode())
        if self.prior is not None:
            digest.update(repr(self.prior.temperature).encode() + self.prior.class_vectors.numpy().tobytes())
        for path in paths:
            try:
                status = path.stat()
            except OSError as error:
                raise DataError(f"Cannot read the photo {path}: {error.strerror}") from None
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:24]

    def _network(self, names: list[str], folder: Path) -> Callable[[NDArray[np.uint8]], Outputs]:
        """The network on a GPU; without one, in ONNX Runtime, which is several times faster than PyTorch there."""
        network = FeatureNetwork(self.spec, self.prior, self.top_k).eval()
        if torch.cuda.is_available():
            network = network.to("cuda", memory_format=torch.channels_last)  # type: ignore[call-overload]

            def look(pixels: NDArray[np.uint8]) -> Outputs:
                with torch.inference_mode():
                    return [output.cpu().numpy() for output in network(torch.from_numpy(pixels).to("cuda"))]

            return look
        path = folder / "backbone.onnx"
        export(network, torch.from_numpy(random_pixels(2, self.spec.input_size)), names, path)
        session = open_session(path)
        path.unlink()
        return lambda pixels: session.run(None, {"pixels": pixels})


def squares(paths: Sequence[Path], size: int) -> Iterator[NDArray[np.uint8]]:
    """Photos as the model looks at them, in batches (B, size, size, 3); the next ones are decoded meanwhile.

    Raises DataError for a photo that cannot be read.
    """

    def read(path: Path) -> NDArray[np.uint8]:
        try:
            return load_square(path, size)
        except UnseenError as error:
            raise DataError(error.message, "Remove it from the data set or fetch it again") from None

    with ThreadPoolExecutor(2) as readers:
        parts = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        pending = deque([readers.submit(read, path) for path in part] for part in parts[:2])
        try:
            for number in range(len(parts)):
                batch = np.stack([future.result() for future in pending.popleft()])
                if number + 2 < len(parts):
                    pending.append([readers.submit(read, path) for path in parts[number + 2]])
                yield batch
        finally:
            readers.shutdown(cancel_futures=True)


def _write(
    folder: Path, names: list[str], count: int, label: str, compute: Callable[[Path, int], Iterator[Outputs]]
) -> None:
    """Fill the arrays, from the row that an interrupted run has come to."""
    progress = folder / "rows"
    row = int(progress.read_text() or 0) if progress.exists() else 0
    arrays: list[NDArray[Any]] = []
    with tqdm(total=count, initial=row, desc=label, unit=" photos", leave=False) as bar:
        for number, outputs in enumerate(compute(folder, row), 1):
            if not arrays:
                arrays = _arrays(folder, names, row, [(count, *output.shape[1:]) for output in outputs])
            for array, output in zip(arrays, outputs, strict=True):
                array[row : row + len(output)] = output
            row += len(outputs[0])
            bar.update(len(outputs[0]))
            if number % SAVED_EVERY == 0 or row == count:
                for array in arrays:
                    array.flush()  # type: ignore[attr-defined]
                progress.write_text(str(row))
    (folder / "done").touch()


def _arrays(folder: Path, names: list[str], row: int, shapes: list[tuple[int, ...]]) -> list[NDArray[Any]]:
    """Arrays on disk, with room for all of them: a mapped file on a full disk ends the process without a word."""
    paths = [folder / f"{name}.npy" for name in names]
    if not row:
        for path in paths:
            path.unlink(missing_ok=True)
    needed, free = 2 * sum((shape[0] - row) * prod(shape[1:]) for shape in shapes), shutil.disk_usage(folder).free
    if needed > free:
        room = f"{needed / 1e9:,.1f} GB are needed and {free / 1e9:,.1f} GB are free"
        raise DataError(f"Cannot write features to {folder}: {room}", "Set UNSEEN_CACHE to a folder on a larger disk")
    if row:
        return [np.lib.format.open_memmap(path, "r+") for path in paths]
    return [np.lib.format.open_memmap(path, "w+", np.float16, shape) for path, shape in zip(paths, shapes, strict=True)]
