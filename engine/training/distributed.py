"""Several processes that train one model together, as `torchrun` starts them; otherwise there is just this one.

    torchrun --nproc-per-node 2 --no-python unseen train …

Each process has its own GPU, or shares the processors. Process 0 alone validates and writes.
"""

import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

M = TypeVar("M", bound=nn.Module)

PATIENCE = timedelta(hours=2)  # while process 0 validates, the others wait


@dataclass(frozen=True)
class Team:
    """This process among all of them."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> "Team":
        """Find the others; under `torchrun` this waits until all are there."""
        if not dist.is_available() or not (dist.is_initialized() or dist.is_torchelastic_launched()):
            return cls(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        if not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
        device = torch.device("cpu")
        if torch.cuda.is_available():
            device = torch.device("cuda", dist.get_node_local_rank())
            torch.cuda.set_device(device)
        return cls(device, dist.get_rank(), dist.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this is the process that validates and writes."""
        return self.rank == 0

    def wrap(self, module: M) -> M | DistributedDataParallel:
        """The module with the weights of process 0, its gradients averaged over all processes."""
        if self.size == 1:
            return module
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the option has a new name in new versions of PyTorch only
            return DistributedDataParallel(module, broadcast_buffers=False)

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Each value, averaged over all processes."""
        if self.size == 1:
            return values
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return dict(zip(values, (total / self.size).tolist(), strict=True))

    @staticmethod
    def leave() -> None:
        """Let the others go; the end of a run."""
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
