"""Your own photos: a folder with a table of tags.

    tags.csv        two columns, `file` (below the folder) and `tags` (separated by commas or semicolons)
    unseen.txt      optional: tags to keep from training, one a line

The seed draws a fifth of the photos for testing and a tenth for validation.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from engine.errors import DataError
from engine.training.datasets.base import Dataset, Split, file_names, positives, seen_first, shuffled
from engine.training.datasets.files import Expected, corrupt, lines, locate

FILES = {"table": Expected(("tags.csv",), "you: a header line “file,tags”, then a photo a line")}


def csv_tags(data: Path, unseen: Sequence[str] | None = None, seed: int = 0) -> Dataset:
    """The photos and tags in `data`, tags in alphabetical order; `unseen` replaces what `unseen.txt` says.

    Raises:
        DataError: the table is missing or damaged (with its line), or no photo has an unseen tag.
    """
    path = locate("A CSV data set", data, FILES)["table"]
    if unseen is None:
        listed = lines(data / "unseen.txt") if (data / "unseen.txt").exists() else ()
        unseen = [tag.strip() for tag in listed if tag.strip()]
    photos = _photos(path)
    found = sorted(set().union(*photos.values()))
    if unknown := set(unseen) - set(found):
        raise DataError(f"{path} has no photo tagged {', '.join(sorted(unknown))}", "Correct the list of unseen tags")
    tags, seen_count = seen_first(found, unseen)
    column = {tag: i for i, tag in enumerate(tags)}
    annotations = positives(([column[tag] for tag in names] for names in photos.values()), len(tags))
    everything = Split(data, file_names(photos), annotations)
    train, validation, test = shuffled(everything, seed, 0.7, 0.8)
    return Dataset("csv", tags, seen_count, train.with_positives(slice(seen_count)), validation, test)


def _photos(path: Path) -> dict[str, set[str]]:
    """Tags of each photo. A photo on several lines has the tags of all of them."""
    photos: dict[str, set[str]] = {}
    table = csv.DictReader(lines(path), strict=True)
    try:
        if not {"file", "tags"} <= set(table.fieldnames or ()):
            raise corrupt(path, 1, "expected the columns file and tags")
        for row in table:
            if not row["file"] or row["tags"] is None or None in row:
                raise corrupt(path, table.line_num, "expected a file and its tags; put several tags in quotes")
            tags = {tag.strip() for tag in row["tags"].replace(";", ",").split(",")} - {""}
            photos.setdefault(row["file"], set()).update(tags)
    except csv.Error as error:
        raise corrupt(path, table.line_num, f"{error}; are its quotes right?") from error
    if not photos:
        raise corrupt(path, None, "it names no photo")
    return photos
