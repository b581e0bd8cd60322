"""The `thaw` command: one thin subcommand per stage, and one per thing a user does."""

import sys
from typing import Annotated

import typer

from thaw.artifacts import Artifacts, find_root
from thaw.errors import ThawError
from thaw.params import read_params, suggest, write_profile

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A comparison of diffusion models as a reproducible report.",
)
Variant = Annotated[str, typer.Argument(help="A variant of params.yaml.")]
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
