"""Expander graphs, their measures, and the sparse networks they make. The core; it never imports torch.

Types: `BipartiteGraph`, `LayeredGraph`. Random families: `random_bipartite`, `random_left_regular`, `random_regular`,
`random_like`, `best_of`, `two_lift`. Deterministic: `radix_net`, `radix_net_for`, `radix_net_with`, `array_code`,
`projective_plane`, `lps`, `cayley_f2`. From smaller graphs: `block_expander`, `disjoint_union`. Whole networks:
`family_net`, `n2nskip_net`, `spread`, `spread_skips`, `graph_challenge`, `graph_challenge_layers`.

Measures: `report` for all of them, `save_report` for a web page. Expansion: `vertex_expansion`, `edge_expansion`,
`conductance`, `sampled_expansion`, `mixing_discrepancy`. Spectrum: `spectral_gap`, `singular_values`,
`second_singular_value`, `spectral_density`, `biregular_law`, `irregular_gaps`. Paths: `components`, `path_counts`,
`n_paths`, `is_path_symmetric`, `reachability`, `receptive_fields`, `dead_units`, `sensitivity_depth`,
`family_sensitivity_depth`, `distances`, `girth`.

Heat: `heat_signature`, `heat_distance`, `compare_heat`, `scree`, `saturation_time`, `heat_trace`,
`heat_kernel_signature`, `unreached_units`; `laplacian`.

Files: `save`, `load`, `save_graphs`, `load_graphs`, `save_graph_challenge`, `load_graph_challenge`. Comparisons of
families: `study`.

Plots: `expandergraphs.plotting` (biadjacencies, networks, spectra), `expandergraphs.plotting_study` (expansion,
sigma_2, degrees), `expandergraphs.plotting_heat` (heat over time, distances, scree),
`expandergraphs.plotting_heat_network` (networks coloured by heat, animations), `expandergraphs.plotting_adjacency`,
`expandergraphs.plotting_pruning` (sparsity, threshold and accuracy over training).
They draw on an ``ax``, best of a ``matplotlib.figure.Figure(layout="constrained")``.
"""

import logging

from expandergraphs.bipartite import BipartiteGraph
from expandergraphs.budget import LayerShape, spread, spread_skips
from expandergraphs.distances import Distances, distances, girth
from expandergraphs.errors import GenerationError
from expandergraphs.expansion.edge import CutInterval, conductance, edge_expansion
from expandergraphs.expansion.mixing import MixingDiscrepancy, mixing_discrepancy
from expandergraphs.expansion.sampled import SampledExpansion, sampled_expansion
from expandergraphs.expansion.vertex import VertexExpansion, Witness, vertex_expansion
from expandergraphs.generators.explicit import array_code, cayley_f2, lps, projective_plane
from expandergraphs.generators.family import family_net
from expandergraphs.generators.graph_challenge import graph_challenge, graph_challenge_layers
from expandergraphs.generators.lifts import BestOf, best_of, two_lift
from expandergraphs.generators.like import random_like
from expandergraphs.generators.products import block_expander, disjoint_union
from expandergraphs.generators.radix import RadixNet, radix_net, radix_net_for, radix_net_with
from expandergraphs.generators.random import random_bipartite, random_left_regular
from expandergraphs.generators.regular import random_regular
from expandergraphs.generators.skips import n2nskip_net
from expandergraphs.heat.comparison import HeatComparison, compare_heat
from expandergraphs.heat.distance import heat_distance
from expandergraphs.heat.kernel import HeatKernelSignature, heat_kernel_signature
from expandergraphs.heat.saturation import SaturationTime, saturation_time
from expandergraphs.heat.scree import Scree, scree
from expandergraphs.heat.signature import HeatSignature, heat_signature
from expandergraphs.heat.trace import HeatTrace, heat_trace
from expandergraphs.heat.unreached import UnreachedUnits, unreached_units
from expandergraphs.html.page import save_report
from expandergraphs.interchange import (
    load,
    load_graph_challenge,
    load_graphs,
    save,
    save_graph_challenge,
    save_graphs,
)
from expandergraphs.layered import LayeredGraph
from expandergraphs.operators import laplacian, normalised_biadjacency
from expandergraphs.paths import Components, components, is_path_symmetric, n_paths, path_counts
from expandergraphs.reach import DeadUnits, ReceptiveFields, dead_units, reachability, receptive_fields
from expandergraphs.report import Report, report
from expandergraphs.sensitivity import SensitivityDepth, family_sensitivity_depth, sensitivity_depth
from expandergraphs.spectral.bounds import SingularValueBounds, second_singular_value
from expandergraphs.spectral.density import SpectralDensity, spectral_density
from expandergraphs.spectral.gap import SpectralGap, singular_values, spectral_gap
from expandergraphs.spectral.irregular import IrregularGaps, irregular_gaps
from expandergraphs.spectral.law import BiregularLaw, biregular_law
from expandergraphs.study import Study, study

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless the program configures logging

__version__ = "0.1.0"
__all__ = [
    "BestOf",
    "BipartiteGraph",
    "BiregularLaw",
    "Components",
    "CutInterval",
    "DeadUnits",
    "Distances",
    "GenerationError",
    "HeatComparison",
    "HeatKernelSignature",
    "HeatSignature",
    "HeatTrace",
    "IrregularGaps",
    "LayerShape",
    "LayeredGraph",
    "MixingDiscrepancy",
    "RadixNet",
    "ReceptiveFields",
    "Report",
    "SampledExpansion",
    "SaturationTime",
    "Scree",
    "SensitivityDepth",
    "SingularValueBounds",
    "SpectralDensity",
    "SpectralGap",
    "Study",
    "UnreachedUnits",
    "VertexExpansion",
    "Witness",
    "array_code",
    "best_of",
    "biregular_law",
    "block_expander",
    "cayley_f2",
    "compare_heat",
    "components",
    "conductance",
    "dead_units",
    "disjoint_union",
    "distances",
    "edge_expansion",
    "family_net",
    "family_sensitivity_depth",
    "girth",
    "graph_challenge",
    "graph_challenge_layers",
    "heat_distance",
    "heat_kernel_signature",
    "heat_signature",
    "heat_trace",
    "irregular_gaps",
    "is_path_symmetric",
    "laplacian",
    "load",
    "load_graph_challenge",
    "load_graphs",
    "lps",
    "mixing_discrepancy",
    "n2nskip_net",
    "n_paths",
    "normalised_biadjacency",
    "path_counts",
    "projective_plane",
    "radix_net",
    "radix_net_for",
    "radix_net_with",
    "random_bipartite",
    "random_left_regular",
    "random_like",
    "random_regular",
    "reachability",
    "receptive_fields",
    "report",
    "sampled_expansion",
    "saturation_time",
    "save",
    "save_graph_challenge",
    "save_graphs",
    "save_report",
    "scree",
    "second_singular_value",
    "sensitivity_depth",
    "singular_values",
    "spectral_density",
    "spectral_gap",
    "spread",
    "spread_skips",
    "study",
    "two_lift",
    "unreached_units",
    "vertex_expansion",
]
