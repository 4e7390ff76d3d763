"""NumPy's ``.npz``: everything a graph or a network holds, exactly. It holds no pickle.

Layout, version 1, arrays in an uncompressed zip and no others: ``format`` = [version, is a network, has weights, has
names]; ``widths``; ``blocks``, the pairs s, t; for each block ``s-t/indptr``, ``s-t/indices`` and ``s-t/weights``, one
an edge or one for all; ``names``, a JSON list as bytes. A bipartite graph has two widths and the block 0, 1.

Graphs by name, layout version 2: ``format`` = [version]; ``names``; ``sizes``, two a graph; ``k/indptr``,
``k/indices`` for the k-th.
"""

import json
import re
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.layered import LayeredGraph, as_net, packed

_VERSION, _BY_NAME = 1, 2
_BEGIN = b"PK\x03\x04"  # of a zip file that is not empty
# What NumPy writes before an array in one dimension. Its own reader evaluates headers as Python's literals.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([^']*)', 'fortran_order': (?:False|True), 'shape': \((\d{1,18}),\), \} *\n?",
    re.DOTALL,
)


def write_npz(file: IO[bytes], g_or_net: BipartiteGraph | LayeredGraph) -> None:
    """Write a graph or a network."""
    net = as_net(g_or_net)
    kind = [isinstance(g_or_net, LayeredGraph), net.weights is not None, net.names is not None]
    arrays: dict[str, NDArray[Any]] = {
        "format": np.array([_VERSION, *kind], dtype=np.int64),
        "widths": np.array(net.widths, dtype=np.int64),
        "blocks": np.array(list(net.blocks), dtype=np.int64).ravel(),
    }
    if net.names is not None:
        arrays["names"] = np.frombuffer(json.dumps(net.names).encode(), dtype=np.uint8)
    for (s, t), block in net.blocks.items():
        arrays[f"{s}-{t}/indptr"], arrays[f"{s}-{t}/indices"] = block.indptr, block.indices
        if net.weights is not None:
            arrays[f"{s}-{t}/weights"] = packed(net.weights[s, t])
    np.savez(file, **arrays)  # type: ignore[arg-type]


def write_graphs(file: IO[bytes], graphs: Mapping[str, BipartiteGraph]) -> None:
    """Write graphs by name."""
    arrays: dict[str, NDArray[Any]] = {
        "format": np.array([_BY_NAME], dtype=np.int64),
        "names": np.frombuffer(json.dumps(list(graphs)).encode(), dtype=np.uint8),
        "sizes": np.array([(g.n_left, g.n_right) for g in graphs.values()], dtype=np.int64).ravel(),
    }
    for k, graph in enumerate(graphs.values()):
        arrays[f"{k}/indptr"], arrays[f"{k}/indices"] = graph.indptr, graph.indices
    np.savez(file, **arrays)  # type: ignore[arg-type]


def read_graphs(file: IO[bytes], limit: int) -> dict[str, BipartiteGraph]:
    """Read graphs by name from a file of `limit` bytes."""
    with _opened(file, limit) as archive:
        _check_version(archive, _BY_NAME)
        names = _read_names(archive)
        _check_entries(
            archive, ["format", "names", "sizes"], [str(k) for k in range(len(names))], ["indptr", "indices"]
        )
        sizes = _read_array(archive, "sizes", "i").reshape(-1, 2).tolist()
        if len(sizes) != len(names) or len(set(names)) != len(names):
            raise ValueError(f"it names {names} and states {len(sizes)} sizes")

        def graph(k: int) -> BipartiteGraph:
            indptr, indices = (_read_array(archive, f"{k}/{part}", "i") for part in ("indptr", "indices"))
            n_left, n_right = sizes[k]
            return BipartiteGraph(n_left, n_right, indptr, indices)

        return {name: graph(k) for k, name in enumerate(names)}


def read_npz(file: IO[bytes], limit: int) -> BipartiteGraph | LayeredGraph:
    """Read a graph or a network from a file of `limit` bytes."""
    with _opened(file, limit) as archive:
        return _read(archive)


def _read(archive: zipfile.ZipFile) -> BipartiteGraph | LayeredGraph:
    def array(name: str, kind: str) -> NDArray[Any]:
        return _read_array(archive, name, kind)

    kind = _check_version(archive, _VERSION)
    is_network, weighted, named = (bool(flag) for flag in kind)
    widths = array("widths", "i").tolist()
    pairs = array("blocks", "i").reshape(-1, 2).tolist()
    parts = ["indptr", "indices", "weights"] if weighted else ["indptr", "indices"]
    whole = ["format", "widths", "blocks", *(["names"] if named else [])]
    _check_entries(archive, whole, [f"{s}-{t}" for s, t in pairs], parts)
    blocks, weights = {}, {}
    for s, t in pairs:
        if not 0 <= s < t < len(widths):
            raise ValueError(f"block {s}-{t} does not fit {len(widths)} layers")
        indptr, indices = array(f"{s}-{t}/indptr", "i"), array(f"{s}-{t}/indices", "i")
        blocks[s, t] = BipartiteGraph(widths[s], widths[t], indptr, indices)
        if weighted:
            weights[s, t] = np.broadcast_to(array(f"{s}-{t}/weights", "f"), indices.size)
    names = _read_names(archive) if named else None
    net = LayeredGraph(widths, blocks, weights if weighted else None, names)  # type: ignore[arg-type]
    if is_network:
        return net
    if len(widths) != 2 or list(blocks) != [(0, 1)] or weighted or named:
        raise ValueError("a bipartite graph has two sides, one block, no weights and no names")
    return blocks[0, 1]


def _opened(file: IO[bytes], limit: int) -> zipfile.ZipFile:
    """Open an archive; refuse one whose entries are larger than the file: compressed ones, and those that share bytes.

    The table of contents stands at the end, which a file cut off lacks.
    """
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        file.seek(0)
        begins = file.read(len(_BEGIN)) == _BEGIN
        raise ValueError("it begins as an .npz file and is cut off" if begins else "it is no .npz file") from None
    if {"shape.npy", "data.npy"} <= set(archive.namelist()):
        raise ValueError("it holds a SciPy matrix, which BipartiteGraph.from_biadjacency makes a graph")
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("its arrays are compressed")
    if (total := sum(entry.file_size for entry in entries)) > limit:
        raise ValueError(f"its arrays have {total} bytes, the file has {limit}")
    return archive


def _check_version(archive: zipfile.ZipFile, expected: int) -> list[int]:
    """Return what the format says behind its version."""
    version, *more = (int(number) for number in _read_array(archive, "format", "i"))
    if version != expected:
        hint = {
            _VERSION: "; load reads it",
            _BY_NAME: "; it holds graphs by name, which load_graphs reads, and the command report",
        }
        raise ValueError(f"its format is {version}, where {expected} is needed{hint.get(version, '')}")
    return more


def _check_entries(archive: zipfile.ZipFile, whole: list[str], graphs: list[str], parts: list[str]) -> None:
    expected = [*whole, *(f"{graph}/{part}" for graph in graphs for part in parts)]
    if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in expected) or len(set(expected)) < len(expected):
        raise ValueError(f"it holds {archive.namelist()} where {expected} are needed, each once")


def _read_names(archive: zipfile.ZipFile) -> list[str]:
    names = json.loads(_read_array(archive, "names", "u").tobytes())
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"it names {names}; a list of texts is needed")
    return names


def _read_array(archive: zipfile.ZipFile, name: str, kind: str) -> NDArray[Any]:
    """Read one array, of a kind and as many numbers as its header says."""
    content = archive.read(f"{name}.npy")
    header = _HEADER.match(content)
    if not header:
        raise ValueError(f"{name} has an unknown header")
    type_, size = header[1].decode(), int(header[2])
    if not re.fullmatch(rf"[<>|]{kind}[1248]", type_) or size * int(type_[-1]) + header.end() != len(content):
        raise ValueError(f"{name} has an unexpected type or size")
    return np.frombuffer(content, dtype=type_, offset=header.end())
