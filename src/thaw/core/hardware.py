"""What this machine computes with."""

import contextlib
import platform
import resource

import torch
from accelerate import Accelerator, PartialState


def bf16_is_fast(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; emulated, it is many times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def accelerator() -> Accelerator:
    """Hugging Face Accelerate's view of the device and the processes, in bf16 where that is fast."""
    device = PartialState().device  # an Accelerator made first would fix the precision too
    return Accelerator(mixed_precision="bf16" if bf16_is_fast(device) else "no")


def autocast(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """The precision of inference: bf16 where that is fast."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16_is_fast(device))


def describe(device: torch.device) -> dict[str, str | int]:
    """The machine, for runs/: processor, device, precision, and the process's peak memory so far in MiB."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "device": f"{device.type} {name} {torch.backends.cpu.get_cpu_capability()}",
        "precision": "bf16" if bf16_is_fast(device) else "fp32",
        "torch": torch.__version__,
        "peak_memory_mib": peak // (2**20 if platform.system() == "Darwin" else 2**10),
    }
