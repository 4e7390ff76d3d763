"""Masked layers: subclasses of PyTorch's own, with the wiring of a bipartite graph; and which class masks which."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from expandergraphs import BipartiteGraph
from expandergraphs.bipartite import check_graph
from expandergraphs.budget import PATTERNS
from expandergraphs_torch.masked import Masked, Recipe
from expandergraphs_torch.masks import as_kernel, linear_mask


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


class _Convolution(Masked):
    """What convolutions share, transposed or not: how they are built from a graph."""

    _n_dimensions: int

    def _build(self, g: BipartiteGraph, kernel_size: Any, pattern: str, options: dict[str, Any]) -> None:
        check_graph(g)
        if pattern not in PATTERNS:
            raise ValueError(f"pattern must be one of {', '.join(map(repr, PATTERNS))}, got {pattern!r}")
        if g.n_left == 0 or g.n_right == 0:
            raise ValueError(f"a convolution has at least one channel on either side, got {g!r}")
        kernel = as_kernel(kernel_size, self._n_dimensions)
        n_inputs, rest = divmod(g.n_left, math.prod(kernel) if pattern == "weight" else 1)
        if rest:
            raise ValueError(f"a pattern of single weights has n_left = channels * {math.prod(kernel)}, got {g!r}")
        super().__init__(n_inputs, g.n_right, kernel, **options)
        self._set_mask(self.layout.mask(g))
        self.reset_parameters()


class _MaskedConv(_Convolution):
    _conv_forward: Callable[[Tensor, Tensor, Tensor | None], Tensor]

    def __init__(
        self,
        g: BipartiteGraph,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        pattern: str = "channel",
    ) -> None:
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": bias}
        self._build(g, kernel_size, pattern, options | {"padding_mode": padding_mode, "device": device, "dtype": dtype})

    def forward(self, input: Tensor) -> Tensor:
        """Convolve a tensor of shape (batch, n_left, ...); the result has n_right channels."""
        return self._conv_forward(input, self.masked_weight(), self.bias)


class MaskedConv1d(_MaskedConv, nn.Conv1d):
    """A 1-d convolution wired by a bipartite graph over channels; see `MaskedConv2d`.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> MaskedConv1d(eg.random_regular(4, 8, 2, rng=0), 3)(torch.ones(1, 4, 9)).shape
    torch.Size([1, 8, 7])
    """

    _n_dimensions = 1


class MaskedConv2d(_MaskedConv, nn.Conv2d):
    """A 2-d convolution wired by a bipartite graph.

    Parameters
    ----------
    g : BipartiteGraph
        From input channels to output channels: every edge carries a whole kernel. In a grouped convolution, edges lie
        inside the groups.
    kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As for ``torch.nn.Conv2d``.
    pattern : {"channel", "weight"}
        With "weight", an edge is a single weight: entry j of the kernels of input channel i is the left vertex
        ``i * prod(kernel_size) + j``.

    Raises
    ------
    ValueError
        If `g` is not a BipartiteGraph, does not have these sizes, or has an edge between groups.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> layer = MaskedConv2d(eg.random_left_regular(16, 32, 4, rng=0), 3, padding=1)
    >>> layer(torch.ones(1, 16, 8, 8)).shape, layer.mask.shape
    (torch.Size([1, 32, 8, 8]), torch.Size([32, 16, 1, 1]))
    >>> MaskedConv2d(eg.random_left_regular(16 * 9, 32, 4, rng=0), 3, pattern="weight").mask.shape
    torch.Size([32, 16, 3, 3])
    """

    _n_dimensions = 2


class MaskedConv3d(_MaskedConv, nn.Conv3d):
    """A 3-d convolution wired by a bipartite graph over channels; see `MaskedConv2d`.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> MaskedConv3d(eg.random_regular(4, 8, 2, rng=0), 3)(torch.ones(1, 4, 5, 5, 5)).shape
    torch.Size([1, 8, 3, 3, 3])
    """

    _n_dimensions = 3


class _MaskedConvTranspose(_Convolution):
    stride: Any
    padding: Any
    kernel_size: Any
    dilation: Any
    groups: int
    _output_padding: Callable[..., list[int]]
    _convolve: Callable[..., Tensor]

    def __init__(
        self,
        g: BipartiteGraph,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        pattern: str = "channel",
    ) -> None:
        options = {"stride": stride, "padding": padding, "output_padding": output_padding, "groups": groups}
        self._build(
            g, kernel_size, pattern, options | {"bias": bias, "dilation": dilation, "device": device, "dtype": dtype}
        )

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Apply the layer to a tensor of shape (batch, n_left, ...); the result has n_right channels."""
        padding = self._output_padding(
            input, output_size, self.stride, self.padding, self.kernel_size, self._n_dimensions, self.dilation
        )
        options = (self.stride, self.padding, padding, self.groups, self.dilation)
        return self._convolve(input, self.masked_weight(), self.bias, *options)


class MaskedConvTranspose1d(_MaskedConvTranspose, nn.ConvTranspose1d):
    """A 1-d transposed convolution wired by a bipartite graph over channels; see `MaskedConvTranspose2d`.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> MaskedConvTranspose1d(eg.random_regular(4, 8, 2, rng=0), 3)(torch.ones(1, 4, 9)).shape
    torch.Size([1, 8, 11])
    """

    _n_dimensions = 1
    _convolve = staticmethod(nn.functional.conv_transpose1d)


class MaskedConvTranspose2d(_MaskedConvTranspose, nn.ConvTranspose2d):
    """A 2-d transposed convolution wired by a bipartite graph.

    Parameters
    ----------
    g : BipartiteGraph
        From input channels to output channels, as for `MaskedConv2d`.
    kernel_size, stride, padding, output_padding, groups, bias, dilation, device, dtype
        As for ``torch.nn.ConvTranspose2d``.
    pattern : {"channel", "weight"}
        As for `MaskedConv2d`.

    Raises
    ------
    ValueError
        If `g` is not a BipartiteGraph, does not have these sizes, or has an edge between groups.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> layer = MaskedConvTranspose2d(eg.random_left_regular(16, 32, 4, rng=0), 2, stride=2)
    >>> layer(torch.ones(1, 16, 8, 8)).shape, layer.mask.shape
    (torch.Size([1, 32, 16, 16]), torch.Size([16, 32, 1, 1]))

    >>> import expandergraphs as eg
    >>> MaskedConvTranspose2d(eg.random_regular(4, 8, 2, rng=0), 2, stride=2)(torch.ones(1, 4, 5, 5)).shape
    torch.Size([1, 8, 10, 10])
    """

    _n_dimensions = 2
    _convolve = staticmethod(nn.functional.conv_transpose2d)


class MaskedConvTranspose3d(_MaskedConvTranspose, nn.ConvTranspose3d):
    """A 3-d transposed convolution wired by a bipartite graph over channels; see `MaskedConvTranspose2d`.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> MaskedConvTranspose3d(eg.random_regular(4, 8, 2, rng=0), 3)(torch.ones(1, 4, 5, 5, 5)).shape
    torch.Size([1, 8, 7, 7, 7])
    """

    _n_dimensions = 3
    _convolve = staticmethod(nn.functional.conv_transpose3d)


MASKED_CLASSES: dict[type[nn.Module], type[Masked]] = {
    nn.Linear: MaskedLinear,
    nn.Conv1d: MaskedConv1d,
    nn.Conv2d: MaskedConv2d,
    nn.Conv3d: MaskedConv3d,
    nn.ConvTranspose1d: MaskedConvTranspose1d,
    nn.ConvTranspose2d: MaskedConvTranspose2d,
    nn.ConvTranspose3d: MaskedConvTranspose3d,
}


def register(plain: type[nn.Module], masked: type[Masked]) -> None:
    """Say which class masks the layers of another class, for classes with a forward of their own.

    Only exact types are swapped, so a subclass of ``nn.Linear`` or ``nn.Conv2d`` stays dense unless it is registered:
    its forward might read the weight in ways that a mask does not survive.

    Parameters
    ----------
    plain : type
        Its parameter ``weight`` is (out, in / groups, ...), ``groups`` an attribute where it is not 1.
    masked : type
        A subclass of `Masked` and then of `plain`, without state of its own. Its ``forward`` computes what that of
        `plain` does, with ``self.masked_weight()`` where the weight is used. A zero weight must mean no edge: where the
        forward standardises weights first, override ``masked_weight`` to do so on the edges only. ``transposed = True``
        in the class says that the weight is (in, out / groups, ...).

    Raises
    ------
    ValueError
        If they are no such classes.

    Examples
    --------
    >>> class Scaled(nn.Linear):
    ...     def forward(self, x):
    ...         return nn.functional.linear(x, self.weight / 2, self.bias)
    >>> class MaskedScaled(Masked, Scaled):
    ...     def forward(self, x):
    ...         return nn.functional.linear(x, self.masked_weight() / 2, self.bias)
    >>> register(Scaled, MaskedScaled)
    """
    if not isinstance(plain, type) or not issubclass(plain, nn.Module) or issubclass(plain, Masked):
        raise ValueError(f"a subclass of torch.nn.Module that is not masked is needed, got {plain!r}")
    if not isinstance(masked, type) or not (issubclass(masked, Masked) and issubclass(masked, plain)):
        raise ValueError(f"a subclass of Masked and {plain.__name__} is needed, got {masked!r}")
    if masked.__mro__.index(Masked) > masked.__mro__.index(plain):
        raise ValueError(f"Masked must come before {plain.__name__} among the bases of {masked.__name__}")
    if masked.forward is plain.forward:
        raise ValueError(f"{masked.__name__} needs a forward of its own, which uses self.masked_weight()")
    MASKED_CLASSES[plain] = masked


def plain_class(masked: type) -> type[nn.Module] | None:
    """Return the class that layers of a masked class have when they are baked; None if it is none of these."""
    return next((plain for plain, its in MASKED_CLASSES.items() if its is masked), None)


@torch.no_grad()
def install(
    module: Any, mask: Tensor, family: str, note: str = "", recipe: Recipe | None = None, *, rescale: bool = False
) -> None:
    """Turn a plain layer into a masked one, in place, or give a masked one another mask; zero its weight off it.

    With `rescale`, each unit's remaining weights are multiplied by sqrt(dense fan-in / actual fan-in), which keeps the
    variance of its output at initialisation.
    """
    if not isinstance(module, Masked):
        module.__class__ = MASKED_CLASSES[type(module)]
    module._set_mask(mask)
    module.family, module.note, module.recipe = family, note, recipe
    if rescale:
        layout = module.layout
        inputs = layout.fan_in(module.mask).clamp(min=1)
        scale = (module.weight.numel() / layout.shape.n_right / inputs).sqrt().to(module.weight.dtype)
        module.weight.mul_(layout.by_unit(scale))
    module.zero_off_mask(*([] if module.weight.grad is None else [module.weight.grad]))


def uninstall(module: Any) -> None:
    """Turn a masked layer back into a plain one, in place, with the weight that it computed with."""
    with torch.no_grad():
        module.weight.copy_(module.masked_weight())
    del module.mask
    for name in ("family", "note", "recipe", "executes", "_topology"):
        vars(module).pop(name, None)
    module.__class__ = plain_class(type(module))
