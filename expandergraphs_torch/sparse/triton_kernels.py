# mypy: allow-untyped-defs, allow-incomplete-defs
"""Products with a sparse matrix of fixed pattern on a GPU, written in Triton: the arithmetic alone, no derivatives.

The matrix W is compressed by rows: the values of row i, one number or one b x b block each, are those from
``pointers[i]`` to ``pointers[i + 1]``, and stand in ``columns``. Its transpose is described in the same way and shares
the values: ``order`` says where the transpose's are among W's. If all rows have ``fan_in`` values, say so: then the
kernel is compiled for that number, and reads no pointers.

* Numbers (`spmm`, `sddmm`): operands are feature-major, shape (features, k), as on a CPU. What an edge reads, a row of
  the operand, then lies side by side. It is multiplied once, so these run at the speed of the caches, not of the
  arithmetic, and tensor cores could not help. They read one line of the cache at a time, of all features before the
  next, so that the features' lines stay there.
* Blocks (`block_spmm`, `block_sddmm`): operands are batch-major, shape (k, features), as linear layers have them:
  nothing is transposed, and tensor cores get the batch as the long side of their products. float32 is multiplied as
  PyTorch's dense layers do on CUDA at the time: exactly, or in TF32.

Sums are float32 (numbers that are float64: float64), in an order that depends on shapes alone. Sizes of tiles do, too:
nothing is tuned by measuring. Positions in operands are computed in 64 bits. Places are trusted: to see that all are
within the operands would mean to wait for the GPU.

Triton may be missing until one of the functions is called. With TRITON_INTERPRET=1 in the environment before anything
imports Triton, they run on a CPU, for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

BLOCK_SIZES = (16, 32, 64)  # tensor cores take none below; above, shared memory holds too few
_LINE, _WARP = 128, 512  # bytes in a line of the cache, and read by a warp at once: 16 by each of its 32 threads


def _jit(function: Callable[..., Any]) -> Any:
    return function if triton is None else triton.jit(function)


def spmm(
    pointers: Tensor,
    columns: Tensor,
    values: Tensor,
    x: Tensor,
    order: Tensor | None = None,
    bias: Tensor | None = None,
    fan_in: int | None = None,
) -> Tensor:
    """Multiply a sparse matrix with a dense one: ``W x``, or ``W x + bias[:, None]``.

    Parameters
    ----------
    pointers, columns : Tensor of int, shapes (n_rows + 1,) and (nnz,)
        The pattern, of W or of its transpose.
    values : Tensor, shape (nnz,)
    x : Tensor, shape (n_columns, k)
    order : Tensor of int, shape (nnz,), optional
        Where the values of the pattern are, if not one after the other; with the transpose's pattern: ``W' x``.
    bias : Tensor, shape (n_rows,), optional
    fan_in : int, optional
        The number of values in every row.

    Returns
    -------
    Tensor
        Shape (n_rows, k), of x's type.

    Raises
    ------
    ValueError
        If shapes do not fit each other.
    ImportError
        If Triton is not installed.
    """
    n_rows, k = pointers.numel() - 1, x.shape[1]
    _check(n_rows, columns, fan_in, bias)
    if values.shape != columns.shape:
        raise ValueError(f"values have shape {tuple(values.shape)}, their places {tuple(columns.shape)}")
    tile, rows = _shares(x, k)
    y = x.new_empty(n_rows, k)
    arguments = (pointers, columns, order, values, x, bias, y, n_rows, k)
    sizes = {"FAN_IN": fan_in, "ROWS": rows, "TILE": tile, "SUM": _sum_type(x)}
    _launch(_spmm, triton.cdiv(n_rows, rows) * triton.cdiv(k, tile), *arguments, **sizes, num_warps=1)
    return y


def sddmm(pointers: Tensor, columns: Tensor, a: Tensor, b: Tensor, fan_in: int | None = None) -> Tensor:
    """Compute ``a b'`` at the places of the pattern alone, shape (nnz,): the gradient of W's values.

    a has shape (n_rows, k) and b (n_columns, k); the result is of a's type. The rest is as for `spmm`.
    """
    n_rows, k, nnz = pointers.numel() - 1, a.shape[1], columns.numel()
    _check(n_rows, columns, fan_in)
    if a.shape[0] != n_rows or b.shape[1] != k:
        raise ValueError(f"a and b have shapes {tuple(a.shape)} and {tuple(b.shape)}, not ({n_rows}, k) and (n, k)")
    tile, edges = _shares(a, k, warps=8)  # four warps, two loads each
    out = a.new_empty(nnz)
    arguments = (pointers, columns, a, b, out, n_rows, nnz, k)
    sizes = {"FAN_IN": fan_in, "STEPS": n_rows.bit_length(), "EDGES": edges, "TILE": tile, "SUM": _sum_type(a)}
    _launch(_sddmm, triton.cdiv(nnz, edges), *arguments, **sizes, num_warps=4)
    return out


def block_spmm(
    pointers: Tensor,
    columns: Tensor,
    blocks: Tensor,
    x: Tensor,
    order: Tensor | None = None,
    bias: Tensor | None = None,
    fan_in: int | None = None,
    transposed: bool = False,
) -> Tensor:
    """Apply a linear layer made of dense blocks: ``x W'``, or ``x W' + bias``, shape (k, n_rows * b), of x's type.

    Parameters
    ----------
    blocks : Tensor, shape (n_blocks, b, b)
        b is 16, 32 or 64; float32, bfloat16 or float16.
    x : Tensor, shape (k, n_columns * b)
        Of the blocks' type.
    bias : Tensor, shape (n_rows * b,), optional
    transposed : bool
        Transpose each block; with the pattern and the order of the transpose: ``x W``.
    pointers, columns, order, fan_in
        As for `spmm`, of blocks instead of numbers.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or there are no kernels for blocks of this size or type.
    ImportError
        If Triton is not installed.
    """
    n_rows, b, k = pointers.numel() - 1, blocks.shape[-1], x.shape[0]
    _check(n_rows, columns, fan_in, bias, b)
    _check_blocks(b, blocks, x)
    if blocks.shape != (columns.numel(), b, b) or x.shape[1] % b:
        raise ValueError(f"{columns.numel()} places for blocks {tuple(blocks.shape)}, applied to {tuple(x.shape)}")
    tile = max(16, min(256 // x.element_size(), triton.next_power_of_2(max(1, k))))
    y = x.new_empty(k, n_rows * b)
    arguments = (pointers, columns, order, blocks, x, bias, y, n_rows, x.shape[1], k)
    sizes = {"FAN_IN": fan_in, "B": b, "TILE": tile, "TRANSPOSED": transposed, "PRECISION": _precision()}
    # five stages: two pairs of tiles on their way, as a pair's place has to be loaded before it
    _launch(_block_spmm, n_rows * triton.cdiv(k, tile), *arguments, **sizes, num_warps=4, num_stages=5)
    return y


def block_sddmm(
    pointers: Tensor, columns: Tensor, a: Tensor, b: Tensor, size: int, fan_in: int | None = None
) -> Tensor:
    """Compute the blocks of ``a' b`` at the places of the pattern, shape (n_blocks, size, size): W's gradient.

    a has shape (k, n_rows * size) and b (k, n_columns * size); the result is of their type. The rest is as for
    `block_spmm`.
    """
    n_rows, k = pointers.numel() - 1, a.shape[0]
    _check(n_rows, columns, fan_in)
    _check_blocks(size, a, b)
    if a.shape[1] != n_rows * size or b.shape[0] != k or b.shape[1] % size:
        raise ValueError(f"a and b have shapes {tuple(a.shape)} and {tuple(b.shape)}, for {n_rows} rows of blocks")
    out = a.new_empty(columns.numel(), size, size)
    arguments = (pointers, columns, a, b, out, n_rows, a.shape[1], b.shape[1], k)
    sizes = {"FAN_IN": fan_in, "STEPS": n_rows.bit_length(), "B": size, "TILE": 128 // a.element_size()}
    _launch(_block_sddmm, columns.numel(), *arguments, **sizes, PRECISION=_precision(), num_warps=size // 16)
    return out


@_jit
def _spmm(
    pointers, columns, order, values, x, bias, y, n_rows, k,
    FAN_IN: tl.constexpr, ROWS: tl.constexpr, TILE: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Compute a few rows, for a tile of k; the next program does the next rows for the same tile."""
    groups = tl.cdiv(n_rows, ROWS)
    row = tl.program_id(0) % groups * ROWS + tl.arange(0, ROWS)
    place = tl.program_id(0) // groups * TILE + tl.arange(0, TILE)
    exists, inside = row < n_rows, (place < k)[None, :]
    if FAN_IN is None:
        start = tl.load(pointers + row, mask=exists, other=0)
        degree = tl.load(pointers + row + 1, mask=exists, other=0) - start
        most = tl.max(degree, axis=0)
    else:
        start, degree, most = row * FAN_IN, FAN_IN, FAN_IN
    total = tl.zeros([ROWS, TILE], dtype=SUM)
    for step in tl.range(0, most, loop_unroll_factor=4):
        edge = start + step
        there = exists & (step < degree)
        column = tl.load(columns + edge, mask=there, other=0).to(tl.int64)[:, None]
        stored = edge if order is None else tl.load(order + edge, mask=there, other=0)
        value = tl.load(values + stored, mask=there, other=0.0).to(SUM)[:, None]
        total += value * tl.load(x + column * k + place[None, :], mask=there[:, None] & inside, other=0.0).to(SUM)
    if bias is not None:
        total += tl.load(bias + row, mask=exists, other=0.0).to(SUM)[:, None]
    tl.store(y + row.to(tl.int64)[:, None] * k + place[None, :], total, mask=exists[:, None] & inside)


@_jit
def _sddmm(
    pointers, columns, a, b, out, n_rows, nnz, k,
    FAN_IN: tl.constexpr, STEPS: tl.constexpr, EDGES: tl.constexpr, TILE: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """Compute a few places. They are mostly of one row of a, which all but the first find in the cache."""
    edge = tl.program_id(0) * EDGES + tl.arange(0, EDGES)
    there = edge < nnz
    row = _row_of(edge, pointers, n_rows, FAN_IN, STEPS).to(tl.int64)[:, None]
    column = tl.load(columns + edge, mask=there, other=0).to(tl.int64)[:, None]
    total = tl.zeros([EDGES, TILE], dtype=SUM)
    for left in range(0, k, TILE):
        place = (left + tl.arange(0, TILE))[None, :]
        mask = there[:, None] & (place < k)
        from_a = tl.load(a + row * k + place, mask=mask, other=0.0).to(SUM)
        total += from_a * tl.load(b + column * k + place, mask=mask, other=0.0).to(SUM)
    tl.store(out + edge, tl.sum(total, axis=1), mask=there)


@_jit
def _block_spmm(
    pointers, columns, order, blocks, x, bias, y, n_rows, width, k,
    FAN_IN: tl.constexpr, B: tl.constexpr, TILE: tl.constexpr, TRANSPOSED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute one row of blocks, for a tile of the batch; the next program does the next row for the same tile."""
    row = tl.program_id(0) % n_rows
    sample = (tl.program_id(0) // n_rows * TILE + tl.arange(0, TILE)).to(tl.int64)[:, None]
    unit = tl.arange(0, B)
    if FAN_IN is None:
        start = tl.load(pointers + row)
        degree = tl.load(pointers + row + 1) - start
    else:
        start, degree = row * FAN_IN, FAN_IN
    # a block is stored as (output, input), and multiplied with from the right: as (input, output)
    inner = unit[:, None] * B + unit[None, :] if TRANSPOSED else unit[:, None] + unit[None, :] * B
    total = tl.zeros([TILE, B], dtype=tl.float32)
    for step in range(degree):
        edge = start + step
        stored = edge if order is None else tl.load(order + edge)
        block = tl.load(blocks + stored.to(tl.int64) * (B * B) + inner)
        feature = tl.load(columns + edge) * B + unit[None, :]
        part = tl.load(x + sample * width + feature, mask=sample < k, other=0.0)
        total = tl.dot(part, block, total, input_precision=PRECISION)
    if bias is not None:
        total += tl.load(bias + row * B + unit).to(tl.float32)[None, :]
    tl.store(y + sample * (n_rows * B) + row * B + unit[None, :], total, mask=sample < k)


@_jit
def _block_sddmm(
    pointers, columns, a, b, out, n_rows, width_a, width_b, k,
    FAN_IN: tl.constexpr, STEPS: tl.constexpr, B: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute one block."""
    edge = tl.program_id(0)
    unit = tl.arange(0, B)
    from_a = _row_of(edge, pointers, n_rows, FAN_IN, STEPS) * B + unit[:, None]
    from_b = tl.load(columns + edge) * B + unit[None, :]
    total = tl.zeros([B, B], dtype=tl.float32)
    for first in range(0, k, TILE):
        sample = (first + tl.arange(0, TILE)).to(tl.int64)
        here, there = sample[None, :], sample[:, None]
        a_tile = tl.load(a + here * width_a + from_a, mask=here < k, other=0.0)
        b_tile = tl.load(b + there * width_b + from_b, mask=there < k, other=0.0)
        total = tl.dot(a_tile, b_tile, total, input_precision=PRECISION)
    tl.store(out + edge.to(tl.int64) * (B * B) + unit[:, None] * B + unit[None, :], total)


@_jit
def _row_of(edge, pointers, n_rows, FAN_IN: tl.constexpr, STEPS: tl.constexpr):
    """Find the rows of edges: the last ones that start no later, by bisection."""
    if FAN_IN is None:
        row = edge * 0
        beyond = row + n_rows
        for _ in tl.static_range(STEPS):
            middle = (row + beyond) // 2
            starts = tl.load(pointers + middle) <= edge
            row = tl.where(starts, middle, row)
            beyond = tl.where(starts, beyond, middle)
    else:
        row = edge // FAN_IN
    return row


def _launch(kernel: Any, programs: int, *arguments: Any, **sizes: Any) -> None:
    """Run so many programs of a kernel, on the device of its tensors."""
    arguments = tuple(argument.contiguous() if isinstance(argument, Tensor) else argument for argument in arguments)
    if programs:
        with torch.cuda.device_of(arguments[0]):  # type: ignore[no-untyped-call]
            kernel[(programs,)](*arguments, **sizes, enable_fp_fusion=True)  # Triton warns where nothing is said


def _check(n_rows: int, columns: Tensor, fan_in: int | None, bias: Tensor | None = None, size: int = 1) -> None:
    """Refuse what a kernel would read beyond its end; who has no Triton hears of that first."""
    if triton is None:
        raise ImportError("sparse products on a GPU need Triton, which is not installed: pip install triton")
    if fan_in is not None and n_rows * fan_in != columns.numel():
        raise ValueError(f"{n_rows} rows of fan_in = {fan_in} have {n_rows * fan_in} values, not {columns.numel()}")
    if bias is not None and bias.shape != (n_rows * size,):
        raise ValueError(f"bias has shape {tuple(bias.shape)}, not ({n_rows * size},)")


def _check_blocks(size: int, one: Tensor, other: Tensor) -> None:
    if size not in BLOCK_SIZES:
        raise ValueError(f"there are no kernels for blocks of size {size}, only for {BLOCK_SIZES}")
    if one.dtype != other.dtype or one.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"{one.dtype} with {other.dtype}: both must be one of float32, bfloat16, float16")


def _shares(x: Tensor, k: int, warps: int = 1) -> tuple[int, int]:
    """Return the part of a row of x read at once, a line of the cache at most, and how many such parts warps read."""
    tile = min(_LINE // x.element_size(), triton.next_power_of_2(max(1, k)))
    return tile, warps * _WARP // x.element_size() // tile


def _sum_type(x: Tensor) -> Any:
    return tl.float64 if x.dtype == torch.float64 else tl.float32


def _precision() -> str:
    """Say how PyTorch multiplies float32 matrices on CUDA now."""
    matmul = torch.backends.cuda.matmul
    precision = getattr(matmul, "fp32_precision", None)  # since PyTorch 2.9
    return "tf32" if precision == "tf32" or (precision is None and matmul.allow_tf32) else "ieee"
