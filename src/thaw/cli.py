"""The `thaw` command: one thin subcommand per stage, and one per thing a user does."""

import importlib
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from thaw.errors import ThawError
from thaw.files import replacing
from thaw.params import read_params, suggest, write_profile
from thaw.results.layout import Artifacts, find_root

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A comparison of diffusion models as a reproducible report.",
)
Jobs = Annotated[int | None, typer.Option(min=1, help="Variants at a time; by default, as many as there is room for.")]
Targets = Annotated[list[str] | None, typer.Argument(help="Variants, studies or stages; by default, all.")]
PANEL = "Stages (each also a stage of dvc.yaml)"
STAGES = {
    "classifier": "Train the feature network of the evaluation.",
    "reference": "Compute the real images' statistics and the real-vs-real floor.",
    "forward": "Show what a variant's degradation does, how near z_t comes to N(0, 1), and its network.",
    "train": "Train every seed of a variant, going on where an interrupted training stopped.",
    "sample": "Draw images from a trained variant and restore test images with it.",
    "evaluate": "Measure a variant's samples and restorations, its loss and its likelihood.",
    "study": "Run a study: what a table, curves or pictures say beyond the comparison of the variants.",
    "demo": "Write the page on which a reader tries three models in the browser.",
    "summarize": "Bring the metrics of all variants into one table.",
    "figures": "Draw every figure of the report.",
}
OF_ONE = ("forward", "train", "sample", "evaluate", "study", "demo")
"""The stages of one variant, study or demo, whose name is their argument."""


def _here() -> Artifacts:
    return Artifacts(find_root())


def _checked() -> Artifacts:
    """The project, once all of its parameters are known to go together, and the precision to be one."""
    from thaw.core.hardware import device
    from thaw.variant import check

    artifacts = _here()
    device()
    check(read_params(artifacts.params))
    return artifacts


def _stage(name: str, of_one: bool) -> Callable[..., None]:
    """The command of a stage, whose module is imported when it runs, since torch takes seconds."""

    def whole() -> None:
        importlib.import_module(f"thaw.stages.{name}").run(_here())

    def one(key: Annotated[str, typer.Argument(metavar="NAME", help="Of params.yaml.")]) -> None:
        importlib.import_module(f"thaw.stages.{name}").run(_checked(), key)

    return one if of_one else whole


for _name, _help in STAGES.items():
    app.command(_name, help=_help, rich_help_panel=PANEL)(_stage(_name, _name in OF_ONE))


@app.command(rich_help_panel=PANEL)
def render() -> None:
    """Render the report, with Quarto where it is installed."""
    from thaw.pages.quarto import publish

    print(publish(_here()))


@app.command()
def coursework(
    variants: Annotated[str, typer.Option(help="With commas between them; by default, the best of each kind.")] = "",
) -> None:
    """Render the student's own report, report/coursework.qmd, about a few variants."""
    from thaw.pages.quarto import publish_coursework

    print(publish_coursework(_here(), variants))


class On(StrEnum):
    """Where jobs run."""

    slurm = "slurm"
    local = "local"


@app.command()
def repro(
    targets: Targets = None,
    jobs: Jobs = None,
    on: Annotated[On | None, typer.Option(help="Let submitit start the jobs: slurm on a cluster, local here.")] = None,
    partition: Annotated[str | None, typer.Option(help="Of the cluster.")] = None,
    time: Annotated[int | None, typer.Option(help="Minutes that a job may take on the cluster; 240.")] = None,
    gpus: Annotated[int | None, typer.Option(help="For each job on the cluster; 0.")] = None,
    mem: Annotated[str | None, typer.Option(help="For each job on the cluster, as SLURM takes it: 8G.")] = None,
) -> None:
    """Bring every artifact up to date, variants side by side, and render the report; with targets, only these."""
    from thaw.pipeline.cluster import Cluster, Resources
    from thaw.pipeline.repro import repro as run

    options, artifacts = {"partition": partition, "time": time, "gpus": gpus, "mem": mem}, _checked()
    for name in [name for name, value in options.items() if value is not None and on is None]:
        raise ThawError(f"--{name} is of a cluster; add `--on slurm`.")
    cluster = Cluster(on.value, Resources.read(artifacts.root, options)) if on else None
    run(artifacts, jobs, targets=targets or [], cluster=cluster)
    if not targets:
        render()


@app.command()
def report(
    targets: Targets = None,
    jobs: Jobs = None,
    yes: Annotated[bool, typer.Option("--yes", help="Repeat what this machine lacks without asking.")] = False,
    opened: Annotated[bool, typer.Option("--open", help="Then serve it, and open it in the browser.")] = False,
) -> None:
    """Bring the report up to date with params.yaml, training only what changed."""
    from thaw.pipeline.repro import report as run

    def confirm(question: str) -> bool:
        print(question)
        return yes or (sys.stdin.isatty() and typer.confirm("Repeat it?"))

    run(_here(), confirm, jobs, targets or [])
    render()
    if opened:
        from thaw.pages.serve import serve

        serve(_here().book)


@app.command()
def status(
    targets: Targets = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with status 1 where anything has to run.")] = False,
) -> None:
    """Say what is not up to date, because of what, and how long bringing it up to date takes."""
    from thaw.pipeline.explain import explain

    text, outdated = explain(_here(), targets or [])
    print(text)
    if check and outdated:
        raise typer.Exit(1)


@app.command()
def prune(yes: Annotated[bool, typer.Option("--yes", help="Remove them without asking.")] = False) -> None:
    """Remove what variants and studies that params.yaml no longer has have left behind."""
    from thaw.pipeline.prune import leftovers, remove

    artifacts = _here()
    found = leftovers(artifacts)
    if not found:
        print("Nothing is left of any variant or study that params.yaml does not have.")
        return
    print("\n".join(path.relative_to(artifacts.root).as_posix() for path in found))
    if not yes and not (sys.stdin.isatty() and typer.confirm("Remove all of this?")):
        raise ThawError("nothing was removed; `thaw prune --yes` removes what is listed above.")
    remove(found)
    print("Removed; `dvc gc` can free their space in DVC's cache too.")


@app.command()
def quick(jobs: Jobs = None) -> None:
    """Train and report everything at the quick profile, in a copy that leaves this project alone."""
    from thaw.pipeline.scratch import in_scratch

    artifacts = _here()
    in_scratch(artifacts, artifacts.kept("quick"), "quick", jobs)


@app.command()
def reproduce(jobs: Jobs = None) -> None:
    """Train everything again and compare each metric with the committed one."""
    from thaw.compare.agreement import agreement_table
    from thaw.pipeline.repro import repro as run
    from thaw.pipeline.scratch import committed_metrics

    artifacts = _checked()
    before = committed_metrics(artifacts)
    run(artifacts, jobs, force=True)
    render()
    print(agreement_table(artifacts, before))


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(help="Two variants; with --rev, two revisions and then variants.")],
    rev: Annotated[bool, typer.Option("--rev", help="Compare branches, tags, commits, experiments.")] = False,
    md: Annotated[bool, typer.Option("--md", help="Print Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    pictures: Annotated[bool, typer.Option(help="Draw curves and samples into .thaw/compare.")] = True,
) -> None:
    """Set two variants, or two revisions, side by side, and say which differences are more than noise."""
    from thaw.compare.compare import comparing
    from thaw.compare.views import as_markdown, print_comparison, to_json

    artifacts = _here()
    with comparing(artifacts, names, "revisions" if rev else "variants") as comparison:
        if pictures:
            from thaw.compare.pictures import with_pictures

            comparison = with_pictures(comparison, artifacts.kept("compare"))
        if md or as_json:
            print(as_markdown(comparison) if md else to_json(comparison))
        else:
            print_comparison(comparison)


@app.command()
def review(
    base: Annotated[str, typer.Option(help="What to review against: where the branch left this revision.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write it to this file.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Write figures before and after to this folder.")] = None,
    fail_on_regression: Annotated[bool, typer.Option("--fail-on-regression", help="Exit with 1 if worse.")] = False,
) -> None:
    """Say as the Markdown of a comment what a branch changes, and what of it is more than noise."""
    from thaw.compare.review import reviewing, write_figures
    from thaw.compare.views import review_markdown

    artifacts = _here()
    with reviewing(artifacts, base) as found:
        pictures = write_figures(found, figures) if figures else {}
        text = review_markdown(found, artifacts.root, pictures)
    if output is None:
        print(text)
    else:
        with replacing(output) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    if fail_on_regression and found.regressed:
        raise typer.Exit(1)


@app.command()
def profile(name: Annotated[str, typer.Argument(help="smoke, quick, standard or paper.")]) -> None:
    """Write the budget of profiles/NAME.yaml into params.yaml, keeping all else."""
    artifacts = _here()
    path = artifacts.profile(name)
    if not path.exists():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise ThawError(f"profiles/{name}.yaml does not exist{suggest(name, known)}; there are {', '.join(known)}.")
    write_profile(artifacts.params, path)
    print(f"params.yaml now has the budget of profiles/{name}.yaml.")


@app.command(hidden=True)
def merge_lock(base: Path, ours: Path, theirs: Path) -> None:
    """Merge dvc.lock stage by stage, as git's merge driver."""
    from thaw.pipeline.merge import merge_lock as merge

    if left_out := merge(base, ours, theirs):
        print(f"dvc.lock: both sides changed {', '.join(left_out)}, which `thaw repro` runs again.", file=sys.stderr)


def main() -> None:
    """Run the command line; what the user can mend is said in one sentence, with exit status 2."""
    try:
        app()
    except ThawError as error:
        print(f"thaw: {error}", file=sys.stderr)
        sys.exit(2)
