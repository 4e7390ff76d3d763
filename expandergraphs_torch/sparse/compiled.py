"""Products by the compiled kernels, on a CPU: without gathering what is multiplied.

The kernels hold the samples of a batch innermost (see kernels.c), so inputs and outputs are transposed on the way in
and out. Numbers smaller than float32 are computed as float32.
"""

import functools
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expandergraphs_torch.sparse.build import Kernels, kernels
from expandergraphs_torch.sparse.pattern import Pattern, Window

_WORTH_THREADS = 2**16  # multiplications, or moves
_CACHED = 2**22  # bytes of input and output that are computed at a time


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
    empty : Tensor of int64
        The pixels that are none of these.
    n_pixels : int
        Of the image, padding and all channels included.
    """

    width: int
    base: Tensor
    segments: Tensor
    length: int
    starts: Tensor
    run: int
    empty: Tensor
    n_pixels: int


@functools.lru_cache(maxsize=64)
def _addresses(n: int, channels: int, size: tuple[int, ...], window: Window, lanes: int) -> _Addresses:
    """Lay out the image so that outputs side by side read numbers side by side.

    Along a dimension with a stride, the pixels that one tap reads are stored next to each other: every stride-th pixel
    from the first on, then those from the second on, and so forth.
    """
    output, strides, dimensions = window.output(size), window.stride, range(len(size))
    stored = [-(-length // stride) * stride for length, stride in zip(window.padded(size), strides, strict=True)]
    steps = [math.prod(stored[d + 1 :]) for d in dimensions]

    def places(d: int, pixels: range) -> list[int]:
        return [(k % strides[d] * (stored[d] // strides[d]) + k // strides[d]) * steps[d] for k in pixels]

    first = len(size)  # from this dimension on, outputs are one run
    while first and (first == len(size) or output[first] == stored[first]):
        first -= 1
    inner = math.prod(output[first:])
    needed = lanes // math.gcd(lanes, inner)
    width = -(-n // needed) * needed
    planes = [c * math.prod(stored) for c in range(channels)]
    taps = [places(d, range(0, window.kernel[d] * window.dilation[d], window.dilation[d])) for d in dimensions]
    pixels = [places(d, range(window.padding[d], window.padding[d] + size[d])) for d in dimensions]
    run = 1
    if tuple(stored) == size and max(strides, default=1) == 1:
        run, pixels = channels * math.prod(size), []
    elif strides[-1] == 1:
        run, pixels[-1] = size[-1], pixels[-1][:1]
    starts = _sums(planes, *pixels) if pixels else torch.zeros(1, dtype=torch.int64)
    inside = torch.zeros(channels * math.prod(stored), dtype=torch.bool)
    inside[(starts[:, None] + torch.arange(run)).flatten()] = True
    return _Addresses(
        width=width,
        base=_sums(planes, *taps) * width,
        segments=_sums(*([k * steps[d] for k in range(output[d])] for d in range(first))) * width,
        length=inner * width,
        starts=starts,
        run=run,
        empty=(~inside).nonzero()[:, 0],
        n_pixels=inside.numel(),
    )


def _sums(*parts: list[int]) -> Tensor:
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
    output = window.output(x.shape[2:])
    y = x.new_empty(n, n_rows, *output)
    for part in _parts(x.shape, n_rows * math.prod(output), x.element_size() if y.numel() else 0):
        at = call.addresses(x[part].shape, window)
        inner, turns = call.inwards(x[part], at), 0 if window.kernel else len(x[part])
        result = y[part] if turns else _scratch("y", x, n_rows * math.prod(output), at.width)
        arguments = (pattern.pointers, pattern.columns, values, bias, at.base, at.segments, inner, result)
        work = values.numel() * at.segments.numel() * at.length
        call("forward", work, *arguments, n_rows, at.segments.numel(), at.length, turns)
        if not turns:
            call.flat_outwards(result, y[part])
    return call.result(y)


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
    make = dy.new_empty if dy.numel() else dy.new_zeros
    dx: Any = make(n, channels, *size) if values is not None else None
    dvalues = dy.new_zeros(pattern.columns.numel()) if x is not None else None
    for part in _parts((n, channels, *size), math.prod(dy.shape[1:]), dy.element_size() if dy.numel() else 0):
        at = call.addresses((len(dy[part]), channels, *size), window)
        inner = call.inwards(x[part], at) if x is not None else None
        turns, result = 0 if window.kernel else len(dy[part]), None
        if dx is not None:
            result = dx[part] if turns else _scratch("dx", dy, at.n_pixels, at.width).zero_()
        arguments = (pattern.pointers_t, pattern.rows, pattern.order, values, at.base, at.segments, inner)
        numbers = (channels, window.n_taps, at.segments.numel(), at.length, turns)
        work = pattern.rows.numel() * at.segments.numel() * at.length
        call("backward", work, *arguments, call.flat_inwards(dy[part], at.width), result, dvalues, *numbers)
        if dx is not None and not turns:
            outer = dx[part]
            call("outwards", outer.numel(), outer, result, at.starts, len(outer), at.width, at.starts.numel(), at.run)
    return call.result(dx), call.result(dvalues)


def _parts(shape: Sequence[int], n_outputs: int, size: int) -> Iterator[slice]:
    """Divide the samples so that what is computed at a time, in and out, stays in the caches."""
    if size:
        n_pixels = math.prod(shape[1:]) + n_outputs
        step = max(16, _CACHED // (n_pixels * size) // 16 * 16)
        for start in range(0, shape[0], step):
            yield slice(start, start + step)


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
        inner = _scratch("x", x, at.n_pixels, at.width)
        if at.empty.numel():
            inner.index_fill_(0, at.empty, 0)
        self("inwards", x.numel(), x, inner, at.starts, x.shape[0], at.width, at.starts.numel(), at.run)
        return inner

    def flat_inwards(self, x: Tensor, width: int) -> Tensor:
        n_pixels = math.prod(x.shape[1:])
        inner = _scratch("y", x, n_pixels, width)
        self("inwards", x.numel(), x, inner, _zero(), x.shape[0], width, 1, n_pixels)
        return inner

    def flat_outwards(self, inner: Tensor, outer: Tensor) -> None:
        self("outwards", outer.numel(), outer, inner, _zero(), len(outer), inner.shape[1], 1, inner.shape[0])

    def result(self, tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(self.dtype)


class _Scratch(threading.local):
    """Memory for the steps within a product, kept from call to call: new memory costs more than the transposing."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def __call__(self, name: str, like: Tensor, *shape: int) -> Tensor:
        key, n = (name, like.dtype), math.prod(shape)
        if key not in self.kept or self.kept[key].numel() < n:
            with torch.inference_mode(False):  # what is made in inference mode cannot be written outside of it
                self.kept[key] = like.new_empty(n)
        return self.kept[key][:n].view(shape)


_scratch = _Scratch()


@functools.cache
def _zero() -> Tensor:
    return torch.zeros(1, dtype=torch.int64)
