"""Products with a sparse matrix whose pattern is fixed, as operators that PyTorch differentiates, compiles and exports.

Two operators are enough for all derivatives of all orders, since each is the other's:

* ``spmm(values, x)``, a sparse matrix times a dense one: d/dx is the product with the transposed matrix, d/dvalues is
* ``sddmm(a, b)``, the dense product ``a b'`` at the places of the pattern alone; its derivatives are products again.

On a CPU the first is ``embedding_bag``, by far the fastest of PyTorch's sparse products there, and the second
``torch.sparse.sampled_addmm``.
"""

import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor

with warnings.catch_warnings():  # PyTorch says once that its CSR tensors are in beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), torch.tensor([]), (1, 1))


class Pattern(NamedTuple):
    """Where a matrix of shape (n_rows, n_columns) has values, row by row, and the same of its transpose.

    Attributes
    ----------
    pointers, columns : Tensor of int
        Of compressed rows: the values of row i are those from pointers[i] to pointers[i + 1], in these columns.
    order : Tensor of int
        Where each of the transposed matrix's values is among these.
    pointers_t, rows, order_t
        The same of the transpose.
    """

    pointers: Tensor
    columns: Tensor
    order: Tensor
    pointers_t: Tensor
    rows: Tensor
    order_t: Tensor

    @classmethod
    def of(cls, mask: Tensor) -> "Pattern":
        """Return the pattern of a two-dimensional mask, on its device."""
        rows, columns = mask.nonzero(as_tuple=True)
        order = torch.argsort(columns, stable=True)
        order_t = torch.empty_like(order)
        order_t[order] = torch.arange(order.numel(), device=order.device)
        index = torch.int32 if max(order.numel(), *mask.shape) < 2**31 else torch.int64
        parts = (
            _pointers(rows, mask.shape[0]),
            columns,
            order,
            _pointers(columns, mask.shape[1]),
            rows[order],
            order_t,
        )
        return cls(*(part.to(index) for part in parts))

    @property
    def T(self) -> "Pattern":
        """The pattern of the transpose."""
        return Pattern(*self[3:], *self[:3])


def _pointers(sorted_or_not: Tensor, n: int) -> Tensor:
    return torch.nn.functional.pad(torch.bincount(sorted_or_not, minlength=n).cumsum(0), (1, 0))


def spmm(values: Tensor, x: Tensor, pattern: Pattern) -> Tensor:
    """Multiply the sparse matrix with a dense one, shape (n_columns, k); the result has shape (n_rows, k)."""
    return torch.ops.expandergraphs.spmm(values, x, list(pattern))  # type: ignore[no-any-return]


def sddmm(a: Tensor, b: Tensor, pattern: Pattern) -> Tensor:
    """Compute ``a b'`` at the places of the pattern; a has shape (n_rows, k), b (n_columns, k)."""
    return torch.ops.expandergraphs.sddmm(a, b, list(pattern))  # type: ignore[no-any-return]


@torch.library.custom_op("expandergraphs::spmm", mutates_args=())
def _spmm(values: Tensor, x: Tensor, pattern: list[Tensor]) -> Tensor:
    pointers, columns = pattern[:2]
    if values.numel() == 0 or x.shape[1] == 0:
        return x.new_zeros(pointers.numel() - 1, x.shape[1])
    return torch.nn.functional.embedding_bag(
        columns, x.contiguous(), pointers, per_sample_weights=values, mode="sum", include_last_offset=True
    )


@torch.library.custom_op("expandergraphs::sddmm", mutates_args=())
def _sddmm(a: Tensor, b: Tensor, pattern: list[Tensor]) -> Tensor:
    pointers, columns = pattern[:2]
    if columns.numel() == 0 or a.shape[1] == 0:
        return a.new_zeros(columns.numel())
    wide = torch.promote_types(a.dtype, torch.float32)
    zeros = torch.zeros(columns.numel(), dtype=wide, device=a.device)
    places = torch.sparse_csr_tensor(pointers, columns, zeros, (a.shape[0], b.shape[0]), check_invariants=False)
    product: Tensor = torch.sparse.sampled_addmm(places, a.to(wide), b.to(wide).T, beta=0.0)
    return product.values().to(a.dtype)


@_spmm.register_fake
def _(values: Tensor, x: Tensor, pattern: list[Tensor]) -> Tensor:
    return x.new_empty(pattern[0].shape[0] - 1, x.shape[1])


@_sddmm.register_fake
def _(a: Tensor, b: Tensor, pattern: list[Tensor]) -> Tensor:
    return a.new_empty(pattern[1].shape[0])


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    first, second, pattern = inputs
    ctx.save_for_backward(first, second, *pattern)


def _spmm_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, list[None]]:
    values, x, *parts = ctx.saved_tensors
    pattern, gradient = Pattern(*parts), gradient.contiguous()
    to_values, to_x = ctx.needs_input_grad[:2]
    return (
        sddmm(gradient, x, pattern) if to_values else None,
        spmm(values.index_select(0, pattern.order), gradient, pattern.T) if to_x else None,
        [None] * len(parts),
    )


def _sddmm_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, list[None]]:
    a, b, *parts = ctx.saved_tensors
    pattern = Pattern(*parts)
    to_a, to_b = ctx.needs_input_grad[:2]
    return (
        spmm(gradient, b, pattern) if to_a else None,
        spmm(gradient.index_select(0, pattern.order), a, pattern.T) if to_b else None,
        [None] * len(parts),
    )


_spmm.register_autograd(_spmm_backward, setup_context=_keep)
_sddmm.register_autograd(_sddmm_backward, setup_context=_keep)
