"""The watcher behind `network_graph`: it sees every call of PyTorch, and follows the nodes of every activation."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from expandergraphs import BipartiteGraph, LayeredGraph
from expandergraphs_torch.computing import computing_on, evaluating
from expandergraphs_torch.masked import Masked
from expandergraphs_torch.network_edges import Array, Edges, Ids, united, weighted_edges
from expandergraphs_torch.skip import SkipBranch


def _names(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_LINEAR = {"linear", *(f"conv{n}d" for n in (1, 2, 3)), *(f"conv_transpose{n}d" for n in (1, 2, 3))}
_EACH = _names(
    "relu relu_ relu6 leaky_relu elu selu celu prelu gelu silu mish hardswish hardsigmoid hardtanh softplus softsign "
    "sigmoid sigmoid_ tanh tanh_ logsigmoid threshold dropout dropout1d dropout2d dropout3d alpha_dropout "
    "feature_alpha_dropout batch_norm instance_norm group_norm layer_norm rms_norm local_response_norm softmax "
    "log_softmax add sub mul div true_divide pow neg abs sqrt rsqrt exp log square reciprocal clamp clone contiguous "
    "to type float double half bfloat16 detach data add_ sub_ mul_ div_ clamp_ __add__ __radd__ __iadd__ __sub__ "
    "__rsub__ __isub__ __mul__ __rmul__ __imul__ __truediv__ __itruediv__ __pow__ __neg__"
)
_BOTH = _names(
    "add add_ __add__ __radd__ __iadd__ sub sub_ __sub__ __rsub__ __isub__ mul mul_ __mul__ __rmul__ __imul__ div "
    "__truediv__ maximum minimum"
)
_POOL = {  # over so many of the last dimensions
    f"{kind}{n}d{more}": n
    for kind in ("max_pool", "avg_pool", "lp_pool", "adaptive_max_pool", "adaptive_avg_pool")
    for n in (1, 2, 3)
    for more in ("", "_with_indices")
}
_MOVE = _names(
    "view reshape flatten unflatten permute transpose t swapaxes swapdims movedim moveaxis squeeze unsqueeze chunk "
    "split tensor_split unbind __getitem__ expand expand_as repeat tile roll flip index_select narrow select view_as "
    "reshape_as pixel_shuffle pixel_unshuffle channel_shuffle T mT"
)
_FRESH = _names(
    "new_zeros new_ones new_empty new_full zeros_like ones_like empty_like full_like rand_like randn_like"
)  # of an activation they take the shape alone
_REDUCE = {"mean", "sum", "amax", "amin", "std", "var"}
_UNSEEN = ", of what was made where calls cannot be watched (NumPy, a ScriptModule),"
_JOIN = {"cat", "concat", "concatenate"}


@dataclass
class _Nodes:
    """One set of nodes: a layer of the graph."""

    name: str
    width: int
    first: int  # its nodes are numbered from here on
    branch: bool = False  # of a skip, whose name gives way to that of the layer that it ends at
    read: bool = False
    sums: tuple[int, ...] = ()  # what was added to it


class _Activation(NamedTuple):
    """A tensor, kept alive, the nodes of its entries, and how many sums there were before it.

    The nodes are None where the tensor was changed in place, through another that shares its memory.
    """

    tensor: Tensor
    nodes: Tensor | None
    n_sums: int


class Reader(TorchFunctionMode):
    """Watches a model compute, and keeps for every activation the nodes of its entries.

    They are a tensor of int64 with the activation's dimensions, of size 1 where nodes do not depend on the place; -1 is
    an entry that no node made.

    Sums and products are numbered. Where one shares the nodes of a summand, what was there before should not be read
    again; if it is, the number is in `spent`, and belongs into `apart` of the next reader.
    """

    def __init__(self, edge: str, apart: frozenset[int]) -> None:
        super().__init__()
        self._edge, self._apart = edge, apart
        self.spent: set[int] = set()
        self._n_sums = 0
        self._layers: list[_Nodes] = []
        self._edges: list[Edges] = []
        self._same: dict[int, int] = {}  # a layer that has become one with another, and that
        self._known: dict[int, _Activation] = {}  # by identity
        self._masks: list[Masked] = []
        self._masked: dict[int, tuple[Tensor, Masked]] = {}  # weights that were masked, by identity
        self._stack: list[tuple[str, nn.Module]] = []

    # --- activations ---

    def read(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Let a model compute on copies of the inputs and of its buffers.

        Nothing but the inputs requires a gradient: what does without being known was made where nobody could watch.
        """
        self._masks = [module for module in model.modules() if isinstance(module, Masked)]
        devices = {parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"}
        with (
            torch.random.fork_rng(devices=list(devices)),
            torch.inference_mode(False),
            torch.enable_grad(),
            evaluating(model),
            self._watching(model),
        ):
            copies = tuple(tensor.detach().clone().requires_grad_().clone() for tensor in inputs)
            tensors = {
                name: p.clone().detach() if p.is_inference() else p.detach() for name, p in model.named_parameters()
            }
            tensors |= {name: buffer.clone() for name, buffer in model.named_buffers()}
            for number, tensor in enumerate(copies):
                layer = self._new(f"input.{number}" if number else "input", tensor.shape[1])
                self._known[id(tensor)] = _Activation(tensor, _along(self._range(layer), 1, tensor.ndim), 0)
            with self, computing_on("example_input"):
                outputs = list(_tensors(functional_call(model, tensors, copies)))
        if any(map(self._is_unseen, outputs)) or not any(id(output) in self._known for output in outputs):
            raise ValueError(f"channels cannot be followed to the output{_UNSEEN} or it does not depend on the input")

    @contextmanager
    def _watching(self, model: nn.Module) -> Iterator[None]:
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
        kwargs = kwargs or {}
        read = list(_tensors((args, kwargs)))
        tracked = [tensor for tensor in read if id(tensor) in self._known]
        unseen = any(self._is_unseen(tensor) for tensor in read)
        result = func(*args, **kwargs)
        outputs = list(_tensors(result))
        name = func.__self__.__name__ if func.__name__ == "__get__" else func.__name__
        if name in _FRESH or not (outputs or name in ("__setitem__", "__set__")):
            return result
        if unseen:
            raise self._lost(name, _UNSEEN)
        if not tracked:
            if func is torch.where:
                owners = (module for module in self._masks if module.mask is read[0])
                self._masked |= {id(result): (result, module) for module in owners}
            return result
        n_sums = self._n_sums
        nodes = self._follow(func, name, args, kwargs, tracked, outputs)
        for output, its in zip(outputs, nodes, strict=True):
            if its.ndim != output.ndim or any(n not in (1, m) for n, m in zip(its.shape, output.shape, strict=True)):
                raise self._lost(name)
            if self._n_sums > n_sums and any(output is tensor for tensor in read):
                self._overwrite(output)
            self._known[id(output)] = _Activation(output, its, self._n_sums)
        return result

    def _is_unseen(self, tensor: Tensor) -> bool:
        return tensor.requires_grad and id(tensor) not in self._known

    def _overwrite(self, tensor: Tensor) -> None:
        """Forget the nodes of whatever shares memory with a tensor that was changed in place."""
        memory = tensor.untyped_storage().data_ptr()
        for key, other in self._known.items():
            if other.tensor.untyped_storage().data_ptr() == memory:
                self._known[key] = other._replace(nodes=None)

    def _nodes_of(self, tensor: Tensor, name: str) -> Tensor:
        """Return the nodes of an activation that is read."""
        _, nodes, n_sums = self._known[id(tensor)]
        if nodes is None:
            raise self._lost(name, ", of a tensor that was changed in place through another,")
        owners = np.unique(self._owners(self._settled(nodes[nodes >= 0].numpy())))
        self.spent |= {number for k in owners.tolist() for number in self._layers[k].sums if number >= n_sums}
        return nodes

    def _follow(
        self, func: Any, name: str, args: Any, kwargs: Any, tracked: list[Tensor], outputs: list[Tensor]
    ) -> list[Tensor]:
        """Return the nodes of every output."""
        nodes = [self._nodes_of(tensor, name) for tensor in tracked]
        if name in _LINEAR and len(tracked) == 1 and tracked[0] is (args[0] if args else kwargs["input"]):
            return [self._linear(name, args, kwargs, nodes[0])]
        if name in _JOIN:
            dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
            return [self._join(args[0] if args else kwargs["tensors"], dim)]
        if len(tracked) == 2 and name in _BOTH:
            return [self._together(*nodes)]
        if all(tensor is tracked[0] for tensor in tracked):
            if name in _MOVE:
                entries = nodes[0].expand(tracked[0].shape).contiguous()
                moved = func(
                    *(entries if arg is tracked[0] else arg for arg in args),
                    **{key: entries if arg is tracked[0] else arg for key, arg in kwargs.items()},
                )
                return [_compact(part) for part in _tensors(moved)]
            if name in _REDUCE:
                return [self._reduced(name, args, kwargs, nodes[0])]
            if name == "pad":
                return [self._padded(func, args, kwargs, tracked[0], nodes[0])]
            n_pooled = nodes[0].ndim - 2 if name in ("interpolate", "upsample") else _POOL.get(name, 0)
            if name in _EACH or (n_pooled > 0 and nodes[0].shape[-n_pooled:].numel() == 1):
                return [nodes[0]] * len(outputs)
        raise self._lost(name)

    def _reduced(self, name: str, args: Any, kwargs: Any, nodes: Tensor) -> Tensor:
        named = {"dim": args[1] if len(args) > 1 else None, "keepdim": args[2] if len(args) > 2 else False} | kwargs
        if named["dim"] is None or any(nodes.shape[d] != 1 for d in np.atleast_1d(named["dim"])):
            raise self._lost(name)
        return torch.amax(nodes, dim=named["dim"], keepdim=bool(named["keepdim"]))

    def _padded(self, func: Any, args: Any, kwargs: Any, tensor: Tensor, nodes: Tensor) -> Tensor:
        named = dict(zip(("input", "pad", "mode"), args, strict=False)) | kwargs
        if not any(named["pad"][2 * (tensor.ndim - 2) :]) and nodes.shape[2:].numel() == 1:
            return nodes  # what is beside an image belongs to its channel
        if named.get("mode", "constant") != "constant":
            raise self._lost("pad")
        return _compact(func(nodes.expand(tensor.shape), named["pad"], value=-1))

    def _join(self, tensors: Any, dim: int) -> Tensor:
        known = {id(tensor): self._nodes_of(tensor, "cat") for tensor in tensors if id(tensor) in self._known}
        nodes = [known.get(id(tensor), torch.tensor(-1)).expand(tensor.shape) for tensor in tensors]
        return _compact(torch.cat(nodes, dim=dim))

    def _linear(self, name: str, args: Any, kwargs: Any, nodes: Tensor) -> Tensor:
        """Make a node for each output, and edges from what the layer reads."""
        x, weight = args[0] if args else kwargs["input"], args[1] if len(args) > 1 else kwargs["weight"]
        if name != "linear" and nodes.ndim < weight.ndim:
            raise ValueError(f"example_input lacks its batch dimension: {name!r} gets {nodes.ndim} dimensions")
        axis = nodes.ndim - 1 if name == "linear" else nodes.ndim - weight.ndim + 1
        if any(size != 1 for d, size in enumerate(nodes.shape) if d != axis):
            raise self._lost(name, ", across positions,")
        groups = 1 if name == "linear" else kwargs.get("groups", args[6] if len(args) > 6 else 1)
        where, module = self._stack[-1]
        _, module = self._masked.get(id(weight), (weight, module))
        mask = module.topology.cpu() if isinstance(module, Masked) else None
        transposed = name.startswith("conv_transpose")
        n_right = weight.shape[1] * groups if transposed else weight.shape[0]
        sources = nodes.expand([x.shape[d] if d == axis else 1 for d in range(nodes.ndim)]).flatten().numpy()
        target = self._new(where or "output", n_right)
        self._layers[target].branch = isinstance(module, SkipBranch)
        if name == "linear":  # what one channel feeds into it, position after position, is one kernel
            run = int(np.argmax(np.append(sources[1:] != sources[:-1], True))) + 1
            if sources.size % run == 0 and np.array_equal(sources, np.repeat(sources[::run], run)):
                sources, weight = sources[::run], weight.reshape(n_right, -1, run)
                mask = None if mask is None else mask.reshape(n_right, -1, run)
        self._edges.append(Edges(sources, target, *weighted_edges(weight, mask, groups, transposed, self._edge)))
        self._read(sources)
        return _along(self._range(target), axis, nodes.ndim)

    def _together(self, a: Tensor, b: Tensor) -> Tensor:
        """Give two activations that meet, entry by entry, the same nodes."""
        number, self._n_sums = self._n_sums, self._n_sums + 1
        shape = np.broadcast_shapes(a.shape, b.shape)
        met = np.stack([self._settled(nodes.expand(shape).numpy()).ravel() for nodes in (a, b)], axis=1)
        pairs, where = np.unique(np.sort(met, axis=1), axis=0, return_inverse=True)
        nodes = pairs[:, 1].copy()  # of an entry that no node made, the other's
        meeting = (pairs[:, 0] >= 0) & (pairs[:, 0] != pairs[:, 1])
        owners = self._owners(pairs)
        for first, second in np.unique(owners[meeting], axis=0).tolist():
            here = meeting & (owners == (first, second)).all(axis=1)
            alone = not np.isin(pairs[here, 1], pairs[~here]).any() and np.unique(pairs[here, 1]).size == here.sum()
            nodes[here] = self._meet(first, second, pairs[here], number, alone and number not in self._apart)
        return _compact(torch.from_numpy(nodes[where.reshape(shape)]))

    def _meet(self, first: int, second: int, pairs: Ids, number: int, free: bool) -> Ids:
        """Join nodes of two layers, the first of which is the older; return those that they have in common now."""
        older, newer = self._layers[first], self._layers[second]
        early, late = pairs[:, 0], pairs[:, 1]
        places = late - newer.first
        free = free and not newer.read and first != second
        whole = early.size == older.width == newer.width and np.array_equal(early - older.first, places)
        if free and whole and not older.read:
            self._same[first] = second
            newer.name = newer.name if older.branch else older.name
            newer.branch = newer.branch and older.branch
            newer.sums += (number,)
            return late
        target = second
        if free:
            newer.sums += (number,)
        else:
            target, places = self._new(f"{self._stack[-1][0]}.sum".lstrip("."), early.size), np.arange(early.size)
            self._join_by_ones(late, target, places)
        self._join_by_ones(early, target, places)
        return self._layers[target].first + places

    def _join_by_ones(self, sources: Ids, target: int, places: Ids) -> None:
        self._read(sources)
        self._edges.append(Edges(sources, target, np.arange(sources.size), places, np.ones(sources.size)))

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
                parts.setdefault((number[s], number[t]), []).append(united(keys, values, self._edge))
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


def words(value: Any) -> str:
    """Describe a value for a message."""
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
