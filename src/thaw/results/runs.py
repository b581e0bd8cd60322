"""run.json of a variant or a study: how long each stage took, and on what.

Not an output of DVC, since it never repeats.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thaw.files import read_json, reading, write_json

if TYPE_CHECKING:
    import torch


NUMBERS = ("seconds", "images", "parameters", "multiply_adds")
"""What an entry may have that is reckoned with."""


def read_run(path: Path) -> dict[str, dict[str, Any]]:
    """What each stage took, by its name; nothing where there is no such file. Raises ThawError as `reading` does."""
    with reading(path):
        entries = read_json(path)
        for name, entry in entries.items():
            if any(not isinstance(entry.get(key, 0), int | float) for key in NUMBERS):
                raise ValueError(f"one of {name}'s {', '.join(NUMBERS)} is no number")
        return entries


def record(path: Path, stage: str, seconds: float, device: "torch.device", **facts: int | float) -> None:
    """Replace one stage's entry: its seconds, its date, its machine, and whatever else is known of its cost."""
    from thaw.core.hardware import describe  # imports torch, which readers of run.json do without

    entries = read_run(path)
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    entries[stage] = {"seconds": round(seconds, 1), "date": when, **describe(device), **facts}
    write_json(path, dict(sorted(entries.items())))
