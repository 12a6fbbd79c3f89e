"""The whole network of a bundle: backbone, BiAM and semantic prior, from pixels to region vectors."""

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.errors import BundleError
from engine.model.backbones import build_backbone
from engine.model.biam import BiAM, BiAMConfig
from engine.model.bundle import BackboneSpec, Bundle
from engine.model.prior import PriorConfig, SemanticPrior


class Head(nn.Module):
    """What is trained: BiAM, and the weight of the prior that is added to it."""

    def __init__(self, biam: BiAMConfig, prior: PriorConfig | None) -> None:
        super().__init__()
        self.biam = BiAM(biam)
        self.prior = SemanticPrior(prior) if prior is not None else None

    def forward(self, regions: Tensor, scene: Tensor, logits: Tensor | None) -> Tensor:
        """Features of a backbone → region vectors (B, R, d + 1)."""
        vectors = self.biam.region_vectors(regions, scene)
        return vectors if self.prior is None or logits is None else vectors + self.prior(logits)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The state as it is kept in `head.safetensors`."""
        return {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}


class RegionNetwork(nn.Module):
    """Photos → region vectors; this is what is exported for ONNX Runtime."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: BackboneSpec, head: Head) -> None:
        super().__init__()
        self.backbone = build_backbone(spec)
        self.head = head
        self.register_buffer("mean", torch.tensor(spec.mean)[:, None, None] * 255)
        self.register_buffer("std", torch.tensor(spec.std)[:, None, None] * 255)

    def forward(self, pixels: Tensor) -> Tensor:
        """Upright pixels (B, S, S, 3), 0…255 → (B, R, d + 1), regions row by row from the top left."""
        x = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return self.head(*self.backbone(x))  # type: ignore[no-any-return]


def head_of(bundle: Bundle) -> Head:
    """The trained head of a bundle in evaluation mode; raises BundleError."""
    spec = bundle.spec
    try:
        head = Head(BiAMConfig(**spec.biam), PriorConfig(**spec.prior) if spec.prior else None)  # type: ignore[arg-type]
        head.load_state_dict(load_file(bundle.folder / "head.safetensors"))
    except (OSError, SafetensorError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(
            f"Cannot read the head of the bundle {bundle.folder}: {reason}", "Fetch or train it again"
        ) from None
    return head.eval()


def network_of(bundle: Bundle) -> RegionNetwork:
    """The whole network of a bundle in evaluation mode; raises BundleError."""
    return RegionNetwork(bundle.spec.backbone, head_of(bundle)).eval()
