"""Linear probes add to regions what their features say."""

import numpy as np
import pytest
import torch

from engine.model.biam import BiAMConfig, initialise
from engine.model.network import Ensemble, Head
from engine.model.probe import LinearProbes, ProbeConfig

FEATURES, SCENE, WORDS, ROWS, COLS = 5, 4, 3, 2, 3


@pytest.fixture
def probes():
    made = LinearProbes(ProbeConfig(FEATURES, SCENE, WORDS))
    for number, values in enumerate(made.buffers()):
        values.copy_(torch.randn(values.shape, generator=torch.Generator().manual_seed(number)))
    return made


@pytest.fixture
def regions():
    return torch.randn(2, FEATURES, ROWS, COLS, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def scene():
    return torch.randn(2, SCENE, generator=torch.Generator().manual_seed(8))


def test_a_region_gets_what_the_whole_photo_says_and_what_sets_it_apart(probes, regions, scene):
    found = probes(regions, scene).numpy()
    photo, region, bias = (values.numpy() for values in (probes.photo, probes.region, probes.bias))
    for i in range(2):
        mean = regions[i].mean((1, 2)).numpy()
        whole = photo @ np.concatenate([scene[i].numpy(), mean]) + bias
        for r in range(ROWS * COLS):
            apart = regions[i, :, r // COLS, r % COLS].numpy() - mean
            np.testing.assert_allclose(found[i, r], whole + region @ apart, atol=1e-5)


def test_what_sets_regions_apart_changes_nothing_on_average(probes, regions, scene):
    with_regions = probes(regions, scene).mean(1)
    probes.region.zero_()
    torch.testing.assert_close(probes(regions, scene).mean(1), with_regions)


def test_an_ensemble_adds_its_probes_to_the_mean_of_its_heads(probes, regions, scene):
    config = BiAMConfig(features=FEATURES, scene=SCENE, width=4, embedding=6, heads=2, words=WORDS, top_k=2)
    heads = [Head(config, None).eval() for _ in range(2)]
    for seed, head in enumerate(heads):
        initialise(head.biam, seed)
    ensemble = Ensemble(heads).eval()
    with torch.no_grad():
        without = ensemble(regions, scene, None)
        ensemble.probe(probes)
        torch.testing.assert_close(ensemble(regions, scene, None), without + probes(regions, scene))
