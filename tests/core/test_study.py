import contextlib
import itertools
import math
import os
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import expandergraphs as eg
from expandergraphs.report import degrees_of
from expandergraphs.rng import streams
from expandergraphs.study import KEYS, MEASURES, Study, study
from tests.core.study_functions import dense, die, digest, process, samples, slow

FAMILIES = {
    "random": eg.random_bipartite,
    "left_regular": eg.random_left_regular,
    "regular": eg.random_regular,
}


# --- the request ---


def test_one_record_a_graph_in_the_order_of_the_request():
    result = study(["regular", "random"], [(4, 6), 5], [2, 1], [7, 3], digest)
    expected = [
        (family, *size, degree * max(size), seed)
        for size in ((4, 6), (5, 5))
        for degree in (2, 1)
        for family in ("regular", "random")
        for seed in (7, 3)
    ]
    names = ("family", "n_left", "n_right", "n_edges", "seed")
    assert [tuple(record[name] for name in names) for record in result.records] == expected
    assert all(
        record["degree"] * max(record["n_left"], record["n_right"]) == record["n_edges"] for record in result.records
    )
    for record in result.records:  # the slow twin: draw each graph by itself
        stream = streams(record["seed"])("{family}/{n_left}-{n_right}/{n_edges}".format(**record))
        g = FAMILIES[record["family"]](record["n_left"], record["n_right"], n_edges=record["n_edges"], rng=stream)
        assert record["digest"] == g.digest
    assert len({record["digest"] for record in result.records}) == len(result.records)


WHOLE = study(["random", "regular"], [5, (4, 6)], [1, 2], 3, [digest, "sampled"])


@settings(max_examples=25)
@given(st.data())
def test_other_cells_change_nothing(data):
    def some(values):
        return data.draw(st.lists(st.sampled_from(values), min_size=1, unique=True))

    families, sizes = some(["random", "regular"]), some([5, (4, 6)])
    degrees, seeds = some([1, 2]), some([0, 1, 2])
    part = study(families, sizes, degrees, seeds, [digest, "sampled"])
    assert len(part.records) == len(families) * len(sizes) * len(degrees) * len(seeds)
    assert all(record in WHOLE.records for record in part.records)


def test_labels_and_numbers_of_edges():
    by_name = study(["left_regular"], [(6, 4)], [2], 2, digest)
    labelled = study({"X-Net": "left_regular"}, [(6, 4)], seeds=2, measures={"it": digest}, n_edges=[12])
    assert [record | {"family": "left_regular"} for record in labelled.records] == list(by_name.records)
    assert study("random", [(4, 6)], seeds=1, measures=digest, n_edges=[7]).records[0]["degree"] == 7 / 6


def test_a_cell_without_a_graph_says_why():
    result = study([dense, "random"], [3], [2, 3, 4], [0], ["degrees"])
    first, second, complete, _, *excess = result.records
    assert first["refused"] == "complete graphs only"
    assert first["left_degree_mean"] is None
    assert (second["refused"], second["left_degree_mean"]) == (None, 2)
    assert (complete["refused"], complete["right_degree_minimum"]) == (None, 3)
    assert [record["refused"] for record in excess] == ["12 edges exceed the 9 pairs of 3 x 3"] * 2
    assert all(list(record) == list(first) for record in result.records)
    assert list(first)[:7] == list(KEYS)


@pytest.mark.parametrize(("n_left", "n_right"), [(12, 12), (6, 4), (8, 12), (5, 7)])
def test_radix_layers(n_left, n_right):
    """All counts are tried; each layer is the first of the RadiX-Net of two radices."""
    counts = range(n_left * n_right + 1)
    found = {}
    for record in study("radix", [(n_left, n_right)], seeds=1, n_edges=counts, measures=digest).records:
        if record["refused"] is None:
            found[record["n_edges"]] = record["digest"]
    modulus = math.gcd(n_left, n_right)
    expected = {}
    for radix in (r for r in range(2, modulus + 1) if modulus % r == 0):
        circulant = sum(np.roll(np.eye(modulus), -j, axis=1) for j in range(radix))
        g = eg.BipartiteGraph.from_biadjacency(np.kron(np.ones((n_left // modulus, n_right // modulus)), circulant))
        expected[g.n_edges] = g.digest
    assert found == expected
    whole = study("radix", [12], [4], 2, digest).records
    assert {record["digest"] for record in whole} == {eg.radix_net([[4, 3]], [1, 1, 1]).layers[0].digest}
    assert study("radix", [12], [5], 1, digest).records[0]["refused"].endswith("nearest feasible n_edges: 48 and 72")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"families": ["ramanujan"]}, "families must be of random, left_regular, regular, radix, or functions"),
        ({"families": []}, "families must not be empty"),
        ({"families": {}}, "families must not be empty"),
        ({"families": ["random", "random"]}, "families has 'random' twice"),
        ({"families": {3: "random"}}, "with a name each; got 3"),
        ({"sizes": [8, (8, 8)]}, r"sizes has \(8, 8\) twice"),
        ({"sizes": [(8, 8, 8)]}, r"n or \(n_left, n_right\), got \(8, 8, 8\)"),
        ({"sizes": [0]}, "each size must be an integer of at least 1"),
        ({"sizes": 8}, "sizes must be a sequence, got 8"),
        ({"degrees": [2.5]}, "each of degrees must be an integer"),
        ({"degrees": [2, 3, 2]}, "degrees has 2 twice"),
        ({"n_edges": [3]}, "exactly one of degrees, n_edges; got degrees, n_edges"),
        ({"degrees": None}, "got none"),
        ({"seeds": 0}, "seeds must not be empty"),
        ({"seeds": [-1]}, "each seed must be an integer of at least 0"),
        (
            {"measures": ["spectrum", "colour"]},
            "measures must be of degrees, spectrum, expansion, sampled, or functions",
        ),
        ({"processes": 0}, "processes must be an integer of at least 1"),
        ({"path": 3}, "path must be a string or a path"),
    ],
)
def test_bad_requests(request_, message):
    good = {"families": ["random"], "sizes": [8], "degrees": [2], "seeds": 1, "measures": ["degrees"]}
    with pytest.raises(ValueError, match=message):
        study(**good | request_)


# --- measures ---


def test_measures_are_the_library_s():
    def keep(g):
        graphs.append(g)
        return {}

    graphs = []
    result = study("random", [(8, 6)], [3], 3, {"graph": keep, "1": "degrees", "2": "spectrum", "3": "sampled"})
    for record, g in zip(result.records, graphs, strict=True):
        gap, degrees = eg.spectral_gap(g), degrees_of(g.right_degrees)
        assert record["right_degree_isolated"] == degrees.isolated
        assert record["right_degree_maximum"] == degrees.maximum
        assert (record["sigma2"], record["bound_kind"], record["connected"]) == (
            gap.sigma2,
            gap.bound_kind,
            gap.connected,
        )
        assert 0 < record["sampled_minimum"] < record["sampled_mean"] < 8


def brute_force(rows):
    """Alpha by definition, over sets of rows."""
    n = len(rows)
    sets = (s for k in range(1, n // 2 + 1) for s in itertools.combinations(range(n), k))
    return min((np.count_nonzero(rows[list(s)].any(axis=0)) / len(s) for s in sets), default=None)


def test_expansion_of_each_side_with_and_without_isolated_vertices():
    def keep(g):
        graphs.append(g.biadjacency.toarray())
        return {}

    graphs = []
    result = study("random", [(8, 6), (2, 3), (1, 4)], [1, 2], 2, {"graph": keep, "expansion": "expansion"})
    isolated = 0
    drawn = [record for record in result.records if record["refused"] is None]
    for record, matrix in zip(drawn, graphs, strict=True):
        for side, rows in (("left", matrix), ("right", matrix.T)):
            linked = rows[rows.any(axis=1)]
            isolated += len(linked) < len(rows)
            for name, expected in (("alpha", brute_force(rows)), ("linked_alpha", brute_force(linked))):
                ends = [record[f"{side}_{name}_{end}"] for end in ("lower", "upper")]
                assert ends == [expected] * 2
                assert record[f"{side}_{name}_exact"] == (None if expected is None else True)
                assert record[f"{side}_{name}_certificate"] == (None if expected is None else "exact")
    assert 0 < isolated < 2 * len(drawn)


def test_one_search_for_both_sides(monkeypatch):
    """And one more for each side that has isolated vertices, each with the whole time limit."""
    calls = []

    def spy(g, **options):
        calls.append((g.n_left, g.n_right, options["side"], options["time_limit"]))
        return eg.vertex_expansion(g, **options)

    monkeypatch.setattr("expandergraphs._study_graphs.vertex_expansion", spy)
    expansion = partial(MEASURES["expansion"], time_limit=9)
    study("regular", [6], [2], 1, {"expansion": expansion})
    assert calls == [(6, 6, "both", 9)]
    g = eg.BipartiteGraph.from_edges(4, 3, [(0, 0), (1, 1), (2, 2)])
    for graph, linked in ((g, (3, 3, "left", 9)), (g.T, (3, 3, "right", 9))):
        calls.clear()
        expansion(graph, rng=np.random.default_rng(0))
        assert calls == [(graph.n_left, graph.n_right, "both", 9), linked]


def test_no_set_no_sample():
    (record,) = study("regular", [1], [1], 1, "sampled").records
    assert (record["sampled_mean"], record["sampled_minimum"]) == (None, None)
    assert study("regular", [(1, 2)], [1], 1, "sampled").records[0]["sampled_mean"] is not None


def test_no_two_records_share_their_samples():
    """On one and the same graph, what differs is the samples."""
    grid = study(["random", "regular"], [4, 6], [1, 2], 3, samples).records
    assert len({record["first"] for record in grid}) == len(grid)
    records = study("radix", [12], [4], 5, {"few": partial(MEASURES["sampled"], samples=9), "more": samples}).records
    assert len({record["sampled_mean"] for record in records}) == 5
    assert len({record["first"] for record in records}) == 5
    assert (
        records
        == study("radix", [12], [4], 5, {"few": partial(MEASURES["sampled"], samples=9), "more": samples}).records
    )


def test_measures_of_the_user(tmp_path):
    def measure(g):
        return {"a": np.int64(g.n_edges), "b": np.float32(0.5), "c": np.True_, "d": math.nan, "e": math.inf, "f": None}

    (record,) = study("random", [4], [2], 1, measure).records
    assert [(record[name], type(record[name])) for name in "abcdef"] == [
        (8, int), (0.5, float), (True, bool), (None, type(None)), (None, type(None)), (None, type(None)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1], "measure 'mine' must return a dictionary with names as keys, got"),
        ({1: 2}, "names as keys"),
        ({"a": [1, 2]}, r"must return numbers, got a = \[1, 2\]"),
        ({"seed": 1}, "measure 'mine' returns the column 'seed', which is there already"),
        ({"sigma1": 1}, "returns the column 'sigma1'"),
    ],
)
def test_measures_that_return_something_else(returned, message):
    with pytest.raises(ValueError, match=message):
        study("random", [4], [2], 1, {"spectrum": "spectrum", "mine": lambda g: returned})


def test_an_error_in_a_measure_names_the_graph():
    def fail(g):
        raise KeyError("no such thing")

    with pytest.raises(KeyError, match="no such thing") as caught:
        study("random", [4], [2], [5], {"mine": fail})
    assert (
        "in measure 'mine' of Cell(family='random', n_left=4, n_right=4, n_edges=8, seed=5)" in caught.value.__notes__
    )


# --- what it says ---


def records_of(values, family="f", n_edges=8, **names):
    """Records with quantity q, or q_lower and q_upper where a value is a pair."""
    rows = []
    for seed, value in enumerate(values):
        q = {"q_lower": value[0], "q_upper": value[1]} if isinstance(value, tuple) else {"q": value}
        rows.append(dict(zip(KEYS, (family, 4, 4, n_edges, seed, n_edges / 4, None), strict=True)) | q)
    return tuple(rows)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0, 9)), min_size=2, max_size=12))
def test_limits_against_scipy(pairs):
    from scipy import stats

    lower, upper = np.array([[a, a + b] for a, b in pairs]).T
    (summary,) = Study(records_of([(a, b) for a, b in zip(lower.tolist(), upper.tolist(), strict=True)])).summary("q")
    assert summary.graphs == len(pairs)
    np.testing.assert_allclose((summary.lower, summary.upper), (lower.mean(), upper.mean()), atol=1e-12)
    for ends, limit, side in ((lower, summary.low, 0), (upper, summary.high, 1)):
        error = stats.sem(ends)
        if min(ends) < max(ends):
            assert limit == pytest.approx(stats.t.interval(0.95, len(ends) - 1, ends.mean(), error)[side], abs=1e-9)
        else:
            assert limit == (ends[0] if len(ends) >= 5 else (-math.inf, math.inf)[side])


def test_limits_cover_the_mean_of_the_family():
    """Of 400 studies of 5 graphs each, at least 93 % must cover; with values known exactly, at most 97 %."""
    rng = np.random.default_rng(0)
    values = rng.normal(1.0, 0.3, size=(400, 5))
    for slack in (0, 0.2):
        below = values - slack * rng.random(values.shape)
        rows = [list(zip(a, a_up, strict=True)) for a, a_up in zip(below.tolist(), values.tolist(), strict=True)]
        limits = [Study(records_of(row)).summary("q")[0] for row in rows]
        covered = np.mean([s.low <= 1.0 <= s.high for s in limits])
        assert covered >= 0.93
        assert slack or covered <= 0.97


def test_disjoint_intervals_are_ordered_and_others_are_not():
    low, high = records_of([1.0, 1.1, 1.2], "low"), records_of([2.0, 2.1, 2.2], "high")
    wide, one = records_of([(0.5, 3), (0.6, 3), (0.7, 3)], "wide"), records_of([9.0], "one")
    a, b, c = Study(low + high + one).summary("q")
    assert (a.versus(b), b.versus(a), a.versus(a)) == ("lower", "higher", "unresolved")
    assert (c.low, c.high, c.versus(a)) == (-math.inf, math.inf, "unresolved")
    (d,) = Study(wide).summary("q")
    assert (d.lower, d.upper) == (pytest.approx(0.6), 3)
    assert [d.versus(other) for other in (a, b)] == ["unresolved"] * 2


def test_rounding_orders_nothing():
    """The mean of seven times 0.1 is computed as 0.09999999999999999."""
    a, b = Study(records_of([0.1] * 7, "a") + records_of([0.1] * 5, "b")).summary("q")
    assert a.versus(b) == "unresolved"
    assert a.low == a.lower == a.upper == a.high == b.low == 0.1


def test_a_few_equal_values_order_nothing():
    """Of five, up to 52 % of each family may be as the other is; of four, nothing is said."""
    for k, verdict in ((4, "unresolved"), (5, "unresolved"), (6, "lower")):
        a, b = Study(records_of([1.0] * k, "a") + records_of([2.0] * k, "b")).summary("q")
        assert a.versus(b) == verdict


@pytest.mark.parametrize(
    ("values", "chances", "other"),
    [
        ([1.84375, 1.8125], [0.8, 0.2], 1.875),  # a step below: the left side of X-Net at n = 64, d = 15
        ([1.875, 1.90625], [0.9, 0.1], 1.84375),  # a step above the highest value seen
        ([0.0, 0.8], [0.98, 0.02], 1.25),  # much above: graphs with isolated vertices
        ([1.25, 0.5], [0.98, 0.02], 0.0),
    ],
)
def test_limits_of_equal_values_cover_the_mean_of_the_family(values, chances, other):
    """Of 400 studies of 10 graphs each, at least 93 % must cover, though in many all graphs have the same value."""
    rng = np.random.default_rng(0)
    equal = covered = 0
    for row in rng.choice(values, size=(400, 10), p=chances).tolist():
        summary, _ = Study(records_of(row, "a") + records_of([other] * 3, "b")).summary("q")
        equal += min(row) == max(row)
        covered += summary.low <= np.dot(values, chances) <= summary.high
    assert equal > 30
    assert covered >= 0.93 * 400


def test_limits_of_equal_values():
    fraction = 1 - 0.025 ** (1 / 10)
    three = records_of([2.0] * 10, "a") + records_of([1.0, 1.75], "b") + records_of([2.5] * 2, "c")
    a = Study(three + records_of([9.0], n_edges=4)).summary("q")[0]
    assert (a.low, a.high) == pytest.approx((2 - fraction * 1, 2 + fraction * 0.5))
    two = Study(records_of([2.0] * 10, "a") + records_of([1.9, 1.5], "b")).summary("q")
    assert (two[0].low, two[0].high) == pytest.approx((2 - fraction * 0.5, 2 + fraction * 0.1))
    (alone,) = Study(records_of([2.0] * 10)).summary("q")
    assert (alone.low, alone.high) == (2, 2)
    x_net, random = records_of([1.84375] * 10, "X-Net"), records_of([1.8125] * 5 + [1.84375] * 5, "Random")
    x_net, random = Study(x_net + random).summary("q")
    assert x_net.versus(random) == "unresolved"


@pytest.mark.parametrize(
    ("quantity", "values", "low", "high"),
    [
        ("left_alpha", [0, 0, 0, 2], 0, 2),  # 8 right vertices, sets of up to 4 of the 8 left ones
        ("right_linked_alpha", [0, 0, 0, 2], 0, None),  # without isolated vertices the sets may be smaller
        ("sigma2", [0, 0, 0, 2], 0, None),
        ("left_degree_isolated", [0, 0, 0, 2], 0, None),
        ("ratio", [0, 1, 1, 1], 0, 1),
        ("mine", [0, 0, 0, 2], None, None),
    ],
)
def test_limits_are_cut_to_what_the_quantity_can_be(quantity, values, low, high):
    pairs = "alpha" in quantity
    names = [f"{quantity}_lower", f"{quantity}_upper"] if pairs else [quantity]
    rows = [
        dict(zip(KEYS, ("f", 8, 8, 16, seed, 2, None), strict=True)) | dict.fromkeys(names, value)
        for seed, value in enumerate(values)
    ]
    (summary,) = Study(tuple(rows)).summary(quantity)
    uncut = np.mean(values) + np.array([-1, 1]) * 3.1824463 * np.std(values, ddof=1) / 2
    assert uncut[0] < 0
    assert summary.low == pytest.approx(uncut[0] if low is None else max(low, uncut[0]))
    assert summary.high == pytest.approx(uncut[1] if high is None else min(high, uncut[1]))
    (few,) = Study(tuple(rows[:1])).summary(quantity)
    assert (few.low, few.high) == (-math.inf, math.inf)


def test_no_limit_of_alpha_is_below_0():
    """At degree 3 some random graphs have an isolated vertex, and so an alpha of 0, and some have none."""
    found = study("random", [24], [3], 5, "expansion").summary("left_alpha")[0]
    assert 0 == found.low < found.lower < found.high < 2


def test_what_has_no_value_is_left_out():
    a, b = Study(records_of([1.0, None, 3.0]) + records_of([5.0, 5.0], n_edges=4)).summary("q")
    assert (a.graphs, a.lower, a.degree) == (2, 2.0, 2.0)
    assert (b.graphs, b.n_edges) == (2, 4)
    assert Study(records_of([None])).summary("q") == ()
    with pytest.raises(ValueError, match=r"no numbers named 'p'; there are .*degree, .*q"):
        Study(records_of([1.0])).summary("p")
    with pytest.raises(ValueError, match="no numbers named 'family'"):
        Study(records_of([1.0])).summary("family")


def test_the_table_reads_unresolved_where_intervals_overlap():
    rows = records_of([1.0, 1.1], "a") + records_of([1.0, 1.2], "b") + records_of([9.0, 9.1], "c")
    refused = [row | {"family": "d", "refused": "no such graph"} for row in records_of([None])]
    larger = [row | {"n_edges": 12, "degree": 3} for row in rows[:4]]
    text = str(Study((*rows, *refused, *larger)).table("q"))
    lines = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line.startswith("│")
    ]
    assert [line[3] for line in lines] == list("abcdab")
    assert lines[0][:3] == ["4 x 4", "8", "2"]
    assert [line[7] for line in lines] == ["", "unresolved: a", "higher: a, b", "no such graph", "", "unresolved: a"]
    assert [line[1] for line in lines] == ["8", "", "", "", "12", ""]
    assert lines[0][5] == "1.05"
    assert lines[0][6] == "0.4147 .. 1.685"


def test_a_study_of_refusals_says_why():
    result = study(dense, [3], [1, 2], 2, "spectrum")
    assert result.summary("sigma2") == ()
    assert [row[-1] for row in result.table("sigma2").rows] == ["complete graphs only"] * 2


def test_selecting_and_printing():
    result = study(["random", "regular"], [4, 6], [1, 2, 3], 2, "degrees")
    assert repr(result) == "Study(24 records: random, regular; 4 x 4, 6 x 6; 4, 8, 12, ..., 18 edges)"
    part = result.where(family="regular", n_left=6, seed=1)
    assert repr(part) == "Study(3 records: regular; 6 x 6; 6, 12, 18 edges)"
    assert part.records == tuple(
        r for r in result.records if (r["family"], r["n_left"], r["seed"]) == ("regular", 6, 1)
    )
    assert repr(result.where(n_left=7)) == "Study(0 records)"
    with pytest.raises(ValueError, match=r"there is no column 'size'; there are family, .*, right_degree_isolated"):
        result.where(size=6)
    for bad in (({"family": "a"},), ({**result.records[0]}, {**result.records[0], "more": 1})):
        with pytest.raises(ValueError, match="every record needs the columns family, n_left"):
            Study(bad)
    for value in (math.nan, math.inf, [1], np.float32(1)):
        with pytest.raises(ValueError, match="an integer, a finite float or None; got q ="):
            Study(records_of([value]))


# --- files ---

SUFFIXES = [".csv", ".json", ".parquet"]
numbers = st.one_of(
    st.none(), st.integers(-(2**62), 2**62), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1).map(lambda text: text + "?")


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40)
@given(st.data())
def test_files_give_back_what_they_got(suffix, tmp_path_factory, data):
    columns = data.draw(st.lists(texts.filter(lambda name: name not in KEYS), unique=True, max_size=3))
    kinds = [data.draw(st.sampled_from([st.integers(-9, 9), st.floats(-9, 9), st.booleans(), texts])) for _ in columns]
    rows = records_of(data.draw(st.lists(st.floats(-9, 9), max_size=4)), data.draw(texts))
    made = [row | {c: data.draw(st.none() | kind) for c, kind in zip(columns, kinds, strict=True)} for row in rows]
    result = Study(tuple(made))
    path = tmp_path_factory.mktemp("study") / f"records{suffix}"
    result.save(path)
    assert Study.load(path) == result
    same = [list(map(type, record.values())) for record in Study.load(path).records]
    assert same == [list(map(type, record.values())) for record in result.records]


def test_files_that_cannot_be(tmp_path, monkeypatch):
    result = Study(records_of([1.0]))
    with pytest.raises(ValueError, match=r"kept as .csv, .json, .parquet; got the suffix '.xls'"):
        result.save(tmp_path / "r.xls")
    for text in ("12", "", "True", "1e3", "nan", "a\rb"):
        with pytest.raises(ValueError, match=r"CSV would not give back the text .* choose .json"):
            Study(records_of([1.0], text)).save(tmp_path / "r.csv")
    with pytest.raises(ValueError, match="Parquet holds integers below 2"):
        Study(records_of([2**63])).save(tmp_path / "r.parquet")
    with pytest.raises(FileNotFoundError, match=r"r.csv cannot be written: there is no folder .*/missing$"):
        result.save(tmp_path / "missing" / "r.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match="Parquet needs pyarrow: pip install pyarrow"):
        result.save(tmp_path / "r.parquet")
    assert list(tmp_path.iterdir()) == []
    for name, content in (
        ("a.json", b"{}"),
        ("b.json", b"[1]"),
        ("c.json", b"["),
        ("d.csv", b"a,b\n1\n"),
        ("e.csv", b"\xff"),
        ("f.csv", b"family,n_left,n_right,n_edges,seed,degree,refused\na,1,1,1,0,nan,\n"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} holds no records|every record needs|got degree = nan"):
            Study.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        Study.load(tmp_path / "missing.csv")


# --- keeping what is done ---


CALLS = []


def counted(g):
    CALLS.append(g)
    if len(CALLS) == STOP_AT:
        raise KeyboardInterrupt
    return {"digest": g.digest, "third": 1 / 3}


STOP_AT = None
REQUEST = (["random", "regular"], [6], [1, 2], 3)


def test_an_interrupted_study_goes_on_where_it_stopped(tmp_path, monkeypatch):
    path = tmp_path / "study.jsonl"
    expected = study(*REQUEST, counted)
    CALLS.clear()
    monkeypatch.setattr(f"{__name__}.STOP_AT", 6)
    with pytest.raises(KeyboardInterrupt):
        study(*REQUEST, counted, path=path)
    monkeypatch.undo()
    assert path.read_bytes().count(b"\n") == 1 + 5
    CALLS.clear()
    seen = []
    assert study(*REQUEST, counted, path=path, progress=lambda done, total: seen.append((done, total))) == expected
    assert len(CALLS) == 7
    assert seen == [(done, 12) for done in range(5, 13)]
    done = path.read_bytes()
    CALLS.clear()
    larger = study(["regular", "random"], [6, 7], [2], 4, counted, path=path)
    assert len(CALLS) == 2 * 2 * 4 - 2 * 3
    assert larger == study(["regular", "random"], [6, 7], [2], 4, counted)
    assert path.read_bytes().startswith(done)


def test_every_torn_file_is_taken_up(tmp_path):
    path = tmp_path / "study.jsonl"
    expected = study(["random"], [5], [2], 2, counted, path=path)
    whole = path.read_bytes()
    ends = [k for k, byte in enumerate(whole) if byte == ord("\n")]
    for length in sorted({*range(0, len(whole), 11), *ends, *(end + 1 for end in ends)} - {len(whole)}):
        path.write_bytes(whole[:length])
        CALLS.clear()
        assert study(["random"], [5], [2], 2, counted, path=path) == expected
        assert len(CALLS) == 2 - sum(end < length for end in ends[1:])
        assert path.read_bytes() == whole


def test_files_of_other_studies_are_refused_and_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "study.jsonl"

    def refused(message, content=None, families=("random",), measures=(digest,)):
        if content is not None:
            path.write_bytes(content)
        before = path.read_bytes()
        with pytest.raises(ValueError, match=message):
            study(families, [5], [2], 1, measures, path=path)
        assert path.read_bytes() == before

    study(["random"], [5], [2], 2, [digest], path=path)
    whole = path.read_bytes()
    first, second, third = whole.splitlines(keepends=True)
    refused(
        "holds a study with the measures digest .*study_functions.digest, and this one has degrees",
        measures=["degrees"],
    )
    refused("measures", measures={"digest": partial(digest, samples=3)})
    refused("is random, and here regular; give another path", families={"random": "regular"})
    refused("line 2 of .*study.jsonl is no record", first + b"nonsense\n" + third)
    refused("line 2 of .*study.jsonl is no record", first + second[:30] + b"\n" + third)
    for foreign in (b"family,n_left\nrandom,5\n", b"[]\n", b'{"expandergraphs study": 3}\n', b"some notes", second):
        refused("is no file of a study", foreign)
    path.write_bytes(whole)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99")
    refused("holds a study with the versions expandergraphs")


def test_options_of_measures_are_settings(tmp_path):
    path = tmp_path / "study.jsonl"
    study("random", [5], [2], 1, {"sampled": partial(MEASURES["sampled"], samples=5)}, path=path)
    with pytest.raises(ValueError, match=r"measure_sampled\(samples=5\), and this one has .*measure_sampled;"):
        study("random", [5], [2], 1, ["sampled"], path=path)


class Stateful:
    def __init__(self, k):
        self.k = k

    def __call__(self, g):
        return {"k": self.k}

    def method(self, g):
        return {"k": self.k}


def test_functions_that_names_do_not_tell_apart_are_kept_in_no_file(tmp_path):
    def within(n_left, n_right, n_edges, rng):
        return eg.random_bipartite(n_left, n_right, n_edges=n_edges, rng=rng)

    for measure in (Stateful(1), Stateful(1).method, lambda g: {"k": 1}, partial(Stateful(1))):
        with pytest.raises(ValueError, match=r"do not tell .* from others; define it at the top level"):
            study("random", [4], [2], 1, {"mine": measure}, path=tmp_path / "kept")
        assert study("random", [4], [2], 1, {"mine": measure}).records[0]["k"] == 1
    with pytest.raises(ValueError, match=r"do not tell .*within"):
        study(within, [4], [2], 1, digest, path=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


# --- several processes ---


def test_the_same_records_from_two_processes(tmp_path):
    measures = ["degrees", "spectrum", "sampled", digest, process]
    before = dict(os.environ)
    seen = []
    two = study(
        ["random", dense], [6, 20], [2, 6], 3, measures, processes=2, path=tmp_path / "two",
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert dict(os.environ) == before
    assert seen == [(k, 24) for k in range(25)]
    workers = {(r["process"], r["threads"]) for r in two.records if r["refused"] is None}
    assert os.getpid() not in {process for process, _ in workers}
    assert {threads for _, threads in workers} == {"1"}

    def plain(result):
        return [{k: v for k, v in record.items() if k not in ("process", "threads")} for record in result.records]

    assert plain(two) == plain(study(["random", dense], [6, 20], [2, 6], 3, measures))
    again = study(["random", dense], [6, 20], [2, 6], 3, measures, path=tmp_path / "two", processes=5)
    assert again == two


def test_what_cannot_be_sent_to_a_process_is_refused():
    with pytest.raises(ValueError, match=r"'mine' cannot be sent to another process; define it at the top level"):
        study("random", [5], [2], 2, {"mine": lambda g: {}}, processes=2)


def test_a_process_that_dies_is_an_error_not_a_wait():
    with pytest.raises(OSError, match="a process of the study ended abruptly, most often for lack of memory"):
        study("random", [5], [2], 2, die, processes=2)


SCRIPT = """
import sys
from expandergraphs.study import study
from tests.core.study_functions import slow
if __name__ == "__main__":
    tell = lambda done, total: print(done, flush=True)
    study("random", [5], [2], 200, slow, path=sys.argv[1], processes=2, progress=tell)
"""


def test_the_keyboard_interrupts_without_loss(tmp_path):
    """Ctrl-C goes to every process of the terminal's group; all end, at once and without noise of the workers."""
    (tmp_path / "script.py").write_text(SCRIPT)
    path = tmp_path / "study.jsonl"
    command = [sys.executable, tmp_path / "script.py", path]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    # Where the tests themselves run in the background, interrupts are ignored, and so they would be here.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, **pipes, env=environment, start_new_session=True, preexec_fn=heed) as running:
        while running.stdout.readline().strip() != "4":
            pass
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=20)
    assert running.returncode != 0
    assert errors.count("Traceback") == errors.count("KeyboardInterrupt") == 1
    kept = path.read_bytes().count(b"\n") - 1
    assert 4 <= kept < 20
    seen = []
    study("random", [5], [2], kept + 2, slow, path=path, progress=lambda done, total: seen.append(done))
    assert seen[0] >= kept - 2


@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_a_killed_study(tmp_path, blow):
    """They hold the other end of the pipe, which closes when the last of them is gone."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py", tmp_path / "study.jsonl"]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as running:
        while running.stdout.readline().strip() != "4":
            pass
        os.kill(running.pid, blow)
        try:
            running.communicate(timeout=20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == -blow


def test_a_measure_of_ones_own_with_a_name_of_the_package_s_keeps_its_limits():
    def negative(g):
        return {"sigma_change": -1.0 - float(g.indices[:5].sum() % 7) / 10}

    (found,) = study("random", [16], [3], 12, {"own": negative}).summary("sigma_change")
    assert found.low < found.lower <= found.upper < found.high < 0
