"""What a decoder's process says is read as data: an honest answer comes through whole, anything else is refused."""

import json
import pickle
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.library.records import Metadata
from engine.library.thumbnails import make
from engine.photo import UnreadablePhoto
from indexer import wire
from indexer.decode import Decoded

SIZE = 4
THUMBNAIL = make(Image.new("RGB", (64, 48), "red"))
PHOTO = Decoded(
    np.arange(3 * SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE, 3),
    THUMBNAIL,
    6000,
    4000,
    "HEIC",
    Metadata(
        datetime(2020, 5, 4, 11, 14, 15, 250, tzinfo=UTC),
        120,
        "exif",
        "Canon",
        "50 mm",
        52.5,
        -13.4,
        -1,
        ("ein", "日本"),
    ),
    "the end of the file is missing",
)
HUGE = (1 << 32) - 1


def reader(message):
    stream = BytesIO(message)

    def read(length):
        assert length <= wire.HEADER or length <= len(message), "room was made for more than may come"
        taken = stream.read(length)
        if len(taken) < length:
            raise EOFError
        return taken

    return read


def read_answer(message):
    return wire.read_answer(reader(message), "/photos/bad.heic", SIZE)


def taken_apart(outcome=PHOTO):
    message = wire.answer(outcome)
    header, first, second = wire._LENGTHS.unpack_from(message)
    start = wire._LENGTHS.size
    return json.loads(message[start : start + header]), message[start + header :][:first], message[-second:]


def put_together(said, pixels, thumbnail):
    header = said if isinstance(said, bytes) else json.dumps(said).encode()
    return wire._LENGTHS.pack(len(header), len(pixels), len(thumbnail)) + header + pixels + thumbnail


@pytest.mark.parametrize("photo", [PHOTO, replace(PHOTO, metadata=Metadata(), warning=None)])
def test_an_answer_comes_out_as_it_went_in(photo):
    came = read_answer(wire.answer(photo))
    np.testing.assert_array_equal(came.pixels, photo.pixels)
    assert replace(came, pixels=photo.pixels) == photo


def test_a_failure_comes_out_with_the_path_that_was_asked_for():
    with pytest.raises(UnreadablePhoto) as caught:
        read_answer(wire.answer(UnreadablePhoto("/elsewhere", "damaged HEIC")))
    assert (caught.value.path, caught.value.reason) == ("/photos/bad.heic", "damaged HEIC")


@given(st.binary(max_size=50), st.binary(max_size=20), st.none() | st.binary(max_size=50))
def test_a_request_comes_out_as_it_went_in(data, name, sidecar):
    path = name.decode("utf-8", "surrogateescape")  # paths are bytes
    assert wire.read_request(reader(wire.request(data, path, SIZE, sidecar))) == (data, path, SIZE, sidecar)


@pytest.mark.parametrize("lengths", [(HUGE, 0, 0), (2, HUGE, 0), (2, 0, HUGE), (2, 3 * SIZE * SIZE + 1, 0)])
def test_sizes_that_no_answer_has_are_refused_before_anything_is_read(lengths):
    with pytest.raises(wire.Malformed):
        read_answer(wire._LENGTHS.pack(*lengths) + b"{}")


@pytest.mark.parametrize("cut", [0, 5, 12, 100, -1])
def test_an_answer_that_ends_too_soon_is_none(cut):
    with pytest.raises(EOFError):
        read_answer(wire.answer(PHOTO)[:cut])


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b"[" * 100_000,
        b'{"width": ' + b"9" * 5000,
        pickle.dumps({"width": 1}),
    ],
)
def test_a_header_that_is_not_one_is_refused(header):
    _, pixels, thumbnail = taken_apart()
    with pytest.raises(wire.Malformed):
        read_answer(put_together(header, pixels, thumbnail))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("width", [None, 0, -1, 1.5, True, "6000", 1 << 31, [1]]),
        ("height", [None, 0, 1 << 80, float("nan")]),
        ("format", [None, "", 7, ["HEIC"], "\ud800"]),
        ("warning", ["", 0, {}, "\udfff"]),
        ("taken_at", ["", 0, "yesterday", "2020-05-04T11:14:15", "9999-12-31T23:59:59-12:00", ["2020"]]),
        ("taken_offset", [1441, -1441, 2.0, False, "2"]),
        ("taken_from", ["", "me", 1, ["exif"]]),
        ("camera", ["", 7, ["Canon"]]),
        ("lens", ["", 7, {"a": 1}]),
        ("latitude", [90.1, float("nan"), float("inf"), 52, "52.5"]),
        ("longitude", [-180.1, float("-inf"), True, "13"]),
        ("rating", [-2, 6, 1.0, True, "5"]),
        ("keywords", [None, "word", {"a": "b"}, [1], [""], ["\ud800"], ["a"] * 501, ["a" * 201]]),
    ],
)
def test_a_field_of_another_type_or_out_of_range_is_refused(field, values):
    said, pixels, thumbnail = taken_apart()
    for value in values:
        with pytest.raises(wire.Malformed, match=field):
            read_answer(put_together({**said, field: value}, pixels, thumbnail))


def test_a_field_too_few_or_too_many_is_refused():
    said, pixels, thumbnail = taken_apart()
    for wrong in [
        {**said, "path": "/etc/passwd"},
        {**said, "reason": "both"},
        {name: value for name, value in said.items() if name != "lens"},
        {"reason": ""},
        {"reason": 7},
    ]:
        with pytest.raises(wire.Malformed):
            read_answer(put_together(wrong, pixels, thumbnail))


def test_pixels_of_another_size_are_refused():
    said, pixels, thumbnail = taken_apart()
    for wrong in (b"", pixels[:-1]):
        with pytest.raises(wire.Malformed):
            read_answer(put_together(said, wrong, thumbnail))


def test_a_thumbnail_that_is_no_small_jpeg_is_refused():
    said, pixels, thumbnail = taken_apart()
    png, large = BytesIO(), BytesIO()
    Image.new("RGB", (8, 8)).save(png, "PNG")
    Image.new("RGB", (641, 8)).save(large, "JPEG")
    for wrong in (b"", b"\xff\xd8\xff", b"<script>", thumbnail[:20], png.getvalue(), large.getvalue()):
        with pytest.raises(wire.Malformed):
            read_answer(put_together(said, pixels, wrong))


@given(st.binary(max_size=200), st.integers(0, 400), st.booleans())
def test_garbage_is_never_more_than_refused(garbage, at, whole):
    good = wire.answer(PHOTO)
    message = garbage if whole else good[:at] + garbage + good[at + len(garbage) :]
    try:
        came = read_answer(message)
    except (EOFError, UnreadablePhoto, wire.Malformed):
        return
    assert came.pixels.shape == (SIZE, SIZE, 3)
