import gzip
import math
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import io, sparse

import expandergraphs as eg
from expandergraphs import BipartiteGraph, _text
from tests.core.strategies import pairs

TEXT = [".mtx", ".tsv", ".edges", ".mtx.gz", ".tsv.gz", ".edges.gz"]

g99 = eg.random_regular(9, 9, 2, rng=0)


def written(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("suffix", TEXT)
@given(pairs())
def test_graphs_come_back_from_text(tmp_path_factory, suffix, drawn):
    n_left, n_right, edges = drawn
    g = BipartiteGraph.from_edges(n_left, n_right, edges)
    path = tmp_path_factory.mktemp("text") / f"g.v2{suffix}"
    eg.save(path, g)
    assert eg.load(path, sizes=(n_left, n_right)) == g
    if "tsv" not in suffix:
        assert eg.load(path) == g
    assert os.listdir(path.parent) == [path.name]


@given(pairs())
def test_lines_are_those_of_the_slow_twin(tmp_path_factory, drawn):
    n_left, n_right, edges = drawn
    folder, g = tmp_path_factory.mktemp("text"), BipartiteGraph.from_edges(n_left, n_right, edges)
    lines = [f"{i} {j}" for i, j in sorted(edges)]
    eg.save(folder / "g.edges", g)
    assert (folder / "g.edges").read_text().splitlines() == [f"# {n_left} {n_right} {len(edges)}", *lines]
    eg.save(folder / "g.tsv", g)
    by_column = sorted(edges, key=lambda edge: edge[::-1])
    assert (folder / "g.tsv").read_text().splitlines() == [f"{i + 1}\t{j + 1}\t1" for i, j in by_column]


@given(pairs())
def test_scipy_reads_what_we_write(tmp_path_factory, drawn):
    n_left, n_right, edges = drawn
    g = BipartiteGraph.from_edges(n_left, n_right, edges)
    path = tmp_path_factory.mktemp("text") / "g.mtx"
    eg.save(path, g)
    np.testing.assert_array_equal(io.mmread(path).toarray(), g.biadjacency.toarray())


@given(st.data())
def test_we_read_what_scipy_writes(tmp_path_factory, data):
    shape = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))
    values = data.draw(
        st.lists(st.sampled_from([0, 0, 1, -2, 3]), min_size=math.prod(shape), max_size=math.prod(shape))
    )
    dense = np.array(values).reshape(shape) * data.draw(st.sampled_from([1, 0.5, 1e-300]))
    path = tmp_path_factory.mktemp("text") / "g.mtx"
    expected = BipartiteGraph.from_biadjacency(dense)
    for matrix in (sparse.coo_array(dense), dense):
        io.mmwrite(path, matrix, comment="one comment\nand another", symmetry="general")
        assert eg.load(path) == expected


@pytest.mark.parametrize("suffix", TEXT)
def test_long_files_are_read_and_written_in_parts(tmp_path, monkeypatch, suffix):
    """Numbers grow by a digit at the borders 10, 100 and 1000, and no part ends where a line does."""
    monkeypatch.setattr(_text, "_BLOCK", 101)
    monkeypatch.setattr(_text, "_STEP", 7)
    g = eg.random_left_regular(1200, 1005, 2, rng=0)
    eg.save(tmp_path / f"g{suffix}", g)
    assert eg.load(tmp_path / f"g{suffix}", sizes=(1200, 1005)) == g


def test_long_arrays_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(_text, "_BLOCK", 101)
    dense = np.random.default_rng(0).integers(-1, 2, size=(17, 23))
    io.mmwrite(tmp_path / "g.mtx", dense, symmetry="general")
    assert eg.load(tmp_path / "g.mtx") == BipartiteGraph.from_biadjacency(dense)


def test_compressed_files_do_not_depend_on_the_clock(tmp_path, monkeypatch):
    contents = []
    for second in (0.0, 1e9):
        monkeypatch.setattr("time.time", lambda second=second: second)
        eg.save(tmp_path / f"{second}.edges.gz", g99)
        contents.append((tmp_path / f"{second}.edges.gz").read_bytes())
    assert contents[0] == contents[1]


MM = "%%MatrixMarket matrix coordinate"
ARRAY = "%%MatrixMarket matrix array"


@pytest.mark.parametrize(
    ("name", "content", "edges"),
    [
        ("g.mtx", f"{MM} real general\n2 3 3\n1 1 .5\n2 3 -1e-9\n1 2 0\n", [[0, 0], [1, 2]]),
        ("g.mtx", f"{MM} integer general\n% a comment\n%\n\n2 3 1\n2 1 7\n\n", [[1, 0]]),
        ("g.mtx", f"{MM.upper()} Pattern General\r\n2 3 1\r\n2 1\r\n", [[1, 0]]),
        ("g.mtx", f"{ARRAY} real general\n2 3\n0\n1\n0.0\n0\n-2\n0\n", [[0, 2], [1, 0]]),
        ("g.tsv", "2\t3\t0\n1 1  1e-2", [[0, 0], [1, 2]]),
        ("g.edges", "# 2 3\n1 2\n0 0\n", [[0, 0], [1, 2]]),
        ("g.edges", "#2 3 1\n1 2", [[1, 2]]),
        ("g.edges", "# a graph\n1 2\n", [[1, 2]]),
        ("g.edges", "1 2\n0 0\n", [[0, 0], [1, 2]]),
        ("g.edges", "", []),
        ("g.tsv", "\n\n", []),
    ],
)
def test_files_of_others_are_read(tmp_path, name, content, edges):
    for suffix in ("", ".gz"):
        path = written(tmp_path / f"{name}{suffix}", content.encode())
        g = eg.load(path, sizes=[2, 3])
        assert (g.n_left, g.n_right, g.edges.tolist()) == (2, 3, edges)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        # Matrix Market: the header
        ("g.mtx", "", "does not begin with"),
        ("g.mtx", "2 3 1\n1 1 1\n", "does not begin with"),
        ("g.mtx", "%%MatrixMarket vector coordinate real general\n2 1\n", "does not begin with"),
        (
            "g.mtx",
            f"{MM} complex general\n2 3 1\n1 1 1 1\n",
            "unsigned-integer, pattern is needed, got coordinate compl",
        ),
        ("g.mtx", f"{ARRAY} pattern general\n2 3\n1\n", "is needed, got array pattern"),
        ("g.mtx", f"{MM} real symmetric\n2 2 1\n2 1 1\n", "a general matrix is needed, got a symmetric one"),
        ("g.mtx", f"{MM} real general\n", "must state rows, columns and entries, got b''"),
        ("g.mtx", f"{MM} real general\n2 3\n1 1 1\n", r"rows, columns and entries, got b'2 3\\n'"),
        ("g.mtx", f"{MM} real general\n2 -3 0\n", "must state rows, columns and entries"),
        ("g.mtx", f"{ARRAY} real general\n2 3 6\n", "must state rows and columns, got"),
        ("g.mtx", f"{MM} real general\n{'9' * 30} 3 0\n", "must be below 2\\*\\*63"),
        ("g.mtx", f"{MM} real general\n{'9' * 5000} 3 0\n", "Exceeds the limit"),
        ("g.mtx", f"{MM} real general\n1 3000000000000000000 0\n", r"if that is right, confirm by sizes=\(1, 30+\)"),
        # Matrix Market: the entries
        ("g.mtx", f"{MM} real general\n2 3 2\n1 1 1\n", "states 2 entries and holds 1"),
        ("g.mtx", f"{MM} real general\n2 3 1\n1 1 1\n1 2 1\n", "holds more than 1 lines"),
        ("g.mtx", f"{MM} real general\n2 3 1\n3 1 1\n", "left vertices must be integers in 1..2, got 3"),
        ("g.mtx", f"{MM} real general\n2 3 1\n1 0 1\n", "right vertices must be integers in 1..3, got 0"),
        ("g.mtx", f"{MM} real general\n2 3 1\n1 1.5 1\n", "right vertices must be integers in 1..3, got 1.5"),
        ("g.mtx", f"{MM} real general\n2 3 1\nnan 1 1\n", "left vertices must be integers in 1..2, got nan"),
        ("g.mtx", f"{MM} real general\n2 3 1\n1 1\n", "a line must hold 3 numbers, got 2"),
        ("g.mtx", f"{MM} real general\n2 3 1\n1 1 1 1\n", "a line must hold 3 numbers, got 4"),
        ("g.mtx", f"{MM} pattern general\n2 3 1\n1 1 1\n", "a line must hold 2 numbers, got 3"),
        ("g.mtx", f"{MM} real general\n2 3 1\n1 1 nan\n", "weights must be finite numbers, got nan"),
        ("g.mtx", f"{MM} real general\n2 3 2\n1 1 1\n1 1 -1\n", r"1 repeated edges, the first is \(0, 0\)"),
        ("g.mtx", f"{MM} real general\n0 3 1\n1 1 1\n", "left vertices must be integers in 1..0, got 1"),
        ("g.mtx", f"{ARRAY} real general\n2 3\n1\n0\n", "states 6 entries and holds 2"),
        ("g.mtx", f"{ARRAY} real general\n1 1\n1\n0\n", "holds more than 1 lines"),
        ("g.mtx", f"{ARRAY} real general\n1 1\n1e999\n", "weights must be finite numbers, got inf"),
        ("g.mtx", f"{ARRAY} real general\n0 5\n1\n", "holds more than 0 lines"),
        # edge lists
        ("g.edges", "0 0\n", r"first line is not '# n_left n_right': give sizes=\(n_left, n_right\)"),
        ("g.edges", "# 2 three\n0 0\n", "give sizes="),
        ("g.edges", "# 2 3\n0 0 {}\n", r"could not convert string '{}' to float64 at row 0, column 3"),
        ("g.edges", "# 2 3\n0 0\n1\n", "number of columns changed from 2 to 1"),
        ("g.edges", "# 2 3\n0 3\n", "right vertices must be integers in 0..2, got 3"),
        ("g.edges", "# 2 3\n-1 0\n", "left vertices must be integers in 0..1, got -1"),
        ("g.edges", "# 2 3\n0 1_0\n", "could not convert string '1_0'"),
        ("g.edges", "# 2 3 2\n0 0\n", "states 2 entries and holds 1"),
        ("g.edges", "# 2 3 0\n0 0\n", "holds more than 0 lines"),
        ("g.edges", "# 1 1\n0 0\n0 0\n", "holds more than 1 lines, which is all there can be"),
        ("g.edges", "# 2 3\n0 0\n0 0\n", "1 repeated edges"),
        ("g.edges", "\x00\x01\x02\n", "give sizes="),
        ("g.edges", "# 1 9007199254740993\n0 9007199254740992\n", "confirm by sizes="),
    ],
)
def test_damaged_text_is_refused(tmp_path, name, content, message):
    for suffix in ("", ".gz"):
        path = written(tmp_path / f"{name}{suffix}", content.encode())
        with pytest.raises(ValueError, match=rf"{path.name} cannot be read as .*: .*{message}"):
            eg.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\t1\tnan\n", "weights must be finite numbers, got nan"),
        ("1\t1\tinf\n", "weights must be finite numbers, got inf"),
        ("1\t1\n", "a line must hold 3 numbers, got 2"),
        ("0\t1\t1\n", "left vertices must be integers in 1..2, got 0"),
        ("1\t4\t1\n", "right vertices must be integers in 1..3, got 4"),
        ("1,1,1\n", "could not convert string '1,1,1'"),
        ("1\t1\t1\n1\t1\t2\n", "1 repeated edges"),
        ("1\t1\t1\n" * 7, "more than 6 lines, which is all there can be"),
    ],
)
def test_damaged_layers_are_refused(tmp_path, content, message):
    path = written(tmp_path / "g.tsv", content.encode())
    with pytest.raises(ValueError, match=rf"g.tsv cannot be read as Graph Challenge TSV: .*{message}"):
        eg.load(path, sizes=(2, 3))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("g.mtx", f"{MM} pattern general\n1000000000000 1000000 1\n1 1\n"),
        ("g.mtx", f"{MM} pattern general\n5 5 1000000000000000000\n1 1\n"),
        ("g.mtx", f"{ARRAY} real general\n10000000 10000000\n1\n"),
        ("g.edges", "# 1000000000000 5 1\n0 0\n"),
        ("g.edges", "# 5 5 1000000000000000000\n0 0\n"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_nothing_is_allocated_on_a_header_s_word(tmp_path, name, content, suffix):
    path = written(tmp_path / f"{name}{suffix}", content.encode())
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"confirm by sizes=|and holds 1"):
            eg.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_many_isolated_vertices_can_be_confirmed(tmp_path, monkeypatch):
    monkeypatch.setattr(_text, "_FEW", 1000)
    g = BipartiteGraph.from_edges(100_000, 2, [(7, 1)])
    for suffix in (".mtx", ".edges"):
        eg.save(tmp_path / f"g{suffix}", g)
        with pytest.raises(ValueError, match=r"in \d\d bytes; if that is right, confirm by sizes=\(100000, 2\)"):
            eg.load(tmp_path / f"g{suffix}")
        assert eg.load(tmp_path / f"g{suffix}", sizes=(100_000, 2)) == g


def test_a_little_file_that_unpacks_to_one_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_text, "_BLOCK", 1 << 16)
    path = written(tmp_path / "g.tsv.gz", b"1" * (1 << 22))
    with pytest.raises(ValueError, match="a line is longer than 65536 bytes"):
        eg.load(path, sizes=(9, 9))


@pytest.mark.parametrize("suffix", [".mtx.gz", ".tsv.gz", ".edges.gz"])
def test_truncated_compressed_files_are_noticed(tmp_path, suffix):
    path = tmp_path / f"g{suffix}"
    eg.save(path, g99)
    whole = path.read_bytes()
    for length in range(1, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cannot be read as"):
            eg.load(path, sizes=(9, 9))


@pytest.mark.parametrize("suffix", [".mtx", ".edges"])
def test_lost_lines_are_noticed(tmp_path, suffix):
    path = tmp_path / f"g{suffix}"
    eg.save(path, g99)
    lines = path.read_bytes().splitlines(keepends=True)
    for k in range(2 if suffix == ".mtx" else 1, len(lines)):
        path.write_bytes(b"".join(lines[:k]))
        with pytest.raises(ValueError, match="states 18 entries and holds"):
            eg.load(path)


@pytest.mark.parametrize("suffix", TEXT)
def test_whatever_the_damage_the_refusal_is_a_value_error(tmp_path, suffix):
    path, rng = tmp_path / f"g{suffix}", np.random.default_rng(0)
    eg.save(path, g99)
    whole = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        for position in rng.integers(len(whole), size=rng.integers(1, 4)):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            loaded = eg.load(path, sizes=(9, 9))
        except ValueError as error:
            assert path.name in str(error)  # noqa: PT017
        else:
            assert isinstance(loaded, BipartiteGraph)


@pytest.mark.parametrize("suffix", TEXT)
def test_a_failed_write_of_text_leaves_the_old_file(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"g{suffix}"
    eg.save(path, g99)

    def full(columns, values):
        raise OSError("No space left on device")

    monkeypatch.setattr(_text, "_put_digits", full)
    with pytest.raises(OSError, match="No space left"):
        eg.save(path, g99.T)
    assert os.listdir(tmp_path) == [path.name]
    assert eg.load(path, sizes=(9, 9)) == g99
