"""Makes a RAW file: a DNG that holds what a sensor saw, a preview, and what the camera wrote."""

import struct

import numpy as np

SHORT, LONG, ASCII, BYTE, RATIONAL, SRATIONAL, UNDEFINED = 3, 4, 2, 1, 5, 10, 7
SIZES = {SHORT: 2, LONG: 4, ASCII: 1, BYTE: 1, RATIONAL: 8, SRATIONAL: 8, UNDEFINED: 1}


def make_dng(pixels, preview=None, orientation=1, taken="2021:06:07 08:09:10"):
    """A DNG of RGB `pixels` (H, W, 3), even sides, with a JPEG `preview` if one is given."""
    height, width = pixels.shape[:2]
    sensor = np.empty((height, width), np.uint16)
    for row, col, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        sensor[row::2, col::2] = pixels[row::2, col::2, channel].astype(np.uint16) << 6
    raw = [
        (254, LONG, [0]),
        (256, LONG, [width]),
        (257, LONG, [height]),
        (258, SHORT, [16]),
        (259, SHORT, [1]),
        (262, SHORT, [32803]),  # colour filter array
        (273, LONG, ["strip"]),
        (277, SHORT, [1]),
        (278, LONG, [height]),
        (279, LONG, [sensor.nbytes]),
        (33421, SHORT, [2, 2]),
        (33422, BYTE, [0, 1, 1, 2]),
        (50717, LONG, [(1 << 14) - 1]),  # white
    ]
    main = [
        (271, ASCII, b"Canon\0"),
        (272, ASCII, b"Canon EOS R5\0"),
        (274, SHORT, [orientation]),
        (34665, LONG, ["exif"]),
        (50706, BYTE, [1, 4, 0, 0]),
        (50708, ASCII, b"Canon EOS R5\0"),
        (50721, SRATIONAL, [(1, 1), (0, 1), (0, 1), (0, 1), (1, 1), (0, 1), (0, 1), (0, 1), (1, 1)]),
        (50728, RATIONAL, [(1, 1), (1, 1), (1, 1)]),
    ]
    exif = [(36867, ASCII, taken.encode() + b"\0"), (42036, ASCII, b"RF 35mm\0")]
    if preview is None:
        parts = {"main": sorted(main + raw), "exif": exif}
    else:
        shown = [
            (254, LONG, [1]),
            (256, LONG, [preview[1][0]]),
            (257, LONG, [preview[1][1]]),
            (258, SHORT, [8, 8, 8]),
            (259, SHORT, [7]),
            (262, SHORT, [6]),
            (273, LONG, ["preview"]),
            (277, SHORT, [3]),
            (278, LONG, [preview[1][1]]),
            (279, LONG, [len(preview[0])]),
            (330, LONG, ["raw"]),
        ]
        parts = {"main": sorted(main + shown), "raw": raw, "exif": exif}
    return _tiff(parts, {"strip": sensor.tobytes(), "preview": preview[0] if preview else b""})


def _tiff(parts, blobs):
    """A little-endian TIFF of directories `parts`; a value that is a name stands for where that lies."""
    places, at = {}, 8
    for name, entries in parts.items():
        places[name] = at
        at += 2 + 12 * len(entries) + 4
    for name, blob in blobs.items():
        places[name] = at
        at += len(blob)
    directories, extra = b"", b""
    for entries in parts.values():
        directories += struct.pack("<H", len(entries))
        for tag, kind, values in entries:
            if isinstance(values, bytes):
                data, count = values, len(values)
            else:
                numbers = [places[value] if isinstance(value, str) else value for value in values]
                flat = [n for number in numbers for n in (number if isinstance(number, tuple) else (number,))]
                code = {SHORT: "H", LONG: "I", BYTE: "B", RATIONAL: "I", SRATIONAL: "i"}[kind]
                data, count = struct.pack(f"<{len(flat)}{code}", *flat), len(values)
            if len(data) > 4:
                data, extra = struct.pack("<I", at + len(extra)), extra + data + b"\0" * (len(data) % 2)
            directories += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
        directories += struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8) + directories + b"".join(blobs.values()) + extra
