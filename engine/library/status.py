"""What a library holds and how much room it takes, without opening an index or a model."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.library.database import DATABASE
from engine.library.overview import Overview
from engine.library.records import Failure
from engine.library.region_index import generation_on_disk
from engine.library.store import Store


@dataclass(frozen=True)
class Status:
    """The state of a library. `missing` counts photos that are kept although their file is gone, `waiting` those that
    the model has not looked at.

    Sizes are bytes on disk; `index_generation` is None where there is no index.
    """

    folder: Path
    photos: int
    missing: int
    waiting: int
    failures: list[Failure]
    roots: list[str]
    bundle: str
    fingerprint: str
    schema_version: str | None
    generation: int
    index_generation: int | None
    created_at: datetime
    updated_at: datetime
    database_bytes: int
    index_bytes: int
    thumbnail_bytes: int

    @property
    def index_up_to_date(self) -> bool:
        """Whether the index covers all that the database holds; what it lacks is searched all the same."""
        return self.index_generation == self.generation or (self.index_generation is None and not self.photos)

    def to_json(self, *, failures: bool = False) -> dict[str, Any]:
        """Plain JSON; with `failures` each file that could not be read and why."""
        values: dict[str, Any] = {
            "library": str(self.folder),
            "photos": self.photos,
            "missing": self.missing,
            "waiting": self.waiting,
            "failed": len(self.failures),
            "model": {"name": self.bundle, "fingerprint": self.fingerprint},
            "schema_version": self.schema_version,
            "generation": self.generation,
            "index": {"generation": self.index_generation, "up_to_date": self.index_up_to_date},
            "disk": {"database": self.database_bytes, "index": self.index_bytes, "thumbnails": self.thumbnail_bytes},
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
            "roots": self.roots,
        }
        if failures:
            values["failures"] = [
                {
                    "path": failure.path,
                    "reason": failure.reason,
                    "failed_at": failure.failed_at.isoformat() if failure.failed_at else None,
                }
                for failure in self.failures
            ]
        return values


def status_of(store: Store) -> Status:
    """The state of an open library."""
    info = store.info()
    folder = store.folder
    return Status(
        folder,
        store.count(),
        Overview(store).missing(),
        store.count() - store.mapped_count(),
        store.failures(),
        store.roots(),
        info.bundle,
        info.fingerprint,
        store.schema_version(),
        info.generation,
        generation_on_disk(folder),
        info.created_at,
        info.updated_at,
        _bytes(folder.glob(f"{DATABASE}*")),
        _bytes(path for kind in ("*.faiss", "*.maps") for path in folder.glob(kind)),
        _bytes(Path(top) / name for top, _, names in os.walk(folder / "thumbnails") for name in names),
    )


def _bytes(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except OSError:  # removed a moment ago
            continue
    return total
