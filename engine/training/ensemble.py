"""Several heads by one recipe that differ by their seeds: the mean of what they say is better than any of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.library.region_map import Array
from engine.model.network import Ensemble
from engine.training.distributed import Team
from engine.training.located import LocatedSet
from engine.training.recipes import Recipe
from engine.training.trainer import Trainer, TrainingSet


@dataclass(frozen=True)
class EnsembleTrainer:
    """Trains the heads of an ensemble one after the other; the first has the recipe's own seed."""

    trainers: list[Trainer]

    @classmethod
    def of(cls, recipe: Recipe, folder: Path, make: Callable[[Recipe, Path], Trainer]) -> "EnsembleTrainer":
        """A trainer for each head, from what makes one for a recipe and a folder for its checkpoints."""
        folders = [folder, *(folder / f"head-{number}" for number in range(2, recipe.heads + 1))]
        return cls([make(replace(recipe, seed=recipe.seed + number), path) for number, path in enumerate(folders)])

    @property
    def team(self) -> Team:
        """The processes that train together."""
        return self.trainers[0].team

    @property
    def located(self) -> LocatedSet | None:
        """The views that are learned from."""
        return self.trainers[0].located

    def fit(
        self, train: TrainingSet, validation: TrainingSet | None = None, finish: TrainingSet | None = None
    ) -> Ensemble:
        """Run the whole recipe for each head, as `Trainer.fit` does; raises DataError."""
        return Ensemble([trainer.fit(train, validation, finish) for trainer in self.trainers]).eval()

    def selected(self) -> Ensemble:
        """The heads of the first stage that did best on the validation photos."""
        return Ensemble([trainer.selected() for trainer in self.trainers]).eval()

    def label_vectors(self) -> Array:
        """Unit vectors (C, d) of the tags: the mean of those that the heads have tuned; zero where a tag has none."""
        mean = np.mean([trainer.label_vectors() for trainer in self.trainers], axis=0, dtype=np.float32)
        vectors: Array = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        return vectors
