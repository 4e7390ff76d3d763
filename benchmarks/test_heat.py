r"""Speed of heat signatures, against SciPy's expm_multiply and against the products they need.

    OPENBLAS_NUM_THREADS=1 python -m pytest benchmarks/test_heat.py --benchmark-only \
        --benchmark-columns=min,median --benchmark-group-by=param:case

Channel graphs of VGG19 and ResNet-50 (CIFAR-10, 5 % of the channel pairs of each layer at random, ResNet-50's skips as
blocks; the node set behind an addition is shared), at 41 times in [0, 2], as they are and divided by the mean degree;
200,000 nodes with 7.8 million edges; 2,000 nodes at times up to 10,000. Each row's extra_info holds products, stored
entries, t * lambda_max (its bound), and what those products alone take. `expm_multiply` is left out where it would run
for minutes.
"""

import time
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse.linalg import expm_multiply

import expandergraphs as eg
from expandergraphs.heat.diffusion import Diffusion
from expandergraphs.heat.signature import heat_signature
from expandergraphs.operators import laplacian

VGG19 = [3, *[64] * 2, *[128] * 2, *[256] * 4, *[512] * 8, 512, 512, 10]
TIMES = np.linspace(0, 2, 41)


def vgg19():
    pairs = enumerate(pairwise(VGG19))
    return eg.LayeredGraph.from_layers([eg.random_bipartite(a, b, density=0.05, rng=k) for k, (a, b) in pairs])


def resnet50():
    """Bottlenecks end in the node set they are added to; identity skips are edges from channel to channel."""
    widths, blocks = [3, 64], {(0, 1): None}
    for width, repeats in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for _ in range(repeats):
            first = len(widths) - 1
            widths += [width, width, 4 * width]
            blocks |= dict.fromkeys(pairwise(range(first, first + 4)))
            blocks[first, first + 3] = "identity" if widths[first] == 4 * width else None
    widths.append(10)
    blocks[len(widths) - 2, len(widths) - 1] = None
    for k, ((s, t), kind) in enumerate(blocks.items()):
        a, b = widths[s], widths[t]
        ends = np.arange(a)
        identity = kind == "identity"
        blocks[s, t] = (
            eg.BipartiteGraph.from_edges(a, b, np.stack([ends, ends], axis=1))
            if identity
            else eg.random_bipartite(a, b, density=0.05, rng=k)
        )
    return eg.LayeredGraph(widths, blocks)


def chain(widths, n_edges):
    shares = zip(pairwise(widths), n_edges, strict=True)
    return eg.LayeredGraph.from_layers([eg.random_bipartite(*pair, n_edges=m, rng=m) for pair, m in shares])


def scaled(net):
    return TIMES * net.n_nodes / (2 * net.n_edges)


CASES = {
    "vgg19": lambda: (vgg19(), TIMES),
    "vgg19, t / mean degree": lambda: (net := vgg19(), scaled(net)),
    "resnet50": lambda: (resnet50(), TIMES),
    "resnet50, t / mean degree": lambda: (net := resnet50(), scaled(net)),
    "200,000 nodes": lambda: (chain([50_000] * 4, [2_600_000] * 3), np.array([1.0])),
    "2,000 nodes, t to 1e4": lambda: (chain([500] * 4, [7_000] * 3), np.geomspace(1, 1e4, 41)),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return CASES[request.param]()


def bare_products(net, products):
    """Return the time of so many products with the weights, single-threaded and unthreaded as SciPy does them."""
    matrix, x = net.adjacency, np.ones(net.n_nodes)
    operator, start = Diffusion(net, "combinatorial"), np.ones((net.n_nodes, 1))
    seconds = []
    for product in (lambda: matrix @ x, lambda: operator.apply(start)):
        each = []
        for _ in range(20):
            begin = time.perf_counter()
            product()
            each.append(time.perf_counter() - begin)
        seconds.append(min(each) * products)
    return seconds


def test_heat_signature(benchmark, case):
    net, times = case
    found = benchmark.pedantic(lambda: heat_signature(net, times), rounds=3, warmup_rounds=1)
    scipy_products, products = bare_products(net, found.products)
    benchmark.extra_info.update(
        signature=repr(found),
        n_stored=2 * net.n_edges,
        t_lambda=float(times.max() * found.lambda_bound),
        products_alone=products,
        products_alone_by_scipy=scipy_products,
    )
    print(f"\n{found}\n{benchmark.extra_info}")


def test_expm_multiply(benchmark, case):
    net, times = case
    if times.max() > 100 or net.n_nodes > 100_000:
        pytest.skip("minutes")
    matrix, heat = -laplacian(net), np.zeros(net.n_nodes)
    heat[net.input_nodes] = 1
    expected = benchmark.pedantic(
        lambda: expm_multiply(matrix, heat, start=0, stop=times[-1], num=times.size), rounds=1
    )
    benchmark.extra_info.update(difference=float(abs(expected - heat_signature(net, times).values).max()))
    print(f"\n{benchmark.extra_info}")
