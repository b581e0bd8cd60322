"""What the appendix shows: what the results cost, where they were made, with which packages and parameters."""

import importlib.metadata
import json
import platform
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thaw.artifacts import Artifacts
from thaw.reporting.prose import chapters, count_words
from thaw.reporting.provenance import head, provenance
from thaw.reporting.results import join, results
from thaw.reporting.tables import describe, placeholder, table

CORE_WATTS = 10.0
"""Power of one busy processor core. Server processors are designed for 4 to 6 W a core (AMD EPYC 9654: 360 W for 96
cores, Intel Xeon Platinum 8480+: 350 W for 56); memory, disks, fans and the power supply take about as much again."""
GPU_WATTS = 400.0
"""Power of one busy GPU: the board power of an NVIDIA A100 SXM. Others range from 70 W (T4) to 700 W (H100 SXM)."""
JOULES_PER_KWH = 3.6e6
STAGES = ("train", "sample", "objective", "evaluate")
"""The stages that runs/VARIANT.json times."""

Run = dict[str, dict[str, Any]]


def costs() -> None:
    """Print what each variant cost on the machine it ran on: size, time, speed, and an estimate of the energy."""
    found = results()
    threads = found.params.threads
    ran = {variant: run for variant in found.params.variants if (run := _run(found.artifacts.run(variant)))}
    if not ran:
        placeholder("tbl-costs", "no variant has been run yet.")
        return
    rows = [
        [
            f"`{variant}`",
            *(f"{run['train'][key] / 1e6:.{digits}f}" if key in run.get("train", {}) else "–"
              for key, digits in (("parameters", 2), ("multiply_adds", 0))),
            *(f"{_seconds(run, stages) / 60:.1f}" if stages[0] in run else "–"
              for stages in (["train"], ["sample"], ["evaluate", "objective"])),
            f"{run['train']['images'] / run['train']['seconds']:.0f}" if run.get("train", {}).get("seconds") else "–",
            f"{1000 * run['sample']['seconds'] / run['sample']['images']:.1f}" if "sample" in run else "–",
            f"{_energy(run, threads):.2g}",
        ]
        for variant, run in ran.items()
    ]  # fmt: skip
    header = [
        "variant", "parameters (M)", "multiply–adds (M)", "train (min)", "sample (min)", "evaluate (min)",
        "training images/s", "1000 samples (s)", "estimated kWh",
    ]  # fmt: skip
    table(
        header, rows, "tbl-costs",
        "What each variant cost: all of its trainings, one process a variant; multiply–adds of one forward pass for "
        "one image; images seen per second of training, validation included; seconds for 1000 images sampled, "
        "restorations and strips included. Times are by the clock, so whatever else the machine did lengthens them. "
        f"{_assumption(threads)}",
    )  # fmt: skip
    total = sum(_energy(run, threads) for run in ran.values())
    hours = sum(_seconds(run, STAGES) for run in ran.values()) / 3600
    print(f"Together: {hours:.1f} process-hours, and by that estimate {total:.2g} kWh.\n")
    provenance([found.artifacts.run(variant) for variant in ran], "train, sample, objective, evaluate")


def _run(path: Path) -> Run:
    return json.loads(path.read_text()) if path.exists() else {}


def _seconds(run: Run, stages: Sequence[str]) -> float:
    return sum(float(run[stage]["seconds"]) for stage in stages if stage in run)


def _energy(run: Run, threads: int) -> float:
    """An estimate of the energy of a run in kWh, from its times and an assumed power."""
    joules = 0.0
    for stage in STAGES:
        entry = run.get(stage, {"seconds": 0, "device": ""})
        device = GPU_WATTS if str(entry["device"]).startswith("cuda") else 0.0
        joules += entry["seconds"] * (device + threads * CORE_WATTS)
    return joules / JOULES_PER_KWH


def _assumption(threads: int) -> str:
    cores = f"{threads} core{'s' if threads > 1 else ''}"
    return (
        f"The energy is an estimate and was not measured: the time, at {CORE_WATTS:g} W for each busy core ({cores} a "
        f"process) and {GPU_WATTS:g} W for a GPU where one was used; a machine may well take half or twice that."
    )


def environment() -> None:
    """Print where the results were made, what rendered this page, its revision, and the versions of the packages."""
    artifacts = results().artifacts
    revision = head(artifacts.root)
    print(
        f"This report was rendered by Python {platform.python_version()} on {platform.system()} "
        f"{platform.machine()}{f', from revision {revision}' if revision else ', outside a git repository'}. What "
        "computed the results is in @tbl-hardware; the packages, in @tbl-packages, are those of `requirements.lock`.\n"
    )
    _hardware()
    _packages(artifacts)


def _hardware() -> None:
    """Print on which machines the stages of the variants ran."""
    found = results()
    machines: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for variant in found.params.variants:
        for entry in _run(found.artifacts.run(variant)).values():
            key = tuple(str(entry.get(name, "–")) for name in ("device", "precision", "torch"))
            machines.setdefault(key, []).append(entry)
    if not machines:
        placeholder("tbl-hardware", "no variant has been run yet.")
        return
    rows = []
    for key, entries in machines.items():
        dates = sorted({str(entry["date"]) for entry in entries})
        peak = max(int(entry.get("peak_memory_mib", 0)) for entry in entries)
        days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        rows.append([*key, str(len(entries)), days, str(peak)])
    header = ["device", "precision", "torch", "runs of stages", "dates", "peak memory (MiB)"]
    table(header, rows, "tbl-hardware", "What the variants were trained, sampled and evaluated on.")
    provenance([found.artifacts.run(variant) for variant in found.params.variants], "train, sample, evaluate")


def _packages(artifacts: Artifacts) -> None:
    """Print the packages that thaw runs on: the version that the lock asks for, and the one that renders."""
    project = artifacts.root / "pyproject.toml"
    needed = tomllib.loads(project.read_text())["project"]["dependencies"] if project.exists() else []
    lock = artifacts.root / "requirements.lock"
    pinned = re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock.read_text() if lock.exists() else "", re.MULTILINE)
    rows = []
    for name in sorted({re.split(r"[\[<>=~! ]", str(requirement), maxsplit=1)[0] for requirement in needed}):
        # The lock is for several versions of Python, so a package may stand in it more than once.
        locked = [version for other, version in pinned if other == re.sub(r"[._]", "-", name)]
        rows.append([f"`{name}`", " or ".join(locked) or "–", _installed(name)])
    if not rows:
        placeholder("tbl-packages", "pyproject.toml, which lists the packages, is not in this folder.")
        return
    table(
        ["package", "locked", "here"], rows, "tbl-packages", "The packages: what results need, and what rendered this."
    )


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def word_count() -> None:
    """Print how many words the pages of this report have."""
    report = results().artifacts.report
    pages = [report / name for name in chapters(report)]
    counted = {page.stem: count_words(page.read_text(encoding="utf-8")) for page in pages}
    longest = sorted(counted, key=lambda name: -counted[name])[:3]
    print(
        f"The {len(pages)} pages have {sum(counted.values())} words of prose, without code, formulas, references and "
        f"what is computed; the longest are {join([f'`{name}` ({counted[name]})' for name in longest])}.\n"
    )


def parameters() -> None:
    """Print the choices and the budget of every variant as a table, and params.yaml in full, folded in the HTML."""
    found = results()
    rows = []
    for name, variant in found.params.variants.items():
        train, sample, budget = variant.train, variant.sample, found.params.train_budget(name)
        rows.append([
            f"`{name}`", describe(train.degradation), f"{train.target}, by {describe(train.network)}",
            f"{describe(sample.sampler)} from {describe(sample.latent)}",
            f"{len(budget.seeds)} × {budget.images} images at {budget.learning_rate:g}",
        ])  # fmt: skip
    header = ["variant", "degradation", "predicts", "sampled by", "trained on, at the learning rate"]
    table(header, rows, "tbl-parameters", "The choices of every variant, and what its training costs.", ":--")
    path = found.artifacts.params
    print(f"```{{=html}}\n<details><summary>All of <code>{path.name}</code></summary>\n```\n")
    print(f"```yaml\n{path.read_text()}```\n")
    print("```{=html}\n</details>\n```\n")
