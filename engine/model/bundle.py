"""A bundle: one model on disk, everything that indexing and searching with it need.

A bundle is a folder:

bundle.json          what it is, how it was made, its measured figures
head.safetensors     weights of each BiAM and its semantic prior, and of rivals; only indexing and training read it
search.safetensors   `steps` (D,) of the 8-bit codes, and region maps of background photos
lexicon.safetensors  word vectors of its own, where it does not use those it is named for as they are
tags.txt             tags the head was trained with; any other word is answered zero-shot
labels.txt           words a photo is tagged with: the classes of the class scores

Nothing here imports torch: searching reads a bundle without it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from engine.errors import BundleError, UnknownWord, WrongBundle
from engine.library.basis import Basis
from engine.library.records import LibraryInfo
from engine.library.region_map import Array, Grid, RegionMaps
from engine.library.scan import exact_scores
from engine.words.colours import Coloured
from engine.words.lexicon import FILE as LEXICON
from engine.words.lexicon import Lexicon, LexiconTable
from engine.words.vectors import WordVectors, normalise, open_word_vectors

FORMAT = 1
SHIPPED = Path(str(files("engine.model"))) / "bundles"


@dataclass(frozen=True)
class BackboneSpec:
    """Which network looks at the pixels, and how they are handed to it."""

    name: str  # a name of engine.model.backbones
    weights: str  # `package:NAME`, `timm` (its own download), `none` (random), or a file
    input_size: int  # pixels; photos are squashed to a square, as in the paper
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    fine: bool = False  # whether a region has the features of half its stride beside its own


@dataclass(frozen=True)
class BundleSpec:
    """`bundle.json`."""

    name: str
    backbone: BackboneSpec
    biam: dict[str, Any]  # fields of engine.model.biam.BiAMConfig
    words: str  # a source of engine.words.vectors
    grid: tuple[int, int]
    prior: dict[str, float] | None = None  # fields of engine.model.prior.PriorConfig
    heads: int = 1  # whose region vectors are averaged
    probes: dict[str, int] | None = None  # fields of engine.model.probe.ProbeConfig
    refinement: dict[str, float] | None = None  # fields of engine.model.refinement.RefinementConfig
    colours: bool = False  # whether region vectors, and the vectors of words, have a number for each colour
    calibration: tuple[float, ...] = (1.0, 0.0)  # weights of engine.search.calibration.FEATURES
    min_confidence: float = 0.0
    card: dict[str, Any] = field(default_factory=dict)  # data, recipe, figures, limits, licences: for people
    format: int = FORMAT

    def to_json(self) -> str:
        """The text of `bundle.json`."""
        return json.dumps(_plain(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "BundleSpec":
        """The inverse of `to_json`; raises ValueError, KeyError or TypeError for anything else."""
        values = json.loads(text)
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}, this version of unseen reads {FORMAT}")
        backbone = values.pop("backbone")
        for name in ("mean", "std"):
            backbone[name] = tuple(backbone[name])
        for name in ("grid", "calibration"):
            values[name] = tuple(values[name])
        return cls(backbone=BackboneSpec(**backbone), **values)


class Reference(NamedTuple):
    """Scores of background photos for Q queries, each (Q,)."""

    mean: Array
    deviation: Array
    tail: Array  # how many deviations above the mean the best twentieth begins

    @classmethod
    def of(cls, scores: Array) -> "Reference":
        """From pooled scores (photos, Q)."""
        mean, deviation = scores.mean(axis=0), np.maximum(scores.std(axis=0), 1e-6)
        return cls(mean, deviation, (np.quantile(scores, 0.95, axis=0) - mean) / deviation)


class Bundle:
    """An opened bundle. `cache` is where word vectors and the exported encoder are kept."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.cache = cache
        try:
            self.spec = BundleSpec.from_json((folder / "bundle.json").read_text(encoding="utf-8"))
            self._search = load_file(folder / "search.safetensors")
            self.tags = _read_lines(folder / "tags.txt")
            self.steps: Array = self._search["steps"]
        except OSError as error:
            raise BundleError(f"Cannot read the bundle {folder}: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, SafetensorError) as error:
            raise BundleError(f"{folder} is not a bundle that can be used: {error}") from None

    @property
    def name(self) -> str:
        """The name that its card gives it; it may be found by another one."""
        return self.spec.name

    @property
    def known_as(self) -> str:
        """What `--model` finds it by: its folder's name where that is enough, else the folder."""
        name = self.folder.name
        return name if _on_a_shelf(name, self.cache) == self.folder else str(self.folder.absolute())

    @property
    def grid(self) -> Grid:
        """Rows and columns of its region maps."""
        return Grid(*self.spec.grid)

    @property
    def top_k(self) -> int:
        """k: how many of the best regions make the score of a photo."""
        return int(self.spec.biam["top_k"])

    @cached_property
    def fingerprint(self) -> str:
        """Stands for everything that region maps and class scores depend on."""
        digest = hashlib.sha256()
        spec = self.spec
        always = (spec.backbone, spec.biam, spec.prior, spec.words, spec.grid, spec.heads)
        for part in (*always, *filter(None, (spec.probes, spec.refinement, spec.colours))):
            digest.update(json.dumps(_plain(part), sort_keys=True).encode())
        digest.update(self.steps.tobytes())
        try:
            for name in ("head.safetensors", "labels.txt", LEXICON):
                if name != LEXICON or (self.folder / name).exists():
                    digest.update((self.folder / name).read_bytes())
        except OSError as error:
            raise BundleError(f"Cannot read the bundle {self.folder}: {error.strerror}") from None
        return digest.hexdigest()[:32]

    def check(self, library: LibraryInfo, folder: Path) -> None:
        """Raise WrongBundle unless the library in `folder` was made with this bundle."""
        if library.fingerprint == self.fingerprint:
            return
        made, mine = f"{library.bundle} {library.fingerprint[:8]}", f"{self.known_as} {self.fingerprint[:8]}"
        again = "To have this one look at its photos again: unseen index FOLDER --new-model"
        if library.bundle == self.known_as:
            raise WrongBundle(
                f"The library in {folder} was made with another version of this model ({made}, now {mine})",
                again,
            )
        raise WrongBundle(
            f"The library in {folder} was made with another model ({made}), not with this one ({mine})",
            f"Choose that one with --model or UNSEEN_MODEL. {again} --model {self.known_as}",
        )

    @cached_property
    def words(self) -> WordVectors:
        """The word vectors of the bundle: its lexicon's, if it has one."""
        behind = open_word_vectors(self.spec.words, self.cache)
        path = self.folder / LEXICON
        if not path.exists():
            return behind
        return (Coloured if self.spec.colours else Lexicon)(behind, LexiconTable.load(path))

    @cached_property
    def labels(self) -> list[str]:
        """Words a photo is tagged with, one a class score."""
        return _read_lines(self.folder / "labels.txt")

    @cached_property
    def _compounds(self) -> frozenset[str]:
        return frozenset(normalise(name) for name in (*self.labels, *self.tags) if " " in name)

    def is_compound(self, text: str) -> bool:
        """Whether several words are one concept: a label, a tag or an entry of the lexicon."""
        return text in self._compounds or self.words.is_phrase(text)

    @cached_property
    def background(self) -> RegionMaps:
        """Region maps of photos of everything, against which a score is judged."""
        codes = self._search["background"]  # (N, R, D)
        count, regions, dim = codes.shape
        offsets = np.arange(count + 1, dtype=np.int64) * regions
        return RegionMaps(np.arange(count), (self.grid,) * count, codes.reshape(-1, dim), offsets)

    @cached_property
    def _basis(self) -> Basis:
        return Basis.fit(self.background.codes.reshape(len(self.background), len(self.grid), -1), self.label_queries)

    def basis(self) -> Basis:
        """Coordinates in which an index sketches region maps: what labels tell apart in the background."""
        return self._basis

    def queries(self, vectors: Array) -> Array:
        """Label vectors (Q, d) → query vectors (Q, d + 1) with the steps of the codes folded in."""
        padded = np.concatenate([vectors, np.ones((len(vectors), 1), np.float32)], axis=1)
        return (padded * self.steps).astype(np.float32)

    @cached_property
    def _background_columns(self) -> NDArray[np.int8]:
        codes = self.background.codes.reshape(len(self.background), len(self.grid), -1)
        return np.ascontiguousarray(codes.transpose(0, 2, 1))  # which are scored in a tenth of the time

    def reference(self, queries: Array) -> "Reference":
        """What the background photos score for queries (Q, D)."""
        return Reference.of(exact_scores(self._background_columns, queries, self.top_k))

    @cached_property
    def label_queries(self) -> Array:
        """Query vectors (labels, D)."""
        return self.queries(self._vectors_of(self.labels))

    @cached_property
    def label_reference(self) -> "Reference":
        """What the background photos score for the labels."""
        return self.reference(self.label_queries)

    @cached_property
    def tag_vectors(self) -> Array:
        """Label vectors (tags, d) of the tags the head was trained with."""
        return self._vectors_of(self.tags)

    def nearest_tags(self, vector: Array, count: int = 3, floor: float = 0.5) -> list[str]:
        """The learned tags whose label vectors are nearest to `vector` (d,), at a cosine of `floor` or more."""
        if not self.tags:
            return []
        cosines = self.tag_vectors @ vector
        best = np.argsort(-cosines, kind="stable")[:count]
        return [self.tags[i] for i in best if cosines[i] >= floor]

    def _vectors_of(self, names: list[str]) -> Array:
        try:
            return np.stack([self.words.vector(name) for name in names])
        except UnknownWord as error:
            raise BundleError(f"The bundle {self.folder} names “{error.word}”, which {self.spec.words} lacks") from None


def open_bundle(name: str, cache: Path) -> Bundle:
    """The bundle with this name (one that comes with unseen, or one in the cache), or in this folder.

    A name comes first: what happens to be called "lite" where one stands is not meant, unless it is written "./lite".
    """
    shelved = _on_a_shelf(name, cache)
    if shelved is not None:
        return Bundle(shelved, cache)
    if Path(name).is_dir() or "/" in name:
        return Bundle(Path(name), cache)
    known = ", ".join(sorted(path.parent.name for shelf in shelves(cache) for path in shelf.glob("*/bundle.json")))
    raise BundleError(
        f"There is no bundle called {name}",
        f"{f'There are {known}; or name' if known else 'Name'} a folder that holds bundle.json",
    )


def shelves(cache: Path) -> tuple[Path, Path]:
    """Folders in which bundles are looked for by name: those that come with unseen, and the user's own."""
    return SHIPPED, cache / "bundles"


def _on_a_shelf(name: str, cache: Path) -> Path | None:
    """The folder that a name stands for, or None; a path is no name."""
    folders = () if "/" in name else (shelf / name for shelf in shelves(cache))
    return next((folder for folder in folders if (folder / "bundle.json").is_file()), None)


def save_bundle(
    folder: Path,
    spec: BundleSpec,
    *,
    head: dict[str, NDArray[Any]],
    steps: Array,
    background: NDArray[np.int8],
    tags: list[str],
    labels: list[str],
    lexicon: LexiconTable | None = None,
) -> None:
    """Write a bundle. `bundle.json` goes first and comes last, so a folder that has it is complete."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("bundle.json", LEXICON):
            (folder / name).unlink(missing_ok=True)
        save_file({name: np.ascontiguousarray(value) for name, value in head.items()}, folder / "head.safetensors")
        save_file({"steps": steps, "background": background}, folder / "search.safetensors")
        (folder / "tags.txt").write_text("".join(f"{tag}\n" for tag in tags), encoding="utf-8")
        (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        if lexicon is not None:
            lexicon.save(folder / LEXICON)
        for path in folder.glob("*.safetensors"):
            path.chmod(0o644)  # safetensors writes files that only their owner can read
        (folder / "bundle.json").write_text(spec.to_json(), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"Cannot write the bundle {folder}: {reason}", "Make room, or name another folder") from None


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
