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

from engine.library import looks
from engine.library.basis import Basis, Codes
from engine.library.looks import Looks
from engine.library.shared_scans import SharedScans
from engine.library.sketch import LANES, Form, Places, Sketches, in_blocks, photos_of, words_of

Ids = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]  # what is kept of some photos, by name

SUFFIX = ".maps"
MAGIC = b"unseen region maps 4\n"
PAGE = 4096
COPIED_AT_ONCE = 1 << 24  # bytes


@dataclass(frozen=True)
class Segment:
    """One file: N photos, by ascending id; all arrays lie in the mapped file.

    `columns` (N, D, R) are their codes, with all regions' numbers of a dimension side by side.
    """

    path: Path
    ids: Ids
    columns: Codes
    sketches: Sketches
    drafts: Sketches
    looks: Looks
    mapped: mmap.mmap
    stamp: tuple[int, int, int]  # of the file

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, int]:
        """(R, D)."""
        _, dims, regions = self.columns.shape
        return regions, dims

    @property
    def basis(self) -> Basis:
        """The coordinates of sketches and drafts."""
        return self.sketches.basis

    @cached_property
    def scans(self) -> SharedScans:
        """Scans of all photos, for all threads."""
        return SharedScans(self.sketches, self.drafts, len(self))

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
        basis = Basis(arrays["matrix"], arrays["units"])
        basis.check()
        sketches, drafts = (Sketches(form, basis, arrays[name]) for name, form in layout.forms.items())
        seen = Looks(**{name: arrays[name] for name in looks.ARRAYS})
        return cls(path, arrays["ids"], arrays["columns"], sketches, drafts, seen, mapped, _stamp(status))

    @classmethod
    def write(
        cls, path: Path, library: str, shape: tuple[int, int], basis: Basis, parts: Iterator[Arrays], photos: int
    ) -> "Segment":
        """Write `parts`, `photos` photos of a shape (R, D) in all, by ascending id, beside `path`, and rename it.

        Each part but the last has whole blocks of photos.
        """
        layout = _Layout(photos, *shape)
        temporary = path.with_suffix(".partial")
        try:
            with temporary.open("w+b") as file:
                _reserve(file.fileno(), layout.size)
                layout.put_basis(file.fileno(), basis)
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

    def codes(self, places: slice | Places) -> Codes:
        """The codes (n, R, D) of some of the photos, by their places."""
        return self.columns[places].transpose(0, 2, 1)

    def part(self, places: Places, basis: Basis) -> Arrays:
        """Some of the photos, by their places, copied out of the file; their sketches in the coordinates of `basis`."""
        if not basis.is_same(self.basis):
            seen = Looks(self.looks.miniatures[places], self.looks.keys[places])
            return arrays_of(self.ids[places], self.codes(places), basis, seen)
        return {
            "ids": self.ids[places],
            "sketch": photos_of(self.sketches.blocks, places),
            "draft": photos_of(self.drafts.blocks, places),
            "columns": self.columns[places],
            **{name: getattr(self.looks, name)[places] for name in looks.ARRAYS},
        }

    def release(self) -> None:
        """Let the system take the mapped pages out of this process; it may keep them for the next one."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)


class _Layout:
    """Where the arrays of a segment lie in its file."""

    def __init__(self, photos: int, regions: int, dims: int) -> None:
        self.photos = photos
        self.forms = {"sketch": Form.of_sketch(regions, dims), "draft": Form.of_draft(regions, dims)}
        self.of_photos: dict[str, tuple[Any, tuple[int, ...]]] = {
            "ids": (np.int64, ()),
            "columns": (np.int8, (dims, regions)),
            "keys": (np.float16, (looks.KEY,)),
            "miniatures": (np.uint8, looks.SHAPE),
        }
        kinds = {name: (kind, (photos, *shape)) for name, (kind, shape) in self.of_photos.items()}
        blocks = -(-photos // LANES)
        kinds |= {name: (np.uint32, (blocks, form.words, LANES)) for name, form in self.forms.items()}
        kinds |= {"matrix": (np.float32, (dims, dims)), "units": (np.float32, (2, dims))}
        self.kinds, self.offsets, end = kinds, {}, PAGE
        for name, (kind, shape) in kinds.items():
            self.offsets[name] = end
            end += -(-prod(shape) * np.dtype(kind).itemsize // PAGE) * PAGE
        self.size = end

    def arrays(self, mapped: mmap.mmap) -> Arrays:
        return {
            name: np.frombuffer(mapped, kind, prod(shape), self.offsets[name]).reshape(shape)
            for name, (kind, shape) in self.kinds.items()
        }

    def put_basis(self, file: int, basis: Basis) -> None:
        for name in ("matrix", "units"):
            _write(file, getattr(basis, name), self.offsets[name])

    def put(self, file: int, start: int, arrays: Arrays) -> int:
        """Write photos from place `start` on, where a block begins; returns the place after them."""
        if start % LANES:
            raise ValueError("photos do not begin with a block")
        for name, (kind, shape) in self.of_photos.items():
            at = self.offsets[name] + start * prod(shape) * np.dtype(kind).itemsize
            _write(file, np.ascontiguousarray(arrays[name], kind), at)
        for name, form in self.forms.items():
            _write(file, in_blocks(arrays[name]), self.offsets[name] + start * form.words * 4)
        return start + len(arrays["ids"])


def arrays_of(ids: Ids, codes: Codes, basis: Basis, seen: Looks) -> Arrays:
    """What is kept of photos, by name, given their codes (N, R, D)."""
    _, regions, dims = codes.shape
    return {
        "ids": ids,
        "sketch": words_of(Form.of_sketch(regions, dims), basis, codes),
        "draft": words_of(Form.of_draft(regions, dims), basis, codes),
        "columns": codes.transpose(0, 2, 1),
        **{name: getattr(seen, name) for name in looks.ARRAYS},
    }


def _write(file: int, array: NDArray[Any], at: int) -> None:
    data = memoryview(array.data).cast("B")
    while data:
        written = os.pwrite(file, data, at)
        data, at = data[written:], at + written


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
