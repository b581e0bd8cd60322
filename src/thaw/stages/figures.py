"""Draw the figures."""

import json

import matplotlib.pyplot as plt

from thaw.artifacts import Artifacts
from thaw.files import replacing
from thaw.params import read_params
from thaw.reporting.figures import draw_all


def run(artifacts: Artifacts) -> None:
    """Write figures/NAME.png for every figure, and figures/captions.json with what goes beside each."""
    with replacing(artifacts.figures) as folder:
        folder.mkdir()
        captions = {}
        for name, drawing in draw_all(artifacts, read_params(artifacts.params)).items():
            # Without the name of the program, the same picture is the same bytes under any version of it.
            drawing.figure.savefig(folder / f"{name}.png", metadata={"Software": None})
            plt.close(drawing.figure)
            captions[name] = {
                "caption": drawing.caption,
                "alt": drawing.alt,
                "sources": [source.relative_to(artifacts.root).as_posix() for source in drawing.sources],
            }
        (folder / "captions.json").write_text(json.dumps(captions, indent=2, ensure_ascii=False) + "\n")
