"""RegionEncoder: upright pixels → region maps and class scores, through ONNX Runtime.

ONNX Runtime is several times faster than PyTorch on a CPU, and starts in a tenth of the time. A bundle's network is
exported once and kept in the cache under the bundle's fingerprint; from then on indexing does without torch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from engine.library.region_map import Array, RegionMap, quantise
from engine.library.scan import exact_scores_of_codes
from engine.model.bundle import Bundle
from engine.model.onnx import export, open_session

if TYPE_CHECKING:
    import onnxruntime


@dataclass(frozen=True)
class RegionEncoder:
    """The encoder of a bundle; ONNX Runtime uses several cores within a call."""

    bundle: Bundle
    session: "onnxruntime.InferenceSession"

    @classmethod
    def open(cls, bundle: Bundle, threads: int | None = None) -> Self:
        """The encoder of `bundle`, exported into the bundle's cache the first time; raises BundleError."""
        path = bundle.cache / "encoders" / f"{bundle.fingerprint}.onnx"
        if not path.is_file():
            import torch

            from engine.model.network import network_of

            example = random_pixels(3, bundle.spec.backbone.input_size)
            export(network_of(bundle), torch.from_numpy(example), ["vectors"], path)
        return cls(bundle, open_session(path, threads))

    @property
    def input_size(self) -> int:
        """S, pixels a side of the square that a photo is squashed to."""
        return self.bundle.spec.backbone.input_size

    def region_vectors(self, pixels: NDArray[np.uint8]) -> Array:
        """(B, S, S, 3) → (B, R, D), not rounded."""
        vectors: Array = self.session.run(None, {"pixels": pixels})[0]
        return vectors

    def encode(self, pixels: NDArray[np.uint8]) -> list[tuple[RegionMap, NDArray[np.float16]]]:
        """Upright pixels (B, S, S, 3) → a region map and class scores (labels,) for each photo.

        A class score is the pooled score of a label, measured in standard deviations above the bundle's background
        photos.
        """
        codes = quantise(self.region_vectors(pixels), self.bundle.steps)
        maps = [RegionMap(self.bundle.grid, photo) for photo in codes]
        pooled = exact_scores_of_codes(codes, self.bundle.label_queries, self.bundle.top_k)
        reference = self.bundle.label_reference
        return list(zip(maps, ((pooled - reference.mean) / reference.deviation).astype(np.float16), strict=True))


def random_pixels(count: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise (count, size, size, 3) to compare two implementations with."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
