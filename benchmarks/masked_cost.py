"""What masks cost: a training step of masked-dense layers beside the dense one, and the making of a sparse model.

    python -m benchmarks.masked_cost                       steps of a CIFAR ResNet-18, then the making of two models
    python -m benchmarks.masked_cost --device cuda         the same with ResNet-50, batch 128, 224 x 224

Graphs are of the family "random" at density 0.1. Steps are forward, backward and SGD with momentum; the variants take
turns, so that what else runs on the machine meets all of them. The ratio is that of the minima, and beside it the
median of the ratios within a turn. Seconds mean little on another machine.
"""

import argparse
import cProfile
import platform
import pstats
import time
from statistics import median

import numpy as np
import torch
from torch import nn

import expandergraphs_torch as egt
from tests.torch.torchvision_shim import torchvision

VARIANTS = {
    "dense": (None, torch.contiguous_format),
    "masked": ("channel", torch.contiguous_format),
    "masked, single weights": ("weight", torch.contiguous_format),
    "dense, channels last": (None, torch.channels_last),
    "masked, channels last": ("channel", torch.channels_last),
    "masked, single weights, channels last": ("weight", torch.channels_last),
}
MADE = {"ResNet-50": ("resnet50", 2.0), "VGG19": ("vgg19", 4.0)}  # and the seconds this may take


def resnet18_for_cifar():
    model = torchvision.models.resnet18(num_classes=10)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return model


def stepper(model, images, labels):
    """Return a function that takes a training step, waits for it, and returns its seconds."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def wait():
        if images.is_cuda:
            torch.cuda.synchronize()

    def step():
        wait()
        start = time.perf_counter()
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        wait()
        return time.perf_counter() - start

    return step


def measure_steps(make, batch, image, device, rounds):
    steps = {}
    for name, (pattern, memory_format) in VARIANTS.items():
        torch.manual_seed(0)
        model = make()
        if pattern is not None:
            egt.sparsify(model, "random", density=0.1, pattern=pattern, rng=0)
        model.to(device, memory_format=memory_format)
        images = torch.randn(batch, 3, image, image, device=device).to(memory_format=memory_format)
        steps[name] = stepper(model, images, torch.arange(batch, device=device) % 10)
    for step in steps.values():  # the first steps choose kernels and allocate
        step(), step()
    times = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(step())
    print("| variant | minimum, ms | median, ms | over dense, minima | over dense, median of ratios |")
    print("|---|---:|---:|---:|---:|")
    for name, seconds in times.items():
        base = times["dense, channels last" if "channels last" in name else "dense"]
        over = min(seconds) / min(base), median(a / b for a, b in zip(seconds, base, strict=True))
        cells = [
            f"{1000 * min(seconds):.1f}",
            f"{1000 * median(seconds):.1f}",
            *(f"{100 * x - 100:+.1f} %" for x in over),
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def measure_making(repeats):
    print("| model | family | sparsify, s | allowed | summary, s |\n|---|---|---:|---:|---:|")
    slow = []
    for title, (name, allowed) in MADE.items():
        for family in ("random", "left_regular", "regular"):
            making, telling = [], []
            for _ in range(repeats):
                model = getattr(torchvision.models, name)()
                start = time.perf_counter()
                egt.sparsify(model, family, density=0.1, rng=0)
                making.append(time.perf_counter() - start)
                start = time.perf_counter()
                egt.summary(model)
                telling.append(time.perf_counter() - start)
            print(f"| {title} | {family} | {min(making):.2f} | {allowed} | {min(telling):.2f} |", flush=True)
            if min(making) > allowed:
                slow.append((title, name, family))
    for title, name, family in slow:
        print(f"\nWhere the time goes, {title}, {family}:")
        model, profile = getattr(torchvision.models, name)(), cProfile.Profile()
        profile.runcall(egt.sparsify, model, family, density=0.1, rng=0)
        pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(12)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", choices=["resnet18", "resnet50"], help="default: resnet18 on a CPU, else resnet50")
    parser.add_argument("--batch", type=int, help="default: 64 for resnet18, 128 for resnet50")
    parser.add_argument("--image", type=int, help="default: 32 for resnet18, 224 for resnet50")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--part", choices=["steps", "making", "both"], default="both")
    options = parser.parse_args()
    on_gpu = torch.device(options.device).type == "cuda"
    name = options.model or ("resnet50" if on_gpu else "resnet18")
    make, batch, image = {
        "resnet18": (resnet18_for_cifar, 64, 32),
        "resnet50": (torchvision.models.resnet50, 128, 224),
    }[name]
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, torch {torch.__version__}", end=", ")
    print(torch.cuda.get_device_name(options.device) if on_gpu else f"{torch.get_num_threads()} threads")
    if options.part != "making":
        batch, image = options.batch or batch, options.image or image
        print(f"\nA training step: {name}, batch {batch}, {image} x {image}, {options.rounds} rounds\n")
        measure_steps(make, batch, image, options.device, options.rounds)
    if options.part != "steps":
        print("\nThe making of a sparse model, on the CPU, the fastest of three\n")
        measure_making(3)


if __name__ == "__main__":
    main()
