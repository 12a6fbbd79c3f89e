from io import BytesIO

import pytest
from PIL import Image

from engine.library import thumbnails

HASH = bytes(range(16))
PICTURE = thumbnails.make(Image.new("RGB", (60, 40), "red"))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((2000, 1000), (512, 256)), ((100, 50), (100, 50)), ((3, 9000), (1, 512)), ((512, 512), (512, 512))],
)
def test_a_thumbnail_fits_and_keeps_proportions_and_is_never_enlarged(size, expected):
    with Image.open(BytesIO(thumbnails.make(Image.new("RGB", size, "red")))) as thumbnail:
        assert thumbnail.size == expected


def test_a_thumbnail_is_found_by_the_content_of_its_photo(tmp_path):
    assert thumbnails.read(tmp_path, HASH) is None
    thumbnails.write(tmp_path, HASH, PICTURE)
    assert thumbnails.read(tmp_path, HASH) == PICTURE
    assert thumbnails.thumbnail_path(tmp_path, HASH) == tmp_path / "thumbnails" / "00" / f"{HASH.hex()}.jpg"


def test_writing_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(thumbnails.Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        thumbnails.write(tmp_path, HASH, b"picture")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("left", [b"", bytes(len(PICTURE)), PICTURE[:-20], PICTURE[:-20] + bytes(20)])
def test_a_thumbnail_that_a_power_failure_has_damaged_counts_as_missing(tmp_path, left):
    thumbnails.write(tmp_path, HASH, left)
    assert thumbnails.read(tmp_path, HASH) is None


def test_removing_a_thumbnail_that_is_not_there_is_no_error(tmp_path):
    thumbnails.remove(tmp_path, HASH)


def test_what_a_killed_process_left_half_written_is_deleted_and_nothing_else(tmp_path):
    thumbnails.write(tmp_path, HASH, b"picture")
    (tmp_path / "thumbnails" / "x.partial").touch()
    (tmp_path / "regions-y.partial").touch()
    (tmp_path / "library.db").touch()
    thumbnails.clear_partial(tmp_path)
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == [f"{HASH.hex()}.jpg", "library.db"]
