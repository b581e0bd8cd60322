"""What a discriminator sees of an image whose augmentation is certain (seed 003 figure 7; Karras et al. 2020)."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from thaw.core.randomness import generator
from thaw.data import to_uint8
from thaw.evaluation.classifier import predict
from thaw.studies._base.measures import rms_distance
from thaw.studies._base.study import Outcome, Row, Strip, Study
from thaw.training.augmentation import augment, variations

CAPTION = """
Test images (left) and what augmentation with probability 1 makes of them. The table gives, by probability p, the root
mean square distance of n augmented test images from their originals, in grey values from 0 to 1, and the share in which
the classifier still sees the right class.
"""
ROWS, COLUMNS = 4, 9


def augmentation(
    study: Study, *, probabilities: Sequence[Annotated[float, Field(ge=0, le=1)]] = (0.0, 0.2, 0.5, 0.8, 1.0)
) -> Outcome:
    """Augmented test images, and how far each of the `probabilities` moves them."""
    x, labels = study.test_images(study.count), study.test_labels(study.count)
    table: list[Row] = []
    for p in probabilities:
        changed = augment(x, p, study.half_range, generator("augmentation study"))
        row: Row = {"p": p, "distance": rms_distance(changed, x, study.half_range).mean().item(), "n": len(x)}
        if labels is not None:
            kept = predict(study.classifier, to_uint8(changed, study.half_range)) == labels
            row["class_preservation"] = kept.double().mean().item()
        table.append(row)
    strips = [
        Strip(f"image {k + 1}", variations(image, COLUMNS, study.half_range, generator("variations", k)))
        for k, image in enumerate(x[:ROWS])
    ]
    return Outcome(table, strips)
