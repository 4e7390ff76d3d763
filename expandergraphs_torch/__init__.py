"""Expander graphs as masks and layers for PyTorch: the adapter. The graphs come from `expandergraphs`.

A whole model: `plan`, `sparsify`, `summary`, `bake`, `density`, `masked_modules`, `exclude_last`, `zero_off_mask`,
`dense_state_dict`. Its wiring: `topology`, `topology_digest`, `topology_config`, `rebuild`, `load_state_dict`,
`check_topology`. Pruning: `prune`, `GradualPruning`, `shuffle`, `reinitialise`. Skips: `add_n2nskip`, `add_resskip`.
Sparse execution: `to_sparse`, `to_masked`, `SparseLinear`. A model as a graph: `network_graph`. A web page about it:
`report`.

Layers: `MaskedLinear`, `MaskedConv1d`, `MaskedConv2d`, `MaskedConv3d`, `MaskedConvTranspose1d`,
`MaskedConvTranspose2d`, `MaskedConvTranspose3d`; `Masked` and `register` for others. Branches: `N2NSkipLinear`,
`N2NSkipConv1d`, `N2NSkipConv2d`, `N2NSkipConv3d`, `ResSkip`. Masks: `linear_mask`, `conv_mask`,
`graph_from_mask`.
"""

import logging

try:
    import torch as _  # noqa: F401
except ModuleNotFoundError as error:
    message = "expandergraphs_torch needs torch: pip install 'expandergraphs[torch]'"
    raise ModuleNotFoundError(message, name="torch") from error

from expandergraphs_torch.controls import reinitialise, shuffle
from expandergraphs_torch.layers import (
    MaskedConv1d,
    MaskedConv2d,
    MaskedConv3d,
    MaskedConvTranspose1d,
    MaskedConvTranspose2d,
    MaskedConvTranspose3d,
    MaskedLinear,
    register,
)
from expandergraphs_torch.masked import Masked, Recipe
from expandergraphs_torch.masks import conv_mask, graph_from_mask, linear_mask
from expandergraphs_torch.model import bake, dense_state_dict, density, masked_modules, zero_off_mask
from expandergraphs_torch.network import network_graph
from expandergraphs_torch.plan import LayerPlan, Plan, plan
from expandergraphs_torch.prune import prune
from expandergraphs_torch.report import report
from expandergraphs_torch.schedules import GradualPruning, PruningStep
from expandergraphs_torch.select import exclude_last
from expandergraphs_torch.skip import N2NSkipConv1d, N2NSkipConv2d, N2NSkipConv3d, N2NSkipLinear, ResSkip
from expandergraphs_torch.skipping import add_n2nskip, add_resskip
from expandergraphs_torch.sparse.convert import to_masked, to_sparse
from expandergraphs_torch.sparse.layers import SparseConv1d, SparseConv2d, SparseConv3d, SparseLinear
from expandergraphs_torch.sparsify import sparsify
from expandergraphs_torch.summary import LayerSummary, Summary, summary
from expandergraphs_torch.topology import (
    check_topology,
    load_state_dict,
    rebuild,
    topology,
    topology_config,
    topology_digest,
)

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless the program configures logging

__all__ = [
    "GradualPruning",
    "LayerPlan",
    "LayerSummary",
    "Masked",
    "MaskedConv1d",
    "MaskedConv2d",
    "MaskedConv3d",
    "MaskedConvTranspose1d",
    "MaskedConvTranspose2d",
    "MaskedConvTranspose3d",
    "MaskedLinear",
    "N2NSkipConv1d",
    "N2NSkipConv2d",
    "N2NSkipConv3d",
    "N2NSkipLinear",
    "Plan",
    "PruningStep",
    "Recipe",
    "ResSkip",
    "SparseConv1d",
    "SparseConv2d",
    "SparseConv3d",
    "SparseLinear",
    "Summary",
    "add_n2nskip",
    "add_resskip",
    "bake",
    "check_topology",
    "conv_mask",
    "dense_state_dict",
    "density",
    "exclude_last",
    "graph_from_mask",
    "linear_mask",
    "load_state_dict",
    "masked_modules",
    "network_graph",
    "plan",
    "prune",
    "rebuild",
    "register",
    "reinitialise",
    "report",
    "shuffle",
    "sparsify",
    "summary",
    "to_masked",
    "to_sparse",
    "topology",
    "topology_config",
    "topology_digest",
    "zero_off_mask",
]
