import pytest

from indexer.pairs import pair


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "b.png"], {"a.jpg": [], "b.png": []}),
        (["a.jpg", "a.cr2", "A.NEF"], {"a.jpg": [("A.NEF", "raw"), ("a.cr2", "raw")]}),
        (["a.cr2"], {"a.cr2": []}),
        (["a.cr2", "a.xmp"], {"a.cr2": [("a.xmp", "sidecar")]}),
        (["a.png", "a.cr2"], {"a.cr2": [], "a.png": []}),
        (["a.heic", "a.mov"], {"a.heic": [("a.mov", "video")]}),
        (["a.png", "a.mov"], {"a.png": []}),
        (["a.mov"], {}),
        (["a.heic", "a.jpg", "a.mov"], {"a.heic": [("a.mov", "video")], "a.jpg": []}),
        (["a.jpg", "a.cr2", "a.cr2.xmp"], {"a.jpg": [("a.cr2", "raw"), ("a.cr2.xmp", "sidecar")]}),
        (["a.jpg", "a.jpg.xmp", "a.xmp"], {"a.jpg": [("a.jpg.xmp", "sidecar"), ("a.xmp", "sidecar")]}),
        (["notes.txt", "a.xmp"], {}),
        (
            ["a.JPG", "a.JPG.xmp", "a.jpg", "a.jpg.XMP"],
            {"a.JPG": [("a.JPG.xmp", "sidecar")], "a.jpg": [("a.jpg.XMP", "sidecar")]},
        ),
    ],
)
def test_files_that_are_one_photo_to_people_are_one(names, expected):
    assert pair(names) == expected
    assert pair(reversed(names)) == expected
