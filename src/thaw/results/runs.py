"""runs/VARIANT.json: how long each stage of a variant took, and on what.

Not an output of DVC, since it never repeats.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import torch

from thaw.files import write_json
from thaw.hardware import describe


def record(path: Path, stage: str, seconds: float, device: torch.device, **facts: int | float) -> None:
    """Replace one stage's entry: its seconds, its date, its machine, and whatever else is known of its cost."""
    entries = json.loads(path.read_text()) if path.exists() else {}
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    entries[stage] = {"seconds": round(seconds, 1), "date": when, **describe(device), **facts}
    write_json(path, dict(sorted(entries.items())))
