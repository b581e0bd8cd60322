"""The ways of cold sampling that studies compare."""

from thaw.diffusion.degradation import Mixture
from thaw.model import Model
from thaw.params import Choice
from thaw.studies._base.study import Study

SAMPLERS = {"direct": "direct", "naive": "cold_naive", "improved": "cold_improved"}
ESTIMATED = Choice.model_validate({"name": "cold_improved", "source": "estimated"})


def cold_models(study: Study) -> dict[str, Model]:
    """The study's model with each cold sampler; a mixture's also with the source estimated at every step."""
    models = {label: study.model(sampler=Choice(name=name)) for label, name in SAMPLERS.items()}
    if isinstance(models["direct"].degradation, Mixture):
        models["improved, source estimated"] = study.model(sampler=ESTIMATED)
    return models
