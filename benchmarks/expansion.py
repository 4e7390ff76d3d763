"""What is known of the vertex expansion of random regular graphs: intervals, and the sampled mean beside them.

    python benchmarks/expansion.py

Left side, one graph (seed 0) for each row. "Tanner": the lower end that theorem alone gives, with sigma_2 computed. The
search draws with seed 0. Seconds are those of `vertex_expansion`, and mean little on another machine.
"""

import platform
import time

import numpy as np
import scipy

import expandergraphs as eg

CASES = [(36, 3), (36, 8), (52, 3), (44, 8), (60, 3), (60, 8), (60, 16), (64, 30), (256, 3), (512, 15), (2048, 16)]


def tanner(n, degree, sigma2):
    half = n // 2
    return degree**2 / (sigma2**2 + (degree**2 - sigma2**2) * half / n)


def main():
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}\n")
    print("| n a side | degree | Tanner | lower | upper | sampled mean | certificate | s |")
    print("|---:|---:|---:|---:|---:|---:|---|---:|")
    for n, degree in CASES:
        g = eg.random_regular(n, n, degree, rng=0)
        start = time.perf_counter()
        alpha = eg.vertex_expansion(g, side="left", rng=0)
        seconds = time.perf_counter() - start
        sampled = eg.sampled_expansion(g, rng=0).mean
        theorem = tanner(n, degree, eg.spectral_gap(g).sigma2)
        known = "equal" if alpha.exact else "interval"
        print(
            f"| {n} | {degree} | {theorem:.4f} | {alpha.lower:.4f} | {alpha.upper:.4f} | {sampled:.2f} "
            f"| {known}, {alpha.certificate} | {seconds:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
