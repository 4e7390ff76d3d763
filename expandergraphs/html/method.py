"""How the numbers of a page were computed, and what was left out."""

from expandergraphs.html.layer_findings import n_parts
from expandergraphs.html.markup import Markup, tag
from expandergraphs.html.measured import HEAT_TIMES, SEARCHED_EDGES, Measured
from expandergraphs.results import number


def method(found: Measured) -> Markup:
    """Return a list of what a reader needs to repeat the numbers, or to doubt them."""
    unsearched = sum(not searched for searched in found.searched)
    estimated = sum(not spectrum.exact and not spectrum.problem for spectrum in found.spectra)
    undecided = sum(
        g.spectrum.is_ramanujan is None and g.spectrum.bound_kind == "biregular" for g in found.report.graphs
    )
    parts = sum(n_parts(graph) > 1 and not layer.joins_only for layer, graph in found.layers)
    lines = list(found.subject.notes)
    if not found.layers:
        return tag("ul", *(tag("li", line) for line in lines))
    if found.time_limit == 0:
        lines.append("α: the lower end is proved for every layer; no set was searched, as the time limit is 0.")
    elif found.time_limit is not None:
        lines.append(
            f"α: every layer was searched, with a limit of {number(found.time_limit)} seconds each; another machine "
            "may get closer, or less close."
        )
    elif unsearched:
        lines.append(
            "α: the lower end is proved for every layer. Small sets were not searched where a layer has over "
            f"{SEARCHED_EDGES:,} edges ({unsearched:,} of them): there, a bad set would only show in a low “≥”. A time "
            "limit or “thorough” searches them too."
        )
    else:
        lines.append("α: every layer was searched, without a time limit.")
    lines.append(
        "σ2: computed for every layer. Ramanujan is said only where each side has one degree, which is where the bound "
        "is a theorem’s" + (f"; undecided in {undecided:,} layers within reasonable time." if undecided else ".")
    )
    if estimated:
        lines.append(
            f"Curves of {estimated:,} large layers (over 1,000 units on each side, or 10 million pairs) "
            "are estimated by the kernel polynomial method, "
            "64 moments, 8 random vectors."
        )
    if parts:
        lines.append(
            f"Layers that fall into parts: {parts:,}. There, σ2 equals σ1, or nearly, and says no more than that."
        )
    if found.whole is not None:
        times = ", ".join(f"{time:g}" for time in HEAT_TIMES[:-1])
        weights = "with the network’s weights" if found.whole.net.weights is not None else "every edge weighs 1"
        lines.append(f"Heat: combinatorial Laplacian, {weights}, at t = {times} and saturated.")
        if found.whole.fields is None:
            lines.append("What each output sees was not counted: too many inputs times edges (over 10^11).")
    if not found.thorough:
        lines.append("Left out: edge expansion, conductance, girth, distances; “thorough” measures them.")
    lines.append("Random searches start from a fixed seed unless another was given.")
    return tag("ul", *(tag("li", line) for line in lines))
