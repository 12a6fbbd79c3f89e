"""What a bundle finds, where it points and how far its confidence can be trusted, each on photos it has not seen.

    python -m tests.benchmarks.quality [DATA] [WORK]

The shipped bundle has learned from all of the data. So it is trained again by its recipe without what is measured:
once without `coco-128`, and FOLDS times without 300 of the captioned photos and a fifth of the outlined ones. WORK
keeps what is trained, and a second call goes on with it.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from engine.model.bundle import Bundle, open_bundle
from engine.model.encoder import RegionEncoder, random_pixels
from engine.search.calibration import Calibration
from engine.settings import load_settings
from engine.training.datasets.everyday import UNSEEN
from engine.training.recipes import recipe_for
from engine.training.run import Session, Stages, make_bundle
from tests.benchmarks import measures
from tests.benchmarks.bench_index import clip_tower
from tests.benchmarks.corel5k_zsl import SEEDS, Bench
from tests.benchmarks.diagram import reliability
from tests.benchmarks.measures import Trust
from tests.conftest import SHARED

FOLDS = 5
HELD_OUT = 300  # captioned photos
AT_LEAST = 6  # photos of a caption's word
POINTED_AT = ("elephant", "giraffe", "train", "zebra")
# Things that none of the photos of coco-128 shows.
ABSENT = """
penguin volcano piano submarine octopus fireworks castle lighthouse guitar waterfall dinosaur wedding desert
cactus helicopter violin igloo saxophone pyramid whale shark parrot sunflower pumpkin telescope windmill canoe
tank rocket snake spider butterfly crocodile kangaroo turtle jellyfish coral cathedral mosque
""".split()  # noqa: SIM905


def bar(what: str, value: float, goal: float, *, at_most: bool = False) -> None:
    """Print a measure beside its bar."""
    met = value <= goal if at_most else value >= goal
    print(
        f"{what:72}{value:8.3g}  {'at most' if at_most else 'at least'} {goal:g}{'' if met else '  MISSED'}", flush=True
    )


def main(data: Path = SHARED, work: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        work = work or Path(temporary)
        speed()
        shipped(data)
        session = Session.open(recipe_for("everyday"), data, load_settings().cache)
        stages = session.stages()
        without_coco(session, stages, data, work)
        folds(session, stages, data, work)
        corel(data)


def speed() -> None:
    """Batches of 8 through the shipped model and through CLIP's tower by turns, two threads each."""
    encoder = RegionEncoder.open(open_bundle("lite", load_settings().cache), 2)
    ours, theirs = random_pixels(8, encoder.input_size), np.zeros((8, 3, 224, 224), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        tower = clip_tower(Path(folder), 2)
        runs = (lambda: encoder.region_vectors(ours), lambda: tower.run(None, {"pixels": theirs}))
        seconds = np.array([[seconds_of(run) for run in runs] for _ in range(30)])
    mine, peer = 8 / np.median(seconds[5:], axis=0)
    print(f"    lite {mine:.1f} photos/s, CLIP ViT-B/32 {peer:.1f}")
    bar("lite as shipped: photos a second, by those of CLIP ViT-B/32's vision tower", mine / peer, 1.5)


def seconds_of(run: Callable[[], object]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def corel(data: Path) -> None:
    """The recipe on Corel5k-ZSL, without the unseen tags: the mean of three seeds."""
    bench = Bench(data / "corel5k", load_settings().cache)
    rows = np.array([[row.map.plain for row in bench.run_like_lite(seed).rows] for seed in SEEDS])
    zsl, gzsl = 100 * rows.mean(axis=0)[:2]
    print("    each seed " + ", ".join(f"{100 * row[0]:.1f}/{100 * row[1]:.1f}" for row in rows))
    bar("Corel5k-ZSL: mAP of unseen tags, %", zsl, 17)
    bar("Corel5k-ZSL: mAP of seen and unseen tags, %", gzsl, 36)


def shipped(data: Path) -> None:
    """What can be measured of the shipped bundle itself: words it was never told, also not by outlines."""
    boxes = measures.boxes_of(data)
    bundle = open_bundle("lite", load_settings().cache)
    with measures.searching(bundle, data / "coco-128" / "images") as searcher:
        for word, rank in measures.first_ranks(searcher, boxes, UNSEEN).items():
            bar(f"lite as shipped: rank of the first photo of “{word}”, never a tag", rank, 5, at_most=True)
        inside = measures.pointing_at_boxes(searcher, boxes, POINTED_AT)
        bar(f"lite as shipped: hottest region in the box, {len(inside)} photos of four of them, %", share(inside), 67)


def without_coco(session: Session, stages: Stages, data: Path, work: Path) -> None:
    """The recipe without anything of coco-128, on all of it."""
    bundle = trained(work / "without-coco", lambda out: make_bundle(session, stages, None, out, "lite", work / "0"))
    boxes = measures.boxes_of(data)
    with measures.searching(bundle, data / "coco-128" / "images") as searcher:
        precisions = measures.object_precisions(searcher, boxes)
        bar(
            f"without coco-128: mAP over its {len(precisions)} objects, %", 100 * np.mean(list(precisions.values())), 48
        )
        trust = measures.trust(searcher, boxes, ABSENT)
        similar, regions = measures.shared_by_similar(searcher, boxes), measures.shown_by_similar(searcher, boxes)
    print("    photos most like one that share an object with it: {:.1%}, of all {:.1%}".format(*similar))
    print("    photos with a region like one that show the same object: {:.1%}, of all {:.1%}".format(*regions))
    bar("without coco-128: expected calibration error, other words and photos", trust.error, 0.07, at_most=True)
    show(trust)
    reliability(trust.bins(), work / "reliability.svg")
    cut = bundle.spec.min_confidence
    alarms = share(trust.absent >= cut)
    bar(f"without coco-128: {len(ABSENT)} words for what is not there, above {cut:g}, %", alarms, 2, at_most=True)


def show(trust: Trust) -> None:
    for said, right, count in trust.bins():
        print(f"    confidence {said:.2f}: right {100 * right:3.0f} % of {count}")
    for low in (0.02, 0.05, 0.1, 0.2, 0.5):
        sure = trust.confidence >= low
        right, found = share(trust.shown[sure]), 100 * trust.shown[sure].sum() / trust.shown.sum()
        alarms = share(trust.absent >= low)
        print(f"    {low:g} or more: right {right:.0f} %, finds {found:.0f} %; not there {alarms:.1f} %")


def folds(session: Session, stages: Stages, data: Path, work: Path) -> None:
    """The recipe without some of the captioned and outlined photos, on those."""
    words = measures.words_of_captions(data)
    located, outlined = session.located(), session.dataset.outlined
    assert located is not None and outlined is not None
    order = np.random.default_rng(0).permutation(len(outlined))
    captions, pointed = [], []
    for fold in range(FOLDS):
        held = set(np.random.default_rng(100 + fold).permutation(sorted(words))[:HELD_OUT].tolist())
        masks = order[fold::FOLDS]
        kept = [
            not (name.startswith(b"flickr") and Path(name.decode()).name in held)
            for name in stages.train.split.names.tolist()
        ]
        rest = Stages(stages.train.subset(np.flatnonzero(kept)), None, None)
        views = located.without(set(masks.tolist()))
        bundle = trained(
            work / f"fold-{fold}",
            lambda out, rest=rest, views=views, fold=fold: make_bundle(
                session, rest, views, out, "lite", work / f"{fold + 1}", Calibration((1.0, 0.0))
            ),
        )
        with tempfile.TemporaryDirectory() as folder:
            for file in held:
                (Path(folder) / file).symlink_to((data / "flickr-captions" / "images" / file).resolve())
            with measures.searching(bundle, Path(folder)) as searcher:
                asked = measures.telling({file: words[file] for file in held}, AT_LEAST, searcher)
                captions.append(
                    np.mean(
                        [
                            measures.precision(measures.ranking(searcher, w), {f for f in held if w in words[f]})
                            for w in asked
                        ]
                    )
                )
        with measures.searching(bundle, data / "coco-128" / "images") as searcher:
            pointed += measures.pointing_at_masks(searcher, data, {outlined.masks[i].name for i in masks})
        hits = share([one.hit for one in pointed])
        print(
            f"    fold {fold}: captions {100 * captions[-1]:.1f} ({len(asked)} words), pointing so far {hits:.1f}",
            flush=True,
        )
    bar("captioned photos held out: mAP over the words of their captions, %", 100 * np.mean(captions), 29)
    bar(f"outlined photos held out: hottest region on {len(pointed)} things and stuff, %", hits, 65)
    print(f"    a random region: {100 * np.mean([one.share for one in pointed]):.0f} %")


def trained(out: Path, make: Callable[[Path], object]) -> Bundle:
    """The bundle in `out`, made where it is not there yet."""
    if not (out / "bundle.json").exists():
        make(out)
    return Bundle(out, load_settings().cache)


def share(values: object) -> float:
    """Percentage of true ones."""
    return 100 * float(np.mean(values))  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
