"""Searching synthetic libraries: latency of 100 different words, beside brute force, bars, peers and ceilings.

UNSEEN_BENCH_SIZES names the numbers of photos (10000,100000; a million takes 22 GB and half an hour), and
UNSEEN_BENCH_FOLDER a folder that keeps the libraries for the next time. Files are in the system's cache when a search
is measured. LanceDB is a peer where it is installed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from string import ascii_lowercase

import numpy as np

from engine.errors import UnknownWord
from engine.library import indexes
from engine.library.lock import writer_lock
from engine.library.region_map import region_scores
from engine.model.bundle import Bundle, open_bundle
from engine.search.results import Results
from engine.search.searcher import GUESS, Searcher
from engine.search.serialise import results_to_json
from engine.search.similar import similar_photos
from engine.settings import load_settings
from tests.benchmarks.synthetic import make

WORDS = 100
TOP = 50
RECALLED = 20  # of the best photos, where drafts propose them
PEER_QUERIES = 5
BRUTE_AT_ONCE = 2000  # photos
FEW_PHOTOS = 10_000  # for peers that take minutes to be made for each 10,000, or for ten times as many
LISTS = 1024  # of the inverted file


def main() -> None:
    sizes = [int(size) for size in os.environ.get("UNSEEN_BENCH_SIZES", "10000,100000").split(",")]
    bundle = open_bundle("lite", load_settings().cache)
    print(f"{os.cpu_count()} cores, memory read at {memory_speed():.0f} GB/s; bars are at 2 cores and 51 GB/s\n")
    with tempfile.TemporaryDirectory() as temporary:
        shelf = Path(os.environ.get("UNSEEN_BENCH_FOLDER", temporary))
        growth = {size: measure(shelf / str(size), bundle, size) for size in sizes}
    for size, latency in growth.items():
        row(f"growth: p50 of {size:,} photos", latency, f"ms, {1e3 * latency / size:.2f} µs a photo")


def measure(folder: Path, bundle: Bundle, size: int) -> float:
    """Print a table for one library; returns the median milliseconds of a search."""
    million = size >= 1_000_000
    with make(folder, bundle, size) as store:
        started = time.perf_counter()
        with writer_lock(folder):
            indexes.refresh(store, bundle.basis, rebuild=True)
        row(f"{size:,} photos: index made", time.perf_counter() - started, "s", "≤ 1800" if million else "")
        searcher = Searcher(store, bundle)
        words = list(different_words(bundle))
        searcher.search(words[0], top=TOP)
        searcher.corpus().forget()
        into_cache(folder)
        times, found = [], []
        for word in words:
            started = time.perf_counter()
            results = searcher.search(word, top=TOP)
            json.dumps(results_to_json(results))
            times.append(time.perf_counter() - started)
            found.append(results)
        latency = 1e3 * float(np.percentile(times, 50))
        row("one word, from text to JSON, p50", latency, "ms", "≤ 40" if million else "≤ 15" if size == 100_000 else "")
        row("p99", 1e3 * float(np.percentile(times, 99)), "ms", "≤ 60" if size == 100_000 else "")
        for name in ("sketches", "drafts"):
            read = sum(getattr(segment, name).blocks.nbytes for segment in searcher.corpus().index.segments)
            row(f"floor: reading all {name}", read / memory_speed() / 1e6, f"ms for {read / 1e6:,.0f} MB")
        row("resident", resident(), "MB", "≤ 8000" if million else "")
        row("the next page, p50", median(lambda i: searcher.search(words[-1 - i], top=TOP, offset=TOP), 20), "ms")
        for name, work in {
            "two words and one excluded": lambda i: searcher.search(f"{words[i]} {words[-i - 1]} -dog"),
            "1 % of the photos, by camera and year": lambda i: searcher.search(f"{words[i]} {FILTER}"),
            "newest first": lambda i: searcher.search(words[i], sort="date"),
            "with an exact total": lambda i: searcher.search(words[i], exact=True),
        }.items():
            row(f"{name}, p50", median(work, 20, searcher.corpus().forget), "ms")
        row(
            "photos like another one, p50",
            median(lambda i: similar_photos(searcher, found[i].hits[0].photo.id), 10),
            "ms",
        )
        row("proven (exact)", sum(results.exact for results in found), f"of {len(words)}")
        if all(results.exact for results in found):
            truth = brute_force(searcher, words)
            same = [agrees(*one, searcher) for one in zip(words, found, truth, strict=True)]
            row("words whose ranking is brute force's", sum(same), f"of {len(words)}", str(len(words)))
        else:
            recall = [recalled(results, searcher, word) for results, word in zip(found, words, strict=True)]
            row(f"recall@{RECALLED} of proven searches, %", 100 * float(np.mean(recall)), "", "≥ 99")
        peers(searcher, words)
    wall, peak = cold(folder)
    row("cold `unseen search`", wall, "s", "≤ 1.0" if size == 100_000 else "")
    row("cold, resident", peak, "MB", "≤ 400" if size == 100_000 else "")
    print()
    return latency


def into_cache(folder: Path) -> None:
    """Read the index once, so that the disk has no part in what is measured."""
    for path in folder.glob("regions-*"):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


FILTER = "camera:canon after:2004 before:2005"


def different_words(bundle: Bundle) -> Iterator[str]:
    """Half of them labels, half words that no training knew."""
    rng = np.random.default_rng(0)
    labels = [f'"{bundle.labels[i]}"' for i in rng.choice(len(bundle.labels), WORDS // 2, replace=False)]
    yield from labels
    vocabulary = [word for letter in ascii_lowercase for word in bundle.words.completions(letter, 2000)]
    left = WORDS - len(labels)
    for i in rng.permutation(len(vocabulary)):
        try:
            bundle.words.vector(vocabulary[i])
        except UnknownWord:
            continue
        yield f'"{vocabulary[i]}"'
        left -= 1
        if not left:
            return


def brute_force(searcher: Searcher, words: list[str]) -> np.ndarray:
    """Scores (words, photos) by definition, with matrix products over all codes."""
    queries = np.concatenate([searcher.prepare(word).scored.queries for word in words])
    k = searcher.bundle.top_k
    scores = []
    for segment in searcher.corpus().index.segments:
        for start in range(0, len(segment), BRUTE_AT_ONCE):
            codes = segment.codes(slice(start, start + BRUTE_AT_ONCE))
            regions = region_scores(codes.reshape(-1, codes.shape[2]), queries).reshape(*codes.shape[:2], -1)
            scores.append(np.partition(regions, -k, axis=1)[:, -k:].mean(axis=1))
    return np.concatenate(scores).T


def agrees(word: str, results: Results, scores: np.ndarray, searcher: Searcher) -> bool:
    """Whether hits are the best photos in order, but for ones whose scores single precision cannot tell apart.

    Where there is no hit, no photo may reach the lowest cut-off.
    """
    if not results.hits:
        surest = float(searcher.prepare(word).scored.curves.confidence(scores.max()).max())
        return surest < GUESS * searcher.bundle.spec.min_confidence
    ids = searcher.corpus().ids
    best = np.sort(scores)[::-1][: len(results.hits)]
    mine = [scores[np.flatnonzero(ids == hit.photo.id)[0]] for hit in results.hits]
    return np.allclose(mine, best, rtol=1e-5, atol=1e-5)


def recalled(results: Results, searcher: Searcher, word: str) -> float:
    """The share of the best photos, as a proven search finds them, that are among the hits."""
    best = {hit.photo.id for hit in searcher.search(word, top=RECALLED, exact=True).hits}
    return len(best & {hit.photo.id for hit in results.hits[:RECALLED]}) / max(len(best), 1)


def peers(searcher: Searcher, words: list[str]) -> None:
    """Other ways to the same photos, one word at a time."""
    segments = searcher.corpus().index.segments
    count = sum(len(segment) for segment in segments)
    if count > 200_000:
        return
    codes = np.concatenate([segment.codes(slice(None)) for segment in segments])
    queries = [searcher.prepare(word).scored.queries for word in words[:PEER_QUERIES]]
    flat, k = codes.reshape(-1, codes.shape[2]), searcher.bundle.top_k

    def by_numpy(i: int) -> None:
        for start in range(0, count, BRUTE_AT_ONCE):
            part = codes[start : start + BRUTE_AT_ONCE]
            regions = region_scores(part.reshape(-1, part.shape[2]), queries[i]).reshape(*part.shape[:2])
            np.partition(regions, -k, axis=1)[:, -k:].mean(axis=1)

    row("peer: NumPy, all regions", median(by_numpy), "ms")
    import faiss

    index = faiss.IndexScalarQuantizer(
        flat.shape[1], faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
    )
    for start in range(0, len(flat), 1_000_000):
        index.add(flat[start : start + 1_000_000].astype(np.float32))
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    row("peer: FAISS flat in 8 bit, 1,000 best regions", median(lambda i: index.search(queries[i], 1000)), "ms")
    if count <= FEW_PHOTOS:
        inverted_file(flat, codes.shape[1], searcher, words)
    if find_spec("lancedb") and count <= FEW_PHOTOS:
        row("peer: LanceDB multivector, best region", median(lance(codes, queries)), "ms")


def inverted_file(flat: np.ndarray, regions: int, searcher: Searcher, words: list[str]) -> None:
    """FAISS's inverted file of all regions (M, D) in 8 bit: time, and recall of photos by their best regions."""
    import faiss

    index = faiss.index_factory(flat.shape[1], f"IVF{LISTS},SQ8", faiss.METRIC_INNER_PRODUCT)
    started = time.perf_counter()
    sample = np.random.default_rng(0).choice(len(flat), 50 * LISTS, replace=False)
    index.train(flat[sample].astype(np.float32))
    index.add(flat.astype(np.float32))
    row("peer: FAISS IVF in 8 bit, made", time.perf_counter() - started, "s")
    queries = [searcher.prepare(word).scored.queries for word in words]
    best = np.argsort(-brute_force(searcher, words), axis=1)[:, :RECALLED]
    for share in (32, 8):
        index.nprobe = LISTS // share
        row(f"peer: it, one of {share} lists read", median(lambda i: index.search(queries[i], 1000)), "ms")
        found = [index.search(query, 1000)[1][0] // regions for query in queries]
        recall = [float(np.isin(*one).mean()) for one in zip(best, found, strict=True)]
        row(
            f"peer: its recall@{RECALLED}",
            100 * float(np.mean(recall)),
            f"%, {100 * min(recall):.0f} for the worst word",
        )


def lance(codes: np.ndarray, queries: list[np.ndarray]) -> Callable[[int], object]:
    """A search of LanceDB over the same region maps as multivectors (which it can only compare by cosine)."""
    import lancedb
    import pyarrow as pa

    folder = tempfile.mkdtemp()
    kind = pa.list_(pa.list_(pa.float16(), codes.shape[2]))
    vectors = pa.array([list(photo.astype(np.float16)) for photo in codes], kind)
    table = lancedb.connect(folder).create_table("photos", pa.table({"vector": vectors}))
    return lambda i: table.search(queries[i].astype(np.float16)).distance_type("cosine").limit(TOP).to_arrow()


def median(
    work: Callable[[int], object], rounds: int = PEER_QUERIES, before: Callable[[], object] = lambda: None
) -> float:
    """Milliseconds; what is done `before` each round is not counted."""
    times = []
    for i in range(rounds):
        before()
        started = time.perf_counter()
        work(i)
        times.append(time.perf_counter() - started)
    return 1e3 * float(np.median(times))


COLD = """
import atexit, sys
from pathlib import Path
from engine.cli import main

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM")), file=sys.stderr)

atexit.register(peak)
main()
"""


def cold(folder: Path) -> tuple[float, float]:
    """Seconds and megabytes of a process that searches once; its files are in the system's cache."""
    command = [sys.executable, "-c", COLD, "search", "lighthouse", "--library", str(folder)]
    times, resident = [], []
    for _ in range(3):
        started = time.perf_counter()
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        times.append(time.perf_counter() - started)
        resident.append(int(result.stderr.split()[-1]) / 1024)
    return min(times), max(resident)


def memory_speed() -> float:
    """GB/s that all cores read together."""
    cores, block = os.cpu_count() or 1, np.ones(40_000_000)
    with ThreadPoolExecutor(cores) as pool:
        best = np.inf
        for _ in range(5):
            started = time.perf_counter()
            list(pool.map(np.sum, np.array_split(block, cores)))
            best = min(best, time.perf_counter() - started)
    return block.nbytes / best / 1e9


def resident() -> float:
    """Megabytes of this process in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def row(name: str, value: float, unit: str, bar: str = "") -> None:
    number = f"{value:9.2f}" if isinstance(value, float) else f"{value:9}"
    print(f"{name:48} {number} {unit}" + (f"  (bar: {bar})" if bar else ""), flush=True)


if __name__ == "__main__":
    main()
