"""Where the weights of a sparse layer are, and which part of its input each of them reads."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Pattern(NamedTuple):
    """Where a matrix has values, by rows and by columns.

    The matrix of a layer has its outputs as rows, and its inputs as columns; in a convolution, a column is an input
    channel and a tap of the kernel, ``channel * n_taps + tap``, in grouped ones as well.

    Attributes
    ----------
    pointers, columns : Tensor of int
        Compressed rows: the values of row i are those from pointers[i] to pointers[i + 1], in these columns.
    pointers_t, rows : Tensor of int
        Compressed columns.
    order : Tensor of int
        Where the values by columns are among those by rows.
    """

    pointers: Tensor
    columns: Tensor
    pointers_t: Tensor
    rows: Tensor
    order: Tensor

    @classmethod
    def of(cls, mask: Tensor, groups: int = 1) -> "Pattern":
        """Return the pattern of a mask of the weight's whole shape, (n_out, n_in / groups, ...), on its device."""
        flat = mask.flatten(1)
        rows, columns = flat.nonzero(as_tuple=True)
        columns = columns + rows // (mask.shape[0] // groups) * flat.shape[1]
        n_columns = flat.shape[1] * groups
        order = torch.argsort(columns, stable=True)
        index = torch.int32 if max(order.numel(), n_columns, mask.shape[0]) < 2**31 else torch.int64
        parts = (_pointers(rows, mask.shape[0]), columns, _pointers(columns, n_columns), rows[order], order)
        return cls(*(part.to(index) for part in parts))


def n_together(pointers: Tensor, indices: Tensor) -> int:
    """Return into groups of how many rows, one after the other, with the same columns, the rows of a pattern fall."""
    counts = pointers.diff().long()
    row = torch.repeat_interleave(torch.arange(counts.numel(), device=counts.device), counts)
    before = torch.arange(indices.numel(), device=counts.device) - counts[row]  # the same place in the row before
    differ = torch.zeros_like(counts, dtype=torch.bool)
    differ[1:] = counts[1:] != counts[:-1]
    differ[row[(indices != indices[before.clamp(min=0)]) | (before < 0)]] = True
    return math.gcd(counts.numel(), *differ.nonzero()[:, 0].tolist())


def is_constant(pointers: Tensor) -> bool:
    """Tell whether all rows of a pattern have equally many values, and some."""
    counts = pointers.diff()
    return bool(counts.numel() and counts[0] and (counts == counts[0]).all())


def _pointers(of: Tensor, n: int) -> Tensor:
    return torch.nn.functional.pad(torch.bincount(of, minlength=n).cumsum(0), (1, 0))


class Window(NamedTuple):
    """What an output reads, one number for each spatial dimension; no dimensions for a linear layer."""

    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Window":
        """Return the window whose numbers are these."""
        d = numbers[0]
        return cls(*(tuple(numbers[1 + k * d : 1 + (k + 1) * d]) for k in range(4)))

    @property
    def numbers(self) -> list[int]:
        """How many dimensions, and all numbers one after the other, as operators take them."""
        return [len(self.kernel), *(number for part in self for number in part)]

    @property
    def n_taps(self) -> int:
        """Positions in the kernel."""
        return math.prod(self.kernel)

    def padded(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the size of the input with its padding."""
        return tuple(n + 2 * p for n, p in zip(size, self.padding, strict=True))

    def output(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the size of the output."""
        every = zip(self.padded(size), self.kernel, self.stride, self.dilation, strict=True)
        return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in every)
