"""Skips put into a model that exists: N2NSkip's sparse weighted ones at an equal budget, and plain identities.

The model is traced, and stays what it is, an object of its class with its modules; only its `forward` is now the traced
one, with branches added (see `Skipping`). Layers are counted as in the papers: 0 is the input, l a layer of a chain, or
a block.
"""

import copy
import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from expandergraphs._checks import as_integer
from expandergraphs.budget import LayerShape, spread, spread_skips
from expandergraphs.errors import GenerationError
from expandergraphs.generators.family import Family, draw_layer
from expandergraphs.rng import RNG, as_sequence, streams
from expandergraphs_torch.branches import Branch, Link, Skipping, attach, branches
from expandergraphs_torch.criteria import Loss
from expandergraphs_torch.masked import Recipe
from expandergraphs_torch.plan import Budget, plan, untie
from expandergraphs_torch.prune import Criterion, choose
from expandergraphs_torch.select import Selectors, candidates, check_model, select
from expandergraphs_torch.skip import (
    Activation,
    N2NSkipConv1d,
    N2NSkipConv2d,
    N2NSkipConv3d,
    N2NSkipLinear,
    Norm,
    ResSkip,
)  # fmt: skip
from expandergraphs_torch.sparsify import sparsify
from expandergraphs_torch.tracing import Trace, trace

_CONVOLUTIONS: tuple[Any, ...] = (N2NSkipConv1d, N2NSkipConv2d, N2NSkipConv3d)
DOWNSAMPLE = ("stride", "max_pool")


def add_n2nskip(
    model: nn.Module,
    *,
    density: float,
    k: int = 2,
    family: str | Family = "random",
    criterion: Criterion | None = None,
    share: float = 0.5,
    example_input: Any = None,
    data: Iterable[Any] | None = None,
    loss_fn: Loss | None = None,
    budget: Budget = "uniform",
    pattern: str | None = None,
    norm: Norm = "same",
    activation: Activation = "relu",
    downsample: str = "stride",
    include: Selectors = None,
    exclude: Selectors = None,
    rng: RNG = None,
) -> nn.Module:
    r"""Make a model sparse, and spend a part of its weights on skips from every layer l to layer l + k, in place.

    .. math:: a^{l+k} = g(z^{l+k} + g(W a^l))

    Layer 0 is the input. In a residual network, and wherever else layers lie side by side, the layers of the formula
    are whole blocks, and W has the kernel of the last convolution of the block it ends at.

    Parameters
    ----------
    model : Module
    density : float
        Weights that are left, the skips' included, as a fraction of those of the included layers of the dense model.
    k : int
        Layers between the ends of a skip, 2 or more.
    family : as for `sparsify`
        Of the layers' graphs: N2NSkip-RP. Those of the skips are random.
    criterion : as for `prune`, optional
        Decides over all layers together what they keep, instead of a family; "snip" is N2NSkip-CSP.
    share : float
        Of the weights, those in skips; between 0 and 1.
    example_input : Tensor or tuple of Tensor
        What the model is called with. Chains of modules do without.
    data, loss_fn
        For the criterion, as for `prune`.
    budget : as for `sparsify`
        How the layers' part is spread over them. Skips are spread in proportion to what the layers keep that they end
        at; what a full skip cannot hold goes to the others.
    pattern : {"channel", "weight"}, optional
        Whether the edges of convolutions are pairs of channels or single weights; "channel" for a family, "weight" for
        a criterion. With "channel" a criterion counts kernels, so where they differ in size, skips get what is left.
    norm : "same", None, "batch", or callable(n_channels) -> Module
        Of each skip: "same" is a fresh one of the kind after the layer that it ends at, or none.
    activation : as for `N2NSkipLinear`
        The inner g.
    downsample : {"stride", "max_pool"}
        Whether skips over strides and pooling are strided, or max-pooled before. Those into linear layers are pooled to
        the positions of the layer's own input: averaged, or "max_pool".
    include, exclude : as for `sparsify`
        The layers that become sparse. Skips end at these alone; the others count as layers too.
    rng : None, int, SeedSequence or Generator
        Source of randomness of all graphs; the weights of skips are drawn as those of any new layer of PyTorch.

    Returns
    -------
    Module
        The model itself, with its modules, and the skips in ``model.n2nskip``, named "l_m" from layer l to m. All
        non-zero weights together are as many as after ``prune(model, "random", density=density)``, exactly; with edges
        that are kernels to within one of them. `forward` calls the layers one by one: of containers, that is no
        longer called, hooks would be lost, and are refused.

    Raises
    ------
    GenerationError
        If the skips cannot hold their share; the message names the largest density that fits.
    ValueError
        If an argument is out of its range, or the model cannot be traced: then `N2NSkipLinear` and `N2NSkipConv2d` can
        be written into it. The model is then as it was.

    Notes
    -----
    Build the optimizer afterwards, or give it ``model.n2nskip.parameters()`` too. To load a checkpoint of a model with
    skips, add skips to a fresh model first, with any seed. To `prune` and `density`, the skips are layers like others,
    and their possible weights count. In a ``Sequential``, the skips are an item more, and what is appended later is
    not called.

    References
    ----------
    Subramaniam, Sharma. N2NSkip: Learning Highly Sparse Networks using Neuron-to-Neuron Skip Connections. BMVC 2020.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> sizes = [784, 300, 200, 100, 10]
    >>> layers = [part for a, b in zip(sizes, sizes[1:]) for part in (nn.Linear(a, b), nn.ReLU())][:-1]
    >>> model = add_n2nskip(nn.Sequential(*layers), density=0.1, rng=0)
    >>> list(model.n2nskip), egt.summary(model).n_edges  # (235200 + 60000 + 20000 + 1000) / 10
    (['0_2', '1_3', '2_4'], 31620)
    """
    k = _check(model, "n2nskip", k, downsample)
    for name, value in (("density", density), ("share", share)):
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value <= 1:
            raise ValueError(f"{name} must be a number above 0 and at most 1, got {value!r}")
    if share == 1:
        raise ValueError("share must be below 1, so that something is left for the layers")
    pattern = pattern or ("channel" if criterion is None else "weight")
    layers, twins = untie(everything := candidates(model), select(everything, include, exclude, masked_too=True))
    owners = {layer.module: owner.name for layer, owner in [*((layer, layer) for layer in layers), *twins]}
    traced = trace(model)
    skips = branches(model, traced, owners, k, example_input, max_pool=downsample == "max_pool")

    shapes = {layer.name: layer.shape for layer in layers}
    possible = sum(map(_n_weights, shapes.values()))
    total = sum(spread(list(shapes.values()), density=density, pattern="weight"))
    root = as_sequence(rng)
    options: dict[str, Any] = {"density": (total - round(total * share)) / possible, "pattern": pattern}
    options |= {"include": include, "exclude": exclude, "rng": root}
    if criterion is None:
        edges = plan(model, family, budget=budget, **options).edges
        kept = {name: _n_weights(shape, edges[name], pattern) for name, shape in shapes.items()}
    else:
        options |= {"scope": "global", "rounds": None, "invert": False}
        choice = choose(model, criterion, data=data, loss_fn=loss_fn, **options)
        kept = {
            layer.name: int(mask.count_nonzero()) * (layer.module.weight.numel() // mask.numel())
            for layer, mask in ((layer, choice.masks[layer.name]) for layer in layers)
        }
    rest, holds = total - sum(kept.values()), sum(_n_weights(skip.shape) for skip in skips)
    if rest < 0:
        raise GenerationError(
            f"the layers alone would keep {total - rest} weights, and with skips they may be {total}: kernels count "
            "alike whatever their sizes, which pattern='weight' mends, or share is less than one of them"
        )
    if rest > holds:
        largest = math.floor(1e6 * holds / share / possible) / 1e6
        raise GenerationError(
            f"the skips hold {holds} weights, and share={share:g} of density={density:g} are {rest}; the largest "
            f"density that fits is {largest:g}"
        )
    at_target = [kept[owners[skip.stage.layer]] for skip in skips]
    n_edges = spread_skips([skip.shape for skip in skips], at_target, rest, pattern=pattern)
    recipe = Recipe(
        "random", pattern, 1, dict(zip(map(_path, skips), n_edges, strict=True)), root.entropy, tuple(root.spawn_key)
    )
    random = torch.get_rng_state()
    try:
        modules = {skip.name: skip.after_fit(_n2nskip(skip, recipe, streams(root), norm, activation)) for skip in skips}
        if criterion is None:
            sparsify(model, family, budget=budget, **options)
        else:
            choice.install()
    except Exception:
        torch.set_rng_state(random)
        raise
    return _put(model, traced, "n2nskip", skips, modules)


def add_resskip(
    model: nn.Module,
    *,
    k: int = 2,
    example_input: Any = None,
    downsample: str = "stride",
    include: Selectors = None,
    exclude: Selectors = None,
) -> nn.Module:
    """Put identities from every layer l to layer l + k into a model, in place: N2NSkip's comparison, without weights.

    Where strides or channels differ, the identity is strided, and channels are cut off or padded with zeros.

    Parameters
    ----------
    model : Module
        Sparse or not.
    k, example_input, downsample, include, exclude
        As for `add_n2nskip`.

    Returns
    -------
    Module
        The model itself, with its modules, and the skips in ``model.resskip``.

    Raises
    ------
    ValueError
        As for `add_n2nskip`. The model is then as it was.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    >>> add_resskip(model).resskip
    ModuleDict(
      (0_2): ResSkip(100, stride=())
      (1_3): ResSkip(10, stride=())
    )
    """
    k = _check(model, "resskip", k, downsample)
    chosen = [layer.module for layer in select(candidates(model), include, exclude, masked_too=True)]
    traced = trace(model)
    skips = branches(model, traced, chosen, k, example_input, max_pool=downsample == "max_pool")
    modules = {skip.name: skip.after_fit(ResSkip(skip.shape.n_right, skip.stride)) for skip in skips}
    return _put(model, traced, "resskip", skips, modules)


def _check(model: Any, attribute: str, k: Any, downsample: Any) -> int:
    check_model(model)
    if isinstance(model, Skipping):
        raise ValueError("the model has skips already: start from one without")
    if hasattr(model, attribute):
        raise ValueError(f"the model has an attribute {attribute!r} already")
    if "forward" in vars(model):
        raise ValueError("the model has a forward of its own, not of its class")
    if downsample not in DOWNSAMPLE:
        raise ValueError(f"downsample must be one of {', '.join(map(repr, DOWNSAMPLE))}, got {downsample!r}")
    return as_integer("k", k, minimum=2)


def _n_weights(shape: LayerShape, n_edges: int | None = None, pattern: str = "channel") -> int:
    """Return the weights of a layer with so many edges; of a dense one by default."""
    return (shape.n_pairs if n_edges is None else n_edges) * (math.prod(shape.kernel) if pattern == "channel" else 1)


def _path(skip: Branch) -> str:
    """Return the name of an N2NSkip's layer within the model."""
    return f"n2nskip.{skip.name}" + (f".{len(skip.fit)}" if skip.fit else "")


def _n2nskip(skip: Branch, recipe: Recipe, stream: Any, norm: Norm, activation: Activation) -> nn.Module:
    path, shape, layer = _path(skip), skip.shape, skip.stage.layer
    module: Any
    g = draw_layer("random", shape, recipe.edges[path], pattern=recipe.pattern, rng=stream(path))
    if norm == "same":
        norm = None if skip.stage.norm is None else lambda n_channels: _fresh(skip.stage.norm, n_channels)
    options = {"norm": norm, "activation": activation, "device": layer.weight.device, "dtype": layer.weight.dtype}
    if shape.kernel:
        n = len(shape.kernel)
        padding = tuple(size // 2 for size in shape.kernel)
        module = _CONVOLUTIONS[n - 1](
            g, shape.kernel, stride=skip.stride, padding=padding, pattern=recipe.pattern, **options
        )
    else:
        module = N2NSkipLinear(g, **options)
    module.family, module.recipe = "random", recipe
    return module  # type: ignore[no-any-return]


def _fresh(norm: Any, n_channels: int) -> nn.Module:
    """Return a normalisation of the same kind; of other channels where a block concatenates more than what it reads."""
    if isinstance(norm, _NormBase) and norm.num_features != n_channels:
        return type(norm)(n_channels, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    if isinstance(norm, nn.GroupNorm) and norm.num_channels != n_channels:
        return nn.GroupNorm(norm.num_groups, n_channels, norm.eps, norm.affine)
    copied = copy.deepcopy(norm)
    copied.reset_parameters()
    return copied  # type: ignore[no-any-return]


def _put(model: nn.Module, traced: Trace, name: str, skips: list[Branch], modules: dict[str, nn.Module]) -> nn.Module:
    links: tuple[Link, ...] = tuple((skip.begin.name, skip.stage.end.name, f"{name}.{skip.name}") for skip in skips)
    setattr(model, name, nn.ModuleDict(modules).train(model.training))
    return attach(model, traced, links)
