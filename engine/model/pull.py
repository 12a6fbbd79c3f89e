"""Fetches a bundle: a zip archive of its folder, from a web address or a file.

Of an archive only the files that make a bundle are unpacked, and none of them can run anything: they are JSON, text and
safetensors.
"""

import lzma
import re
import shutil
import sys
import tempfile
import urllib.request
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import quote

from tqdm import tqdm

from engine.errors import BundleError
from engine.model.bundle import Bundle, shelves
from engine.words.lexicon import FILE as LEXICON

FILES = ("bundle.json", "head.safetensors", "search.safetensors", "tags.txt", "labels.txt", LEXICON)
MOST = 4 << 30  # bytes, packed or unpacked
AT_ONCE = 1 << 20  # bytes
PATIENCE = 60  # seconds without a byte
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def pull(address: str, cache: Path, name: str | None = None) -> Bundle:
    """Put the bundle at an address where it is found by its name, or by another `name`; raises BundleError."""
    shelf = cache / "bundles"
    try:
        shelf.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=shelf, prefix=".") as temporary:
            unpacked = Path(temporary) / "bundle"
            unpacked.mkdir()
            with tempfile.TemporaryFile(dir=temporary) as archive:
                _download(address, archive)
                _unpack(archive, unpacked, address)
            bundle = Bundle(unpacked, cache)
            _ = bundle.fingerprint  # reads what opening does not, or says what is missing
            name = name or bundle.name
            if not _NAME.fullmatch(name):
                raise BundleError(f"“{name}” is no name for a bundle", "Give it one with --name, of letters and digits")
            if any((folder / name).exists() for folder in shelves(cache)):
                raise BundleError(f"There is a bundle called {name} already", "Give this one another name with --name")
            unpacked.rename(shelf / name)
    except (OSError, HTTPException, ValueError) as error:  # the last of an address that is none
        raise BundleError(f"Cannot fetch {address}: {getattr(error, 'reason', None) or error}") from None
    return Bundle(shelf / name, cache)


def _download(address: str, archive: IO[bytes]) -> None:
    with _opened(address) as source:
        size = source.headers.get("Content-Length") if hasattr(source, "headers") else None
        total = int(size) if size and size.isdigit() else None
        shown = tqdm(total=total, unit="B", unit_scale=True, disable=not sys.stderr.isatty())
        with shown:
            while block := source.read(AT_ONCE):
                archive.write(block)
                shown.update(len(block))
                if archive.tell() > MOST:
                    raise BundleError(f"{address} is larger than {MOST >> 30} GB, which no bundle is")


def _opened(address: str) -> IO[bytes]:
    if address.lower().startswith(("http://", "https://")):
        plain = quote(address, safe=":/?#[]@!$&'()*+,;=%")
        request = urllib.request.Request(plain, headers={"User-Agent": "unseen"})  # noqa: S310  (checked above)
        opened: IO[bytes] = urllib.request.urlopen(request, timeout=PATIENCE)  # noqa: S310
        return opened
    return Path(address).open("rb")


def _unpack(archive: IO[bytes], folder: Path, address: str) -> None:
    try:
        with zipfile.ZipFile(archive) as packed:
            inside = [entry.filename for entry in packed.infolist() if Path(entry.filename).name == FILES[0]]
            if not inside:
                raise BundleError(f"{address} holds no bundle.json", "A bundle is sent as a zip archive of its folder")
            top = min(inside, key=len)[: -len(FILES[0])]
            entries = {name: packed.NameToInfo.get(top + name) for name in FILES}
            if missing := [name for name, entry in entries.items() if entry is None and name != LEXICON]:
                raise BundleError(f"The bundle in {address} lacks {', '.join(missing)}", "Ask who packed it")
            if sum(entry.file_size for entry in entries.values() if entry is not None) > MOST:
                raise BundleError(f"{address} unpacks to more than {MOST >> 30} GB, which no bundle does")
            for name, entry in entries.items():
                if entry is not None:
                    with packed.open(entry) as source, (folder / name).open("wb") as target:
                        shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError, ValueError) as error:
        raise BundleError(f"{address} is no zip archive that can be read: {error}") from None
