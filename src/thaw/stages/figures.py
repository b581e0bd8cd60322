"""Draw the figures."""

import json

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageChops

from thaw.figures.catalogue import draw_all
from thaw.figures.drawing import Animation
from thaw.files import replacing
from thaw.params import read_params
from thaw.results.layout import Artifacts

COLOURS = 256
"""As many as a picture with a palette has."""


def run(artifacts: Artifacts) -> None:
    """Write figures/NAME.png for every figure, NAME.webp for every animation, and captions.json with what goes beside.

    A chart is written as NAME.svg too, for the report; only pixels can be compared side by side by a review.
    An animation keeps every pixel and begins again after its last frame. Its entry names the figure that stands for it
    where nothing moves, as in print.
    """
    params = read_params(artifacts.params)
    with replacing(artifacts.figures) as folder:
        folder.mkdir()
        captions = {}
        for name, drawing in draw_all(artifacts, params):
            entry = {
                "caption": drawing.caption,
                "alt": drawing.alt,
                "sources": [source.relative_to(artifacts.root).as_posix() for source in drawing.sources],
            }
            captions[name] = entry
            if isinstance(drawing, Animation):
                entry["still"] = drawing.still
                first, *others = [_picture(frame) for frame in drawing.frames]
                first.save(folder / f"{name}.webp", save_all=True, append_images=others, duration=drawing.milliseconds,
                           loop=0, lossless=True, method=6)  # fmt: skip
            else:
                picture = _picture(drawing.figure)
                if params.data.channels == 1:  # a palette would show in photographs
                    picture = _small(picture)
                picture.save(folder / f"{name}.png", optimize=True)
                if drawing.is_chart:
                    _settle(drawing.figure)
                    drawing.figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        (folder / "captions.json").write_text(json.dumps(captions, indent=2, ensure_ascii=False) + "\n")


def _picture(figure: Figure) -> Image.Image:
    """A figure as opaque pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _settle(figure: Figure) -> None:
    """Let axes stand where they are drawn, to a millionth: the solver of the layout differs by less from run to run."""
    figure.set_layout_engine("none")
    for axes in figure.axes:
        x, y, width, height = (round(side, 6) for side in axes.get_position().bounds)
        axes.set_position((x, y, width, height))


def _small(picture: Image.Image) -> Image.Image:
    """The picture in shades of grey if it has no colours, or else with a palette."""
    red, green, blue = picture.split()
    if ImageChops.difference(red, green).getbbox() is None and ImageChops.difference(red, blue).getbbox() is None:
        return red
    return picture.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
