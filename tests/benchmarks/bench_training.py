"""Speed of a training step, of the losses and of the metrics against what they replace.

Run: python -m tests.benchmarks.bench_training
"""

import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.model.biam import BiAM, BiAMConfig, initialise
from engine.training.features import Features
from engine.training.losses import ranking_loss
from engine.training.metrics import average_precision, precision_at_k, precision_recall_f1_at_k
from engine.training.precision import autocast_type
from engine.training.recipes import RECIPES
from engine.training.trainer import Trainer

BATCH = 32


def masked_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """The loss the way it is usually written: all B×C×C pairs, and a mask of the ones that count."""
    pairs = (labels > 0)[:, :, None] & (labels < 0)[:, None, :]
    hinge = (1 + scores[:, None, :] - scores[:, :, None]).clamp(min=0) * pairs
    violations = (hinge > 0).sum(dim=(1, 2))
    return (hinge.sum(dim=(1, 2)) / (violations + 1e-8)).mean()


class Straightforward(BiAM):
    """The network written down as the paper has it: softmax attention, classifiers W·a + b, a general top-k."""

    def forward(self, features: Tensor, scene: Tensor, labels: Tensor) -> Tensor:
        """(B, F, H, W), (B, S) and label vectors (C, d) → (B, C)."""
        h = self.conv_3X3(features)
        e = torch.cat([self.region_context(h), self.scene_context(h, scene)], 1)
        e = functional.leaky_relu(self.conv_1X1.body(e), 0.2).flatten(2).transpose(1, 2)  # (B, R, e)
        return (e @ self.W(labels).T).topk(self.config.top_k, dim=1).values.mean(1)

    def region_context(self, h: Tensor) -> Tensor:
        block = self.region_context_block
        B, c, H, W = h.shape
        q, k, v = (w(h).view(B, block.heads, -1, H * W).transpose(2, 3) for w in (block.w_q, block.w_k, block.w_v))
        weights = functional.softmax(q @ k.transpose(2, 3) / (c // block.heads) ** 0.5, dim=-1)
        attended = functional.dropout(weights, 0.1, self.training) @ v
        attended = attended.transpose(2, 3).reshape(B, c, H, W)
        e = h + functional.dropout(block.w_o(attended), 0.1, self.training)
        return e + block.sub_network(e)

    def scene_context(self, h: Tensor, scene: Tensor) -> Tensor:
        block = self.scene_context_block
        q, v = block.channel_conv(h), block.channel_conv(h)
        k = block.w_g(functional.dropout(scene[:, :, None, None], 0.2, self.training))
        gated = torch.sigmoid(q.mean((2, 3), keepdim=True) * k) * v
        return gated + block.gcff(gated)


def batch(C: int, regions: int = 14, config: BiAMConfig | None = None) -> tuple[Features, Tensor, Tensor]:
    """Random features in half precision, label vectors (C, d) and labels (B, C), six in a thousand positive."""
    config = config or BiAMConfig()
    rng = np.random.default_rng(0)
    shapes = [(BATCH, config.features, regions, regions), (BATCH, config.scene)]
    maps, scene = (np.maximum(rng.standard_normal(shape, np.float32), 0).astype(np.float16) for shape in shapes)
    vectors = torch.from_numpy(rng.standard_normal((C, config.words), np.float32))
    labels = torch.from_numpy(np.where(rng.random((BATCH, C)) < 0.006, 1, -1).astype(np.int8))
    labels[:, 0] = 1
    return Features(maps, scene, None, None), functional.normalize(vectors), labels


def straightforward_step(C: int) -> Callable[[], object]:
    """What the official code does in a step, in single precision; its features are already in memory as it has them."""
    features, vectors, labels = batch(C)
    regions, scene = (torch.from_numpy(half).float() for half in features[:2])
    model = initialise(Straightforward(BiAMConfig()), 0).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-4)

    def step() -> float:
        optimiser.zero_grad()
        loss = masked_loss(model(regions, scene, vectors), labels)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def our_step(C: int, autocast: torch.dtype | None, folder: Path) -> Callable[[], object]:
    """A step of the trainer, by the recipe of NUS-WIDE, from features as the cache keeps them."""
    features, vectors, labels = batch(C)
    trainer = Trainer(RECIPES["nus-wide"], vectors.numpy(), None, folder, autocast)
    trainer.scorer.train()
    return lambda: trainer._step(trainer.scorer, features, labels.numpy(), 1.0)


def looped_ap(scores: np.ndarray, labels: np.ndarray, kind: str = "stable") -> None:
    for s, y in zip(scores.T, labels.T, strict=True):
        hits = y[np.argsort(-s, kind=kind)] > 0
        precision = hits.cumsum() / np.arange(1, len(hits) + 1)
        precision[hits].mean()


def seconds(work: Callable[[], object], repeat: int) -> float:
    """Fastest of several runs."""
    return fastest({"": work}, repeat)[""]


def fastest(works: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """Fastest of several runs of each, taken in turn, so that a busy machine is busy for all of them."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repeat):
        for name, work in works.items():
            start = perf_counter()
            work()
            best[name] = min(best[name], perf_counter() - start)
    return best


def bench_loss(C: int, loss: Callable[[Tensor, Tensor], Tensor], device: str, repeat: int) -> float:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(32, C, generator=generator).to(device).requires_grad_()
    labels = torch.where(torch.rand(32, C, generator=generator) < 0.006, 1, -1).to(device)

    def step() -> None:
        loss(scores, labels).backward()
        if device == "cuda":
            torch.cuda.synchronize()

    return seconds(step, repeat)


def row(name: str, time: float, against: float | None = None) -> None:
    print(f"{name:66}{time:10.4f}" + ("" if against is None else f"{against / time:14.1f}"), flush=True)


def bench_steps() -> None:
    fast = autocast_type(torch.device("cpu"))
    types = {"single precision": None} | ({str(fast).removeprefix("torch."): fast} if fast else {})
    with tempfile.TemporaryDirectory() as folder:
        works = {"straightforward": straightforward_step(925)}
        for name, dtype in types.items():
            for C in (925, 7186):
                works[f"{name} {C}"] = our_step(C, dtype, Path(folder))
        times = fastest(works, 8)
    row("step, 32 photos, 925 classes, as the official code has it", times["straightforward"])
    for name in types:
        row(f"step, 32 photos, 925 classes, ours, {name}", times[f"{name} 925"], times["straightforward"])
    for name in types:
        row(f"step, 32 photos, 7,186 classes, ours, {name}", times[f"{name} 7186"])
        ratio = times[f"{name} 7186"] / times[f"{name} 925"]
        print(f"{'':4}{ratio:.2f} times the step of 925 classes")


def bench_losses() -> None:
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        masked = bench_loss(925, masked_loss, device, 5)
        row(f"{device}: loss, 32×925, forward and backward, B×C×C mask", masked)
        row(f"{device}: loss, 32×925, ours", bench_loss(925, ranking_loss, device, 50), masked)
        row(f"{device}: loss, 32×7,186, ours", bench_loss(7186, ranking_loss, device, 20))


def bench_metrics() -> None:
    N, C = 100_000, 1_006
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((N, C), dtype=np.float32)
    labels = np.where(rng.random((N, C), dtype=np.float32) < 0.006, 1, -1).astype(np.int8)
    looped = seconds(lambda: looped_ap(scores, labels), 1)
    row("AP, 100,000×1,006, loop over tags, ties in order", looped)
    unstable = seconds(lambda: looped_ap(scores, labels, "quicksort"), 1)
    row("AP, 100,000×1,006, loop over tags, ties at random", unstable)
    row("AP, 100,000×1,006, ours, ties in order", seconds(lambda: average_precision(scores, labels), 3), looped)
    row("F1@5, 100,000×1,006, ours", seconds(lambda: precision_recall_f1_at_k(scores, labels, 5), 3))
    row("P@10, 100,000×1,006, ours", seconds(lambda: precision_at_k(scores, labels, 10), 3))


def main() -> None:
    threads = torch.get_num_threads()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {threads} torch threads")
    print(f"{'':66}{'seconds':>10}{'times faster':>14}")
    bench_steps()
    bench_losses()
    bench_metrics()


if __name__ == "__main__":
    main()
