"""Products by the Triton kernels, on a GPU: with single weights by columns, with blocks as linear layers have them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from expandergraphs_torch.sparse import triton_kernels
from expandergraphs_torch.sparse.operators import ByColumns
from expandergraphs_torch.sparse.pattern import Pattern, Window


def weights(*, constant: bool) -> ByColumns:
    """Return products with single weights; the kernels read no pointers where all rows, and columns, are alike."""

    def fan_in(pointers: Tensor, columns: Tensor) -> int | None:
        return columns.numel() // (pointers.numel() - 1) if constant else None

    def spmm(pointers: Tensor, columns: Tensor, values: Tensor, x: Tensor) -> Tensor:
        return triton_kernels.spmm(pointers, columns, values, x, fan_in=fan_in(pointers, columns))

    def sddmm(pointers: Tensor, columns: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return triton_kernels.sddmm(pointers, columns, a, b, fan_in=fan_in(pointers, columns))

    return ByColumns(spmm, spmm, sddmm)


@dataclass(frozen=True, eq=False)
class _Blocks:
    """The pattern of the blocks, and where their weights, one block after the other, are among the values."""

    pattern: Pattern
    places: Tensor

    @classmethod
    def of(cls, pattern: Pattern, size: int) -> "_Blocks":
        kept = _KEPT.get(pattern.columns)
        if kept is None:
            counts = pattern.pointers.diff().long()
            row = torch.repeat_interleave(torch.arange(counts.numel(), device=counts.device), counts)
            column = pattern.columns.long()
            n_columns = (pattern.pointers_t.numel() - 1) // size
            block = row // size * n_columns + column // size
            places = torch.argsort(block, stable=True)  # within a block, by rows still
            mask = torch.zeros(counts.numel() // size, n_columns, dtype=torch.bool, device=counts.device)
            mask.view(-1)[block] = True
            kept = _KEPT[pattern.columns] = cls(Pattern.of(mask), places)
        return kept  # type: ignore[no-any-return]

    def blocks(self, values: Tensor, size: int) -> Tensor:
        return values.index_select(0, self.places).view(-1, size, size)

    def values(self, blocks: Tensor) -> Tensor:
        return blocks.new_empty(blocks.numel()).index_copy_(0, self.places, blocks.flatten())


_KEPT: Any = WeakTensorKeyDictionary()  # the blocks of patterns, as long as these are there


@dataclass(frozen=True)
class Blocks:
    """The products of a linear layer made of square blocks."""

    size: int

    def forward(self, x: Tensor, values: Tensor, bias: Tensor | None, pattern: Pattern, window: Window) -> Tensor:
        """Return the layer's output."""
        at = _Blocks.of(pattern, self.size)
        parts = (at.pattern.pointers, at.pattern.columns, at.blocks(values, self.size))
        return triton_kernels.block_spmm(*parts, x, bias=bias)

    def to_input(self, dy: Tensor, values: Tensor, pattern: Pattern, window: Window, size: Sequence[int]) -> Tensor:
        """Return the gradient of the input."""
        at = _Blocks.of(pattern, self.size)
        parts = (at.pattern.pointers_t, at.pattern.rows, at.blocks(values, self.size))
        return triton_kernels.block_spmm(*parts, dy, order=at.pattern.order, transposed=True)

    def to_values(self, dy: Tensor, x: Tensor, pattern: Pattern, window: Window) -> Tensor:
        """Return the gradient of the values."""
        at = _Blocks.of(pattern, self.size)
        blocks = triton_kernels.block_sddmm(at.pattern.pointers, at.pattern.columns, dy, x, self.size)
        return at.values(blocks)

    def backward(
        self, dy: Tensor, x: Tensor, values: Tensor, pattern: Pattern, window: Window
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of the input and of the values."""
        return self.to_input(dy, values, pattern, window, ()), self.to_values(dy, x, pattern, window)
