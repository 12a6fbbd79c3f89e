"""What commands print, as the stream that it goes to can hold it."""

import json
import sys
from typing import TextIO


def print_json(value: object, stream: TextIO | None = None) -> None:
    """Print a value as a line of JSON; goes to standard output if not said otherwise."""
    stream = stream or sys.stdout
    stream.write(json.dumps(value, ensure_ascii=not is_utf8(stream)) + "\n")


def is_utf8(stream: TextIO) -> bool:
    """Whether a stream can hold any letter, and the bytes of any path."""
    return stream.encoding.lower() == "utf-8"
