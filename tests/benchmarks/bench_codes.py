"""What keeping region vectors in 8 bits costs: scores and rankings from codes beside those from unrounded vectors.

python -m tests.benchmarks.bench_codes FOLDER… takes up to MOST of the JPEGs below the folders, evenly.
"""

import sys
from pathlib import Path

import numpy as np

from engine.library.region_map import pooled_regions, quantise
from engine.model.bundle import open_bundle
from engine.model.encoder import RegionEncoder
from engine.photo import load_square
from engine.settings import load_settings
from tests.benchmarks.bench_search import different_words

MOST = 2000
BEST = 20


def main(folders: list[str]) -> None:
    bundle = open_bundle("lite", load_settings().cache)
    encoder = RegionEncoder.open(bundle)
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.jp*g"))
    paths = paths[:: -(-len(paths) // MOST)]
    words = [word.strip('"') for word in different_words(bundle)]
    queries = bundle.queries(np.array([bundle.words.vector(word) for word in words], np.float32))
    exact, near, clipped = [], [], 0.0
    for path in paths:
        (vectors,) = encoder.region_vectors(load_square(path, encoder.input_size)[None])
        codes = quantise(vectors, bundle.steps)
        clipped += float((np.abs(vectors) > 127.5 * bundle.steps).mean()) / len(paths)
        whole = np.array([0, len(codes)])
        exact.append(pooled_regions((vectors / bundle.steps) @ queries.T, whole, bundle.top_k)[0])
        near.append(pooled_regions(codes.astype(np.float32) @ queries.T, whole, bundle.top_k)[0])
    scores, rounded = np.stack(exact), np.stack(near)
    error = np.abs(rounded - scores) / scores.std(axis=0)
    best, found = (np.argsort(-some, axis=0, kind="stable")[:BEST] for some in (scores, rounded))
    recall = [len(set(a) & set(b)) / BEST for a, b in zip(best.T, found.T, strict=True)]
    print(f"{len(paths):,} photos, {len(words)} words, {codes.size / 1000:.1f} kB of codes a photo")
    print(f"numbers beyond what 8 bits hold: {100 * clipped:.4f} %")
    print(
        f"error of a score, in standard deviations of the scores of photos: median {np.median(error):.4f}, "
        f"99th percentile {np.quantile(error, 0.99):.4f}, largest {error.max():.3f}"
    )
    print(
        f"of the best {BEST}, still among them: {100 * np.mean(recall):.1f} % (fewest {100 * min(recall):.0f} %); "
        f"the same photo first: {100 * np.mean(best[0] == found[0]):.0f} % of words"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
