"""Train the networks that the evaluation measures with: the feature network, and the readers of `legible`."""

import torch

from thaw.core.tensors import write_tensors
from thaw.data import Images, read_dataset
from thaw.evaluation.classifier import (
    FeatureNetwork,
    checksum,
    predict,
    train_classifier,
    train_readers,
    with_classes,
)
from thaw.files import write_json
from thaw.params import read_params
from thaw.results.layout import Artifacts


def run(artifacts: Artifacts) -> None:
    """Write reference/classifier.safetensors and readers.safetensors; accuracies and checksums go to classifier.json.

    The readers are in one file, the names of each after its number. There are none for images without labels.
    """
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    dataset = read_dataset(params.data, artifacts.root)
    training, test = with_classes(dataset.train), with_classes(dataset.test)
    assert training.labels is not None
    network = train_classifier(training, params.evaluation.classifier)
    header = {
        "channels": params.data.channels,
        "classes": int(training.labels.max()) + 1,
        "task": "rotation" if dataset.train.labels is None else "class",
    }
    write_tensors(artifacts.reference("classifier.safetensors"), network.state_dict(), header)
    readers = train_readers(dataset.train, params.evaluation.readers) if dataset.train.labels is not None else []
    stored = {
        f"{index}.{name}": value for index, reader in enumerate(readers) for name, value in reader.state_dict().items()
    }
    write_tensors(artifacts.reference("readers.safetensors"), stored, header | {"count": len(readers)})
    write_json(
        artifacts.reference("classifier.json"),
        {
            "test_accuracy": _accuracy(network, test),
            "test_images": len(test),
            "task": header["task"],
            "sha256": checksum(artifacts.reference("classifier.safetensors")),
            "readers_test_accuracy": [_accuracy(reader, test) for reader in readers],
            "readers_sha256": checksum(artifacts.reference("readers.safetensors")),
        },
    )


def _accuracy(network: FeatureNetwork, images: Images) -> float:
    assert images.labels is not None
    return (predict(network, images.pixels) == images.labels).double().mean().item()
