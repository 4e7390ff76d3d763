"""Cost of pruning: SNIP on ResNet-50 beyond one forward and backward pass, SynFlow's 100 rounds on VGG16, and memory.

    python benchmarks/pruning_cost.py [--threads 2]

Memory is the growth of the process's largest resident size over what one forward and backward pass had needed already,
in copies of the weights; every case runs in a process of its own.
"""

import argparse
import multiprocessing
import platform
import resource
import time

import torch
from torch import nn

import expandergraphs_torch as egt
from tests.torch.torchvision_shim import torchvision


def vgg16():
    """VGG16 with batch norm for 32 x 32 pixels, 15 million weights."""
    model = torchvision.models.vgg16_bn(num_classes=10)
    model.avgpool = nn.Identity()
    model.classifier = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return model


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(make, criterion, size, batch, threads, answer):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, x, y = make(), torch.randn(batch, 3, size, size), torch.arange(batch) % 10

    def pass_once():
        begin = time.perf_counter()
        torch.autograd.grad(nn.functional.cross_entropy(model(x), y), list(model.parameters()))
        return time.perf_counter() - begin

    bare = min(pass_once() for _ in range(3))
    before = peak()
    begin = time.perf_counter()
    egt.prune(model, criterion, density=0.05, data=[(x, y)], rng=0)
    seconds = time.perf_counter() - begin
    weights = sum(layer.weight.numel() * 4 for layer in egt.masked_modules(model).values())
    answer.put((bare, seconds, (peak() - before) / weights, egt.summary(model).n_edges, weights // 4))


CASES = [
    ("ResNet-50, 64 x 64 pixels", torchvision.models.resnet50, 64, 8, ["random", "magnitude", "snip", "grasp"]),
    ("VGG16, 32 x 32 pixels", vgg16, 32, 8, ["snip", "grasp", "synflow"]),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    print(f"{platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}, {threads} threads\n")
    print("| model | criterion | one pass, s | pruning, s | beyond, s | memory, copies of the weights | kept |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    context = multiprocessing.get_context("spawn")
    for name, make, size, batch, criteria in CASES:
        for criterion in criteria:
            answer = context.Queue()
            process = context.Process(target=measure, args=(make, criterion, size, batch, threads, answer))
            process.start()
            bare, seconds, copies, kept, n = answer.get()
            process.join()
            print(
                f"| {name} | {criterion} | {bare:.2f} | {seconds:.2f} | {seconds - bare:.2f} | {copies:.1f} | "
                f"{kept:,} of {n:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
