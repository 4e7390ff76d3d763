"""A model read as a graph: its channels are the nodes, its kernels the weighted edges.

The model computes once on an example, in evaluation mode, and every call of PyTorch is watched on its way. Beside each
activation goes a tensor that says which node each of its entries belongs to. What moves entries (reshaping, slices,
shuffles) is done to that tensor too; what works on each entry, or pools positions, leaves it; a linear layer or a
convolution makes nodes, one for each output, and edges from the nodes it reads. What cannot be followed is refused by
name: products of activations, as in attention, sums over channels, layers across positions.

* Where activations are added or multiplied, they end in one set of nodes. Branches that nothing else has read become
  one; what was read before, as the input of a residual block, or the channels that a gate scales, is joined by edges of
  weight 1, channel by channel.
* Parallel edges unite, and their weights add.
* Edges are those of the mask, where there is one, whatever their weights are; otherwise all.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from expandergraphs import BipartiteGraph, LayeredGraph
from expandergraphs_torch.criteria import evaluating
from expandergraphs_torch.masked import Masked
from expandergraphs_torch.select import check_model

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LINEAR = {"linear", *(f"conv{n}d" for n in (1, 2, 3)), *(f"conv_transpose{n}d" for n in (1, 2, 3))}
_EACH = _names(
    "relu relu_ relu6 leaky_relu elu selu celu prelu gelu silu mish hardswish hardsigmoid hardtanh softplus softsign "
    "sigmoid sigmoid_ tanh tanh_ logsigmoid threshold dropout dropout1d dropout2d dropout3d alpha_dropout "
    "feature_alpha_dropout batch_norm instance_norm group_norm layer_norm rms_norm local_response_norm softmax "
    "log_softmax add sub mul div true_divide pow neg abs sqrt rsqrt exp log square reciprocal clamp clone contiguous "
    "to type float double half bfloat16 detach add_ sub_ mul_ div_ clamp_ __add__ __radd__ __iadd__ __sub__ __rsub__ "
    "__isub__ __mul__ __rmul__ __imul__ __truediv__ __itruediv__ __pow__ __neg__"
)
_BOTH = _names(
    "add add_ __add__ __radd__ __iadd__ sub sub_ __sub__ __rsub__ __isub__ mul mul_ __mul__ __rmul__ __imul__ div "
    "__truediv__ maximum minimum"
)
_POOL = {
    f"{kind}{n}d{more}"
    for kind in ("max_pool", "avg_pool", "lp_pool", "adaptive_max_pool", "adaptive_avg_pool")
    for n in (1, 2, 3)
    for more in ("", "_with_indices")
} | {"interpolate", "upsample"}
_MOVE = _names(
    "view reshape flatten unflatten permute transpose t swapaxes swapdims movedim moveaxis squeeze unsqueeze chunk "
    "split tensor_split unbind __getitem__ expand expand_as repeat tile roll flip index_select narrow select view_as "
    "reshape_as pixel_shuffle pixel_unshuffle channel_shuffle"
)
_REDUCE = {"mean", "sum", "amax", "amin", "std", "var"}
_JOIN = {"cat", "concat", "concatenate"}

# How an edge weighs: the reduction of a kernel, shape (..., k), and of the edges of one layer between two nodes.
_REDUCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Array, Any], Array]]] = {
    "l1": (lambda kernels: kernels.abs().sum(-1, dtype=torch.float64), np.add.reduceat),
    "l2": (lambda kernels: kernels.square().sum(-1, dtype=torch.float64), np.add.reduceat),
    "max": (lambda kernels: kernels.abs().amax(-1), np.maximum.reduceat),
    "top_left": (lambda kernels: kernels[..., 0].abs(), lambda values, starts: values[starts]),
    "binary": (lambda kernels: torch.ones_like(kernels[..., 0]), lambda values, starts: values[starts]),
}


def network_graph(model: nn.Module, example_input: Any, *, edge: str = "l1") -> LayeredGraph:
    """Read a model as a network of its channels.

    Parameters
    ----------
    model : Module
        Of linear layers and convolutions of any kind, activations, normalisation, pooling, reshaping, sums, products
        with gates, and concatenations.
    example_input : Tensor, or tuple of Tensor
        What the model is called with, shape (batch, channels, ...). A batch of one is enough.
    edge : {"l1", "l2", "max", "binary", "top_left"}
        How an edge weighs: the sum of the magnitudes of its kernel, the root of the sum of their squares, the largest,
        nothing, or the magnitude of the first entry alone, as in the released code of N2NSkip. Edges of channels that
        a Linear reads position by position are reduced alike.

    Returns
    -------
    LayeredGraph
        Layer 0 are the input channels, "input"; the others have the names of the layers that make them, in the order in
        which they are called. Unweighted for "binary".

    Raises
    ------
    ValueError
        If a call cannot be followed; the message names the module and the function.

    Notes
    -----
    An activation that is added to, and its summand, share their nodes from then on: where a model reads a branch again
    by itself after it was added to another, the graph has more paths than the model.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 5))
    >>> net = network_graph(model, torch.ones(1, 3, 4, 4))
    >>> net.widths, net.names
    ((3, 8, 5), ('input', '0', '3'))
    """
    check_model(model)
    if edge not in _REDUCTIONS:
        raise ValueError(f"edge must be one of {', '.join(map(repr, _REDUCTIONS))}, got {edge!r}")
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    reader = _Reader(edge)
    for tensor in inputs:
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or tensor.ndim < 2:
            raise ValueError(f"example_input must be floats of shape (batch, channels, ...), got {_words(tensor)}")
        reader.enter(tensor)
    with torch.random.fork_rng(), torch.no_grad(), evaluating(model), reader.watching(model), reader:
        model(*inputs)
    return reader.network()


@dataclass
class _Nodes:
    """One set of nodes: a layer of the graph."""

    name: str
    width: int
    first: int  # its nodes are numbered from here on
    read: bool = False


@dataclass
class _Edges:
    """The edges that one call makes, from sources[left] to node `right` of a layer; all pairs, where left is None."""

    sources: Ids
    target: int
    left: Ids | None
    right: Ids | None
    values: Array


class _Reader(TorchFunctionMode):
    """Watches a model compute, and keeps for every activation the nodes of its entries.

    They are a tensor of int64 with the activation's dimensions, of size 1 where nodes do not depend on the place; -1 is
    an entry that no node made.
    """

    def __init__(self, edge: str) -> None:
        super().__init__()
        self._edge = edge
        self._layers: list[_Nodes] = []
        self._edges: list[_Edges] = []
        self._same: dict[int, int] = {}  # a layer that has become one with another, and that
        self._known: dict[int, tuple[Tensor, Tensor]] = {}  # by identity of the activation, which is kept alive
        self._stack: list[tuple[str, nn.Module]] = []

    # --- activations ---

    def enter(self, tensor: Tensor) -> None:
        """Take an activation of shape (batch, channels, ...) as an input, with a node for each channel."""
        number = len(self._layers)
        nodes = self._new(f"input.{number}" if number else "input", tensor.shape[1])
        self._known[id(tensor)] = tensor, _along(self._range(nodes), 1, tensor.ndim)

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Know at every call which module makes it."""
        hooks = []
        for name, module in model.named_modules():
            hooks += [
                module.register_forward_pre_hook(lambda module, _, name=name: self._stack.append((name, module))),
                module.register_forward_hook(lambda *_: self._stack.pop() and None, always_call=True),
            ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Let PyTorch compute, and follow what it did to the nodes."""
        result, kwargs = func(*args, **(kwargs or {})), kwargs or {}
        tracked = [tensor for tensor in _tensors((args, kwargs)) if id(tensor) in self._known]
        outputs = list(_tensors(result))
        if tracked and outputs:
            name = func.__name__
            for output, nodes in zip(outputs, self._follow(func, name, args, kwargs, tracked, outputs), strict=True):
                if nodes.ndim != output.ndim or any(
                    n not in (1, m) for n, m in zip(nodes.shape, output.shape, strict=True)
                ):
                    raise self._lost(name)
                self._known[id(output)] = output, nodes
        return result

    def _follow(
        self, func: Any, name: str, args: Any, kwargs: Any, tracked: list[Tensor], outputs: list[Tensor]
    ) -> list[Tensor]:
        """Return the nodes of every output."""
        nodes = [self._known[id(tensor)][1] for tensor in tracked]
        if name in _LINEAR and len(tracked) == 1:
            return [self._linear(name, args, kwargs, nodes[0])]
        if name in _JOIN:
            dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
            return [self._join(args[0] if args else kwargs["tensors"], dim)]
        if len(tracked) == 2 and name in _BOTH:
            return [self._together(*nodes)]
        if len({id(tensor) for tensor in tracked}) == 1:
            if name in _MOVE:
                entries = nodes[0].expand(tracked[0].shape).contiguous()
                moved = func(*(entries if arg is tracked[0] else arg for arg in args), **kwargs)
                return [_compact(part) for part in _tensors(moved)]
            if name in _REDUCE:
                return [self._reduced(name, args, kwargs, tracked[0], nodes[0])]
            if name == "pad":
                return [self._padded(func, args, kwargs, tracked[0], nodes[0], outputs[0])]
            if name in _EACH or (name in _POOL and all(size == 1 for size in nodes[0].shape[2:])):
                return [nodes[0]] * len(outputs)
        raise self._lost(name)

    def _reduced(self, name: str, args: Any, kwargs: Any, tensor: Tensor, nodes: Tensor) -> Tensor:
        named = {"dim": args[1] if len(args) > 1 else None, "keepdim": args[2] if len(args) > 2 else False} | kwargs
        if named["dim"] is None or any(nodes.shape[d] != 1 for d in np.atleast_1d(named["dim"])):
            raise self._lost(name)
        return torch.amax(nodes, dim=named["dim"], keepdim=bool(named["keepdim"]))

    def _padded(self, func: Any, args: Any, kwargs: Any, tensor: Tensor, nodes: Tensor, output: Tensor) -> Tensor:
        if output.shape[1] == tensor.shape[1] and nodes.shape[2:].numel() == 1:
            return nodes
        if len(args) > 2 or kwargs.get("mode", "constant") != "constant":
            raise self._lost("pad")
        return _compact(func(nodes.expand(tensor.shape), args[1] if len(args) > 1 else kwargs["pad"], value=-1))

    def _join(self, tensors: Any, dim: int) -> Tensor:
        nobody = torch.tensor(-1)
        parts = [self._known.get(id(tensor), (tensor, nobody))[1].expand(tensor.shape) for tensor in tensors]
        return _compact(torch.cat(parts, dim=dim))

    def _linear(self, name: str, args: Any, kwargs: Any, nodes: Tensor) -> Tensor:
        """Make a node for each output, and edges from what the layer reads."""
        x, weight = args[0] if args else kwargs["input"], args[1] if len(args) > 1 else kwargs["weight"]
        axis = nodes.ndim - 1 if name == "linear" else nodes.ndim - weight.ndim + 1
        if any(size != 1 for d, size in enumerate(nodes.shape) if d != axis):
            raise self._lost(name, ", across positions,")
        groups = 1 if name == "linear" else kwargs.get("groups", args[6] if len(args) > 6 else 1)
        where, module = self._stack[-1]
        mask = module.topology.cpu() if isinstance(module, Masked) else None
        transposed = name.startswith("conv_transpose")
        n_right = weight.shape[1] * groups if transposed else weight.shape[0]
        sources = nodes.expand([x.shape[d] if d == axis else 1 for d in range(nodes.ndim)]).flatten().numpy()
        target = self._new(where or "output", n_right)
        if name == "linear":  # what one channel feeds into it, position after position, is one kernel
            run = int(np.argmax(np.append(sources[1:] != sources[:-1], True))) + 1
            if sources.size % run == 0 and np.array_equal(sources, np.repeat(sources[::run], run)):
                sources, weight = sources[::run], weight.reshape(n_right, -1, run)
                mask = None if mask is None else mask.reshape(n_right, -1, run)
        self._edges.append(_Edges(sources, target, *_weighted_edges(weight, mask, groups, transposed, self._edge)))
        self._read(sources)
        return _along(self._range(target), axis, nodes.ndim)

    def _together(self, a: Tensor, b: Tensor) -> Tensor:
        """Give two activations that meet, entry by entry, the same nodes."""
        shape = np.broadcast_shapes(a.shape, b.shape)
        a, b = (torch.from_numpy(self._settled(nodes.expand(shape).numpy())) for nodes in (a, b))
        meeting = (a != b) & (a >= 0) & (b >= 0)
        pairs = np.unique(torch.stack([a[meeting], b[meeting]], dim=1).sort(dim=1).values.numpy(), axis=0)
        common: dict[int, int] = {}
        owners = self._owners(pairs)
        for first, second in np.unique(owners, axis=0).tolist():
            early, late = pairs[(owners == (first, second)).all(axis=1)].T
            met = self._meet(first, second, early, late)
            common |= dict(zip(early.tolist(), met, strict=True)) | dict(zip(late.tolist(), met, strict=True))
        nodes = torch.where(a < 0, b, a)
        return _compact(nodes.clone().apply_(lambda node: common.get(node, node)))

    def _meet(self, first: int, second: int, early: Ids, late: Ids) -> list[int]:
        """Join nodes of two layers, the first of which is the older; return those that they have in common now."""
        older, newer = self._layers[first], self._layers[second]
        places = late - newer.first
        whole = early.size == older.width == newer.width and np.array_equal(early - older.first, places)
        if whole and not older.read and not newer.read:
            self._same[first], newer.name = second, older.name
            return late.tolist()  # type: ignore[no-any-return]
        target = second
        if newer.read:
            target, places = self._new(f"{self._stack[-1][0]}.sum".lstrip("."), early.size), np.arange(early.size)
            self._join_by_ones(late, target, places)
        self._join_by_ones(early, target, places)
        return (self._layers[target].first + places).tolist()  # type: ignore[no-any-return]

    def _join_by_ones(self, sources: Ids, target: int, places: Ids) -> None:
        self._read(sources)
        self._edges.append(_Edges(sources, target, np.arange(sources.size), places, np.ones(sources.size)))

    # --- nodes ---

    def _new(self, name: str, width: int) -> int:
        names, number, unique = {layer.name for layer in self._layers}, 1, name
        while unique in names:
            number += 1
            unique = f"{name}#{number}"
        first = self._layers[-1].first + self._layers[-1].width if self._layers else 0
        self._layers.append(_Nodes(unique, width, first))
        return len(self._layers) - 1

    def _range(self, layer: int) -> Tensor:
        return torch.arange(self._layers[layer].width) + self._layers[layer].first

    def _owners(self, nodes: Ids) -> Ids:
        """Return the layer of every node."""
        return np.searchsorted([layer.first for layer in self._layers], nodes, side="right") - 1

    def _settled(self, nodes: Ids) -> Ids:
        """Return nodes, those of layers that have become one with another as that one's."""
        for first, second in self._same.items():  # the older first: chains end
            older, newer = self._layers[first], self._layers[second]
            inside = (nodes >= older.first) & (nodes < older.first + older.width)
            nodes = np.where(inside, nodes - older.first + newer.first, nodes)
        return nodes

    def _read(self, nodes: Ids) -> None:
        for layer in np.unique(self._owners(self._settled(nodes[nodes >= 0]))).tolist():
            self._layers[layer].read = True

    def _lost(self, name: str, why: str = "") -> ValueError:
        where, module = self._stack[-1]
        return ValueError(
            f"channels cannot be followed through {name!r}{why} in {where!r} ({type(module).__name__}): attention and "
            "other products of activations, and sums over channels, have no graph of channels"
        )

    # --- the graph ---

    def network(self) -> LayeredGraph:
        """Return the network that was read."""
        remaining = [k for k in range(len(self._layers)) if k not in self._same]
        number = {k: n for n, k in enumerate(remaining)}
        widths = [self._layers[k].width for k in remaining]
        parts: dict[tuple[int, int], list[tuple[Ids, Array]]] = {}
        for edges in self._edges:
            target = self._settled(np.array([self._layers[edges.target].first]))
            t, sources = int(self._owners(target)[0]), self._settled(edges.sources)
            owners = np.where(sources >= 0, self._owners(sources), -1)
            for s in np.unique(owners[owners >= 0]).tolist():
                local, width = sources - self._layers[s].first, self._layers[t].width
                if edges.left is None or edges.right is None:
                    mine = owners == s
                    keys = (local[mine][:, None] * width + np.arange(width)).ravel()
                    values = edges.values[mine].ravel()
                else:
                    mine = owners[edges.left] == s
                    keys, values = local[edges.left[mine]] * width + edges.right[mine], edges.values[mine]
                parts.setdefault((number[s], number[t]), []).append(self._united(keys, values))
        blocks, weights = {}, {}
        for (s, t), several in sorted(parts.items()):
            keys, values = several[0]
            if len(several) > 1:
                keys, where = np.unique(np.concatenate([keys for keys, _ in several]), return_inverse=True)
                values = np.bincount(where, np.concatenate([values for _, values in several]))
            blocks[s, t] = BipartiteGraph.from_keys(widths[s], widths[t], keys)
            weights[s, t] = values
        names = [self._layers[k].name for k in remaining]
        return LayeredGraph(widths, blocks, None if self._edge == "binary" else weights, names)  # type: ignore[arg-type]

    def _united(self, keys: Ids, values: Array) -> tuple[Ids, Array]:
        """Sort the edges of one layer, reduce those between the same nodes, and finish their weights."""
        if np.any(keys[1:] <= keys[:-1]):
            order = np.argsort(keys, kind="stable")
            keys, starts = np.unique(keys[order], return_index=True)
            values = _REDUCTIONS[self._edge][1](values[order], starts)
        return keys, np.sqrt(values) if self._edge == "l2" else values


def _weighted_edges(weight: Tensor, mask: Tensor | None, groups: int, transposed: bool, edge: str) -> Any:
    """Return inputs, outputs and weights of a layer's edges, as `_Edges` has them."""
    kernels = weight.detach().cpu()
    kernels = kernels.float() if kernels.element_size() < 4 else kernels
    reduced = _REDUCTIONS[edge][0](kernels[..., None].flatten(2)).numpy().astype(np.float64, copy=False)
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


def _along(nodes: Tensor, axis: int, ndim: int) -> Tensor:
    """Return nodes as a tensor of so many dimensions, in which they vary along one."""
    return nodes.reshape([-1 if d == axis else 1 for d in range(ndim)])


def _compact(nodes: Tensor) -> Tensor:
    """Return nodes with size 1 along the dimensions in which they do not vary."""
    for d in range(nodes.ndim):
        first = nodes.narrow(d, 0, min(1, nodes.shape[d]))
        if bool((nodes == first).all()):
            nodes = first
    return nodes


def _tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested lists, tuples and dictionaries."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))


def _words(value: Any) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
