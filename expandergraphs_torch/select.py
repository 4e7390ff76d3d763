"""Which layers of a model can carry a mask, and which of them are meant."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from torch import nn
from torch.nn.modules.conv import _ConvNd

from expandergraphs.budget import LayerShape
from expandergraphs_torch.layers import MASKED_CLASSES, Masked

Selector: TypeAlias = str | type[nn.Module] | Callable[[str, nn.Module], bool]
Selectors: TypeAlias = Selector | Iterable[Selector] | None


@dataclass(frozen=True)
class Candidate:
    """A layer with a weight: Linear, a convolution, or a subclass of one.

    Attributes
    ----------
    name : str
        Its name within the model; empty if it is the model.
    module : Module
    obstacle : str
        Why it cannot carry a mask; empty if it can.
    """

    name: str
    module: nn.Module
    obstacle: str = ""

    @property
    def shape(self) -> LayerShape:
        """Inputs, outputs and kernel."""
        weight: Any = self.module.weight
        return LayerShape(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]))


def candidates(model: nn.Module) -> list[Candidate]:
    """List every Linear and convolution of a model, in the order of registration, each once."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"a model must be a torch.nn.Module, got {type(model).__name__}")
    owners: dict[int, list[tuple[str, nn.Module]]] = {}
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append((name, module))
    return [
        Candidate(name, module, _obstacle(module) or _shared(module, owners))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | _ConvNd)
    ]


def select(layers: list[Candidate], include: Selectors, exclude: Selectors) -> list[Candidate]:
    """Return the layers that are included and not excluded and can carry a mask.

    Raises
    ------
    ValueError
        If a selector matches no layer, or a layer named explicitly cannot carry a mask.
    """
    for selector in _listed(include):
        for layer in layers:
            if layer.obstacle and selector == layer.name:
                raise ValueError(f"layer {layer.name!r} cannot be included: {layer.obstacle}")
    chosen = layers if include is None else _matching("include", include, layers)
    dropped = _matching("exclude", exclude, layers)
    return [layer for layer in chosen if layer not in dropped and not layer.obstacle]


def exclude_last(model: nn.Module) -> str:
    """Return the name of the last Linear of a model, for ``exclude=``: the classifier, which papers leave dense.

    Raises
    ------
    ValueError
        If the model has no Linear.

    Examples
    --------
    >>> exclude_last(nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10)))
    '2'
    """
    names = [layer.name for layer in candidates(model) if isinstance(layer.module, nn.Linear)]
    if not names:
        raise ValueError("the model has no Linear layer")
    return names[-1]


def _obstacle(module: nn.Module) -> str:
    if isinstance(module, Masked):
        return "it is masked already; bake the model first"
    if type(module) not in MASKED_CLASSES:
        kind = type(module).__name__
        return f"{kind} is not supported: only exactly {', '.join(plain.__name__ for plain in MASKED_CLASSES)} are"
    weight: Any = module.weight
    if nn.parameter.is_lazy(weight):
        return "its parameters are not initialised; run the model once"
    if isinstance(module, _ConvNd) and module.groups > 1:
        return "it is depthwise" if module.groups == module.in_channels else "it is grouped, not supported yet"
    return "it has one input" if weight.shape[1] == 1 else ""


def _shared(module: nn.Module, owners: dict[int, list[tuple[str, nn.Module]]]) -> str:
    """Say which other kind of module uses the same weight; layers of one kind may share a mask with it."""
    for name, other in owners[id(module.weight)]:
        if type(other) is not type(module) or _obstacle(other):
            return f"its weight is shared with {name!r} ({type(other).__name__})"
    return ""


def _listed(selectors: Selectors) -> list[Selector]:
    if selectors is None:
        return []
    if isinstance(selectors, str | type) or callable(selectors):
        return [selectors]
    return list(selectors)


def _matching(argument: str, selectors: Selectors, layers: list[Candidate]) -> list[Candidate]:
    result = []
    for selector in _listed(selectors):
        found = [layer for layer in layers if _matches(selector, layer)]
        usable = [layer for layer in found if not layer.obstacle]
        if not found or (argument == "include" and not usable):
            names = ", ".join(layer.name or "(the model itself)" for layer in layers) or "none"
            reason = f"; what it matches cannot carry a mask: {found[0].obstacle}" if found else ""
            raise ValueError(f"{argument}={selector!r} matches no layer{reason}; the layers are: {names}")
        result += found
    return [layer for layer in layers if layer in result]


def _matches(selector: Selector, layer: Candidate) -> bool:
    if isinstance(selector, str):
        inside = layer.name.startswith(f"{selector}.")
        return selector == layer.name or inside or fnmatchcase(layer.name, selector)
    if isinstance(selector, type):
        return isinstance(layer.module, selector)
    if callable(selector):
        return bool(selector(layer.name, layer.module))
    raise ValueError(f"a selector is a name, a glob, a type or a predicate (name, module), got {selector!r}")


def n_weights(shape: LayerShape) -> int:
    """Return the number of weights of a dense layer."""
    return shape.n_pairs * math.prod(shape.kernel)
