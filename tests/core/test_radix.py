import itertools
import math
import re
import time
import tracemalloc
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs import GenerationError
from expandergraphs.generators import _radix_search
from expandergraphs.generators._radix_search import cropped_edges, find_system
from tests.core.test_graph_challenge import DIGESTS


def twin(systems, multipliers):
    """Definition of Robinett and Kepner, in dense Kronecker products."""
    modulus, layers, i = math.prod(systems[0]), [], 0
    shift = np.roll(np.eye(modulus, dtype=int), -1, axis=1)  # row i has its one in column i - 1
    for system in systems:
        place = 1
        for radix in system:
            w = sum(np.linalg.matrix_power(shift, j * place) for j in range(radix))
            layers.append(np.kron(np.ones((multipliers[i], multipliers[i + 1]), dtype=int), w))
            place, i = place * radix, i + 1
    return layers


def steps_of(system):
    """Each radix of a system with its place value."""
    return zip(system, itertools.accumulate([1, *system[:-1]], int.__mul__), strict=True)


@st.composite
def radix_requests(draw):
    first = draw(st.lists(st.integers(2, 3), min_size=1, max_size=3))
    systems = [first]
    if draw(st.booleans()):
        systems.append(draw(st.permutations(first)))
    if draw(st.booleans()):
        systems.append(first[: draw(st.integers(1, len(first)))])
    n = sum(map(len, systems))
    return systems, draw(st.lists(st.integers(1, 3), min_size=n + 1, max_size=n + 1))


@given(radix_requests())
def test_agrees_with_the_definition(request):
    systems, multipliers = request
    net = eg.radix_net(systems, multipliers)
    for layer, expected in zip(net.layers, twin(systems, multipliers), strict=True):
        np.testing.assert_array_equal(layer.biadjacency.toarray(), expected)
    paths = math.prod(math.prod(system) for system in systems[1:]) * math.prod(multipliers[1:-1])
    assert (eg.path_counts(net) == paths).all()
    assert eg.is_path_symmetric(net)


@pytest.mark.parametrize(
    ("systems", "multipliers", "paths"),
    [
        ([[10, 10]], [8, 30, 1], 30),
        ([[2, 2, 2], [2, 2]], [1, 2, 3, 2, 1, 1], 48),
        ([[3, 3, 4], [6, 2]], [1] * 6, 12),
        ([[2, 3], [3]], [2, 1, 2, 3], 6),
    ],
)
def test_published_path_counts(systems, multipliers, paths):
    assert (eg.path_counts(eg.radix_net(systems, multipliers)) == paths).all()


def test_the_graph_challenge_s_network():
    net = eg.radix_net([[2] * 6], [16] * 7)
    assert net.widths == (1024,) * 7
    assert [layer.digest for layer in net.layers] == DIGESTS[:6]
    assert eg.path_counts(net, inputs=[0, 99], outputs=[5]).tolist() == [[16**5], [16**5]]


def test_alford_s_lenet():
    whole = eg.radix_net([[10, 10]], [8, 30, 1])
    assert whole.widths == (800, 3000, 100)
    wide = eg.radix_net_for([784, 3000, 100], [[10, 10]])
    assert wide.net.n_edges == 265_200 == 784 * 300 + 300 * 100
    same = eg.radix_net_for([784, 300, 100], [[10, 10]])
    assert [layer.n_edges for layer in same.net.layers] == [23_520, 3_000]
    assert (same.cropped, same.path_symmetric) == ((16, 0, 0), True)


@given(radix_requests(), st.data())
def test_cropping(request, data):
    systems, multipliers = request
    modulus = math.prod(systems[0])
    sizes = [data.draw(st.integers(1, b * modulus)) for b in multipliers]
    result = eg.radix_net_for(sizes, systems)
    whole = twin(systems, [-(-n // modulus) for n in sizes])
    for k, (layer, expected) in enumerate(zip(result.net.layers, whole, strict=True)):
        np.testing.assert_array_equal(layer.biadjacency.toarray(), expected[: sizes[k], : sizes[k + 1]])
    steps = zip(itertools.chain(*map(steps_of, systems)), pairwise(sizes), strict=True)
    assert [layer.n_edges for layer in result.net.layers] == [cropped_edges(modulus, *step, *ab) for step, ab in steps]
    paths = reduce(np.matmul, [layer.biadjacency.toarray() for layer in result.net.layers])
    assert result.path_symmetric == (paths.min() == paths.max() > 0)


def test_cutting_a_hidden_layer_costs_the_symmetry_and_is_said():
    result = eg.radix_net_for([8, 7, 8, 8], [[2, 2, 2]])
    assert result.cropped == (0, 1, 0, 0)
    assert not result.path_symmetric
    between_systems = eg.radix_net_for([4, 4, 3, 4, 4], [[2, 2], [2, 2]])
    assert between_systems.path_symmetric
    before_a_partial_system = eg.radix_net_for([4, 4, 3, 4], [[2, 2], [2]])
    assert not before_a_partial_system.path_symmetric


def test_a_small_cut_of_a_huge_net_costs_little():
    tracemalloc.start()
    assert eg.radix_net_for([3, 3], [[100_000_000]]).net.n_edges == 9
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_search_finds_exact_counts_and_names_the_nearest():
    assert eg.radix_net_with([784, 300, 100], 26_520).systems == ((10, 10),)
    lenet = eg.radix_net_with([784, 300, 100, 10], 26_620)
    assert [layer.density for layer in lenet.net.layers] == [0.1, 0.1, 0.1]
    with pytest.raises(GenerationError, match=r"nearest feasible n_edges: 26520 and \d+ \(density 0.1 and") as caught:
        eg.radix_net_with([784, 300, 100], 26_521)
    above = int(re.search(r"26520 and (\d+)", str(caught.value))[1])
    assert eg.radix_net_with([784, 300, 100], above).net.n_edges == above > 26_521
    assert eg.radix_net_with([1, 1], 1).net.n_edges == 1
    assert eg.radix_net_with([5, 5], 25).net.n_edges == 25
    with pytest.raises(GenerationError, match=r"nearest feasible n_edges: 25 \(density 1\)$"):
        eg.radix_net_with([5, 5], 26)


def candidates(n_layers, largest):
    """Every system of at most `n_layers` radices and product up to `largest`."""
    if n_layers:
        for radix in range(2, largest + 1):
            yield (radix,)
            yield from ((radix, *rest) for rest in candidates(n_layers - 1, largest // radix))


def shift_by_shift(modulus, radix, place, n_left, n_right):
    """Edges of a cropped layer: of every residue of the left side, those to every shift's residues on the right."""
    left, right = (np.bincount(np.arange(n) % modulus, minlength=modulus) for n in (n_left, n_right))
    return sum(int(left @ np.roll(right, place * j)) for j in range(radix))


def slow_search(sizes):
    """Every system, tried out: from the count of edges to the best (difference of densities, modulus, system)."""
    found, largest = {}, max(2, *sizes)
    for system in candidates(len(sizes) - 1, largest):
        modulus, steps = math.prod(system), itertools.cycle(steps_of(system))
        layers = [
            (shift_by_shift(modulus, *step, a, b), a * b) for (a, b), step in zip(pairwise(sizes), steps, strict=False)
        ]
        densities = [count / area for count, area in layers]
        key, n_edges = (max(densities) - min(densities), modulus, system), sum(count for count, _ in layers)
        found[n_edges] = min(key, found.get(n_edges, key))
    return found


@given(st.lists(st.integers(1, 20), min_size=2, max_size=7), st.data())
def test_search_finds_what_trying_every_system_finds(sizes, data):
    found = slow_search(sizes)
    n_edges = data.draw(st.sampled_from(sorted(found)))
    system, nearest = find_system(sizes, n_edges)
    assert (system, nearest) == (found[n_edges][2], [])
    built = eg.radix_net_with(sizes, n_edges)
    assert (built.net.n_edges, built.systems[0]) == (n_edges, system)
    n_edges = data.draw(st.integers(0, max(found) + 1).filter(lambda n: n not in found))
    below, above = [n for n in found if n < n_edges], [n for n in found if n > n_edges]
    assert find_system(sizes, n_edges) == (None, [*sorted(below)[-1:], *sorted(above)[:1]])


@pytest.mark.parametrize(("sizes", "n_edges", "expected"), [((1, 1, 1, 8), 4, (2, 2, 2)), ((1, 1, 9, 1), 7, (2, 2, 2))])
def test_a_better_match_is_found_behind_another(sizes, n_edges, expected):
    """(2, 4) comes first and is less even; (3, 3) comes first and is as even, of larger modulus."""
    assert slow_search(sizes)[n_edges][2] == expected
    assert find_system(sizes, n_edges) == (expected, [])


@pytest.mark.parametrize("step", [1, 7])
def test_search_in_small_parts(monkeypatch, step):
    monkeypatch.setattr(_radix_search, "_STEP", step)
    sizes = [60, 48, 30, 24]
    found = slow_search(sizes)
    for n_edges in sorted(found)[::50]:
        assert find_system(sizes, n_edges) == (found[n_edges][2], [])
    between = next(n + 1 for n in sorted(found)[20:] if n + 1 not in found)
    assert find_system(sizes, between) == (None, [between - 1, min(n for n in found if n > between)])


def test_the_first_dense_layer_of_vgg_is_searched_in_no_time():
    """25,088 nodes allow a million systems of three radices or fewer; trying each took 21 s."""
    begin = time.process_time()
    with pytest.raises(GenerationError, match="nearest feasible n_edges: 12363139 and 12363374 "):
        eg.radix_net_with([25088, 4096, 4096, 1000], 12_363_366)
    assert find_system([25088, 4096, 4096, 1000], 12_363_374)[0] is not None
    assert time.process_time() - begin < 3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: eg.radix_net([[2, 2]], [1, 1]), "2 radices need 3 multipliers"),
        (lambda: eg.radix_net([[2, 3], [2, 2], [2]], [1] * 6), r"product of system \[2, 2\] is 4"),
        (lambda: eg.radix_net([[2, 2], [3]], [1] * 4), r"last system \[3\] is 3, which must divide 4"),
        (lambda: eg.radix_net([[1, 2]], [1] * 3), "each radix must be an integer of at least 2, got 1"),
        (lambda: eg.radix_net([[2, 2]], [1, 0, 1]), "each multiplier must be an integer of at least 1, got 0"),
        (lambda: eg.radix_net([2, 2], [1] * 3), "each system must be a sequence, got 2"),
        (lambda: eg.radix_net([[2, 2]], 1), "multipliers must be a sequence, got 1"),
        (lambda: eg.radix_net_with(5, 0), "sizes must be a sequence, got 5"),
        (lambda: eg.radix_net([], [1]), "at least one system"),
        (lambda: eg.radix_net_for([4, 4], [[2, 2]]), "2 radices need 3 layer sizes, got 2"),
        (lambda: eg.radix_net_with([4], 4), "at least two layers"),
        (lambda: eg.family_net("radix", [4, 4, 4], degree=2), "no one degree"),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
