"""What an epoch of training costs, from the records of runs/."""

import json

import pandas as pd

from thaw.reporting.provenance import provenance
from thaw.reporting.results import Results, results
from thaw.reporting.tables import placeholder, table


def epoch_times() -> None:
    """Print how long each variant takes for one pass over the training images, and for its evaluation.

    A table and no figure, because times differ from run to run, and a figure is compared byte by byte.
    """
    found = results()
    count = _training_images(found)
    rows, sources = [], []
    for variant in found.variants:
        path = found.artifacts.run(variant)
        run = json.loads(path.read_text()) if path.exists() else {}
        if count is None or "train" not in run:
            continue
        train, evaluate = run["train"], run.get("evaluate")
        rows.append([
            f"`{variant}`", f"`{found.params.variant(variant).train.network.name}`",
            f"{count * train['seconds'] / train['images']:.0f}",
            f"{train['images'] / count / len(found.params.train_budget(variant).seeds):.2g}",
            f"{evaluate['seconds']:.0f}" if evaluate else "–", train["device"],
        ])  # fmt: skip
        sources.append(path)
    if count is None or not rows:
        placeholder("tbl-epoch-times", "`thaw repro` makes what it is computed from.")
        return
    table(
        ["variant", "network", "an epoch (s)", "epochs", "evaluation (s)", "device"], rows, "tbl-epoch-times",
        f"Seconds for one epoch, that is {count} training images, with the validations on the way; how many epochs a "
        "training lasted; and seconds for the evaluation of all samples.",
    )  # fmt: skip
    provenance([*sources, found.artifacts.levels], "train, evaluate and levels")


def _training_images(found: Results) -> int | None:
    """How many images an epoch has, from the number of their pixels."""
    path, data = found.artifacts.levels, found.params.data
    if not path.exists():
        return None
    return int(pd.read_csv(path)["all"].sum()) // (data.channels * data.size**2)
