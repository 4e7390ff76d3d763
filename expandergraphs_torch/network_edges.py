"""The edges that one call makes, and how they weigh."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Ids = NDArray[np.int64]

# How an edge weighs: the reduction of a kernel, shape (..., k), and of the edges of one layer between two nodes.
REDUCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Array, Any], Array]]] = {
    "l1": (lambda kernels: kernels.abs().sum(-1, dtype=torch.float64), np.add.reduceat),
    "l2": (lambda kernels: kernels.square().sum(-1, dtype=torch.float64), np.add.reduceat),
    "max": (lambda kernels: kernels.abs().amax(-1), np.maximum.reduceat),
    "top_left": (lambda kernels: kernels[..., 0].abs(), lambda values, starts: values[starts]),
    "binary": (lambda kernels: torch.ones_like(kernels[..., 0]), lambda values, starts: values[starts]),
}


@dataclass
class Edges:
    """The edges that one call makes, from sources[left] to node `right` of a layer; all pairs, where left is None."""

    sources: Ids
    target: int
    left: Ids | None
    right: Ids | None
    values: Array


def weighted_edges(weight: Tensor, mask: Tensor | None, groups: int, transposed: bool, edge: str) -> Any:
    """Return inputs, outputs and weights of a layer's edges, as `Edges` has them."""
    kernels = weight.detach().cpu()
    kernels = kernels.float() if kernels.element_size() < 4 else kernels
    reduced = REDUCTIONS[edge][0](kernels[..., None].flatten(2)).numpy().astype(np.float64, copy=False)
    present = None if mask is None else mask[..., None].flatten(2).any(dim=2).numpy()
    if not transposed:
        reduced = reduced.reshape(groups, -1, reduced.shape[1]).transpose(0, 2, 1)
        present = None if present is None else present.reshape(groups, -1, present.shape[1]).transpose(0, 2, 1)
    _, n_left, n_right = (values := reduced.reshape(groups, -1, reduced.shape[-1])).shape
    if groups == 1 and present is None:
        return None, None, values[0]
    present = np.ones(values.shape, dtype=bool) if present is None else present.reshape(values.shape)
    group, left, right = np.nonzero(present)
    return group * n_left + left, group * n_right + right, values[group, left, right]


def united(keys: Ids, values: Array, edge: str) -> tuple[Ids, Array]:
    """Sort the edges of one layer, reduce those between the same nodes, and finish their weights."""
    if np.any(keys[1:] <= keys[:-1]):
        order = np.argsort(keys, kind="stable")
        keys, starts = np.unique(keys[order], return_index=True)
        values = REDUCTIONS[edge][1](values[order], starts)
    return keys, np.sqrt(values) if edge == "l2" else values
