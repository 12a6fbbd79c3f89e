"""The library behind the page: opened when first asked for, and again when another one stands in its place.

A library that grows needs nothing here, since every query reads the database. But the page may be open before the first
photo is indexed, and a library may be deleted and made anew under a running server.
"""

import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flask import current_app

from engine.errors import LibraryNotFound, UnseenError
from engine.library.database import DATABASE, Database
from engine.library.overview import Overview
from engine.library.records import Photo
from engine.library.region_index import generation_on_disk
from engine.library.status import Status, status_of
from engine.search.searcher import Searcher, open_searcher
from engine.settings import Settings
from webapp.errors import NotInLibrary
from webapp.tag_counts import TagCounts

if TYPE_CHECKING:
    from engine.model.encoder import RegionEncoder

EXTENSION = "unseen"
LARGEST = 2**63 - 1  # what SQLite keeps in an integer


class Library:
    """The searcher for the library that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tag_counts = TagCounts()
        self._lock = threading.Lock()
        self._searcher: Searcher | None = None
        self._identity: tuple[int, int] | None = None
        self._database: Database | None = None
        self._database_identity: tuple[int, int] | None = None
        self._status: tuple[object, Status] | None = None
        self._encoding = threading.Lock()
        self._encoder: RegionEncoder | None = None

    @property
    def folder(self) -> Path:
        """The library's folder."""
        return self.settings.library

    def searcher(self) -> Searcher:
        """The searcher; raises LibraryNotFound, WrongBundle or BundleError."""
        identity = self.identity
        with self._lock:
            if self._searcher is None or identity != self._identity or not self._searcher.fits():
                if self._searcher is not None:
                    self._searcher.store.close()
                    self._searcher = None
                self._searcher = open_searcher(self.folder, self.settings.chosen_model, self.settings.cache)
                self._identity = identity
            return self._searcher

    def database(self) -> Database:
        """The library's database for reading, whatever its model; raises LibraryNotFound or LibraryError."""
        identity = self.identity
        with self._lock:
            if self._database is None or identity != self._database_identity:
                if self._database is not None:
                    self._database.close()
                self._database, self._database_identity = Database.open(self.folder), identity
            return self._database

    def encoder(self) -> "RegionEncoder":
        """The encoder of the library's bundle, kept from the first image on; raises as `searcher` does."""
        from engine.model.encoder import RegionEncoder

        bundle = self.searcher().bundle
        with self._encoding:
            if self._encoder is None or self._encoder.bundle.fingerprint != bundle.fingerprint:
                self._encoder = RegionEncoder.open(bundle)
            return self._encoder

    def status(self) -> Status:
        """The library's state, looked at again once it has changed: to sum up 100,000 thumbnails takes a while."""
        store = self.searcher().store
        key = (self.identity, Overview(store).state(), generation_on_disk(self.folder))
        with self._lock:
            known = self._status
        if known is None or known[0] != key:
            known = key, status_of(store)
            with self._lock:
                self._status = known
        return known[1]

    def warm(self) -> None:
        """Read what a query needs, so that the first one does not wait; what is wrong is said to who asks."""
        with suppress(UnseenError):
            found = self.searcher()
            found.search(f'"{found.bundle.labels[0]}"', top=1)

    @property
    def identity(self) -> tuple[int, int]:
        """Tells this library from another one that takes its place; raises LibraryNotFound."""
        try:
            status = (self.folder / DATABASE).stat()
        except OSError:
            raise LibraryNotFound(self.folder) from None
        return status.st_dev, status.st_ino


def current() -> Library:
    """The library of the running app."""
    library: Library = current_app.extensions[EXTENSION]
    return library


def searcher() -> Searcher:
    """The searcher of the running app; raises LibraryNotFound, WrongBundle or BundleError."""
    return current().searcher()


def photo_of(photo_id: int) -> Photo:
    """A photo by id; raises NotInLibrary."""
    photo = searcher().store.photo(photo_id) if photo_id <= LARGEST else None
    if photo is None:
        raise NotInLibrary(photo_id)
    return photo
