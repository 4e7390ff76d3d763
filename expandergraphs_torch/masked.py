"""What masked layers share: a mask beside the weight, true whatever is written there.

The parameter is still called ``weight``, and is zero off the mask; the bool buffer ``mask`` broadcasts to it. `forward`
selects by the mask, so the wiring holds whatever an optimizer, an initialiser or a checkpoint writes, and no gradient
reaches what is not there. A class adds no state but the buffer and a few words about it, so a plain layer *becomes* a
masked one by changing its class: hooks, parameters and references stay what they were (see `install`).

Initialisation: PyTorch's default law, U(-1/sqrt(n), 1/sqrt(n)) for weights and biases, n each unit's actual fan-in.
With the fan-in of the dense layer, signals die out: ten ReLU layers at density 0.1 leave 1e-5 of what they
should.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from expandergraphs import BipartiteGraph
from expandergraphs_torch.masks import Layout


@dataclass(frozen=True)
class Recipe:
    """How layers were wired together: enough to draw the same graphs again.

    Attributes
    ----------
    family, pattern, block
        As for `sparsify`.
    edges : dict
        Edges by layer name.
    entropy, spawn_key : int, tuple of int
        Of the ``numpy.random.SeedSequence`` that the layers' streams come from.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> layer = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)[0]
    >>> layer.recipe.family, layer.recipe.edges
    ('regular', {'0': 16})
    """

    family: str
    pattern: str
    block: int
    edges: dict[str, int]
    entropy: Any
    spawn_key: tuple[int, ...]


class Masked(nn.Module):
    """What all masked layers share, and a mixin for adapters of other classes (see `register`); no layer by itself.

    Attributes
    ----------
    mask : Tensor of bool
        Broadcasts to the weight.
    family : str
        Family of the graph; "given" where a graph or a checkpoint brought it.
    note : str
        What a reader of the summary should know, such as a degree that was clipped.
    recipe : Recipe or None
        How the graph was drawn; None where it was given.
    executes : str
        What a forward pass computes, for the summary.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> layer = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)[0]
    >>> isinstance(layer, Masked), layer.graph, int(layer.mask.sum())
    (True, BipartiteGraph(8 x 4, 16 edges, density 0.5), 16)
    """

    if TYPE_CHECKING:
        weight: Tensor
        bias: Any
        mask: Tensor
    family: str = "given"
    note: str = ""
    recipe: Recipe | None = None
    executes: str = "masked dense"
    _topology: Tensor | None = None  # the mask, where the buffer is on the meta device and has no values

    @property
    def layout(self) -> Layout:
        """How inputs and outputs lie in the weight."""
        return Layout.of(self)

    @property
    def topology(self) -> Tensor:
        """The mask with its values, also while the layer is on the meta device."""
        return self.mask if self._topology is None else self._topology

    @property
    def graph(self) -> BipartiteGraph:
        """The wiring, from inputs (left) to outputs (right)."""
        return self.layout.graph(self.topology)

    @torch.inference_mode(False)  # a mask made in inference mode could not be trained or loaded later
    def _set_mask(self, mask: Tensor) -> None:
        """Install a copy of a mask on the weight's device: no two layers, and no checkpoint, share one."""
        self.register_buffer("mask", mask.to(self.weight.device, copy=True))
        self._topology = mask if self.mask.is_meta else None

    def masked_weight(self) -> Tensor:
        """Return the weight, zero off the mask whatever is stored.

        Returns
        -------
        Tensor

        Examples
        --------
        >>> import expandergraphs_torch as egt
        >>> layer = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)[0]
        >>> int((layer.masked_weight() != 0).sum())
        16
        """
        return torch.where(self.mask, self.weight, 0.0)

    @torch.no_grad()
    def zero_off_mask(self, *others: Tensor) -> None:
        """Zero what the weight and other tensors of its shape store off the mask, for code that reads them itself.

        Parameters
        ----------
        *others : Tensor
            Of the weight's shape.

        Examples
        --------
        >>> import expandergraphs_torch as egt
        >>> layer = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)[0]
        >>> _ = nn.init.ones_(layer.weight)
        >>> layer.zero_off_mask()
        >>> int((layer.weight != 0).sum())
        16
        """
        for tensor in (self.weight, *others):
            zero_outside(tensor, self.mask)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights and biases anew, scaled by each unit's fan-in; units without inputs get zeros."""
        if "mask" not in self._buffers:  # called by the plain layer's constructor, before there is a mask
            return
        layout = self.layout
        inputs = layout.fan_in(self.mask)
        bound = torch.where(inputs > 0, inputs.clamp(min=1).rsqrt(), 0.0).to(self.weight.dtype)
        self.weight.uniform_(-1, 1).mul_(_beside(self.weight, layout.by_unit(bound)))
        self.zero_off_mask()
        if self.bias is not None:
            self.bias.uniform_(-1, 1).mul_(_beside(self.bias, bound))

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
        density = int(mask.count_nonzero()) / max(1, mask.numel())
        return f"{super().extra_repr()}, family={self.family!r}, density={density:.4g}"

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move or cast the layer; the mask stays bool, and keeps its values through the meta device."""
        topology = self.topology
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.mask.dtype != torch.bool:
            self.mask = torch.empty_like(self.mask, dtype=torch.bool)
        if self.mask is not topology and not self.mask.is_meta:
            self.mask.copy_(topology)  # `fn` may have made it of another type, or empty
        self._topology = topology.cpu() if self.mask.is_meta else None
        return self

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str], *lists: Any
    ) -> None:
        """Load weights and wiring; a dense checkpoint brings none, and other wiring is not of the family drawn here."""
        before, key = self.topology.clone(), f"{prefix}mask"
        given = state_dict.get(key)
        if isinstance(given, Tensor) and given.shape != self.mask.shape and self.layout.has_mask_shape(given.shape):
            self.mask = torch.zeros(given.shape, dtype=torch.bool, device=self.mask.device)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, *lists)
        if key in missing_keys:
            missing_keys.remove(key)
        if not self.mask.is_meta:
            self._topology, self.mask = None, self.mask.to(torch.bool)
        if not torch.equal(before.cpu(), self.topology.cpu()):
            self.family, self.note, self.recipe = "given", "", None
        self.zero_off_mask()


def weight_key(layer: nn.Module) -> int:
    """Identify the weight of a layer, which others may share; the layer itself where its weight is computed anew."""
    return id(layer._parameters.get("weight", layer))


def zero_outside(tensor: Any, mask: Any) -> None:
    """Zero a tensor off a mask, in place; of a sharded one, the part that this process holds."""
    if hasattr(tensor, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        if not hasattr(mask, "device_mesh"):  # every process has the whole mask
            mask = distribute_tensor(mask, tensor.device_mesh, tensor.placements, src_data_rank=None)
        tensor, mask = tensor.to_local(), mask.redistribute(placements=tensor.placements).to_local()
    tensor.masked_fill_(~mask, 0.0)


def _beside(tensor: Any, values: Any) -> Any:
    """Return values that every process has whole in a form that combines with the tensor, sharded or not."""
    if not hasattr(tensor, "device_mesh"):
        return values
    from torch.distributed.tensor import DTensor, Replicate

    return DTensor.from_local(values, tensor.device_mesh, [Replicate()] * tensor.device_mesh.ndim, run_check=False)
