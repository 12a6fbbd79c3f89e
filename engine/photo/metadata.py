"""What a photo says of itself, from all the places where cameras and programs write: EXIF, IPTC, XMP and sidecars."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from PIL import Image, ImageFile, IptcImagePlugin

from engine.library.records import FileStamp, Metadata
from engine.photo.exif import Values, metadata_from_exif, text
from engine.photo.xmp import metadata_from_xmp

MOST_KEYWORDS = 500  # more is no description but an accident
LONGEST_KEYWORD = 200  # characters

_IPTC_KEYWORDS = (2, 25)
_IPTC_CHARSET = (1, 90)


def metadata_of(image: Image.Image, exif: Values, sidecar: bytes | None = None) -> Metadata:
    """What an opened image says of itself, and a sidecar of it.

    A sidecar is believed first, since a person had it written, then the camera, then what programs wrote into the file;
    but a program's rating is believed before the camera's, which rates everything 0. Keywords are those of all places.
    """
    return merged(
        metadata_from_xmp(sidecar),
        metadata_from_exif(exif),
        metadata_from_xmp(image.info.get("xmp") or exif.get(700)),
        Metadata(keywords=tuple(_iptc_keywords(image))),
    )


def merged(sidecar: Metadata, camera: Metadata, programs: Metadata, iptc: Metadata | None = None) -> Metadata:
    """One description of several, field by field."""
    dated = next((said for said in (sidecar, camera, programs) if said.taken_at is not None), Metadata())
    placed = next((said for said in (sidecar, camera, programs) if said.latitude is not None), Metadata())
    ratings = [said.rating for said in (sidecar, programs, camera)]
    return Metadata(
        dated.taken_at,
        dated.taken_offset,
        dated.taken_from,
        sidecar.camera or camera.camera or programs.camera,
        sidecar.lens or camera.lens or programs.lens,
        placed.latitude if placed.longitude is not None else None,
        placed.longitude if placed.latitude is not None else None,
        next((rating for rating in ratings if rating is not None), None),
        _tidy(word for said in (sidecar, programs, iptc or Metadata(), camera) for word in said.keywords),
    )


def dated_by_file(metadata: Metadata, stamp: FileStamp) -> Metadata:
    """The same with the time when the file was written, where the photo itself tells no other."""
    if metadata.taken_from not in (None, "file"):
        return metadata
    try:
        written = datetime.fromtimestamp(stamp.mtime_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return replace(metadata, taken_at=None, taken_offset=None, taken_from=None)
    return replace(metadata, taken_at=written, taken_offset=None, taken_from="file")


def _tidy(words: Iterable[str]) -> tuple[str, ...]:
    """Keywords without spaces around them, each once whatever its case."""
    found: dict[str, str] = {}
    for word in words:
        plain = " ".join("".join(c if c.isprintable() else " " for c in word).split())[:LONGEST_KEYWORD]
        if plain:
            found.setdefault(plain.casefold(), plain)
    return tuple(found.values())[:MOST_KEYWORDS]


def _iptc_keywords(image: Image.Image) -> list[str]:
    if not isinstance(image, ImageFile.ImageFile):
        return []
    try:
        info = IptcImagePlugin.getiptcinfo(image) or {}
    except Exception:  # hand-written binary data, read by a lenient parser
        return []
    values = info.get(_IPTC_KEYWORDS, [])
    utf8 = info.get(_IPTC_CHARSET) == b"\x1b%G"
    return [_decoded(value, utf8) for value in (values if isinstance(values, list) else [values])]


def _decoded(value: object, utf8: bool) -> str:
    """Text whose encoding is often not said, or said wrongly."""
    if not isinstance(value, bytes):
        return ""
    try:
        return text(value.decode())
    except UnicodeDecodeError:
        return text(value if utf8 else value.decode("cp1252", "replace"))
