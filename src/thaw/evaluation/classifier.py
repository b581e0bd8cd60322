"""The network whose penultimate layer is the feature space of fid_classifier, and whose answer is the digit's class.

Where the images have no labels, it learns instead by how many quarter turns an image was rotated (Gidaris et al. 2018).
"""

import math
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thaw.core.randomness import generator
from thaw.core.tensors import read_tensors
from thaw.data import Images
from thaw.params import Classifier
from thaw.progress import Meter

FEATURES = 128
INFERENCE_BATCH = 250
SHIFT = 2
"""Pixels by which training images are moved, at most, each way."""


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


def train_classifier(images: Images, params: Classifier) -> FeatureNetwork:
    """Train on labelled images moved by up to SHIFT pixels, with Adam and one cycle of the learning rate."""
    assert images.labels is not None
    torch.manual_seed(params.seed)
    network = FeatureNetwork(images.pixels.shape[1], int(images.labels.max()) + 1)
    network.to(memory_format=torch.channels_last)
    steps = params.epochs * math.ceil(len(images) / params.batch_size)
    optimizer = torch.optim.Adam(network.parameters(), params.learning_rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, params.learning_rate, total_steps=steps)
    network.train()
    step = 0
    with Meter("train the classifier", steps, "steps") as meter:
        for epoch in range(params.epochs):
            stream = generator("classifier", params.seed, epoch)
            for index in torch.randperm(len(images), generator=stream).split(params.batch_size):
                pixels = _shifted(images.pixels[index], stream)
                loss = F.cross_entropy(network.logits(pixels), images.labels[index], label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                cycle.step()
                step += 1
                meter.update(step)
    return network.eval()


def _shifted(pixels: Tensor, stream: torch.Generator) -> Tensor:
    """Each image moved by its own whole number of pixels, black moving in."""
    count, _, height, width = pixels.shape
    padded = F.pad(pixels, (SHIFT,) * 4)
    move = torch.randint(2 * SHIFT + 1, (2, count), generator=stream)
    rows = (move[0][:, None] + torch.arange(height))[:, None, :, None]
    columns = (move[1][:, None] + torch.arange(width))[:, None, None, :]
    return padded[torch.arange(count)[:, None, None, None], torch.arange(pixels.shape[1])[:, None, None], rows, columns]


def load_classifier(path: Path) -> FeatureNetwork:
    """The network of a weights file."""
    weights, header = read_tensors(path)
    network = FeatureNetwork(header["channels"], header["classes"])
    network.load_state_dict(weights)
    return network.eval()


@torch.inference_mode()
def features(network: FeatureNetwork, pixels: Tensor) -> Tensor:
    """Features of uint8 images (N, C, H, W), float64 of shape (N, 128)."""
    return torch.cat([network(part) for part in pixels.split(INFERENCE_BATCH)]).double()


@torch.inference_mode()
def predict(network: FeatureNetwork, pixels: Tensor) -> Tensor:
    """The likeliest class of uint8 images (N, C, H, W), int64 of shape (N,)."""
    return torch.cat([network.logits(part).argmax(1) for part in pixels.split(INFERENCE_BATCH)])
