import pytest
import torch
from torch import Tensor

from thaw.core import hardware
from thaw.errors import ThawError

CPU = torch.device("cpu")


def product() -> Tensor:
    """A matrix product in the precision of inference."""
    with hardware.autocast(CPU):
        return torch.ones(2, 2) @ torch.ones(2, 2)


def test_the_precision_is_that_of_training_inference_and_the_record(precision: str) -> None:
    assert hardware.precision(CPU) == hardware.environment(CPU)["precision"] == precision
    assert hardware.accelerator().mixed_precision == {"fp32": "no", "bf16": "bf16"}[precision]
    assert product().dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("unset", [True, False])
def test_without_a_wish_the_hardware_decides(monkeypatch: pytest.MonkeyPatch, unset: bool, fast: bool) -> None:
    monkeypatch.setenv("THAW_PRECISION", "")
    if unset:
        monkeypatch.delenv("THAW_PRECISION")
    monkeypatch.setattr(hardware, "bf16_is_fast", lambda _: fast)
    assert hardware.precision(CPU) == ("bf16" if fast else "fp32")


@pytest.mark.parametrize("wish", ["fp16", "BF16", "no"])
def test_another_precision_is_refused_in_training_and_inference(monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    monkeypatch.setenv("THAW_PRECISION", wish)
    for use in (hardware.device, hardware.accelerator, product, lambda: hardware.describe(CPU)):
        with pytest.raises(ThawError, match=f"^THAW_PRECISION is '{wish}', .*; set it to fp32 or bf16, or unset it"):
            use()


def test_the_machine_is_described_by_what_decides_bytes_and_its_memory() -> None:
    described = hardware.describe(CPU)
    assert described.items() > hardware.environment(CPU).items()
    assert list(described) == ["device", "precision", "torch", "numpy", "peak_memory_mib"]
    assert 50 < int(described["peak_memory_mib"]) < 10**6
