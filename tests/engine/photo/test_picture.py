"""Every format and every failure, from files made on the spot."""

import os
import struct
import zlib
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms, ImageOps

from engine.photo import UnreadablePhoto, UnreadFile, load_square, load_upright, open_picture, read_file, squash

pillow_heif.register_heif_opener()

SCAN = b"\xff\xda\0\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0"  # how the pixels of a JPEG begin
QUARTERS = {(0, 0): (250, 20, 20), (0, 1): (20, 250, 20), (1, 0): (20, 20, 250), (1, 1): (250, 250, 250)}
AS_STORED = {  # what a camera held so stores of an upright picture, from the EXIF standard's description of the tag
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: np.rot90,
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


def quarters(width=96, height=64):
    """A picture whose four quarters tell which way is up."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for (row, col), colour in QUARTERS.items():
        pixels[row * height // 2 : (row + 1) * height // 2, col * width // 2 : (col + 1) * width // 2] = colour
    return pixels


def encode(image, format_, **options):
    if not isinstance(image, Image.Image):
        image = Image.fromarray(np.ascontiguousarray(image))
    buffer = BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def open_(data, square=16, fit=512):
    return open_picture(data, "/photos/x.jpg", square, fit)


def reason(data, **options):
    with pytest.raises(UnreadablePhoto) as caught:
        open_(data, **options)
    assert caught.value.path == "/photos/x.jpg"
    assert "/photos/x.jpg" in str(caught.value) and caught.value.reason in str(caught.value)
    return caught.value.reason


def near(image, pixels, tolerance):
    return np.abs(np.asarray(image, np.int16) - pixels).max() <= tolerance


# Upright


pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


@pytest.mark.parametrize("orientation", AS_STORED)
@pytest.mark.parametrize(
    ("format_", "tolerance"), [("PNG", 0), ("TIFF", 0), ("WEBP", 0), ("JPEG", 30), ("AVIF", 60), ("HEIF", 90)]
)
def test_a_photo_is_turned_upright_whichever_way_the_camera_was_held(orientation, format_, tolerance):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format_, {})
    if format_ == "HEIF":
        exif = exif.tobytes()  # which makes the encoder say it in the way of HEIF too, as telephones do
    data = encode(AS_STORED[orientation](quarters()), format_, exif=exif, **options)
    picture = open_(data)
    assert (picture.width, picture.height) == picture.image.size == (96, 64)
    for (row, col), colour in QUARTERS.items():
        assert near(picture.image.getpixel((24 + 48 * col, 16 + 32 * row)), np.array(colour), tolerance)
    if format_ in ("AVIF", "HEIF"):
        return
    assert near(picture.image, quarters(), tolerance)
    with Image.open(BytesIO(data)) as image:
        oracle = ImageOps.exif_transpose(image).convert("RGB")
    assert near(picture.image, np.asarray(oracle, np.int16), 0)


@pytest.mark.parametrize("orientation", AS_STORED)
def test_a_large_jpeg_is_upright_too_when_it_is_decoded_small(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_(encode(AS_STORED[orientation](quarters(2400, 1600)), "JPEG", exif=exif), square=100, fit=200)
    assert (picture.width, picture.height) == (2400, 1600)
    assert picture.image.width < 500
    for (row, col), colour in QUARTERS.items():
        where = ((col + 0.5) * picture.image.width // 2, (row + 0.5) * picture.image.height // 2)
        assert near(picture.image.getpixel(tuple(map(int, where))), np.array(colour), 12)


def test_an_orientation_that_no_standard_knows_changes_nothing():
    exif = Image.Exif()
    exif[0x0112] = 77
    assert near(open_(encode(quarters(), "PNG", exif=exif)).image, quarters(), 0)


# The scale needed


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("size", [(4000, 3000), (4032, 3024), (640, 480), (100, 80), (3000, 60), (1, 1)])
@pytest.mark.parametrize("square", [224, 448])
def test_a_picture_is_as_large_as_asked_for_and_not_much_larger(format_, size, square):
    image = open_(encode(Image.new("L", size, 100), format_), square=square, fit=512).image
    needed = min(1, max(square / min(size), 480 / max(size)))
    for side, whole in zip(image.size, size, strict=True):
        assert side >= int(whole * needed)
        assert side <= 2 * whole * needed + 2
    assert near(image, 100, 1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_a_large_picture_shrunk_in_strips_is_the_picture_shrunk_at_once(mode, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise).convert(mode), "PNG")
    at_once = open_(data, square=50, fit=100).image
    monkeypatch.setattr("engine.photo.pixels.STRIP", 1200 * 50)
    assert near(open_(data, square=50, fit=100).image, np.asarray(at_once, np.int16), 0)
    assert at_once.width < 200


def test_squashing_shows_the_whole_picture():
    square = squash(Image.fromarray(quarters(96, 32)), 32)
    assert square.shape == (32, 32, 3) and square.dtype == np.uint8
    for (row, col), colour in QUARTERS.items():
        assert near(square[8 + 16 * row, 8 + 16 * col], np.array(colour), 2)


def test_photos_are_loaded_for_the_model_and_for_people_alike(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(encode(quarters(), "PNG"))
    np.testing.assert_array_equal(load_square(path, 32), squash(Image.fromarray(quarters()), 32))
    assert load_upright(path, 48).size == (48, 32)


# Formats and modes


@pytest.mark.parametrize(
    ("format_", "name", "tolerance"),
    [
        ("JPEG", "JPEG", 40),
        ("MPO", "JPEG", 40),
        ("PNG", "PNG", 0),
        ("WEBP", "WEBP", 60),
        ("GIF", "GIF", 5),
        ("TIFF", "TIFF", 0),
        ("BMP", "BMP", 0),
        ("AVIF", "AVIF", 60),
        ("HEIF", "HEIC", 60),
    ],
)
def test_every_format_is_read_and_of_several_frames_the_first(format_, name, tolerance):
    several = {"save_all": True, "append_images": [Image.new("RGB", (96, 64))]}
    options = several if format_ in {"MPO", "GIF", "TIFF", "WEBP", "PNG", "HEIF", "AVIF"} else {}
    picture = open_(encode(quarters(), format_, **options))
    assert (picture.format, picture.width, picture.height) == (name, 96, 64)
    for (row, col), colour in QUARTERS.items():
        assert near(picture.image.getpixel((24 + 48 * col, 16 + 32 * row)), np.array(colour), tolerance)


@pytest.mark.parametrize(
    ("mode", "value", "format_", "expected"),
    [
        ("L", 100, "PNG", (100, 100, 100)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("LA", (0, 255), "PNG", (0, 0, 0)),
        ("LA", (0, 0), "PNG", (255, 255, 255)),
        ("RGBA", (200, 0, 0, 255), "PNG", (200, 0, 0)),
        ("RGBA", (200, 0, 0, 0), "PNG", (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), "WEBP", (204, 204, 204)),
        ("I;16", 200 << 8, "PNG", (200, 200, 200)),
        ("I;16", 200 << 8, "TIFF", (200, 200, 200)),
        ("CMYK", (0, 255, 255, 0), "TIFF", (255, 0, 0)),
        ("F", 1.0, "TIFF", (0, 0, 0)),
        ("CMYK", (0, 255, 255, 0), "JPEG", (255, 0, 0)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb_and_what_is_transparent_becomes_white(mode, value, format_, expected):
    options = {"lossless": True} if format_ == "WEBP" else {}
    picture = open_(encode(Image.new(mode, (40, 30), value), format_, **options))
    assert picture.image.mode == "RGB"
    assert near(picture.image, np.array(expected), 2)


def test_a_palette_with_a_transparent_colour_is_laid_on_white():
    image = Image.new("P", (40, 30), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (20, 0, 40, 30))
    picture = open_(encode(image, "PNG", transparency=0))
    assert picture.image.getpixel((5, 5)) == (255, 255, 255)
    assert picture.image.getpixel((30, 5)) == (200, 100, 50)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_an_agreed_white_are_stretched_over_their_own_range(mode):
    ramp = Image.fromarray(np.linspace(-5, 9000, 256, dtype=np.float32)[None].repeat(4, 0)).convert(mode)
    row = np.asarray(open_(encode(ramp, "TIFF"), square=4).image)[0, :, 0].astype(int)
    assert row[0] == 0 and row[-1] == 255 and (np.diff(row) >= 0).all()


def test_a_colour_profile_is_heeded():
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for first, second in ((b"rXYZ", b"gXYZ"),):  # a profile in which red is green
        swapped = swapped.replace(first, b"####").replace(second, first).replace(b"####", second)
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "odd!".encode("utf-16-be")).replace(b"sRGB", b"odd!")
    red = Image.new("RGB", (40, 30), (255, 0, 0))
    assert near(open_(encode(red, "PNG", icc_profile=swapped)).image, np.array((0, 255, 0)), 6)


@pytest.mark.parametrize(
    "profile",
    [b"no profile", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()],
    ids=["none", "of no pictures"],  # the bytes of a profile say when it was made
)
def test_a_colour_profile_that_cannot_be_used_is_ignored(profile):
    assert near(open_(encode(quarters(), "PNG", icc_profile=profile)).image, quarters(), 0)


# What a photo says of itself


def exif(**values):
    tags = {"make": 271, "model": 272, "time": 306}
    inner = {"original": 36867, "digitized": 36868, "offset_original": 36881}
    written = Image.Exif()
    for name, value in values.items():
        if name in tags:
            written[tags[name]] = value
        else:
            written.get_ifd(0x8769)[inner[name]] = value
    return written


@pytest.mark.parametrize(
    ("values", "taken_at"),
    [
        ({"original": "2020:05:04 13:14:15"}, datetime(2020, 5, 4, 13, 14, 15, tzinfo=UTC)),
        (
            {"original": "2020:05:04 13:14:15", "offset_original": "+02:00"},
            datetime(2020, 5, 4, 11, 14, 15, tzinfo=UTC),
        ),
        ({"original": "2020:05:04 23:14:15", "offset_original": "-03:30"}, datetime(2020, 5, 5, 2, 44, 15, tzinfo=UTC)),
        ({"original": "2020:05:04 13:14:15", "offset_original": "?"}, datetime(2020, 5, 4, 13, 14, 15, tzinfo=UTC)),
        ({"original": "2020-05-04 13:14:15.25\0"}, datetime(2020, 5, 4, 13, 14, 15, tzinfo=UTC)),
        ({"digitized": "2020:05:04 00:00:00", "time": "2024:01:01 00:00:00"}, datetime(2020, 5, 4, tzinfo=UTC)),
        ({"original": "0000:00:00 00:00:00", "time": "2024:01:01 00:00:00"}, datetime(2024, 1, 1, tzinfo=UTC)),
        ({"original": "    :  :     :  :  "}, None),
        ({"original": "yesterday"}, None),
        ({"original": "0001:01:01 00:00:00", "offset_original": "+10:00"}, None),
        ({}, None),
    ],
)
def test_the_date_is_the_one_that_the_camera_noted(values, taken_at):
    assert open_(encode(quarters(), "JPEG", exif=exif(**values))).metadata.taken_at == taken_at


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 80D", "Canon EOS 80D"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 12 Pro", "Apple iPhone 12 Pro"),
        ("OLYMPUS IMAGING CORP.  ", "E-M5          ", "OLYMPUS E-M5"),
        ("samsung", "SM-G991B", "samsung SM-G991B"),
        ("SONY\0garbage", "DSC-RX100\0\0", "SONY DSC-RX100"),
        ("Konica Minolta Camera, Inc.", "DiMAGE", "Konica Minolta Camera DiMAGE"),
        ("Canon", "", "Canon"),
        ("", "X\x1b[31m100", "X[31m100"),
        ("", "", None),
    ],
)
def test_the_camera_is_make_and_model_as_people_say_them(make, model, camera):
    assert open_(encode(quarters(), "JPEG", exif=exif(make=make, model=model))).metadata.camera == camera


def test_broken_metadata_is_no_reason_to_lose_a_photo():
    data = encode(quarters(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + os.urandom(64))
    picture = open_(data)
    assert picture.image.size == (96, 64)


# Failures


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_its_end_is_read_as_far_as_it_goes_and_says_so(progressive):
    noise = np.random.default_rng(0).integers(0, 60, (480, 640, 3), dtype=np.uint8)
    whole = encode(noise, "JPEG", progressive=progressive)
    picture = open_(whole[: 2 * len(whole) // 3])
    assert picture.warning == "the end of the file is missing"
    assert (picture.width, picture.height) == (640, 480)
    intact = open_(whole)
    assert intact.warning is None
    assert near(picture.image.crop((0, 0, 640, 200)), np.asarray(intact.image.crop((0, 0, 640, 200)), np.int16), 60)


def png_header(width, height):
    """A PNG that says it is this large and holds nothing."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty file"),
        (b"Dear diary", "not an image this program can read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image this program can read"),
        (b"GIF89a", "not an image this program can read"),
        (encode(quarters(640, 480), "JPEG").split(b"\xff\xda")[0] + SCAN, "truncated JPEG: "),
        (encode(quarters(640, 480), "PNG")[:-500], "truncated PNG: "),
        (png_header(40_000, 9_000), "40,000×9,000 pixels; PNG images up to 200 megapixels are read"),
        (png_header(100, 100), "truncated PNG: "),
    ],
    ids=["empty", "text", "postscript", "only a signature", "truncated JPEG", "truncated PNG", "bomb", "hollow"],
)
def test_a_file_that_is_no_whole_image_is_refused_with_the_reason(data, expected):
    assert reason(data).startswith(expected)


def test_a_small_file_that_unpacks_to_400_megapixels_is_refused_before_it_is_unpacked(recwarn, monkeypatch):
    data = encode(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(data) < 100_000
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    assert reason(data) == "20,000×20,000 pixels; PNG images up to 200 megapixels are read"
    assert not recwarn.list


def test_a_jpeg_as_large_is_read_since_it_is_decoded_at_an_eighth():
    data = encode(Image.new("L", (20_000, 20_000), 90), "JPEG")
    picture = open_(data)
    assert (picture.width, picture.height) == (20_000, 20_000)
    assert picture.image.width < 1100


def test_a_progressive_jpeg_as_large_is_refused_since_it_is_held_whole(monkeypatch):
    monkeypatch.setattr("engine.photo.formats.MAX_PROGRESSIVE", 1_000_000)
    data = encode(Image.new("L", (1200, 1000)), "JPEG", progressive=True)
    assert reason(data) == "1,200×1,000 pixels; progressive JPEG images up to 1 megapixels are read"


def test_damage_of_any_kind_is_an_error_with_a_reason_and_never_another_one():
    random = np.random.default_rng(0)
    for format_ in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "AVIF", "HEIF"):
        whole = np.frombuffer(encode(quarters(), format_, exif=exif(model="X")), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            where = random.integers(0, len(whole), 6)
            damaged[where] = random.integers(0, 256, 6)
            try:
                open_(damaged.tobytes())
            except UnreadablePhoto as error:
                assert error.reason and "\n" not in error.reason


def test_a_plain_file_is_read_once_and_known_by_its_content(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "b").write_bytes(b"x" * 10)
    (tmp_path / "c").write_bytes(b"y" * 10)
    a, b, c = (read_file(str(tmp_path / name)) for name in "abc")
    assert a.data == b"x" * 10 and a.stamp.size == 10
    assert len(a.content_hash) == 16
    assert a.content_hash == b.content_hash != c.content_hash


def test_a_file_with_a_name_that_is_not_utf8_is_read(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Path(path).write_bytes(encode(quarters(), "PNG"))
    assert open_picture(read_file(path).data, path, 16).width == 96


def test_a_file_that_cannot_be_opened_says_nothing_about_its_content(tmp_path):
    for path, expected in ((tmp_path / "gone.jpg", "no such file or directory"), (tmp_path, "is a directory")):
        with pytest.raises(UnreadFile) as caught:
            read_file(str(path))
        assert caught.value.reason == expected


def test_a_disk_that_fails_in_the_middle_of_a_file_says_nothing_about_its_content():
    with pytest.raises(UnreadFile) as caught:
        read_file("/proc/self/mem")  # can be opened, and fails at the first byte like a network disk that went away
    assert caught.value.reason in ("input/output error", "changed while it was being read")


def test_a_file_that_changes_while_it_is_being_read_is_left_for_another_time():
    with pytest.raises(UnreadFile, match="changed while it was being read"):
        read_file("/proc/self/status")  # reports no size, then holds bytes: to a reader, a file that grows


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadFile, match="not a plain file"):
        read_file(str(tmp_path / "pipe.jpg"))


def test_a_file_far_larger_than_a_photo_is_not_read_into_memory(tmp_path):
    with (tmp_path / "film.jpg").open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(UnreadablePhoto, match="3,221,225,472 bytes, more than 536,870,912"):
        read_file(str(tmp_path / "film.jpg"))
