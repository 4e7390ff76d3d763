"""Whatever a file holds, reading it gives what it says or an error that names it, in memory that its size bounds."""

import gzip
import io
import json
import os
import pickle
import random
import re
import struct
import subprocess
import sys
import textwrap
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph, Study, _files

G = eg.random_regular(5, 7, 2, rng=0)
NET = LayeredGraph(
    [5, 7, 0, 5],
    {(0, 1): G, (1, 3): G.T, (0, 3): eg.random_bipartite(5, 5, n_edges=3, rng=0)},
    {(0, 1): np.arange(14.0), (1, 3): np.broadcast_to(0.5, 14), (0, 3): [1e-300, -1, 0]},
    ["in", "λ", "", "out"],
)
REQUEST = (["regular", "random"], [6], [2], 2, ["degrees"])


def studied(path):
    return eg.study(*REQUEST, path=path)


def with_sizes(path):
    return eg.load(path, sizes=(5, 7))


def folder_of(path):
    """Read a folder whose only layer is the file."""
    folder = path.parent / "folder"
    folder.mkdir(exist_ok=True)
    (folder / "n6-l1.tsv").write_bytes(path.read_bytes())
    return eg.load_graph_challenge(folder, 6)


SAVE = {
    "g.npz": (lambda path: eg.save(path, G), eg.load),
    "net.npz": (lambda path: eg.save(path, NET), eg.load),
    "graphs.npz": (lambda path: eg.save_graphs(path, {"a": G, "": G.T}), eg.load_graphs),
    "g.mtx": (lambda path: eg.save(path, G), eg.load),
    "g.edges": (lambda path: eg.save(path, G), eg.load),
    "g.tsv": (lambda path: eg.save(path, G), with_sizes),
    "g.mtx.gz": (lambda path: eg.save(path, G), eg.load),
    "g.edges.gz": (lambda path: eg.save(path, G), eg.load),
    "g.tsv.gz": (lambda path: eg.save(path, G), with_sizes),
    "array.mtx": (
        lambda path: path.write_text("%%MatrixMarket matrix array real general\n% a\n2 3\n1\n0\n-2.5\n0\n1e-3\n0\n"),
        eg.load,
    ),
    "study.csv": (lambda path: eg.study(*REQUEST).save(path), Study.load),
    "study.json": (lambda path: eg.study(*REQUEST).save(path), Study.load),
    "study.parquet": (lambda path: eg.study(*REQUEST).save(path), Study.load),
    "resume.jsonl": (studied, studied),
    "l1.tsv": (lambda path: eg.save(path, eg.random_regular(6, 6, 2, rng=0)), folder_of),
}
TOKENS = [
    *(b"0", b"-1", b"1e308", b"nan", b"inf", b"1.5", b"1_0", b"0x1", b"1+2j", b"9223372036854775808", b"1" * 5000),
    *(b"\0", b"\xff", b"\xa0", b"\xc2\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\x1c", b"\n", b"\r\n", b"\r", b"\t"),
    *(b"#", b"%", b'"', b"'", b",", b";", b"[", b"{", b"}", b"null", b"true", b"[]", b"[" * 20000),
]


def outcome(read, path):
    """Return what is read, checked to be whole, or the refusal, checked to name the file and to be readable."""
    try:
        result = read(path)
    except (ValueError, OSError) as error:
        said = str(error)
        named = "n6-l1.tsv" if read is folder_of else path.name
        assert named in said
        assert len(said.split(named, 1)[1]) > 10
        assert len(said) < 1200 or path.suffix == ".jsonl"
        return said
    assert pickle.loads(pickle.dumps(result)) == result
    assert repr(result)
    return result


@pytest.fixture(params=SAVE)
def written(request, tmp_path):
    save, read = SAVE[request.param]
    path = tmp_path / request.param
    save(path)
    return path, read, path.read_bytes()


def test_cut_off_anywhere(written):
    path, read, whole = written
    expected = read(path)
    for length in range(0, len(whole), 1 + len(whole) // 120):
        path.write_bytes(whole[:length])
        found = outcome(read, path)
        if path.suffix not in (".tsv", ".csv") and path.name != "array.mtx":  # which may end after any line or digit
            assert found == expected or isinstance(found, str)


def test_any_bit_flipped(written):
    path, read, whole = written
    chance = random.Random(path.name)
    for position in chance.sample(range(len(whole)), min(100, len(whole))):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        found = outcome(read, path)
        if path.suffix == ".npz":  # which has checksums
            assert found == read_whole(path, read, whole) or isinstance(found, str)


def read_whole(path, read, whole):
    path.write_bytes(whole)
    return read(path)


def test_cut_doubled_and_foreign_bytes(written):
    path, read, whole = written
    chance = random.Random(path.name)
    plain = gzip.decompress(whole) if path.suffix == ".gz" else whole
    for _ in range(100):
        content = bytearray(plain)
        for _ in range(chance.choice([1, 1, 2, 5])):
            start = chance.randrange(len(content) + 1)
            end = start + chance.choice([0, 1, 4, 30])
            content[start:end] = chance.choice(
                [b"", content[start:end] * 2, chance.choice(TOKENS), chance.randbytes(4)]
            )
        path.write_bytes(gzip.compress(bytes(content), 1) if path.suffix == ".gz" else content)
        outcome(read, path)
        if path.suffix == ".npz":  # again where the checksums agree
            path.write_bytes(archive_with(whole, chance))
            outcome(read, path)


def archive_with(whole, chance):
    """Return an archive some of whose entries are damaged, with the right checksums."""
    source, target = zipfile.ZipFile(io.BytesIO(whole)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = bytearray(source.read(name))
            if chance.random() < 0.3:
                start = chance.randrange(len(content))
                content[start : start + chance.choice([0, 1, 8])] = chance.choice(TOKENS[:-1])
            if chance.random() > 0.02:
                archive.writestr(name if chance.random() > 0.02 else f"../{name}", content)
    return target.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\0" * 99, b"PK\x05\x06" + b"\0" * 18, b"\x1f\x8b", b"PAR1" * 3, b"[[]]"]
)
def test_files_of_something_else(written, content):
    path, read, _ = written
    path.write_bytes(content)
    empty = (b"", b"\n")
    assert isinstance(outcome(read, path), str) or content in empty


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_nothing_is_unpickled(written):
    path, read, _ = written
    canary = path.parent / "canary"
    payload = pickle.dumps(Canary(canary))
    contents = [payload]
    for names in (
        ["format"],
        ["format", "names", "sizes"],
        ["format", "widths", "blocks", "0-1/indptr", "0-1/indices"],
    ):
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=True, **{name: np.array([Canary(canary)], dtype=object) for name in names})
        contents.append(buffer.getvalue())
    for content in contents:
        path.write_bytes(content)
        assert isinstance(outcome(read, path), str)
    assert not canary.exists()
    pickle.loads(payload)
    assert canary.exists()  # the trap works


def npz(path, arrays=None, entries=()):
    """Write the arrays, and what is no array."""
    with path.open("wb") as file:
        np.savez(file, **arrays or {})
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in entries:
            archive.writestr(name, content)


ARRAYS = {
    "format": np.array([1, 0, 0, 0]),
    "widths": np.array([2, 2]),
    "blocks": np.array([0, 1]),
    "0-1/indptr": np.array([0, 1, 2]),
    "0-1/indices": np.array([0, 1]),
}
NAMED = {"format": np.array([1, 1, 0, 1]), "names": np.frombuffer(b'{"a": 1, "b": 2}', dtype=np.uint8)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0-1/indices": np.array([0, 2**62])}, "right vertices must lie in 0..1"),
        ({"0-1/indices": np.array([0, np.nan])}, "0-1/indices has an unexpected type"),
        ({"0-1/indices": np.array([0, 1], dtype=np.uint64)}, "0-1/indices has an unexpected type"),
        ({"0-1/indices": np.array([0, 1], dtype=bool)}, "0-1/indices has an unexpected type"),
        ({"0-1/indices": np.array(["0", "1"])}, "0-1/indices has an unexpected type"),
        ({"0-1/indices": np.array([[0, 1]])}, "0-1/indices has an unknown header"),
        ({"0-1/indices": np.zeros(2, dtype=[("a", "<i8")])}, "0-1/indices has an unknown header"),
        ({"widths": np.array([2, 2**63 - 1])}, "must be below 2\\*\\*63"),
        ({"widths": np.array([2, -2])}, "n_right must be an integer of at least 0"),
        ({"widths": np.array([2**62, 2])}, "their product must be below"),
        ({"widths": np.array([2**61, 1])}, "indptr must rise from 0 to 2 in 2305843009213693953 steps"),
        (NAMED, "it names {'a': 1, 'b': 2}; a list of texts is needed"),
        (NAMED | {"names": np.frombuffer(b'["a", null]', dtype=np.uint8)}, "a list of texts is needed"),
        (NAMED | {"names": np.frombuffer(b"[" * 10**5, dtype=np.uint8)}, "recursion"),
        (NAMED | {"names": np.frombuffer(b'["\xff", "b"]', dtype=np.uint8)}, "can't decode byte"),
        (
            {"format": np.array([1, 0, 1, 0]), "0-1/weights": np.ones(2, dtype=np.longdouble)},
            "weights has an unexpected",
        ),
        ({f"junk{k}": np.zeros(0) for k in range(999)}, r"it holds \['format.npy.{300,400}\.\.\.$"),
    ],
)
def test_hostile_arrays(tmp_path, change, message):
    npz(tmp_path / "g.npz", ARRAYS | change)
    with pytest.raises(ValueError, match=rf"g.npz is not a graph file written by expandergraphs: .*{message}"):
        eg.load(tmp_path / "g.npz")


def test_other_bytes_orders_and_widths_of_integers_are_read(tmp_path):
    for dtype in (">i8", "<i2", "|i1", ">i4"):
        npz(tmp_path / "g.npz", ARRAYS | {name: ARRAYS[name].astype(dtype) for name in ("0-1/indptr", "0-1/indices")})
        assert eg.load(tmp_path / "g.npz") == BipartiteGraph.from_edges(2, 2, [(0, 0), (1, 1)])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives(tmp_path):
    path = tmp_path / "g.npz"
    for entry in ("0-1/indices.npy", "../../escaped.npy", "/etc/escaped"):
        npz(path, ARRAYS, [(entry, b"")])
        assert "are needed, each once" in outcome(eg.load, path)
    npz(path, ARRAYS | {"blocks": np.array([0, 1, 0, 1])}, [("0-1/indptr.npy", b""), ("0-1/indices.npy", b"")])
    assert "each once" in outcome(eg.load, path)
    assert os.listdir(tmp_path) == ["g.npz"]
    content = bytearray(path.read_bytes())
    content[6] |= 1  # encrypted
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "encrypted" in outcome(eg.load, path)


def nested(depth, inner):
    """Return an archive whose entries lie one within the other, so that together they are far larger than it is."""
    content, entries = inner, []
    for k in reversed(range(depth)):
        head = b"{'descr': '|i1', 'fortran_order': False, 'shape': (%d,), }" % len(content)
        data = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + content
        name = b"%d/indices.npy" % k
        numbers = (zlib.crc32(data), len(data), len(data), len(name))
        content = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, *numbers, 0) + name + data
        entries.append((len(content), numbers, name))
    central = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, *numbers, 0, 0, 0, 0, 0, len(content) - size)
        + name
        for size, numbers, name in entries
    )
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, depth, depth, len(central), len(content), 0)
    return content + central + end


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    path = tmp_path / "g.npz"
    path.write_bytes(nested(50, b"\0" * 10**5))
    assert zipfile.ZipFile(path).getinfo("0/indices.npy").file_size > 10**5  # newer Pythons refuse to read it, too
    for read in (eg.load, eg.load_graphs):
        assert "its arrays have 5" in outcome(read, path)


MM = b"%%MatrixMarket matrix coordinate pattern general\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("g.edges", b"\xef\xbb\xbf# 2 2 1\n0 0\n", "its first line is not"),
        ("g.mtx", b"\xef\xbb\xbf" + MM + b"2 2 0\n", r"but with b'\\xef\\xbb\\xbf%%Mat"),
        ("g.edges", b"# 2 2 1\n0\xa00\n", r"it is no plain text: it holds b'\\xa0'"),
        ("g.edges", b"# 2 2 0\n\x1c\n", r"it is no plain text: it holds b'\\x1c'"),
        ("g.edges", b"# 2 2 1\n0 0\n\x00\n", r"it is no plain text: it holds b'\\x00'"),
        ("g.edges", "# 2 2 1\n٠ ٠\n".encode(), r"it is no plain text: it holds b'\\xd9'"),
        ("g.edges", b"# 2 2", "its first line is not"),
        ("g.edges", b"# 2 2 1\n1e0 0x1\n", "could not convert string '0x1'"),
        ("g.edges", b"# %d 1 1\n0 0\n" % 2**62, "confirm by sizes="),
        ("g.edges", b"# %d 5 1\n0 0\n" % (2**24 + 1), "confirm by sizes="),
        ("g.edges", b"# " + b"9" * 5000 + b" 5 1\n0 0\n", "Exceeds the limit"),
        ("g.mtx", MM + b"2 2 4611686018427387904\n1 1\n", "states 4611686018427387904 entries and holds 1"),
        ("g.mtx", MM + b"2 2 1\n1 1 1\n", "a line must hold 2 numbers, got 3"),
        ("g.mtx", MM + b"%" * 10**6 + b"\n2 2 1\n3 1\n", "left vertices must be integers in 1..2, got 3"),
        ("g.edges", b"# 2 2 1\n" + b"0 " * 10**5, "a line must hold 2 numbers, got 100000"),
        ("g.edges", b"# 2 2 2\n0 0\n0 0 0\n", "number of columns changed from 2 to 3 at row 2$"),
    ],
)
def test_hostile_text(tmp_path, name, content, message):
    for suffix in ("", ".gz"):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(gzip.compress(content) if suffix else content)
        with pytest.raises(ValueError, match=rf"{path.name} cannot be read as .*: .*{message}"):
            eg.load(path)


@pytest.mark.parametrize(
    ("name", "head", "line"),
    [
        ("g.edges.gz", b"# 1000 1000\n", b"\n"),
        ("g.edges.gz", b"# 1000 1000\n", b"0 0\n"),
        ("g.mtx.gz", MM, b"%\n"),
        ("g.mtx.gz", MM, b"\n"),
        ("g.tsv.gz", b"", b"\n"),
        ("g.tsv.gz", b"", b"1 1 1\n"),
    ],
)
def test_a_little_file_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch, name, head, line):
    monkeypatch.setattr(_files, "_LITTLE", 1 << 18)
    path = tmp_path / name
    path.write_bytes(gzip.compress(head + line * (2**19 // len(line))))
    with pytest.raises(ValueError, match=rf"{name} cannot be read .* unpacks to more than 200 times its size"):
        eg.load(path, sizes=(1000, 1000))


def test_a_dense_matrix_of_few_entries_may_be_compressed(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "_LITTLE", 1)
    dense = np.random.default_rng(0).random(250_000) < 0.01
    lines = b"".join(np.where(dense, b"1\n", b"0\n").tolist())
    (tmp_path / "g.mtx.gz").write_bytes(
        gzip.compress(MM.replace(b"coordinate pattern", b"array real") + b"500 500\n" + lines)
    )
    assert eg.load(tmp_path / "g.mtx.gz").n_edges == dense.sum()


KEYS = "family,n_left,n_right,n_edges,seed,degree,refused"
ROW = dict.fromkeys(KEYS.split(","), 1) | {"family": "a"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.csv", f"{KEYS}\na,1,1,1,1,1\n", "line 2 has 6 values for 7 columns"),
        ("s.csv", f"{KEYS},seed\na,1,1,1,1,1,1,1\n", "a column is there twice"),
        ("s.csv", f"{KEYS}\n,1,1,1,1,1,1\n", "a family is a text"),
        ("s.csv", f"{KEYS}\na,1,1.5,1,1,1,1\n", "sizes, edges and seed are integers"),
        ("s.csv", f"{KEYS}\na,1,1,1,1,nan,1\n", "a value must be .*degree = nan"),
        ("s.csv", f"{KEYS}\n{'x' * 200_000},1,1,1,1,1,1\n", "field larger than field limit"),
        ("s.csv", f"{KEYS}\n\xff".encode("latin-1"), "can't decode byte 0xff"),
        ("s.json", "[" * 10**5, "recursion"),
        ("s.json", "{}", "a list of objects is needed"),
        ("s.json", "[[1, 2]]", "a list of objects is needed"),
        ("s.json", "[{}]", "every record needs the columns"),
        ("s.json", json.dumps([ROW | {"x": [1]}]), r"a value must be .*x = \[1\]"),
        ("s.json", json.dumps([ROW])[:-2] + ', "x": 1e999}]', "a value must be .*x = inf"),
        ("s.json", json.dumps([ROW])[:-2] + f', "x": {"1" * 5000}}}]', "Exceeds the limit"),
    ],
)
def test_hostile_records(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"{name} holds no records of a study: .*{message}"):
        Study.load(path)


def test_a_byte_order_mark_of_a_spreadsheet_is_read(tmp_path):
    (tmp_path / "s.csv").write_text(f"{KEYS}\na,1,1,1,1,1,\n", encoding="utf-8-sig")
    assert Study.load(tmp_path / "s.csv").records[0]["family"] == "a"


def test_a_parquet_file_of_endless_repetition_is_refused(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "s.parquet"
    parquet.write_table(pa.table({"family": pa.array(np.zeros(2**20 + 1, dtype=np.int8))}), path)
    assert "1048577 values in" in outcome(Study.load, path)


@pytest.mark.parametrize(
    "change",
    [
        {"cell": ["random", [6], 6, 12, 0]},
        {"cell": [["random"], 6, 6, 12, 0]},
        {"cell": ["random", 0, 0, 12, 0]},
        {"cell": ["random", "6", 6, 12, 0]},
        {"cell": ["random", 7, 6, 12, 0]},
        {"cell": 3},
        {"record": {}},
        {"record": []},
        {"record": "family"},
    ],
)
def test_hostile_lines_of_a_journal(tmp_path, change):
    path = tmp_path / "resume.jsonl"
    whole = studied(path)
    first, second, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, json.dumps(json.loads(second) | change).encode() + b"\n", *rest]))
    assert "line 2 of" in outcome(studied, path)
    record = json.loads(second)["record"]
    for other in (record | {"n_left": 7}, record | {"x": [1]}, {k: v for k, v in record.items() if k != "refused"}):
        path.write_bytes(first + json.dumps(json.loads(second) | {"record": other}).encode() + b"\n")
        assert "line 2 of" in outcome(studied, path)
    path.write_bytes(first + b"[" * 10**5 + b"\n")
    assert "line 2 of" in outcome(studied, path)
    path.write_bytes(b"[" * 10**5 + b"\n")
    assert "is no file of a study" in outcome(studied, path)
    path.write_bytes(b"".join([first, second, *rest]))
    assert studied(path) == whole


def test_what_is_no_file(written):
    path, read, _ = written
    path.unlink()
    for place in (path.mkdir, lambda: path.symlink_to(path), lambda: path.symlink_to(path.parent / "nowhere")):
        place()
        if not (path.suffix == ".jsonl" and path.is_symlink()):  # a link to nowhere is a new file to be written
            with pytest.raises(OSError, match=path.name):
                read(path)
        path.rmdir() if path.is_dir() else path.unlink()


# In a process of its own, where a reader that waits for a pipe can be ended, and memory is limited.
LIMITED = textwrap.dedent("""
    import json, os, resource, sys
    from pathlib import Path
    import expandergraphs as eg
    import pyarrow.parquet
    from expandergraphs import Study

    def read(path):
        if path.suffix == ".jsonl":
            return eg.study("random", [6], [2], 1, ["degrees"], path=path)
        return Study.load(path) if path.name.startswith("s.") else eg.load(path)

    before = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (before + 2**28, before + 2**28))
    for path in map(Path, sys.argv[1:]):
        try:
            print(json.dumps(f"read: {read(path)!r}"))
        except (ValueError, OSError) as error:
            print(json.dumps(str(error)))
""")


def test_memory_and_time_are_bounded(tmp_path):
    """A quarter of a gigabyte is enough for each; what the headers claim is up to 2^62."""
    bombs = {
        "nested.npz": (nested(400, b"\0" * 10**6), "its arrays have"),
        "lines.edges.gz": (gzip.compress(b"# 9 9\n" + b"\n" * 2**25, 1), "unpacks to more than 200 times"),
        "line.tsv.gz": (gzip.compress(b"1" * 2**26, 1), "give sizes"),
        "line.mtx.gz": (gzip.compress(MM + b"%" * 2**26, 1), "unpacks to more than 200 times|must state"),
        "sides.edges": (b"# %d %d %d\n" % (2**31 - 1, 2**31 - 1, 2**62), "confirm by sizes="),
        "edges.mtx": (MM + b"9 9 %d\n" % 2**62, "entries and holds 0"),
        "array.mtx": (b"%%MatrixMarket matrix array real general\n16777216 16777216\n1\n", "and holds 1"),
        "wide.edges": (b"# 5 16777216 1\n0 16777215\n", r"read: BipartiteGraph\(5 x 16777216, 1 edges"),
    }
    for name, (content, _) in bombs.items():
        (tmp_path / name).write_bytes(content)
    npz(tmp_path / "claim.npz", ARRAYS | {"widths": np.array([2**40, 2])})
    bombs["claim.npz"] = (b"", "indptr must rise")
    npz(tmp_path / "wide.npz", ARRAYS | {"widths": np.array([2, 2**61])})
    bombs["wide.npz"] = (b"", r"read: BipartiteGraph\(2 x 2305843009213693952")
    for name in ("pipe.npz", "pipe.edges.gz", "s.csv", "pipe.jsonl"):
        os.mkfifo(tmp_path / name)
        bombs[name] = (b"", f"a regular file is needed.*{name}")
    (tmp_path / "zero.edges").symlink_to("/dev/zero")
    bombs["zero.edges"] = (b"", "a regular file is needed.*zero.edges")
    command = [sys.executable, "-W", "error", "-c", LIMITED, *(str(tmp_path / name) for name in bombs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for (name, (_, message)), line in zip(bombs.items(), done.stdout.splitlines(), strict=True):
        assert re.search(message, json.loads(line)), (name, line)
