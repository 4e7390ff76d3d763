"""Products by the compiled kernels, on a CPU: without gathering what is multiplied.

The kernels hold the samples of a batch innermost (see kernels.c), so inputs and outputs are transposed on the way in
and out. Numbers smaller than float32 are computed as float32.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expandergraphs_torch.sparse.build import Kernels, kernels
from expandergraphs_torch.sparse.pattern import Pattern, Window

_WORTH_THREADS = 2**16  # multiplications, or moves


@dataclass(frozen=True, eq=False)
class _Addresses:
    """Where the kernels find what is multiplied, in numbers from the start of an image of one number a pixel's sample.

    Attributes
    ----------
    width : int
        Samples, and zeros up to what the kernels need.
    base : Tensor of int64
        Where each column of the matrix starts.
    segments : Tensor of int64
        Where, from there, each run of outputs starts to read.
    length : int
        Of such a run.
    starts : Tensor of int64
        The first pixel of each run of pixels that come without padding between them.
    run : int
        Pixels of such a run.
    n_pixels : int
        Of the image, padding and all channels included.
    output : tuple of int
        Size of the output.
    """

    width: int
    base: Tensor
    segments: Tensor
    length: int
    starts: Tensor
    run: int
    n_pixels: int
    output: tuple[int, ...]


@functools.lru_cache(maxsize=256)
def _addresses(n: int, channels: int, size: tuple[int, ...], window: Window, lanes: int) -> _Addresses:
    padded, output = window.padded(size), window.output(size)
    steps = [math.prod(padded[d + 1 :]) for d in range(len(size))]
    inner, whole = 1, True  # outputs that lie side by side, and read what lies side by side
    outer = len(size)
    for d in reversed(range(len(size))):
        if not whole or window.stride[d] > 1:
            break
        inner, outer, whole = inner * output[d], d, output[d] == padded[d]
    needed = lanes // math.gcd(lanes, inner)
    width = -(-n // needed) * needed
    taps = _sums(
        [
            [k * dilation * step for k in range(kernel)]
            for kernel, dilation, step in zip(window.kernel, window.dilation, steps, strict=True)
        ]
    )
    segments = _sums([[k * window.stride[d] * steps[d] for k in range(output[d])] for d in range(outer)])
    plane = torch.arange(channels) * math.prod(padded)
    if any(window.padding):
        inside = _sums([[(k + window.padding[d]) * steps[d] for k in range(size[d])] for d in range(len(size) - 1)])
        starts, run = (plane[:, None] + inside + window.padding[-1]).flatten(), size[-1]
    else:
        starts, run = torch.zeros(1, dtype=torch.int64), channels * math.prod(size)
    base = (plane[:, None] + taps).flatten() * width
    n_pixels = channels * math.prod(padded)
    return _Addresses(width, base, segments * width, inner * width, starts, run, n_pixels, output)


def _sums(parts: list[list[int]]) -> Tensor:
    """Return all sums of one number of each part, the last part's numbers varying fastest."""
    total = torch.zeros(1, dtype=torch.int64)
    for part in parts:
        total = (total[:, None] + torch.tensor(part, dtype=torch.int64)).flatten()
    return total


def forward(x: Tensor, values: Tensor, bias: Tensor | None, pattern: Pattern, window: Window) -> Any:
    """Return the layer's output."""
    x, values, bias, call = _Call.of(x, values, bias)
    n_rows, n = pattern.pointers.numel() - 1, x.shape[0]
    if n == 1 and not window.kernel:
        y = x.new_empty(1, n_rows)
        call("one", values.numel(), pattern.pointers, pattern.columns, values, bias, x, y, n_rows)
        return call.result(y)
    at = call.addresses(x.shape, window)
    inner, y = call.inwards(x, at), x.new_empty(n_rows * math.prod(at.output), at.width)
    if y.numel():
        parts = (pattern.pointers, pattern.columns, values, bias, at.base, at.segments, inner, y)
        work = values.numel() * at.segments.numel() * at.length
        call("forward", work, *parts, n_rows, at.segments.numel(), at.length)
    return call.result(call.flat_outwards(y, n).view(n, n_rows, *at.output))


def to_input(dy: Tensor, values: Tensor, pattern: Pattern, window: Window, size: Sequence[int]) -> Any:
    """Return the gradient of the input, whose channels have this size."""
    return _backward(dy, None, values, pattern, window, tuple(size))[0]


def to_values(dy: Tensor, x: Tensor, pattern: Pattern, window: Window) -> Any:
    """Return the gradient of the values."""
    return _backward(dy, x, None, pattern, window, tuple(x.shape[2:]))[1]


def backward(dy: Tensor, x: Tensor, values: Tensor, pattern: Pattern, window: Window) -> tuple[Any, Any]:
    """Return the gradients of the input and of the values."""
    return _backward(dy, x, values, pattern, window, tuple(x.shape[2:]))


def _backward(
    dy: Tensor, x: Any, values: Any, pattern: Pattern, window: Window, size: tuple[int, ...]
) -> tuple[Any, Any]:
    """Return the gradients of the input, if there are values, and of the values, if there is an input."""
    dy, x, values, call = _Call.of(dy, x, values)
    n, channels = dy.shape[0], (pattern.pointers_t.numel() - 1) // window.n_taps
    at = call.addresses((n, channels, *size), window)
    outer: Any = dy.new_zeros(n, channels, *size) if values is not None else None
    dvalues = dy.new_zeros(pattern.columns.numel()) if x is not None else None
    if dy.numel():
        inner = call.inwards(x, at) if x is not None else None
        dx = dy.new_zeros(at.n_pixels, at.width) if values is not None else None
        parts = (pattern.pointers_t, pattern.rows, pattern.order, values, at.base, at.segments, inner)
        numbers = (channels, window.n_taps, at.segments.numel(), at.length)
        work = pattern.rows.numel() * at.segments.numel() * at.length
        call("backward", work, *parts, call.flat_inwards(dy, at.width), dx, dvalues, *numbers)
        if dx is not None:
            call("outwards", outer.numel(), outer, dx, at.starts, n, at.width, at.starts.numel(), at.run)
    return call.result(outer), call.result(dvalues)


@dataclass(frozen=True)
class _Call:
    """Calls of the kernels for one type of numbers."""

    library: Kernels
    kind: str
    lanes: int
    dtype: torch.dtype

    @classmethod
    def of(cls, first: Tensor, *others: Tensor | None) -> Any:
        """Return the tensors as the kernels take them, and what calls these."""
        library = kernels()
        if isinstance(library, str):
            raise RuntimeError(library)
        double = first.dtype == torch.float64
        dtype = torch.float64 if double else torch.float32
        ready = (None if part is None else part.to(dtype).contiguous() for part in (first, *others))
        return *ready, cls(library, "double" if double else "float", 8 if double else 16, first.dtype)

    def __call__(self, name: str, work: int, *arguments: Any) -> None:
        """Call a kernel that does so many multiplications or moves, by one thread where these are few."""
        addresses = (part.data_ptr() if isinstance(part, Tensor) else part for part in arguments)
        threads = torch.get_num_threads() if work > _WORTH_THREADS else 1
        getattr(self.library, f"{name}_{self.kind}")(*addresses, threads)

    def addresses(self, shape: Sequence[int], window: Window) -> _Addresses:
        return _addresses(shape[0], shape[1], tuple(shape[2:]), window, self.lanes)

    def inwards(self, x: Tensor, at: _Addresses) -> Tensor:
        make = x.new_zeros if at.starts.numel() * at.run < at.n_pixels else x.new_empty
        inner = make(at.n_pixels, at.width)
        self("inwards", x.numel(), x, inner, at.starts, x.shape[0], at.width, at.starts.numel(), at.run)
        return inner

    def flat_inwards(self, x: Tensor, width: int) -> Tensor:
        n_pixels = math.prod(x.shape[1:])
        inner = x.new_empty(n_pixels, width)
        self("inwards", x.numel(), x, inner, _zero(), x.shape[0], width, 1, n_pixels)
        return inner

    def flat_outwards(self, inner: Tensor, n: int) -> Tensor:
        outer = inner.new_empty(n, inner.shape[0])
        self("outwards", outer.numel(), outer, inner, _zero(), n, inner.shape[1], 1, inner.shape[0])
        return outer

    def result(self, tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(self.dtype)


@functools.cache
def _zero() -> Tensor:
    return torch.zeros(1, dtype=torch.int64)
