"""The products of a sparse layer, as operators that PyTorch differentiates, compiles and exports.

A linear layer or a convolution is linear in its input x and in its values v; with a gradient dy of its output, all it
computes are the derivatives of one trilinear form, ``sum dy * (v * x)``:

* ``forward(x, values, bias)`` by dy, the layer itself,
* ``to_input(dy, values)`` by x,
* ``to_values(dy, x)`` by v.

Each is linear in two of the three, and its derivatives are the other two: three operators are enough for derivatives
of every order. `backward` is the second and third at once, which is faster; derivatives of higher order do without it.
"""

import math
import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from expandergraphs_torch.sparse import compiled
from expandergraphs_torch.sparse.build import why_not
from expandergraphs_torch.sparse.operators import OPERATORS, gather
from expandergraphs_torch.sparse.pattern import Pattern, Window, is_constant, n_together

_MOST_GATHERED = 64  # times the size of the input: more memory than that is not worth a measurement


def executions(like: Tensor, pattern: Pattern, window: Window) -> list[str]:
    """Return the executions that are possible for a layer, on the device of a tensor and in its type.

    "compiled" is by the kernels compiled for this CPU, "operators" by PyTorch's own operators, "triton" by the kernels
    for a GPU; "gather of R x C" gathers what groups of R rows read, where those of all such groups, and of groups of C
    columns, are equally many.
    """
    together = n_together(pattern.pointers, pattern.columns), n_together(pattern.pointers_t, pattern.rows)
    constant = is_constant(pattern.pointers) and is_constant(pattern.pointers_t)
    found = ["operators"]
    if _has_compiled(like, pattern):
        found.append("compiled")
    if _has_triton(like):
        found.append("triton with constant fan-in" if constant else "triton")
        fitting = [size for size in _BLOCKS if math.gcd(*together) % size == 0]
        if fitting and not window.kernel and like.dtype != torch.float64:
            found.append(f"triton blocks of {fitting[-1]}")
    if constant and pattern.columns.numel() // together[0] <= _MOST_GATHERED * pattern.pointers_t.numel():
        found.append(f"gather of {together[0]} x {together[1]}")
    return found


def _by(how: str, like: Tensor, parts: Sequence[Tensor]) -> tuple[Any, Pattern]:
    """Return what computes, and the pattern: as asked for where that is possible, or else what is known to be good."""
    pattern = Pattern(*parts)
    name, _, sizes = how.partition(" of ")
    if name == "gather":
        return gather(*map(int, sizes.split(" x "))), pattern
    if name.startswith("triton") and _has_triton(like):
        from expandergraphs_torch.sparse import gpu

        by = gpu.Blocks(int(sizes)) if sizes else gpu.weights(constant=name.endswith("constant fan-in"))
        return by, pattern
    if name != "operators" and _has_compiled(like, pattern):
        return compiled, pattern
    return OPERATORS, pattern


_BLOCKS = (16, 32, 64)


def _has_compiled(like: Tensor, pattern: Pattern) -> bool:
    return like.device.type == "cpu" and pattern.columns.dtype == torch.int32 and not why_not()


def _has_triton(like: Tensor) -> bool:
    """Tell whether the Triton kernels run there: on a GPU, or anywhere where Triton is set to interpret."""
    return (like.is_cuda or os.environ.get("TRITON_INTERPRET") == "1") and find_spec("triton") is not None


@torch.library.custom_op("expandergraphs::forward", mutates_args=())
def forward(
    x: Tensor, values: Tensor, bias: Tensor | None, parts: Sequence[Tensor], window: Sequence[int], how: str
) -> Tensor:
    """Return the output of a layer; x is (n_samples, n_channels, ...)."""
    by, pattern = _by(how, x, parts)
    return by.forward(x, values, bias, pattern, Window.of(window))  # type: ignore[no-any-return]


@torch.library.custom_op("expandergraphs::to_input", mutates_args=())
def to_input(
    dy: Tensor, values: Tensor, parts: Sequence[Tensor], window: Sequence[int], shape: Sequence[int], how: str
) -> Tensor:
    """Return the gradient of the input, which has this shape."""
    by, pattern = _by(how, dy, parts)
    return by.to_input(dy, values, pattern, Window.of(window), shape[2:])  # type: ignore[no-any-return]


@torch.library.custom_op("expandergraphs::to_values", mutates_args=())
def to_values(dy: Tensor, x: Tensor, parts: Sequence[Tensor], window: Sequence[int], how: str) -> Tensor:
    """Return the gradient of the values."""
    by, pattern = _by(how, dy, parts)
    return by.to_values(dy, x, pattern, Window.of(window))  # type: ignore[no-any-return]


@torch.library.custom_op("expandergraphs::backward", mutates_args=())
def backward(
    dy: Tensor, x: Tensor, values: Tensor, parts: Sequence[Tensor], window: Sequence[int], how: str
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the input and of the values."""
    by, pattern = _by(how, dy, parts)
    return by.backward(dy, x, values, pattern, Window.of(window))  # type: ignore[no-any-return]


@forward.register_fake
def _(x: Tensor, values: Tensor, bias: Any, parts: Sequence[Tensor], window: Sequence[int], how: str) -> Tensor:
    return x.new_empty(x.shape[0], parts[0].shape[0] - 1, *Window.of(window).output(x.shape[2:]))


@to_input.register_fake
def _(
    dy: Tensor, values: Tensor, parts: Sequence[Tensor], window: Sequence[int], shape: Sequence[int], how: str
) -> Tensor:
    return dy.new_empty(shape)


@to_values.register_fake
def _(dy: Tensor, x: Tensor, parts: Sequence[Tensor], window: Sequence[int], how: str) -> Tensor:
    return dy.new_empty(parts[1].shape[0])


@backward.register_fake
def _(
    dy: Tensor, x: Tensor, values: Tensor, parts: Sequence[Tensor], window: Sequence[int], how: str
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), values.new_empty(values.shape)


def _keep_forward(ctx: Any, inputs: Any, output: Any) -> None:
    x, values, _, parts, ctx.window, ctx.how = inputs
    ctx.save_for_backward(x, values, *parts)


def _gradients(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of input, values and bias: by operators where they are watched, or differentiated again."""
    x, values, *parts = ctx.saved_tensors
    to_x, to_v, to_bias = ctx.needs_input_grad[:3]
    dx = dvalues = dbias = None
    if not torch.is_grad_enabled() and not _is_watched(dy, values):
        by, pattern = _by(ctx.how, x, parts)
        window = Window.of(ctx.window)
        if to_x and to_v:
            dx, dvalues = by.backward(dy, x, values, pattern, window)
        elif to_x:
            dx = by.to_input(dy, values, pattern, window, x.shape[2:])
        elif to_v:
            dvalues = by.to_values(dy, x, pattern, window)
    elif to_x and to_v and not torch.is_grad_enabled():
        dx, dvalues = backward(dy, x, values, parts, ctx.window, ctx.how)
    else:
        dx = to_input(dy, values, parts, ctx.window, x.shape, ctx.how) if to_x else None
        dvalues = to_values(dy, x, parts, ctx.window, ctx.how) if to_v else None
    if to_bias:
        dbias = dy.sum([d for d in range(dy.ndim) if d != 1])
    return dx, dvalues, dbias


def _forward_backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
    return *_gradients(ctx, dy), [None] * len(Pattern._fields), None, None


def _keep_to_input(ctx: Any, inputs: Any, output: Any) -> None:
    dy, values, parts, ctx.window, _, ctx.how = inputs
    ctx.save_for_backward(dy, values, *parts)


def _to_input_backward(ctx: Any, dx: Tensor) -> tuple[Any, ...]:
    dy, values, *parts = ctx.saved_tensors
    to_dy, to_v = ctx.needs_input_grad[:2]
    ddy = forward(dx, values, None, parts, ctx.window, ctx.how) if to_dy else None
    dvalues = to_values(dy, dx, parts, ctx.window, ctx.how) if to_v else None
    return ddy, dvalues, [None] * len(parts), None, None, None


def _keep_to_values(ctx: Any, inputs: Any, output: Any) -> None:
    dy, x, parts, ctx.window, ctx.how = inputs
    ctx.save_for_backward(dy, x, *parts)


def _to_values_backward(ctx: Any, dvalues: Tensor) -> tuple[Any, ...]:
    dy, x, *parts = ctx.saved_tensors
    to_dy, to_x = ctx.needs_input_grad[:2]
    ddy = forward(x, dvalues, None, parts, ctx.window, ctx.how) if to_dy else None
    dx = to_input(dy, dvalues, parts, ctx.window, x.shape, ctx.how) if to_x else None
    return ddy, dx, [None] * len(parts), None, None


forward.register_autograd(_forward_backward, setup_context=_keep_forward)
to_input.register_autograd(_to_input_backward, setup_context=_keep_to_input)
to_values.register_autograd(_to_values_backward, setup_context=_keep_to_values)


def product(x: Tensor, values: Tensor, bias: Tensor | None, pattern: Pattern, window: Window, how: str) -> Tensor:
    """Return the output of a layer: by the operator where PyTorch must see it, or else without, which costs less."""
    if _is_watched(x, values):
        return forward(x, values, bias, list(pattern), window.numbers, how)  # type: ignore[no-any-return]
    if torch.is_grad_enabled():
        return _Directly.apply(x, values, bias, window, how, *pattern)  # type: ignore[no-any-return, no-untyped-call]
    by, pattern = _by(how, x, pattern)
    return by.forward(x, values, bias, pattern, window)  # type: ignore[no-any-return]


class _Directly(torch.autograd.Function):
    """What the operator `forward` computes, and its derivatives."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, values: Tensor, bias: Tensor | None, window: Window, how: str, *parts: Tensor
    ) -> Tensor:
        _keep_forward(ctx, (x, values, bias, parts, window.numbers, how), None)
        by, pattern = _by(how, x, parts)
        return by.forward(x, values, bias, pattern, window)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        return *_gradients(ctx, dy), *[None] * (2 + len(Pattern._fields))


def _is_watched(x: Tensor, values: Tensor) -> bool:
    """Tell whether something compiles, traces, counts or distributes operators, or the tensors are no plain ones."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[no-untyped-call, attr-defined]
        or _get_current_dispatch_mode() is not None
        or type(x) not in _PLAIN
        or type(values) not in _PLAIN
        or x.is_meta
    )


_PLAIN = (Tensor, torch.nn.Parameter)
