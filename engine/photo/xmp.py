"""What people and their programs wrote: XMP, inside a photo or in a sidecar beside it.

The parts read are those of the XMP specification (ISO 16684-1) that photo managers agree on: `dc:subject`,
`lr:hierarchicalSubject`, `xmp:Rating`, dates, camera, lens and place.
"""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from engine.library.records import Metadata
from engine.photo.exif import camera_name, stars

MAX_BYTES = 4 << 20
_PADDING = "\0 \r\n\t"
_UTF_16 = {BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be", b"<\0": "utf-16-le", b"\0<\0": "utf-16-be"}

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC = "{http://purl.org/dc/elements/1.1/}"
OURS = "{https://unseen.example/ns/1.0/}"  # what `unseen export` wrote
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_EXIF_EX = "{http://cipa.jp/exif/1.0/}"
_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_AUX = "{http://ns.adobe.com/exif/1.0/aux/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_LIGHTROOM = "{http://ns.adobe.com/lightroom/1.0/}"
_DIGIKAM = "{http://www.digikam.org/ns/1.0/}"


def metadata_from_xmp(packet: bytes | str | None) -> Metadata:
    """What an XMP packet says of a photo; nothing where it cannot be read."""
    if isinstance(packet, str):
        packet = packet.encode()
    if not packet or len(packet) > MAX_BYTES:
        return Metadata()
    try:
        root: Element = fromstring(without_padding(packet))
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return Metadata()
    said = _Properties(root)
    taken_at, offset = _moment(said.text(f"{_EXIF}DateTimeOriginal", f"{_PHOTOSHOP}DateCreated", f"{_XMP}CreateDate"))
    return Metadata(
        taken_at,
        offset,
        None if taken_at is None else "xmp",
        camera_name(said.text(f"{_TIFF}Make"), said.text(f"{_TIFF}Model")),
        said.text(f"{_EXIF_EX}LensModel", f"{_AUX}Lens") or None,
        _degrees(said.text(f"{_EXIF}GPSLatitude"), "NS", 90),
        _degrees(said.text(f"{_EXIF}GPSLongitude"), "EW", 180),
        stars(said.text(f"{_XMP}Rating")),
        tuple(word for word in said.list(f"{DC}subject") if word not in said.list(f"{OURS}tags"))
        or tuple(
            path.replace("/", "|").split("|")[-1]
            for path in said.list(f"{_LIGHTROOM}hierarchicalSubject") or said.list(f"{_DIGIKAM}TagsList")
        ),
    )


def without_padding(packet: bytes) -> bytes:
    """An XMP packet without what surrounds it; raises UnicodeError for UTF-16 that is damaged."""
    kind = next((kind for begin, kind in _UTF_16.items() if packet.startswith(begin)), None)
    return packet.strip(_PADDING.encode()) if kind is None else packet.decode(kind).strip(_PADDING).encode(kind)


class _Properties:
    """Properties of a packet, which may be written as attributes or as elements."""

    def __init__(self, root: Element) -> None:
        self._descriptions = list(root.iter(f"{RDF}Description"))

    def text(self, *names: str) -> str:
        """The first of these properties that is there."""
        for name in names:
            for value in self._values(name):
                plain = "".join(c for c in value if c.isprintable()).strip()
                if plain:
                    return plain
        return ""

    def list(self, name: str) -> tuple[str, ...]:
        """All items of a bag or sequence."""
        return tuple(
            item.text or ""
            for description in self._descriptions
            for element in description.iterfind(name)
            for item in element.iter(f"{RDF}li")
        )

    def _values(self, name: str) -> Iterator[str]:
        for description in self._descriptions:
            yield description.get(name, "")
            for element in description.iterfind(name):
                yield element.text or ""


def _moment(written: str) -> tuple[datetime | None, int | None]:
    """2020-05-04T13:14:15+02:00 → the moment in UTC and minutes east of UTC; a day alone is its first moment."""
    try:
        moment = datetime.fromisoformat(written)
        offset = moment.utcoffset()
        if offset is None:
            return moment.replace(tzinfo=UTC), None
        return moment.astimezone(UTC), round(offset / timedelta(minutes=1))
    except (ValueError, OverflowError):
        return None, None


def _degrees(written: str, sides: str, most: int) -> float | None:
    """52,30.5N or 52,30,30N → degrees, negative to the south and west."""
    try:
        negative = sides.index(written[-1:].upper() or "?") == 1
        parts = [float(part) for part in written[:-1].split(",")]
    except ValueError:
        return None
    degrees, minutes, seconds = [*parts, 0.0, 0.0][:3]
    value = degrees + minutes / 60 + seconds / 3600
    if not 0 <= value <= most or len(parts) > 3:
        return None
    return round(-value if negative else value, 7)
