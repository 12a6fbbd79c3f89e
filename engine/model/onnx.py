"""Export to ONNX, compared with PyTorch before it is trusted, and sessions of ONNX Runtime."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import BundleError

if TYPE_CHECKING:
    import onnxruntime
    from torch import Tensor, nn

TOLERANCE = 1e-3  # largest difference between PyTorch and ONNX Runtime, as a share of the largest number


def export(network: "nn.Module", example: "Tensor", outputs: Sequence[str], path: Path) -> None:
    """Write `network`, a function of one batch called `pixels`, to `path` with the first dimension left open.

    `network` must be in evaluation mode: an export in training mode holds BatchNorm's training branch and says nothing.
    Raises BundleError if what was written does not compute what PyTorch does, or cannot be written.
    """
    import torch

    if any(module.training for module in network.modules()):
        raise ValueError("the network is in training mode")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder, torch.inference_mode():
            partial = Path(folder) / path.name
            with _quiet():
                torch.onnx.export(
                    network,
                    (example[:2],),
                    str(partial),
                    input_names=["pixels"],
                    output_names=list(outputs),
                    dynamic_shapes=({0: torch.export.Dim("photos")},),
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
            exported = open_session(partial).run(None, {"pixels": example.numpy()})
            expected = network(example)
            for name, ours, theirs in zip(
                outputs, exported, [expected] if len(outputs) == 1 else expected, strict=True
            ):
                reference = theirs.numpy()
                difference = float(np.abs(ours - reference).max() / np.abs(reference).max())
                if not difference <= TOLERANCE:
                    raise BundleError(f"The exported network differs from PyTorch by {difference:.1e} in its {name}")
            partial.replace(path)
    except OSError as error:
        raise BundleError(
            f"Cannot write the encoder to {path}: {error.strerror or error}",
            "Set UNSEEN_CACHE to a folder you can write",
        ) from None


def open_session(path: Path, threads: int | None = None) -> "onnxruntime.InferenceSession":
    """A session on the CPU with `threads` threads (None: all cores); raises BundleError."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    # Threads that wait actively take the cores away from those that decode photos.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base of their own
        raise BundleError(f"Cannot open the encoder {path}: {str(error).splitlines()[0]}", "Delete the file") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its progress on standard output and in warnings; neither is for our users."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
