"""What the appendix shows: what the results cost, where they were made, with which packages and parameters."""

import importlib.metadata
import platform
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from thaw.files import read_csv
from thaw.pages.prose import chapters, count_words
from thaw.pages.tables import describe, table
from thaw.results.history import head
from thaw.results.measurements import results
from thaw.results.runs import read_run
from thaw.results.wording import join, many

CORE_WATTS = 10.0
"""Power of one busy processor core. Server processors are designed for 4 to 6 W a core (AMD EPYC 9654: 360 W for 96
cores, Intel Xeon Platinum 8480+: 350 W for 56); memory, disks, fans and the power supply take about as much again."""
GPU_WATTS = 400.0
"""Power of one busy GPU: the board power of an NVIDIA A100 SXM. Others range from 70 W (T4) to 700 W (H100 SXM)."""
JOULES_PER_KWH = 3.6e6
STAGES = ("train", "sample", "evaluate")
"""The stages of a variant that its run.json times."""

Run = dict[str, dict[str, Any]]


def _runs(variants: Iterable[str]) -> dict[str, Run]:
    """How long the stages of each variant took, and where, of those that have run."""
    found = {variant: read_run(results().artifacts.run(variant)) for variant in variants}
    return {variant: run for variant, run in found.items() if run}


def costs() -> None:
    """Print what each variant cost on the machine it ran on: size, time, speed, and an estimate of the energy."""
    found = results()
    threads, ran = found.params.threads, _runs(found.params.variants)
    rows = []
    for variant, run in ran.items():
        trained, sampled = run.get("train", {}), run.get("sample")
        rows.append([
            found.named(variant),
            *(f"{trained[key] / 1e6:.{digits}f}" if key in trained else "–"
              for key, digits in (("parameters", 2), ("multiply_adds", 0))),
            *(f"{run[stage]['seconds'] / 60:.1f}" if stage in run else "–" for stage in STAGES),
            f"{trained['images'] / trained['seconds']:.0f}" if trained.get("seconds") else "–",
            f"{1000 * sampled['seconds'] / sampled['images']:.1f}" if sampled else "–",
            f"{_energy(run, threads):.2g}",
        ])  # fmt: skip
    total = sum(_energy(run, threads) for run in ran.values())
    hours = sum(run[stage]["seconds"] for run in ran.values() for stage in STAGES if stage in run) / 3600
    table(
        ["variant", "parameters (M)", "multiply–adds (M)", "train (min)", "sample (min)", "evaluate (min)",
         "training images/s", "1000 samples (s)", "estimated kWh"], rows, "tbl-costs",
        "What each variant cost: all of its trainings, one process a variant; multiply–adds of one forward pass for "
        "one image; images seen per second of training, validation included; seconds for 1000 images sampled, "
        "restorations and strips included. Times are by the clock, so whatever else the machine did lengthens them. "
        f"The energy is an estimate and was not measured: the time, at {CORE_WATTS:g} W for each busy core "
        f"({many(threads, 'core')} a process) and {GPU_WATTS:g} W for a GPU where one was used; a machine may well "
        "take half or twice that.",
        absent="no variant has been run yet.",
        note=f"Together: {hours:.1f} process-hours, and by that estimate {total:.2g} kWh.",
        sources=[found.artifacts.run(variant) for variant in ran], stage="train, sample, evaluate",
    )  # fmt: skip


def _energy(run: Run, threads: int) -> float:
    """An estimate of the energy of a run in kWh, from its times and an assumed power."""
    entries = [run[stage] for stage in STAGES if stage in run]
    gpu = {entry["device"]: GPU_WATTS if str(entry["device"]).startswith("cuda") else 0.0 for entry in entries}
    return sum(e["seconds"] * (gpu[e["device"]] + threads * CORE_WATTS) for e in entries) / JOULES_PER_KWH


def epoch_times() -> None:
    """Print how long each variant takes for one pass over the training images, and for its evaluation.

    A table and no figure, because times differ from run to run, and a figure is compared byte by byte.
    """
    found = results()
    levels, data = found.artifacts.reference("levels.csv"), found.params.data
    images = sum(int(row["count"]) for row in read_csv(levels)) // (data.channels * data.pixels**2)
    ran = {variant: run for variant, run in _runs(found.variants).items() if "train" in run}
    rows = []
    for variant, run in ran.items() if images else ():
        train, evaluate = run["train"], run.get("evaluate")
        rows.append([
            found.named(variant), f"`{found.params.variant(variant).train.network.name}`",
            f"{images * train['seconds'] / train['images']:.0f}",
            f"{train['images'] / images / len(found.params.train_budget(variant).seeds):.2g}",
            f"{evaluate['seconds']:.0f}" if evaluate else "–", train["device"],
        ])  # fmt: skip
    table(
        ["variant", "network", "an epoch (s)", "epochs", "evaluation (s)", "device"], rows, "tbl-epoch-times",
        f"Seconds for one epoch, that is {images} training images, with the validations on the way; how many epochs a "
        "training lasted; and seconds for its evaluation.",
        absent="`thaw repro` makes what it is computed from.",
        sources=[*(found.artifacts.run(variant) for variant in ran), levels], stage="train, evaluate and reference",
    )  # fmt: skip


def environment() -> None:
    """Print where the results were made, what rendered this page, its revision, and the versions of the packages."""
    revision = head(results().artifacts.root)
    print(
        f"This report was rendered by Python {platform.python_version()} on {platform.system()} "
        f"{platform.machine()}{f', from revision {revision}' if revision else ', outside a git repository'}. What "
        "computed the results is in @tbl-hardware; the packages, in @tbl-packages, are those of `requirements.lock`.\n"
    )
    _hardware()
    _packages(results().artifacts.root)


def _hardware() -> None:
    """Print on which machines the stages of the variants ran."""
    found = results()
    machines: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    ran = _runs(found.params.variants)
    for entry in (entry for run in ran.values() for entry in run.values()):
        key = tuple(str(entry.get(name, "–")) for name in ("device", "precision", "torch"))
        machines.setdefault(key, []).append(entry)
    rows = []
    for key, entries in machines.items():
        dates = sorted({str(entry["date"]) for entry in entries})
        peak = max(int(entry.get("peak_memory_mib", 0)) for entry in entries)
        days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        rows.append([*key, str(len(entries)), days, str(peak)])
    table(
        ["device", "precision", "torch", "runs of stages", "dates", "peak memory (MiB)"], rows, "tbl-hardware",
        "What the variants were trained, sampled and evaluated on.", absent="no variant has been run yet.",
        sources=[found.artifacts.run(variant) for variant in ran], stage="train, sample, evaluate",
    )  # fmt: skip


def _packages(root: Path) -> None:
    """Print the packages that thaw runs on: the version that the lock asks for, and the one that renders."""
    project, lock = root / "pyproject.toml", root / "requirements.lock"
    needed = tomllib.loads(project.read_text())["project"]["dependencies"] if project.exists() else []
    pinned = re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock.read_text() if lock.exists() else "", re.MULTILINE)
    rows = []
    for name in sorted({re.split(r"[\[<>=~! ]", str(requirement), maxsplit=1)[0] for requirement in needed}):
        # The lock is for several versions of Python, so a package may stand in it more than once.
        locked = [version for other, version in pinned if other == re.sub(r"[._]", "-", name)]
        rows.append([f"`{name}`", " or ".join(locked) or "–", _installed(name)])
    table(
        ["package", "locked", "here"], rows, "tbl-packages", "The packages: what results need, and what rendered this.",
        absent="pyproject.toml, which lists the packages, is not in this folder.",
    )  # fmt: skip


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def word_count() -> None:
    """Print how many words the pages of this report have."""
    report = results().artifacts.report
    counted = {Path(name).stem: count_words((report / name).read_text("utf-8")) for name in chapters(report)}
    longest = sorted(counted, key=lambda name: -counted[name])[:3]
    print(
        f"The {len(counted)} pages have {sum(counted.values())} words of prose, without code, formulas, references and "
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
    print('::: {.content-visible when-format="html"}\n')
    print(f"```{{=html}}\n<details><summary>All of <code>{path.name}</code></summary>\n```\n")
    print(f"```yaml\n{path.read_text()}```\n\n```{{=html}}\n</details>\n```\n\n:::\n")
