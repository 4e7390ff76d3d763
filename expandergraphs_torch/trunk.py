"""The trunk of a model: the values that all of its paths pass through, and what is computed between them.

``torch.fx`` traces the model. A value is on the trunk if nothing that was computed before it is read after it. In a
chain such as VGG that is every value; in a residual network the inputs and the sums of the blocks. A *stage* is what
lies between two neighbours on the trunk and has layers in it: one layer of a chain, or a block. It ends before its
non-linearity: with its layer, the sum of its block, or the normalisation after that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from expandergraphs_torch.tracing import KEEPS_PLACES, called, is_layer, shape_of

_NORMS: tuple[type[nn.Module], ...] = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm1d,
    nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
_KEEPS_PLACES_BY_NAME = {
    "relu", "relu_", "relu6", "leaky_relu", "elu", "gelu", "silu", "hardswish", "hardsigmoid", "hardtanh", "sigmoid",
    "tanh", "softplus", "mish", "add", "iadd", "add_", "sub", "mul", "imul", "mul_", "truediv", "div", "clamp",
    "contiguous", "pad", "cat", "concat", "concatenate", "dropout", "dropout1d", "dropout2d", "dropout3d",
    "feature_dropout", "alpha_dropout",
}  # fmt: skip
_NUMBERS = {"size", "dim", "numel", "shape", "ndim", "device", "dtype"}


@dataclass(frozen=True)
class Stage:
    """A layer of a chain, or a block.

    Attributes
    ----------
    name : str
        Of its last layer.
    layer : Module
        Its last layer on the main path, the one with the most layers.
    call : Node
        Where that is called.
    begin, end : Node
        What it reads, and what it computes before its non-linearity.
    norm : Module or None
        The normalisation after its last layer.
    """

    name: str
    layer: Any
    call: fx.Node
    begin: fx.Node
    end: fx.Node
    norm: nn.Module | None


def stages(model: nn.Module, graph: fx.Graph) -> list[Stage]:
    """List the stages of a traced model; a depthwise convolution alone is none."""
    modules, trunk, order = dict(model.named_modules()), _trunk(graph), {node: k for k, node in enumerate(graph.nodes)}

    def layers_of(node: fx.Node) -> int:
        return int(node.op == "call_module" and _joins_channels(modules[str(node.target)]))

    result = []
    for k, (begin, end) in enumerate(pairwise(trunk)):
        between = [node for node in graph.nodes if order[begin] < order[node] <= order[end]]
        if not any(map(layers_of, between)):
            continue
        path = _path(modules, begin, end, lambda node: -layers_of(node))
        last = next((node for node in path[:-1] if layers_of(node)), None)
        if last is None:
            continue
        norms = [node for node in path[: path.index(last)] if _is_norm(modules, node)]
        for following in trunk[k + 2 :]:
            if not _is_norm(modules, following):
                break
            norms, end = [*norms, following], following
        norm = modules[str(norms[-1].target)] if norms else None
        result.append(Stage(str(last.target), modules[str(last.target)], last, begin, end, norm))
    return result


def is_chain(graph: fx.Graph) -> bool:
    """Return whether every value of a traced model is on its trunk."""
    values = [node for node in graph.nodes if node.users and node.op != "get_attr" and not _is_number(node)]
    return len(values) == len(_trunk(graph))


def strides(model: nn.Module, begin: fx.Node, end: fx.Node, n: int) -> tuple[int, ...] | None:
    """Return the steps between positions at the end, in positions at the beginning; None if there is no fixed number.

    Raises
    ------
    ValueError
        If something on the way does who knows what to positions, or there are more of them at the end.
    """
    modules = dict(model.named_modules())
    path = shortest_path(model, begin, end)
    total = [Fraction(1)] * n
    for node in path[:-1]:
        step = _step(modules, node, n)
        if step is None:
            return None
        total = [a * b for a, b in zip(total, step, strict=True)]
    if any(step.denominator != 1 for step in total):
        raise ValueError("there are more positions where it ends, and a skip cannot make them")
    return tuple(map(int, total))


def shortest_path(model: nn.Module, begin: fx.Node, end: fx.Node) -> list[fx.Node]:
    """Return the path of values with the fewest layers, from the end back to the beginning."""
    modules = dict(model.named_modules())
    return _path(
        modules, begin, end, lambda node: int(node.op == "call_module" and is_layer(modules[str(node.target)]))
    )


def _joins_channels(module: Any) -> bool:
    depthwise = isinstance(module, _ConvNd) and 1 < module.groups == module.in_channels
    return is_layer(module) and not depthwise


def _trunk(graph: fx.Graph) -> list[fx.Node]:
    """List the values that are computed from the inputs and let nothing past them."""
    position = {node: k for k, node in enumerate(graph.nodes)}
    last_use = {node: max((position[user] for user in node.users), default=-1) for node in graph.nodes}
    flowing: set[fx.Node] = set()
    live: set[fx.Node] = set()
    result = []
    for node in graph.nodes:
        live = {value for value in live if last_use[value] > position[node]}
        computed = node.op != "output" and not _is_number(node) and flowing & set(node.all_input_nodes)
        if node.users and ((node.op == "placeholder" and node.meta.get("flows", True)) or computed):
            flowing.add(node)
            live.add(node)
            if live == {node} and node.meta.get("shape", ()) is not None:
                result.append(node)
    return result


def _is_number(node: fx.Node) -> bool:
    """Return whether a value is a size or the like."""
    inputs = node.all_input_nodes
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] in _NUMBERS
    if node.op == "call_method" and node.target in _NUMBERS:
        return True
    return node.op == "call_function" and bool(inputs) and all(map(_is_number, inputs))


def _is_norm(modules: dict[str, nn.Module], node: fx.Node) -> bool:
    return node.op == "call_module" and type(modules[str(node.target)]) in _NORMS


def _path(modules: dict[str, nn.Module], begin: fx.Node, end: fx.Node, cost: Callable[[fx.Node], int]) -> list[fx.Node]:
    """Return the cheapest path of values, from the end back to the beginning; past pooling all positions if it can."""
    best: dict[fx.Node, tuple[tuple[int, int], fx.Node | None]] = {begin: ((0, 0), None)}
    node = begin.next
    while node is not end.next:
        options = [(best[source][0], source) for source in node.all_input_nodes if source in best]
        if options and not _is_number(node):
            (pooled, total), source = min(options, key=lambda option: option[0])
            best[node] = (pooled + _is_global(modules, node), total + cost(node)), source
        node = node.next
    path: list[fx.Node] = []
    at: fx.Node | None = end
    while at is not None:
        path.append(at)
        at = best[at][1]
    return path


def _is_global(modules: dict[str, nn.Module], node: fx.Node) -> bool:
    name = type(modules[str(node.target)]).__name__.lower() if node.op == "call_module" else called(node)
    return "adaptive" in name or name in ("mean", "amax")


def _step(modules: dict[str, nn.Module], node: fx.Node, n: int) -> list[Fraction] | None:
    """Return by how many positions one value steps for each of its own, along each of n dimensions."""
    if node.op == "call_module":
        module: Any = modules[str(node.target)]
        if isinstance(module, _ConvNd):
            return [Fraction(s) ** (-1 if module.transposed else 1) for s in module.stride][-n:]
        if type(module) in KEEPS_PLACES:
            return [Fraction(1)] * n
        if "Pool" in type(module).__name__ and hasattr(module, "kernel_size"):
            return _each(module.stride, n)
    elif called(node) in _KEEPS_PLACES_BY_NAME:
        return [Fraction(1)] * n
    elif node.op == "call_function" and "pool" in called(node) and not _is_global(modules, node):
        arguments = dict(zip(("kernel_size", "stride"), node.args[1:], strict=False)) | node.kwargs
        return _each(arguments.get("stride") or arguments["kernel_size"], n)
    shape, before = shape_of(node), shape_of(node.all_input_nodes[0])
    if shape is not None and before is not None and len(shape) == n + 2 and shape[2:] == before[2:]:
        return [Fraction(1)] * n
    return None


def _each(value: Any, n: int) -> list[Fraction]:
    return [Fraction(v) for v in (value if isinstance(value, tuple) else (value,) * n)]
