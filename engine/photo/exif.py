"""What the camera wrote: EXIF."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from PIL import ExifTags, Image

from engine.library.records import Metadata

Values = dict[int, Any]

_GPS = ExifTags.IFD.GPSInfo
_RATING, _XP_KEYWORDS = 0x4746, 0x9C9E  # Microsoft's
_QUARTER = 15  # minutes; what offsets from UTC are whole numbers of


def exif_values(image: Image.Image) -> Values:
    """All EXIF values by tag; those that cannot be read are no reason to lose the photo."""
    try:
        return all_values(image.getexif())
    except Exception:  # hand-written binary data, read by a lenient parser
        return {}


def all_values(exif: Image.Exif) -> Values:
    """Values of all parts by tag; those of the GPS part together under the tag that points to it."""
    return {**exif, **exif.get_ifd(ExifTags.IFD.Exif), _GPS: dict(exif.get_ifd(_GPS))}


def metadata_from_exif(exif: Values) -> Metadata:
    """What the camera wrote of a photo."""
    taken_at, offset = _taken(exif)
    place = exif.get(_GPS) or {}
    tags = ExifTags.GPS
    latitude = _degrees(place.get(tags.GPSLatitude), text(place.get(tags.GPSLatitudeRef)), 90)
    longitude = _degrees(place.get(tags.GPSLongitude), text(place.get(tags.GPSLongitudeRef)), 180)
    known = latitude is not None and longitude is not None and (latitude, longitude) != (0, 0)
    return Metadata(
        taken_at,
        offset,
        None if taken_at is None else "exif",
        camera_name(text(exif.get(ExifTags.Base.Make)), text(exif.get(ExifTags.Base.Model))),
        " ".join(text(exif.get(ExifTags.Base.LensModel)).split()).strip("-") or None,
        latitude if known else None,
        longitude if known else None,
        stars(exif.get(_RATING)),
        _keywords(exif.get(_XP_KEYWORDS)),
    )


def camera_name(make: str, model: str) -> str | None:
    """Make and model without company forms and without the brand twice: “Canon EOS 80D”, “Apple iPhone 12”."""
    forms = {"corporation", "corp", "imaging", "optical", "co", "ltd", "inc", "company", "electronics", "techwin"}
    words = make.replace(",", " ").split()
    brand = [word for i, word in enumerate(words) if i == 0 or word.strip(".").lower() not in forms]
    if not model or (brand and model.lower().startswith(brand[0].lower())):
        brand = brand if not model else []
    return " ".join([*brand, *model.split()]) or None


def stars(value: Any) -> int | None:
    """A rating from -1 to 5; None for anything else."""
    try:
        rating = round(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return rating if -1 <= rating <= 5 else None


def text(value: Any) -> str:
    """An EXIF string without padding; empty for anything else."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    return "".join(c for c in value.split("\0")[0] if c.isprintable()).strip()


def offset_minutes(written: str) -> int | None:
    """+02:00 → 120; None for anything else."""
    try:
        hours, minutes = written[1:].split(":")
        ahead = 60 * int(hours) + int(minutes)
    except ValueError:
        return None
    return {"+": ahead, "-": -ahead}.get(written[:1]) if 0 <= ahead <= 14 * 60 else None


def _taken(exif: Values) -> tuple[datetime | None, int | None]:
    """When, in UTC, and minutes east of UTC where the camera noted them or the satellites' time tells."""
    tags = ExifTags.Base
    for moment, noted in (
        (tags.DateTimeOriginal, tags.OffsetTimeOriginal),
        (tags.DateTimeDigitized, tags.OffsetTimeDigitized),
        (tags.DateTime, tags.OffsetTime),
    ):
        try:
            shown = datetime.strptime(text(exif.get(moment))[:19].replace("-", ":"), "%Y:%m:%d %H:%M:%S")
            offset = offset_minutes(text(exif.get(noted)))
            if offset is None:
                offset = _offset_by_satellite(shown, exif.get(_GPS) or {})
            zone = timezone(timedelta(minutes=offset or 0))
            return shown.replace(tzinfo=zone).astimezone(UTC), offset
        except (ValueError, OverflowError):
            continue
    return None, None


def _offset_by_satellite(shown: datetime, place: Values) -> int | None:
    """What the camera's clock was ahead of the satellites', to a quarter of an hour; None where that is no zone."""
    try:
        day = datetime.strptime(text(place.get(ExifTags.GPS.GPSDateStamp)), "%Y:%m:%d")
        hours, minutes, seconds = (float(part) for part in place[ExifTags.GPS.GPSTimeStamp])
        ahead = (shown - day - timedelta(hours=hours, minutes=minutes, seconds=seconds)).total_seconds() / 60
        offset = _QUARTER * round(ahead / _QUARTER)
    except (ValueError, KeyError, TypeError, ArithmeticError):
        return None
    return offset if abs(offset) <= 14 * 60 and abs(ahead - offset) <= 3 else None


def _degrees(parts: Any, side: str, most: int) -> float | None:
    """Degrees, minutes and seconds → degrees, negative to the south and west."""
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
        value = degrees + minutes / 60 + seconds / 3600
    except (TypeError, ValueError, ArithmeticError):
        return None
    if not 0 <= value <= most:  # NaN is neither
        return None
    return round(-value if side.upper() in ("S", "W") else value, 7)


def _keywords(value: Any) -> tuple[str, ...]:
    """What the file manager of Windows writes: UTF-16, with semicolons between."""
    if isinstance(value, tuple) and all(isinstance(part, int) and 0 <= part < 256 for part in value):
        value = bytes(value)
    if not isinstance(value, bytes):
        return ()
    return tuple(value.decode("utf-16-le", "replace").split("\0")[0].split(";"))
