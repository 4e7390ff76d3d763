"""How many Global Curveball rounds does `random_regular` need? Exact for tiny graphs, by statistics for larger ones.

Part 1 computes the law of the graph after r rounds exactly: the configuration model is enumerated, the rounds are
applied as a Markov chain until the rows are simple and then r times more, and the total variation distance to the
uniform law is printed. Rows are exchangeable throughout, so states are taken up to their order.

Part 2 compares the number of 4-cycles with an exact sampler (the configuration model, rejected until it is simple), as
a z-score of the difference of means.

    python benchmarks/mixing.py
"""

import itertools
from collections import Counter, defaultdict
from fractions import Fraction
from math import comb

import numpy as np

import expandergraphs as eg

ROUNDS = (0, 1, 2, 3, 4, 6, 8, 10, 15, 20)


# --- part 1: exact laws ---


def start(n_rows, length, column_degrees):
    """Law of the configuration model, rows as sorted tuples, up to the order of rows."""
    law = defaultdict(Fraction)

    def fill(rows, left, weight):
        if len(rows) == n_rows:
            law[tuple(sorted(rows))] += weight
            return
        total = sum(left)
        for row in itertools.combinations_with_replacement(range(len(left)), length):
            taken = Counter(row)
            if all(left[c] >= k for c, k in taken.items()):
                ways = 1
                for c, k in taken.items():
                    ways *= comb(left[c], k)
                rest = tuple(m - taken.get(c, 0) for c, m in enumerate(left))
                fill((*rows, row), rest, weight * Fraction(ways, comb(total, length)))

    fill((), tuple(column_degrees), Fraction(1))
    return {state: float(weight) for state, weight in law.items()}


def traded(a, b):
    """Law of a pair of rows after a trade."""
    together = Counter(a) + Counter(b)
    both = tuple(c for c, k in together.items() for _ in range(k // 2))
    single = [c for c, k in together.items() if k % 2]
    half = len(single) // 2
    outcomes = Counter()
    for mine in itertools.combinations(single, half):
        yours = [c for c in single if c not in mine]
        outcomes[tuple(sorted((tuple(sorted(both + mine)), tuple(sorted((*both, *yours))))))] += 1 / comb(
            len(single), half
        )
    return outcomes


def pairings(rows):
    if len(rows) % 2:
        for k in range(len(rows)):
            for pairs in pairings(rows[:k] + rows[k + 1 :]):
                yield [*pairs, (rows[k],)]
    elif not rows:
        yield []
    else:
        for k in range(1, len(rows)):
            for pairs in pairings(rows[1:k] + rows[k + 1 :]):
                yield [(rows[0], rows[k]), *pairs]


def transitions(state):
    result, ways = defaultdict(float), 0
    for pairs in pairings(list(state)):
        ways += 1
        laws = [traded(*pair) if len(pair) == 2 else Counter({(pair[0],): 1.0}) for pair in pairs]
        for choice in itertools.product(*(law.items() for law in laws)):
            weight = np.prod([w for _, w in choice])
            result[tuple(sorted(row for rows, _ in choice for row in rows))] += weight
    return {state: weight / ways for state, weight in result.items()}


def distances(n_rows, n_columns, n_edges):
    length, (degree, remainder) = -(-n_edges // n_rows), divmod(n_edges, n_columns)
    simple = lambda state: all(len(set(row)) == len(row) for row in state)  # noqa: E731
    law = defaultdict(float)
    # Which columns have one more is random; by symmetry the distance is the same for each choice.
    degrees = [degree + (c < remainder) for c in range(n_columns)] + [n_rows * length - n_edges]
    cache = {}

    def step(law):
        result = defaultdict(float)
        for state, weight in law.items():
            if state not in cache:
                cache[state] = transitions(state)
            for after, probability in cache[state].items():
                result[after] += weight * probability
        return result

    waiting = start(n_rows, length, degrees)
    while sum(waiting.values()) > 1e-15:
        for state in [state for state in waiting if simple(state)]:
            law[state] += waiting.pop(state)
        waiting = step(waiting)
    orders = {state: _orders(state) for state in law}
    total = sum(orders.values())
    found = {}
    for rounds in range(max(ROUNDS) + 1):
        if rounds in ROUNDS:
            found[rounds] = sum(abs(law[state] - orders[state] / total) for state in orders) / 2
        law = step(law)
    return int(total), found


def _orders(state):
    """Number of labelled graphs that a set of rows stands for."""
    result, rest = 1, len(state)
    for k in Counter(state).values():
        result *= comb(rest, k)
        rest -= k
    return result


# --- part 2: 4-cycles ---


def four_cycles(matrices):
    common = matrices @ matrices.transpose(0, 2, 1)
    n = common.shape[1]
    upper = common[:, *np.triu_indices(n, 1)]
    return (upper * (upper - 1) / 2).sum(axis=1)


def exact_sample(n, d, samples, rng):
    """4-cycles of exactly uniform graphs: configuration models, kept where they are simple."""
    found = []
    while sum(map(len, found)) < samples:
        columns = rng.permuted(np.tile(np.repeat(np.arange(n), d), (4000, 1)), axis=1).reshape(4000, n, d)
        ordered = np.sort(columns, axis=2)
        simple = ~(ordered[:, :, 1:] == ordered[:, :, :-1]).any(axis=(1, 2))
        matrices = np.zeros((simple.sum(), n, n), dtype=np.float32)
        np.put_along_axis(matrices, ordered[simple], 1, axis=2)
        found.append(four_cycles(matrices))
    return np.concatenate(found)[:samples]


def our_sample(n, d, samples, rounds, rng):
    draws = (eg.random_regular(n, n, d, rng=rng, mixing_rounds=rounds).biadjacency.toarray() for _ in range(samples))
    return four_cycles(np.stack([*draws]).astype(np.float32))


if __name__ == "__main__":
    print("Total variation distance to uniform, exact")
    print("sizes, edges    graphs   " + "".join(f"r={r:<9}" for r in ROUNDS))
    for request in [(3, 3, 6), (4, 4, 8), (3, 5, 7), (4, 6, 10), (5, 5, 10), (4, 8, 12)]:
        graphs, found = distances(*request)
        print(f"{request!s:16}{graphs:<9}" + "".join(f"{found[r]:<11.2e}" for r in ROUNDS), flush=True)
    print("\n4-cycles against an exact sampler: mean (z-score of the difference), 20,000 graphs each")
    for n, d in [(16, 3), (32, 3), (16, 4)]:
        rng = np.random.default_rng(0)
        exact = exact_sample(n, d, 200_000, rng)
        line = f"n={n}, d={d}: exact {exact.mean():.4f};"
        for rounds in (0, 1, 2, 4, 8):
            ours = our_sample(n, d, 20_000, rounds, rng)
            z = (ours.mean() - exact.mean()) / np.sqrt(exact.var() / exact.size + ours.var() / ours.size)
            line += f"  r={rounds} {ours.mean():.4f} ({z:+.1f})"
        print(line, flush=True)
