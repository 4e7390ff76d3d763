import gzip
import hashlib
import tracemalloc
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

import expandergraphs as eg
from expandergraphs import BipartiteGraph, GenerationError, LayeredGraph
from expandergraphs.generators import graph_challenge as module
from expandergraphs.generators.graph_challenge import graph_challenge, graph_challenge_layers
from expandergraphs.interchange import load_graph_challenge, save_graph_challenge

# BipartiteGraph.digest of the Graph Challenge's files n1024-l1.tsv to n1024-l12.tsv.
DIGESTS = [
    "ed50ab5e827dca1f6e0bacbb4cd070fc08389366879268a879fc92f10771daf8",
    "da301b618a8f4ca82a97a1f08a92de4dce6d018690542710ab0225ac22e42b0b",
    "e0e549be6d1345b77e005108c5957f0dd498739f16a1b307e11d88256dd41eef",
    "135e82b39294efebd546fd20cb849126a718bd57631658ed421fffce6517c823",
    "f045b3b512e22aa4197ee149deddebdc748afd3e5650c434c8cdfe0aca16276e",
    "eda87d98ca7025f191a2f4397639f1af4bc04ecbde7b590d5c31e33cc4cb7eb6",
    "71d5467ad5253367147bc9eb6f6d08d15870130aa47d65f983b1f0851c7f6dc3",
    "f2f2038ba8748f734b14d8f37596c5990218a929badc59528d354a2c9d39c1b9",
    "290ab28707a96970d279e779f2ddb86494272a168bf884a54fe3af5ab5448fcb",
    "5f178a18c5f4ab6288eee2108d0c46d8100183aab12419452b10ada4ca1e6f72",
    "226e0f291b07daa4af13c9f89baf400220c4462d5365fdd7b6b03b627b64a685",
    "74a143737d2e5c1f5bade7af043e14c2881aaa2a21ef341d1e8b62af22d7ae9a",
]
# SHA-256 of the same files.
FILES = [
    "48f8c5363f7f6579b4a186b0d03a27b13d5d9e3e41e17af884569d754248903a",
    "8285beff071684fd0bf02faf63e5d65c8093096719ae469f23cfa9482b1071ad",
    "5323985b9f59f47f1ea6f5d342d2877385f36db8978b481cb47aeaf1e388d43c",
    "e329c5fdfd4b5edc0c869c57a7fd4ab1d443d5a00a31fb13a2927984c0ff0454",
    "77d4bc3b2cc6d869e6fc4391ab95160663a0e7f1b6597bbc1befe42d282050e1",
    "fe114f5984385992eacfd4a827dd1d0c77523887dcf6a0ade222ad544ac7a249",
    "2c63b12ddca93f266438c44210bc333cdc975f25df2b5886455ef52d6e41331d",
    "439cd6802ef2d8e50da2268b87df3b1f32d69352489f1e9575481217e0aec8b4",
    "7a6b97ef1402c8490fc089acfbd383f1f8bd17f9bc26d2bc5562d432165012df",
    "d10186073120eacdaa3d9b95e9ee7bdc41ccb9844fe994d4e7eece3307402836",
    "9a30c4b3057b9731484611677750234fdd1d397b48854f41c791d0b5991b6161",
    "63c8100c07c517e7b0806223afa2cee6ecfba1e801965f2cdb6af2b70365bc66",
]
# The permutation p of layers 7 to 12 modulo 64, which is all these files tell: row i is row p(i) of the base block.
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
PERMUTATION = (
    "dsGyPcv9dlpnb7SWz0Igxa9GIhQVu7qVujbpbQVZMMqMPDWfvdtLtt6LhqjzaURkdf/UeX1SbN/wcQ+x1wiC2ygcKQAsp6HJRsGlsJLmwvhrYWbJ"
    "8xivy8DTriC1gNKgbREuHibROaDaBD0VhBEBKGvnmRGAnkD09RJkZLNZVy/2nIh3lBic+/TSWJAH8FA28KYITUiLbJauyKTEEmmFt95a254JK6DO"
    "psNzapqfxwx3AW5SLgUS+A+ZCkj8c+/GKY+1eYwNfdjMT2spH5ynehjfTSN1o5AFXXIFZRE1rxOvxPf8dakh4fzaqkTfGsHN8TxW0fjtyK6FJyzq"
    "FgCpX4qIp1AOwxHm50i7EI+6XNW+VBltoDdHW/2+o3NfR4/krv/shttVjcpN9MrF2YuuelUY7Xqsom0mtZm644SnlwPkhSZQTeIG2Cc6T086t+ED"
    "wO1Bn8mwYCwb/3yjr2XJM3opRzTWQ7+chJSSouB81aj1xx2s3zW8d2PjU7MezV5g41f6wow4lZ8mJzEpYVfXhnH5WBObugleieLSX4GXRpRLe6qe"
    "oCaUvbYfIuHUbAL0s0I4XXnnhnYtGVwR1SHJUIdu+MBheeU3AK75l0V5KlU8KkO6II0+cuuc9bK/J37qGLW97mBZAicTgQxzdMxVCFARrnPXukTG"
    "nYyCTpC8H3GIzEDWCdOULG+gqjQ4LCvXtB3dj521s/0qpolgD6vek+prFrvjUFOMrEPth9KrQHidWJgi7fB2CkPlMQE3qvvuo7VFl9yi9t/1ZIa1"
    "7m3NkHB6bQDo+PPPSM5y4YcqZgLAEoMM9CUtF/lNyjQF7Z4hAh8DrUml2B5zkHaiIvxFQmO9tZsdDBd4wO0gEKVE3w6suOFQeX2bSPvPfoHNrCzr"
    "JNxF04Zc/TjwiBmLqjQzV9oysiDe05KP7ADO3TnaJiHnkMRpOosdq9v4gYnkY3NcZX9ga6erGVM7oDu5KYOYb65r/zaxSfRcE/QRWUzLN391m0PZ"
    "PyL7E2CSAcl8yGOW"
)


def rows(layer):
    """The neighbours of every left vertex, shape (n, 32)."""
    return layer.indices.reshape(layer.n_left, 32)


@pytest.fixture(scope="module")
def official():
    """The twelve real layers, from our generator with their permutation."""
    permutation = np.array([DIGITS.index(digit) for digit in PERMUTATION])
    base = eg.radix_net([[2] * 6], [16] * 7).layers
    return list(islice(module._blocks(base, lambda name: SimpleNamespace(permutation=lambda n: permutation)), 12))


def test_twelve_real_layers_are_ours_up_to_one_row_permutation(official):
    assert [layer.digest for layer in official] == DIGESTS
    permutation = [DIGITS.index(digit) for digit in PERMUTATION]
    assert np.bincount(permutation).tolist() == [16] * 64  # one exists: every class is met as often as it has rows


def test_our_layers_have_the_real_ones_rows(official):
    layers = list(graph_challenge_layers(1024, 12, rng=0))
    assert layers[:6] == official[:6]
    for ours, real in zip(layers[6:], official[6:], strict=True):
        assert ours != real
        assert sorted(rows(ours).tolist()) == sorted(rows(real).tolist())


@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz"])
def test_the_real_files_byte_for_byte(tmp_path, official, suffix):
    save_graph_challenge(tmp_path / "n", official, suffix=suffix)
    for k, digest in enumerate(FILES, start=1):
        path = tmp_path / "n" / f"n1024-l{k}{suffix}"
        content = path.read_bytes() if suffix == ".tsv" else gzip.decompress(path.read_bytes())
        assert hashlib.sha256(content).hexdigest() == digest
        assert eg.load(path, sizes=(1024, 1024)).digest == DIGESTS[k - 1]
    net = load_graph_challenge(tmp_path / "n", 1024)
    assert list(net.layers) == official
    assert all((weights == 1 / 16).all() for weights in net.weights.values())


@pytest.mark.parametrize(("n_neurons", "length"), [(1024, 6), (4096, 8)])
def test_each_block_is_the_base_block_with_one_permutation(n_neurons, length):
    base = eg.radix_net([[2] * length], [16] * (length + 1)).layers
    net = graph_challenge(n_neurons, 3 * length + 1, rng=1)
    assert net.layers[:length] == base
    residues = []
    for start in (length, 2 * length, 3 * length):
        block = net.layers[start : start + length]
        # A row of the first layer of a block names its residue modulo 2**length; the others must follow it.
        order = {row.tobytes(): i for i, row in enumerate(rows(base[0])[: 2**length])}
        residues.append([order[row.tobytes()] for row in rows(block[0])])
        for layer, original in zip(block, base, strict=False):
            np.testing.assert_array_equal(rows(layer), rows(original)[residues[-1]])
    assert residues[0] != residues[1] != residues[2]


@pytest.mark.parametrize(("n_neurons", "length"), [(16384, 10), (65536, 12)])
def test_the_large_sizes(n_neurons, length):
    first = next(graph_challenge_layers(n_neurons, 1920))
    assert first.n_edges == 32 * n_neurons
    last = list(graph_challenge_layers(n_neurons, length))[-1]
    assert last == eg.radix_net([[2] * length], [16] * (length + 1)).layers[-1]
    # Left vertex 0 reaches the residues 0 and -1 in the first layer, 0 and -n/32 in the last.
    assert sorted(set((rows(first)[0] % 2**length).tolist())) == [0, 2**length - 1]
    assert sorted(set((rows(last)[0] % 2**length).tolist())) == [0, 2 ** (length - 1)]


def test_weights_and_paths():
    net = graph_challenge(1024, 13, rng=2)
    assert net.widths == (1024,) * 14
    assert net.n_edges == 13 * 32768
    assert all((weights == 1 / 16).all() for weights in net.weights.values())
    assert eg.path_counts(net, inputs=[0, 99], outputs=[5]).tolist() == [[16**5 * 32**7]] * 2
    alone = LayeredGraph.from_layers(net.layers[6:12])
    assert not eg.is_path_symmetric(alone)


def test_weights_take_no_memory(tmp_path):
    """Four bytes an edge hold the pattern, the matrix takes two entries of 12 bytes; a copy of weights took 8 more."""

    def bytes_an_edge(build):
        tracemalloc.start()
        result = build()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result, peak / (32 * 1024 * 60)

    net, peak = bytes_an_edge(lambda: graph_challenge(1024, 60, rng=0))
    assert peak < 5
    assert bytes_an_edge(lambda: net.adjacency)[1] < 26
    assert bytes_an_edge(lambda: eg.save(tmp_path / "net.npz", net))[1] < 0.5
    assert (tmp_path / "net.npz").stat().st_size < 5 * net.n_edges
    loaded, peak = bytes_an_edge(lambda: eg.load(tmp_path / "net.npz"))
    assert loaded == net
    assert peak < 5
    save_graph_challenge(tmp_path / "net", LayeredGraph.from_layers(net.layers[:2]))
    loaded = load_graph_challenge(tmp_path / "net", 1024)
    assert all(values.strides == (0,) for values in loaded.weights.values())


def test_seeds():
    assert graph_challenge(1024, 8, rng=3) == graph_challenge(1024, 8, rng=3)
    assert graph_challenge(1024, 8, rng=3) != graph_challenge(1024, 8, rng=4)
    assert graph_challenge(1024, 8, rng=3).layers == graph_challenge(1024, 14, rng=3).layers[:8]
    generator = np.random.default_rng(0)
    assert graph_challenge(1024, 7, rng=generator) != graph_challenge(1024, 7, rng=generator)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1000, 120), GenerationError, "have 1024, 4096, 16384, 65536 neurons a layer, got n_neurons=1000"),
        ((1024.0, 120), ValueError, "n_neurons must be an integer, got 1024.0"),
        ((1024, 0), ValueError, "n_layers must be an integer of at least 1, got 0"),
    ],
)
def test_bad_requests_are_refused_at_once(arguments, error, message):
    for build in (graph_challenge, graph_challenge_layers):
        with pytest.raises(error, match=message):
            build(*arguments)


# --- folders ---


def small(*, weighted, n_layers=3):
    layers = [eg.random_bipartite(5, 5, n_edges=9, rng=k) for k in range(n_layers)]
    weights = {(k, k + 1): np.random.default_rng(k).normal(size=9) for k in range(n_layers)}
    net = LayeredGraph.from_layers(layers)
    return LayeredGraph(net.widths, net.blocks, weights) if weighted else net


@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz"])
def test_any_network_of_one_width_comes_back(tmp_path, suffix):
    net = small(weighted=True, n_layers=12)
    save_graph_challenge(tmp_path / "net", net, suffix=suffix)
    assert load_graph_challenge(tmp_path / "net", 5) == net
    assert load_graph_challenge(tmp_path / "net", 5, n_layers=2).layers == net.layers[:2]
    assert sorted(path.name for path in (tmp_path / "net").iterdir())[:2] == [f"n5-l1{suffix}", f"n5-l10{suffix}"]


def test_layers_without_edges_come_back(tmp_path):
    empty, full = BipartiteGraph.from_edges(5, 5, []), eg.random_bipartite(5, 5, n_edges=2, rng=0)
    net = LayeredGraph([5, 5, 5], {(0, 1): empty, (1, 2): full}, {(0, 1): [], (1, 2): [0.5, 0.5]})
    save_graph_challenge(tmp_path / "net", net)
    assert load_graph_challenge(tmp_path / "net", 5) == net


@pytest.mark.parametrize(("given", "expected"), [({}, 1 / 16), ({"weight": 1}, 1.0), ({"weight": 1 / 3}, 1 / 3)])
def test_patterns_get_the_weight_asked_for(tmp_path, given, expected):
    net = small(weighted=False)
    save_graph_challenge(tmp_path / "a", net, **given)
    save_graph_challenge(tmp_path / "b", iter(net.layers), **given)
    for folder in "ab":
        loaded = load_graph_challenge(tmp_path / folder, 5)
        assert loaded.blocks == net.blocks
        assert all((weights == expected).all() for weights in loaded.weights.values())


def test_a_folder_is_there_whole_or_not(tmp_path):
    def broken():
        yield from small(weighted=False).layers
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        save_graph_challenge(tmp_path / "net", broken())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "net").mkdir(mode=0o700)
    with pytest.raises(OSError, match="No space left"):
        save_graph_challenge(tmp_path / "net", broken())
    assert list((tmp_path / "net").iterdir()) == []
    save_graph_challenge(tmp_path / "net", small(weighted=False))
    assert (tmp_path / "net").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    before = sorted((tmp_path / "net").iterdir())
    with pytest.raises(ValueError, match="must be a new or an empty folder"):
        save_graph_challenge(tmp_path / "net", small(weighted=True))
    assert sorted((tmp_path / "net").iterdir()) == before


skipping = LayeredGraph([2, 2, 2], {(0, 2): BipartiteGraph.from_edges(2, 2, [])})
uneven = LayeredGraph.from_layers([eg.random_bipartite(5, 4, n_edges=3, rng=0)])


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (skipping, {}, r"has no skips, got \(0, 2\)"),
        (uneven, {}, "every layer must be 5 x 5, layer 1 is 5 x 4"),
        ([], {}, "at least one graph between its layers, got none"),
        (7, {}, "iterable of BipartiteGraphs is needed, got int"),
        ([7], {}, "a BipartiteGraph is needed, got int"),
        (uneven, {"suffix": ".csv"}, "suffix must be .tsv or .tsv.gz, got '.csv'"),
        (uneven, {"weight": np.inf}, "weight must be a finite number, got inf"),
        (uneven, {"weight": "1"}, "weight must be a finite number, got '1'"),
    ],
)
def test_what_is_no_such_network_is_not_written(tmp_path, net, options, message):
    with pytest.raises(ValueError, match=message):
        save_graph_challenge(tmp_path / "net", net, **options)
    assert list(tmp_path.iterdir()) == []


def test_damaged_folders_are_refused(tmp_path):
    folder = tmp_path / "net"
    with pytest.raises(FileNotFoundError):
        load_graph_challenge(folder, 5)
    save_graph_challenge(folder, small(weighted=True))
    with pytest.raises(ValueError, match=r"holds no file n6-l1.tsv or n6-l1.tsv.gz, but those of 5 neurons"):
        load_graph_challenge(folder, 6)
    with pytest.raises(ValueError, match="layer 4 of 4 is missing"):
        load_graph_challenge(folder, 5, n_layers=4)
    with pytest.raises(ValueError, match="n_layers must be an integer of at least 1"):
        load_graph_challenge(folder, 5, n_layers=0)
    (folder / "n5-l1.tsv").rename(folder / "n5-l01.tsv")
    with pytest.raises(ValueError, match=r"layer 1 of 3 is missing in .*: there is no n5-l1.tsv"):
        load_graph_challenge(folder, 5)
    (folder / "n5-l1.tsv.gz").write_bytes(b"1\t1\t1\n")
    with pytest.raises(ValueError, match=r"n5-l1.tsv.gz cannot be read as Graph Challenge TSV: Not a gzipped file"):
        load_graph_challenge(folder, 5)
    (folder / "n5-l1.tsv").write_bytes(b"1\t6\t1\n")
    with pytest.raises(ValueError, match=r"layer 1 is there twice, as n5-l1.tsv and n5-l1.tsv.gz"):
        load_graph_challenge(folder, 5)
    (folder / "n5-l1.tsv.gz").unlink()
    with pytest.raises(ValueError, match=r"right vertices must be integers in 1..5, got 6"):
        load_graph_challenge(folder, 5)
    with pytest.raises(ValueError, match=r"holds no file n5-l1.tsv or n5-l1.tsv.gz, but no network"):
        load_graph_challenge(tmp_path, 5)
    with pytest.raises(ValueError, match="folder must be a string or a path, got 5"):
        load_graph_challenge(5, 5)
