"""InceptionV3 (Szegedy et al. 2016) as the feature space of the field's Frechet distance (Heusel et al. 2017).

Its weights, learned on ImageNet's photographs, are a file that someone else publishes: this is off by default, and
thaw's own numbers come from `classifier.py`. The distance itself is `frechet.frechet_distance` of the moments of these
features.
"""

import hashlib
import http.client
import shutil
import textwrap
import urllib.request
from pathlib import Path

import torch
from torch import Tensor, nn

from thaw.errors import ThawError
from thaw.files import replacing

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the file of weights that torch-fidelity publishes."""

FEATURES = 2048
"""The width of the last pooling layer, by which torch-fidelity also names that layer."""

INFERENCE_BATCH = 64
"""Every image is resized to 299 x 299 first, so that a batch of the first layers takes about 1 GB."""

PATIENCE = 30.0
"""Seconds for which a download may stand still before it is given up."""


class InceptionNetwork(nn.Module):
    """Called with uint8 images (B, 1 or 3, H, W) it gives float32 features (B, 2048); grey is repeated as R, G and B.

    The images are resized as the TensorFlow original and torch-fidelity do it, from the corners of pixels and without
    antialiasing; torchmetrics, which antialiases by default, would give other numbers.
    """

    num_features = FEATURES

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Features of uint8 images."""
        answer: Tensor = self.network(images.expand(-1, 3, -1, -1))
        return answer


def weights(folder: Path) -> Path:
    """The file of torch-fidelity's weights in `folder`, downloaded where it is absent.

    A file with another SHA-256 is refused: it is left alone if it was there, and not kept if it was downloaded.
    Raises ThawError where the file cannot be downloaded or is not the published one.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3  # takes seconds to import

    path = folder / URL_INCEPTION_V3.rpartition("/")[2]
    remedy = (
        f"put the file {path.name} from {URL_INCEPTION_V3} into {folder}, "
        "or write evaluation.inception: false into params.yaml to go on without it."
    )
    if path.exists():
        if wrong := _wrong_digest(path):
            raise ThawError(f"{path} is not the file that torch-fidelity published ({wrong}); {remedy}")
        return path
    try:
        with replacing(path) as temporary:
            with urllib.request.urlopen(URL_INCEPTION_V3, timeout=PATIENCE) as source, temporary.open("wb") as file:
                shutil.copyfileobj(source, file)
            if wrong := _wrong_digest(temporary):
                raise ThawError(
                    f"{path.name} was downloaded, but is not the file that torch-fidelity published ({wrong}), and was "
                    f"not kept; {remedy}"
                )
    except (OSError, http.client.HTTPException) as error:
        reason = textwrap.shorten(str(error) or type(error).__name__, 300)
        raise ThawError(f"{path} is missing and could not be downloaded ({reason}); {remedy}") from None
    return path


def _wrong_digest(path: Path) -> str:
    """What is wrong with the SHA-256 of a file that should be the published one; empty where it is right."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return "" if found == SHA256 else f"its SHA-256 is {found}, not {SHA256}"


def load_inception(path: Path) -> InceptionNetwork:
    """The network with the weights of a file that `weights` has checked.

    Raises ThawError where the file is not a checkpoint of torch-fidelity's InceptionV3.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3  # takes seconds to import

    try:
        # torch-fidelity would run whatever code a pickle holds, so this refuses a file that holds more than tensors.
        torch.load(path, weights_only=True)
        network = NoTrainInceptionV3("inception-v3-compat", [str(FEATURES)], str(path), antialias=False)
    except Exception as error:  # a file can be wrong in as many ways as pickle, zip and load_state_dict have errors
        raise ThawError(
            f"{path} is not a checkpoint of torch-fidelity's InceptionV3 ({type(error).__name__}); delete it, so that "
            "it is downloaded again, or write evaluation.inception: false into params.yaml to go on without it."
        ) from None
    return InceptionNetwork(network).eval()


@torch.inference_mode()
def inception_features(network: nn.Module, pixels: Tensor) -> Tensor:
    """Features of uint8 images (N, 1 or 3, H, W), float64 of shape (N, 2048)."""
    device = next(network.parameters()).device
    return torch.cat([network(part.to(device)).cpu() for part in pixels.split(INFERENCE_BATCH)]).double()
