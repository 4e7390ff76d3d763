"""Expander graphs as masks and layers for PyTorch: the adapter. The graphs come from `expandergraphs`.

A whole model: `plan`, `sparsify`, `summary`, `bake`, `density`, `masked_modules`, `exclude_last`, `dense_state_dict`,
`topology_digest`. Layers: `MaskedLinear`, `MaskedConv1d`, `MaskedConv2d`, `MaskedConv3d`. Masks: `linear_mask`,
`conv_mask`, `graph_from_mask`.
"""

try:
    import torch as _  # noqa: F401
except ModuleNotFoundError as error:
    message = "expandergraphs_torch needs torch: pip install 'expandergraphs[torch]'"
    raise ModuleNotFoundError(message, name="torch") from error

from expandergraphs_torch.layers import MaskedConv1d, MaskedConv2d, MaskedConv3d, MaskedLinear
from expandergraphs_torch.masks import conv_mask, graph_from_mask, linear_mask
from expandergraphs_torch.model import bake, dense_state_dict, density, masked_modules, topology_digest
from expandergraphs_torch.select import exclude_last
from expandergraphs_torch.sparsify import LayerPlan, Plan, plan, sparsify
from expandergraphs_torch.summary import LayerSummary, Summary, summary

__all__ = [
    "LayerPlan",
    "LayerSummary",
    "MaskedConv1d",
    "MaskedConv2d",
    "MaskedConv3d",
    "MaskedLinear",
    "Plan",
    "Summary",
    "bake",
    "conv_mask",
    "dense_state_dict",
    "density",
    "exclude_last",
    "graph_from_mask",
    "linear_mask",
    "masked_modules",
    "plan",
    "sparsify",
    "summary",
    "topology_digest",
]
