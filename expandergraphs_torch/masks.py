"""Graph to mask, and back: the one place where rows and columns change roles.

A graph's biadjacency is ``n_left x n_right``, inputs by outputs; a PyTorch weight is (out, in, ...). So a mask is the
transposed biadjacency, and nothing else in the adapter transposes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expandergraphs import BipartiteGraph
from expandergraphs._checks import as_integer
from expandergraphs.bipartite import check_graph


def linear_mask(g: BipartiteGraph) -> Tensor:
    """Return the mask of a linear layer: bool, shape (n_right, n_left), True where there is an edge.

    Examples
    --------
    >>> linear_mask(BipartiteGraph.from_edges(3, 2, [(0, 0), (2, 1)])).int().tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    check_graph(g)
    mask = np.zeros((g.n_right, g.n_left), dtype=bool)
    edges = g.edges
    mask[edges[:, 1], edges[:, 0]] = True
    return torch.from_numpy(mask)


def conv_mask(g: BipartiteGraph, kernel_size: int | Sequence[int]) -> Tensor:
    """Return the mask of a convolution: every edge carries a whole kernel.

    Parameters
    ----------
    g : BipartiteGraph
        From input channels to output channels.
    kernel_size : int or sequence of int
        One number a spatial dimension; a single int means a square kernel of a 2-d convolution.

    Returns
    -------
    Tensor of bool, shape (n_right, n_left, *kernel_size)

    Raises
    ------
    ValueError
        If a kernel size is not a positive integer.

    Examples
    --------
    >>> conv_mask(BipartiteGraph.from_edges(3, 2, [(0, 0)]), 5).shape
    torch.Size([2, 3, 5, 5])
    """
    kernel = as_kernel(kernel_size, 2 if not isinstance(kernel_size, Sequence) else len(kernel_size))
    return compact_conv_mask(g, len(kernel)).expand(-1, -1, *kernel).contiguous()


def as_kernel(kernel_size: Any, n_dimensions: int) -> tuple[int, ...]:
    """Return one positive int a spatial dimension, or raise ``ValueError``."""
    sizes = kernel_size if isinstance(kernel_size, Sequence) else (kernel_size,) * n_dimensions
    if not sizes or len(sizes) != n_dimensions:
        raise ValueError(f"kernel_size must be an int or {n_dimensions} of them, got {kernel_size!r}")
    return tuple(as_integer("kernel_size", size, minimum=1) for size in sizes)


def compact_conv_mask(g: BipartiteGraph, n_dimensions: int) -> Tensor:
    """Return the mask of a convolution in the form that broadcasts: shape (n_right, n_left, 1, ...)."""
    return linear_mask(g)[(..., *[None] * n_dimensions)]


def graph_from_mask(mask: Any) -> BipartiteGraph:
    """Return the graph of a mask of shape (out, in, ...): an edge where any entry of the kernel is not zero.

    Raises
    ------
    ValueError
        If it is no mask, or has fewer than two dimensions.

    Examples
    --------
    >>> graph_from_mask(torch.tensor([[True, False, False], [False, False, True]])).edges.tolist()
    [[0, 0], [2, 1]]
    """
    try:
        present = torch.as_tensor(mask) != 0
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"a mask must be a tensor or an array, got {mask!r}") from None
    if present.ndim < 2:
        raise ValueError(f"a mask has the shape (out, in, ...), got {tuple(present.shape)}")
    if present.ndim > 2:
        present = present.flatten(2).any(dim=2)
    return BipartiteGraph.from_biadjacency(present.T.cpu().numpy())
