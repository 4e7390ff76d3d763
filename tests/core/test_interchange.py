import os
import pickle
import zipfile
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from scipy import sparse

import expandergraphs as eg
from expandergraphs import LayeredGraph
from tests.core.strategies import networks
from tests.core.test_interchange_text import TEXT


@given(networks())
def test_networks_come_back_equal(tmp_path_factory, net):
    path = tmp_path_factory.mktemp("net") / "net.npz"
    for variant in (net, LayeredGraph(net.widths, net.blocks, net.weights, [f"λ{k}" for k in range(len(net.widths))])):
        eg.save(path, variant)
        assert eg.load(path) == variant
        assert os.listdir(path.parent) == ["net.npz"]


def test_graphs_come_back_as_graphs(tmp_path):
    g = eg.random_regular(20, 30, 4, rng=0)
    eg.save(str(tmp_path / "g.npz"), g)
    loaded = eg.load(str(tmp_path / "g.npz"))
    assert loaded == g
    assert not loaded.indices.flags.writeable


@pytest.mark.parametrize("names", [[], ["fc1"], ["fc1", "", "layer4.0.conv1", "λ"]])
def test_graphs_by_name(tmp_path, names):
    graphs = {name: eg.random_bipartite(9, 5 + k, density=0.3, rng=k) for k, name in enumerate(names)}
    path = tmp_path / "wiring.npz"
    eg.save_graphs(path, graphs)
    loaded = eg.load_graphs(path)
    assert loaded == graphs
    assert list(loaded) == names
    with pytest.raises(ValueError, match="which load_graphs reads, and the command report"):
        eg.load(path)


def test_damaged_files_of_graphs_by_name_are_refused(tmp_path):
    path = tmp_path / "wiring.npz"
    eg.save(path, g99)
    with pytest.raises(ValueError, match="where 2 is needed; load reads it"):
        eg.load_graphs(path)
    eg.save_graphs(path, {"a": g99, "b": g99})
    with np.load(path) as archive:
        arrays = dict(archive)
    for change, message in (
        ({"names": np.frombuffer(b'["a", "a"]', dtype=np.uint8)}, "it names"),
        ({"names": np.frombuffer(b'["a", 3]', dtype=np.uint8)}, "it names"),
        ({"names": np.frombuffer(b'["a"]', dtype=np.uint8)}, "where .* are needed"),
        ({"sizes": np.array([9, 9])}, "states 1 sizes"),
        ({"sizes": np.array([9, 9, 8, 9])}, "indptr must rise"),
        ({"sizes": np.array([9, 9, 9])}, "cannot reshape"),
        ({"junk": np.zeros(3)}, "where .* are needed"),
    ):
        np.savez(path, **(arrays | change))
        with pytest.raises(ValueError, match=f"is not a file of graphs written by expandergraphs: .*{message}"):
            eg.load_graphs(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is not a file of graphs"):
        eg.load_graphs(path)
    for path, graphs, message in (
        (tmp_path / "wiring.tsv", {}, "kept in an .npz file"),
        (tmp_path / "wiring.npz", [g99], "a mapping from names to graphs is needed, got list"),
        (tmp_path / "wiring.npz", {3: g99}, "a mapping from names to graphs is needed, got dict"),
        (tmp_path / "wiring.npz", {"a": 3}, "a BipartiteGraph is needed, got int"),
    ):
        with pytest.raises(ValueError, match=message):
            eg.save_graphs(path, graphs)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path, g = tmp_path / "g.npz", eg.random_regular(9, 9, 2, rng=0)
    eg.save(path, g)

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        eg.save(path, eg.random_regular(9, 9, 2, rng=1))
    assert eg.load(path) == g
    assert os.listdir(tmp_path) == ["g.npz"]


def arrays_of(g):
    """The arrays of a graph's file."""
    return {
        "format": np.array([1, 0, 0, 0]),
        "widths": np.array([g.n_left, g.n_right]),
        "blocks": np.array([0, 1]),
        "0-1/indptr": np.array(g.indptr),
        "0-1/indices": np.array(g.indices),
    }


g99 = eg.random_regular(9, 9, 2, rng=0)


class Surprise:
    def __reduce__(self):
        return pytest.fail, ("something was unpickled",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": np.array([2, 0, 0, 0])}, "its format is 2, where 1 is needed; .* load_graphs reads"),
        ({"format": np.array([1, 0])}, "not enough values"),
        ({"format": np.array([1, 0, 0, 1])}, "where .* are needed"),
        ({"format": np.array([1, 0, 1, 0])}, "where .* are needed"),
        ({"junk": np.array([1])}, "where .* are needed"),
        ({"widths": np.array([9, 9, 9])}, "a bipartite graph has two sides"),
        ({"0-1/indptr": np.array([0, 90, -90, -10, 80, 100, 18, 18, 18, 18], np.int8)}, "indptr must rise"),
        ({"0-1/indices": np.array([Surprise()], dtype=object)}, "unexpected type"),
        ({"0-1/indices": np.arange(18.0)}, "unexpected type"),
        ({"0-1/indices": np.full(18, 99)}, "right vertices must lie in 0..8"),
        ({"0-1/indices": np.full(18, -1)}, "right vertices must lie in 0..8"),
        ({"0-1/indptr": np.arange(10)}, "indptr must rise"),
        ({"widths": np.array([10, 9])}, "indptr must rise"),
        ({"widths": np.array([9])}, "does not fit 1 layers"),
        (
            {
                "blocks": np.array([1, 0]),
                "0-1/indptr": None,
                "0-1/indices": None,
                "1-0/indptr": np.arange(10),
                "1-0/indices": np.arange(9),
            },
            "block 1-0 does not fit",
        ),
        ({"0-1/indices": None}, "0-1/indices"),
        ({"widths": None}, "widths"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, message):
    path = tmp_path / "g.npz"
    arrays = {name: array for name, array in (arrays_of(g99) | change).items() if array is not None}
    np.savez(path, allow_pickle=True, **arrays)
    with pytest.raises(ValueError, match=message):
        eg.load(path)


def test_weights_are_one_an_edge_or_one_for_all(tmp_path):
    path, arrays = tmp_path / "net.npz", arrays_of(g99) | {"format": np.array([1, 1, 1, 0])}
    for weights in (np.arange(18.0), np.array([0.5])):
        np.savez(path, **arrays, **{"0-1/weights": weights})
        assert eg.load(path) == LayeredGraph([9, 9], {(0, 1): g99}, {(0, 1): np.broadcast_to(weights, 18)})
    for weights in (np.arange(17.0), np.empty(0), np.array([np.nan])):
        np.savez(path, **arrays, **{"0-1/weights": weights})
        with pytest.raises(ValueError, match=r"net.npz is not a graph file"):
            eg.load(path)


def test_a_header_that_claims_too_much_is_not_believed(tmp_path):
    """A header may promise 8 TB; nothing is allocated before the file has been found to hold it."""
    path = tmp_path / "g.npz"
    with zipfile.ZipFile(path, "w") as archive:
        header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }"
        archive.writestr("format.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\x01")
    with pytest.raises(ValueError, match="unexpected type or size"):
        eg.load(path)
    np.savez_compressed(path, **arrays_of(g99))
    with pytest.raises(ValueError, match="compressed"):
        eg.load(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip", pickle.dumps({"format": [1]})])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "g.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"g.npz is not a graph file .*: it is no .npz file$"):
        eg.load(path)


@pytest.mark.parametrize("save", [sparse.save_npz, partial(sparse.save_npz, compressed=False)])
def test_a_scipy_matrix_is_recognised(tmp_path, save):
    save(tmp_path / "b.npz", sparse.csr_array(np.eye(3)))
    with pytest.raises(
        ValueError, match=r"it holds a SciPy matrix, which BipartiteGraph\.from_biadjacency makes a graph"
    ):
        eg.load(tmp_path / "b.npz")


def test_a_folder_is_named_one(tmp_path):
    (tmp_path / "net").mkdir()
    with pytest.raises(ValueError, match=r"got 'net', which is a folder$"):
        eg.load(tmp_path / "net")


def test_every_truncation_is_noticed(tmp_path):
    path = tmp_path / "g.npz"
    eg.save(path, g99)
    whole = path.read_bytes()
    for length in (*range(4, len(whole), 37), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"not a graph file .*: it begins as an \.npz file and is cut off$"):
            eg.load(path)


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path):
    """No damage may turn a network into another one."""
    path, rng = tmp_path / "net.npz", np.random.default_rng(0)
    net = LayeredGraph([9, 9], {(0, 1): g99}, {(0, 1): np.arange(18.0)}, names=["in", "out"])
    eg.save(path, net)
    whole = path.read_bytes()
    for position in rng.integers(len(whole), size=1500):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            assert eg.load(path) == net
        except ValueError as error:
            assert "not a graph file" in str(error)  # noqa: PT017


@pytest.mark.parametrize("header", ["(" * 100, "-" * 9000 + "1", "{[]: 1}", "", "{'descr': 'i8'}"])
def test_malformed_headers_are_refused(tmp_path, header):
    path = tmp_path / "g.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("format.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    with pytest.raises(ValueError, match="not a graph file"):
        eg.load(path)


def test_links_and_modes_are_kept(tmp_path):
    target, link = tmp_path / "target.npz", tmp_path / "link.npz"
    eg.save(target, g99)
    target.chmod(0o600)
    link.symlink_to(target)
    eg.save(link, g99.T)
    assert link.is_symlink()
    assert eg.load(target) == g99.T
    assert target.stat().st_mode & 0o777 == 0o600


def test_bad_input_is_refused(tmp_path):
    for path in (None, 3):
        with pytest.raises(ValueError, match="path must be a string or a path"):
            eg.load(path)
    known = ".npz, .mtx, .tsv, .edges, .mtx.gz, .tsv.gz, .edges.gz"
    for name in ("g.txt", "g", "g.npz.gz", "g.gz", ".mtx"):
        with pytest.raises(ValueError, match=rf"suffix, which must be one of {known}, got '{name}'"):
            eg.save(tmp_path / name, g99)
    with pytest.raises(ValueError, match="got dict"):
        eg.save(tmp_path / "g.npz", {})
    with pytest.raises(FileNotFoundError):
        eg.load(tmp_path / "missing.npz")
    with pytest.raises(FileNotFoundError):
        eg.save(tmp_path / "no folder" / "g.npz", g99)


def test_sizes_are_given_where_they_are_needed_and_agree_where_they_are_stated(tmp_path):
    g = eg.random_bipartite(3, 4, n_edges=5, rng=0)
    for suffix in [".npz", *TEXT]:
        path = tmp_path / f"g{suffix}"
        eg.save(path, g)
        if suffix.startswith(".tsv"):
            with pytest.raises(
                ValueError, match=r"does not state its sizes; give sizes=\(n_left, n_right\), in the shell --sizes"
            ):
                eg.load(path)
            assert eg.load(path, sizes=(9, 9)).edges.tolist() == g.edges.tolist()
        else:
            with pytest.raises(ValueError, match=r"states the sizes \(3, 4\), which differ from those given, \(4, 3\)"):
                eg.load(path, sizes=(4, 3))
        assert eg.load(path, sizes=np.array([3, 4])) == g
        for wrong, message in [
            (3, "sizes must be a sequence, got 3"),
            ((3, -4), "each size must be an integer of at least 0, got -4"),
            ((3, 4.0), "each size must be an integer, got 4.0"),
            (
                (3, 4, 5),
                r"differ from those given"
                if suffix == ".npz"
                else r"sizes must be two, got \(3, 4, 5\); give sizes=\(",
            ),
        ]:
            with pytest.raises(ValueError, match=message):
                eg.load(path, sizes=wrong)
    net = eg.radix_net([[2, 2]], [1, 2, 1])
    eg.save(tmp_path / "net.npz", net)
    assert eg.load(tmp_path / "net.npz", sizes=(4, 8, 4)) == net
    with pytest.raises(ValueError, match=r"states the sizes \(4, 8, 4\), which differ"):
        eg.load(tmp_path / "net.npz", sizes=(4, 4))


@pytest.mark.parametrize("suffix", [".mtx", ".tsv.gz", ".edges"])
def test_networks_go_to_npz(tmp_path, suffix):
    with pytest.raises(ValueError, match=r"holds one BipartiteGraph, got a LayeredGraph; a network goes to .npz"):
        eg.save(tmp_path / f"net{suffix}", eg.radix_net([[2, 2]], [1, 1, 1]))
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.npz cannot be written: there is no folder .*nowhere"):
        eg.save(tmp_path / "nowhere" / "a.npz", eg.random_regular(3, 3, 2, rng=0))
