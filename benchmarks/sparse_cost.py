"""A training step of a linear layer: dense, masked, `SparseLinear`, and PyTorch's own CSR products (MKL).

    python -m benchmarks.sparse_cost [--threads 2] [--sizes 2048] [--batch 128]

Forward, and backward to weights and input, fp32; the variants take turns. Ratios are those of the minima.
"""

import argparse
import platform
import time
import warnings

import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt


def csr_step(layer, x, along):
    """One product forward and one with the transpose; the gradient of the values by sampled_addmm."""
    weight = layer.weight.detach()
    forward, transposed = weight.to_sparse_csr(), weight.T.to_sparse_csr()

    def step():
        forward @ x.T
        transposed @ along.T
        torch.sparse.sampled_addmm(forward, along.T, x, beta=0.0)

    return step


def step_of(layer, x, along):
    parameters = list(layer.parameters())
    return lambda: torch.autograd.grad(layer(x), (*parameters, x), along)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--batch", type=int, nargs="+", default=[128])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Sparse CSR")
    print(f"{platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}\n")
    print("| threads | size | batch | zeros | dense, ms | MaskedLinear | SparseLinear | MKL CSR |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for threads in options.threads:
        torch.set_num_threads(threads)
        for n in options.sizes:
            for batch in options.batch:
                for zeros in (0.8, 0.9, 0.95, 0.99):
                    torch.manual_seed(0)
                    g = eg.random_bipartite(n, n, density=1 - zeros, rng=0)
                    x, along = torch.randn(batch, n, requires_grad=True), torch.randn(batch, n)
                    steps = [step_of(nn.Linear(n, n, bias=False), x, along)]
                    steps += [step_of(kind(g, bias=False), x, along) for kind in (egt.MaskedLinear, egt.SparseLinear)]
                    steps.append(csr_step(egt.MaskedLinear(g, bias=False), x.detach(), along))
                    best = [float("inf")] * len(steps)
                    for _ in range(options.rounds):
                        for k, step in enumerate(steps):
                            start = time.perf_counter()
                            step()
                            best[k] = min(best[k], time.perf_counter() - start)
                    ratios = " | ".join(f"{best[0] / seconds:.2f}x" for seconds in best[1:])
                    print(f"| {threads} | {n} | {batch} | {zeros:.0%} | {1e3 * best[0]:.2f} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
