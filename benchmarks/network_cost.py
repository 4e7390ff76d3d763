"""Seconds to read a model as a graph, and to put N2NSkip connections into it, the fastest of three.

python -m benchmarks.network_cost
"""

import platform
import time

import torch

import expandergraphs_torch as egt
from tests.torch.torchvision_shim import torchvision

MODELS = {"resnet50": 224, "vgg16_bn": 64, "densenet121": 64, "efficientnet_b0": 64}  # and the side of an image


def main():
    print(f"{platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}\n")
    print("| model | image | edges | network_graph, s | add_n2nskip, s |")
    print("|---|---:|---:|---:|---:|")
    for name, size in MODELS.items():
        reading, adding = [], []
        for _ in range(3):
            model, x = getattr(torchvision.models, name)(), torch.ones(1, 3, size, size)
            start = time.perf_counter()
            net = egt.network_graph(model, x)
            reading.append(time.perf_counter() - start)
            start = time.perf_counter()
            egt.add_n2nskip(model, density=0.1, example_input=x, rng=0)
            adding.append(time.perf_counter() - start)
        print(f"| {name} | {size} | {net.n_edges:,} | {min(reading):.2f} | {min(adding):.2f} |", flush=True)


if __name__ == "__main__":
    main()
