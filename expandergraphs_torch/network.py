"""A model read as a graph: its channels are the nodes, its kernels the weighted edges.

The model computes once on an example, in evaluation mode, and every call of PyTorch is watched on its way. Beside each
activation goes a tensor that says which node each of its entries belongs to. What moves entries (reshaping, slices,
shuffles) is done to that tensor too; what works on each entry, or pools positions, leaves it; a linear layer or a
convolution makes nodes, one for each output, and edges from the nodes it reads. What cannot be followed is refused by
name: products of activations, as in attention, sums over channels, layers across positions.

* Where activations are added or multiplied, they end in one set of nodes. Branches that nothing else reads become one;
  what is read by itself too, as the input of a residual block, or the channels that a gate scales, is joined by edges
  of weight 1, channel by channel.
* Normalisation and softmax count as work on each entry, though their statistics may be of several channels.
* Parallel edges unite, and their weights add.
* Edges are those of the mask, where there is one, whatever their weights are; otherwise all.
"""

from typing import Any

from torch import Tensor, nn

from expandergraphs import LayeredGraph
from expandergraphs_torch.network_edges import REDUCTIONS
from expandergraphs_torch.network_reader import Reader, words
from expandergraphs_torch.select import check_model
from expandergraphs_torch.sparse.layers import computing_densely


def network_graph(model: nn.Module, example_input: Any, *, edge: str = "l1") -> LayeredGraph:
    """Read a model as a network of its channels.

    Parameters
    ----------
    model : Module
        Of linear layers and convolutions of any kind, activations, normalisation, pooling, reshaping, sums, products
        with gates, and concatenations.
    example_input : Tensor, or tuple of Tensor
        What the model is called with, shape (batch, channels, ...). A batch of one is enough.
    edge : {"l1", "l2", "max", "binary", "top_left"}
        How an edge weighs: the sum of the magnitudes of its kernel, the root of the sum of their squares, the largest,
        nothing, or the magnitude of the first entry alone, as in the released code of N2NSkip. Edges of channels that
        a Linear reads position by position are reduced alike.

    Returns
    -------
    LayeredGraph
        Layer 0 are the input channels, "input"; the others have the names of the layers that make them, in the order in
        which they are called. Unweighted for "binary".

    Raises
    ------
    ValueError
        If a call cannot be followed; the message names the module and the function.

    Examples
    --------
    >>> import torch
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 5))
    >>> net = network_graph(model, torch.ones(1, 3, 4, 4))
    >>> net.widths, net.names
    ((3, 8, 5), ('input', '0', '3'))
    """
    check_model(model)
    if edge not in REDUCTIONS:
        raise ValueError(f"edge must be one of {', '.join(map(repr, REDUCTIONS))}, got {edge!r}")
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    for tensor in inputs:
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or tensor.ndim < 2:
            raise ValueError(f"example_input must be floats of shape (batch, channels, ...), got {words(tensor)}")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise ValueError(f"{name!r} is not initialised; run the model once")
    apart: set[int] = set()
    with computing_densely(model):
        while True:
            reader = Reader(edge, frozenset(apart))
            reader.read(model, inputs)
            if reader.spent <= apart:
                return reader.network()
            apart |= reader.spent  # a summand was read again: once more, with nodes of its own for the sum
