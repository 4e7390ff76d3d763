"""Layers that store and compute only the weights on their masks."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from expandergraphs import BipartiteGraph
from expandergraphs_torch.layers import MaskedConv1d, MaskedConv2d, MaskedConv3d, MaskedLinear
from expandergraphs_torch.masked import Masked, zero_outside
from expandergraphs_torch.skip import N2NSkipConv1d, N2NSkipConv2d, N2NSkipConv3d, N2NSkipLinear, SkipBranch
from expandergraphs_torch.sparse import products
from expandergraphs_torch.sparse.pattern import Pattern, Window

_BUFFERS = tuple(f"_{name}" for name in Pattern._fields)


class Sparse(Masked):
    """What sparse layers share: they are masked layers still, whose weight and mask are made when asked for.

    A class method `of` makes one of a masked layer, in place, and `to_masked` leads back. Its state_dict is the masked
    layer's, so checkpoints of either fit the other.

    Attributes
    ----------
    values : Parameter
        The weights on the mask, shape (n_weights,): row by row, in the order of the weight.
    weight : Tensor
        All weights, zeros included, made of the values.
    mask : Tensor of bool
        The same for the wiring.
    how : str
        The execution that `to_sparse` measured as the fastest; "" for the one that is expected to be.
    """

    executes = "sparse"
    how: str = ""
    values: Any
    bias: Any
    groups: int = 1
    densely: bool = False  # see computing_densely
    _pointers: Tensor
    _columns: Tensor
    _mask_shape: torch.Size  # (n_out, n_in, 1, 1) where edges carry kernels
    _kept: Pattern | None = None  # the pattern, while the layer is on the meta device

    @classmethod
    @torch.inference_mode(False)
    def of(cls, layer: Any) -> "Sparse":
        """Turn a masked layer into a sparse one, in place; its weight is replaced by the values on its mask.

        Parameters
        ----------
        layer : Masked
            A linear layer or a convolution.

        Returns
        -------
        Sparse

        Raises
        ------
        ValueError
            If it is not exactly one of the masked layers with a sparse counterpart, with a weight of its own, or is on
            the meta device.

        Examples
        --------
        >>> import expandergraphs as eg
        >>> SparseLinear.of(MaskedLinear(eg.random_regular(8, 4, 2, rng=0))).values.shape
        torch.Size([16])
        """
        sparse = SPARSE_CLASSES.get(type(layer))
        if sparse is None or not issubclass(sparse, cls) or "weight" not in layer._parameters:
            kinds = " or ".join(masked.__name__ for masked, its in SPARSE_CLASSES.items() if issubclass(its, cls))
            raise ValueError(f"a {kinds} with a weight of its own is needed, got {type(layer).__name__}")
        if layer.weight.is_meta:
            raise ValueError("the layer is on the meta device, and has no values yet")
        mask, weight = layer.mask, layer.weight
        on = mask.expand_as(weight)
        values = nn.Parameter(weight.detach()[on], requires_grad=weight.requires_grad)
        gradient = None if weight.grad is None else weight.grad[on]
        del layer.weight, layer.mask
        layer.__class__ = sparse
        layer.register_parameter("values", values)
        layer.values.grad = gradient
        layer._set_mask(mask)
        return layer  # type: ignore[no-any-return]

    @torch.inference_mode(False)
    def to_masked(self) -> Masked:
        """Turn the layer back into a masked one, in place.

        Returns
        -------
        Masked

        Examples
        --------
        >>> import expandergraphs as eg
        >>> type(SparseLinear(eg.random_regular(8, 4, 2, rng=0)).to_masked()).__name__
        'MaskedLinear'
        """
        mask, weight = self.topology, nn.Parameter(self.weight.detach(), requires_grad=self.values.requires_grad)
        gradient = None if self.values.grad is None else self._dense(self.values.grad)
        for name in ("values", "_mask_shape", *_BUFFERS):
            delattr(self, name)
        for name in ("executes", "how", "_kept"):
            vars(self).pop(name, None)
        layer: Any = self
        layer.__class__ = next(masked for masked, sparse in SPARSE_CLASSES.items() if sparse is type(self))
        layer.weight = weight
        layer.weight.grad = gradient
        layer._set_mask(mask)
        return layer  # type: ignore[no-any-return]

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight."""
        raise NotImplementedError

    def window(self) -> Window:
        """Return what an output reads.

        Returns
        -------
        Window

        Examples
        --------
        >>> import expandergraphs as eg
        >>> SparseLinear(eg.random_regular(8, 4, 2, rng=0)).window()
        Window(kernel=(), stride=(), padding=(), dilation=())
        """
        return Window()

    @property
    def pattern(self) -> Pattern:
        """Where the values are."""
        buffers: Any = self._buffers
        return Pattern(*(buffers[name] for name in _BUFFERS))

    def masked_weight(self) -> Tensor:
        """Return all weights, made of the values; gradients lead there.

        Returns
        -------
        Tensor

        Examples
        --------
        >>> import expandergraphs as eg
        >>> SparseLinear(eg.random_regular(8, 4, 2, rng=0)).masked_weight().shape
        torch.Size([4, 8])
        """
        return self._dense(self.values)

    def _made_mask(self, pattern: Pattern | None = None) -> Tensor:
        """Make the mask of the pattern: True where there is a value."""
        columns = (pattern or self.pattern).columns
        mask = self._dense(torch.ones_like(columns, dtype=torch.bool), pattern)
        return mask if mask.shape == self._mask_shape else mask.flatten(2)[..., 0].reshape(self._mask_shape)

    @property
    def topology(self) -> Tensor:
        """The mask with its values, also while the layer is on the meta device."""
        return self._made_mask(self._kept)

    weight: Any = property(masked_weight)
    mask: Any = property(_made_mask)

    def zero_off_mask(self, *others: Tensor) -> None:
        """Zero other tensors of the weight's shape off the mask; the layer itself stores nothing there.

        Parameters
        ----------
        *others : Tensor
            Of the weight's shape.

        Examples
        --------
        >>> import expandergraphs as eg
        >>> layer, momentum = SparseLinear(eg.random_regular(8, 4, 2, rng=0)), torch.ones(4, 8)
        >>> layer.zero_off_mask(momentum)
        >>> float(momentum.sum())
        16.0
        """
        for tensor in others:
            zero_outside(tensor, self.mask)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw values and biases anew, scaled by each unit's fan-in; units without inputs get zeros."""
        inputs = self._pointers.diff()
        bound = torch.where(inputs > 0, inputs.clamp(min=1).rsqrt(), 0.0).to(self.values.dtype)
        self.values.uniform_(-1, 1).mul_(bound[self._rows_of(self.pattern)])
        if self.bias is not None:
            self.bias.uniform_(-1, 1).mul_(bound)

    def extra_repr(self) -> str:
        """Show the plain layer's arguments, the family and the density."""
        density = self.values.numel() / max(1, math.prod(self.weight_shape))
        return f"{super(Masked, self).extra_repr()}, family={self.family!r}, density={density:.4g}"

    def _product(self, x: Tensor, window: Window) -> Tensor:
        """Apply the layer to inputs (n_samples, n_channels, ...)."""
        values, bias, kind = self.values, self.bias, x.device.type
        if x.shape[1] != (n := self.weight_shape[1] * self.groups):
            raise ValueError(f"{type(self).__name__} needs inputs with {n} features, got {x.shape[1]}")
        if not values.is_floating_point():
            raise ValueError(f"{type(self).__name__} computes with real numbers, got weights of {values.dtype}")
        if kind != "meta" and torch.is_autocast_enabled(kind) and values.dtype != torch.float64:
            dtype = torch.get_autocast_dtype(kind)
            x, values, bias = x.to(dtype), values.to(dtype), None if bias is None else bias.to(dtype)
        elif x.dtype != values.dtype:
            raise ValueError(f"{type(self).__name__} has weights of {values.dtype}, got inputs of {x.dtype}")
        return products.product(x, values, bias, self.pattern, window, self.how)

    def _rows_of(self, pattern: Pattern) -> Tensor:
        counts = pattern.pointers.diff()
        every = torch.arange(counts.numel(), device=counts.device)
        return torch.repeat_interleave(every, counts, output_size=pattern.columns.numel())

    def _dense(self, values: Tensor, pattern: Pattern | None = None) -> Tensor:
        pattern, shape = pattern or self.pattern, self.weight_shape
        n_inner = math.prod(shape[1:])
        empty = values.new_zeros(shape[0], n_inner)
        return empty.index_put((self._rows_of(pattern), pattern.columns.long() % max(1, n_inner)), values).view(shape)

    @torch.inference_mode(False)
    def _set_mask(self, mask: Tensor) -> None:
        self._mask_shape = mask.shape
        parts = Pattern.of(mask.expand(self.weight_shape), self.groups)
        for name, part in zip(_BUFFERS, parts, strict=True):
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
        weight, mask = state_dict.get(f"{prefix}weight"), state_dict.get(f"{prefix}mask", self.topology)
        shape, errors = self.weight_shape, lists[-1]
        fits = weight is not None and tuple(weight.shape) == shape
        if weight is None:
            missing_keys.append(f"{prefix}weight")
        elif not fits:
            errors.append(_mismatch(f"{prefix}weight", weight, shape))
        if not self.layout.has_mask_shape(mask.shape):
            errors.append(_mismatch(f"{prefix}mask", mask, tuple(self._mask_shape)))
            fits = False
        if fits:
            assigned = local_metadata.get("assign_to_params_buffers", False)
            mask = mask.to(device=weight.device if assigned else self._pointers.device, dtype=torch.bool)
            if (assigned and self._kept is not None) or not torch.equal(mask.expand(shape), self.mask.expand(shape)):
                self._set_mask(mask)
                self._kept = None
                with torch.inference_mode(False):
                    self.values.data = self.values.detach().new_empty(self._columns.numel())
                self.values.grad = None
                self.family, self.note, self.recipe, self.how = "given", "", None, ""
            rest[f"{prefix}values"] = weight[mask.to(weight.device).expand(shape)]
        else:
            rest[f"{prefix}values"] = self.values.detach()
        nn.Module._load_from_state_dict(self, rest, prefix, local_metadata, strict, missing_keys, *lists)


def _transformed() -> bool:
    """Tell whether torch.func transforms what is computed, as grad and vmap do: they cannot look into the operators."""
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()


def _mismatch(key: str, tensor: Tensor, shape: tuple[int, ...]) -> str:
    return f"size mismatch for {key}: {tuple(tensor.shape)} in the checkpoint, {shape} here"


class SparseLinear(Sparse, MaskedLinear):
    """A `MaskedLinear` that computes sparsely.

    Parameters
    ----------
    g, bias, device, dtype
        As for `MaskedLinear`.

    Attributes
    ----------
    values : Parameter
        The weights on the mask, shape (n_edges,): row by row, in the order of the weight.
    weight, mask : Tensor
        As a `MaskedLinear` has them, made of the values when asked for.

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

    def __init__(
        self, g: BipartiteGraph, bias: bool = True, device: Any = None, dtype: torch.dtype | None = None
    ) -> None:
        vars(self).update(vars(Sparse.of(MaskedLinear(g, bias=bias, device=device, dtype=dtype))))

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight."""
        return self.out_features, self.in_features

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to a tensor of shape (..., in_features)."""
        if self.densely or _transformed() or self.in_features == 0:  # which a reshaping to rows could not tell
            return super().forward(input)
        output = self._product(input.reshape(-1, input.shape[-1]), self.window())
        return output.view(*input.shape[:-1], self.out_features)


class _SparseConv(Sparse):
    _n_dimensions: int
    _masked: Any
    in_channels: int
    out_channels: int
    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any
    padding_mode: Any
    _reversed_padding_repeated_twice: list[int]

    def __init__(self, *args: Any, **options: Any) -> None:
        vars(self).update(vars(Sparse.of(self._masked(*args, **options))))

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight."""
        return self.out_channels, self.in_channels // self.groups, *self.kernel_size

    def window(self) -> Window:
        """Return what an output reads; no padding where it is not of zeros.

        Returns
        -------
        Window

        Examples
        --------
        >>> import expandergraphs as eg
        >>> SparseConv2d(eg.random_regular(8, 4, 2, rng=0), 3, padding=1).window().padding
        (1, 1)
        """
        padding = (0,) * self._n_dimensions if self._pads_first() else self.padding
        return Window(self.kernel_size, self.stride, padding, self.dilation)

    def _pads_first(self) -> bool:
        return self.padding_mode != "zeros" or isinstance(self.padding, str)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve a tensor of shape (batch, in_channels, ...), or one without the batch."""
        if self.densely or _transformed():
            return super().forward(input)  # type: ignore[no-any-return]
        if input.ndim == self._n_dimensions + 1:
            return _SparseConv.forward(self, input.unsqueeze(0)).squeeze(0)
        if input.ndim != self._n_dimensions + 2:
            raise ValueError(
                f"{type(self).__name__} needs inputs of {self._n_dimensions + 2} dimensions, got {tuple(input.shape)}"
            )
        if self._pads_first():
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            input = nn.functional.pad(input, self._reversed_padding_repeated_twice, mode=mode)
        window = self.window()
        if min(window.output(input.shape[2:])) < 1:
            raise ValueError(f"a kernel {self.kernel_size} does not fit into inputs {tuple(input.shape)}")
        return self._product(input, window)


class SparseConv1d(_SparseConv, MaskedConv1d):
    """A `MaskedConv1d` that computes sparsely; see `SparseConv2d`.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> SparseConv1d(eg.random_regular(4, 8, 2, rng=0), 3)(torch.ones(1, 4, 9)).shape
    torch.Size([1, 8, 7])
    """

    _masked = MaskedConv1d


class SparseConv2d(_SparseConv, MaskedConv2d):
    """A `MaskedConv2d` that computes sparsely, with any kernel, stride, padding, dilation and groups.

    Parameters
    ----------
    *args, **options
        As for `MaskedConv2d`.

    Attributes
    ----------
    values : Parameter
        The weights on the mask, shape (n_weights,): row by row, in the order of the weight; an edge between channels
        has those of its kernel.
    weight, mask : Tensor
        As a `MaskedConv2d` has them, made of the values when asked for.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> masked = MaskedConv2d(eg.random_regular(8, 16, 4, rng=0), 3, padding=1)
    >>> x = torch.ones(1, 8, 5, 5)
    >>> before = masked(x)
    >>> layer = SparseConv2d.of(masked)
    >>> layer.values.shape, torch.allclose(layer(x), before, atol=1e-6)
    (torch.Size([576]), True)
    """

    _masked = MaskedConv2d


class SparseConv3d(_SparseConv, MaskedConv3d):
    """A `MaskedConv3d` that computes sparsely; see `SparseConv2d`.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> SparseConv3d(eg.random_regular(4, 8, 2, rng=0), 3)(torch.ones(1, 4, 5, 5, 5)).shape
    torch.Size([1, 8, 3, 3, 3])
    """

    _masked = MaskedConv3d


@contextmanager
def computing_densely(model: nn.Module) -> Iterator[None]:
    """Let sparse layers compute by PyTorch's own layers, for those who watch its calls."""
    layers = [module for module in model.modules() if isinstance(module, Sparse) and not module.densely]
    try:
        for layer in layers:
            layer.densely = True
        yield
    finally:
        for layer in layers:
            del layer.densely


class SparseN2NSkipLinear(SkipBranch, SparseLinear):
    """An `N2NSkipLinear` that computes sparsely; see `SparseLinear`."""


class SparseN2NSkipConv1d(SkipBranch, SparseConv1d):
    """An `N2NSkipConv1d` that computes sparsely; see `SparseConv2d`."""


class SparseN2NSkipConv2d(SkipBranch, SparseConv2d):
    """An `N2NSkipConv2d` that computes sparsely; see `SparseConv2d`."""


class SparseN2NSkipConv3d(SkipBranch, SparseConv3d):
    """An `N2NSkipConv3d` that computes sparsely; see `SparseConv2d`."""


SPARSE_CLASSES: dict[type[nn.Module], type[Sparse]] = {
    MaskedLinear: SparseLinear,
    MaskedConv1d: SparseConv1d,
    MaskedConv2d: SparseConv2d,
    MaskedConv3d: SparseConv3d,
    N2NSkipLinear: SparseN2NSkipLinear,
    N2NSkipConv1d: SparseN2NSkipConv1d,
    N2NSkipConv2d: SparseN2NSkipConv2d,
    N2NSkipConv3d: SparseN2NSkipConv3d,
}
