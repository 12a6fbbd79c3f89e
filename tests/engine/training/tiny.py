"""A data set and a recipe so small that training takes a moment; also a program for `torchrun` and for being killed.

python -m tests.engine.training.tiny FOLDER [EPOCHS BEFORE IT KILLS ITSELF]
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from engine.model.biam import BiAMConfig
from engine.model.bundle import BackboneSpec
from engine.model.prior import PriorConfig
from engine.training.datasets.base import Split, file_names, positives
from engine.training.distributed import Team
from engine.training.features import Features
from engine.training.recipes import Recipe, Schedule
from engine.training.trainer import Trainer, TrainingSet

TAGS, CLASSES = 6, 5
RECIPE = Recipe(
    dataset="tiny",
    backbone=BackboneSpec("none", "none", input_size=8),
    words="none",
    biam=BiAMConfig(features=7, scene=5, width=8, embedding=9, heads=2, words=4, top_k=3),
    schedule=Schedule(1e-2, 1e-3, epochs=4, warmup=1),
    prior=PriorConfig(classes=CLASSES, words=4),
    distillation=0.5,
    batch_size=8,
    flip=True,
)


def vectors(count, seed):
    values = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def photos(count=40, seed=0, folder=Path("photos"), mirrored=True) -> TrainingSet:
    """Photos in which the tag i lifts the i-th feature of a few regions."""
    rng = np.random.default_rng(seed)
    tagged = [rng.permutation(TAGS)[: rng.integers(1, 3)] for _ in range(count)]
    regions = rng.random((count, 7, 4, 4))
    for row, tags in enumerate(tagged):
        for tag in tags:
            regions[row, tag, rng.integers(4), :] += 3
    teacher = rng.random((count, CLASSES))
    direction = rng.standard_normal((count, 16, 4))
    arrays = (regions, rng.random((count, 5)), direction / np.linalg.norm(direction, axis=-1, keepdims=True), teacher)
    features = Features(*(array.astype(np.float16) for array in arrays))
    split = Split(folder, file_names(f"{row}.jpg" for row in range(count)), positives(tagged, TAGS))
    return TrainingSet(split, features, features._replace(regions=features.regions[..., ::-1]) if mirrored else None)


def trainer(folder, recipe=RECIPE, autocast=None) -> Trainer:
    classes = None if recipe.prior is None else vectors(CLASSES, 2)
    return Trainer(recipe, vectors(TAGS, 1), classes, folder, autocast)


def without_chance(folder) -> Trainer:
    """A trainer in whose head no photo depends on another one, and nothing on chance, so it can be shared exactly."""
    config = replace(RECIPE.biam, scene_context=False)
    recipe = replace(RECIPE, biam=config, prior=None, distillation=0.0, batch_size=7)
    made = trainer(folder, recipe)
    made.head.biam.conv_3X3.bn = nn.Identity()
    made.head.biam.region_context_block.dropout = 0.0
    made.optimiser = made._new_optimiser()
    return made


def main(folder: Path, epochs_to_live: int | None = None) -> None:
    torch.set_num_threads(1)
    if epochs_to_live is None:
        made = without_chance(folder)
        taken = []
        training = photos(mirrored=False)

        class Watched(TrainingSet):
            def take(self, rows, mirrored=False):
                taken.append(rows)
                return super().take(rows, mirrored)

        made.fit(Watched(training.split, training.features))
        rank = made.team.rank
        torch.save({"head": made.head.state_dict(), "taken": [rows.tolist() for rows in taken]}, folder / f"{rank}.pt")
        Team.leave()
        return
    made = trainer(folder)
    step = made._step

    def step_or_die(*arguments):
        if made.epoch == epochs_to_live and made.optimiser.param_groups[0]["lr"] != RECIPE.schedule.at(made.epoch):
            os.kill(os.getpid(), signal.SIGKILL)  # in the middle of the epoch
        return step(*arguments)

    made._step = step_or_die
    made.fit(photos())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
