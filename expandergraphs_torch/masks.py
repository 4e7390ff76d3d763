r"""Graph to mask, and back: the one place where rows and columns change roles.

A graph's biadjacency is ``n_left x n_right``, inputs by outputs; a PyTorch weight is (out, in, ...). So a mask is the
transposed biadjacency, and nothing else in the adapter transposes. What a mask looks like depends on the layer:

===================  ======================  ===================================================================
layer                shape of the weight     its graph
===================  ======================  ===================================================================
linear               (out, in)               in x out
convolution          (out, in, \*kernel)      channels, in x out; every edge carries a kernel. Mask (out, in, 1, ...)
the same, by weight  (out, in, \*kernel)      in * k x out: entry j of the kernel of channel i is vertex i * k + j
grouped, G groups    (out, in / G, ...)      in x out as above, with edges inside the groups only
transposed           (in, out / G, ...)      as above
===================  ======================  ===================================================================
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expandergraphs import BipartiteGraph
from expandergraphs._checks import as_integer
from expandergraphs.bipartite import check_graph
from expandergraphs.budget import LayerShape


def linear_mask(g: BipartiteGraph) -> Tensor:
    """Return the mask of a linear layer: bool, shape (n_right, n_left), True where there is an edge.

    Parameters
    ----------
    g : BipartiteGraph

    Returns
    -------
    Tensor of bool, shape (n_right, n_left)

    Raises
    ------
    ValueError
        If `g` is no BipartiteGraph.

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
    Tensor of bool, shape (n_right, n_left, kernel_size[0], ...)

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
    return linear_mask(g)[(..., *[None] * len(kernel))].expand(-1, -1, *kernel).contiguous()


def as_kernel(kernel_size: Any, n_dimensions: int) -> tuple[int, ...]:
    """Return one positive int a spatial dimension, or raise ``ValueError``."""
    sizes = kernel_size if isinstance(kernel_size, Sequence) else (kernel_size,) * n_dimensions
    if not sizes or len(sizes) != n_dimensions:
        raise ValueError(f"kernel_size must be an int or {n_dimensions} of them, got {kernel_size!r}")
    return tuple(as_integer("kernel_size", size, minimum=1) for size in sizes)


def graph_from_mask(mask: Any) -> BipartiteGraph:
    """Return the graph of a mask of shape (out, in, ...): an edge where any entry of the kernel is not zero.

    Parameters
    ----------
    mask : Tensor or array-like, shape (n_right, n_left, ...)

    Returns
    -------
    BipartiteGraph

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


@dataclass(frozen=True)
class Layout:
    """How the weight of a layer is laid out.

    Attributes
    ----------
    shape : LayerShape
        Inputs, outputs, kernel, groups.
    transposed : bool
        Whether the weight is (in, out / groups, ...) instead of (out, in / groups, ...).
    """

    shape: LayerShape
    transposed: bool = False

    @classmethod
    def of(cls, module: Any, masked: Any = None) -> "Layout":
        """Return the layout of a layer's weight, transposed if the layer or its masked class says so."""
        groups, transposed = getattr(module, "groups", 1), getattr(module, "transposed", None)
        if transposed is None:
            transposed = getattr(masked, "transposed", False)
        first, second, *kernel = module.weight.shape
        n_left, n_right = (first, second * groups) if transposed else (second * groups, first)
        return cls(LayerShape(n_left, n_right, tuple(kernel), groups), transposed)

    def has_mask_shape(self, shape: Sequence[int]) -> bool:
        """Tell whether a tensor of this shape may be the layer's mask."""
        n_left, n_right, kernel, groups = self.shape
        sides = (n_left, n_right // groups) if self.transposed else (n_right, n_left // groups)
        return tuple(shape) in {(*sides, *kernel), (*sides, *[1] * len(kernel))}

    def mask(self, g: BipartiteGraph) -> Tensor:
        """Return the mask that a graph means, in the form that broadcasts to the weight.

        Raises
        ------
        ValueError
            If the sizes are neither those of the channels nor those of the single weights, or an edge leaves its group.
        """
        self.check(g)
        n_left, n_right, kernel, _ = self.shape
        k = g.n_left // n_left
        square = linear_mask(g).reshape(*self._by_group(n_right), *self._by_group(n_left), k)
        mask = square.diagonal(dim1=0, dim2=2).movedim(-1, 0)  # (groups, out, in, k)
        if self.transposed:
            mask = mask.transpose(1, 2)
        return mask.reshape(-1, mask.shape[2], *(kernel if k > 1 else (1,) * len(kernel))).contiguous()

    def check(self, g: BipartiteGraph) -> None:
        """Raise ``ValueError`` unless the graph has the sizes of the channels or single weights, inside the groups."""
        n_left, n_right, kernel, groups = self.shape
        fitting = dict.fromkeys([n_left, n_left * math.prod(kernel)])
        if g.n_left not in fitting or g.n_right != n_right:
            needed = " or ".join(f"{n} x {n_right}" for n in fitting)
            raise ValueError(f"a graph {needed} is needed, got {g!r}")
        if groups > 1:
            left, right = g.edges.T
            if np.any(left // (g.n_left // groups) != right // (n_right // groups)):
                raise ValueError(f"an edge leads from one of the layer's {groups} groups to another")

    def graph(self, mask: Tensor) -> BipartiteGraph:
        """Return the graph of a mask; where it has entries for a kernel, every one of them is a vertex."""
        units = self._units(mask.cpu())  # (groups, in, out, kernel): by left vertices, the edges come in order
        entries = units.permute(0, 1, 3, 2).contiguous()
        _, n_left, k, n_right = entries.shape
        left, right = np.divmod(np.flatnonzero(entries.numpy()), max(1, n_right))
        group = left // max(1, n_left * k)
        keys = left * self.shape.n_right + group * n_right + right
        return BipartiteGraph.from_keys(self.shape.n_left * k, self.shape.n_right, keys)

    def fan_in(self, mask: Tensor) -> Tensor:
        """Return the number of weights that reach each output, shape (n_right,)."""
        units, per_entry = self._units(mask), math.prod(self.shape.kernel) // max(1, mask.shape[2:].numel())
        if mask.is_cpu:  # ten times faster than PyTorch's sum of booleans
            counts = torch.from_numpy(np.count_nonzero(units.numpy(), axis=(1, 3)))
        else:
            counts = units.sum(dim=(1, 3))
        return counts.flatten() * per_entry

    def by_unit(self, values: Tensor) -> Tensor:
        """Return one value an output, shape (n_right,), in a form that broadcasts to the weight."""
        trailing, groups = [1] * len(self.shape.kernel), self.shape.groups
        if not self.transposed:
            return values.reshape(-1, 1, *trailing)
        inside = values.reshape(groups, 1, -1).expand(-1, self.shape.n_left // groups, -1)
        return inside.reshape(self.shape.n_left, -1, *trailing)

    def _units(self, mask: Tensor) -> Tensor:
        """Return a view of a mask of shape (groups, in, out, kernel), sides as in one group."""
        mask = mask[..., None] if mask.ndim == 2 else mask.flatten(2)
        mask = mask.reshape(*self._by_group(mask.shape[0]), *mask.shape[1:])
        return mask if self.transposed else mask.transpose(1, 2)

    def _by_group(self, n: int) -> tuple[int, int]:
        return self.shape.groups, n // self.shape.groups
