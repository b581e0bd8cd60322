"""What this machine computes with: the device that Hugging Face Accelerate finds, and the precision."""

import os
import platform
import resource

import numpy
import torch
from accelerate import Accelerator, PartialState

from thaw.errors import ThawError

PRECISION = "THAW_PRECISION"
"""The environment variable that sets the precision; processes started from here inherit it."""
PRECISIONS = ("fp32", "bf16")


def device() -> torch.device:
    """The device to compute on: a GPU where there is one, else the processor.

    Raises ThawError as `precision` does, so that a stage ends before it has computed anything.
    """
    found = PartialState().device
    precision(found)
    return found


def bf16_is_fast(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; emulated, it is many times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def precision(device: torch.device) -> str:
    """The precision of a network's products on a device, fp32 or bf16; weights and gradients are float32 in both.

    THAW_PRECISION sets it; without that it is bf16 where the device multiplies that in hardware. Raises ThawError where
    THAW_PRECISION is something else.
    """
    wanted = os.environ.get(PRECISION) or ("bf16" if bf16_is_fast(device) else "fp32")
    if wanted not in PRECISIONS:
        raise ThawError(f"{PRECISION} is {wanted!r}, which is no precision; set it to fp32 or bf16, or unset it.")
    return wanted


def accelerator() -> Accelerator:
    """Hugging Face Accelerate for a training, on the device and in the precision that this module gives.

    A process keeps the precision of its first Accelerator. Raises ThawError as `precision` does.
    """
    return Accelerator(mixed_precision={"fp32": "no", "bf16": "bf16"}[precision(device())])


def autocast(device: torch.device) -> torch.autocast:
    """The precision of inference, as a context. Raises ThawError as `precision` does."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision(device) == "bf16")


def environment(device: torch.device) -> dict[str, str]:
    """What decides, beside parameters and code, the last bits of a result: the versions, the device, the precision."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": f"{device.type} {name} {torch.backends.cpu.get_cpu_capability()}",
        "precision": precision(device),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def describe(device: torch.device) -> dict[str, str | int]:
    """The machine, for run.json: its `environment`, and the process's peak memory so far in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**environment(device), "peak_memory_mib": peak // (2**20 if platform.system() == "Darwin" else 2**10)}
