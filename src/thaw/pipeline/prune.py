"""`thaw prune`: taking away what belonged to variants and studies that params.yaml no longer has."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from thaw.params import read_params
from thaw.results.layout import Artifacts


def leftovers(artifacts: Artifacts) -> list[Path]:
    """What the folders of variants and studies hold, and the figures of it, that params.yaml does not name."""
    params = read_params(artifacts.params)
    places = [artifacts.variant("x"), artifacts.models("x"), artifacts.samples("x").parent]
    places.append(artifacts.checkpoint("x", 0).parent)
    kept = {place.parent: {*params.variants} for place in places}
    kept[artifacts.study("x").parent] = {*params.studies.trained, *params.studies.untrained}
    paths = [
        path
        for folder, names in kept.items()
        for path in sorted(folder.glob("[!.]*"))
        if path.is_dir() and path.name not in names
    ]
    names = {path.name for path in paths}
    # The longest name that fits is whose figure it is: x-a-b shows a-b, and none of b.
    known = sorted(names.union(params.studies.compared, *kept.values()), key=len, reverse=True)
    for figure in sorted(artifacts.figures.glob("*")):
        of = re.fullmatch(f".+?-({'|'.join(known)})", figure.stem)
        paths += [figure] if of and of[1] in names else []
    return paths


def remove(paths: Iterable[Path]) -> None:
    """Take files and folders away. What dvc.lock has of them stays, since DVC ignores stages that dvc.yaml lacks."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
