"""Branches beside the layers of a model: N2NSkip's sparse weighted skips, and identities to compare them with.

N2NSkip (Subramaniam, Sharma, BMVC 2020) lets layer l + k read the activation of layer l as well:

.. math:: a^{l+k} = g(z^{l+k} + g(W a^l))

with z the layer's value before its non-linearity g, and W sparse, a linear map or a convolution with the layer's
kernel. The modules here are the inner ``g(W a)``; a network written by hand adds them itself, ``relu(z + skip(a))``,
and `add_n2nskip` puts them into one that exists. Without edges, or with weights of zero, they add nothing.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from expandergraphs import BipartiteGraph
from expandergraphs_torch.layers import MASKED_CLASSES, MaskedConv1d, MaskedConv2d, MaskedConv3d, MaskedLinear

Activation = str | Callable[[], nn.Module] | None
Norm = str | Callable[[int], nn.Module] | None

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "selu": nn.SELU, "gelu": nn.GELU,
    "silu": nn.SiLU, "mish": nn.Mish, "hardswish": nn.Hardswish, "tanh": nn.Tanh,
}  # fmt: skip


class SkipBranch(nn.Module):
    """A layer without bias, then a normalisation and a non-linearity; a mixin before the layer's class."""

    _batch_norm: type[nn.Module]

    def _finish(self, n_right: int, norm: Norm, activation: Activation, device: Any, dtype: Any) -> None:
        self.norm = as_norm(norm, self._batch_norm)(n_right).to(device=device, dtype=dtype)
        self.activation = as_activation(activation)()

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer, the normalisation and the non-linearity."""
        return self.activation(self.norm(super().forward(input)))  # type: ignore[no-any-return]


class N2NSkipLinear(SkipBranch, MaskedLinear):
    """The branch of an N2NSkip connection between linear layers, ``g(norm(W a))``.

    Parameters
    ----------
    g : BipartiteGraph
        From the units of layer l (left) to those of layer l + k.
    norm : None, "batch" or callable(n_right) -> Module
        Normalisation of its own, such as ``nn.BatchNorm1d``.
    activation : name, callable() -> Module, or None
        The inner non-linearity: "relu", "leaky_relu", "elu", "gelu", "silu", "tanh" and others, or such as
        ``nn.ReLU``; none for None.
    device, dtype
        As for ``torch.nn.Linear``.

    Raises
    ------
    ValueError
        If `g` is not a BipartiteGraph, or an argument is none of these.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> skip = N2NSkipLinear(eg.random_bipartite(784, 100, n_edges=500, rng=0))
    >>> z, a = torch.randn(2, 100), torch.randn(2, 784)
    >>> torch.relu(z + skip(a)).shape
    torch.Size([2, 100])
    """

    _batch_norm = nn.BatchNorm1d

    def __init__(
        self,
        g: BipartiteGraph,
        *,
        norm: Norm = None,
        activation: Activation = "relu",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        MaskedLinear.__init__(self, g, bias=False, device=device, dtype=dtype)
        self._finish(g.n_right, norm, activation, device, dtype)


class _ConvBranch(SkipBranch):
    _masked: Any

    def __init__(
        self,
        g: BipartiteGraph,
        kernel_size: Any,
        *,
        stride: Any = 1,
        padding: Any = 0,
        norm: Norm = None,
        activation: Activation = "relu",
        device: Any = None,
        dtype: torch.dtype | None = None,
        pattern: str = "channel",
    ) -> None:
        options = {"bias": False, "device": device, "dtype": dtype, "pattern": pattern}
        self._masked.__init__(self, g, kernel_size, stride, padding, **options)
        self._finish(g.n_right, norm, activation, device, dtype)


class N2NSkipConv1d(_ConvBranch, MaskedConv1d):
    """The branch of an N2NSkip connection between 1-d convolutions; see `N2NSkipConv2d`.

    Examples
    --------
    >>> import torch
    >>> import expandergraphs as eg
    >>> N2NSkipConv1d(eg.random_regular(4, 8, 2, rng=0), 3, padding=1)(torch.ones(1, 4, 9)).shape
    torch.Size([1, 8, 9])
    """

    _masked, _batch_norm = MaskedConv1d, nn.BatchNorm1d


class N2NSkipConv2d(_ConvBranch, MaskedConv2d):
    """The branch of an N2NSkip connection between convolutions, ``g(norm(conv(a)))``.

    Parameters
    ----------
    g : BipartiteGraph
        From the channels of layer l (left) to those of layer l + k; every edge carries a kernel.
    kernel_size, stride, padding, device, dtype
        As for ``torch.nn.Conv2d``; the kernel of layer l + k, and all strides between the two layers together.
    norm, activation
        As for `N2NSkipLinear`; "batch" is ``nn.BatchNorm2d``.
    pattern : {"channel", "weight"}
        As for `MaskedConv2d`.

    Raises
    ------
    ValueError
        If `g` is not a BipartiteGraph, does not have these sizes, or an argument is none of these.

    Examples
    --------
    >>> import expandergraphs as eg
    >>> skip = N2NSkipConv2d(eg.random_bipartite(16, 64, n_edges=100, rng=0), 3, stride=2, padding=1, norm="batch")
    >>> skip(torch.randn(2, 16, 8, 8)).shape
    torch.Size([2, 64, 4, 4])
    """

    _masked, _batch_norm = MaskedConv2d, nn.BatchNorm2d


class N2NSkipConv3d(_ConvBranch, MaskedConv3d):
    """The branch of an N2NSkip connection between 3-d convolutions; see `N2NSkipConv2d`.

    Examples
    --------
    >>> import torch
    >>> import expandergraphs as eg
    >>> N2NSkipConv3d(eg.random_regular(4, 8, 2, rng=0), 3, padding=1)(torch.ones(1, 4, 5, 5, 5)).shape
    torch.Size([1, 8, 5, 5, 5])
    """

    _masked, _batch_norm = MaskedConv3d, nn.BatchNorm3d


class DenseN2NSkipLinear(SkipBranch, nn.Linear):
    """What an `N2NSkipLinear` is after `bake`."""


class DenseN2NSkipConv1d(SkipBranch, nn.Conv1d):
    """What an `N2NSkipConv1d` is after `bake`."""


class DenseN2NSkipConv2d(SkipBranch, nn.Conv2d):
    """What an `N2NSkipConv2d` is after `bake`."""


class DenseN2NSkipConv3d(SkipBranch, nn.Conv3d):
    """What an `N2NSkipConv3d` is after `bake`."""


MASKED_CLASSES |= {
    DenseN2NSkipLinear: N2NSkipLinear,
    DenseN2NSkipConv1d: N2NSkipConv1d,
    DenseN2NSkipConv2d: N2NSkipConv2d,
    DenseN2NSkipConv3d: N2NSkipConv3d,
}


class ResSkip(nn.Module):
    """The identity as a branch, without parameters: every `stride`-th position, channels cut off or padded with zeros.

    Parameters
    ----------
    n_right : int
        Channels to return.
    stride : tuple of int
        One for each spatial dimension; empty for features alone, which are the last dimension then.

    Examples
    --------
    >>> ResSkip(3)(torch.ones(1, 2))
    tensor([[1., 1., 0.]])
    >>> ResSkip(6, (2, 2))(torch.ones(1, 4, 8, 8)).shape
    torch.Size([1, 6, 4, 4])
    """

    def __init__(self, n_right: int, stride: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.n_right, self.stride = n_right, stride

    def forward(self, input: Tensor) -> Tensor:
        """Select positions, and make as many channels as there should be."""
        places: Any = (..., *(slice(None, None, step) for step in self.stride))
        input = input[places]
        missing = self.n_right - input.shape[-1 - len(self.stride)]
        return nn.functional.pad(input, (*[0] * 2 * len(self.stride), 0, missing))  # a negative number cuts off

    def extra_repr(self) -> str:
        """Show the arguments."""
        return f"{self.n_right}, stride={self.stride}"


def add_branch(z: Tensor, branch: Tensor) -> Tensor:
    """Add a branch to what a layer computed; where convolutions without padding lost a border, the branch loses it too.

    Raises
    ------
    ValueError
        If the branch is smaller.
    """
    for d in range(2, z.ndim):
        if branch.shape[d] != z.shape[d]:
            excess = branch.shape[d] - z.shape[d]
            if excess < 0:
                raise ValueError(
                    f"a branch {tuple(branch.shape)} is smaller than what it is added to, {tuple(z.shape)}"
                )
            branch = branch.narrow(d, excess // 2, z.shape[d])
    return z + branch


def as_activation(activation: Any) -> Callable[[], nn.Module]:
    """Return what makes the non-linearity."""
    if activation is None:
        return nn.Identity
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    if isinstance(activation, str | nn.Module) or not callable(activation):
        names = ", ".join(map(repr, ACTIVATIONS))
        raise ValueError(f"activation must be one of {names}, None, or a function that makes one, got {activation!r}")
    return activation  # type: ignore[no-any-return]


def as_norm(norm: Any, batch_norm: type[nn.Module]) -> Callable[[int], nn.Module]:
    """Return what makes the normalisation of so many channels."""
    if norm is None:
        return nn.Identity
    if norm == "batch":
        return batch_norm
    if isinstance(norm, str | nn.Module) or not callable(norm):
        raise ValueError(f"norm must be None, 'batch', or a function of the number of channels, got {norm!r}")
    return norm  # type: ignore[no-any-return]
