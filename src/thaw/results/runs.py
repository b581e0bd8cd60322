"""run.json of a variant or a study: how long each stage took, and on what.

Not an output of DVC, since it never repeats.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.files import write_json

if TYPE_CHECKING:
    import torch


def record(path: Path, stage: str, seconds: float, device: "torch.device", **facts: int | float) -> None:
    """Replace one stage's entry: its seconds, its date, its machine, and whatever else is known of its cost."""
    from thaw.core.hardware import describe  # imports torch, which readers of run.json do without

    entries = json.loads(path.read_text()) if path.exists() else {}
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    entries[stage] = {"seconds": round(seconds, 1), "date": when, **describe(device), **facts}
    write_json(path, dict(sorted(entries.items())))
