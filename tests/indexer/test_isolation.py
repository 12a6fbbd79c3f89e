"""A decoder that hangs, crashes or swallows memory is ended, and the next photo is decoded all the same."""

import os
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from engine.photo import UnreadablePhoto
from indexer import isolation
from indexer.isolation import Decoders

# In the process: what decodes a photo called so.
BAD = """
import json, os, pickle, struct, time
from indexer import isolation
def decode(data, path, size, sidecar):
    if path == "hang":
        while True: pass
    if path == "crash": os.abort()
    if path == "swallow": return bytearray(64 << 30)
    if path == "print": print("noise")
    if path in ANSWERS: os.write(SINK, ANSWERS[path])
    if path == "mute": time.sleep(99)
    return really(data, path, size, sidecar)
class Harm:
    def __reduce__(self): return os.abort, ()
harm = pickle.dumps(Harm())
ANSWERS = {
    "garbage": bytes(range(256)) * 9,
    "pickle": struct.pack("<Q", len(harm)) + harm,
    "pickled header": struct.pack("<III", len(harm), 0, 0) + harm,
    "huge": b"\\xff" * 12,
    "wrong type": struct.pack("<III", 12, 0, 0) + b'{"width": 1}',
}
SINK = os.dup(1)
really, isolation.decode = isolation.decode, decode
isolation.SECONDS = 1
isolation._serve()
"""


def tiff():
    buffer = BytesIO()
    Image.new("RGB", (64, 48), "red").save(buffer, "TIFF")
    return buffer.getvalue()


@pytest.fixture
def decoders(monkeypatch):
    really = isolation.subprocess.Popen
    monkeypatch.setattr(
        isolation.subprocess, "Popen", lambda command, **options: really([command[0], "-c", BAD], **options)
    )
    made = Decoders()
    yield made
    made.close()
    assert all(process._process.poll() is not None for process in made._all)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("hang", "its decoder worked for more than 10 seconds"),
        ("crash", "its decoder crashed"),
        ("swallow", "not enough memory to decode it"),
        ("mute", "its decoder worked for more than 10 seconds"),
        ("garbage", "its decoder crashed"),
        ("pickle", "its decoder crashed"),
        ("pickled header", "its decoder crashed"),
        ("huge", "its decoder crashed"),
        ("wrong type", "its decoder crashed"),
    ],
)
def test_a_decoder_that_goes_wrong_costs_one_photo(decoders, how, reason, monkeypatch):
    if how == "mute":
        decoders.decode(tiff(), "/photos/first.tif", 32)  # its process has started
        monkeypatch.setattr(isolation, "PATIENCE", 0.2)
    with pytest.raises(UnreadablePhoto) as caught:
        decoders.decode(tiff(), how, 32)
    assert (caught.value.path, caught.value.reason) == (how, reason)
    monkeypatch.setattr(isolation, "PATIENCE", 60.0)
    assert decoders.decode(tiff(), "/photos/fine.tif", 32).width == 64


@pytest.mark.parametrize("name", ["mild.DNG", "mild.cr2"])
def test_what_is_called_a_raw_file_is_decoded_apart_however_it_begins(decoders, name, monkeypatch):
    monkeypatch.setattr(isolation, "decode", lambda *_: pytest.fail("decoded in this process"))
    for head in (b"\xff\xd8\xff\xe1", b"BM", b"RIFF"):
        with pytest.raises(UnreadablePhoto):
            decoders.decode(head + bytes(200), f"/photos/{name}", 32)


def test_what_comes_out_is_what_decoding_here_gives(decoders):
    there, here = decoders.decode(tiff(), "print", 32), isolation.decode(tiff(), "x", 32)
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert (there.thumbnail, there.metadata, there.format) == (here.thumbnail, here.metadata, "TIFF")


def test_what_cannot_be_read_says_so_with_its_path(decoders):
    with pytest.raises(UnreadablePhoto) as caught:
        decoders.decode(b"II*\0" + os.urandom(100), "/photos/bad.tif", 32)
    assert caught.value.path == "/photos/bad.tif"
