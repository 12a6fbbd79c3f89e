"""Photos as pictures a browser can show: thumbnails, larger views, originals.

A thumbnail shows the photo as it was indexed and is named by that content, so its ETag is known before any file is
touched. An original is whatever the file holds now.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import BinaryIO

from flask import Response, request, send_file
from PIL import Image

from engine.errors import PhotoError
from engine.library import thumbnails
from engine.library.records import Photo
from engine.paths import basename, readable
from engine.photo import open_picture, read_file
from engine.photo.file import open_file
from engine.search.serialise import version
from webapp.errors import FileGone
from webapp.library import current
from webapp.limits import costly
from webapp.roots import file_of

SHOWN_AS_IS = {kind: f"image/{kind}" for kind in ("jpeg", "png", "webp", "gif", "avif")}
PICTURE = 0.1  # of a costly call: to decode a photo
LARGEST = 1 << 20  # pixels of a side: more than any photo has

_ORIENTATION = 0x0112  # EXIF


def thumbnail(photo: Photo, size: int | None, asked_version: str | None) -> Response:
    """The photo upright, its longest side at most `size` pixels; for 512 or None the stored one, of up to 640."""
    etag = f"{photo.content_hash.hex()}-{size or thumbnails.SIDE}"
    return _picture(etag, lambda: _thumbnail(photo, size), forever=asked_version == version(photo))


def original(photo: Photo) -> Response:
    """The file as it is where a browser shows it upright, else an upright JPEG of all its pixels; raises FileGone."""
    kind = SHOWN_AS_IS.get(photo.format.lower())
    path = file_of(photo)
    try:
        with open_file(path) as file:
            status = os.fstat(file.fileno())
            upright = kind is not None and _orientation(file, photo.format) in (0, 1)
        etag = f"{status.st_mtime_ns:x}-{status.st_size:x}"
        if not upright:
            return _picture(f"{etag}-jpeg", lambda: _scaled(photo, LARGEST))
        if request.range is None or request.range.units != "bytes" or len(request.range.ranges) != 1:
            request.environ.pop("HTTP_RANGE", None)  # to be passed over (RFC 9110, 14.2); Werkzeug would refuse it
        name = basename(readable(photo.path))
        response = send_file(path, kind, conditional=True, download_name=name, etag=etag)
    except OSError as error:
        raise _gone(photo, error) from None
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _picture(etag: str, make: Callable[[], bytes], *, forever: bool = False) -> Response:
    """The JPEG that `make` gives, or 304 without making it."""
    if request.if_none_match.contains_weak(etag):
        response = Response(status=304)
    else:
        response = Response(make(), mimetype="image/jpeg")
    response.set_etag(etag)
    response.headers["Cache-Control"] = f"private, {'max-age=31536000, immutable' if forever else 'no-cache'}"
    return response


def _thumbnail(photo: Photo, size: int | None) -> bytes:
    folder = current().folder
    kept = thumbnails.read(folder, photo.content_hash)
    size = size or thumbnails.SIDE
    if kept is not None and size <= thumbnails.SIDE:
        return kept if size == thumbnails.SIDE else _jpeg(Image.open(BytesIO(kept)), size)
    try:
        return _scaled(photo, size)
    except FileGone:
        if kept is None:
            raise
        return kept  # small, but all that is left


def _scaled(photo: Photo, size: int) -> bytes:
    """The upright photo from its file; a missing thumbnail is put back by the way."""
    costly(PICTURE)
    try:
        file = read_file(file_of(photo))
        image = open_picture(file.data, photo.path, 1, max(size, thumbnails.SIDE)).image
    except PhotoError as error:
        raise _gone(photo, error) from None
    if file.content_hash == photo.content_hash and thumbnails.read(current().folder, photo.content_hash) is None:
        with suppress(OSError):  # a library that cannot be written is still shown
            thumbnails.write(current().folder, photo.content_hash, thumbnails.make(image))
    return _jpeg(image, size)


def _jpeg(image: Image.Image, size: int) -> bytes:
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=86)
    return buffer.getvalue()


def _orientation(file: BinaryIO, format_: str) -> int | None:
    """How a picture is to be turned, as its header says; None for what is not of this format or is damaged there."""
    Image.MAX_IMAGE_PIXELS = None  # nothing is decoded here, and where it is there are limits
    with suppress(Exception):  # which damaged headers may lead to; whoever decodes the file will say what is wrong
        picture = Image.open(file, formats=(format_,))
        return int(Image.Image.getexif(picture).get(_ORIENTATION, 1))  # PNG's own decodes all pixels
    return None


def _gone(photo: Photo, error: Exception) -> FileGone:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return FileGone(
        f"Cannot read {readable(photo.path)}: {str(reason).lower()}",
        "If it was moved or removed, run again: unseen index FOLDER",
    )
