"""The region index: region maps and looks of a library's photos in segments, kept in step with its database."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.library import looks
from engine.library.basis import Basis, Codes
from engine.library.looks import Array, Looks
from engine.library.near_copies import NONE, Pairs, Places, near_copies
from engine.library.segments import SUFFIX, Arrays, Ids, Segment, arrays_of
from engine.library.store import Store

INDEX = "index.json"
FORMAT = 4
BATCH = 256  # photos read from the database, or copied, at once: whole blocks; sketching takes 150 kB a photo
SAMPLE = 256  # photos that a basis is fitted to
HOLLOW = 0.25  # share of photos gone from which on a segment is written anew


@dataclass(frozen=True)
class RegionIndex:
    """The segments, which of their photos count, and the generation of the database that they cover.

    `copies` are the ids of photos that are copies by their looks, each with the id of what it is a copy of.
    """

    library: str
    generation: int
    segments: tuple[Segment, ...]
    held: tuple[NDArray[np.bool_], ...]  # for each segment (N,)
    copies: Pairs
    whole: bool = True  # whether every segment could be opened

    @property
    def ids(self) -> Ids:
        """Ids of all photos that count, ascending."""
        return np.sort(np.concatenate([np.zeros(0, np.int64), *_held_ids(self.segments, self.held)]))

    def without(self, gone: Ids) -> "RegionIndex":
        """The same less some photos."""
        held = tuple(
            mask & np.isin(segment.ids, gone, invert=True)
            for segment, mask in zip(self.segments, self.held, strict=True)
        )
        copies = self.copies[np.isin(self.copies, gone, invert=True).all(axis=1)]
        return RegionIndex(self.library, self.generation, self.segments, held, copies, self.whole)


def library_of(store: Store) -> str:
    """What tells a library from any other."""
    info = store.info()
    return f"{info.fingerprint} {info.created_at.isoformat()}"


def stamp(folder: Path) -> tuple[int, int] | None:
    """Changes whenever the index on disk does; None where there is none."""
    try:
        status = (folder / INDEX).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def generation_on_disk(folder: Path) -> int | None:
    """The generation that the index on disk says it covers; None where there is none that can be read."""
    try:
        return int(_manifest(folder)["generation"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load(folder: Path, library: str, mapped: Iterable[Segment] = ()) -> RegionIndex | None:
    """The index on disk, or None where it is missing, damaged or of another library.

    Segments that are `mapped` already are not opened again; those that cannot be opened are left out.
    """
    known = {segment.path: segment for segment in mapped if segment.is_unchanged()}
    try:
        manifest = _manifest(folder)
        if manifest["library"] != library:
            return None
        generation, entries = int(manifest["generation"]), list(manifest["segments"])
        copies = np.array(manifest["copies"], np.int64).reshape(-1, 2)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    segments, held = [], []
    for entry in entries:
        try:
            path = folder / Path(str(entry["file"])).name
            segment = known.get(path) or Segment.open(path, library)
            mask = np.isin(segment.ids, np.array(entry["gone"], np.int64), invert=True)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        segments.append(segment)
        held.append(mask)
    return RegionIndex(library, generation, tuple(segments), tuple(held), copies, len(segments) == len(entries))


def refresh(store: Store, basis_of: Callable[[], Basis] | None = None, *, rebuild: bool = False) -> RegionIndex:
    """Bring the index on disk up to the database's generation, and return it.

    New segments have sketches in the coordinates of the basis that `basis_of` gives, or where there is none or it does
    not fit, of one fitted to their own photos, which leaves more in doubt.

    Photos that are gone or changed are passed over, new and changed ones go to a segment of their own, and segments are
    merged so that their number grows with the logarithm of the library. `rebuild` starts from nothing. Call it only
    while holding the writer's lock.
    """
    folder, library, generation = store.folder, library_of(store), store.generation()
    old = None if rebuild else load(folder, library)
    if old is not None and old.whole and old.generation == generation:
        return old
    present = store.mapped_ids()
    if old is None:
        kept, missing, copies, left = [], present, NONE, NONE[:, 0]
    else:
        before = old.copies
        old = old.without(np.union1d(store.changed_since(old.generation), np.setdiff1d(old.ids, present)))
        kept = [pair for pair in zip(old.segments, old.held, strict=True) if pair[1].any()]
        missing, there = np.setdiff1d(present, old.ids), np.isin(before, old.ids)
        copies = before[there.all(axis=1)]
        left = before[there[:, 0] & ~there[:, 1], 0]  # what they were copies of is gone, or cannot be read
    basis = basis_of() if basis_of and len(missing) else None
    written = _write_from_database(store, folder, library, generation, missing, basis)
    fresh = [(segment, np.ones(len(segment), np.bool_)) for segment in written]
    pairs = _merged(folder, library, generation, [*kept, *fresh])
    segments, held = tuple(segment for segment, _ in pairs), tuple(mask for _, mask in pairs)
    copies = _copies(segments, held, np.union1d(missing, left), copies)
    index = RegionIndex(library, generation, segments, held, copies)
    _publish(folder, index)
    return index


def damaged(index: RegionIndex) -> list[str]:
    """Names of the segments whose bits are no longer those that were written."""
    return [segment.path.name for segment in index.segments if not segment.is_sound()]


def codes_of(index: RegionIndex, ids: Ids) -> Iterator[tuple[int, Codes]]:
    """The ids among these that the index holds, with their codes (R, D)."""
    for segment, mask in zip(index.segments, index.held, strict=True):
        places = np.flatnonzero(mask & np.isin(segment.ids, ids))
        yield from zip(segment.ids[places].tolist(), segment.codes(places), strict=True)


def are_copies(index: RegionIndex, pairs: Pairs) -> bool:
    """Whether photos look like what they are said to be copies of."""
    ids, vectors = _vectors(index.segments, index.held)
    if not np.isin(pairs, ids).all():
        return False
    copies, firsts = (vectors(np.searchsorted(ids, side)) for side in pairs.T)
    return bool(((copies * firsts).sum(axis=1) >= looks.ALIKE).all())


def discard(folder: Path) -> None:
    """Remove the index."""
    (folder / INDEX).unlink(missing_ok=True)
    for path in folder.glob("regions-*"):
        path.unlink(missing_ok=True)


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError("not an index of this version")
    return manifest


def _held_ids(segments: Iterable[Segment], held: Iterable[NDArray[np.bool_]]) -> list[Ids]:
    return [segment.ids[mask] for segment, mask in zip(segments, held, strict=True)]


def _write_from_database(
    store: Store, folder: Path, library: str, generation: int, ids: Ids, basis: Basis | None
) -> list[Segment]:
    """Segments, one for each shape of region map, of photos in the database."""
    shapes = store.map_shapes(ids.tolist())
    segments = []
    for shape in sorted(set(shapes.values())):
        chosen = np.array([i for i in ids.tolist() if shapes.get(i) == shape], np.int64)

        def read(some: Ids, shape: tuple[int, int] = shape) -> tuple[Ids, Codes]:
            maps = store.region_maps(some.tolist())
            return maps.ids, maps.codes.reshape(len(maps), *shape)

        if basis is not None and len(basis.matrix) == shape[1]:
            own = basis
        else:
            own = Basis.fit(read(chosen[:: len(chosen) // SAMPLE + 1])[1])

        def parts(chosen: Ids = chosen, read: Any = read, own: Basis = own) -> Iterator[Arrays]:
            for start in range(0, len(chosen), BATCH):
                found, codes = read(chosen[start : start + BATCH])
                contents = store.content_hashes(found.tolist())
                seen = Looks.of(looks.read(folder, [contents[i] for i in found.tolist()]))
                yield arrays_of(found, codes, own, seen)

        path = _free_path(folder, generation)
        segments.append(Segment.write(path, library, shape, own, parts(), len(chosen)))
    return segments


def _merged(
    folder: Path, library: str, generation: int, pairs: Sequence[tuple[Segment, NDArray[np.bool_]]]
) -> list[tuple[Segment, NDArray[np.bool_]]]:
    """The same photos in fewer segments: none hollow, and each less than half as large as the one before it."""
    result: list[tuple[Segment, NDArray[np.bool_]]] = []
    shapes = sorted({segment.shape for segment, _ in pairs})
    for shape in shapes:
        alike = [pair for pair in pairs if pair[0].shape == shape]
        groups: list[list[tuple[Segment, NDArray[np.bool_]]]] = []
        for pair in sorted(alike, key=lambda pair: -int(pair[1].sum())):
            groups.append([pair])
            while len(groups) > 1 and 2 * _count(groups[-1]) > _count(groups[-2]):
                last = groups.pop()
                groups[-1] += last
        for group in groups:
            if len(group) == 1 and group[0][1].mean() >= 1 - HOLLOW:
                result += group
            else:
                segment = _merge(_free_path(folder, generation), library, shape, group)
                result.append((segment, np.ones(len(segment), np.bool_)))
    return result


def _count(group: Iterable[tuple[Segment, NDArray[np.bool_]]]) -> int:
    return sum(int(mask.sum()) for _, mask in group)


def _merge(
    path: Path, library: str, shape: tuple[int, int], group: Sequence[tuple[Segment, NDArray[np.bool_]]]
) -> Segment:
    """One segment of the photos of several that count, by ascending id, in coordinates of the first and largest."""
    basis = group[0][0].basis
    owner = np.concatenate([np.full(int(mask.sum()), i) for i, (_, mask) in enumerate(group)])
    place = np.concatenate([np.flatnonzero(mask) for _, mask in group])
    ids = np.concatenate(_held_ids(*zip(*group, strict=True)))
    order = np.argsort(ids, kind="stable")

    def parts() -> Iterator[Arrays]:
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            pieces = [segment.part(place[chosen[owner[chosen] == i]], basis) for i, (segment, _) in enumerate(group)]
            together = np.argsort(np.concatenate([piece["ids"] for piece in pieces]), kind="stable")
            for segment, _ in group:
                segment.release()
            yield {name: np.concatenate([piece[name] for piece in pieces])[together] for name in pieces[0]}

    return Segment.write(path, library, shape, basis, parts(), len(order))


def _copies(segments: Sequence[Segment], held: Sequence[NDArray[np.bool_]], new: Ids, before: Pairs) -> Pairs:
    """The copies among the photos that count, once some are `new`, given the copies among the others."""
    ids, vectors = _vectors(segments, held)
    keys = np.concatenate([segment.looks.keys[mask] for segment, mask in zip(segments, held, strict=True)])
    keys = keys[np.argsort(np.concatenate(_held_ids(segments, held)), kind="stable")]
    return near_copies(ids, keys, vectors, np.isin(ids, new, invert=True), before)


def _vectors(segments: Sequence[Segment], held: Sequence[NDArray[np.bool_]]) -> tuple[Ids, Callable[[Places], Array]]:
    """The ids of the photos that count, ascending, and what gives the looks of some of them, by their places."""
    owner = np.concatenate([np.full(int(mask.sum()), i) for i, mask in enumerate(held)])
    place = np.concatenate([np.flatnonzero(mask) for mask in held])
    ids = np.concatenate(_held_ids(segments, held))
    order = np.argsort(ids, kind="stable")

    def vectors(places: Places) -> Array:
        miniatures = np.empty((len(places), *looks.SHAPE), np.uint8)
        chosen = order[places]
        for i, segment in enumerate(segments):
            of_segment = owner[chosen] == i
            miniatures[of_segment] = segment.looks.miniatures[place[chosen[of_segment]]]
        return looks.units(miniatures)

    return ids[order], vectors


def _free_path(folder: Path, generation: int) -> Path:
    number = 0
    while (path := folder / f"regions-{generation:012d}-{number}{SUFFIX}").exists():
        number += 1
    return path


def _publish(folder: Path, index: RegionIndex) -> None:
    """Make `index` the one on disk, and remove files that it does not name."""
    entries = [
        {"file": segment.path.name, "photos": len(segment), "gone": segment.ids[~mask].tolist()}
        for segment, mask in zip(index.segments, index.held, strict=True)
    ]
    manifest = {
        "format": FORMAT,
        "library": index.library,
        "generation": index.generation,
        "segments": entries,
        "copies": index.copies.tolist(),
    }
    temporary = folder / f"{INDEX}.partial"
    temporary.write_text(json.dumps(manifest), encoding="utf-8")
    temporary.replace(folder / INDEX)
    named = {segment.path.name for segment in index.segments}
    for path in folder.glob("regions-*"):  # also what an earlier version wrote, or left half written
        if path.name not in named:
            path.unlink(missing_ok=True)
