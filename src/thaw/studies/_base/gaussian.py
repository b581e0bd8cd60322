"""What the studies of Gaussian noise share."""

from thaw.diffusion.degradation import NormalMixture
from thaw.errors import ThawError
from thaw.model import Model
from thaw.params import PARAMS_FILE
from thaw.studies._base.study import Study


def normal_mixture(study: Study, model: Model, name: str) -> NormalMixture:
    """The degradation of the studied variant. Raises ThawError where its source is not drawn from N(0, I)."""
    if not isinstance(model.degradation, NormalMixture):
        raise ThawError(
            f"{PARAMS_FILE}: the study {name} compares with noise from N(0, I), which the degradation of "
            f"{study.variant} does not use; give it a variant whose degradation is gaussian_noise."
        )
    return model.degradation
