"""Run one study of params.yaml."""

import importlib
import json
import time
from dataclasses import asdict

import numpy as np
import torch

from thaw.choices import find, options
from thaw.core.hardware import device
from thaw.core.sheets import write_sheet
from thaw.data import to_uint8
from thaw.errors import ThawError
from thaw.files import replacing, write_csv
from thaw.params import PARAMS_FILE, VariantStudy, read_params, suggest
from thaw.results.layout import Artifacts
from thaw.results.runs import record
from thaw.studies._base.study import Outcome, Study


def run(artifacts: Artifacts, key: str) -> None:
    """Write studies/KEY: table.csv, study.json and, where the study has them, curves.csv and strips.png.

    Raises ThawError where params.yaml has no such study, or something that the study cannot do.
    """
    began = time.monotonic()
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    studies = {**params.studies.untrained, **params.studies.trained}
    if key not in studies:
        raise ThawError(
            f"{PARAMS_FILE}: studies has no {key}{suggest(key, studies)}; it has {', '.join(studies) or 'none'}."
        )
    block = studies[key]
    place = f"studies.{'trained' if key in params.studies.trained else 'untrained'}.{key}"
    function = find("study", block.name, place)
    module = importlib.import_module(function.__module__)
    study = Study(artifacts, params, block.variant if isinstance(block, VariantStudy) else None)
    outcome: Outcome = function(study, **options(function, block, place))

    axes = getattr(module, "AXES", None)
    description = {
        "caption": " ".join(module.CAPTION.split()),
        "strips": [{"label": strip.label, "images": len(strip.images)} for strip in outcome.strips],
        "columns": list(outcome.columns),
        "axes": asdict(axes) if axes and outcome.curves else None,
    }
    with replacing(artifacts.study(key)) as folder:
        folder.mkdir()
        write_csv(folder / "table.csv", list(outcome.table))
        if outcome.curves:
            write_csv(folder / "curves.csv", list(outcome.curves))
        if outcome.strips:
            longest = max(len(strip.images) for strip in outcome.strips)
            rows = [to_uint8(strip.images, params.data.half_range).numpy() for strip in outcome.strips]
            # A shorter strip is filled up with white.
            padded = [np.pad(row, ((0, longest - len(row)), *[(0, 0)] * 3), constant_values=255) for row in rows]
            write_sheet(folder / "strips.png", padded)
        (folder / "study.json").write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n")
    record(artifacts.study_run(key), "study", time.monotonic() - began, device())
