"""BiAM equals the paper's own implementation, stage by stage."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.model.biam import BiAM, BiAMConfig, initialise, pool

GOLDEN = Path(__file__).parents[2] / "golden" / "biam_forward_c32_h4.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as recorded:
        return {name: torch.from_numpy(np.asarray(recorded[name])) for name in recorded.files}


@pytest.fixture(scope="module")
def model(golden):
    config = BiAMConfig(width=int(golden["channel_dim"]), heads=int(golden["heads"]))
    model = BiAM(config)
    model.load_state_dict({name[3:]: value for name, value in golden.items() if name.startswith("sd/")})
    return model.eval()


@pytest.fixture(scope="module")
def features(golden):
    return golden["features"].reshape(2, 512, 14, 14)


def relative_error(ours, recorded):
    return ((ours - recorded).abs().max() / recorded.abs().max()).item()


@torch.no_grad()
def test_every_recorded_stage_is_reproduced(model, golden, features):
    h = model.conv_3X3(features)
    assert relative_error(model.region_context_block(h), golden["region_context"]) <= 1e-5
    assert relative_error(model.scene_context_block(h, golden["scene"]), golden["scene_context"]) <= 1e-5
    assert relative_error(model.embed(features, golden["scene"]), golden["regions"]) <= 1e-5
    assert relative_error(model(features, golden["scene"], golden["vectors"]), golden["logits"]) <= 1e-5


@torch.no_grad()
def test_the_short_form_of_a_region_scores_like_the_long_one(model, golden, features):
    long = model.embed(features, golden["scene"]) @ model.W(golden["vectors"]).T
    short = model.region_vectors(features, golden["scene"])
    assert short.shape == (2, 196, 301)
    scores = short[..., :-1] @ golden["vectors"].T + short[..., -1:]
    assert relative_error(scores, long) <= 1e-5
    assert relative_error(pool(scores, 6), golden["logits"]) <= 1e-5


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (2, 3), (7, 7)])
def test_any_grid_is_scored_even_one_with_fewer_regions_than_top_k(rows, cols):
    config = BiAMConfig(features=5, scene=4, width=6, embedding=7, heads=2, words=3)
    model = initialise(BiAM(config), seed=0).eval()
    assert model(torch.rand(2, 5, rows, cols), torch.rand(2, 4), torch.rand(9, 3)).shape == (2, 9)


@pytest.mark.parametrize("blocks", [(False, True), (True, False), (False, False)])
def test_each_context_block_can_be_left_out(blocks):
    config = BiAMConfig(
        features=5, scene=4, width=6, embedding=7, heads=2, words=3, region_context=blocks[0], scene_context=blocks[1]
    )
    model = BiAM(config)
    assert any("region_context" in name for name in model.state_dict()) is blocks[0]
    assert any("scene_context" in name for name in model.state_dict()) is blocks[1]
    assert model(torch.rand(2, 5, 4, 4), torch.rand(2, 4), torch.rand(9, 3)).isfinite().all()


def test_the_same_seed_gives_the_same_weights():
    config = BiAMConfig(features=5, scene=4, width=6, embedding=7, heads=2, words=3)
    first, second, other = (initialise(BiAM(config), seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["W.weight"], other["W.weight"])


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="not a multiple"):
        BiAMConfig(width=10, heads=4)
