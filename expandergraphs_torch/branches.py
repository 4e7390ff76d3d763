"""Branches around the layers of a traced model: where they start and end, how they fit, and the model that has them."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache, reduce
from typing import Any

from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from expandergraphs.budget import LayerShape
from expandergraphs_torch.skip import add_branch
from expandergraphs_torch.tracing import Trace, note_shapes, retrace, shape_of, writes_over
from expandergraphs_torch.trunk import Stage, is_chain, shortest_path, stages, strides

Link = tuple[str, str, str]  # the names of the value that a branch reads, of that it is added to, and of its module


@dataclass(frozen=True)
class Branch:
    """A skip to be.

    Attributes
    ----------
    name : str
        "l_m", from layer l to layer m.
    begin : Node
        The value that it reads.
    stage : Stage
        Where it ends.
    shape : LayerShape
        From the channels or features that it reads, after `fit`, to those that it is added to; with a kernel if it is
        a convolution.
    stride : tuple of int
        One for each dimension of the kernel.
    fit : tuple of Module
        What makes the value fit before: pooling, flattening.
    """

    name: str
    begin: fx.Node
    stage: Stage
    shape: LayerShape
    stride: tuple[int, ...] = ()
    fit: tuple[nn.Module, ...] = ()

    def after_fit(self, module: nn.Module) -> nn.Module:
        """Return the module, or a sequence of what makes the value fit and then the module."""
        return nn.Sequential(*self.fit, module) if self.fit else module


def branches(
    model: nn.Module, traced: Trace, chosen: Collection[nn.Module], k: int, example_input: Any, *, max_pool: bool
) -> list[Branch]:
    """List the skips of a traced model from every layer l to layer l + k, where that is chosen; layer 0 is the input.

    Raises
    ------
    ValueError
        If there is none, if one of them cannot be made, or an example is needed to tell.
    """
    if example_input is not None:
        note_shapes(model, traced, example_input)
    elif not is_chain(traced.graph):
        raise ValueError(
            f"{type(model).__name__} is no chain, so its shapes must be known: give example_input, what it is called "
            "with, such as torch.ones(1, 3, 224, 224)"
        )
    found = stages(model, traced.graph)
    pairs = [(n, a, b) for n, (a, b) in enumerate(zip(found, found[k - 1 :], strict=False)) if b.layer in chosen]
    if not pairs:
        names = ", ".join(stage.name for stage in found) or "none"
        raise ValueError(
            f"a skip from layer l to layer l + {k} needs {k} layers or blocks that follow each other, the last "
            f"of them included; those of the model: {names}"
        )
    result = []
    for n, first, last in pairs:
        try:
            result.append(Branch(f"{n}_{n + k}", first.begin, last, *_fitted(model, first, last, max_pool)))
        except ValueError as error:
            raise ValueError(f"no skip from layer {n} to {last.name!r} is possible: {error}") from None
    return result


def _fitted(model: nn.Module, first: Stage, last: Stage, max_pool: bool) -> tuple[Any, ...]:
    """Return shape, stride and fit of the branch that reads what one stage does, and ends where another does."""
    before, after, layer = shape_of(first.begin), shape_of(last.end), last.layer
    linear = isinstance(layer, nn.Linear)
    if before is None or after is None:  # a chain: the layers tell
        n, n_right = 0 if linear else len(layer.kernel_size), layer.out_features if linear else layer.out_channels
        places = 0 if isinstance(first.layer, nn.Linear) else len(first.layer.kernel_size)
        n_left = first.layer.in_features if places == 0 else first.layer.in_channels
    elif linear and after[-1] == layer.out_features and (len(after) == 2 or before[:-1] == after[:-1]):
        n, n_right, places = 0, after[-1], len(before) - 2 if len(after) == 2 else 0
        n_left = before[1] if places else before[-1]
    else:
        n = places = len(after) - 2
        n_left, n_right = before[1], after[1]
        fits = n_right == layer.out_features if linear else len(layer.kernel_size) == n
        if n == 0 or len(before) != len(after) or not fits:
            raise ValueError(f"it would lead from {tuple(before)} to {tuple(after)}")
    if n == 0 and places:
        size = _positions(model, first, last, places)
        pool = getattr(nn, f"Adaptive{'Max' if max_pool else 'Avg'}Pool{places}d")
        return LayerShape(n_left * math.prod(size), n_right), (), (pool(size), nn.Flatten())
    if n == 0:
        return LayerShape(n_left, n_right), (), ()
    if places != n:
        raise ValueError("it would lead from features to positions")
    shape = LayerShape(n_left, n_right, (1,) * n if linear else tuple(layer.kernel_size))
    stride = strides(model, first.begin, last.end, n)
    if stride is None:
        if after is None:
            raise ValueError("how positions are pooled between is not known: give example_input")
        return shape, (1,) * n, (getattr(nn, f"Adaptive{'Max' if max_pool else 'Avg'}Pool{n}d")(tuple(after[2:])),)
    if before and after and any(math.ceil(a / s) < b for a, s, b in zip(before[2:], stride, after[2:], strict=True)):
        raise ValueError(f"{tuple(before[2:])} positions, every {stride}, are fewer than {tuple(after[2:])}")
    if max_pool and set(stride) != {1}:
        return shape, (1,) * n, (getattr(nn, f"MaxPool{n}d")(stride, ceil_mode=True),)
    return shape, stride, ()


def _positions(model: nn.Module, first: Stage, last: Stage, n: int) -> tuple[int, ...]:
    """Return how many positions along each dimension a linear layer's features were flattened from."""
    path = shortest_path(model, first.begin, last.call)
    shapes = [shape for shape in map(shape_of, path) if shape is not None and len(shape) == n + 2]
    if shapes:
        return tuple(shapes[0][2:])
    modules = dict(model.named_modules())
    layers = [modules[str(node.target)] for node in path if node.op == "call_module"]
    last_convolution: Any = next(layer for layer in layers if isinstance(layer, _ConvNd))
    side = round((last.layer.in_features / last_convolution.out_channels) ** (1 / n))
    if last_convolution.out_channels * side**n != last.layer.in_features:
        raise ValueError(
            f"{last.layer.in_features} features of {last_convolution.out_channels} channels are no square of "
            "positions: give example_input"
        )
    return (side,) * n


def _program(model: nn.Module, traced: Trace, links: Iterable[Link]) -> Any:
    """Return a function of a model and its inputs that computes as traced, with branches added."""
    graph, value = traced.graph, {node.name: node for node in traced.graph.nodes}
    modules = dict(model.named_modules())
    for begin, end, path in links:  # in order: a branch may start at the sum that the one before ends in
        read = value[begin]
        if any(writes_over(modules, user) and user.args[0] is read for user in read.users):
            with graph.inserting_after(read):
                read = graph.call_method("clone", (read,))  # the gradient needs it as it is here
        with graph.inserting_after(read):
            branch = graph.call_module(path, (read,))
        target = value[end]
        with graph.inserting_after(target):
            total = graph.call_function(add_branch, (target, branch))
        target.replace_all_uses_with(total, lambda user, total=total: user is not total)
        value[end] = total
    graph.lint()
    paths = {str(node.target) for node in graph.nodes if node.op in ("call_module", "get_attr")}
    parts = {path: reduce(getattr, path.split("."), model) for path in paths}
    return type(fx.GraphModule(parts, graph)).forward


class Skipping(nn.Module):
    """What a model becomes: an object of its own class still, which computes as it was traced, with branches added."""

    _plain: type[nn.Module]
    _links: tuple[Link, ...] = ()
    _leaves: set[str] | None = None  # the modules that it calls; traced again, some might be of other classes
    _constants: tuple[str, ...] = ()  # tensors that tracing found, which are no state
    _program: Any

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute what the model computes, with its branches."""
        return self._program(self, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is traced again."""
        return {name: value for name, value in vars(self).items() if name not in {"_program", *self._constants}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Trace the model again."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        modules, skips = self._modules, {path.split(".")[0] for _, _, path in self._links}
        self._modules = {
            name: module for name, module in modules.items() if name not in skips
        }  # a Sequential calls all
        traced = retrace(self, "_plain_forward", self._leaves)
        self._modules = modules
        attach(self, traced, self._links)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _blank, (self._plain,), self.__getstate__()


def attach(model: Any, traced: Trace, links: tuple[Link, ...]) -> nn.Module:
    """Let a model compute with branches, whose modules it has, in place."""
    for name, constant in traced.constants.items():
        setattr(model, name, constant)
    model._links, model._leaves, model._constants = links, traced.leaves, tuple(traced.constants)
    model._program = _program(model, traced, links)
    if not isinstance(model, Skipping):
        plain: Any = type(model)
        model.__class__ = _skipping(plain)
    return model  # type: ignore[no-any-return]


@cache
def _skipping(plain: Any) -> type[Skipping]:
    """Return the class of models of a class with branches: that class, but for `forward`."""
    members = {
        "__doc__": plain.__doc__,
        "__module__": plain.__module__,
        "_plain": plain,
        "_plain_forward": plain.forward,
        "_program": staticmethod(plain.forward),  # of what a model makes of its own class, as a slice of a Sequential
    }
    return type(plain.__name__, (Skipping, plain), members)


def _blank(plain: Any) -> Skipping:
    kind = _skipping(plain)
    return kind.__new__(kind)
