"""A model between its two executions: masked layers that compute densely, and sparse ones where they are faster."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from expandergraphs_torch.computing import computing_on, evaluating
from expandergraphs_torch.masked import Masked
from expandergraphs_torch.model import masked_modules
from expandergraphs_torch.select import check_model
from expandergraphs_torch.sparse.build import why_not
from expandergraphs_torch.sparse.layers import SPARSE_CLASSES, Sparse, SparseConv2d, SparseLinear
from expandergraphs_torch.sparse.products import executions

ROWS = 128  # of the input that a linear layer is measured with, where no example tells
_ROUNDS, _MOST_ROUNDS, _SECONDS = 3, 30, 0.3  # a layer is measured at least, at most so often; or for so long


def to_sparse(model: nn.Module, *, example_input: Any = None) -> nn.Module:
    """Let the masked layers of a model compute sparsely where that is faster on this machine, in place.

    Every masked linear layer and convolution is measured alone, as the example calls it: as a plain dense layer, and
    sparsely in every way that this machine offers. It becomes a `SparseLinear`, `SparseConv1d`, `SparseConv2d` or
    `SparseConv3d` that computes in the fastest way, or stays as it is where the dense layer is as fast. `summary` says
    what each layer executes, and why.

    In training mode a training step is measured, forward and backward; in evaluation mode, inference.

    Parameters
    ----------
    model : Module
        On the device, and with the number of threads, that it will run with. Build the optimizer afterwards: a sparse
        layer has another parameter, `values`.
    example_input : Tensor or tuple of Tensor, optional
        What the model is called with, at the batch size it will have. Without it, linear layers are measured with
        inputs of 128 rows, and convolutions stay as they are: their cost depends on the size of the images.

    Returns
    -------
    Module
        The model itself. Its state_dict has the keys it had.

    Raises
    ------
    ValueError
        If the model does not take the example.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = egt.sparsify(nn.Sequential(nn.Linear(2048, 2048)), "regular", density=0.01, rng=0)
    >>> keys = list(model.state_dict())
    >>> executes = egt.summary(to_sparse(model)).layers[0].executes
    >>> executes.partition(": ")[2]  # doctest: +SKIP
    'a training step takes 0.671 ms (compiled), 19.2 ms dense'
    >>> sorted(model.state_dict()) == sorted(keys)
    True
    """
    layers = {name: layer for name, layer in masked_modules(model).items() if not isinstance(layer, Sparse)}
    calls = None if example_input is None else _calls(model, layers, example_input)
    shared = _shared(model)
    decided = []
    for name, layer in layers.items():
        how, reason = "dense", _obstacle(layer, shared)
        call = _Call((ROWS, getattr(layer, "in_features", 0)), True) if calls is None else calls.get(name)
        if not reason and calls is None and not isinstance(layer, nn.Linear):
            reason = "not measured, since no example_input was given"
        elif not reason and call is None:
            reason = "the example does not call it"
        if not reason:
            seconds = _measure(layer, call)  # type: ignore[arg-type]
            how = min(seconds, key=seconds.__getitem__)
            reason = _why(seconds, training=layer.training)
        decided.append((layer, how, reason))
    for layer, how, reason in decided:  # after all measurements: one that fails changes nothing
        if how != "dense":
            Sparse.of(layer)
            layer.how = how  # type: ignore[assignment]
        vars(layer)["executes"] = f"{'sparse' if isinstance(layer, Sparse) else 'masked dense'}: {reason}"
    return model


def to_masked(model: nn.Module) -> nn.Module:
    """Let all sparse layers of a model compute densely again, masked, with equal weights, in place.

    Parameters
    ----------
    model : Module

    Returns
    -------
    Module
        The model itself.

    Raises
    ------
    ValueError
        If `model` is no Module.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> egt.summary(to_masked(to_sparse(egt.sparsify(nn.Linear(8, 4), "random", density=0.5)))).layers[0].executes
    'masked dense'
    """
    check_model(model)
    for layer in masked_modules(model).values():
        if isinstance(layer, Sparse):
            layer.to_masked()
        vars(layer).pop("executes", None)
    return model


@dataclass(frozen=True)
class _Call:
    """How the example calls a layer: the shape of its input, and whether that needs a gradient."""

    shape: tuple[int, ...]
    input_gradient: bool


def _calls(model: nn.Module, layers: dict[str, Masked], example_input: Any) -> dict[str, _Call]:
    """Run the model once, and return how it called each layer last."""
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    calls: dict[str, _Call] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            x = next(iter((*args, *named.values())))
            calls[name] = _Call(tuple(x.shape), x.requires_grad)

        return hook

    hooks = [layer.register_forward_pre_hook(note(name), with_kwargs=True) for name, layer in layers.items()]
    try:
        with computing_on("example_input"), torch.random.fork_rng(devices=[]), evaluating(model):
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _shared(model: nn.Module) -> set[int]:
    """Identify parameters that several modules have."""
    seen: set[int] = set()
    shared: set[int] = set()
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                (shared if id(parameter) in seen else seen).add(id(parameter))
    return shared


def _obstacle(layer: Masked, shared: set[int]) -> str:
    """Say what keeps a layer from computing sparsely, whatever its speed."""
    if type(layer) not in SPARSE_CLASSES:
        return f"there is no sparse {type(layer).__name__}"
    if "weight" not in layer._parameters:
        return "its weight is computed from other parameters"
    if hasattr(layer.weight, "device_mesh"):
        return "its weight is sharded: call to_sparse before fully_shard"
    if id(layer.weight) in shared:
        return "other layers share its weight"
    if not layer.weight.is_floating_point():
        return f"its weight is of {layer.weight.dtype}"
    if layer.weight.is_meta:
        return "it is on the meta device"
    return ""


def _measure(layer: Any, call: _Call) -> dict[str, float]:
    """Return the seconds that a layer takes, as a plain dense one and by every sparse execution; they take turns."""
    with torch.inference_mode(False), torch.enable_grad():
        dense, sparse = _twin(layer), Sparse.of(_twin(layer))
        x = torch.ones(call.shape, dtype=dense.weight.dtype, device=dense.weight.device)
        x.requires_grad_(call.input_gradient)
        linear = isinstance(layer, nn.Linear)
        product: Any = SparseLinear.forward if linear else SparseConv2d.forward  # without what a subclass adds

        def densely() -> Any:
            return nn.Linear.forward(dense, x) if linear else dense._conv_forward(x, dense.weight, dense.bias)

        def sparsely(how: str) -> Any:
            sparse.how = how
            return product(sparse, x)

        steps = {"dense": _step(densely, dense.weight, x, training=layer.training)}
        for how in executions(x, sparse.pattern, sparse.window()):
            steps[how] = _step(partial(sparsely, how), sparse.values, x, training=layer.training)
        seconds, start = dict.fromkeys(steps, math.inf), time.perf_counter()
        for round_ in range(_MOST_ROUNDS):
            for how, step in steps.items():
                if round_ < _ROUNDS or seconds[how] < 2 * min(seconds.values()):  # who is far behind is not asked again
                    seconds[how] = min(seconds[how], _seconds(step, x.device))
            if round_ >= _ROUNDS and time.perf_counter() - start > _SECONDS:
                break
    return seconds


def _twin(layer: Any) -> Any:
    """Return the layer once more, with the same numbers, without its hooks and its gradients."""
    twin = copy.copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, dict):
            vars(twin)[name] = {} if "hook" in name else dict(value)
    twin.weight = nn.Parameter(layer.weight.detach())
    return twin


def _step(forward: Callable[[], Tensor], weight: Tensor, x: Tensor, *, training: bool) -> Callable[[], object]:
    if not training:
        return torch.no_grad()(forward)
    along = torch.ones_like(forward())
    sources = (weight, x) if x.requires_grad else (weight,)
    return lambda: torch.autograd.grad(forward(), sources, along)


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    start = time.perf_counter()
    step()
    wait()
    return time.perf_counter() - start


def _why(seconds: dict[str, float], *, training: bool) -> str:
    """Say what was measured."""
    what = "a training step" if training else "inference"
    others = {name: taken for name, taken in seconds.items() if name != "dense"}
    best = min(others, key=others.__getitem__)
    missing = f"; without compiled kernels: {why_not()}" if why_not() else ""
    return f"{what} takes {1e3 * others[best]:.3g} ms ({best}), {1e3 * seconds['dense']:.3g} ms dense{missing}"
