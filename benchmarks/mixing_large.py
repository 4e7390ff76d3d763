"""How many Global Curveball rounds does `random_regular` need? Larger, unbalanced, dense and very large graphs.

`mixing.py` computes exact laws of tiny graphs. Here statistics are compared: cycles of length 4 and 6, the co-degrees
(common neighbours of two vertices of one side) of both sides, and the distribution of the number of 4-cycles.

    python benchmarks/mixing_large.py PART [SEED]      (one of the parts below, 2 to 5 minutes each)

    degree3, degree3_512, degree4, unbalanced, again
                                   against an exact sampler: configuration models, rejected until simple
    dense                          against 100 rounds from a circulant, as nothing can be rejected there
    large                          2^20 vertices a side, degree 32, against expectations
    circulant, networkit           the same for rounds from a circulant, by our own code and by NetworKit's
"""

import itertools
import sys
from math import comb

import numpy as np
from scipy import sparse
from scipy.stats import chi2_contingency

import expandergraphs as eg
from expandergraphs.generators.regular import _curveball_round, _trade

ROUNDS = (0, 1, 2, 4, 10)
BATCH = 250  # graphs
SEED = 0


# --- figures of many small graphs at once, as the blocks of one matrix ---


def figures(left, right, n_left, n_right, classes):
    """Figures of each graph; `right` has a row of edges for each, `left` too or one for all.

    Co-degrees are counted in classes that begin at 0 and at the numbers given.
    """
    graphs = np.arange(len(right))[:, None]
    entries = (np.broadcast_to(left, right.shape) + n_left * graphs).ravel(), (right + n_right * graphs).ravel()
    shape = len(right) * n_left, len(right) * n_right
    b = sparse.csr_array((np.ones(right.size), entries), shape=shape)

    def total(values):
        return np.asarray(values).reshape(len(right), -1).sum(axis=1)

    common, right_common = co_degrees(b), co_degrees(b.T.tocsr())
    left_degrees, right_degrees = b.sum(axis=1), b.sum(axis=0)
    result = {"4-cycles": total((common * common - common).sum(axis=1)) / 4}
    # Three left vertices, a common neighbour for each two of them: a 6-cycle, unless two or all three neighbours agree.
    triples = total(((common @ common) * common).sum(axis=1)) / 6
    all_agree = total(right_degrees * (right_degrees - 1) * (right_degrees - 2)) / 6
    two_agree = total(((b @ sparse.diags_array(right_degrees - 2) @ b.T) * (common - (common > 0))).sum(axis=1)) / 2
    result["6-cycles"] = triples - all_agree - two_agree
    if n_left != n_right:
        high = [degrees > degrees.min() for degrees in (left_degrees, right_degrees)]
        result["edges high to high"] = total(high[0] * (b @ high[1]))  # both ends of the larger degree
    for side, matrix, n in (("left", common, n_left), ("right", right_common, n_right)):
        counts = [total((matrix == c).sum(axis=1)) / 2 for c in range(1, classes[-1])]
        counts = [n * (n - 1) / 2 - total((matrix > 0).sum(axis=1)) / 2, *counts]
        counts.append(n * (n - 1) / 2 - sum(counts))
        for low, above in itertools.pairwise([0, *classes, len(counts)]):
            name = f"{low}+" if above == len(counts) else f"{low}" if above == low + 1 else f"{low}-{above - 1}"
            result[f"{side} co-degree {name}"] = sum(counts[low:above])
    return result


def co_degrees(b):
    common = (b @ b.T).tocsr()
    common.setdiag(0)
    common.eliminate_zeros()
    return common


def in_batches(draw, samples, *sizes_and_classes):
    parts = [figures(*draw(BATCH), *sizes_and_classes) for _ in range(samples // BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


# --- where the graphs come from ---


def ours(n_left, n_right, n_edges, rounds):
    rng = np.random.default_rng((SEED, n_left, n_right, n_edges, rounds))

    def draw(count):
        drawn = [
            eg.random_regular(n_left, n_right, n_edges=n_edges, rng=rng, mixing_rounds=rounds) for _ in range(count)
        ]
        edges = np.stack([graph.edges for graph in drawn])
        return edges[:, :, 0], edges[:, :, 1]

    return draw


def exact(n_left, n_right, n_edges):
    """Configuration models, kept if simple. Which vertices have one more is fixed: no figure depends on names."""
    rng = np.random.default_rng((SEED, n_left, n_right, n_edges))
    left, right = (np.sort(np.arange(n_edges) % n) for n in (n_left, n_right))
    kept = [np.empty((0, n_edges), dtype=np.int64)]

    def draw(count):
        while sum(map(len, kept)) < count:
            trial = rng.permuted(np.broadcast_to(right, (4000, n_edges)), axis=1)
            keys = np.sort(left * n_right + trial, axis=1)
            kept.append(trial[(keys[:, 1:] != keys[:, :-1]).all(axis=1)])
        found = np.concatenate(kept)
        kept[:] = [found[count:]]
        return left, found[:count]

    return draw


def long_chain(n, d, rounds):
    """Rounds from a circulant, many chains at once."""
    rng = np.random.default_rng((SEED, n, d))

    def draw(count):
        rows = np.tile(circulant(n, d), (count, 1, 1))
        for _ in range(rounds):
            order = rng.permuted(np.tile(np.arange(n), (count, 1)), axis=1)
            pairs = np.take_along_axis(rows, order[:, :, None], axis=1).reshape(-1, 2 * d)
            _trade(pairs, rng)
            rows = pairs.reshape(count, n, d)
        return np.repeat(np.arange(n), d), rows.reshape(count, -1).astype(np.int64)

    return draw


def circulant(n, d):
    return ((np.arange(n)[:, None] + np.arange(d)) % n).astype(np.uint32)


# --- comparing them ---


def compare(reference, n_left, n_right, n_edges, classes, tally, all_rounds, mine_and_true):
    sizes = n_left, n_right, classes
    true = in_batches(reference, mine_and_true[1], *sizes)
    found = [in_batches(ours(n_left, n_right, n_edges, r), mine_and_true[0], *sizes) for r in all_rounds]
    print(f"\n{n_left} x {n_right}, {n_edges} edges    mean   " + "".join(f"{f'r={r}':>7}" for r in all_rounds))
    for name, values in true.items():
        error = [np.sqrt(values.var() / values.size + mine[name].var() / mine[name].size) for mine in found]
        z = [(mine[name].mean() - values.mean()) / e for mine, e in zip(found, error, strict=True)]
        tally.append(z)
        print(f"{name:22}{values.mean():12.4f} " + "".join(f"{score:+7.1f}" for score in z))
    cuts = np.unique(np.quantile(true["4-cycles"], np.arange(0.05, 1, 0.05)))
    histograms = [np.bincount(np.searchsorted(cuts, s["4-cycles"]), minlength=len(cuts) + 1) for s in (true, *found)]
    tests = [chi2_contingency(np.stack([histograms[0], mine])) for mine in histograms[1:]]
    print(f"{'4-cycles, chi-square p':22}{f'{tests[0].dof} d.f.':>12} " + "".join(f"{t.pvalue:7.3f}" for t in tests))
    sys.stdout.flush()


def compare_all(cases, all_rounds=ROUNDS, mine_and_true=(20_000, 50_000)):
    tally = []
    for reference, *case in cases:
        compare(reference, *case, tally, all_rounds, mine_and_true)
    size = np.abs(tally)
    many = len(size)
    print(f"\nOf {many} z-scores each (if all were well: {many * 0.0455:.1f} above 2, {many * 0.0027:.2f} above 3)")
    for rounds, column in zip(all_rounds, size.T, strict=True):
        print(f"r={rounds:<3} above 2: {(column > 2).sum()}, above 3: {(column > 3).sum()}, largest {column.max():.1f}")


# --- very large graphs: 4-cycles, and pairs that remember a circulant ---

N, D = 1 << 20, 32
# Expected values. 4-cycles: the Poisson limit with its correction of first order, see the record.
CYCLES = (D - 1) ** 4 / 4 * (1 + 2 * (1 - 1 / D) / N)
TRIPLES = (D - 1) ** 5 * (D - 2) ** 2 / (12 * N * D)  # pairs of left vertices with three common neighbours
NEAR = D * (D - 1) ** 2 * N / (N - 1)  # exact, as all pairs of right vertices are alike
CHAIN = (8, 10, 12, 14, 16, 20, 24, 28)


def heading():
    print(f"{'':30}{'4-cycles':>12}{'z':>9}{'co-degree>2':>13}{'near pairs':>13}{'z':>10}")
    print(f"{'expected':30}{CYCLES:12.0f}{'':9}{TRIPLES:13.1f}{NEAR:13.0f}", flush=True)


def report(label, rows):
    """Print 4-cycles, left pairs with more than two common neighbours, and near pairs; one row a left vertex.

    A near pair is two right vertices less than D apart (cyclically), counted once for each common neighbour.
    """
    rows = np.sort(rows, axis=1).astype(np.int32)
    b = sparse.csr_array((np.ones(N * D, dtype=np.int8), rows.ravel(), np.arange(0, N * D + 1, D)), shape=(N, N))
    neighbours = b.tocsc().indices.reshape(N, D)  # of the right vertices
    repeats = np.zeros(D + 1, dtype=np.int64)  # at k: max(co-degree - k, 0) summed over ordered pairs of left vertices
    for i in range(0, N, 4096):
        second = neighbours[rows[i : i + 4096]]
        second = second[second != np.arange(i, i + 4096)[:, None, None]].reshape(4096, -1)
        second.sort(axis=1)
        for k in range(1, D):
            equal = np.count_nonzero(second[:, k:] == second[:, :-k])
            if not equal:
                break
            repeats[k] += equal
    cycles, triples = repeats.sum() // 2, (repeats[2] - repeats[3]) // 2
    gaps = (rows[:, k:] - rows[:, :-k] for k in range(1, D))
    near = sum(np.count_nonzero((gap < D) | (gap > N - D)) for gap in gaps)
    z = (cycles - CYCLES) / np.sqrt(CYCLES), (near - NEAR) / np.sqrt(NEAR)
    print(f"{label:30}{cycles:12}{z[0]:+9.1f}{triples:13}{near:13}{z[1]:+10.1f}", flush=True)


def large():
    heading()
    for rounds, seed in itertools.product((0, 2, 10), range(4)):
        graph = eg.random_regular(N, N, D, rng=seed, mixing_rounds=rounds)
        report(f"random_regular, r={rounds}, seed {seed}", graph.indices.reshape(N, D))


def from_circulant():
    """Rounds from a circulant; first what survives of it if edges part independently."""
    heading()
    together = (D - 1) / (2 * D - 1)  # two neighbours of a row are together after a trade
    for rounds in CHAIN:
        cycles, near = N * comb(D, 3) * together ** (2 * rounds), N * comb(D, 2) * together**rounds
        z = cycles / np.sqrt(CYCLES), near / np.sqrt(NEAR)
        print(
            f"{f'predicted, r={rounds}':30}{CYCLES + cycles:12.0f}{z[0]:+9.1f}{'':13}{NEAR + near:13.0f}{z[1]:+10.1f}"
        )
    for seed in range(2):
        rng, rows, spare = np.random.default_rng(seed), circulant(N, D), np.empty((N, D), dtype=np.uint32)
        for done in range(1, max(CHAIN) + 1):
            _curveball_round(rows, spare, rng)
            rows, spare = spare, rows
            if done in CHAIN:
                report(f"circulant, r={done}, seed {seed}", rows)


def networkit_from_circulant():
    import networkit

    heading()
    ends = np.repeat(np.arange(N), D), circulant(N, D).ravel().astype(np.int64)
    start = networkit.GraphFromCoo(ends, n=N, directed=True)
    for rounds, seed in ((10, 0), (10, 1), (10, 2), (14, 0), (20, 0), (20, 1)):
        networkit.setSeed(seed, False)
        chain = networkit.randomization.GlobalCurveball(
            start, rounds, allowSelfLoops=True, degreePreservingShufflePreprocessing=False
        )
        graph = chain.run().getGraph()
        ends = itertools.chain.from_iterable(map(graph.iterNeighbors, range(N)))
        report(f"NetworKit, r={rounds}, seed {seed}", np.fromiter(ends, np.int64, N * D).reshape(N, D))


FEW = (1, 2, 3)  # classes of co-degrees: 0, 1, 2, 3+


def against_exact(*requests, **options):
    compare_all([(exact(*request), *request, FEW) for request in requests], **options)


PARTS = {
    "degree3": lambda: against_exact(*((n, n, 3 * n) for n in (64, 128, 256))),
    "degree3_512": lambda: against_exact((512, 512, 1536)),
    "degree4": lambda: against_exact(*((n, n, 4 * n) for n in (64, 128))),
    "unbalanced": lambda: against_exact((48, 64, 150), (48, 64, 180), (96, 200, 500)),
    "again": lambda: against_exact((48, 64, 180), (96, 200, 500), all_rounds=(10,), mine_and_true=(100_000, 100_000)),
    "dense": lambda: compare_all(
        [
            (long_chain(32, 10, 100), 32, 32, 320, range(1, 8)),
            (long_chain(32, 16, 100), 32, 32, 512, range(4, 13)),
        ]
    ),
    "large": large,
    "circulant": from_circulant,
    "networkit": networkit_from_circulant,
}

if __name__ == "__main__":
    part, *seed = sys.argv[1:] or [""]
    if part not in PARTS:
        sys.exit(f"name one part: {', '.join(PARTS)}")
    SEED = int(*seed)
    PARTS[part]()
