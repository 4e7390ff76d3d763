"""Files. The suffix chooses the format; today there is one, NumPy's ``.npz``.

A file is written under another name and moved into place, so it is whole or not there. It holds no pickle, and nothing
read from it is allocated before its size has been compared with the file's.

Layout, version 1, arrays in an uncompressed zip: ``format`` = [version], ``widths``; for each block
``s-t/indptr``, ``s-t/indices`` and, in a weighted network, ``s-t/weights``; ``names`` if there are any. A bipartite
graph has the single block 0-1. Which of the two kinds it is, and whether there are weights, say the empty arrays
``bipartite`` and ``weighted``.
"""

import math
import os
import secrets
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.layered import LayeredGraph

_VERSION = 1
_MARK = np.empty(0, dtype=np.int8)


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
    path = _checked(path)
    arrays: dict[str, NDArray[Any]] = {"format": np.array([_VERSION])}
    if isinstance(g_or_net, BipartiteGraph):
        net = LayeredGraph.from_layers([g_or_net])
        arrays["bipartite"] = _MARK
    elif isinstance(g_or_net, LayeredGraph):
        net = g_or_net
    else:
        raise ValueError(f"save needs a BipartiteGraph or a LayeredGraph, got {type(g_or_net).__name__}")
    arrays["widths"] = np.array(net.widths, dtype=np.int64)
    if net.names is not None:
        arrays["names"] = np.array(net.names, dtype=np.str_)
    if net.weights is not None:
        arrays["weighted"] = _MARK
    for (s, t), block in net.blocks.items():
        arrays[f"{s}-{t}/indptr"], arrays[f"{s}-{t}/indices"] = block.indptr, block.indices
        if net.weights is not None:
            arrays[f"{s}-{t}/weights"] = net.weights[s, t]
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(unfinished, "xb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
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
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.stat().st_size)
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is not a graph file written by expandergraphs: {error}") from error


def _read(archive: zipfile.ZipFile, limit: int) -> BipartiteGraph | LayeredGraph:
    names = {name.removesuffix(".npy") for name in archive.namelist()}

    def array(name: str, kinds: str) -> NDArray[Any]:
        return _read_array(archive, name, kinds, limit)

    version = array("format", "iu").tolist()
    if version != [_VERSION]:
        raise ValueError(f"its format is {version}, this version reads [{_VERSION}]")
    widths = array("widths", "iu").tolist()
    blocks, weights = {}, {}
    for name in sorted(names):
        if name.endswith("/indptr"):
            label = name.removesuffix("/indptr")
            s, t = (int(layer) for layer in label.split("-"))
            if not 0 <= s < t < len(widths):
                raise ValueError(f"block {label} does not fit {len(widths)} layers")
            indptr, indices = array(name, "iu"), array(f"{label}/indices", "iu")
            blocks[s, t] = BipartiteGraph(widths[s], widths[t], indptr, indices)
            if "weighted" in names:
                weights[s, t] = array(f"{label}/weights", "f")
    if "bipartite" in names:
        return blocks[0, 1]
    labels = array("names", "U").tolist() if "names" in names else None
    return LayeredGraph(widths, blocks, weights if "weighted" in names else None, labels)


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
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"the format is chosen by the suffix, which must be .npz, got {path.name!r}")
    return path
