"""Files. The suffix chooses the format; today there is one, NumPy's ``.npz``.

A file is written under another name and moved into place, so it is whole or not there. It holds no pickle, and nothing
read from it is allocated before its size has been compared with the file's.

Layout, version 1, arrays in an uncompressed zip and no others: ``format`` = [version, is a network, has weights, has
names]; ``widths``; ``blocks``, the pairs s, t; for each block ``s-t/indptr``, ``s-t/indices`` and ``s-t/weights``;
``names``, a JSON list as bytes. A bipartite graph has two widths and the block 0, 1.
"""

import json
import math
import os
import secrets
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.layered import LayeredGraph, as_net

_VERSION = 1


def save(path: str | os.PathLike[str], g_or_net: BipartiteGraph | LayeredGraph) -> None:
    """Write a graph or a network to an ``.npz`` file, replacing what is there.

    Raises
    ------
    ValueError
        If the suffix is unknown, or `g_or_net` is neither a BipartiteGraph nor a LayeredGraph.
    OSError
        If the file cannot be written; then what was there before is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> g = BipartiteGraph.from_edges(2, 2, [(0, 1)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/g.npz", g)
    ...     load(f"{folder}/g.npz") == g
    True
    """
    path, net = _checked(path), as_net(g_or_net)
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
            arrays[f"{s}-{t}/weights"] = net.weights[s, t]
    path = path.resolve()  # a link stays a link
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(unfinished, "xb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, unfinished)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str]) -> BipartiteGraph | LayeredGraph:
    """Read a graph or a network that `save` wrote.

    Raises
    ------
    ValueError
        If the suffix is unknown, or the file is damaged or not one of ours.
    OSError
        If the file cannot be read.
    """
    path = _checked(path)
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read(archive, path.stat().st_size)
        except Exception as error:  # whatever damaged bytes provoke in the zip, in NumPy's header or in our own checks
            raise ValueError(f"{path} is not a graph file written by expandergraphs: {error}") from error


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
            weights[s, t] = array(f"{s}-{t}/weights", "f")
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


def _checked(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"path must be a string or a path, got {path!r}")
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"the format is chosen by the suffix, which must be .npz, got {path.name!r}")
    return path
