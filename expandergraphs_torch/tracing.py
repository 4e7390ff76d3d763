"""What a model computes, traced: `torch.fx` down to its layers, in both modes, with what is written in place."""

from collections.abc import Collection
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn.modules import activation, batchnorm, dropout, instancenorm, normalization, padding
from torch.nn.modules.conv import _ConvNd

from expandergraphs_torch.computing import computing_on, evaluating
from expandergraphs_torch.layers import MASKED_CLASSES
from expandergraphs_torch.masked import Masked

KEEPS_PLACES = {nn.Identity} | {
    vars(module)[name]
    for module in (activation, batchnorm, dropout, instancenorm, normalization, padding)
    for name in module.__all__
} - {nn.MultiheadAttention}


def is_layer(module: nn.Module) -> bool:
    """Return whether a module is one that might carry a mask, or is sometimes expected to."""
    return isinstance(module, nn.Linear | _ConvNd | nn.MultiheadAttention | Masked) or type(module) in MASKED_CLASSES


class _Tracer(fx.Tracer):
    """Follows a model down to the modules named, or else to its layers and to modules without any."""

    proxy_buffer_attributes = True  # what is computed from a buffer is computed again when it changes

    def __init__(self, leaves: Collection[str] | None) -> None:
        super().__init__()
        self._leaves = leaves

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return _is_leaf(module) if self._leaves is None else name in self._leaves


def _is_leaf(module: nn.Module) -> bool:
    return is_layer(module) or not any(is_layer(inner) for inner in module.modules())


class Trace(NamedTuple):
    """What a model computes, and tensors that it makes of nothing, by the names of attributes that it must have."""

    graph: fx.Graph
    constants: dict[str, Any]

    @property
    def leaves(self) -> set[str]:
        """The names of the modules that are called."""
        return {str(node.target) for node in self.graph.nodes if node.op == "call_module"}


def trace(model: nn.Module) -> Trace:
    """Trace a model that computes the same in training and evaluation, but for what its modules without layers do.

    Raises
    ------
    ValueError
        If it cannot be traced, or does what would no longer be done: hooks of containers, attributes set.
    """
    for name, module in model.named_modules():
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
        if name and any(hooks) and not _is_leaf(module):
            raise ValueError(
                f"{name!r} has hooks, which would not be called any more: its layers are called themselves"
            )
    return retrace(model)


def retrace(model: nn.Module, forward: str = "forward", leaves: Collection[str] | None = None) -> Trace:
    """Trace a method of a model down to the modules named; the model stays as it was."""
    traced, evaluated = (_traced(model, training, forward, leaves) for training in (True, False))
    _follow_mode(traced.graph, evaluated.graph)
    if traced.graph.python_code("self").src != evaluated.graph.python_code("self").src:
        raise ValueError(
            f"{type(model).__name__} computes otherwise in training than in evaluation by more than its modules and "
            "flags, as with auxiliary outputs: leave these out, or use modules, such as torch.nn.Dropout"
        )
    return traced


def _follow_mode(trained: fx.Graph, evaluated: fx.Graph) -> None:
    """Let flags that are True in training and False in evaluation, as of dropout, be the model's own."""
    pairs = list(zip(trained.nodes, evaluated.nodes, strict=False))
    differ = [
        (one, other, key)
        for one, other in pairs
        for key in (*range(len(one.args)), *one.kwargs)
        if _argument(one, key) is True and _argument(other, key) is False
    ]
    for graph, side in ((trained, 0), (evaluated, 1)) if differ else ():
        with graph.inserting_before(next(iter(graph.nodes))):
            flag = graph.get_attr("training")
        for *nodes, key in differ:
            if isinstance(key, int):
                nodes[side].update_arg(key, flag)
            else:
                nodes[side].update_kwarg(key, flag)


def _argument(node: fx.Node, key: int | str) -> Any:
    if isinstance(key, str):
        return node.kwargs.get(key)
    return node.args[key] if key < len(node.args) else None


def _traced(model: nn.Module, training: bool, forward: str, leaves: Collection[str] | None) -> Trace:
    tracer = _Tracer(leaves)
    tracer.traced_func_name = forward
    before = {module: (dict(vars(module)), dict(module._buffers)) for module in model.modules()}
    random = torch.get_rng_state()
    try:
        with evaluating(model, training=training):
            graph = tracer.trace(model)
        if not torch.equal(random, torch.get_rng_state()):
            raise ValueError("it draws random numbers that would always be the same")
        read = {node.target for node in graph.nodes if node.op == "get_attr"}
        constants = {
            name: value for name, value in vars(model).items() if name in read and name not in before[model][0]
        }
        for module, (attributes, buffers) in before.items():
            old, now = attributes | buffers, vars(module) | module._buffers
            for name in now.keys() - (constants if module is model else ()):
                if name not in old or now[name] is not old[name]:
                    raise ValueError(f"its {type(module).__name__} sets {name!r}, which would not be set any more")
        _follow_writes(model, graph)
        return Trace(graph, constants)
    except Exception as error:
        raise ValueError(
            f"torch.fx cannot trace {type(model).__name__}: {error}; write N2NSkipLinear and N2NSkipConv2d into the "
            "model instead"
        ) from error
    finally:
        torch.set_rng_state(random)
        for module, (attributes, buffers) in before.items():
            vars(module).clear()
            vars(module).update(attributes)
            module._buffers.clear()
            module._buffers.update(buffers)


def _follow_writes(model: nn.Module, graph: fx.Graph) -> None:
    """Where a value is written over, let later nodes read what it has become."""
    modules, earlier = dict(model.named_modules()), set()
    for node in graph.nodes:
        earlier.add(node)
        if writes_over(modules, node):
            node.args[0].replace_all_uses_with(node, lambda user: user not in earlier)


def writes_over(modules: dict[str, nn.Module], node: fx.Node) -> bool:
    """Return whether a node computes in place, and returns its first argument."""
    if node.op == "output" or not node.args or not isinstance(node.args[0], fx.Node):
        return False
    if node.op == "call_module":
        module: Any = modules[str(node.target)]
        return type(module) in KEEPS_PLACES and getattr(module, "inplace", False) is True
    return (called(node).endswith("_") and not called(node).endswith("__")) or node.kwargs.get("inplace") is True


def note_shapes(model: nn.Module, traced: Trace, example_input: Any) -> None:
    """Compute on an example, in evaluation mode, and note the shape of every value for `shape_of`.

    Raises
    ------
    ValueError
        If the model does not take the example.
    """
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    with computing_on("example_input"), torch.random.fork_rng(devices=[]), torch.no_grad(), evaluating(model):
        _Shapes(model, traced).run(*inputs)


class _Shapes(fx.Interpreter):
    def __init__(self, model: nn.Module, traced: Trace) -> None:
        super().__init__(model, graph=traced.graph)
        self._constants = traced.constants

    def fetch_attr(self, target: str) -> Any:
        return self._constants[target] if target in self._constants else super().fetch_attr(target)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        return value.clone() if isinstance(value, torch.Tensor) else value  # the model may count in it

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        n.meta["shape"] = result.shape if isinstance(result, torch.Tensor) else None
        n.meta["flows"] = isinstance(result, torch.Tensor | tuple | list | dict)
        return result


def shape_of(node: fx.Node) -> tuple[int, ...] | None:
    """Return the shape that `note_shapes` noted; None if there is none, or no tensor."""
    return node.meta.get("shape")


def called(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls, in lower case."""
    return (node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")).lower()
