"""Products by the columns that the outputs read: gathered first (im2col), then multiplied by the sparse matrix.

For any operators that multiply a sparse matrix; those of PyTorch run everywhere. On a CPU its ``embedding_bag`` is by
far the fastest product with a sparse matrix, and MKL's for a single column.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from expandergraphs_torch.sparse.pattern import Pattern, Window

with warnings.catch_warnings():  # PyTorch says once that its CSR tensors are in beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), torch.tensor([]), (1, 1))


@dataclass(frozen=True)
class ByColumns:
    """The products of a layer, by two products with its matrix.

    Attributes
    ----------
    spmm, spmm_t : callable(pointers, columns, values, x) -> Tensor
        The sparse matrix, or its transpose, times a dense one.
    sddmm : callable(pointers, columns, a, b) -> Tensor
        ``a b'`` at the places of the pattern.
    """

    spmm: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    spmm_t: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    sddmm: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

    def forward(self, x: Tensor, values: Tensor, bias: Tensor | None, pattern: Pattern, window: Window) -> Tensor:
        """Return the layer's output."""
        y = self.spmm(pattern.pointers, pattern.columns, values, _columns(x, window))
        if bias is not None:
            y = y + bias[:, None]
        return y.reshape(y.shape[0], x.shape[0], *window.output(x.shape[2:])).movedim(0, 1).contiguous()

    def to_input(self, dy: Tensor, values: Tensor, pattern: Pattern, window: Window, size: Sequence[int]) -> Tensor:
        """Return the gradient of the input, whose channels have this size."""
        columns = self.spmm_t(pattern.pointers_t, pattern.rows, values.index_select(0, pattern.order), _by_output(dy))
        columns = columns.reshape(columns.shape[0] // window.n_taps, window.n_taps, dy.shape[0], *dy.shape[2:])
        image = dy.new_zeros(columns.shape[0], dy.shape[0], *window.padded(size))
        for tap, place in enumerate(_places(window, dy.shape[2:])):
            image[place] += columns[:, tap]
        for d, (n, padding) in enumerate(zip(size, window.padding, strict=True)):
            image = image.narrow(d + 2, padding, n)
        return image.movedim(0, 1).contiguous()

    def to_values(self, dy: Tensor, x: Tensor, pattern: Pattern, window: Window) -> Tensor:
        """Return the gradient of the values."""
        return self.sddmm(pattern.pointers, pattern.columns, _by_output(dy), _columns(x, window))

    def backward(
        self, dy: Tensor, x: Tensor, values: Tensor, pattern: Pattern, window: Window
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of the input and of the values."""
        dx = self.to_input(dy, values, pattern, window, x.shape[2:])
        return dx, self.to_values(dy, x, pattern, window)


def _by_output(dy: Tensor) -> Tensor:
    return dy.movedim(1, 0).flatten(1).contiguous()


def _columns(x: Tensor, window: Window) -> Tensor:
    """Return what every output reads, shape (n_channels * n_taps, n_samples * n_outputs)."""
    padding = [p for p in reversed(window.padding) for _ in range(2)]
    image = functional.pad(x, padding).movedim(1, 0)
    taps = [image[place] for place in _places(window, window.output(x.shape[2:]))]
    return torch.stack(taps, dim=1).flatten(2).flatten(0, 1)


def _places(window: Window, output: Sequence[int]) -> Iterator[Any]:
    """Yield what part of the padded image each tap reads."""
    for tap in product(*map(range, window.kernel)):
        every = zip(tap, window.stride, window.dilation, output, strict=True)
        yield (..., *(slice(k * d, k * d + s * (n - 1) + 1, s) for k, s, d, n in every))


def _spmm(pointers: Tensor, columns: Tensor, values: Tensor, x: Tensor) -> Tensor:
    n_rows = pointers.numel() - 1
    if values.numel() == 0 or x.shape[1] == 0:
        return x.new_zeros(n_rows, x.shape[1])
    if x.shape[1] == 1 and x.dtype in (torch.float32, torch.float64):
        return _csr(pointers, columns, values, (n_rows, x.shape[0])) @ x
    return functional.embedding_bag(
        columns, x.contiguous(), pointers, per_sample_weights=values, mode="sum", include_last_offset=True
    )


def _sddmm(pointers: Tensor, columns: Tensor, a: Tensor, b: Tensor) -> Tensor:
    if columns.numel() == 0 or a.shape[1] == 0:
        return a.new_zeros(columns.numel())
    wide = torch.promote_types(a.dtype, torch.float32)
    zeros = torch.zeros(columns.numel(), dtype=wide, device=a.device)
    places = _csr(pointers, columns, zeros, (a.shape[0], b.shape[0]))
    result: Tensor = torch.sparse.sampled_addmm(places, a.to(wide), b.to(wide).T, beta=0.0)
    return result.values().to(a.dtype)


def _csr(pointers: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(pointers, columns, values, shape, check_invariants=False)


OPERATORS = ByColumns(_spmm, _spmm, _sddmm)


def gather(n_rows_together: int, n_columns_together: int) -> ByColumns:
    """Return products where every row has equally many values, and so has every column: gathered, dense products.

    Rows (columns) of a group have the same columns (rows), as in block expanders: what they read is gathered once, and
    their values are a dense matrix as they are.
    """

    def spmm(together: int, pointers: Tensor, columns: Tensor, values: Tensor, x: Tensor) -> Tensor:
        n_groups = (pointers.numel() - 1) // together
        read = x[columns.view(n_groups, together, -1)[:, 0]]
        return torch.bmm(values.view(n_groups, together, -1), read).flatten(0, 1)

    def sddmm(pointers: Tensor, columns: Tensor, a: Tensor, b: Tensor) -> Tensor:
        n_groups = (pointers.numel() - 1) // n_rows_together
        read = b[columns.view(n_groups, n_rows_together, -1)[:, 0]]
        return torch.bmm(a.view(n_groups, n_rows_together, -1), read.mT).flatten()

    return ByColumns(partial(spmm, n_rows_together), partial(spmm, n_columns_together), sddmm)
