import numpy as np
import pytest

from engine.library.records import FileStamp, Metadata, NewPhoto
from engine.library.region_map import Grid, RegionMap
from engine.library.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "library", "colours", "f" * 32) as opened:
        yield opened


def photo(path="/photos/a.jpg", seed=0, content_hash=None, rows=2, cols=3, dim=4, labels=3, **values):
    """A photo to write, with a region map and class scores drawn from `seed`."""
    grid = Grid(rows, cols)
    random = np.random.default_rng(seed)
    return NewPhoto(
        path,
        values.pop("stamp", FileStamp(seed, seed)),
        content_hash or seed.to_bytes(16, "big"),
        *(values.pop(name, default) for name, default in (("width", 40), ("height", 30), ("format", "JPEG"))),
        Metadata(**{name: values.pop(name) for name in list(values) if name in Metadata.__dataclass_fields__}),
        RegionMap(grid, random.integers(-127, 128, (len(grid), dim)).astype(np.int8)),
        random.normal(size=labels).astype(np.float16),
        **values,
    )
