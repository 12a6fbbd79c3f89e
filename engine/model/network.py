"""The whole network of a bundle, from pixels to region vectors: backbone, BiAM, semantic prior and colours."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.errors import BundleError
from engine.library.region_map import Array
from engine.model.backbones import build_backbone
from engine.model.biam import BiAM, BiAMConfig
from engine.model.bundle import BackboneSpec, Bundle
from engine.model.colours import ColourShares
from engine.model.prior import PriorConfig, SemanticPrior
from engine.model.probe import LinearProbes, ProbeConfig
from engine.model.refinement import Refinement, RefinementConfig


class Head(nn.Module):
    """What one training makes: BiAM, and the weight of the prior that is added to it."""

    def __init__(self, biam: BiAMConfig, prior: PriorConfig | None) -> None:
        super().__init__()
        self.biam = BiAM(biam)
        self.prior = SemanticPrior(prior) if prior is not None else None

    def forward(self, regions: Tensor, scene: Tensor, direction: Tensor | None) -> Tensor:
        """Features of a backbone and the prior's unit vectors (B, R, d) → region vectors (B, R, d + 1)."""
        vectors = self.biam.region_vectors(regions, scene)
        if self.prior is None or direction is None:
            return vectors
        return vectors + self.prior.scaled(direction).to(vectors.dtype)


class Ensemble(nn.Module):
    """The heads of a bundle: the mean of what they say and what linear probes add, refined where they are told how."""

    def __init__(
        self,
        heads: Sequence[Head],
        probes: ProbeConfig | None = None,
        refinement: RefinementConfig | None = None,
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.probes = LinearProbes(probes) if probes is not None else None
        self.refinement = Refinement(refinement) if refinement is not None else None

    def forward(self, regions: Tensor, scene: Tensor, logits: Tensor | None) -> Tensor:
        """Features of a backbone → region vectors (B, R, d + 1)."""
        prior = next(iter(self._each())).prior  # they differ by its weight alone
        return self.with_direction(regions, scene, None if prior is None or logits is None else prior.direction(logits))

    def with_direction(self, regions: Tensor, scene: Tensor, direction: Tensor | None) -> Tensor:
        """The same for the prior's unit vectors (B, R, d) instead of logits."""
        vectors = [head(regions, scene, direction) for head in self._each()]
        mean = vectors[0] if len(vectors) == 1 else torch.stack(vectors).mean(dim=0)
        if self.probes is not None:
            mean = mean + self.probes(regions, scene)
        return mean if self.refinement is None else self.refinement(mean, regions.shape[-2:])

    def _each(self) -> Iterable[Head]:
        return self.heads  # type: ignore[return-value]

    def strengthen_prior(self, factor: float) -> None:
        """Multiply the weight of the prior in each head that has one."""
        for head in self._each():
            if head.prior is not None:
                head.prior.strengthen(factor)

    def probe(self, probes: LinearProbes) -> None:
        """Add what these say from now on."""
        self.probes = probes

    def refine(self, config: RefinementConfig, rivals: Array) -> None:
        """Refine region vectors from now on, with these vectors (T, d) of rival words."""
        self.refinement = Refinement(config)
        self.refinement.rivals.copy_(torch.from_numpy(rivals))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The state as it is kept in `head.safetensors`."""
        return {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}


class RegionNetwork(nn.Module):
    """Photos → region vectors; this is what is exported for ONNX Runtime."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: BackboneSpec, ensemble: Ensemble, colours: ColourShares | None = None) -> None:
        super().__init__()
        self.backbone = build_backbone(spec)
        self.ensemble = ensemble
        self.colours = colours
        self.register_buffer("mean", torch.tensor(spec.mean)[:, None, None] * 255)
        self.register_buffer("std", torch.tensor(spec.std)[:, None, None] * 255)

    def forward(self, pixels: Tensor) -> Tensor:
        """Upright pixels (B, S, S, 3), 0…255 → (B, R, d + 1), regions row by row from the top left.

        With colours, d counts a number for each of them after those of the heads.
        """
        x = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        vectors: Tensor = self.ensemble(*self.backbone(x))
        return vectors if self.colours is None else with_colours(vectors, self.colours(pixels))


def with_colours(vectors: Tensor, colours: Tensor) -> Tensor:
    """Region vectors (B, R, d + 1) and what regions have of each colour (B, R, n) → (B, R, d + n + 1)."""
    return torch.cat([vectors[..., :-1], colours, vectors[..., -1:]], dim=-1)


def ensemble_of(bundle: Bundle) -> Ensemble:
    """The trained heads of a bundle in evaluation mode; raises BundleError."""
    spec = bundle.spec
    try:
        biam, prior = BiAMConfig(**spec.biam), PriorConfig(**spec.prior) if spec.prior else None  # type: ignore[arg-type]
        probes = ProbeConfig(**spec.probes) if spec.probes else None
        refinement = RefinementConfig(**spec.refinement) if spec.refinement else None  # type: ignore[arg-type]
        ensemble = Ensemble([Head(biam, prior) for _ in range(spec.heads)], probes, refinement)
        ensemble.load_state_dict(load_file(bundle.folder / "head.safetensors"))
    except (OSError, SafetensorError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(
            f"Cannot read the head of the bundle {bundle.folder}: {reason}", "Fetch or train it again"
        ) from None
    return ensemble.eval()


def network_of(bundle: Bundle) -> RegionNetwork:
    """The whole network of a bundle in evaluation mode; raises BundleError."""
    colours = ColourShares(bundle.spec.grid) if bundle.spec.colours else None
    return RegionNetwork(bundle.spec.backbone, ensemble_of(bundle), colours).eval()
