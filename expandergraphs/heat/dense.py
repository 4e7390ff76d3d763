"""All eigenvalues and eigenvectors of a Laplacian, component by component, by LAPACK."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from expandergraphs.heat.diffusion import Array, Diffusion

DENSE_LIMIT = 3000  # nodes: three seconds for all eigenvectors, as long as a heat kernel signature by products takes
_AT_ONCE = 1 << 22  # numbers in a batch of blocks


def is_small(operator: Diffusion) -> bool:
    """Tell whether decomposing all components takes no longer than one of `DENSE_LIMIT` nodes."""
    sizes = operator.sizes[operator.sizes > 1].astype(float)
    return float((sizes**3).sum()) <= DENSE_LIMIT**3


def dense_blocks(operator: Diffusion) -> Iterator[tuple[NDArray[np.intp], Array]]:
    """Yield components of equal size: the nodes of each, shape (k, size), and their K, shape (k, size, size)."""
    sizes, labels = operator.sizes, operator.labels
    by_label = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    entries, place = operator.matrix().tocoo(), np.empty(labels.size, dtype=np.intp)
    rows, columns = entries.coords
    for size in np.unique(sizes):
        alike = np.flatnonzero(sizes == size)
        for some in np.array_split(alike, min(alike.size, alike.size * size**2 // _AT_ONCE + 1)):
            nodes = np.stack([by_label[label] for label in some])
            place[nodes] = np.arange(size)
            number = np.full(sizes.size, -1)
            number[some] = np.arange(some.size)
            block = number[labels[rows]]
            inside = block >= 0
            dense = np.zeros((some.size, size, size))
            dense[block[inside], place[rows[inside]], place[columns[inside]]] = entries.data[inside]
            yield nodes, dense


def eigenvalues(operator: Diffusion) -> Array:
    """Return all eigenvalues of K, ascending; one of each component is set to 0."""
    found = [np.linalg.eigvalsh(dense)[:, 1:].ravel() for _, dense in dense_blocks(operator)]
    return np.sort(np.maximum(np.concatenate([np.zeros(operator.count), *found]), 0.0))
