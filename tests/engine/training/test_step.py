"""A step is fast, and still the step that a straightforward implementation takes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.model.biam import BiAMConfig
from engine.training.recipes import RECIPES
from engine.training.trainer import Trainer
from tests.benchmarks.bench_training import Straightforward, batch, masked_loss

CONFIG = BiAMConfig(features=48, scene=64, width=32, embedding=40, heads=4, words=20)
RECIPE = replace(RECIPES["nus-wide"], biam=CONFIG)


@pytest.mark.parametrize("training", [False, True])
def test_loss_and_gradients_in_single_precision_are_those_of_the_straightforward_step(tmp_path, monkeypatch, training):
    """In training mode too, with dropout off, which the two draw differently."""
    monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, *_: x)
    features, vectors, labels = batch(60, regions=5, config=CONFIG)
    trainer = Trainer(RECIPE, vectors.numpy(), None, tmp_path, autocast=None)
    trainer.head.biam.region_context_block.dropout = 0.0
    model = Straightforward(CONFIG)
    model.load_state_dict(trainer.head.biam.state_dict())
    model.train(training)
    trainer.scorer.train(training)

    regions, scene = (torch.from_numpy(half.astype(np.float32)) for half in features[:2])
    expected = masked_loss(model(regions, scene, vectors), labels)
    expected.backward()
    monkeypatch.setattr(trainer.optimiser, "step", lambda: None)
    found = trainer._step(trainer.scorer, features, labels.numpy(), 1.0)

    assert found["loss"] == pytest.approx(expected.item(), rel=1e-5)
    scale = max(parameter.grad.abs().max().item() for parameter in model.parameters())
    for (name, ours), theirs in zip(trainer.head.biam.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(
            ours.grad, theirs.grad, rtol=1e-4, atol=1e-5 * scale, msg=lambda m, n=name: f"{n}: {m}"
        )
    for ours, theirs in zip(trainer.head.biam.buffers(), model.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)  # BatchNorm has seen the same


def test_a_step_moves_the_weights_as_adam_does(tmp_path):
    features, vectors, labels = batch(60, regions=5, config=CONFIG)
    trainer = Trainer(RECIPE, vectors.numpy(), None, tmp_path, autocast=None)
    copies = [parameter.detach().clone().requires_grad_() for parameter in trainer.head.parameters()]
    adam = torch.optim.Adam(copies, lr=1e-3, betas=(0.9, 0.999), weight_decay=5e-4)
    trainer.scorer.train()
    for _ in range(3):
        trainer._step(trainer.scorer, features, labels.numpy(), 1.0)
        for copy, parameter in zip(copies, trainer.head.parameters(), strict=True):
            copy.grad = parameter.grad.clone()
        adam.step()
    for copy, parameter in zip(copies, trainer.head.parameters(), strict=True):
        torch.testing.assert_close(parameter, copy, rtol=1e-4, atol=1e-6)
