"""Time and memory of measuring one variant at 10 000 samples and 10 000 restorations, given the images.

Run as `python benchmarks/evaluation.py [THREADS]`; by default with as many threads as there are cores. The images are
real ones with noise on them, since the cost does not depend on how good they are. Likelihood and loss by t are
stages of their own and not part of it.
"""

import os
import resource
import sys
import time

import torch

from thaw.core.tensors import read_tensors
from thaw.data import read_dataset, to_uint8
from thaw.evaluation.classifier import features, load_classifier
from thaw.evaluation.frechet import read_moments
from thaw.evaluation.restorations import restoration_rows, restoration_scores
from thaw.evaluation.samples import Reference, background_row, diversity_rows, frechet_rows
from thaw.params import read_params
from thaw.results.layout import Artifacts, find_root

COUNT = 10_000
NOISE = 0.05


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else os.cpu_count() or 1
    torch.set_num_threads(threads)
    artifacts = Artifacts(find_root())
    params = read_params(artifacts.params)
    dataset = read_dataset(params.data, artifacts.root)
    samples = dataset.to_range(dataset.train.pixels[:COUNT])
    samples = samples + NOISE * torch.randn(samples.shape, generator=torch.Generator().manual_seed(0))
    restored = dataset.to_range(dataset.test.pixels[:COUNT])
    restored = restored + NOISE * torch.randn(restored.shape, generator=torch.Generator().manual_seed(1))

    began = step = time.monotonic()

    def done(name: str) -> None:
        nonlocal step
        print(f"{name:<42}{time.monotonic() - step:7.1f} s", flush=True)
        step = time.monotonic()

    network = load_classifier(artifacts.reference("classifier.safetensors"))
    statistics = artifacts.reference("statistics.safetensors")
    _, header = read_tensors(statistics)
    reference = Reference(
        dataset, network, read_moments(statistics), features(network, dataset.test.pixels), header["within"], {},
        params.evaluation.confidence, params.budget.evaluate.resamples,
    )  # fmt: skip
    pixels = [to_uint8(samples, dataset.half_range)]
    feats = [features(network, pixels[0])]
    done("features of samples and real images")
    frechet_rows(reference, feats)
    done("Frechet and kernel distances")
    diversity_rows(reference, pixels, feats)
    done("precision, recall, diversity, copies")
    background_row(reference, pixels)
    done("background")
    scores = restoration_scores(network, dataset.test.subset(torch.arange(COUNT)), restored, dataset.half_range)
    restoration_rows([scores], "", reference.confidence, reference.resamples)
    done("restorations")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    print(f"{threads} threads, {reference.resamples} resamples: {time.monotonic() - began:.1f} s, peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
