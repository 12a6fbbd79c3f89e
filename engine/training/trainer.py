"""The training loop: features of a frozen backbone → a trained head.

Every random draw of an epoch comes from (seed, epoch), so a run that was interrupted and resumed from its last
checkpoint is the undisturbed run, bit for bit on a CPU.

Letters in shapes: C seen tags, K classes of the teacher, d numbers in a label vector.
"""

import csv
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from engine.errors import DataError
from engine.model.network import Head
from engine.training.datasets.base import Split
from engine.training.distributed import Team
from engine.training.features import Features
from engine.training.located import LocatedSet
from engine.training.losses import distillation_loss, ranking_across_photos, ranking_loss
from engine.training.metrics import precision_recall_f1_at_k
from engine.training.precision import autocast_type
from engine.training.recipes import Recipe, Schedule
from engine.training.scorer import Scored, Scorer, initialise_head

Array = NDArray[np.float32]
Rows = NDArray[np.int64]
LOSSES = ("ranking", "across", "distillation", "located", "mirror")
LOGGED = ("rate", "loss", *LOSSES, "f1")
OFFSET_DECAY = 1.0  # weight decay of what tuning adds to the label vectors


@dataclass(frozen=True)
class TrainingSet:
    """Photos to learn from: their labels, and where their features are, as they are and, maybe, mirrored.

    Photo i of `split` has row `rows[i]` of the features, which stay on disk.
    """

    split: Split
    features: Features
    mirrored: Features | None = None
    rows: Rows | None = None

    def __len__(self) -> int:
        return len(self.split)

    def subset(self, rows: Rows) -> "TrainingSet":
        """Some of the photos; nothing is copied."""
        return replace(self, split=self.split.subset(rows), rows=rows if self.rows is None else self.rows[rows])

    def take(self, photos: Rows, mirrored: bool = False) -> Features:
        """Features of some of the photos, in memory."""
        features = self.mirrored if mirrored and self.mirrored is not None else self.features
        return features.take(photos if self.rows is None else self.rows[photos])


class Trainer:
    """Trains one head by one recipe.

    `label_vectors` (C, d) are those of the data set's seen tags, `class_vectors` (K, d) those of the teacher's classes.
    `located` are views of which it is known what is where. `folder` holds the checkpoint and the log, `log.csv`.
    Numbers have the type `autocast` where that is safe; None means single precision everywhere, and "auto" what the
    machine is fast at.
    """

    def __init__(
        self,
        recipe: Recipe,
        label_vectors: Array,
        class_vectors: Array | None,
        folder: Path,
        autocast: torch.dtype | str | None = "auto",
        located: LocatedSet | None = None,
    ) -> None:
        self.recipe = recipe
        self.located = located if recipe.located else None
        self.folder = folder
        self.team = Team.join()
        self.device = self.team.device
        self.autocast = autocast_type(self.device) if isinstance(autocast, str) else autocast
        self.head = initialise_head(recipe, class_vectors)
        self.labels = label_vectors.shape[0]
        vectors = [label_vectors] if class_vectors is None else [label_vectors, class_vectors]
        names = None if self.located is None else self.located.vectors
        scorer = Scorer(self.head, np.concatenate(vectors), self.labels, names, recipe.tuning, recipe.channel_dropout)
        self.scorer: Scorer = scorer.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.epoch = 0  # epochs done, of both stages
        self.best = -1.0
        self.best_state: dict[str, Tensor] | None = None
        self.history: list[dict[str, float]] = []
        self.learns_from = ""  # what tells its photos and their tags from others
        self.optimiser = self._new_optimiser()
        self.average = (
            AveragedModel(
                self.scorer,
                multi_avg_fn=get_ema_multi_avg_fn(recipe.average),  # type: ignore[no-untyped-call]
                use_buffers=True,
            )
            if recipe.average
            else None
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.autocast == torch.float16)
        if recipe.batch_size < self.team.size:
            raise DataError(
                f"A batch of {recipe.batch_size} photos cannot be shared by {self.team.size} processes",
                "Start fewer of them",
            )

    def fit(self, train: TrainingSet, validation: TrainingSet | None = None, finish: TrainingSet | None = None) -> Head:
        """Run the whole recipe, from the last checkpoint if there is one; returns the head in evaluation mode.

        The first stage learns from `train`, and its best epoch by F1@k on `validation` is kept; where the recipe has a
        second one, that goes on from there with `finish`. Raises DataError.
        """
        self.learns_from = _digest(photos.split for photos in (train, validation, finish) if photos is not None)
        self._resume()
        done = 0
        for number, (schedule, photos) in enumerate(self._stages(train, finish)):
            if number and self.epoch == done:
                self._load_best()
                self.optimiser = self._new_optimiser()
            network = self.team.wrap(self.scorer)
            while self.epoch < done + schedule.epochs:
                figures = self._run_epoch(network, photos, schedule, self.epoch - done)
                self.epoch += 1
                if self.team.leads:
                    if validation is not None and len(validation) and not number:
                        figures["f1"] = self._select(validation)
                    self.history.append(figures)
                    self._save()
            done += schedule.epochs
        if done == self.recipe.schedule.epochs:
            self._load_best()
        return self.head.eval()

    def selected(self) -> Head:
        """The head of the first stage that did best on the validation photos, or the present one without any."""
        head = Head(self.recipe.biam, self.recipe.prior).to(self.device)
        state = self.scorer.state_dict() if self.best_state is None else self.best_state
        head.load_state_dict({name[5:]: value for name, value in state.items() if name.startswith("head.")})
        return head.eval()

    @torch.no_grad()
    def label_vectors(self) -> Array:
        """Unit vectors (C, d) of the tags, as they have been tuned."""
        tuned: Array = self.scorer.label_vectors()[: self.labels].cpu().numpy()
        return tuned

    def _stages(self, train: TrainingSet, finish: TrainingSet | None) -> list[tuple[Schedule, TrainingSet]]:
        stages = [(self.recipe.schedule, train)]
        if self.recipe.finish is not None and finish is not None:
            stages.append((self.recipe.finish, finish))
        if not all(len(photos) for _, photos in stages):
            raise DataError(f"The data set {self.recipe.dataset} has no photo to train on", "Check its labels")
        return stages

    # One epoch

    def _run_epoch(
        self, network: Callable[..., Scored], photos: TrainingSet, schedule: Schedule, epoch: int
    ) -> dict[str, float]:
        recipe, team = self.recipe, self.team
        rng = np.random.default_rng([recipe.seed, self.epoch])
        torch.manual_seed((recipe.seed * 100_003 + self.epoch) * team.size + team.rank)  # dropout
        steps = max(len(photos) // recipe.batch_size, 1)
        order = (
            rng.integers(len(photos), size=(steps, recipe.batch_size))
            if recipe.with_replacement
            else rng.permutation(len(photos))[: steps * recipe.batch_size].reshape(steps, -1)
        )
        self.scorer.train()
        sums = dict.fromkeys(("loss", *LOSSES), 0.0)
        draws = [
            (np.sort(batch)[team.rank :: team.size], photos.mirrored is not None and bool(rng.integers(2)))
            for batch in order
        ]

        def take(draw: tuple[Rows, bool]) -> tuple[Features, Features | None]:
            rows, flipped = draw
            opposite = photos.take(rows, not flipped) if recipe.mirror and photos.mirrored is not None else None
            return photos.take(rows, flipped), opposite

        bar = tqdm(draws, desc=f"epoch {self.epoch + 1}", unit=" batches", leave=False, disable=not team.leads)
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(take, draws[0])
            for step, (rows, _) in enumerate(bar):
                features, mirrored = coming.result()
                if step + 1 < steps:
                    coming = reader.submit(take, draws[step + 1])
                time = epoch + step / steps
                rate = schedule.at(epoch if epoch < schedule.warmup else time)
                for group in self.optimiser.param_groups:
                    group["lr"] = rate
                weight = len(rows) * team.size / order.shape[1]  # makes up for shares of unequal size
                views = self._draw_views(rng)
                target = None if mirrored is None else self._averaged_vectors(mirrored)
                trust = min(self.epoch + step / steps, 1.0)  # in an average that begins with the first weights
                labels = photos.split.labels(rows)
                losses = self._step(network, features, labels, weight, views, target, trust)
                for name, value in losses.items():
                    sums[name] += value * weight
                bar.set_postfix(loss=f"{sums['loss'] / (step + 1):.3f}")
        return {"rate": rate, **team.mean({name: value / steps for name, value in sums.items()})}

    def _step(
        self,
        network: Callable[..., Scored],
        features: Features,
        all_labels: NDArray[np.int8],
        weight: float,
        views: Rows | None = None,
        mirrored: Tensor | None = None,
        trust: float = 1.0,
    ) -> dict[str, float]:
        """One step on this process's share of a batch; `trust` in `mirrored`, from 0 to 1, multiplies its weight."""
        recipe = self.recipe
        scores, located, mirror = self._scores(network, features, views, mirrored)
        labels = torch.from_numpy(all_labels[:, : self.labels]).to(self.device)
        loss = ranking = ranking_loss(scores[:, : self.labels], labels)
        across = distillation = torch.zeros(())
        if recipe.across:
            across = ranking_across_photos(scores[:, : self.labels], labels)
            loss = loss + recipe.across * across
        if recipe.distillation and features.teacher is not None:
            teacher = torch.from_numpy(features.teacher).to(self.device).float()
            distillation = distillation_loss(scores[:, self.labels :], teacher / teacher.sum(1, keepdim=True))
            loss = loss + recipe.distillation * distillation
        if views is not None:
            loss = loss + recipe.located * located
        if mirrored is not None:
            loss = loss + recipe.mirror * trust * mirror
        if not math.isfinite(loss.item()):
            raise DataError(
                f"Training came apart in epoch {self.epoch + 1}: the loss is {loss.item()}",
                f"{self.folder} holds the last good epoch",
            )
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss * weight).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.scorer)
        return {
            "loss": loss.item(),
            "ranking": ranking.item(),
            "across": across.item(),
            "distillation": distillation.item(),
            "located": located.item(),
            "mirror": mirror.item(),
        }

    def _draw_views(self, rng: np.random.Generator) -> Rows | None:
        """This process's share of the views that go with a batch."""
        if self.located is None:
            return None
        drawn = rng.choice(len(self.located), min(self.recipe.located_batch, len(self.located)), replace=False)
        return np.sort(drawn)[self.team.rank :: self.team.size]

    def _scores(
        self,
        network: Callable[..., Scored],
        features: Features,
        views: Rows | None = None,
        mirrored: Tensor | None = None,
    ) -> Scored:
        """What a Scorer gives for photos, and for views beside them."""
        shares = None
        if views is not None and self.located is not None and len(views):
            beside = self.located.features.take(views)
            features = Features(*(_joined(photos, view) for photos, view in zip(features, beside, strict=True)))  # type: ignore[arg-type]
            shares = torch.from_numpy(self.located.shares[views]).to(self.device).float()
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            return network(*self._inputs(features), shares, mirrored)

    def _inputs(self, features: Features) -> tuple[Tensor, Tensor, Tensor | None]:
        """Regions, scene and the prior's direction as a Scorer takes them."""
        dtype = self.autocast or torch.float32
        regions = torch.from_numpy(features.regions).to(self.device, dtype, memory_format=torch.channels_last)
        scene = torch.from_numpy(features.scene).to(self.device, dtype)
        direction = features.direction
        return regions, scene, None if direction is None else torch.from_numpy(direction).to(self.device, dtype)

    @torch.no_grad()
    def _averaged_vectors(self, features: Features) -> Tensor:
        """Region vectors by the average of the recent weights, which is ahead of the weights themselves."""
        assert self.average is not None  # the recipe sees to it
        teacher = cast(Scorer, self.average.module.eval())
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            return teacher.region_vectors(*self._inputs(features))

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within it, the head has the average of its recent weights, if the recipe has one."""
        if self.average is None:
            yield
            return
        own = {name: value.clone() for name, value in self.scorer.state_dict().items()}
        self.scorer.load_state_dict(self.average.module.state_dict())
        try:
            yield
        finally:
            self.scorer.load_state_dict(own)

    @torch.no_grad()
    def _select(self, photos: TrainingSet) -> float:
        """F1@k on the seen tags; keeps the weights if it is the best so far."""
        with self._averaged():
            return self._judge(photos)

    def _judge(self, photos: TrainingSet) -> float:
        self.scorer.eval()
        scores = np.empty((len(photos), self.labels), np.float32)
        for start in range(0, len(photos), 64):
            rows = np.arange(start, min(start + 64, len(photos)))
            found = self._scores(self.scorer, photos.take(rows))
            scores[rows] = found.scores[:, : self.labels].cpu().numpy()
        labels = photos.split.labels()[:, : self.labels]
        f1 = precision_recall_f1_at_k(scores, labels, self.recipe.select_at).f1
        if f1 > self.best:
            self.best = f1
            self.best_state = {name: value.clone() for name, value in self.scorer.state_dict().items()}
        return f1

    def _load_best(self) -> None:
        """Take the weights that were selected, or else the average of the recent ones, if there is either."""
        if self.best_state is not None:
            self.scorer.load_state_dict(self.best_state)
        elif self.average is not None:
            self.scorer.load_state_dict(self.average.module.state_dict())

    def _new_optimiser(self) -> torch.optim.Optimizer:
        kind: Callable[..., torch.optim.Optimizer] = (
            torch.optim.AdamW if self.recipe.decoupled_decay else torch.optim.Adam
        )
        rate, decay = self.recipe.schedule.rate, self.recipe.weight_decay
        groups: list[dict[str, Any]] = [{"params": list(self.head.parameters())}]
        if self.scorer.offsets is not None:
            groups.append({"params": [self.scorer.offsets], "weight_decay": OFFSET_DECAY})
        return kind(groups, lr=rate, weight_decay=decay, fused=True)

    # On disk

    def _save(self) -> None:
        """Write checkpoint and log, each whole or not at all."""
        state = {
            "recipe": repr(self.recipe),
            "learns_from": self.learns_from,
            "vectors": self.scorer.vectors,
            "epoch": self.epoch,
            "scorer": self.scorer.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "best_state": self.best_state,
            "history": self.history,
        }
        partial = self.folder / "checkpoint.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(state, file)
            partial.replace(self.folder / "checkpoint.pt")
            self._log()
        except (OSError, RuntimeError) as error:  # torch makes a RuntimeError of a full disk
            cause = error.__context__ if isinstance(error.__context__, OSError) else error
            reason = getattr(cause, "strerror", None) or str(cause).splitlines()[0]
            raise DataError(f"Cannot write the checkpoint to {self.folder}: {reason}", "Make room and resume") from None

    def _log(self) -> None:
        partial = self.folder / "log.partial"
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *LOGGED])
            for epoch, figures in enumerate(self.history, 1):
                writer.writerow([epoch, *(f"{figures[name]:.6g}" if name in figures else "" for name in LOGGED)])
        partial.replace(self.folder / "log.csv")

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        try:
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            recipe, learns_from, vectors, history = (state[k] for k in ("recipe", "learns_from", "vectors", "history"))
        except Exception as error:  # torch raises what it likes for a damaged file
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"Cannot resume from {path}: {reason}", "Delete it to begin again") from None
        if recipe != repr(self.recipe):
            raise DataError(f"{path} belongs to a run with another recipe", "Delete it, or name another folder")
        same = vectors.shape == self.scorer.vectors.shape and torch.allclose(vectors, self.scorer.vectors, atol=1e-4)
        if learns_from != self.learns_from or not same:
            raise DataError(f"{path} belongs to a run with other photos or tags", "Delete it, or name another folder")
        self.epoch, self.best, self.best_state = state["epoch"], state["best"], state["best_state"]
        self.history = history
        self.scorer.load_state_dict(state["scorer"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])


def _digest(splits: Iterable[Split]) -> str:
    """Stands for the names of photos and which tag each has, wherever they lie."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(repr(split.annotations.shape).encode() + split.names.tobytes())
        for places in (split.annotations > 0).nonzero():
            digest.update(places.astype(np.int64).tobytes())
    return digest.hexdigest()


def _joined(photos: NDArray[np.float16] | None, views: NDArray[np.float16] | None) -> NDArray[np.float16] | None:
    return None if photos is None or views is None else np.concatenate([photos, views])
