"""The `thaw` command: one thin subcommand per stage, and one per thing a user does."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from thaw.artifacts import Artifacts, find_root
from thaw.errors import ThawError
from thaw.files import replacing
from thaw.params import read_params, suggest, write_profile

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A comparison of diffusion models as a reproducible report.",
)
Variant = Annotated[str, typer.Argument(help="A variant of params.yaml.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Variants at a time; by default, as many as there is room for.")]
STAGES = "Stages (each also a stage of dvc.yaml)"


def _here() -> Artifacts:
    return Artifacts(find_root())


@app.command(rich_help_panel=STAGES)
def classifier() -> None:
    """Train the feature network of the evaluation."""
    from thaw.stages.classifier import run

    run(_here())


@app.command(rich_help_panel=STAGES)
def reference() -> None:
    """Compute the real images' statistics and the real-vs-real floor."""
    from thaw.stages.reference import run

    run(_here())


@app.command(rich_help_panel=STAGES)
def normality(variant: Variant) -> None:
    """Show what a variant's degradation does, and how near z_t comes to N(0, 1)."""
    from thaw.stages.normality import run

    run(_checked(), variant)


@app.command(rich_help_panel=STAGES)
def train(variant: Variant) -> None:
    """Train every seed of a variant, going on where an interrupted training stopped."""
    from thaw.stages.train import run

    run(_checked(), variant)


@app.command(rich_help_panel=STAGES)
def objective(variant: Variant) -> None:
    """Measure a variant's loss on test images by t, and the bound on their likelihood."""
    from thaw.stages.objective import run

    run(_checked(), variant)


@app.command(rich_help_panel=STAGES)
def sample(variant: Variant) -> None:
    """Draw images from a trained variant and restore test images with it."""
    from thaw.stages.sample import run

    run(_checked(), variant)


@app.command(rich_help_panel=STAGES)
def evaluate(variant: Variant) -> None:
    """Measure a variant's samples and restorations."""
    from thaw.stages.evaluate import run

    run(_checked(), variant)


@app.command(rich_help_panel=STAGES)
def audit(variant: Variant) -> None:
    """Score a variant's images as the earlier evaluations did, faults included."""
    from thaw.stages.audit import run

    run(_checked(), variant)


@app.command(rich_help_panel=STAGES)
def study(key: Annotated[str, typer.Argument(help="A study of params.yaml.")]) -> None:
    """Run a study: what a table, curves or pictures say beyond the comparison of the variants."""
    from thaw.stages.study import run

    run(_checked(), key)


@app.command(rich_help_panel=STAGES)
def levels() -> None:
    """Count the grey levels of the training images, and of their centres."""
    from thaw.stages.levels import run

    run(_checked())


@app.command(rich_help_panel=STAGES)
def networks() -> None:
    """Tell what each network consists of."""
    from thaw.stages.networks import run

    run(_checked())


@app.command(rich_help_panel=STAGES)
def summarize() -> None:
    """Bring the metrics of all variants into one table."""
    from thaw.stages.summarize import run

    run(_here())


@app.command(rich_help_panel=STAGES)
def figures() -> None:
    """Draw every figure of the report."""
    from thaw.stages.figures import run

    run(_here())


def _checked() -> Artifacts:
    """The project, once all of its parameters are known to go together."""
    from thaw.assembly import check

    artifacts = _here()
    check(read_params(artifacts.params))
    return artifacts


@app.command(rich_help_panel=STAGES)
def render() -> None:
    """Render the report, with Quarto where it is installed."""
    from thaw.reporting.publish import publish

    print(publish(_here()))


@app.command()
def coursework(
    variants: Annotated[str, typer.Option(help="With commas between them; by default, the best of each kind.")] = "",
) -> None:
    """Render the student's own report, report/coursework.qmd, about a few variants."""
    from thaw.reporting.paper import publish_paper

    print(publish_paper(_here(), variants))


@app.command()
def repro(jobs: Jobs = None) -> None:
    """Bring every artifact up to date, variants side by side, and render the report."""
    from thaw.pipeline.repro import repro as run

    run(_checked(), jobs)
    render()


@app.command()
def report(
    jobs: Jobs = None,
    yes: Annotated[bool, typer.Option("--yes", help="Repeat what this machine lacks without asking.")] = False,
) -> None:
    """Bring the report up to date with params.yaml, training only what changed."""
    from thaw.pipeline.repro import report as run

    def confirm(question: str) -> bool:
        print(question)
        return yes or (sys.stdin.isatty() and typer.confirm("Repeat it?"))

    run(_here(), confirm, jobs)
    render()


@app.command()
def status(
    check: Annotated[bool, typer.Option("--check", help="Exit with status 1 where anything has to run.")] = False,
) -> None:
    """Say what is not up to date, because of what, and how long bringing it up to date takes."""
    from thaw.pipeline.explain import explain

    text, outdated = explain(_here())
    print(text)
    if check and outdated:
        raise typer.Exit(1)


@app.command()
def prune(yes: Annotated[bool, typer.Option("--yes", help="Remove them without asking.")] = False) -> None:
    """Remove what variants and studies that params.yaml no longer has have left behind."""
    from thaw.pipeline.prune import Leftovers

    artifacts = _here()
    leftovers = Leftovers.find(artifacts)
    if not leftovers:
        print("Nothing is left of any variant or study that params.yaml does not have.")
        return
    print(leftovers.listed(artifacts.root))
    if not yes and not (sys.stdin.isatty() and typer.confirm("Remove all of this?")):
        raise ThawError("nothing was removed; `thaw prune --yes` removes what is listed above.")
    leftovers.remove(artifacts)
    print("Removed; `dvc gc` can free their space in DVC's cache too.")


@app.command()
def quick(jobs: Jobs = None) -> None:
    """Train and report everything at the quick profile, in a copy that leaves this project alone."""
    from thaw.pipeline.scratch import in_scratch

    artifacts = _here()
    in_scratch(artifacts, artifacts.scratch("quick"), "quick", jobs)


@app.command()
def reproduce(jobs: Jobs = None) -> None:
    """Train everything again and compare each metric with the committed one."""
    from thaw.pipeline.repro import repro as run
    from thaw.pipeline.scratch import committed_metrics
    from thaw.reporting.agreement import agreement_table

    artifacts = _checked()
    before = committed_metrics(artifacts)
    run(artifacts, jobs, options=["--force", "--no-run-cache"])
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
    from thaw.reporting.comparison import comparing
    from thaw.reporting.comparison_views import as_markdown, print_comparison, to_json

    artifacts = _here()
    with comparing(artifacts, names, "revisions" if rev else "variants") as comparison:
        if pictures:
            from thaw.reporting.comparison_pictures import with_pictures

            comparison = with_pictures(comparison, artifacts.comparisons)
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
    from thaw.reporting.review import reviewing, write_figures
    from thaw.reporting.review_views import as_markdown

    artifacts = _here()
    with reviewing(artifacts, base) as found:
        pictures = write_figures(found, figures) if figures else {}
        text = as_markdown(found, artifacts.root, pictures)
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


def main() -> None:
    """Run the command line; what the user can mend is said in one sentence, with exit status 2."""
    try:
        app()
    except ThawError as error:
        print(f"thaw: {error}", file=sys.stderr)
        sys.exit(2)
