"""The spectral gap, and the Ramanujan bound.

Write s1 >= s2 >= ... for the singular values of B. In the spectrum of the whole adjacency each comes as a pair
+-s, so the second largest *absolute* eigenvalue there is s1 again; here s2 is meant. If every left degree is d_l and
every right degree d_r, s1 = sqrt(d_l d_r) exactly with constant singular vectors: they are deflated, not computed.

Cost: dense up to `DENSE_LIMIT` vertices on the smaller side; above, two Lanczos runs, three for irregular graphs.
"""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

from expandergraphs.bipartite import BipartiteGraph, check_graph
from expandergraphs.operators import normalised_biadjacency
from expandergraphs.paths import components
from expandergraphs.rng import streams
from expandergraphs.spectral.bounds import lower_end, proved_below
from expandergraphs.spectral.dense import dense_error, is_small
from expandergraphs.spectral.lanczos import Bidiagonalisation, NoConvergenceError
from expandergraphs.spectral.products import Products
from expandergraphs.spectral.values import constant, is_biregular, leading_values, started
from expandergraphs.spectral.values import singular_values as singular_values

# Visits of edges that each run of a proof may always take: about a second. Beyond, random regular graphs of degree 32
# commonly need 1.7 times the steps of sigma2, whatever their size.
_AFFORDABLE = 5e8


@dataclass(frozen=True)
class SpectralGap:
    """The two largest singular values and what follows from them.

    Attributes
    ----------
    sigma1, sigma2 : float
        The largest singular values of the biadjacency, counted with multiplicity; a missing sigma2 is 0.
    gap : float
        ``sigma1 - sigma2``.
    ratio : float
        ``sigma2 / sigma1``, or nan where sigma1 is 0.
    sigma2_normalised : float
        Second singular value of ``D_l^(-1/2) B D_r^(-1/2)``, whose first is 1.
    bound : float
        ``sqrt(d_l - 1) + sqrt(d_r - 1)``; degrees below 1 count as 1.
    bound_kind : str
        "biregular" where each side has one degree, else "average_degree": then the bound is formed with the average
        degrees, and no theorem makes it a yardstick.
    is_ramanujan : bool or None
        Biregular graphs: connected, and sigma2 at most the bound. True and False are proved, True with a probability of
        error of 1e-12 above 1,000 vertices on the smaller side, over starts that are always the same: of graphs that
        were not made to deceive them. None, undecided, where the bound lies within the error
        of sigma2, or the proof would take over three times as long as sigma2 itself: `spectral_gap` with more
        `patience` goes on. None for graphs that are not biregular.
    connected : bool
        Whether the graph is connected, isolated vertices counting as components.

    Examples
    --------
    >>> found = spectral_gap(BipartiteGraph.from_edges(2, 2, [(0, 0), (1, 1)]))
    >>> found.gap, found.ratio, found.connected
    (0.0, 1.0, False)
    """

    sigma1: float
    sigma2: float
    gap: float
    ratio: float
    sigma2_normalised: float
    bound: float
    bound_kind: str
    is_ramanujan: bool | None
    connected: bool


def spectral_gap(g: BipartiteGraph, *, patience: float = 2.0) -> SpectralGap:
    """Measure the spectral gap, and compare sigma2 with the Ramanujan bound.

    Parameters
    ----------
    g : BipartiteGraph
    patience : float
        A proof that a large graph is Ramanujan takes two runs; each may have so many times the steps of sigma2 itself.
        Where `is_ramanujan` is None though sigma2 is below the bound, more may decide; 0 leaves every proof out that is
        not cheap.

    Returns
    -------
    SpectralGap

    Raises
    ------
    ValueError
        If `g` is not a BipartiteGraph, `patience` is negative, or the graph has over 8,000 vertices on both sides and
        singular values too close together for an iterative method.

    References
    ----------
    Bound: Feng and Li. Spectra of hypergraphs and applications. J. Number Theory 60 (1996), theorem 3; for one degree
    d it is ``2 sqrt(d - 1)``.

    Examples
    --------
    >>> from expandergraphs import random_regular
    >>> gap = spectral_gap(random_regular(64, 64, 8, rng=0))
    >>> gap.sigma1, gap.bound_kind, gap.connected, gap.sigma2 < 8
    (8.0, 'biregular', True, True)
    """
    check_graph(g)
    if not isinstance(patience, Real) or not 0 <= patience < math.inf:
        raise ValueError(f"patience must be a number of at least 0, got {patience!r}")
    n, connected, biregular = min(g.n_left, g.n_right), components(g).count == 1, is_biregular(g)
    degrees = (g.n_edges / max(1, g.n_left), g.n_edges / max(1, g.n_right))
    bound = sum(math.sqrt(max(0.0, degree - 1)) for degree in degrees)
    run = _run_of_large(g) if biregular else None
    if run is None:
        sigma1, sigma2 = [*singular_values(g, min(2, n)).tolist(), 0.0, 0.0][:2]
    else:
        sigma1 = math.sqrt(g.left_degrees[0] * g.right_degrees[0])
        sigma2 = min(run.leading()[0], sigma1)
    ramanujan: bool | None = None
    if biregular:
        error = 0.0 if n == 1 else dense_error((g.n_left, g.n_right), sigma1)
        lower = sigma2 - error if run is None else lower_end([run])
        if not connected or lower > bound:
            ramanujan = False
        elif run is None:
            ramanujan = True if sigma2 + error <= bound else None
        elif sigma2 <= bound:
            most_steps = max(int(patience * len(run.alphas)), int(_AFFORDABLE / g.n_edges))
            ramanujan = proved_below(run, bound, most_steps, streams(0)("verdict")) or None
    return SpectralGap(
        sigma1=sigma1,
        sigma2=sigma2,
        gap=sigma1 - sigma2,
        ratio=sigma2 / sigma1 if sigma1 else math.nan,
        sigma2_normalised=_normalised(g, sigma1, sigma2) if g.n_edges else 0.0,
        bound=bound,
        bound_kind="biregular" if biregular else "average_degree",
        is_ramanujan=ramanujan,
        connected=connected,
    )


def _run_of_large(g: BipartiteGraph) -> Bidiagonalisation | None:
    """Return converged Golub-Kahan steps for sigma2 of a biregular graph, or None where sigma2 is found densely."""
    n = min(g.n_left, g.n_right)
    if is_small((g.n_left, g.n_right)) or g.n_edges == 0 or n < 4:
        return None
    run = started(Products(g.biadjacency), [constant(n)])
    try:
        run.converge()
    except NoConvergenceError:
        return None
    return run


def _normalised(g: BipartiteGraph, sigma1: float, sigma2: float) -> float:
    """Return the second singular value of the normalised biadjacency; the first has the roots of the degrees."""
    if is_biregular(g):
        return sigma2 / sigma1
    degrees = g.right_degrees if g.n_right <= g.n_left else g.left_degrees
    second = leading_values(normalised_biadjacency(g), min(1, degrees.size - 1), [np.sqrt(degrees / g.n_edges)])
    return float(min(1.0, second[0])) if second.size else 0.0
