"""NumPy's ``.npz``: everything a graph or a network holds, exactly. It holds no pickle.

Layout, version 1, arrays in an uncompressed zip and no others: ``format`` = [version, is a network, has weights, has
names]; ``widths``; ``blocks``, the pairs s, t; for each block ``s-t/indptr``, ``s-t/indices`` and ``s-t/weights``, one
an edge or one for all; ``names``, a JSON list as bytes. A bipartite graph has two widths and the block 0, 1.
"""

import json
import math
import zipfile
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.layered import LayeredGraph, as_net, packed

_VERSION = 1


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


def read_npz(file: IO[bytes], limit: int) -> BipartiteGraph | LayeredGraph:
    """Read a graph or a network from a file of `limit` bytes."""
    with zipfile.ZipFile(file) as archive:
        return _read(archive, limit)


def _read(archive: zipfile.ZipFile, limit: int) -> BipartiteGraph | LayeredGraph:
    def array(name: str, kinds: str) -> NDArray[Any]:
        return _read_array(archive, name, kinds, limit)

    version, *kind = array("format", "i").tolist()
    if version != _VERSION:
        raise ValueError(f"its format is {version}, this version reads {_VERSION}")
    is_network, weighted, named = (bool(flag) for flag in kind)
    widths = array("widths", "i").tolist()
    pairs = array("blocks", "i").reshape(-1, 2).tolist()
    parts = ["indptr", "indices", "weights"] if weighted else ["indptr", "indices"]
    expected = ["format", "widths", "blocks", *(f"{s}-{t}/{part}" for s, t in pairs for part in parts)]
    expected += ["names"] if named else []
    if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in expected):
        raise ValueError(f"it holds {archive.namelist()} where {expected} are needed")
    blocks, weights = {}, {}
    for s, t in pairs:
        if not 0 <= s < t < len(widths):
            raise ValueError(f"block {s}-{t} does not fit {len(widths)} layers")
        indptr, indices = array(f"{s}-{t}/indptr", "i"), array(f"{s}-{t}/indices", "i")
        blocks[s, t] = BipartiteGraph(widths[s], widths[t], indptr, indices)
        if weighted:
            weights[s, t] = np.broadcast_to(array(f"{s}-{t}/weights", "f"), indices.size)
    names = json.loads(array("names", "u").tobytes()) if named else None
    net = LayeredGraph(widths, blocks, weights if weighted else None, names)
    if is_network:
        return net
    if len(widths) != 2 or list(blocks) != [(0, 1)] or weighted or named:
        raise ValueError("a bipartite graph has two sides, one block, no weights and no names")
    return blocks[0, 1]


def _read_array(archive: zipfile.ZipFile, name: str, kinds: str, limit: int) -> NDArray[Any]:
    """Read one array, after its header, its entry and the file have agreed on its size."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as file:
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > limit:
            raise ValueError(f"{name} is compressed or larger than the file")
        if npy.read_magic(file) != (1, 0):
            raise ValueError(f"{name} has an unknown header")
        shape, _, dtype = npy.read_array_header_1_0(file)
        if (
            dtype.kind not in kinds
            or len(shape) != 1
            or math.prod(shape) * dtype.itemsize + file.tell() != entry.file_size
        ):
            raise ValueError(f"{name} has an unexpected type or size")
        return np.frombuffer(file.read(), dtype=dtype)
