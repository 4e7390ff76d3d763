"""Which layers of a model can carry a mask, and which of them are meant."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import UnionType
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from expandergraphs.budget import LayerShape
from expandergraphs_torch.layers import MASKED_CLASSES
from expandergraphs_torch.masked import Masked
from expandergraphs_torch.masks import Layout
from expandergraphs_torch.sparse.layers import Sparse

Selector: TypeAlias = str | type[nn.Module] | UnionType | Callable[[str, nn.Module], bool]
Selectors: TypeAlias = Selector | Iterable[Selector] | None

# What a forward may ask of another module's weight without computing with it.
_ASKED = ("dtype", "device", "shape", "size", "ndim", "numel", "requires_grad", "is_cuda")


@dataclass(frozen=True)
class Candidate:
    """A Linear, a convolution, a subclass of one, a registered class, or the projections inside attention.

    Attributes
    ----------
    names : tuple of str
        Its names within the model; several if it is registered more than once, "" if it is the model.
    module : Module
    obstacle : str
        Why it cannot carry a mask; empty if it can.
    """

    names: tuple[str, ...]
    module: Any
    obstacle: str = ""

    @property
    def name(self) -> str:
        """The first of its names."""
        return self.names[0]

    @property
    def kind(self) -> str:
        """The name of its class."""
        return type(self.module).__name__

    @property
    def layout(self) -> Layout:
        """How its weight lies, where it can carry a mask or does."""
        return _layout(self.module)

    @property
    def shape(self) -> LayerShape:
        """Inputs, outputs, kernel and groups; 0 inputs where they are not known yet."""
        module = self.module
        if isinstance(module, nn.MultiheadAttention):
            same = module.in_proj_weight is not None
            n_left = module.embed_dim if same else module.embed_dim + module.kdim + module.vdim
            return LayerShape(n_left, 3 * module.embed_dim if same else module.embed_dim)
        if not self.obstacle or isinstance(module, Masked):
            return self.layout.shape
        if isinstance(module, nn.Linear):
            return LayerShape(module.in_features, module.out_features)
        if isinstance(module, _ConvNd):
            return LayerShape(module.in_channels, module.out_channels, tuple(module.kernel_size), module.groups)
        return LayerShape(0, 0)


def check_model(model: Any) -> None:
    """Raise ``ValueError`` unless `model` is a Module."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"a model must be a torch.nn.Module, got {type(model).__name__}")


def candidates(model: nn.Module) -> list[Candidate]:
    """List every layer of a model that has a mask, might have one, or is sometimes expected to, each once, in order."""
    check_model(model)
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    owners: dict[int, list[tuple[nn.Module, Any]]] = {}
    for module in names:
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(_memory(parameter), []).append((module, parameter))
    readers = _readers(names)
    obstacles = {
        module: _obstacle(module) or readers.get(module, "")
        for module in names
        if isinstance(module, nn.Linear | _ConvNd | nn.MultiheadAttention | Masked) or type(module) in MASKED_CLASSES
    }
    result = []
    for module, obstacle in obstacles.items():
        for other, parameter in [] if obstacle else owners[_memory(module.weight)]:
            # Layers of one kind may share a weight, and then share the mask.
            if type(other) is not type(module) or obstacles[other] or parameter is not module.weight:
                obstacle = f"its weight is shared with {names[other][0]!r} ({type(other).__name__})"
        result.append(Candidate(tuple(names[module]), module, obstacle))
    return result


def select(
    layers: list[Candidate], include: Selectors, exclude: Selectors, *, masked_too: bool = False
) -> list[Candidate]:
    """Return the layers that are included and not excluded and can carry a mask, or also those that have one.

    Raises
    ------
    ValueError
        If a selector matches no layer, a layer named explicitly cannot carry a mask, one is masked already, or none is
        left.
    """
    if masked_too:
        layers = [replace(layer, obstacle="") if _is_masked_by_us(layer.module) else layer for layer in layers]
    included = None if include is None else _as_selectors("include", include)
    for layer in layers if included is not None else ():
        if layer.obstacle and set(layer.names) & {item for item in included or () if isinstance(item, str)}:
            raise ValueError(f"layer {layer.name!r} cannot be included: {layer.obstacle}")
    chosen = layers if included is None else _matching("include", included, layers)
    dropped = [] if exclude is None else _matching("exclude", _as_selectors("exclude", exclude), layers)
    sparse = [layer.name for layer in chosen if isinstance(layer.module, Sparse) and layer not in dropped]
    if sparse:
        raise ValueError(f"layers {sparse} compute sparsely: call to_masked first, or exclude them")
    masked = [layer.name for layer in chosen if isinstance(layer.module, Masked) and layer not in dropped]
    if masked and not masked_too:
        raise ValueError(f"layers {masked} are masked already: exclude them, or bake the model first")
    result = [layer for layer in chosen if layer not in dropped and not layer.obstacle]
    if not result:
        reasons = "".join(f"; {layer.name!r}: {layer.obstacle}" for layer in layers if layer.obstacle)
        raise ValueError(f"no layer is left to become sparse{reasons}")
    return result


def exclude_last(model: nn.Module) -> str:
    """Return the name of the last Linear of a model, for ``exclude=``: the classifier, which papers leave dense.

    Parameters
    ----------
    model : Module

    Returns
    -------
    str

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


def _obstacle(module: Any) -> str:
    """Say what about a layer, seen alone, keeps it from carrying a mask."""
    if isinstance(module, Sparse):
        return "it computes sparsely; call to_masked first"
    if isinstance(module, Masked):
        return "it is masked already"
    if isinstance(module, nn.MultiheadAttention):
        return "attention reads the weights of its projections itself, past any mask"
    if type(module) not in MASKED_CLASSES:
        return f"{type(module).__name__} has a forward of its own, and no masked class is registered for it"
    weight = module._parameters.get("weight")
    if weight is None:
        return "its weight is computed from other parameters, as by pruning or weight normalisation"
    if hasattr(weight, "device_mesh"):
        return "its weight is sharded: make the model sparse before fully_shard"
    if nn.parameter.is_lazy(weight):
        return "its parameters are not initialised; run the model once"
    numbers = weight.dtype.itemsize > 1 and (weight.is_floating_point() or weight.is_complex())
    if type(weight.data) is not Tensor or not numbers:
        return f"its weight is no plain tensor of floating-point numbers ({type(weight.data).__name__}, {weight.dtype})"
    if "forward" in vars(module):
        return "it has a forward of its own"
    taken = [
        name
        for name in ("mask", "family", "note", "recipe", "executes", "graph", "topology", "layout")
        if hasattr(module, name)
    ]
    if taken:
        return f"it has an attribute {taken[0]!r} of its own, which a masked layer needs"
    shape = _layout(module).shape
    if shape.n_left == shape.groups:
        return "it is depthwise" if shape.groups > 1 else "it has one input"
    if weight.numel() == 0:
        return "its weight is empty"
    if weight.is_inference() or 0 in weight.stride():
        return "its weight cannot be written to (an inference tensor, or an expanded one)"
    return ""


def _readers(modules: Iterable[nn.Module]) -> dict[nn.Module, str]:
    """Say of layers whose weights another module's forward reads itself, as some attention does, that it does so."""
    paths: dict[type, set[str]] = {}
    result = {}
    for module in modules:
        kind = type(module)
        if kind not in paths:
            paths[kind] = _weights_read(kind)
        for path in paths[kind]:
            try:
                layer = module.get_submodule(path)
            except AttributeError:
                continue
            result[layer] = f"{kind.__name__} reads its weight itself, past any mask"
    return result


def _weights_read(kind: type) -> set[str]:
    """Find each ``self.path.weight`` in the source of a class's forward methods, but those that only ask what it is."""
    paths = set()
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if "forward" not in name or str(method.__module__).startswith("torch.nn."):  # PyTorch's own are known
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
        except (OSError, SyntaxError):  # no source, or not one function's
            continue
        itself = next(iter(inspect.signature(method).parameters), "")
        for node in ast.walk(tree):
            asks = isinstance(node, ast.Attribute) and node.attr in _ASKED
            if asks or (isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance"):
                continue
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.Attribute) and child.attr == "weight":
                    owner, _, path = ast.unparse(child.value).partition(".")
                    if owner == itself and path:
                        paths.add(path.replace("[", ".").replace("]", ""))
    return paths


def _is_masked_by_us(module: nn.Module) -> bool:
    return isinstance(module, Masked) and type(module) in MASKED_CLASSES.values() and "weight" in module._parameters


def _layout(module: Any) -> Layout:
    return Layout.of(module, MASKED_CLASSES.get(type(module)))


def _memory(parameter: Any) -> int:
    """Identify what a parameter is stored in; the parameter itself where there is no storage."""
    lazy = nn.parameter.is_lazy(parameter)
    return id(parameter) if lazy or parameter.is_meta else parameter.data_ptr()


def _as_selectors(argument: str, selectors: Any) -> list[Selector]:
    single = isinstance(selectors, str | type | UnionType | nn.Module) or callable(selectors)
    listed = [selectors] if single or not isinstance(selectors, Iterable) else list(selectors)
    for selector in listed:
        valid = isinstance(selector, str | type | UnionType) or callable(selector)
        if not valid or isinstance(selector, nn.Module):
            needed = "a name, a glob, a type or a predicate(name, module)"
            raise ValueError(f"{argument} takes {needed}, or a list of these; got {selector!r}")
    return listed


def _matching(argument: str, selectors: list[Selector], layers: list[Candidate]) -> list[Candidate]:
    result = []
    for selector in selectors:
        found = [layer for layer in layers if any(_matches(selector, name, layer.module) for name in layer.names)]
        usable = [layer for layer in found if not layer.obstacle or isinstance(layer.module, Masked)]
        if not found or (argument == "include" and not usable):
            names = ", ".join(layer.name or "(the model itself)" for layer in layers) or "none"
            reason = f"; what it matches cannot carry a mask: {found[0].obstacle}" if found else ""
            raise ValueError(f"{argument}={selector!r} matches no layer{reason}; the layers are: {names}")
        result += found
    return [layer for layer in layers if layer in result]


def _matches(selector: Selector, name: str, module: nn.Module) -> bool:
    if isinstance(selector, str):
        return selector == name or name.startswith(f"{selector}.") or fnmatchcase(name, selector)
    if isinstance(selector, type | UnionType):
        return isinstance(module, selector)
    return bool(selector(name, module))
