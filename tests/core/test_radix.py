import math
import re
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs import GenerationError
from expandergraphs.generators.radix import _counts
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
    assert [layer.n_edges for layer in result.net.layers] == _counts(sizes, systems)
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
    assert eg.radix_net_for([3, 3], [[100_000_000]]).net.n_edges == 9


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
