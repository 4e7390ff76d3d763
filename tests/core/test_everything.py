"""Every public function on random and degenerate graphs: a result that keeps its laws, or a ValueError; no warning.

A new public name without a case here fails `test_every_public_name_has_a_case`.
"""

import copy
import inspect
import json
import math
import pickle
from dataclasses import FrozenInstanceError, fields, is_dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph
from expandergraphs.results import as_plain
from tests.core.strategies import networks, pairs


def of(n_left, n_right, *edges):
    return BipartiteGraph.from_edges(n_left, n_right, list(edges))


GRAPHS = {
    "nothing": of(0, 0),
    "no left side": of(0, 3),
    "no right side": of(3, 0),
    "two vertices": of(1, 1),
    "one edge": of(1, 1, (0, 0)),
    "no edges": of(3, 4),
    "a single edge": of(3, 4, (1, 2)),
    "complete": of(3, 4).complement,
    "matching": of(4, 4, (0, 1), (1, 0), (2, 2), (3, 3)),
    "two parts": eg.disjoint_union([of(2, 3).complement, of(3, 2).complement]),
    "isolated": of(5, 6, (0, 0), (0, 1), (2, 1), (3, 5), (4, 0)),
    "star": of(1, 1000).complement,
    "few leaves": of(1, 1000, (0, 3), (0, 999)),
    "regular": eg.random_regular(8, 8, 3, rng=0),
    "biregular": eg.random_regular(4, 6, 2, rng=0),
}
GRAPHS |= {"star, turned": GRAPHS["star"].T, "few leaves, turned": GRAPHS["few leaves"].T}

PATH = {(0, 1): of(1, 1, (0, 0)), (1, 2): of(1, 1, (0, 0)), (0, 2): of(1, 1, (0, 0))}
NETS = {
    "no units": LayeredGraph([0, 0], {}),
    "no edges": LayeredGraph([2, 3, 2], {}),
    "empty layer": LayeredGraph([3, 0, 2], {(0, 1): of(3, 0), (1, 2): of(0, 2)}),
    "skip over an empty layer": LayeredGraph([3, 0, 2], {(0, 2): of(3, 2, (0, 0), (2, 1))}),
    "width 1": LayeredGraph([1, 1, 1], PATH),
    "zeros": LayeredGraph([1, 1, 1], PATH, {key: [0.0] for key in PATH}),
    "negative": LayeredGraph([1, 1, 1], PATH, {(0, 1): [-1.0], (1, 2): [2.0], (0, 2): [0.0]}),
    "weighted": LayeredGraph([1, 1, 1], PATH, {(0, 1): [1e-3], (1, 2): [2.0], (0, 2): [5.0]}, ["in", "λ", "<out>"]),
    "deep": LayeredGraph([2] * 20, {(k, k + 1): of(2, 2).complement for k in range(19)}),
    "radix": eg.radix_net([[2, 2]], [1, 2, 1]),
}

graphs = pairs(6).map(lambda drawn: BipartiteGraph.from_edges(*drawn))
nets = networks()


def relabelled(g, seed):
    rng = np.random.default_rng(seed)
    left, right = rng.permutation(g.n_left), rng.permutation(g.n_right)
    return BipartiteGraph.from_edges(g.n_left, g.n_right, np.stack([left[g.edges[:, 0]], right[g.edges[:, 1]]], axis=1))


def net_of(g_or_net):
    return g_or_net if isinstance(g_or_net, LayeredGraph) else LayeredGraph.from_layers([g_or_net])


def same(one, other):
    """Tell whether two results say the same: numbers up to rounding, nan like nan."""
    if isinstance(one, np.ndarray | float | int) and not isinstance(one, bool):
        return np.allclose(one, other, rtol=1e-6, atol=1e-7, equal_nan=True)
    if isinstance(one, Exception):
        return one.args == other.args
    return as_plain(one) == as_plain(other)


def finite(*values):
    assert all(np.isfinite(np.asarray(value, dtype=float)).all() for value in values)


def whole(result):
    """Check what every result promises: it prints, is kept by pickle and copy, and cannot be changed."""
    assert repr(result)
    assert str(result)
    for copied in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result), copy.copy(result)):
        assert type(copied) is type(result)
        assert same(copied, result)
    if hasattr(result, "_repr_html_"):
        assert result._repr_html_().startswith("<")
    if hasattr(result, "to_dict"):
        assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()
    if is_dataclass(result):
        for field in fields(result):
            with pytest.raises(FrozenInstanceError):
                setattr(result, field.name, None)
            value = getattr(result, field.name)
            for array in value if isinstance(value, tuple) else [value]:
                assert not isinstance(array, np.ndarray) or not array.flags.writeable
    return result


# --- the laws, each of a graph or a network; `GRAPH`, `NET` and `ANY` say of which ---


def graph_itself(g):
    whole(g)
    assert (
        g == BipartiteGraph(g.n_left, g.n_right, g.indptr, g.indices) == BipartiteGraph.from_biadjacency(g.biadjacency)
    )
    assert g == BipartiteGraph.from_edges(g.n_left, g.n_right, g.edges[::-1]) == g.T.T == g.complement.complement
    assert g == BipartiteGraph.from_networkx(g.to_networkx()) == BipartiteGraph.from_igraph(g.to_igraph())
    assert hash(g) == hash(g.T.T)
    assert g.digest == g.T.T.digest
    assert (g == relabelled(g, 0)) == (g.digest == relabelled(g, 0).digest)
    assert g.n_edges + g.complement.n_edges == g.n_left * g.n_right
    assert g.left_degrees.sum() == g.right_degrees.sum() == g.n_edges == g.adjacency.nnz / 2
    assert 0 <= g.density <= 1
    assert (g.adjacency != g.adjacency.T).nnz == 0


def net_itself(net):
    whole(net)
    again = LayeredGraph(net.widths, net.blocks, net.weights, net.names)
    assert net == again
    assert hash(net) == hash(again)
    assert len(net.layers) == len(net.widths) - 1
    assert net.n_edges == sum(layer.n_edges for layer in (*net.layers, *net.skips.values()))
    assert net.node_offsets[-1] == net.n_nodes == len(net.adjacency.toarray())
    assert (abs(net.adjacency - net.adjacency.T)).max() == 0 if net.n_nodes else True
    assert [*net.input_nodes, *net.output_nodes] == [
        *range(net.widths[0]),
        *range(net.n_nodes)[-net.widths[-1] or net.n_nodes :],
    ]


def singular_values(g):
    values = eg.singular_values(g)
    finite(values)
    assert len(values) == min(g.n_left, g.n_right)
    assert (np.diff(values) <= 1e-9).all()
    assert (values >= 0).all()
    assert same((values**2).sum(), g.n_edges)
    assert same(values, eg.singular_values(g.T))
    assert same(values, eg.singular_values(relabelled(g, 1)))
    assert same(np.sort(np.tile(values, 2)), eg.singular_values(eg.disjoint_union([g, g]))[::-1])
    assert same(values[:2], eg.singular_values(g, min(2, len(values)))) if len(values) else True


def spectral_gap(g):
    gap, degrees = whole(eg.spectral_gap(g)), (g.left_degrees, g.right_degrees)
    finite(gap.sigma1, gap.sigma2, gap.gap, gap.sigma2_normalised)
    assert gap.sigma1 >= gap.sigma2 - 1e-9 >= -1e-9
    assert same(gap.gap, gap.sigma1 - gap.sigma2)
    assert math.isnan(gap.ratio) == (gap.sigma1 == 0)
    highest, average = [d.max(initial=0) for d in degrees], [g.n_edges / max(1, d.size) for d in degrees]
    assert max(*highest, average[0] * average[1]) - 1e-6 <= gap.sigma1**2 <= highest[0] * highest[1] + 1e-6
    assert gap.connected == (eg.components(g).count == 1)
    for other in (g.T, relabelled(g, 2)):
        assert same(gap.sigma2, eg.spectral_gap(other).sigma2)
        assert (gap.bound_kind, gap.is_ramanujan) == (
            eg.spectral_gap(other).bound_kind,
            eg.spectral_gap(other).is_ramanujan,
        )


def second_singular_value(g):
    sigma2 = [*eg.singular_values(g), 0, 0][1]
    found = whole(eg.second_singular_value(g, rng=0))
    assert found.lower <= sigma2 + 1e-9
    assert sigma2 <= found.upper + 1e-9
    normalised = eg.second_singular_value(g, normalised=True, rng=0)
    assert 0 <= normalised.lower <= normalised.upper <= 1 + 1e-9


def normalised_biadjacency(g):
    matrix = eg.normalised_biadjacency(g)
    finite(matrix.data)
    assert matrix.shape == (g.n_left, g.n_right)
    assert abs(matrix - eg.normalised_biadjacency(g.T).T).sum() < 1e-9
    if g.n_edges:
        assert same(np.linalg.norm(matrix.toarray(), 2), 1.0)


def irregular_gaps(g):
    found, other = whole(eg.irregular_gaps(g)), eg.irregular_gaps(relabelled(g, 3))
    assert same(found.delta_r, eg.irregular_gaps(g.T).delta_r)
    assert all(same(getattr(found, field.name), getattr(other, field.name)) for field in fields(found))
    assert math.isnan(found.delta_r) == (g.n_edges == 0)
    assert eg.irregular_gaps(g, -np.ones(g.n_edges)).weighted_gap == pytest.approx(eg.spectral_gap(g).gap)


def spectral_density(g):
    found = whole(eg.spectral_density(g, points=16))
    finite(found.grid, found.density, found.cumulative, found.error, found.width)
    assert (found.density >= -1e-9).all()
    assert (np.diff(found.cumulative) >= -1e-9).all()
    assert same(found.density, eg.spectral_density(g.T, points=16).density)


def vertex_expansion(g):
    found = whole(eg.vertex_expansion(g, rng=0))
    side, vertices = found.witness
    turned = g if side == "left" else g.T
    neighbours = {j for i, j in turned.edges.tolist() if i in vertices}
    assert len(neighbours) / len(vertices) == found.upper
    assert 0 <= found.lower <= found.upper
    assert found.exact == (found.lower == found.upper)
    if found.exact:
        assert same(eg.vertex_expansion(relabelled(g, 4).T, rng=0).upper, found.upper)
    assert found.upper <= eg.sampled_expansion(g, samples=20, rng=0).minimum + 1e-9 or not found.exact


def sampled_expansion(g):
    found = whole(eg.sampled_expansion(g, samples=20, rng=0))
    finite(found.mean, found.minimum)
    assert 0 <= found.minimum <= found.mean
    assert found.samples == 20
    assert found == eg.sampled_expansion(g, samples=20, rng=0)


def cuts(function):
    def law(g):
        found = whole(function(g, rng=0))
        finite(found.lower, found.upper)
        inside = np.isin(np.arange(g.n_left + g.n_right), found.witness)
        crossing = inside[g.edges[:, 0]] != inside[g.edges[:, 1] + g.n_left]
        assert crossing.sum() == found.boundary
        degrees = np.concatenate([g.left_degrees, g.right_degrees])
        size = degrees if function is eg.conductance else np.ones_like(degrees)
        assert 2 * size[inside].sum() <= size.sum()
        assert same(found.upper, found.boundary / size[inside].sum())
        assert -1e-9 <= found.lower <= found.upper
        assert (found.upper == 0) == (eg.components(g).count > 1) or function is eg.conductance
        for other in (g.T, relabelled(g, 5)):
            assert not found.exact or same(function(other, rng=0).upper, found.upper)

    return law


def mixing_discrepancy(g):
    found = whole(eg.mixing_discrepancy(g, samples=5, rng=0))
    assert math.isnan(found.ratio) or 0 <= found.ratio <= 1 + 1e-6
    finite(found.expected, found.bound)
    inside = np.isin(g.edges[:, 0], found.left) & np.isin(g.edges[:, 1], found.right)
    assert inside.sum() == found.n_edges


def block_expander(g):
    large = whole(eg.block_expander(g, 2))
    assert (large.n_left, large.n_right, large.n_edges) == (2 * g.n_left, 2 * g.n_right, 4 * g.n_edges)
    assert same(eg.singular_values(large)[: min(g.n_left, g.n_right)], 2 * eg.singular_values(g))
    assert eg.block_expander(g, 1) == g
    assert eg.block_expander(g.T, (1, 3)) == eg.block_expander(g, (3, 1)).T


def disjoint_union(g):
    one, two = GRAPHS["isolated"], whole(eg.disjoint_union([g, GRAPHS["isolated"]]))
    assert (two.n_left, two.n_right, two.n_edges) == (g.n_left + 5, g.n_right + 6, g.n_edges + one.n_edges)
    assert eg.disjoint_union([g]) == g
    assert eg.disjoint_union([g.T, one.T]) == two.T


def two_lift(g):
    lift = whole(eg.two_lift(g, rng=0))
    assert (lift.n_left, lift.n_right, lift.n_edges) == (2 * g.n_left, 2 * g.n_right, 2 * g.n_edges)
    assert sorted(lift.left_degrees) == sorted(np.tile(g.left_degrees, 2))
    assert lift == eg.two_lift(g, rng=0)
    old, new = eg.singular_values(g), eg.singular_values(lift).tolist()
    for value in old:  # the spectrum of a lift holds that of its base
        new.pop(int(np.argmin(abs(np.array(new) - value))))
    assert same(np.sort([*old, *new])[::-1], eg.singular_values(lift))


def random_like(g_or_net):
    other = whole(eg.random_like(g_or_net, rng=0))
    assert type(other) is type(g_or_net)
    assert other == eg.random_like(g_or_net, rng=0)
    assert [block.n_edges for block in net_of(other).blocks.values()] == [
        block.n_edges for block in net_of(g_or_net).blocks.values()
    ]
    assert net_of(other).widths == net_of(g_or_net).widths


def best_of(g):
    found = whole(eg.best_of(2, lambda rng: eg.random_like(g, rng=rng), lambda h: eg.components(h).count, rng=0))
    assert found.score == max(found.scores) == eg.components(found.graph).count


def drawn(function, **more):
    def law(g):
        for options in ({"n_edges": g.n_edges}, more):
            other = whole(function(g.n_left, g.n_right, **options, rng=1))
            assert (other.n_left, other.n_right) == (g.n_left, g.n_right)
            assert other == function(g.n_left, g.n_right, **options, rng=1)
            if "n_edges" in options:
                assert other.n_edges == g.n_edges
            if function is not eg.random_bipartite:
                assert np.ptp(other.left_degrees) <= 1 if g.n_left else True

    return law


def components(g_or_net):
    net, found = net_of(g_or_net), whole(eg.components(g_or_net))
    assert found.sizes.sum() == net.n_nodes == len(found.labels)
    assert len(found.sizes) == found.count
    assert np.bincount(found.labels, minlength=found.count).tolist() == found.sizes.tolist()
    if isinstance(g_or_net, BipartiteGraph):
        assert sorted(eg.components(g_or_net.T).sizes) == sorted(found.sizes)
        assert eg.components(eg.disjoint_union([g_or_net, g_or_net])).count == 2 * found.count


def girth(g_or_net):
    found = eg.girth(g_or_net)
    assert found == math.inf or found >= 3
    if isinstance(g_or_net, BipartiteGraph):
        assert found == math.inf or found % 2 == 0
        assert found == eg.girth(g_or_net.T) == eg.girth(eg.disjoint_union([g_or_net, relabelled(g_or_net, 6)]))
        assert found == math.inf or g_or_net.n_edges >= found


def distances(g_or_net):
    found, n = whole(eg.distances(g_or_net)), net_of(g_or_net).n_nodes
    assert found.n_pairs + found.n_unjoined == n * (n - 1) // 2
    assert found.counts.sum() == found.n_pairs
    assert found.longest == len(found.counts) - 1
    assert found.diameter == (math.inf if found.n_unjoined else found.longest)
    assert math.isnan(found.average) == (net_of(g_or_net).n_edges == 0)
    if isinstance(g_or_net, BipartiteGraph):
        for other in (g_or_net.T, relabelled(g_or_net, 7)):
            assert eg.distances(other).counts.tolist() == found.counts.tolist()


def path_counts(g_or_net):
    net, counts = net_of(g_or_net), eg.path_counts(g_or_net)
    assert counts.shape == (net.widths[0], net.widths[-1])
    assert all(isinstance(count, int) and count >= 0 for count in counts.ravel())
    dense = np.zeros((net.n_nodes, net.n_nodes))
    for (s, t), block in net.blocks.items():
        rows, columns = (slice(*net.node_offsets[k : k + 2]) for k in (s, t))
        dense[rows, columns] = block.biadjacency.toarray()
    walks = np.linalg.inv(np.eye(net.n_nodes) - dense)[: net.widths[0], net.n_nodes - net.widths[-1] :]
    assert np.allclose(counts.astype(float), walks)
    assert eg.n_paths(g_or_net) == counts.sum()
    assert eg.is_path_symmetric(g_or_net) == (counts.size == 0 or counts.min() == counts.max() > 0)
    reached = eg.reachability(g_or_net)
    assert (reached == (counts > 0)).all()
    seen = whole(eg.receptive_fields(g_or_net))
    assert seen.receptive.tolist() == reached.sum(axis=0).tolist()
    assert seen.projective.tolist() == reached.sum(axis=1).tolist()


def dead_units(g_or_net):
    net, found = net_of(g_or_net), whole(eg.dead_units(g_or_net))
    assert found.n_units == net.n_nodes
    assert found.n_dead == sum(map(len, found.dead)) >= found.n_isolated == sum(map(len, found.isolated))
    for dead, *parts in zip(found.dead, found.unreachable, found.without_effect, strict=True):
        assert set(dead) == set().union(*parts)
    seen = eg.receptive_fields(g_or_net)
    assert found.unreachable[-1].tolist() == np.flatnonzero(seen.receptive == 0).tolist()
    assert found.without_effect[0].tolist() == np.flatnonzero(seen.projective == 0).tolist()


def sensitivity_depth(g_or_net):
    found = whole(eg.sensitivity_depth(g_or_net))
    assert found.depth is None or 1 <= found.depth == found.n_layers
    assert found.bound is None or found.depth is None or found.bound >= found.depth
    if isinstance(g_or_net, BipartiteGraph) and g_or_net.n_left * g_or_net.n_right:
        assert (found.depth == 1) == (g_or_net.density == 1)


def laplacian(g_or_net):
    for kind in ("combinatorial", "random_walk", "symmetric"):
        matrix = eg.laplacian(g_or_net, kind).toarray()
        finite(matrix)
        assert matrix.shape == (net_of(g_or_net).n_nodes,) * 2
        if kind == "combinatorial":
            assert np.allclose(matrix.sum(axis=1), 0)
        if kind != "random_walk" and len(matrix):
            assert np.allclose(matrix, matrix.T)
            assert np.linalg.eigvalsh(matrix).min() > -1e-9


def heat_signature(g_or_net):
    net, times = net_of(g_or_net), [0, 0.3, 2.0, math.inf]
    found = whole(eg.heat_signature(g_or_net, times))
    values, positive = np.asarray(found), [] if net.weights is None else list(net.weights.values())
    finite(values, found.error)
    assert values.shape == (4, net.n_nodes)
    assert (values > -1e-9).all()
    assert (values < 1 + 1e-9).all()
    assert values[0].tolist() == [1.0] * net.widths[0] + [0.0] * (net.n_nodes - net.widths[0])
    if all((weights > 0).all() for weights in positive):  # else components are fewer edges' than those counted here
        labels, count = eg.components(g_or_net).labels, eg.components(g_or_net).count
        for heat in values:
            assert np.allclose(np.bincount(labels, heat, count), np.bincount(labels, values[0], count))
    assert np.allclose(eg.heat_signature(g_or_net, "saturated").values, values[-1])
    assert np.allclose(found.distance(found), 0)


def heat_distance(g_or_net):
    finite(eg.heat_distance(g_or_net, g_or_net, [0, 1.0]))
    assert np.allclose(eg.heat_distance(g_or_net, g_or_net, [0, 1.0, math.inf]), 0)
    if net_of(g_or_net).weights is None:
        other = eg.random_like(g_or_net, rng=0)
        there, back = (eg.heat_distance(*two, [0, 0.7]) for two in ((g_or_net, other), (other, g_or_net)))
        assert (there >= 0).all()
        assert there[0] == 0
        assert same(there, back)
        table = whole(eg.compare_heat({"<a>": g_or_net, "b": other}, [0, 0.7]))
        assert same(np.array(table.networks["b"].distances), there)


def compare_heat(g_or_net):
    found = whole(eg.compare_heat({"a": g_or_net}, [0.5, math.inf]))
    assert np.allclose(found.networks["a"].distances, 0)
    assert found.networks["a"].unreached == eg.unreached_units(g_or_net).n_unreached


def heat_trace(g_or_net):
    found, n = whole(eg.heat_trace(g_or_net, [0, 0.5, 2, 1e6])), net_of(g_or_net).n_nodes
    values = np.asarray(found)
    finite(values)
    assert same(values[0], float(n))
    assert (np.diff(values) <= 1e-9).all()
    assert ((found.lower <= values + 1e-12) & (values <= found.upper + 1e-12)).all()
    diagonal = whole(eg.heat_kernel_signature(g_or_net, [0, 0.5, 2, 1e6]))
    assert np.allclose(np.asarray(diagonal).sum(axis=1), values, atol=1e-6)
    if isinstance(g_or_net, BipartiteGraph):
        twice = eg.disjoint_union([g_or_net, relabelled(g_or_net, 8)])
        assert same(np.asarray(eg.heat_trace(twice, [0.5, 2])), 2 * values[1:3])


def heat_kernel_signature(g_or_net):
    values = np.asarray(eg.heat_kernel_signature(g_or_net, [0, 0.5]))
    assert ((values > -1e-9) & (values <= 1 + 1e-9)).all()
    assert np.allclose(values[0], 1)


def scree(g_or_net):
    found = whole(eg.scree(g_or_net, [0, 0.5, 3, math.inf]))
    finite(found)
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()
    assert (np.diff(found) >= -1e-9).all()
    assert same(found[0], found.n_kept / (found.n_nodes - 1))


def saturation_time(g_or_net):
    found = whole(eg.saturation_time(g_or_net, 0.01))
    finite(found.lower, found.time, found.upper)
    assert 0 <= found.lower <= found.time <= found.upper
    deviation = np.diff(eg.heat_signature(g_or_net, [found.upper, math.inf]).values, axis=0)
    assert (abs(deviation) <= 0.01 + 1e-6).all()


def unreached_units(g_or_net):
    net, found = net_of(g_or_net), whole(eg.unreached_units(g_or_net))
    assert found.n_units == net.n_nodes
    assert found.n_unreached == sum(map(len, found.units))
    final = eg.heat_signature(g_or_net, "saturated").values[0]
    cold = [*np.concatenate([units + net.node_offsets[k] for k, units in enumerate(found.units)])]
    assert cold == np.flatnonzero(final == 0).tolist()


def report(g_or_net):
    found = whole(eg.report(g_or_net, quick=True))
    assert (found.n_nodes, found.n_edges) == (net_of(g_or_net).n_nodes, net_of(g_or_net).n_edges)
    assert found.components == eg.components(g_or_net).count


def saved(g_or_net, folder):
    eg.save(folder / "g.npz", g_or_net)
    assert eg.load(folder / "g.npz") == g_or_net
    if isinstance(g_or_net, BipartiteGraph):
        for suffix in (".mtx", ".edges", ".tsv", ".edges.gz"):
            eg.save(folder / f"g{suffix}", g_or_net)
            assert eg.load(folder / f"g{suffix}", sizes=(g_or_net.n_left, g_or_net.n_right)) == g_or_net


def page(g_or_net, folder):
    for net in (g_or_net, {"<a>": g_or_net}):
        if isinstance(g_or_net, BipartiteGraph) or net is g_or_net:
            eg.save_report(folder / "page.html", net)
            assert "</html>" in (folder / "page.html").read_text()


def saved_by_name(g, folder):
    graphs = {"a": g, "": g.T, "λ/../b": g}
    eg.save_graphs(folder / "g.npz", graphs)
    assert eg.load_graphs(folder / "g.npz") == graphs


def saved_as_challenge(net, folder):
    eg.save_graph_challenge(folder / "net", net, weight=2)
    loaded = eg.load_graph_challenge(folder / "net", net.widths[0])
    assert loaded.layers == net.layers
    if net.weights is not None:
        for key, weights in net.weights.items():
            assert loaded.weights[key].tolist() == weights.tolist()


NO_UNITS, ONE_A_SIDE = {"nothing", "no left side", "no right side"}, {"nothing", "two vertices", "one edge"}
NO_HEAT = ["compare_heat", "heat_distance", "heat_kernel_signature", "heat_signature", "heat_trace", "laplacian"]
REFUSED = {name: {"negative"} for name in [*NO_HEAT, "saturation_time", "unreached_units"]} | {
    "conductance": NO_UNITS | {"two vertices", "no edges"},
    "edge_expansion": {"nothing"},
    "load_graph_challenge": set(NETS) - {"no units", "deep"},
    "random_left_regular": {"nothing", "no right side"},
    "random_regular": NO_UNITS,
    "sampled_expansion": ONE_A_SIDE,
    "scree": {"nothing", "no units", "negative"},
    "spectral_density": NO_UNITS | {"one edge", "star", "star, turned"},
    "vertex_expansion": ONE_A_SIDE,
}
# Decided, by a search of 20 s; the others take milliseconds.
STARS = {"star", "star, turned"}
SLOW = dict.fromkeys(("vertex_expansion", "conductance", "edge_expansion"), STARS) | {
    "save_report": {*GRAPHS, "deep"} - {"nothing", "two vertices", "isolated", "few leaves"}
}
GRAPH, NET = "a graph", "a network"
LAWS = {  # name: (law, of what it holds)
    "BipartiteGraph": (graph_itself, {GRAPH}),
    "LayeredGraph": (net_itself, {NET}),
    "best_of": (best_of, {GRAPH}),
    "block_expander": (block_expander, {GRAPH}),
    "compare_heat": (compare_heat, {GRAPH, NET}),
    "components": (components, {GRAPH, NET}),
    "conductance": (cuts(eg.conductance), {GRAPH}),
    "dead_units": (dead_units, {GRAPH, NET}),
    "disjoint_union": (disjoint_union, {GRAPH}),
    "distances": (distances, {GRAPH, NET}),
    "edge_expansion": (cuts(eg.edge_expansion), {GRAPH}),
    "girth": (girth, {GRAPH, NET}),
    "heat_distance": (heat_distance, {GRAPH, NET}),
    "heat_kernel_signature": (heat_kernel_signature, {GRAPH, NET}),
    "heat_signature": (heat_signature, {GRAPH, NET}),
    "heat_trace": (heat_trace, {GRAPH, NET}),
    "irregular_gaps": (irregular_gaps, {GRAPH}),
    "is_path_symmetric": (path_counts, {GRAPH, NET}),
    "laplacian": (laplacian, {GRAPH, NET}),
    "load": (saved, {GRAPH, NET}),
    "load_graph_challenge": (saved_as_challenge, {NET}),
    "load_graphs": (saved_by_name, {GRAPH}),
    "mixing_discrepancy": (mixing_discrepancy, {GRAPH}),
    "normalised_biadjacency": (normalised_biadjacency, {GRAPH}),
    "path_counts": (path_counts, {GRAPH, NET}),
    "random_bipartite": (drawn(eg.random_bipartite, p=0.5), {GRAPH}),
    "random_left_regular": (drawn(eg.random_left_regular, degree=1), {GRAPH}),
    "random_like": (random_like, {GRAPH, NET}),
    "random_regular": (drawn(eg.random_regular, degree=1), {GRAPH}),
    "report": (report, {GRAPH, NET}),
    "sampled_expansion": (sampled_expansion, {GRAPH}),
    "saturation_time": (saturation_time, {GRAPH, NET}),
    "scree": (scree, {GRAPH, NET}),
    "save_report": (page, {GRAPH, NET}),
    "second_singular_value": (second_singular_value, {GRAPH}),
    "sensitivity_depth": (sensitivity_depth, {GRAPH, NET}),
    "singular_values": (singular_values, {GRAPH}),
    "spectral_density": (spectral_density, {GRAPH}),
    "spectral_gap": (spectral_gap, {GRAPH}),
    "two_lift": (two_lift, {GRAPH}),
    "unreached_units": (unreached_units, {GRAPH, NET}),
    "vertex_expansion": (vertex_expansion, {GRAPH}),
}
# Told by the same law as another name.
WITH = {
    "n_paths": "path_counts",
    "reachability": "path_counts",
    "receptive_fields": "path_counts",
    "save": "load",
    "save_graph_challenge": "load_graph_challenge",
    "save_graphs": "load_graphs",
}


# --- functions of numbers ---


def explicit(a, b, c):
    q = max(2, a)
    code = eg.array_code(q, min(b, q))
    assert np.allclose(eg.singular_values(code)[0], math.sqrt(q * min(b, q)))


def biregular_law(a, b, c):
    law = whole(eg.biregular_law(a, b))
    assert 0 <= law.lower <= law.upper
    x = np.linspace(law.lower - 1, law.upper + 1, 9)
    assert (np.diff(law.cdf(x)) >= -1e-9).all()
    assert np.allclose(law.cdf(x)[[0, -1]], [0, 1])
    assert law.atom is not None or (law.density(x) >= 0).all()
    assert same(eg.biregular_law(b, a).cdf(x), law.cdf(x))


def cayley_f2(a, b, c):
    g = whole(eg.cayley_f2(a, [b, c]))
    assert g == g.T
    assert set(g.left_degrees) == {2}


def projective_plane(a, b, c):
    g = whole(eg.projective_plane(a))
    assert g.n_left == g.n_right == a * a + a + 1
    assert eg.girth(g) == 6


def lps(a, b, c):
    g = whole(eg.lps(a, b))
    assert set(g.left_degrees) == set(g.right_degrees) == {a + 1}


def family_net(a, b, c):
    net = whole(eg.family_net("regular", [a, b, c], n_edges=min(a * b + b * c, c), rng=0))
    assert net.n_edges == min(a * b + b * c, c)
    assert net == eg.family_net("regular", [a, b, c], n_edges=net.n_edges, rng=0)
    assert eg.family_net("random", [a, b, c], density=1).n_edges == a * b + b * c


def family_sensitivity_depth(a, b, c):
    found = whole(eg.family_sensitivity_depth("regular", a, b, max_layers=9, rng=0))
    assert found.depth is None or found.depth <= 9
    assert (found.depth == 1) == (a == b)


def n2nskip_net(a, b, c):
    net = whole(eg.n2nskip_net([a, b, c, a], n_edges=b, rng=0))
    assert net.n_edges == b
    assert net.widths == (a, b, c, a)


def radix_net(a, b, c):
    net = whole(eg.radix_net([[a, b]], [1, c, 1]))
    assert net.widths == (a * b, a * b * c, a * b)
    assert eg.is_path_symmetric(net)
    assert eg.n_paths(net) == c * (a * b) ** 2


def radix_net_for(a, b, c):
    found = whole(eg.radix_net_for([a, b, c], [[2, 2]]))
    assert found.net.widths == (a, b, c)
    assert found.path_symmetric == eg.is_path_symmetric(found.net)


def radix_net_with(a, b, c):
    found = whole(eg.radix_net_with([4, 4, 4], 8 * a))
    assert found.net.n_edges == 8 * a


def graph_challenge(a, b, c):
    net = eg.graph_challenge(1024, a, rng=b)
    assert net.layers == tuple(eg.graph_challenge_layers(1024, a, rng=b))
    assert net.n_edges == 32 * 1024 * a


def spread(a, b, c):
    shapes = [eg.LayerShape(a, b), eg.LayerShape(b, c, (3, 3)), eg.LayerShape(c, a)]
    for budget in ("uniform", "er", "erk", "uniform_plus"):
        edges = eg.spread(shapes, n_edges=a, budget=budget)
        assert sum(edges) == a
        assert all(0 <= n <= shape.n_pairs for n, shape in zip(edges, shapes, strict=True))
    assert eg.spread(shapes, density=1) == tuple(shape.n_pairs for shape in shapes)


def spread_skips(a, b, c):
    edges = eg.spread_skips([eg.LayerShape(a, b), eg.LayerShape(b, c)], [a, c], b)
    assert sum(edges) == b


def study(a, b, c):
    found = whole(eg.study(["random", "regular"], [(a, b)], n_edges=[c], seeds=1, measures=["degrees"]))
    assert [record["n_edges"] for record in found.records] == [c, c]
    for summary in found.summary("left_degree_mean"):
        assert summary.lower == summary.upper == pytest.approx(c / a)


OF_NUMBERS = {
    "array_code": explicit,
    "biregular_law": biregular_law,
    "cayley_f2": cayley_f2,
    "family_net": family_net,
    "family_sensitivity_depth": family_sensitivity_depth,
    "graph_challenge": graph_challenge,
    "graph_challenge_layers": graph_challenge,
    "lps": lps,
    "n2nskip_net": n2nskip_net,
    "projective_plane": projective_plane,
    "radix_net": radix_net,
    "radix_net_for": radix_net_for,
    "radix_net_with": radix_net_with,
    "spread": spread,
    "spread_skips": spread_skips,
    "study": study,
}

# --- classes ---

SQUARE = of(2, 2, (0, 0), (1, 1), (0, 1))
RESULTS = {
    "BestOf": lambda: eg.best_of(2, lambda rng: SQUARE, lambda g: 1.0, rng=0),
    "BiregularLaw": lambda: eg.biregular_law(2, 3),
    "Components": lambda: eg.components(SQUARE),
    "CutInterval": lambda: eg.conductance(SQUARE),
    "DeadUnits": lambda: eg.dead_units(SQUARE),
    "Distances": lambda: eg.distances(SQUARE),
    "GenerationError": lambda: eg.GenerationError("no such graph"),
    "HeatComparison": lambda: eg.compare_heat({"a": SQUARE}, 1.0),
    "HeatKernelSignature": lambda: eg.heat_kernel_signature(SQUARE, 1.0),
    "HeatSignature": lambda: eg.heat_signature(SQUARE, 1.0),
    "HeatTrace": lambda: eg.heat_trace(SQUARE, 1.0),
    "IrregularGaps": lambda: eg.irregular_gaps(SQUARE),
    "LayerShape": lambda: eg.LayerShape(2, 3),
    "MixingDiscrepancy": lambda: eg.mixing_discrepancy(SQUARE),
    "RadixNet": lambda: eg.radix_net_for([3, 3], [[2]]),
    "ReceptiveFields": lambda: eg.receptive_fields(SQUARE),
    "Report": lambda: eg.report(SQUARE),
    "SampledExpansion": lambda: eg.sampled_expansion(SQUARE, samples=3),
    "SaturationTime": lambda: eg.saturation_time(SQUARE, 0.1),
    "Scree": lambda: eg.scree(SQUARE, 1.0),
    "SensitivityDepth": lambda: eg.sensitivity_depth(SQUARE),
    "SingularValueBounds": lambda: eg.second_singular_value(SQUARE),
    "SpectralDensity": lambda: eg.spectral_density(SQUARE),
    "SpectralGap": lambda: eg.spectral_gap(SQUARE),
    "Study": lambda: eg.study("random", [2], [1], 1, ["degrees"]),
    "UnreachedUnits": lambda: eg.unreached_units(SQUARE),
    "VertexExpansion": lambda: eg.vertex_expansion(SQUARE),
    "Witness": lambda: eg.vertex_expansion(SQUARE).witness,
}


def test_every_public_name_has_a_case():
    cases = [*LAWS, *WITH, *OF_NUMBERS, *RESULTS]
    assert sorted(cases) == sorted(eg.__all__)


PACKAGE = inspect.getfile(eg).removesuffix("__init__.py")


def holds(law, *subject):
    """Tell whether a law holds; where what it is about does not exist, a ValueError of our own must say so."""
    try:
        law(*subject)
    except OSError as error:  # of readers: there is no such file
        assert "nonsense" in str(error)  # noqa: PT017
        return False
    except ValueError as error:
        trace = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        assert trace.tb_frame.f_code.co_filename.startswith(PACKAGE), error  # noqa: PT017
        assert len(str(error)) > 10  # noqa: PT017
        return False
    return True


def arguments(law, subject, tmp_path_factory):
    return (subject, tmp_path_factory.mktemp("files")) if "folder" in inspect.signature(law).parameters else (subject,)


@pytest.mark.parametrize("name", LAWS)
def test_degenerate(name, tmp_path_factory):
    law, kinds = LAWS[name]
    subjects = (GRAPHS if GRAPH in kinds else {}) | (NETS if NET in kinds else {})
    refused = {
        label
        for label, subject in subjects.items()
        if label not in SLOW.get(name, ()) and not holds(law, *arguments(law, subject, tmp_path_factory))
    }
    assert refused == REFUSED.get(name, set())


@pytest.mark.parametrize("name", LAWS)
@settings(max_examples=15)
@given(data=st.data())
def test_random(name, tmp_path_factory, data):
    law, kinds = LAWS[name]
    subject = data.draw(st.one_of([graphs] * (GRAPH in kinds) + [nets] * (NET in kinds)))
    holds(law, *arguments(law, subject, tmp_path_factory))


@pytest.mark.parametrize("name", OF_NUMBERS)
@settings(max_examples=25)
@given(numbers=st.tuples(*[st.integers(-1, 7)] * 3))
def test_numbers(name, numbers):
    if name not in ("graph_challenge", "graph_challenge_layers") or numbers[0] < 3:
        holds(OF_NUMBERS[name], *numbers)


@pytest.mark.parametrize("name", RESULTS)
def test_results(name):
    result = RESULTS[name]()
    assert isinstance(result, getattr(eg, name))
    whole(result)


@pytest.mark.parametrize("name", [name for name in eg.__all__ if inspect.isfunction(getattr(eg, name))])
def test_nonsense_is_refused(name, tmp_path):
    """Whatever is given for the first argument, the refusal is a ValueError of our own."""
    function = getattr(eg, name)
    needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty][1:]
    for nonsense in (None, "nonsense", 1.5, -1, [], {}, object(), float("nan"), True):
        rest = [1.0 if p.name == "t" else 1 for p in needed]
        assert not holds(lambda: np.asarray(function(nonsense, *rest)))  # noqa: B023
