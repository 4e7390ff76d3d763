"""Masked layers: subclasses of PyTorch's own, with the wiring of a bipartite graph.

The parameter is still called ``weight``, and is zero off the mask; the bool buffer ``mask`` broadcasts to it. `forward`
selects by the mask, so the wiring holds whatever an optimizer, an initialiser or a checkpoint writes, and no gradient
reaches what is not there. A class adds no state but the buffer and a few words about it, so a plain layer *becomes* a
masked one by changing its class: hooks, parameters and references stay what they were (see `install`).

Initialisation: PyTorch's default law, U(-1/sqrt(n), 1/sqrt(n)) for weights and biases, n each unit's actual fan-in.
With the fan-in of the dense layer, signals die out: ten ReLU layers at density 0.1 leave 1e-5 of what they
should.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from expandergraphs import BipartiteGraph
from expandergraphs.bipartite import check_graph
from expandergraphs_torch.masks import as_kernel, compact_conv_mask, graph_from_mask, linear_mask


class Masked(nn.Module):
    """What all masked layers share; not a layer by itself.

    Attributes
    ----------
    mask : Tensor of bool
        Broadcasts to the weight.
    family : str
        Family of the graph; "given" where a graph or a checkpoint brought it.
    note : str
        What a reader of the summary should know, such as a degree that was clipped.
    """

    if TYPE_CHECKING:
        weight: Tensor
        bias: Any
        mask: Tensor
    family: str = "given"
    note: str = ""
    _topology: Tensor | None = None  # the mask, where the buffer is on the meta device and has no values

    @property
    def topology(self) -> Tensor:
        """The mask with its values, also while the layer is on the meta device."""
        return self.mask if self._topology is None else self._topology

    @property
    def graph(self) -> BipartiteGraph:
        """The wiring, from inputs (left) to outputs (right)."""
        return graph_from_mask(self.topology)

    def _set_mask(self, mask: Tensor) -> None:
        """Install a mask on the weight's device."""
        self.register_buffer("mask", mask.to(self.weight.device))
        self._topology = mask if self.mask.is_meta else None

    def masked_weight(self) -> Tensor:
        """Return the weight, zero off the mask whatever is stored."""
        return torch.where(self.mask, self.weight, 0.0)

    @torch.no_grad()
    def zero_off_mask(self) -> None:
        """Zero what is stored off the mask, for code that reads the weight itself."""
        self.weight.masked_fill_(~self.mask, 0.0)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights and biases anew, scaled by each unit's fan-in; units without inputs get zeros."""
        if "mask" not in self._buffers:  # called by the plain layer's constructor, before there is a mask
            return
        inputs = fan_in(self.mask, self.weight)
        bound = torch.where(inputs > 0, inputs.clamp(min=1).rsqrt(), 0.0).to(self.weight.dtype)
        self.weight.uniform_(-1, 1).mul_(_by_unit(bound, self.weight))
        self.zero_off_mask()
        if self.bias is not None:
            self.bias.uniform_(-1, 1).mul_(bound)

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; on the way to evaluation, zero what an optimizer left off the mask.

        Some code reads stored weights instead of calling the layer, such as the fast path of
        ``nn.TransformerEncoderLayer``.
        """
        if not mode:
            self.zero_off_mask()
        return super().train(mode)

    def extra_repr(self) -> str:
        """Show the plain layer's arguments, the family and the density."""
        mask = self.topology
        density = mask.float().mean().item() if mask.numel() else 0.0
        return f"{super().extra_repr()}, family={self.family!r}, density={density:.4g}"

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move or cast the layer; the mask stays bool, and keeps its values through the meta device."""
        topology, had_values = self.topology, not self.mask.is_meta
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.mask.is_meta or not had_values or self.mask.dtype != torch.bool:
            device = self.mask.device
            self._topology = topology.cpu() if self.mask.is_meta else None
            self.mask = topology.to(device)
        return self

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Load weights and wiring; other wiring is no longer of the family that was drawn here."""
        before = self.topology.clone()
        super()._load_from_state_dict(state_dict, prefix, *args)
        if not self.mask.is_meta:
            self._topology, self.mask = None, self.mask.to(torch.bool)
        if not torch.equal(before.cpu(), self.topology.cpu()):
            self.family, self.note = "given", ""
        self.zero_off_mask()


class MaskedLinear(Masked, nn.Linear):
    """A linear layer wired by a bipartite graph.

    Parameters
    ----------
    g : BipartiteGraph
        From ``n_left`` input features to ``n_right`` output features.
    bias, device, dtype
        As for ``torch.nn.Linear``.

    Raises
    ------
    ValueError
        If `g` is not a BipartiteGraph.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> g = eg.random_regular(8, 4, 2, rng=0)
    >>> layer = MaskedLinear(g)
    >>> layer(torch.ones(1, 8)).shape, layer.graph == g
    (torch.Size([1, 4]), True)
    """

    def __init__(
        self, g: BipartiteGraph, bias: bool = True, device: Any = None, dtype: torch.dtype | None = None
    ) -> None:
        check_graph(g)
        super().__init__(g.n_left, g.n_right, bias=bias, device=device, dtype=dtype)
        self._set_mask(linear_mask(g))
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to a tensor of shape (..., n_left); the result has shape (..., n_right)."""
        return nn.functional.linear(input, self.masked_weight(), self.bias)


class _MaskedConv(Masked):
    """What the convolutions share. Subclasses name the plain layer and the number of its spatial dimensions."""

    in_channels: int
    out_channels: int
    _conv_forward: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    _n_dimensions: int

    def __init__(
        self,
        g: BipartiteGraph,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_graph(g)
        kernel = as_kernel(kernel_size, self._n_dimensions)
        super().__init__(
            g.n_left, g.n_right, kernel, stride, padding, dilation,
            bias=bias, padding_mode=padding_mode, device=device, dtype=dtype,
        )  # fmt: skip
        self._set_mask(compact_conv_mask(g, self._n_dimensions))
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """Convolve a tensor of shape (batch, n_left, ...); the result has n_right channels."""
        return self._conv_forward(input, self.masked_weight(), self.bias)


class MaskedConv1d(_MaskedConv, nn.Conv1d):
    """A 1-d convolution wired by a bipartite graph over channels; see `MaskedConv2d`."""

    _n_dimensions = 1


class MaskedConv2d(_MaskedConv, nn.Conv2d):
    """A 2-d convolution wired by a bipartite graph over channels: every edge carries a whole kernel.

    Parameters
    ----------
    g : BipartiteGraph
        From ``n_left`` input channels to ``n_right`` output channels.
    kernel_size, stride, padding, dilation, bias, padding_mode, device, dtype
        As for ``torch.nn.Conv2d``.

    Raises
    ------
    ValueError
        If `g` is not a BipartiteGraph.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> layer = MaskedConv2d(eg.random_left_regular(16, 32, 4, rng=0), 3, padding=1)
    >>> layer(torch.ones(1, 16, 8, 8)).shape, layer.mask.shape
    (torch.Size([1, 32, 8, 8]), torch.Size([32, 16, 1, 1]))
    """

    _n_dimensions = 2


class MaskedConv3d(_MaskedConv, nn.Conv3d):
    """A 3-d convolution wired by a bipartite graph over channels; see `MaskedConv2d`."""

    _n_dimensions = 3


MASKED_CLASSES: dict[type[nn.Module], type[Masked]] = {
    nn.Linear: MaskedLinear,
    nn.Conv1d: MaskedConv1d,
    nn.Conv2d: MaskedConv2d,
    nn.Conv3d: MaskedConv3d,
}
PLAIN_CLASSES: dict[type[Masked], type[nn.Module]] = {masked: plain for plain, masked in MASKED_CLASSES.items()}


@torch.inference_mode(False)  # a mask made in inference mode could not be trained or loaded later
def mask_for(module: Any, g: BipartiteGraph) -> Tensor:
    """Return the mask that `g` means for a plain layer."""
    return compact_conv_mask(g, module.weight.ndim - 2)


@torch.no_grad()
def install(module: nn.Module, mask: Tensor, family: str, note: str, *, rescale: bool) -> None:
    """Turn a plain layer into a masked one, in place, and zero its weight and gradient off the mask.

    With `rescale`, each unit's remaining weights are multiplied by sqrt(dense fan-in / actual fan-in), which keeps the
    variance of its output at initialisation.
    """
    module.__class__ = MASKED_CLASSES[type(module)]
    assert isinstance(module, Masked)
    module._set_mask(mask)
    module.family, module.note = family, note
    if rescale:
        inputs = fan_in(module.mask, module.weight).clamp(min=1)
        scale = (module.weight.shape[1:].numel() / inputs).sqrt().to(module.weight.dtype)
        module.weight.mul_(_by_unit(scale, module.weight))
    module.zero_off_mask()
    if module.weight.grad is not None:
        module.weight.grad.masked_fill_(~module.mask, 0.0)


def uninstall(module: Any) -> None:
    """Turn a masked layer back into a plain one, in place; its weight stays zero off the mask."""
    module.zero_off_mask()
    del module.mask
    for name in ("family", "note", "_topology"):
        vars(module).pop(name, None)
    module.__class__ = PLAIN_CLASSES[type(module)]


def fan_in(mask: Tensor, weight: Tensor) -> Tensor:
    """Return the number of weights that reach each unit, shape (out,)."""
    return mask.expand_as(weight).flatten(1).sum(dim=1)


def _by_unit(values: Tensor, weight: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (weight.ndim - 1))
