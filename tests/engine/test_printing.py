import json
from io import BytesIO, TextIOWrapper

import pytest

from engine.printing import print_json


@pytest.mark.parametrize(
    ("encoding", "held"), [("utf-8", "für – 日".encode()), ("latin-1", rb"f\u00fcr \u2013 \u65e5")], ids=str
)
def test_a_line_of_json_is_what_it_was_whatever_letters_the_stream_has(encoding, held):
    stream = TextIOWrapper(BytesIO(), encoding, errors="backslashreplace", newline="")
    print_json({"name": "für – 日"}, stream)
    stream.flush()
    line = stream.buffer.getvalue()
    assert held in line
    assert json.loads(line.decode(encoding)) == {"name": "für – 日"}
