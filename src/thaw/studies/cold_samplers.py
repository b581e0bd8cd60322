"""New images by direct, naive and improved sampling from the same latents (Bansal et al. 2022, section 3.2)."""

from thaw.studies._base.cold import cold_models
from thaw.studies._base.measures import SHOWN, rms_distance
from thaw.studies._base.study import Outcome, Strip, Study

CAPTION = """
Samples from the same latents z_T, at once (direct) or step by step with the naive or the improved sampler. Shown are
the eight latents from which naive and improved sampling differ the most. Where the degradation mixes images with a
source, the source is the latent's own, held through all steps, or estimated: the one that z_t and the estimate imply at
each step. The estimated one is the mean of all sources that could have led to z_t, and with it, as the steps become
small, z_t keeps the distribution of degraded images (Liu et al. 2023, theorem 3.3); with the held one it does not. The
distance from_naive is the root mean square one from the sample of the naive sampler, in grey values from 0 to 1.
"""


def cold_samplers(study: Study) -> Outcome:
    """Samples by sampler, and where naive and improved sampling differ."""
    models = cold_models(study)
    samples = {label: model.sample(study.count) for label, model in models.items()}
    distances = {label: rms_distance(images, samples["naive"], study.half_range) for label, images in samples.items()}
    differing = distances["improved"].argsort(descending=True, stable=True)[:SHOWN]
    return Outcome(
        [
            {"sampler": label, "from_naive": distances[label].mean().item(), **study.score(images)}
            for label, images in samples.items()
        ],
        [
            Strip("z_T", models["direct"].draw_latents(study.count).z[differing]),
            *(Strip(label, images[differing]) for label, images in samples.items()),
        ],
    )
