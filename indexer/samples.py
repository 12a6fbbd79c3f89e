"""Sample photos that come inside installed packages, for a first look without any photos of one's own."""

from importlib.util import find_spec
from pathlib import Path

from engine.errors import UnseenError

# Package, folder in it, photos there that show something; the other pictures are test patterns and scans.
_PLACES = (
    ("skimage", "data", ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png")),
    ("skimage", "data", ("coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "moon.png")),
    ("skimage", "data", ("motorcycle_left.png", "retina.jpg", "rocket.jpg")),
    ("sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
)


def sample_photos() -> list[Path]:
    """Sample photos on this machine, by package; raises UnseenError where there are none."""
    photos = [
        Path(place) / folder / name
        for package, folder, names in _PLACES
        if (spec := find_spec(package)) is not None
        for place in spec.submodule_search_locations or ()
        for name in names
    ]
    found = [photo for photo in photos if photo.is_file()]
    if not found:
        raise UnseenError("No installed package brings sample photos", "Get some with: pip install 'unseen[demo]'")
    return found
