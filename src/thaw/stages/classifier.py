"""Train the feature network that the evaluation measures with."""

import hashlib

import torch

from thaw.core.tensors import write_tensors
from thaw.data import read_dataset
from thaw.evaluation.classifier import predict, train_classifier, with_classes
from thaw.files import write_json
from thaw.params import read_params
from thaw.results.layout import Artifacts


def run(artifacts: Artifacts) -> None:
    """Write reference/classifier.safetensors, and its accuracy and checksum to reference/classifier.json."""
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    dataset = read_dataset(params.data, artifacts.root)
    training, test = with_classes(dataset.train), with_classes(dataset.test)
    assert training.labels is not None
    assert test.labels is not None
    network = train_classifier(training, params.evaluation.classifier)
    header = {
        "channels": params.data.channels,
        "classes": int(training.labels.max()) + 1,
        "task": "rotation" if dataset.train.labels is None else "class",
    }
    write_tensors(artifacts.reference("classifier.safetensors"), network.state_dict(), header)
    write_json(
        artifacts.reference("classifier.json"),
        {
            "test_accuracy": (predict(network, test.pixels) == test.labels).double().mean().item(),
            "test_images": len(test),
            "task": header["task"],
            "sha256": hashlib.sha256(artifacts.reference("classifier.safetensors").read_bytes()).hexdigest(),
        },
    )
