"""Expander graphs as masks and layers for PyTorch: the adapter. The graphs come from `expandergraphs`."""

from expandergraphs_torch.layers import MaskedConv1d as MaskedConv1d
from expandergraphs_torch.layers import MaskedConv2d as MaskedConv2d
from expandergraphs_torch.layers import MaskedConv3d as MaskedConv3d
from expandergraphs_torch.layers import MaskedLinear as MaskedLinear
from expandergraphs_torch.masks import conv_mask as conv_mask
from expandergraphs_torch.masks import graph_from_mask as graph_from_mask
from expandergraphs_torch.masks import linear_mask as linear_mask
from expandergraphs_torch.model import bake as bake
from expandergraphs_torch.model import dense_state_dict as dense_state_dict
from expandergraphs_torch.model import density as density
from expandergraphs_torch.model import masked_modules as masked_modules
from expandergraphs_torch.model import topology_digest as topology_digest
from expandergraphs_torch.select import exclude_last as exclude_last
from expandergraphs_torch.sparsify import plan as plan
from expandergraphs_torch.sparsify import sparsify as sparsify
from expandergraphs_torch.summary import summary as summary
