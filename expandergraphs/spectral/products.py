"""Products with a sparse matrix and its transpose: in place, in blocks of rows, in threads.

A product with a random sparse matrix waits for memory. Blocks of an unweighted matrix share one short array of ones,
which stays in the processor's cache, and SciPy releases the interpreter's lock, so that blocks run side by side. What
a block returns does not depend on how many threads there are.
"""

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expandergraphs._threads import n_processors

_BLOCK = 1 << 19  # stored entries
_UNIT_ROUNDOFF = 2.0**-53

Vector = NDArray[np.float64]
Block = tuple[slice, sparse.csr_array]


class Products:
    """A matrix M, taken so that it has at least as many rows as columns.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of M.
    norm_bound : float
        The root of the largest row sum of |M||M|' or |M|'|M|: no singular value of M or of |M| exceeds it.
    noise : float
        Bound on the 2-norm of what rounding adds to one product with a unit vector and two more such vectors.
    """

    def __init__(self, matrix: sparse.csr_array) -> None:
        n_rows, n_columns = matrix.shape
        tall, wide = matrix, matrix.T.tocsr()
        if n_rows < n_columns:
            tall, wide = wide, tall
        self.shape: tuple[int, int] = tall.shape
        sizes = [abs(tall), abs(wide)]
        squares = [(one @ (other @ np.ones(other.shape[1]))).max(initial=0.0) for one, other in (sizes, sizes[::-1])]
        self.norm_bound = math.sqrt(min(squares))
        longest = max(np.diff(half.indptr).max(initial=0) for half in sizes)
        self.noise = float(4 * (longest + 16) * _UNIT_ROUNDOFF * self.norm_bound)
        self._tall, self._wide = _row_blocks(tall), _row_blocks(wide)
        self._helpers = min(n_processors(), max(len(self._tall), len(self._wide))) - 1
        self._threads = ThreadPoolExecutor(self._helpers) if self._helpers else None

    def forward(self, x: Vector, y: Vector, factor: float) -> float:
        """Replace y by ``M x - factor y``, and return its squared norm."""
        return self._each(self._tall, x, y, factor)

    def backward(self, x: Vector, y: Vector, factor: float) -> float:
        """Replace y by ``M' x - factor y``, and return its squared norm."""
        return self._each(self._wide, x, y, factor)

    def length(self, x: Vector) -> float:
        """Return the norm of M x."""
        return math.sqrt(self.forward(x, np.zeros(self.shape[0]), 0.0))

    def _each(self, blocks: list[Block], x: Vector, y: Vector, factor: float) -> float:
        waiting = blocks[::-1]

        def work() -> list[float]:
            squares: list[float] = []
            while True:
                try:
                    rows, block = waiting.pop()
                except IndexError:
                    return squares
                part = y[rows]
                part *= -factor
                part += block @ x
                squares.append(square(part))

        if self._threads is None or len(blocks) == 1:
            return math.fsum(work())
        others = [self._threads.submit(work) for _ in range(self._helpers)]
        # An exact sum: the same, whoever took which block.
        return math.fsum([*work(), *(value for other in others for value in other.result())])


def square(x: Vector) -> float:
    """Return x'x, without the BLAS: its threads would compete with those of the products."""
    return float(np.einsum("i,i", x, x))


def take_out(vectors: Iterable[Vector], x: Vector) -> None:
    """Make x orthogonal to unit vectors."""
    for vector in vectors:
        x -= float(np.einsum("i,i", vector, x)) * vector


def _row_blocks(matrix: sparse.csr_array) -> list[Block]:
    full = np.searchsorted(matrix.indptr, np.arange(_BLOCK, matrix.nnz, _BLOCK))
    cuts = np.unique(np.concatenate([[0], full, [matrix.shape[0]]]))
    stored = np.diff(matrix.indptr[cuts]).max(initial=0)
    ones = np.ones(stored) if (matrix.data == 1).all() else None
    blocks = []
    for first, last in pairwise(cuts.tolist()):
        start, stop = matrix.indptr[first], matrix.indptr[last]
        data = matrix.data[start:stop] if ones is None else ones[: stop - start]
        arrays = (data, matrix.indices[start:stop], matrix.indptr[first : last + 1] - start)
        blocks.append((slice(first, last), sparse.csr_array(arrays, shape=(last - first, matrix.shape[1]))))
    return blocks
