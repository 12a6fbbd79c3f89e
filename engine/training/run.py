"""One training run from a data set on disk to a bundle on disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import DataError
from engine.library.region_map import Array
from engine.model.bundle import SHIPPED, Reference
from engine.model.network import Ensemble
from engine.model.prior import SemanticPrior
from engine.search.calibration import Calibration, features, fit
from engine.training.classes import class_vectors, imagenet_names, label_vectors
from engine.training.datasets import Dataset, load
from engine.training.datasets.base import Split
from engine.training.ensemble import EnsembleTrainer
from engine.training.features import FeatureCache
from engine.training.finish import Outlines, background_of, complete, region_vectors, write_bundle
from engine.training.located import LocatedSet, draw_views, pixels_of, shares_of
from engine.training.near import forget_near_negatives
from engine.training.pooling import pooled_scores
from engine.training.recipes import Recipe
from engine.training.trainer import Trainer, TrainingSet
from engine.words.lexicon import FILE as LEXICON
from engine.words.lexicon import Lexicon, LexiconTable
from engine.words.spelling import across_the_atlantic
from engine.words.vectors import WordVectors, open_word_vectors, unit

HELD_OUT = 5  # every fifth photo is kept from the run that confidence is fitted on
CALIBRATED_ON = 2_000  # photos
MIN_CONFIDENCE = 0.12  # the default cut-off
SAME_WORD = 0.9  # cosine
CROPS, MOSAICS = 12, 6  # views that are made of an outlined photo: alone, and together with others


@dataclass(frozen=True)
class Session:
    """A recipe with the data it needs at hand."""

    recipe: Recipe
    dataset: Dataset
    behind: WordVectors  # what `words` are without a lexicon
    words: WordVectors
    lexicon: LexiconTable | None
    classes: Array | None  # (K, d) label vectors of the teacher's classes
    cache: FeatureCache

    @classmethod
    def open(cls, recipe: Recipe, data: Path, cache: Path) -> "Session":
        """Load the data set and the word vectors; raises DataError or WordsError."""
        words = behind = open_word_vectors(recipe.words, cache)
        lexicon = LexiconTable.load(SHIPPED / "lite" / LEXICON).with_moved({}) if recipe.lexicon else None
        if lexicon is not None:
            words = Lexicon(words, lexicon)
        dataset = load(recipe.dataset, data, seed=recipe.seed, has_vector=words.knows)
        if not any(map(words.knows, dataset.tags[dataset.seen])):
            raise DataError(
                f"No tag to learn has a vector in {recipe.words}", "Tags are English words: check their spelling"
            )
        if recipe.near is not None:
            # A protocol's unseen tags stay unseen; the everyday mix only keeps its own from being learned.
            columns = slice(None) if dataset.name == "everyday" else dataset.seen
            vectors = label_vectors(dataset.tags, words)
            vectors[: columns.start or 0] = 0
            vectors[len(dataset.tags) if columns.stop is None else columns.stop :] = 0
            dataset = replace(dataset, train=forget_near_negatives(dataset.train, vectors, recipe.near))
        prior, classes = None, None
        if recipe.prior is not None:
            classes = class_vectors(imagenet_names(), words.vector, words.dim)
            prior = SemanticPrior(recipe.prior)
            prior.class_vectors.copy_(torch.from_numpy(classes))
        return cls(
            recipe,
            dataset,
            behind,
            words,
            lexicon,
            classes,
            FeatureCache(cache, recipe.backbone, prior, recipe.biam.top_k),
        )

    def label_vectors(self, tags: Sequence[str]) -> Array:
        """Unit vectors (C, d) of tags: the mean of the words that have one, zero where none has.

        Such a tag stays a column, so that the figures are those of the protocol; its score says nothing of the photo.
        """
        return label_vectors(tags, self.words)

    def photos(self, split: Split, label: str, *, flip: bool = False) -> TrainingSet:
        """A split with its features: those that come with it, or computed from its photos."""
        if split.feature_file is not None:
            return TrainingSet(split, self.cache.precomputed(split, label=label))
        paths = split.paths()
        plain = self.cache.features(paths, label=label)
        mirrored = self.cache.features(paths, flip=True, label=f"{label}, mirrored") if flip else None
        return TrainingSet(split, plain, mirrored)

    def stages(self) -> "Stages":
        """What the recipe learns from, selects by, and learns from at last."""
        recipe, data = self.recipe, self.dataset
        if recipe.finish is None or data.train_and_validation() is data.train:
            train = self.photos(data.train, "training photos", flip=recipe.flip)
            if recipe.repeats:
                train = train.subset(repeated(data.train.names.tolist(), recipe.repeats))
            validation = self.photos(data.validation, "validation photos") if len(data.validation) else None
            return Stages(train, validation, train if recipe.finish is not None else None)
        # Both stages share one set of features.
        both = self.photos(data.train + data.validation, "training and validation photos", flip=recipe.flip)
        rows, cut = np.arange(len(both)), len(data.train)
        tagged = (both.split.annotations[:, data.seen] > 0).sum(axis=1) > 0
        return Stages(both.subset(rows[:cut]), both.subset(rows[cut:]), both.subset(rows[(rows < cut) | tagged]))

    def located(self) -> LocatedSet | None:
        """Views of the outlined photos, if the data set has any and the recipe wants them."""
        outlines, recipe = self.dataset.outlined, self.recipe
        if outlines is None or not recipe.located:
            return None
        views = draw_views(len(outlines), CROPS, MOSAICS * len(outlines), recipe.seed)
        size = recipe.backbone.input_size

        def pixels(first: int) -> Iterator[NDArray[np.uint8]]:
            return pixels_of(outlines, views[first:], size)

        key = repr((views, [(str(path), path.stat().st_mtime_ns) for path in outlines.photos]))
        features = self.cache.of_pixels(key, len(views), pixels, "views of outlined photos")
        rows, cols = features.regions.shape[2:]
        shares = shares_of(outlines, views, (rows, cols))
        return LocatedSet(features, shares, outlines.names, self.label_vectors(outlines.names), views)

    def learned(self, located: LocatedSet | None) -> list[str]:
        """The names that are learned: seen tags, and what is outlined in the views."""
        names = [*self.dataset.tags[self.dataset.seen], *([] if located is None else located.shown())]
        return [name for name in dict.fromkeys(names) if self.words.knows(name)]

    def trainer(self, work: Path, located: LocatedSet | None = None) -> EnsembleTrainer:
        """A trainer for heads on the seen tags."""
        vectors = self.label_vectors(self.dataset.tags[self.dataset.seen])
        return EnsembleTrainer.of(
            self.recipe, work, lambda recipe, path: Trainer(recipe, vectors, self.classes, path, located=located)
        )

    def tuned(self, trainer: EnsembleTrainer) -> "Session":
        """The session with the lexicon that a trainer has tuned, and the words in it; itself where nothing was."""
        if self.lexicon is None or not self.recipe.tuning:
            return self
        tags = self.dataset.tags[self.dataset.seen]
        vectors = trainer.label_vectors()
        tuned = {tag: vectors[row] for row, tag in enumerate(tags) if self.words.knows(tag)}
        table = self.lexicon.with_entries(
            {tag: self.words.vector(tag) for tag in tuned if self.lexicon.row(tag) is None}
        )
        table = table.with_moved(alike_however_spelt(tuned, table))
        return replace(self, lexicon=table, words=Lexicon(self.behind, table))

    def complete(self, ensemble: Ensemble, train: TrainingSet, located: LocatedSet | None) -> None:
        """Do to heads what the recipe has for when training is over; the words are those that were tuned."""
        complete(
            ensemble,
            self.recipe,
            train,
            labels=self.label_vectors(self.dataset.tags[self.dataset.seen]),
            rivals=self.label_vectors(self.learned(located)),
            outlines=None if located is None else Outlines(located, self.label_vectors(located.names)),
        )


class Stages(NamedTuple):
    """Photos to learn from, to select the best epoch by, and to learn from after that."""

    train: TrainingSet
    validation: TrainingSet | None
    finish: TrainingSet | None


def train_bundle(recipe: Recipe, data: Path, out: Path, name: str, work: Path, cache: Path) -> bool:
    """Train by `recipe` and write the bundle `out`; checkpoints and logs go to `work`.

    Confidence is fitted on photos that the head has not learned from: those the data set has for it; else the
    validation photos, with the head that was selected on them, before any last stage; else every fifth photo, which a
    second run has held out.

    Returns whether this process wrote the bundle: of several, the first one does.
    """
    session = Session.open(recipe, data, cache)
    for folder in (out, work):
        _make(folder)
    return make_bundle(session, session.stages(), session.located(), out, name, work)


def make_bundle(
    session: Session,
    stages: Stages,
    located: LocatedSet | None,
    out: Path,
    name: str,
    work: Path,
    calibration: Calibration | None = None,
) -> bool:
    """As `train_bundle`, with the photos at hand; `calibration` is fitted where it is not given."""
    trainer = session.trainer(work / "all", located)
    ensemble = trainer.fit(*stages)
    judge = _judge(session, stages, located, work, trainer, ensemble) if calibration is None else None
    trainer.team.leave()
    if not trainer.team.leads:
        return False
    train, background = stages.train, background_of(stages.train)
    tuned = session.tuned(trainer)
    tags = tuned.learned(located)
    tuned.complete(ensemble.cpu(), train, located)
    if judge is not None:
        judged = session.tuned(judge.trainer)
        if judge.ensemble is not ensemble:
            judged.complete(judge.ensemble.cpu(), judge.learned, judge.trainer.located)
        calibration = calibrate(judged, judge.ensemble, judge.unlearned, background, judge.columns)
    assert calibration is not None
    write_bundle(
        out,
        name,
        tuned.recipe,
        ensemble,
        background,
        tags=tags,
        labels=labels_for(tags, tuned.words),
        calibration=calibration.weights,
        min_confidence=MIN_CONFIDENCE,
        lexicon=tuned.lexicon,
        card={"photos": len(np.unique(train.split.names)), "tags": len(tags)},
    )
    return True


class Judge(NamedTuple):
    """Heads that have `learned` from some photos and not from others, on which confidence is fitted."""

    trainer: EnsembleTrainer
    ensemble: Ensemble
    learned: TrainingSet
    unlearned: TrainingSet
    columns: slice  # of the tags that the latter are annotated for


def _judge(
    session: Session,
    stages: Stages,
    located: LocatedSet | None,
    work: Path,
    trainer: EnsembleTrainer,
    ensemble: Ensemble,
) -> Judge:
    """The heads that were trained, where there are photos they have not learned from; else others, of a second run."""
    train, data = stages.train, session.dataset
    if data.calibration is not None:
        unlearned = session.photos(data.calibration, "photos to fit confidence on")
        if located is not None:  # which shows those photos
            trainer = session.trainer(work / "held-out")
            ensemble = trainer.fit(*stages)
        return Judge(trainer, ensemble, train, unlearned, slice(None))
    if stages.validation is not None:
        return Judge(trainer, trainer.selected(), train, stages.validation, data.seen)
    _, number = np.unique(train.split.names, return_inverse=True)  # repeats of a photo go together
    learned = train.subset(np.flatnonzero(number % HELD_OUT != 0))
    trainer = session.trainer(work / "held-out", located)
    unlearned = train.subset(np.flatnonzero(number % HELD_OUT == 0))
    return Judge(trainer, trainer.fit(learned), learned, unlearned, data.seen)


def _make(folder: Path) -> None:
    """Make a folder, or find that it cannot be written before hours have been spent on what goes there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(f"Cannot write to {folder}: {error.strerror or error}", "Name another folder") from None


def alike_however_spelt(tuned: dict[str, Array], table: LexiconTable) -> dict[str, Array]:
    """Tuned vectors, and what "grey" and "gray" share: the mean of both where both are tags, else the one there is.

    Two entries are spellings of one word where the encoder that made the table has them side by side.
    """
    shared = dict(tuned)
    for tag, vector in tuned.items():
        here = table.row(tag)
        for other in across_the_atlantic(tag):
            there = table.row(other)
            if here is not None and there is not None and here @ there >= SAME_WORD:
                shared[tag] = unit(vector + tuned.get(other, vector))
                shared[other] = shared[tag]
    return shared


def repeated(names: Sequence[bytes], repeats: dict[str, int]) -> NDArray[np.int64]:
    """Rows of an epoch: those of a collection (first part of the name) as often as `repeats` says, others once."""
    times = [repeats.get(name.split(b"/")[0].decode(errors="replace"), 1) for name in names]
    return np.repeat(np.arange(len(names)), times)


def calibrate(
    session: Session, ensemble: Ensemble, unlearned: TrainingSet, background: TrainingSet, columns: slice
) -> Calibration:
    """From scores to confidence, on photos not learned from and the tags they are annotated for.

    No more than CALIBRATED_ON photos, spread evenly, are looked at: a few numbers do not need more.
    """
    tags = session.dataset.tags[columns]
    queries = np.pad(session.label_vectors(tags), ((0, 0), (0, 1)), constant_values=1).astype(np.float32)

    def scores(photos: TrainingSet) -> Array:
        vectors = (torch.from_numpy(part) for part in region_vectors(ensemble, photos))
        with torch.no_grad():
            return np.concatenate(
                [pooled_scores(part, torch.from_numpy(queries), session.recipe.biam.top_k).numpy() for part in vectors]
            )

    step = -(-len(unlearned) // CALIBRATED_ON)
    unlearned = unlearned.subset(np.arange(0, len(unlearned), step))
    labels = unlearned.split.labels()[:, columns]
    known = labels != 0
    rows = features(scores(unlearned), Reference.of(scores(background)))
    return fit(rows[known], (labels[known] > 0).astype(np.float32))


def labels_for(tags: Sequence[str], words: WordVectors) -> list[str]:
    """Words to tag photos with: what was trained, and the first known name of each class of the backbone."""
    classes = [next((name for name in names if words.knows(name)), None) for names in imagenet_names()]
    return list(dict.fromkeys([*tags, *(name.lower() for name in classes if name is not None)]))
