"""A model between its two executions: masked layers that compute densely, and sparse ones where they are faster."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from expandergraphs_torch.criteria import evaluating
from expandergraphs_torch.masked import Masked
from expandergraphs_torch.model import masked_modules
from expandergraphs_torch.select import check_model
from expandergraphs_torch.sparse.linear import SPARSE_CLASSES, SparseLinear
from expandergraphs_torch.sparse.products import Pattern, spmm

ROWS = 128  # of the input that a layer is measured with, where no example tells
_SECONDS, _ROUNDS = 0.2, 20  # for a layer: at most this long, or so many times


def to_sparse(model: nn.Module, *, example_input: Any = None) -> nn.Module:
    """Let the masked layers of a model compute sparsely where that is faster on this machine, in place.

    Every masked linear layer is measured, a training step of it alone, against a dense layer of its size, and becomes
    a `SparseLinear` if it wins. Convolutions stay as they are. `summary` says what each layer executes, and by how
    much it won or lost.

    Parameters
    ----------
    model : Module
        On the device, and with the number of threads, that it will train with. Build the optimizer afterwards: a
        sparse layer has another parameter, `values`.
    example_input : Tensor or tuple of Tensor, optional
        What the model is called with, at the batch size it will have. Without it, layers are measured with inputs of
        128 rows.

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
    >>> type(to_sparse(model)[0]).__name__
    'SparseLinear'
    >>> type(to_masked(model)[0]).__name__
    'MaskedLinear'
    """
    layers = {name: layer for name, layer in masked_modules(model).items() if type(layer) in SPARSE_CLASSES}
    rows = {} if example_input is None else _rows(model, layers, example_input)
    shared = _shared(model)
    ratios: dict[str, float] = {}
    for name, layer in layers.items():
        if "weight" in layer._parameters and id(layer.weight) not in shared and not layer.weight.is_meta:
            n_rows = ROWS if example_input is None else rows.get(name, 0)
            ratios[name] = _gain(layer, n_rows) if n_rows else 0.0
    for name, ratio in ratios.items():
        if ratio > 1:
            SparseLinear.of(layers[name])  # type: ignore[arg-type]
        measured = (
            f"a training step is {ratio:.2g}x as fast sparse as dense" if ratio else "the example does not call it"
        )
        vars(layers[name])["executes"] = f"{'sparse' if ratio > 1 else 'masked dense'}: {measured}"
    return model


def to_masked(model: nn.Module) -> nn.Module:
    """Let all sparse layers of a model compute densely again, masked, with equal weights, in place.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> egt.summary(to_masked(to_sparse(egt.sparsify(nn.Linear(8, 4), "random", density=0.5)))).layers[0].executes
    'masked dense'
    """
    check_model(model)
    for layer in masked_modules(model).values():
        if isinstance(layer, SparseLinear):
            layer.to_masked()
        vars(layer).pop("executes", None)
    return model


def _rows(model: nn.Module, layers: dict[str, Masked], example_input: Any) -> dict[str, int]:
    """Run the model once, and return how many rows of input each layer has had."""
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    rows: dict[str, int] = {}
    hooks = [
        layer.register_forward_pre_hook(
            lambda module, args, name=name: rows.update({name: args[0].numel() // module.in_features})
        )
        for name, layer in layers.items()
    ]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), evaluating(model):
            model(*inputs)
    except Exception as error:
        raise ValueError(f"the model does not compute on example_input: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()
    return rows


def _shared(model: nn.Module) -> set[int]:
    """Identify parameters that several modules have."""
    seen: set[int] = set()
    shared: set[int] = set()
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                (shared if id(parameter) in seen else seen).add(id(parameter))
    return shared


def _gain(layer: Any, n_rows: int) -> float:
    """Return how many times as fast as a dense layer this one is, computed sparsely: a training step, alone."""
    with torch.inference_mode(False), torch.enable_grad():
        weight, mask = layer.weight.detach(), layer.mask
        dense, values, pattern = weight.clone().requires_grad_(), weight[mask].requires_grad_(), Pattern.of(mask)
        x = torch.ones(n_rows, layer.in_features, dtype=weight.dtype, device=weight.device, requires_grad=True)
        along = torch.ones(n_rows, layer.out_features, dtype=weight.dtype, device=weight.device)
        steps = (
            lambda: torch.autograd.grad(nn.functional.linear(x, dense), (dense, x), along),
            lambda: torch.autograd.grad(spmm(values, x.T.contiguous(), pattern).T, (values, x), along),
        )
        seconds, start = [math.inf, math.inf], time.perf_counter()
        for round_ in range(_ROUNDS):
            for k, step in enumerate(steps):
                taken = _seconds(step, weight.device)
                seconds[k] = min(seconds[k], taken)
            if round_ > 1 and time.perf_counter() - start > _SECONDS:
                break
    return seconds[0] / seconds[1]


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    start = time.perf_counter()
    step()
    wait()
    return time.perf_counter() - start
