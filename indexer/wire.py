"""What passes between the indexer and a process that decodes for it: a JSON header and two blocks of plain bytes.

A hostile photo may have taken over that process, so its answer is read as data and as nothing else: sizes are refused
before there is room for them, and every field is of its type and in its range, or the answer is `Malformed`.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from engine.library.records import Metadata
from engine.library.thumbnails import SPARED
from engine.photo import UnreadablePhoto
from engine.photo.metadata import LONGEST_KEYWORD, MOST_KEYWORDS
from indexer.decode import Decoded

HEADER = 4 << 20  # bytes that the header of an answer may have
THUMBNAIL = 4 << 20  # bytes

Read = Callable[[int], bytes]  # as many bytes as it is asked for; raises EOFError where there are fewer
_LENGTHS = struct.Struct("<III")  # of the header and the two blocks
_ANY = (1 << 32) - 1


class Malformed(Exception):
    """What came is no answer."""


def request(data: bytes, path: str, size: int, sidecar: bytes | None) -> bytes:
    """The message that asks for a photo to be decoded: the arguments of `indexer.decode.decode`."""
    return _message({"path": path, "size": size, "sidecar": sidecar is not None}, data, sidecar or b"")


def read_request(read: Read) -> tuple[bytes, str, int, bytes | None]:
    """The arguments for `indexer.decode.decode`; raises EOFError where nothing comes any more."""
    said, data, sidecar = _receive(read, _ANY, _ANY, _ANY)
    return data, said["path"], said["size"], sidecar if said["sidecar"] else None


def answer(outcome: Decoded | UnreadablePhoto) -> bytes:
    """The message that says what became of a request."""
    if isinstance(outcome, UnreadablePhoto):
        return _message({"reason": outcome.reason}, b"", b"")
    said = asdict(outcome.metadata)
    said["taken_at"] = None if outcome.metadata.taken_at is None else outcome.metadata.taken_at.isoformat()
    for name in ("width", "height", "format", "warning"):
        said[name] = getattr(outcome, name)
    return _message(said, outcome.pixels.tobytes(), outcome.thumbnail)


def read_answer(read: Read, path: str, size: int) -> Decoded:
    """What a process makes of the photo at `path`, for a model that looks at `size` × `size` pixels.

    Raises UnreadablePhoto where the answer says so, Malformed where it is none, and EOFError where it ends too soon.
    """
    said, pixels, thumbnail = _receive(read, HEADER, 3 * size * size, THUMBNAIL)
    if isinstance(said, dict) and said.keys() == {"reason"} and _is_text(said["reason"]):
        raise UnreadablePhoto(path, said["reason"])
    if not isinstance(said, dict) or said.keys() != _FIELDS.keys():
        raise Malformed("not the fields of an answer")
    for name, is_valid in _FIELDS.items():
        if not is_valid(said[name]):
            raise Malformed(name)
    if len(pixels) != 3 * size * size:
        raise Malformed("pixels")
    if not _is_thumbnail(thumbnail):
        raise Malformed("thumbnail")
    said["taken_at"] = None if said["taken_at"] is None else datetime.fromisoformat(said["taken_at"]).astimezone(UTC)
    said["keywords"] = tuple(said["keywords"])
    return Decoded(
        np.frombuffer(pixels, np.uint8).reshape(size, size, 3).copy(),
        thumbnail,
        said["width"],
        said["height"],
        said["format"],
        Metadata(**{field.name: said[field.name] for field in fields(Metadata)}),
        said["warning"],
    )


def _message(said: dict[str, Any], first: bytes, second: bytes) -> bytes:
    header = json.dumps(said).encode()
    return b"".join((_LENGTHS.pack(len(header), len(first), len(second)), header, first, second))


def _receive(read: Read, *limits: int) -> tuple[Any, bytes, bytes]:
    """Header and blocks, if none is larger than its limit."""
    lengths = _LENGTHS.unpack(read(_LENGTHS.size))
    if any(length > limit for length, limit in zip(lengths, limits, strict=True)):
        raise Malformed("too large")
    header, first, second = (read(length) for length in lengths)
    try:
        return json.loads(header.decode()), first, second
    except (ValueError, RecursionError) as error:
        raise Malformed("header") from error


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != "" and not any("\ud800" <= c <= "\udfff" for c in value)


def _is_moment(value: Any) -> bool:
    try:
        moment = datetime.fromisoformat(value)
        return moment.tzinfo is not None and moment.astimezone(UTC) is not None  # which raises beyond the year 9999
    except (TypeError, ValueError, OverflowError):
        return False


def _is_number(value: Any, kind: type[int] | type[float], least: int, most: int) -> bool:
    return type(value) is kind and least <= value <= most  # not a bool, and not NaN


def _is_keywords(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MOST_KEYWORDS
        and all(_is_text(word) and len(word) <= LONGEST_KEYWORD for word in value)
    )


def _is_thumbnail(data: bytes) -> bool:
    try:
        with Image.open(BytesIO(data), formats=("JPEG",)) as image:  # reads the header only
            return max(image.size) <= SPARED
    except Exception:  # a decoder fed with damaged data may raise anything
        return False


def _or_none(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_valid(value)


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "width": lambda value: _is_number(value, int, 1, (1 << 31) - 1),
    "height": lambda value: _is_number(value, int, 1, (1 << 31) - 1),
    "format": _is_text,
    "warning": _or_none(_is_text),
    "taken_at": _or_none(_is_moment),
    "taken_offset": _or_none(lambda value: _is_number(value, int, -24 * 60, 24 * 60)),
    "taken_from": _or_none(lambda value: value in ("exif", "xmp", "file")),
    "camera": _or_none(_is_text),
    "lens": _or_none(_is_text),
    "latitude": _or_none(lambda value: _is_number(value, float, -90, 90)),
    "longitude": _or_none(lambda value: _is_number(value, float, -180, 180)),
    "rating": _or_none(lambda value: _is_number(value, int, -1, 5)),
    "keywords": _is_keywords,
}
