"""The networks that tell digits apart: the one behind the features and the classes, and the readers behind `legible`.

The penultimate layer of the first is the feature space of fid_classifier. Where the images have no labels, it learns
instead by how many quarter turns an image was rotated (Gidaris et al. 2018), and there are no readers.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thaw.core.randomness import generator
from thaw.core.tensors import read_tensors
from thaw.data import Images
from thaw.files import read_json, reading
from thaw.params import Classifier, Readers
from thaw.progress import Meter

FEATURES = 128
INFERENCE_BATCH = 250
SHIFT = 2
"""Pixels by which training images are moved, at most, each way."""
SMOOTHING = 0.05
"""Of the labels of the feature network. Its probabilities are therefore too low to be taken at their word."""
ROTATION, SCALE, SHEAR = math.pi / 12, 0.1, 0.15
"""The most by which a reader's training images are turned, in radians, enlarged, in powers of e, and slanted."""
NONSENSE = 1 / 8
"""Of the images that a reader learns from, what is made into no digit at all."""

Change = Callable[[Tensor, torch.Generator], Tensor]
"""What is done to a batch of uint8 images before they are learned from, by random numbers."""


class FeatureNetwork(nn.Module):
    """Three convolutions, each halving the image, then 128 features and the classes.

    Called with uint8 images (B, C, H, W) it gives the features, float32 (B, 128): the form in which torchmetrics takes
    a feature extractor. `logits` gives the classes, (B, classes).
    """

    num_features = FEATURES

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        widths = (channels, 16, 32, 64)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2))
                for i, o in pairwise(widths)
            ),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
        )
        self.hidden = nn.Linear(widths[-1] * 9, FEATURES)
        self.output = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Features of uint8 images."""
        x = images.to(self.hidden.weight.dtype) / 127.5 - 1
        return F.relu(self.hidden(self.blocks(x)))

    def logits(self, images: Tensor) -> Tensor:
        """Unnormalised log-probabilities of the classes of uint8 images."""
        answer: Tensor = self.output(F.dropout(self(images), 0.3, self.training))
        return answer


def with_classes(images: Images) -> Images:
    """The images with labels: their own, or the number of quarter turns of four rotated copies of each."""
    if images.labels is not None:
        return images
    turned = torch.cat([images.pixels.rot90(turns, (2, 3)) for turns in range(4)])
    return Images(turned, torch.arange(4).repeat_interleave(len(images)))


def shifted(pixels: Tensor, stream: torch.Generator) -> Tensor:
    """Each image moved by its own whole number of pixels, at most SHIFT, black moving in."""
    count, _, height, width = pixels.shape
    padded = F.pad(pixels, (SHIFT,) * 4)
    move = torch.randint(2 * SHIFT + 1, (2, count), generator=stream)
    rows = (move[0][:, None] + torch.arange(height))[:, None, :, None]
    columns = (move[1][:, None] + torch.arange(width))[:, None, None, :]
    return padded[torch.arange(count)[:, None, None, None], torch.arange(pixels.shape[1])[:, None, None], rows, columns]


def distorted(pixels: Tensor, stream: torch.Generator) -> Tensor:
    """Each image turned, enlarged, slanted and moved by its own amounts, black moving in; float32 grey levels."""

    def uniform(largest: float) -> Tensor:
        return largest * (2 * torch.rand(len(pixels), generator=stream) - 1)

    angle, scale, shear = uniform(ROTATION), uniform(SCALE).exp(), uniform(SHEAR)
    right, down = (uniform(2 * SHIFT / side) for side in pixels.shape[:1:-1])  # an image is 2 wide and 2 high
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.stack([cos, shear * cos - sin, right, sin, shear * sin + cos, down], dim=1)
    grid = F.affine_grid(rows.view(-1, 2, 3), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels.float(), grid, align_corners=False)


def nonsense(pixels: Tensor, stream: torch.Generator) -> Tensor:
    """What is no digit, of as many images (B, C, H, W): noise, or their own pixels in disorder, either as likely.

    The noise has any mean and any contrast, down to one grey level everywhere. Pieces of digits are left out: with
    those, readers are no longer sure of many real ones.
    """
    count = len(pixels)
    mean, contrast = (255 * torch.rand(count, 1, 1, 1, generator=stream) for _ in range(2))
    noise = (mean + contrast * (2 * torch.rand(pixels.shape, generator=stream) - 1)).clamp(0, 255)
    order = torch.rand(pixels.shape, generator=stream).flatten(2).argsort(2)
    disorder = pixels.float().flatten(2).gather(2, order).view_as(noise)
    return torch.where(torch.rand(count, 1, 1, 1, generator=stream) < 0.5, noise, disorder)


def train_classifier(
    images: Images, params: Classifier, change: Change = shifted, smoothing: float = SMOOTHING, spoilt: float = 0,
    name: str = "the classifier",
) -> FeatureNetwork:  # fmt: skip
    """Train on labelled images as `change` alters them, with Adam and one cycle of the learning rate.

    A share `spoilt` of every batch is made into nonsense, for which every class is to be as likely (Hendrycks et al.
    2019, section 3): without it a network is sure of what is like nothing that it has seen.
    """
    assert images.labels is not None
    torch.manual_seed(params.seed)
    network = FeatureNetwork(images.pixels.shape[1], int(images.labels.max()) + 1)
    network.to(memory_format=torch.channels_last)
    steps = params.epochs * math.ceil(len(images) / params.batch_size)
    optimizer = torch.optim.Adam(network.parameters(), params.learning_rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, params.learning_rate, total_steps=steps)
    classes = network.output.out_features
    network.train()
    step = 0
    with Meter(f"train {name}", steps, "steps") as meter:
        for epoch in range(params.epochs):
            stream = generator("classifier", params.seed, epoch)
            for index in torch.randperm(len(images), generator=stream).split(params.batch_size):
                pixels = change(images.pixels[index], stream)
                targets = F.one_hot(images.labels[index], classes).float()
                if wrong := int(spoilt * len(index)):
                    pixels = torch.cat([nonsense(pixels[:wrong], stream), pixels[wrong:]])
                    targets[:wrong] = 1 / classes
                loss = F.cross_entropy(network.logits(pixels), targets, label_smoothing=smoothing)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                cycle.step()
                step += 1
                meter.update(step)
    return network.eval()


def train_readers(images: Images, params: Readers) -> list[FeatureNetwork]:
    """Train the readers, each from its own seed, on labelled images distorted at random, and on nonsense.

    Their labels are not smoothed, so that a probability of 0.9 means as much.
    """
    settings = (params.model_copy(update={"seed": params.seed + index}) for index in range(params.count))
    return [
        train_classifier(images, own, distorted, 0, NONSENSE, f"reader {index + 1} of {params.count}")
        for index, own in enumerate(settings)
    ]


def checksum(path: Path) -> str:
    """The SHA-256 of a file, by which classifier.json knows the networks."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_classifier(path: Path) -> FeatureNetwork:
    """The network of a weights file.

    Raises ThawError where it is damaged, or not the one that classifier.json, if there is one beside it, is about.
    """
    with reading(path):
        weights, header = _stored(path, "sha256")
        network = FeatureNetwork(header["channels"], header["classes"])
        network.load_state_dict(weights)
        return network.eval()


def load_readers(path: Path) -> list[FeatureNetwork]:
    """The readers of a weights file, whose names begin with the number of a reader: none for images without labels.

    Raises ThawError as `load_classifier` does.
    """
    with reading(path):
        weights, header = _stored(path, "readers_sha256")
        readers = []
        for index in range(header["count"]):
            network = FeatureNetwork(header["channels"], header["classes"])
            prefix = f"{index}."
            own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
            network.load_state_dict(own)
            readers.append(network.eval())
        return readers


def _stored(path: Path, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What a weights file has. Raises ValueError where classifier.json beside it has another checksum under `key`."""
    known = read_json(path.with_name("classifier.json"))
    if known and known[key] != checksum(path):
        raise ValueError(f"its SHA-256 is not the {key} of classifier.json")
    return read_tensors(path)


@torch.inference_mode()
def features(network: FeatureNetwork, pixels: Tensor) -> Tensor:
    """Features of uint8 images (N, C, H, W), float64 of shape (N, 128)."""
    return torch.cat([network(part) for part in pixels.split(INFERENCE_BATCH)]).double()


@torch.inference_mode()
def predict(network: FeatureNetwork, pixels: Tensor) -> Tensor:
    """The likeliest class of uint8 images (N, C, H, W), int64 of shape (N,)."""
    return torch.cat([network.logits(part).argmax(1) for part in pixels.split(INFERENCE_BATCH)])


@torch.inference_mode()
def legible(readers: Sequence[FeatureNetwork], pixels: Tensor, sure: float) -> Tensor:
    """Which uint8 images (N, C, H, W) every reader takes for the same class, bool (N,).

    Each has to give it a probability of at least `sure`, which is above one half.
    """
    found = []
    for part in pixels.split(INFERENCE_BATCH):
        read = torch.stack([reader.logits(part).softmax(1) for reader in readers])  # (readers, B, classes)
        found.append((read.amin(0) >= sure).any(1))
    return torch.cat(found)
