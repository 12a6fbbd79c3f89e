"""Which number type a machine multiplies matrices in several times faster than in single precision."""

import torch


def autocast_type(device: torch.device) -> torch.dtype | None:
    """bfloat16 where the hardware has it, else float16 on a GPU; None where only single precision is fast."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type != "cpu":
        return None
    # The mkldnn check alone is true for AVX-512 without bfloat16 as well, where it is emulated and slow.
    x86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    fast = _cpu_has("_is_avx512_bf16_supported") or _cpu_has("_is_amx_tile_supported") if x86 else _mkldnn_has_bf16()
    return torch.bfloat16 if fast else None


def _cpu_has(check: str) -> bool:
    return bool(getattr(torch.cpu, check, bool)())  # private to PyTorch: absent means no


def _mkldnn_has_bf16() -> bool:
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())  # type: ignore[no-untyped-call]
