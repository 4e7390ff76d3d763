"""A linear layer that stores and computes only the weights on its mask."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from expandergraphs import BipartiteGraph
from expandergraphs_torch.layers import MaskedLinear
from expandergraphs_torch.masked import zero_outside
from expandergraphs_torch.skip import N2NSkipLinear, SkipBranch
from expandergraphs_torch.sparse.products import Pattern, spmm

_BUFFERS = tuple(f"_{name}" for name in Pattern._fields)


class SparseLinear(MaskedLinear):
    """A `MaskedLinear` that computes sparsely: a masked layer still, whose weight and mask are made when asked for.

    `SparseLinear.of` makes it of a masked layer, `to_masked` leads back. Its state_dict is the masked layer's, so
    checkpoints of either fit the other.

    Parameters
    ----------
    g, bias, device, dtype
        As for `MaskedLinear`.

    Attributes
    ----------
    values : Parameter
        The weights on the mask, row by row, shape (n_edges,).
    weight : Tensor
        All weights, zeros included, made of the values; shape (out_features, in_features).
    mask : Tensor of bool
        The same for the wiring.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> masked = MaskedLinear(eg.random_regular(8, 4, 2, rng=0))
    >>> x = torch.ones(1, 8)
    >>> before = masked(x)
    >>> layer = SparseLinear.of(masked)
    >>> layer.values.shape, torch.allclose(layer(x), before)
    (torch.Size([16]), True)
    """

    executes = "sparse"
    values: nn.Parameter
    _pointers: Tensor
    _columns: Tensor
    densely: bool = False  # see computing_densely
    _kept: Pattern | None = None  # the pattern, while the layer is on the meta device

    def __init__(
        self, g: BipartiteGraph, bias: bool = True, device: Any = None, dtype: torch.dtype | None = None
    ) -> None:
        vars(self).update(vars(SparseLinear.of(MaskedLinear(g, bias=bias, device=device, dtype=dtype))))

    @classmethod
    def of(cls, layer: MaskedLinear) -> "SparseLinear":
        """Turn a masked layer into a sparse one, in place; its weight is replaced by the values on its mask.

        Raises
        ------
        ValueError
            If it is not exactly a `MaskedLinear` or `N2NSkipLinear` with a weight of its own, or on the meta device.
        """
        sparse = SPARSE_CLASSES.get(type(layer))
        if sparse is None or "weight" not in layer._parameters:
            raise ValueError(f"a MaskedLinear with a weight of its own is needed, got {type(layer).__name__}")
        if layer.weight.is_meta:
            raise ValueError("the layer is on the meta device, and has no values yet")
        mask, weight = layer.mask, layer.weight
        values = nn.Parameter(weight.detach()[mask], requires_grad=weight.requires_grad)
        gradient = None if weight.grad is None else weight.grad[mask]
        del layer.weight, layer.mask
        layer.__class__ = sparse
        layer.register_parameter("values", values)
        layer.values.grad = gradient
        layer._set_mask(mask)
        return layer  # type: ignore[return-value]

    def to_masked(self) -> MaskedLinear:
        """Turn the layer back into a masked one, in place."""
        mask, weight = self.mask, nn.Parameter(self.weight.detach(), requires_grad=self.values.requires_grad)
        gradient = None if self.values.grad is None else self._dense(self.values.grad)
        for name in ("values", *_BUFFERS):
            delattr(self, name)
        vars(self).pop("executes", None)
        layer: Any = self
        layer.__class__ = next(masked for masked, sparse in SPARSE_CLASSES.items() if sparse is type(self))
        layer.weight = weight
        layer.weight.grad = gradient
        layer._set_mask(mask)
        return layer  # type: ignore[no-any-return]

    @property
    def pattern(self) -> Pattern:
        """Where the values are."""
        return Pattern(*(getattr(self, name) for name in _BUFFERS))

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """All weights, made of the values; gradients lead there."""
        return self._dense(self.values)

    @property
    def mask(self) -> Tensor:  # type: ignore[override]
        """The wiring as a mask, made anew."""
        return self._dense(torch.ones_like(self.values, dtype=torch.bool, requires_grad=False))

    def masked_weight(self) -> Tensor:
        """Return all weights, made of the values."""
        return self.weight

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to a tensor of shape (..., in_features)."""
        if self.densely:
            return nn.functional.linear(input, self.weight, self.bias)
        kind = input.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.values.dtype
        x = input.reshape(-1, self.in_features)
        values: Tensor = self.values
        if dtype != values.dtype:
            x, values = x.to(dtype), values.to(dtype)
        output = spmm(values, x.T.contiguous(), self.pattern).T
        output = output if self.bias is None else output + self.bias.to(dtype)
        return output.reshape(*input.shape[:-1], self.out_features)

    def zero_off_mask(self, *others: Tensor) -> None:
        """Zero other tensors of the weight's shape off the mask; the layer itself stores nothing there."""
        for tensor in others:
            zero_outside(tensor, self.mask)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw values and biases anew, scaled by each unit's fan-in; units without inputs get zeros."""
        inputs = self._pointers.diff()
        bound = torch.where(inputs > 0, inputs.clamp(min=1).rsqrt(), 0.0).to(self.values.dtype)
        self.values.uniform_(-1, 1).mul_(bound[self._rows_of()])
        if self.bias is not None:
            self.bias.uniform_(-1, 1).mul_(bound)

    def extra_repr(self) -> str:
        """Show the plain layer's arguments, the family and the density."""
        density = self.values.numel() / max(1, self.in_features * self.out_features)
        return f"{nn.Linear.extra_repr(self)}, family={self.family!r}, density={density:.4g}"

    def _rows_of(self) -> Tensor:
        counts = self._pointers.diff()
        every = torch.arange(self.out_features, device=counts.device)
        return torch.repeat_interleave(every, counts, output_size=self.values.numel())

    def _dense(self, values: Tensor) -> Tensor:
        empty = values.new_zeros(self.out_features, self.in_features)
        return empty.index_put((self._rows_of(), self._columns.long()), values)

    @torch.inference_mode(False)
    def _set_mask(self, mask: Tensor) -> None:
        for name, part in zip(_BUFFERS, Pattern.of(mask), strict=True):
            self.register_buffer(name, part, persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move or cast the layer; where its values are depends on neither."""
        before = self.pattern if self._kept is None else self._kept
        nn.Module._apply(self, fn, recurse)  # type: ignore[no-untyped-call]
        self._kept = Pattern(*(part.cpu() for part in before)) if self._pointers.is_meta else None
        for name, part in zip(_BUFFERS, before, strict=True):
            now = getattr(self, name)
            if now is not part and not now.is_meta:
                setattr(self, name, part.to(now.device))
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        del destination[f"{prefix}values"]
        destination[f"{prefix}weight"] = self.weight if keep_vars else self.weight.detach()
        destination[f"{prefix}mask"] = self.mask

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str], *lists: Any
    ) -> None:
        """Load weights and wiring as a masked layer does."""
        rest = {key: value for key, value in state_dict.items() if key not in (f"{prefix}weight", f"{prefix}mask")}
        weight, mask = state_dict.get(f"{prefix}weight"), state_dict.get(f"{prefix}mask", self.mask)
        shape, errors = (self.out_features, self.in_features), lists[-1]
        for name, tensor in (("weight", weight), ("mask", mask)):
            if tensor is not None and tuple(tensor.shape) != shape:
                errors.append(
                    f"size mismatch for {prefix}{name}: {tuple(tensor.shape)} in the checkpoint, {shape} here"
                )
        if weight is None:
            missing_keys.append(f"{prefix}weight")
        if weight is None or tuple(weight.shape) != shape or tuple(mask.shape) != shape:
            rest[f"{prefix}values"] = self.values.detach()
        else:
            mask = mask.to(device=self._pointers.device, dtype=torch.bool)
            if not torch.equal(mask, self.mask):
                self._set_mask(mask)
                self.values.data = self.values.detach().new_empty(int(mask.count_nonzero()))
                self.family, self.note, self.recipe = "given", "", None
            rest[f"{prefix}values"] = weight[mask.to(weight.device)]
        nn.Module._load_from_state_dict(self, rest, prefix, local_metadata, strict, missing_keys, *lists)


@contextmanager
def computing_densely(model: nn.Module) -> Iterator[None]:
    """Let sparse layers compute by PyTorch's own linear layer, for those who watch its calls."""
    layers = [module for module in model.modules() if isinstance(module, SparseLinear)]
    try:
        for layer in layers:
            layer.densely = True
        yield
    finally:
        for layer in layers:
            del layer.densely


class SparseN2NSkipLinear(SkipBranch, SparseLinear):
    """An `N2NSkipLinear` that computes sparsely; see `SparseLinear`."""


SPARSE_CLASSES: dict[type[nn.Module], type[SparseLinear]] = {
    MaskedLinear: SparseLinear,
    N2NSkipLinear: SparseN2NSkipLinear,
}
