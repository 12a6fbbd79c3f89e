import logging
from pathlib import Path
from types import SimpleNamespace

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.library.vector_index import FaissIndex, GpuIndex

DIM = 4
codes = arrays(np.int8, st.tuples(st.integers(1, 40), st.just(DIM)), elements=st.integers(-127, 127))
queries = arrays(np.float32, (2, DIM), elements=st.floats(-4, 4, width=16))


@given(codes, queries, st.integers(1, 50))
def test_the_index_of_codes_finds_what_scoring_every_vector_finds(vectors, wanted, count):
    index = FaissIndex(DIM)
    index.add(np.arange(len(vectors)) * 3, vectors)
    scores, keys = index.search(wanted, count)
    everything = wanted @ vectors.astype(np.float32).T
    best = np.sort(everything, axis=1)[:, ::-1][:, :count]
    np.testing.assert_allclose(scores, best, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(np.take_along_axis(everything, keys // 3, axis=1), scores, rtol=1e-4, atol=1e-2)


@given(codes, st.data())
def test_removed_vectors_are_gone_and_the_others_are_as_they_were(vectors, data):
    keys = np.arange(len(vectors)) + 10
    removed = np.array(data.draw(st.lists(st.sampled_from([*keys.tolist(), 7]))), np.int64)
    index = FaissIndex(DIM)
    index.add(keys, vectors)
    index.remove(removed)
    kept = np.setdiff1d(keys, removed)
    np.testing.assert_array_equal(np.sort(index.keys()), kept)
    if len(kept):
        np.testing.assert_array_equal(index.vectors(kept), vectors[kept - 10])


def test_vectors_of_keys_that_are_not_there_are_refused():
    index = FaissIndex(DIM)
    with pytest.raises(KeyError):
        index.vectors(np.array([1]))
    index.add(np.array([1, 3]), np.ones((2, DIM)))
    for missing in (0, 2, 4):
        with pytest.raises(KeyError):
            index.vectors(np.array([1, missing]))


def test_an_empty_index_finds_nothing():
    scores, keys = FaissIndex(DIM).search(np.ones((2, DIM), np.float32), 5)
    assert scores.shape == keys.shape == (2, 0)


def test_a_saved_index_comes_back_with_its_generation_and_replaces_older_ones(tmp_path):
    index = FaissIndex(DIM)
    index.add(np.array([5]), np.ones((1, DIM)))
    index.save(tmp_path, "classes", 1)
    index.save(tmp_path, "classes", 7)
    loaded, generation = FaissIndex.load(tmp_path, "classes")
    assert (generation, loaded.keys().tolist()) == (7, [5])
    assert [path.name for path in tmp_path.iterdir()] == ["classes-000000000007.faiss"]


def test_a_damaged_file_is_passed_over_for_an_older_one_that_can_be_read(tmp_path):
    FaissIndex(DIM).save(tmp_path, "regions", 1)
    (tmp_path / "regions-000000000002.faiss").write_bytes(b"IxMp and then nothing")
    assert FaissIndex.load(tmp_path, "regions")[1] == 1
    (tmp_path / "regions-000000000001.faiss").unlink()
    assert FaissIndex.load(tmp_path, "regions") is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for a process's own memory")
def test_a_mapped_index_is_searched_in_its_file_and_not_in_memory_of_its_own(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(4000, 1024)).astype(np.float32)
    index = FaissIndex(vectors.shape[1])
    index.add(np.arange(len(vectors)), vectors)
    index.save(tmp_path, "classes", 1)

    def own_memory():
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
        return 1024 * int(line.split()[1])

    before = own_memory()
    mapped, _ = FaissIndex.load(tmp_path, "classes", mapped=True)
    FaissIndex.discard(tmp_path, "classes")  # by a writer that has made a newer one
    expected, found = index.search(vectors[:3], 10), mapped.search(vectors[:3], 10)
    assert own_memory() - before < vectors.nbytes / 8  # the file has half of these
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(mapped.vectors(np.array([7, 9])), index.vectors(np.array([7, 9])))


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("mapped", [False, True])
def test_a_file_that_was_cut_off_is_not_read(tmp_path, share, mapped):
    index = FaissIndex(64)
    index.add(np.arange(2000), np.ones((2000, 64)))
    index.save(tmp_path, "classes", 1)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert FaissIndex.load(tmp_path, "classes", mapped=mapped) is None


def test_an_index_in_a_folder_that_is_not_there_is_none(tmp_path):
    assert FaissIndex.load(tmp_path / "nowhere", "regions") is None


def test_a_discarded_index_leaves_the_others(tmp_path):
    for name in ("regions", "classes"):
        FaissIndex(DIM).save(tmp_path, name, 1)
    FaissIndex.discard(tmp_path, "regions")
    assert [path.name for path in tmp_path.iterdir()] == ["classes-000000000001.faiss"]


def two_parts():
    rng = np.random.default_rng(0)
    parts = [FaissIndex(16), FaissIndex(16)]
    for first, part in zip((10, 5000), parts, strict=True):
        vectors = rng.normal(size=(1500, 16))
        part.add(np.arange(first, first + 1500), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return parts


def finds_on_a_gpu_what_the_parts_hold(parts):
    wanted = np.concatenate([part.vectors(part.keys()[[3, 700]]) for part in parts])
    scores, keys = GpuIndex.of(parts).search(wanted, 40)
    vectors, ids = np.concatenate([part.all_vectors() for part in parts]), np.concatenate([p.keys() for p in parts])
    cosines = wanted @ vectors.T
    np.testing.assert_array_equal(keys[:, 0], [13, 710, 5003, 5700])
    np.testing.assert_allclose(scores, -np.sort(-cosines, axis=1)[:, :40], atol=1e-3)
    np.testing.assert_allclose(scores, np.take_along_axis(cosines, np.searchsorted(ids, keys), axis=1), atol=1e-3)


@pytest.mark.skipif(not faiss.get_num_gpus(), reason="needs a GPU and a FAISS that is built for it")
def test_a_gpu_finds_what_a_cpu_finds():
    finds_on_a_gpu_what_the_parts_hold(two_parts())


class NearlyGpu(faiss.IndexFlatIP):
    """What FAISS has on a GPU, as far as a CPU can tell."""

    def __init__(self, resources, dim, config):
        assert resources.memory == GpuIndex.WORKSPACE
        assert config.useFloat16
        super().__init__(dim)

    def search(self, queries, count):
        assert count <= 2048
        return super().search(queries, count)


@pytest.fixture
def nearly_gpu(monkeypatch):
    def set_memory(size):
        resources.memory = size

    resources = SimpleNamespace(setTempMemory=set_memory)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: resources, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatConfig", SimpleNamespace, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatIP", NearlyGpu, raising=False)


@pytest.mark.usefixtures("nearly_gpu")
def test_all_parts_are_searched_at_once_on_a_gpu():
    finds_on_a_gpu_what_the_parts_hold(two_parts())


@pytest.mark.usefixtures("nearly_gpu")
def test_a_gpu_without_room_is_not_used_and_the_log_says_so(monkeypatch, caplog):
    def full(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(NearlyGpu, "add", full)
    with caplog.at_level(logging.WARNING):
        assert GpuIndex.of(two_parts()) is None
    assert "out of memory" in caplog.text


def test_without_a_gpu_there_is_no_index_on_one(monkeypatch):
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    assert GpuIndex.of(two_parts()) is None
