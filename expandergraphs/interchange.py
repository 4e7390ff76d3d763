"""Files. The suffix chooses the format.

==========  =================================================================  ===========================
suffix      what it holds                                                      sizes
==========  =================================================================  ===========================
``.npz``    a BipartiteGraph or a LayeredGraph, exactly                        stated
``.mtx``    Matrix Market, ``row column`` counted from 1                       stated
``.tsv``    Graph Challenge, ``row column weight`` counted from 1              not stated: give ``sizes=``
``.edges``  ``left right`` counted from 0, after ``# n_left n_right n_edges``  stated
==========  =================================================================  ===========================

Rows are left vertices everywhere. The last three hold one BipartiteGraph, and may be compressed: ``.mtx.gz`` and so on.
A Graph Challenge network is a folder of ``.tsv`` files, one a layer (`save_graph_challenge`). Graphs by name, such as
the wiring of a model's layers, go to one ``.npz`` file (`save_graphs`).

A file is written under another name and moved into place, so it is whole or not there. Nothing is unpickled, and
nothing is allocated before its size has been compared with the file's; a compressed file that unpacks to more than 32
MiB and 200 times its size is refused. The text formats differ in what damage they can reveal: a ``.tsv`` file cut off
at the end of a line is a smaller graph; the others, as written here, state their number of edges.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from expandergraphs._checks import as_integer, as_list
from expandergraphs._files import as_path, creating, filling, reading, replacing, said
from expandergraphs._npz import read_graphs, read_npz, write_graphs, write_npz
from expandergraphs._text import (
    Sizes,
    read_edges,
    read_matrix_market,
    read_tsv,
    spelled,
    write_edges,
    write_matrix_market,
    write_tsv,
)
from expandergraphs.bipartite import BipartiteGraph, check_graph, check_sizes
from expandergraphs.layered import LayeredGraph, as_net

_WRITE: dict[str, Callable[[IO[bytes], BipartiteGraph], None]] = {
    ".mtx": write_matrix_market,
    ".tsv": write_tsv,
    ".edges": write_edges,
}
_SUFFIXES = (".npz", *_WRITE, *(f"{suffix}.gz" for suffix in _WRITE))


def save(path: str | os.PathLike[str], g_or_net: BipartiteGraph | LayeredGraph) -> None:
    """Write a graph or a network, replacing what is there.

    Parameters
    ----------
    path : path
        Its suffix chooses the format: ``.npz`` for either, ``.mtx``, ``.tsv`` or ``.edges``, with ``.gz`` behind them
        if wanted, for a BipartiteGraph. In a ``.tsv`` file every edge weighs 1.
    g_or_net : BipartiteGraph or LayeredGraph
        What to write.

    Raises
    ------
    ValueError
        If the suffix is unknown, or the format does not hold what is given.
    OSError
        If the file cannot be written; then what was there before is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> g = BipartiteGraph.from_edges(2, 3, [(0, 1)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/g.npz", g)
    ...     save(f"{folder}/g.edges", g)
    ...     load(f"{folder}/g.npz") == load(f"{folder}/g.edges") == g
    ...     print(Path(f"{folder}/g.edges").read_text())
    True
    # 2 3 1
    0 1
    """
    path, suffix = check_format(path)
    as_net(g_or_net)
    if suffix != ".npz" and isinstance(g_or_net, LayeredGraph):
        raise ValueError(
            f"a {suffix} file holds one BipartiteGraph, got a LayeredGraph; a network goes to .npz, or each of its "
            f"layers to a {suffix} file"
        )
    with replacing(path) as file:
        if isinstance(g_or_net, LayeredGraph) or suffix == ".npz":
            write_npz(file, g_or_net)
        else:
            _WRITE[suffix](file, g_or_net)


def load(path: str | os.PathLike[str], *, sizes: Sequence[int] | None = None) -> BipartiteGraph | LayeredGraph:
    r"""Read a graph or a network that `save` or, in the text formats, another program wrote.

    Parameters
    ----------
    path : path
        Its suffix chooses the format, as for `save`. In a Matrix Market file, coordinate or array, an edge is a value
        that is not zero; in a ``.tsv`` file it is a line, whatever its weight. Weights must be finite.
    sizes : (int, int), optional
        ``(n_left, n_right)``: needed for ``.tsv``, and for an edge list whose first line does not state them; elsewhere
        compared with what the file states. The widths, for a network.

    Returns
    -------
    BipartiteGraph or LayeredGraph

    Raises
    ------
    ValueError
        If the suffix is unknown, the sizes are missing or contradicted, or the file is damaged, holds an edge twice, or
        is not of the format its suffix promises.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/n3-l1.tsv", "w") as file:
    ...         _ = file.write("1\t3\t6.25e-02\n")
    ...     load(f"{folder}/n3-l1.tsv", sizes=(3, 3)).edges.tolist()
    [[0, 2]]
    """
    path, suffix = check_format(path)
    given = None if sizes is None else tuple(as_integer("each size", size) for size in as_list("sizes", sizes))
    if suffix == ".npz":
        with _reading(path, "is not a graph file written by expandergraphs") as file:
            graph = read_npz(file, path.stat().st_size)
        stated = graph.widths if isinstance(graph, LayeredGraph) else (graph.n_left, graph.n_right)
        if given is not None and given != stated:
            raise ValueError(f"{path} states the sizes {stated}, which differ from those given, {given}")
        return graph
    if given is not None and len(given) != 2:
        raise ValueError(f"sizes must be two, got {given}; give {spelled()}")
    if suffix == ".tsv":
        if given is None:
            raise ValueError(f"{path}: a .tsv file does not state its sizes; give {spelled()}")
        return _load_tsv(path, check_sizes(*given))[0]
    read, name = (read_matrix_market, "Matrix Market") if suffix == ".mtx" else (read_edges, "an edge list")
    with _reading(path, f"cannot be read as {name}") as file:
        return read(file, path.stat().st_size, None if given is None else check_sizes(*given))


def save_graphs(path: str | os.PathLike[str], graphs: Mapping[str, BipartiteGraph]) -> None:
    """Write graphs by name, such as the wiring of a model, replacing what is there.

    Parameters
    ----------
    path : path
        Ending in ``.npz``.
    graphs : mapping from str to BipartiteGraph

    Raises
    ------
    ValueError
        If the suffix is another, or `graphs` no such mapping.
    OSError
        If the file cannot be written; then what was there before is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> graphs = {"fc1": BipartiteGraph.from_edges(2, 3, [(0, 1)]), "fc2": BipartiteGraph.from_edges(3, 1, [(1, 0)])}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_graphs(f"{folder}/wiring.npz", graphs)
    ...     load_graphs(f"{folder}/wiring.npz") == graphs
    True
    """
    path = _as_npz(path)
    if not isinstance(graphs, Mapping) or not all(isinstance(name, str) for name in graphs):
        raise ValueError(f"a mapping from names to graphs is needed, got {type(graphs).__name__}")
    for graph in graphs.values():
        check_graph(graph)
    with replacing(path) as file:
        write_graphs(file, graphs)


def load_graphs(path: str | os.PathLike[str]) -> dict[str, BipartiteGraph]:
    """Read graphs by name that `save_graphs` wrote.

    Parameters
    ----------
    path : path
        Ending in ``.npz``.

    Returns
    -------
    dict {str: BipartiteGraph}
        In the order in which they were written.

    Raises
    ------
    ValueError
        If the suffix is not ``.npz``, or the file is damaged or of another format.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_graphs(f"{folder}/wiring.npz", {"fc1": BipartiteGraph.from_edges(2, 3, [(0, 1)])})
    ...     load_graphs(f"{folder}/wiring.npz")
    {'fc1': BipartiteGraph(2 x 3, 1 edges, density 0.1667)}
    """
    path = _as_npz(path)
    with _reading(path, "is not a file of graphs written by expandergraphs") as file:
        return read_graphs(file, path.stat().st_size)


def _as_npz(path: str | os.PathLike[str]) -> Path:
    path = as_path("path", path)
    if path.suffix != ".npz":
        raise ValueError(f"graphs by name are kept in an .npz file, got {path.name!r}")
    return path


def save_graph_challenge(
    folder: str | os.PathLike[str],
    net: LayeredGraph | Iterable[BipartiteGraph],
    *,
    weight: float = 1 / 16,
    suffix: str = ".tsv",
) -> None:
    """Write a network as the Graph Challenge does: a folder of files ``n1024-l1.tsv``, ``n1024-l2.tsv``, ...

    The folder is filled under another name and moved into place, so the network is there whole or not at all. The files
    equal the official ones byte for byte where the layers are equal.

    Parameters
    ----------
    folder : path
        A new or an empty folder, so that no two networks are mixed.
    net : LayeredGraph, or iterable of BipartiteGraph
        Layers of one width, without skips. From an iterable, such as `graph_challenge_layers`, one layer after the
        other is written and forgotten.
    weight : float
        The weight of every edge, where `net` carries no weights.
    suffix : {".tsv", ".tsv.gz"}
        Whether the files are compressed.

    Raises
    ------
    ValueError
        If widths differ, there are skips or no layers, or the folder is not empty.
    OSError
        If a file cannot be written; then there is no new folder.

    Examples
    --------
    >>> import tempfile
    >>> from expandergraphs.generators.graph_challenge import graph_challenge
    >>> net = graph_challenge(1024, 2, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_graph_challenge(f"{folder}/neuron1024", net)
    ...     load_graph_challenge(f"{folder}/neuron1024", 1024) == net
    True
    """
    folder = as_path("folder", folder)
    if suffix not in (".tsv", ".tsv.gz"):
        raise ValueError(f"suffix must be .tsv or .tsv.gz, got {suffix!r}")
    if not isinstance(weight, int | float) or not np.isfinite(weight):
        raise ValueError(f"weight must be a finite number, got {weight!r}")
    weights = net.weights if isinstance(net, LayeredGraph) else None
    if isinstance(net, LayeredGraph):
        if net.skips:
            raise ValueError(f"a Graph Challenge network has no skips, got {', '.join(map(str, net.skips))}")
        net = net.layers
    elif not isinstance(net, Iterable):
        raise ValueError(f"a LayeredGraph or an iterable of BipartiteGraphs is needed, got {type(net).__name__}")
    with filling(folder) as unfinished:
        k, width = 0, None
        for k, layer in enumerate(net, start=1):
            check_graph(layer)
            width = layer.n_left if width is None else width
            if (layer.n_left, layer.n_right) != (width, width):
                raise ValueError(
                    f"every layer must be {width} x {width}, layer {k} is {layer.n_left} x {layer.n_right}"
                )
            of_edges = float(weight) if weights is None else weights.get((k - 1, k), float(weight))
            with creating(unfinished / f"n{width}-l{k}{suffix}", compressed=suffix == ".tsv.gz") as file:
                write_tsv(file, layer, of_edges)
        if k == 0:
            raise ValueError("a network has at least one graph between its layers, got none")


def load_graph_challenge(
    folder: str | os.PathLike[str], n_neurons: int, *, n_layers: int | None = None
) -> LayeredGraph:
    """Read a Graph Challenge network from a folder of files ``n1024-l1.tsv`` or ``n1024-l1.tsv.gz`` and so on.

    Takes 4 bytes an edge where the weights of a layer are all equal, as officially; elsewhere 8 more for the weight,
    and another 8 while it reads.

    Parameters
    ----------
    folder : path
        Where the files are; other files there are left alone.
    n_neurons : int
        Width of every layer, the number behind ``n`` in the names.
    n_layers : int, optional
        How many layers to read, from the first on: the official networks of 120, 480 and 1920 layers share one folder.
        By default all that are there.

    Returns
    -------
    LayeredGraph
        With the weights of the files.

    Raises
    ------
    ValueError
        If a layer is missing, is there twice, or is not a file of this format.
    OSError
        If the folder or a file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/n2-l1.tsv", "w") as file:
    ...         print(1, 2, 0.0625, file=file)
    ...     load_graph_challenge(folder, 2)
    LayeredGraph(2-2, 1 edge, weighted)
    """
    folder, width = as_path("folder", folder), as_integer("n_neurons", n_neurons)
    files: dict[int, Path] = {}
    others = set()
    for path in sorted(folder.iterdir()):
        match = re.fullmatch(r"n(\d+)-l([1-9]\d*)\.tsv(\.gz)?", path.name)
        if match and int(match[1]) != width:
            others.add(int(match[1]))
        elif match and files.setdefault(int(match[2]), path) != path:
            raise ValueError(f"layer {match[2]} is there twice, as {files[int(match[2])].name} and {path.name}")
    if not files:
        found = f"those of {', '.join(map(str, sorted(others)))} neurons" if others else "no network"
        raise ValueError(f"{folder} holds no file n{width}-l1.tsv or n{width}-l1.tsv.gz, but {found}")
    n_layers = max(files) if n_layers is None else as_integer("n_layers", n_layers, minimum=1)
    missing = next((k for k in range(1, n_layers + 1) if k not in files), None)
    if missing is not None:
        raise ValueError(f"layer {missing} of {n_layers} is missing in {folder}: there is no n{width}-l{missing}.tsv")
    blocks, weights = {}, {}
    for k in range(n_layers):
        blocks[k, k + 1], weights[k, k + 1] = _load_tsv(files[k + 1], (width, width))
    return LayeredGraph([width] * (n_layers + 1), blocks, weights)  # type: ignore[arg-type]


def _load_tsv(path: Path, sizes: Sizes) -> tuple[BipartiteGraph, NDArray[np.float64]]:
    with _reading(path, "cannot be read as Graph Challenge TSV") as file:
        return read_tsv(file, sizes)


@contextmanager
def _reading(path: Path, failure: str) -> Iterator[IO[bytes]]:
    """Open a file, and turn what damaged bytes provoke, in gzip, zip, NumPy or our own checks, into one ValueError."""
    with reading(path) as file:
        try:
            yield file
        except Exception as error:
            raise ValueError(f"{path} {failure}: {said(error)}") from error


def check_format(path: str | os.PathLike[str], *others: str) -> tuple[Path, str]:
    """Return the path, and its suffix without ``.gz``, unless it is neither one of a graph file nor of the others."""
    path = as_path("path", path)
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    if suffix not in (*_SUFFIXES, *others):
        known, folder = ", ".join((*_SUFFIXES, *others)), ", which is a folder" if path.is_dir() else ""
        raise ValueError(f"the format is chosen by the suffix, which must be one of {known}, got {path.name!r}{folder}")
    return path, suffix.removesuffix(".gz")
