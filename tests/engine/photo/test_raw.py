"""RAW files, made on the spot as DNG."""

from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from engine.photo import SUFFIXES, UnreadablePhoto, open_picture
from tests.engine.photo.dng import make_dng

rawpy = pytest.importorskip("rawpy")


def sensor(width=512, height=384):
    """Red above, blue below."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, :, 0] = pixels[height // 2 :, :, 2] = 200
    return pixels


def preview(colour, size=(400, 300), **options):
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG", **options)
    return buffer.getvalue(), size


def open_(data, path="/photos/x.DNG", square=64):
    return open_picture(data, path, square)


def test_the_picture_of_the_camera_is_used_where_it_is_large_enough():
    picture = open_(make_dng(sensor(), preview((0, 250, 0))))
    assert (picture.format, picture.width, picture.height) == ("RAW", 512, 384)
    assert picture.image.getpixel((10, 10))[1] > 200


def test_a_picture_that_is_too_small_is_developed_from_the_sensor():
    picture = open_(make_dng(sensor(), preview((0, 250, 0), (40, 30))))
    above, below = picture.image.getpixel((100, 20)), picture.image.getpixel((100, picture.image.height - 20))
    assert above[0] > max(above[1:]) and below[2] > max(below[:2])


def test_a_file_without_a_picture_is_developed_from_the_sensor():
    picture = open_(make_dng(sensor()))
    assert (picture.width, picture.height) == (512, 384)
    above = picture.image.getpixel((100, 20))
    assert above[0] > max(above[1:])


@pytest.mark.parametrize("with_preview", [True, False])
def test_a_camera_held_upright_took_an_upright_photo(with_preview):
    shown = preview((0, 250, 0)) if with_preview else None
    picture = open_(make_dng(sensor(), shown, orientation=6))
    assert (picture.width, picture.height) == (384, 512)
    assert picture.image.width < picture.image.height


def test_what_the_camera_wrote_is_known():
    metadata = open_(make_dng(sensor(), preview((0, 250, 0)))).metadata
    assert (metadata.camera, metadata.lens) == ("Canon EOS R5", "RF 35mm")
    assert metadata.taken_at == datetime(2021, 6, 7, 8, 9, 10, tzinfo=UTC)


def test_damage_is_a_reason():
    with pytest.raises(UnreadablePhoto, match="damaged RAW"):
        open_(b"II*\0" + bytes(100))


def test_raw_files_are_looked_for_where_they_can_be_read():
    assert {".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"} <= SUFFIXES
