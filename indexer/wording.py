"""Reports and states in words, for people at a terminal."""

from datetime import UTC, datetime

from engine.library.status import Status
from indexer.pipeline import Report


def shown(path: str) -> str:
    """A path as a terminal can show it: what it would obey, or has no letter for, becomes �."""
    return "".join(character if character.isprintable() else "�" for character in path)


def report_in_words(report: Report) -> str:
    """One line of counts, and what to do about failures."""
    counts = (
        f"{report.found:,} photos found: {report.added:,} added, {report.updated:,} updated, "
        f"{report.unchanged:,} unchanged, {report.moved:,} moved, {report.removed:,} removed, {report.failed:,} failed"
    )
    speed = f" ({report.images_per_second:.1f} photos a second)" if report.added + report.updated else ""
    hint = "\nSee what failed and why: unseen status --failed" if report.failed else ""
    return f"{counts}, in {report.seconds:.1f} s{speed}{hint}"


def status_in_words(state: Status) -> str:
    """A line for each thing worth knowing."""
    index = (
        "up to date" if state.index_up_to_date else "behind the database (unseen index or unseen db rebuild tops it up)"
    )
    notes = [
        *([f"the files of {state.missing:,} are gone"] if state.missing else []),
        *([f"{state.waiting:,} wait for unseen index to look at them, or for their files"] if state.waiting else []),
    ]
    rows = {
        "library": str(state.folder),
        "photos": f"{state.photos:,}" + (f" ({'; '.join(notes)})" if notes else ""),
        "failed": f"{len(state.failures):,}" + (" (unseen status --failed names them)" if state.failures else ""),
        "folders": ", ".join(map(shown, state.roots)) or "none to the end yet",
        "model": f"{state.bundle} ({state.fingerprint[:8]})",
        "updated": f"{_ago(state.updated_at)}, made {_ago(state.created_at)}",
        "index": index,
        "on disk": f"database {_size(state.database_bytes)}, index {_size(state.index_bytes)}, "
        f"thumbnails {_size(state.thumbnail_bytes)}",
    }
    return "\n".join(f"{name:9}{value}" for name, value in rows.items())


def _ago(moment: datetime) -> str:
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
