"""Products with a sparse matrix and its transpose: in place, in blocks of rows, in threads.

A product with a random sparse matrix waits for memory. Blocks of an unweighted matrix share one short array of ones,
which stays in the processor's cache, and SciPy releases the interpreter's lock, so that blocks run side by side. What
a block returns does not depend on how many threads there are.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expandergraphs._threads import n_processors

_BLOCK = 1 << 19  # stored entries
_PIECE = 1 << 16  # entries of a vector
_UNIT_ROUNDOFF = 2.0**-53

Vector = NDArray[np.float64]
Block = tuple[slice, sparse.csr_array]
Job = TypeVar("Job")


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
        self._tall, self._wide = row_blocks(tall), row_blocks(wide)
        self._pieces = [slice(start, start + _PIECE) for start in range(0, self.shape[1], _PIECE)]
        self._helpers = min(n_processors(), max(len(self._tall), len(self._wide))) - 1
        self._threads = ThreadPoolExecutor(self._helpers) if self._helpers else None

    def forward(self, x: Vector, y: Vector, keep: float, scale: float = 1.0) -> float:
        """Replace y by ``scale M x - keep y``, and return its squared norm."""
        return self._replace(self._tall, x, y, keep, scale)

    def backward(self, x: Vector, y: Vector, keep: float, scale: float = 1.0) -> float:
        """Replace y by ``scale M' x - keep y``, and return its squared norm."""
        return self._replace(self._wide, x, y, keep, scale)

    def length(self, x: Vector) -> float:
        """Return the norm of M x."""
        return math.sqrt(self.forward(x, np.zeros(self.shape[0]), 0.0))

    def normalise(self, x: Vector, squared: float, known: Sequence[Vector]) -> float:
        """Make x, whose squared norm is given, orthogonal to unit vectors; divide by its norm, which is returned."""
        before = math.inf
        # Where little is left, rounding has put something of the vectors back: twice is enough.
        while known and squared < 0.01 * before:
            before = squared
            for vector in known:
                squared = self.take_out(x, vector)

        def scale(piece: slice) -> float:
            x[piece] *= 1 / norm
            return 0.0

        norm = math.sqrt(squared)
        if norm:
            self._together(self._pieces, scale)
        return norm

    def take_out(self, x: Vector, vector: Vector) -> float:
        """Make x orthogonal to a unit vector, and return what is left of its squared norm."""

        def share(piece: slice) -> float:
            return dot(x[piece], vector[piece])

        def rest(piece: slice) -> float:
            x[piece] -= part * vector[piece]
            return square(x[piece])

        part = self._together(self._pieces, share)
        return self._together(self._pieces, rest)

    def _replace(self, blocks: list[Block], x: Vector, y: Vector, keep: float, scale: float) -> float:
        def replace(block: Block) -> float:
            rows, matrix = block
            part, product = y[rows], matrix @ x
            part *= -keep
            product *= scale
            part += product
            return square(part)

        return self._together(blocks, replace)

    def _together(self, jobs: Sequence[Job], work: Callable[[Job], float]) -> float:
        """Do all jobs in threads, and return the sum of their results: exact, so the same whoever took which job."""
        waiting = list(jobs)

        def take() -> list[float]:
            results: list[float] = []
            while True:
                try:
                    job = waiting.pop()
                except IndexError:
                    return results
                results.append(work(job))

        helpers = self._helpers if len(waiting) > 1 else 0
        others = [self._threads.submit(take) for _ in range(helpers)] if self._threads else []
        return math.fsum([*take(), *(value for other in others for value in other.result())])


def dot(x: Vector, y: Vector) -> float:
    """Return x'y, without the BLAS: its threads would compete with those of the products."""
    return float(np.einsum("i,i", x, y))


def square(x: Vector) -> float:
    """Return x'x."""
    return dot(x, x)


def row_blocks(matrix: sparse.csr_array) -> list[Block]:
    """Cut a matrix into blocks of whole rows, of some half a million entries each; blocks of ones share their ones."""
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
