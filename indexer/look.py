"""Looks at one photo file, in a thread: read, recognise or decode, encode."""

import threading
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.library import thumbnails
from engine.library.records import Companion, FileStamp, KnownFile, Metadata, NewPhoto
from engine.library.region_map import RegionMap
from engine.library.store import Store
from engine.model.bundle import Bundle
from engine.photo import PhotoFile, UnreadablePhoto, UnreadFile, read_file
from engine.photo.metadata import dated_by_file
from indexer.decode import Decoded
from indexer.isolation import Decoders
from indexer.ledger import UNREAD


class Encoder(Protocol):
    """What looks at photos: `engine.model.encoder.RegionEncoder`, or a double of it; threads share it."""

    @property
    def bundle(self) -> Bundle:
        """The model."""
        ...

    @property
    def input_size(self) -> int:
        """S, pixels a side of the square that a photo is squashed to."""
        ...

    def encode(self, pixels: NDArray[np.uint8]) -> list[tuple[RegionMap, NDArray[np.float16]]]:
        """Upright pixels (B, S, S, 3) → a region map and class scores for each photo."""
        ...


@dataclass(frozen=True)
class ToRead:
    """A new or changed file, what belongs to it, and what the library knows of it."""

    path: str
    stamp: FileStamp
    companions: tuple[Companion, ...]
    known: KnownFile | None


@dataclass(frozen=True)
class Copy:
    """A file with a content that another thread has begun to look at.

    `metadata` is what it says of itself; None where that is what the other one says: neither has a sidecar.
    """

    stamp: FileStamp
    content_hash: bytes
    companions: tuple[Companion, ...]
    metadata: Metadata | None


class Looker:
    """What the threads of a run share. Each photo is encoded by itself, so its codes depend on nothing but its pixels,
    and each thread keeps one core busy with decoding and encoding in turn, which leaves none of them idle.
    """

    def __init__(self, store: Store, encoder: Encoder) -> None:
        self._store = store
        self._encoder = encoder
        self._decoders = Decoders()
        self._begun: dict[bytes, bool] = {}  # contents that are not in the library yet; whether there is a sidecar
        self._lock = threading.Lock()

    @property
    def bundle(self) -> Bundle:
        """The model that looks."""
        return self._encoder.bundle

    def look(self, item: ToRead) -> NewPhoto | Copy | UnreadablePhoto:
        """What there is at a path. A content that the library knows, or that is being looked at, is not decoded."""
        try:
            file = read_file(item.path)
            sidecar, companions = self._sidecar(item.companions)
            item = replace(item, companions=companions)
            known = self._store.known_content(file.content_hash)
            if known is not None:
                return self._recognised(known, file, item, sidecar)
            with self._lock:
                described = self._begun.get(file.content_hash)
                if described is None:
                    self._begun[file.content_hash] = sidecar is not None
            if described is None:
                return self._new(file, item, sidecar)
            says = self._decode(file, sidecar).metadata if described or sidecar is not None else None
            return Copy(file.stamp, file.content_hash, companions, says)
        except UnreadablePhoto as error:
            return error

    def forget(self, content_hash: bytes) -> None:
        """A content is in the library now, or failed."""
        with self._lock:
            self._begun.pop(content_hash, None)

    def is_fresh(self, content_hash: bytes) -> bool:
        """Whether a content is new in this run, so that no photo of the library can have had it before."""
        with self._lock:
            return content_hash in self._begun

    def close(self) -> None:
        """Let go of what decodes."""
        self._decoders.close()

    def _new(self, file: PhotoFile, item: ToRead, sidecar: bytes | None) -> NewPhoto:
        try:
            decoded = self._decode(file, sidecar)
        except UnreadablePhoto:
            self.forget(file.content_hash)
            raise
        ((region_map, class_scores),) = self._encoder.encode(decoded.pixels[None])
        thumbnails.write(self._store.folder, file.content_hash, decoded.thumbnail)
        return NewPhoto(
            file.path,
            file.stamp,
            file.content_hash,
            decoded.width,
            decoded.height,
            decoded.format,
            dated_by_file(decoded.metadata, file.stamp),
            region_map,
            class_scores,
            decoded.warning,
            item.companions,
        )

    def _recognised(self, known: NewPhoto, file: PhotoFile, item: ToRead, sidecar: bytes | None) -> NewPhoto:
        """The same content in this file; what sidecars say may differ."""
        same_file = item.known is not None and item.known.content_hash == file.content_hash
        described = sidecar is not None or any(one.kind == "sidecar" for one in known.companions)
        says = self._decode(file, sidecar).metadata if same_file or described else None
        return at(known, file.path, file.stamp, item.companions, says)

    def _decode(self, file: PhotoFile, sidecar: bytes | None) -> Decoded:
        return self._decoders.decode(file.data, file.path, self._encoder.input_size, sidecar)

    def _sidecar(self, companions: tuple[Companion, ...]) -> tuple[bytes | None, tuple[Companion, ...]]:
        """The XMP that belongs to the photo, and the companions.

        A sidecar that cannot be read is no reason to lose the photo. It is kept as one that nobody has read yet, so the
        next run tries again.
        """
        known = list(companions)
        for i, one in enumerate(companions):
            if one.kind == "sidecar":
                try:
                    return read_file(one.path).data, tuple(known)
                except UnreadFile:
                    known[i] = replace(one, stamp=UNREAD)
                except UnreadablePhoto:
                    continue
        return None, tuple(known)


def at(
    photo: NewPhoto, path: str, stamp: FileStamp, companions: tuple[Companion, ...], says: Metadata | None = None
) -> NewPhoto:
    """The same content in another file, which may say something else of itself."""
    metadata = dated_by_file(photo.metadata if says is None else says, stamp)
    return replace(photo, path=path, stamp=stamp, metadata=metadata, companions=companions)
