"""Segments: files that hold the region maps and the looks of many photos, to be mapped into memory and scanned.

A segment is written once and never changed. A photo that is removed or looked at again stays in its segment and is
passed over; its new region map is in a later one. Segments that have grown small or hollow are merged. What counts is
in `index.json`, which names the segments and the generation of the database that they cover together: it is replaced by
renaming, so that a reader finds one whole state or the other, whenever the writer is killed.
"""

import json
import mmap
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.library import looks, planes
from engine.library.looks import Looks
from engine.library.packing import packed_shape
from engine.library.planes import LANES, SIZES, Planes
from engine.library.shared_scans import SharedScans
from engine.library.sketch import sketch_shape

Ids = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]  # what is kept of some photos, by name

SUFFIX = ".planes"
MAGIC = b"unseen planes 3\n"
PAGE = 4096
COPIED_AT_ONCE = 1 << 24  # bytes


@dataclass(frozen=True)
class Segment:
    """One file: N photos, by ascending id, their planes and looks; all of it lies in the mapped file."""

    path: Path
    ids: Ids
    planes: Planes
    looks: Looks
    mapped: mmap.mmap
    stamp: tuple[int, int, int]  # of the file

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def scans(self) -> SharedScans:
        """Scans of all photos, for all threads."""
        return SharedScans(self.planes)

    @classmethod
    def open(cls, path: Path, library: str) -> "Segment":
        """Map a file; raises ValueError for one that is damaged, cut off or of another library, OSError for none."""
        with path.open("rb") as file:
            header = _header(file.read(PAGE))
            if header["library"] != library:
                raise ValueError(f"{path.name} belongs to another library")
            layout = _Layout(header["photos"], header["regions"], header["dims"])
            status = os.fstat(file.fileno())
            if status.st_size != layout.size:
                raise ValueError(f"{path.name} is cut off")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        arrays = layout.arrays(mapped)
        held = Planes(layout.regions, layout.dims, **{name: arrays[name] for name in planes.ARRAYS})
        seen = Looks(**{name: arrays[name] for name in looks.ARRAYS})
        return cls(path, arrays["ids"], held, seen, mapped, _stamp(status))

    @classmethod
    def write(cls, path: Path, library: str, shape: tuple[int, int], parts: Iterator[Arrays], photos: int) -> "Segment":
        """Write `parts`, `photos` photos of a shape (R, D) in all, by ascending id, beside `path`, and rename it."""
        layout = _Layout(photos, *shape)
        temporary = path.with_suffix(".partial")
        try:
            with temporary.open("w+b") as file:
                _reserve(file.fileno(), layout.size)
                start = 0
                for part in parts:
                    start = layout.put(file.fileno(), start, part)
                if start != photos:
                    raise ValueError(f"{start} photos were written, not {photos}")
                header = {"library": library, "photos": photos, "regions": shape[0], "dims": shape[1]}
                text = json.dumps({**header, "checksum": _checksum(file.fileno())}).encode()
                os.pwrite(file.fileno(), MAGIC + text.ljust(PAGE - len(MAGIC)), 0)
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return cls.open(path, library)

    def is_unchanged(self) -> bool:
        """Whether the file is still the one that is mapped."""
        try:
            return _stamp(self.path.stat()) == self.stamp
        except OSError:
            return False

    def is_sound(self) -> bool:
        """Whether the file is as it was written, to the last bit."""
        try:
            with self.path.open("rb") as file:
                return bool(_header(file.read(PAGE))["checksum"] == _checksum(file.fileno()))
        except (OSError, ValueError):
            return False

    def part(self, places: NDArray[np.int64]) -> Arrays:
        """Some of the photos, by their places, copied out of the file."""
        return {name: array[places] for name, array in arrays_of(self.ids, self.planes, self.looks).items()}

    def release(self) -> None:
        """Let the system take the mapped pages out of this process; it may keep them for the next one."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)


class _Layout:
    """Where the arrays of a segment lie in its file."""

    def __init__(self, photos: int, regions: int, dims: int) -> None:
        self.regions, self.dims = regions, dims
        width, plane = -(-dims // LANES) * LANES, packed_shape(regions, dims)
        self.photos = photos
        self.kinds: dict[str, tuple[Any, tuple[int, ...]]] = {
            "ids": (np.int64, ()),
            "low": (np.int8, (width,)),
            "step": (np.uint8, (width,)),
            "middle": (np.uint8, (width,)),
            "bounds": (np.float32, (2 * len(SIZES),)),
            "sketch": (np.uint8, sketch_shape(regions, dims)),
            "coarse": (np.uint8, plane),
            "fine": (np.uint8, plane),
            "keys": (np.float16, (looks.KEY,)),
            "miniatures": (np.uint8, looks.SHAPE),
        }
        self.offsets = {}
        end = PAGE
        for name, (kind, shape) in self.kinds.items():
            self.offsets[name] = end
            end += -(-photos * prod(shape) * np.dtype(kind).itemsize // PAGE) * PAGE
        self.size = end + PAGE  # vectors may be read beyond the last photo

    def arrays(self, mapped: mmap.mmap) -> Arrays:
        return {
            name: np.frombuffer(mapped, kind, self.photos * prod(shape), self.offsets[name]).reshape(-1, *shape)
            for name, (kind, shape) in self.kinds.items()
        }

    def put(self, file: int, start: int, arrays: Arrays) -> int:
        """Write photos from place `start` on; returns the place after them."""
        for name, (kind, shape) in self.kinds.items():
            data = memoryview(np.ascontiguousarray(arrays[name], kind).data).cast("B")
            at = self.offsets[name] + start * prod(shape) * np.dtype(kind).itemsize
            while data:
                written = os.pwrite(file, data, at)
                data, at = data[written:], at + written
        return start + len(arrays["ids"])


def arrays_of(ids: Ids, held: Planes, seen: Looks) -> Arrays:
    """What is kept of photos, by name."""
    return {
        "ids": ids,
        **{name: getattr(held, name) for name in planes.ARRAYS},
        **{name: getattr(seen, name) for name in looks.ARRAYS},
    }


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _header(page: bytes) -> dict[str, Any]:
    if not page.startswith(MAGIC):
        raise ValueError("not a segment")
    header = json.loads(page[len(MAGIC) :])
    if not (
        isinstance(header, dict)
        and isinstance(header.get("library"), str)
        and all(isinstance(header.get(name), int) and header[name] >= 0 for name in ("photos", "regions", "dims"))
    ):
        raise ValueError("not the header of a segment")
    return header


def _reserve(file: int, size: int) -> None:
    """Make the file as large as it will be, so that a full disk is met before anything is written."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def _checksum(file: int) -> int:
    """CRC-32 of all that comes after the header."""
    checksum, at = 0, PAGE
    while block := os.pread(file, COPIED_AT_ONCE, at):
        checksum, at = zlib.crc32(block, checksum), at + len(block)
    return checksum
