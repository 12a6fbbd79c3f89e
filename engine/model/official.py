"""Import of the checkpoints that the paper's authors released.

A checkpoint is a state dict of the official `BiAM` class (github.com/akshitac8/BiAM), perhaps under `state_dict`, its
names perhaps prefixed with `module.`. It says neither which words it was trained with, nor how many heads it has, nor
what photos look like to it. The first two are options; the third is measured on photos: the steps of the 8-bit codes,
and the background that scores are judged against. Its confidence is not calibrated: that takes photos with known tags.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import BundleError, UnseenError
from engine.library.region_map import Array, fit_steps, quantise
from engine.model.biam import BiAM, BiAMConfig
from engine.model.bundle import BackboneSpec, BundleSpec, save_bundle
from engine.model.network import Ensemble, Head, RegionNetwork
from engine.photo import SUFFIXES, load_square
from engine.words.vectors import WordVectors

Pixels = NDArray[np.uint8]

BACKGROUND = 256  # photos
GENERATED = 32  # pictures that stand in for photos
MARGIN = 2.0  # by which photos may exceed the generated pictures before codes are clipped
GUESSED_CURVE = (1.5, -4.0)  # of confidence: one half where a score is 2.7 standard deviations above the background
VGG19 = BackboneSpec("vgg19", "timm", input_size=224)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict of a released checkpoint, with the names of `BiAM`.

    Raises BundleError for a file that is none, that is damaged, or that belongs to another class.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BundleError(f"Cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # torch raises what it likes for a file that is not one of its own
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"{path} is not a checkpoint of tensors: {reason}", "Download it again") from None
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BundleError(f"{path} holds no state dict", "Name a file that the authors of BiAM released")
    state = {str(name).removeprefix("module."): value.float() for name, value in state.items()}
    required = [name for name in BiAM(BiAMConfig()).state_dict() if not name.endswith("num_batches_tracked")]
    missing = [name for name in required if name not in state]
    if missing and any(value.shape == (512, 4096) for value in state.values()):
        raise BundleError(
            f"{path} belongs to the older class AttentionClassifier (512 channels, a Linear of 4096→512), not to BiAM",
            "The authors released the Open Images weights like that, see issue 10 of github.com/akshitac8/BiAM; "
            "train that model instead: unseen train --dataset open-images",
        )
    if missing:
        raise BundleError(
            f"{path} is not a checkpoint of BiAM: it lacks {missing[0]}, {len(missing)} of its {len(required)} tensors"
        )
    if broken := next((name for name, value in state.items() if not value.isfinite().all()), None):
        raise BundleError(f"{path} holds weights that are no numbers: {broken}", "Download it again")
    return state


def config_of(state: dict[str, Tensor], heads: int, path: Path) -> BiAMConfig:
    """The sizes of a checkpoint; raises BundleError where they do not fit together."""
    try:
        width, features, *_ = state["conv_3X3.body.weight"].shape
        embedding, words = state["W.weight"].shape
        _, scene, *_ = state["scene_context_block.w_g.weight"].shape
    except ValueError:
        raise BundleError(f"{path} is not a checkpoint of BiAM: its weights have other dimensions") from None
    try:
        config = BiAMConfig(features, scene, width, embedding, heads, words)
        BiAM(config).load_state_dict(state)
    except ValueError as error:
        raise BundleError(f"{path}: {error}", "Name the number of heads with --heads; NUS-WIDE has 8") from None
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BundleError(f"{path} is not a checkpoint of BiAM: {reason}", "Download it again") from None
    return config


def import_checkpoint(
    path: Path,
    folder: Path,
    words: tuple[str, WordVectors],
    *,
    name: str,
    tags: Sequence[str],
    labels: Sequence[str],
    photos: Path | None = None,
    heads: int = 8,
    backbone: BackboneSpec = VGG19,
) -> BundleSpec:
    """Make the bundle `folder` from a checkpoint.

    `words` are the source and the vectors of the label vectors; `tags` is what the checkpoint was trained with, as far
    as it is known, and `labels` what photos are to be tagged with. Without a folder of `photos`, generated pictures
    take their place, and the bundle's card says so. Raises BundleError.
    """
    state = read_checkpoint(path)
    config = config_of(state, heads, path)
    source, vectors = words
    if vectors.dim != config.words:
        raise BundleError(
            f"{path} was trained with words of {config.words} numbers, and {source} has {vectors.dim}",
            "Name its words with --words; the paper's are gensim:glove-wiki-gigaword-300",
        )
    if not labels:
        raise BundleError(f"{source} knows no word that photos could be tagged with", "Name tags with --tags")
    head = Head(config, None)
    head.biam.load_state_dict(state)
    ensemble = Ensemble([head])
    network = RegionNetwork(backbone, ensemble).eval()
    sizes = (network.backbone.region_features, network.backbone.scene_features)
    if sizes != (config.features, config.scene):
        raise BundleError(f"{path} looks at {config.features} and {config.scene} features, {backbone.name} has {sizes}")
    size = backbone.input_size
    pictures = generated(size) if photos is None else background_photos(photos, size)
    regions = _look(network, pictures)
    steps = fit_steps(regions.reshape(-1, regions.shape[-1])) * (MARGIN if photos is None else 1)
    side = int(regions.shape[1] ** 0.5)
    measured = "generated pictures: import again with --photos" if photos is None else f"{len(pictures)} photos"
    spec = BundleSpec(
        name=name,
        backbone=backbone,
        biam=config.as_dict(),
        words=source,
        grid=(side, side),
        calibration=GUESSED_CURVE,
        card={
            "imported": path.name,
            "paper": "https://arxiv.org/abs/2108.09301",
            "tags": len(tags),
            "steps and background": f"measured on {measured}",
            "confidence": "uncalibrated: the curve is a guess, and only the order of the answers is the model's",
        },
    )
    save_bundle(
        folder,
        spec,
        head=ensemble.arrays(),
        steps=steps,
        background=quantise(regions, steps),
        tags=list(tags),
        labels=list(labels),
    )
    return spec


def background_photos(folder: Path, size: int) -> Pixels:
    """Up to BACKGROUND photos (N, S, S, 3) below a folder, spread evenly over their paths.

    Photos that cannot be read are passed over; raises BundleError when none is left.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    chosen = sorted({round(place) for place in np.linspace(0, len(paths) - 1, BACKGROUND)}) if paths else []
    pictures, reason = [], "it holds none"
    for index in chosen:
        try:
            pictures.append(load_square(paths[index], size))
        except UnseenError as error:
            reason = error.message
    if not pictures:
        raise BundleError(f"No photo to measure on in {folder}: {reason}", "Name a folder of ordinary photos")
    return np.stack(pictures)


def generated(size: int) -> Pixels:
    """Pictures (N, S, S, 3) of coloured noise at scales from a pixel to the whole picture."""
    rng = np.random.default_rng(0)
    pictures = np.empty((GENERATED, size, size, 3), np.uint8)
    for i in range(GENERATED):
        cells = min(size, 2 ** (i % 8))
        noise = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        rows = np.arange(size) * cells // size
        pictures[i] = noise[rows][:, rows]
    return pictures


@torch.inference_mode()
def _look(network: RegionNetwork, pictures: Pixels) -> Array:
    """Region vectors (N, R, D)."""
    return np.concatenate(
        [network(torch.from_numpy(pictures[start : start + 8])).numpy() for start in range(0, len(pictures), 8)]
    )


def default_name(path: Path) -> str:
    """A bundle's name from that of a file: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "biam"
