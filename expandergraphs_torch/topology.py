"""The wiring of a model by itself: read, compared, drawn again from its seed, and loaded from checkpoints.

There are three ways to keep it. A state_dict carries it beside the weights. `topology` gives the graphs, for
`expandergraphs.save_graphs` and `sparsify`. And `topology_config` gives a few numbers that `rebuild` draws the same
graphs from, compared by their digest.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expandergraphs import BipartiteGraph
from expandergraphs.rng import streams
from expandergraphs_torch.layers import install
from expandergraphs_torch.masked import Masked, Recipe, weight_key
from expandergraphs_torch.model import masked_modules
from expandergraphs_torch.select import Candidate, candidates, check_model
from expandergraphs_torch.sparsify import draw_graphs

_CONFIG_VERSION = 1


def topology(model: nn.Module) -> dict[str, BipartiteGraph]:
    """Return the graphs of all masked layers by name, as `sparsify` and ``expandergraphs.save_graphs`` take them.

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict {str: BipartiteGraph}

    Raises
    ------
    ValueError
        If `model` is no Module.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)
    >>> other = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), topology(model))
    >>> topology(other) == topology(model)
    True
    """
    return {name: module.graph for name, module in masked_modules(model).items()}


def topology_digest(model: nn.Module) -> str:
    """Return the SHA-256 of all masks and their layers' names: equal for equal wiring, on any machine.

    Parameters
    ----------
    model : Module

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ValueError
        If `model` is no Module.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> wired = [egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=seed) for seed in (0, 0, 1)]
    >>> first, again, other = map(topology_digest, wired)
    >>> first == again, first == other
    (True, False)
    """
    return _digest({name: module.topology for name, module in masked_modules(model).items()})


def topology_config(model: nn.Module) -> dict[str, Any]:
    """Return what `rebuild` draws the wiring from again: families, edges and seeds, for JSON; and its digest.

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If a layer's graph was given, drawn by a function, or brought by a checkpoint: it has no seed. Or if the model
        is a part of the one that was wired, or has lost layers of a RadiX-Net. Keep the graphs themselves then, by
        `topology`.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)
    >>> topology_config(model)["recipes"]
    [{'family': 'regular', 'pattern': 'channel', 'block': 1, 'edges': {'0': 16}, 'entropy': 0, 'spawn_key': []}]
    """
    recipes: list[Recipe] = []
    masked = masked_modules(model)
    for name, module in masked.items():
        if module.recipe is None:
            raise ValueError(
                f"layer {name!r} has no seed: its graph was given, drawn by a function or brought by a checkpoint; "
                "save the graphs themselves: expandergraphs.save_graphs(path, topology(model))"
            )
        if module.recipe not in recipes:
            recipes.append(module.recipe)
    layers = {layer.name: layer for layer in candidates(model)}
    written: list[dict[str, Any]] = []
    drawn: dict[int, Tensor] = {}
    for recipe in recipes:
        edges = {name: n for name, n in recipe.edges.items() if name in masked and masked[name].recipe == recipe}
        if edges == recipe.edges or (edges and recipe.family != "radix"):  # a RadiX-Net is drawn as a whole
            recipe = replace(recipe, edges=edges)
            written.append(asdict(recipe) | {"spawn_key": list(recipe.spawn_key)})
            drawn |= {weight_key(masked[name]): mask for name, mask in _masks(recipe, layers).items()}
    for name, module in masked.items():
        mask = drawn.get(weight_key(module))
        if mask is None or not _same(module.topology, mask):
            raise ValueError(
                f"layer {name!r} does not have the wiring of its seed under this name: save the graphs themselves, by "
                "expandergraphs.save_graphs(path, topology(model))"
            )
    return {
        "version": _CONFIG_VERSION,
        "numpy": np.__version__,
        "digest": topology_digest(model),
        "recipes": written,
    }


def rebuild(model: nn.Module, config: Mapping[str, Any]) -> nn.Module:
    """Wire a dense model as `topology_config` says, in place; its weights stay what they are on the masks.

    For weights to be trained anew, draw them first, or `sparsify` with the same arguments: there, they are scaled by
    the fan-in.

    Parameters
    ----------
    model : Module
        With the layers that the configuration names.
    config : mapping
        Made by `topology_config`, also by way of JSON.

    Returns
    -------
    Module
        The model itself.

    Raises
    ------
    ValueError
        If the configuration does not fit the model, or the graphs drawn are not those of its digest: another version of
        NumPy may draw others from the same seed. The model is then as it was.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)
    >>> other = rebuild(nn.Sequential(nn.Linear(8, 4)), topology_config(model))
    >>> topology_digest(other) == topology_digest(model)
    True
    """
    layers = {name: layer for layer in candidates(model) for name in layer.names}
    try:
        if (version := config["version"]) != _CONFIG_VERSION:
            raise ValueError(f"the configuration is of version {version!r}, this one reads {_CONFIG_VERSION}")
        digest, chosen = config["digest"], _drawn(config["recipes"], layers)
    except (KeyError, TypeError) as error:
        raise ValueError(f"a configuration made by topology_config is needed: {error!r}") from None
    by_weight = {id(layers[name].module.weight): wiring for name, wiring in chosen.items()}
    wired = {
        layer.name: (layer, *by_weight[id(layer.module.weight)])
        for layer in dict.fromkeys(layers.values())
        if not layer.obstacle and id(layer.module.weight) in by_weight
    }
    if _digest({name: mask for name, (_, mask, _) in wired.items()}) != digest:
        raise ValueError(
            f"the graphs drawn are not those of the configuration: it was made with NumPy {config.get('numpy')}, "
            f"this is {np.__version__}, or the model is another one"
        )
    for layer, mask, recipe in wired.values():
        install(layer.module, mask, recipe.family, recipe=recipe)
    return model


def load_state_dict(
    model: nn.Module, state_dict: Mapping[str, Any], *, topology: str = "replace", strict: bool = True
) -> nn.Module:
    """Load a checkpoint, with its wiring: masked layers take it over, and plain ones become masked.

    ``model.load_state_dict(state_dict)`` does so for layers that are masked already. A dense checkpoint brings no
    wiring: masked layers keep theirs.

    Parameters
    ----------
    model : Module
    state_dict : mapping
        Of this model, dense or sparse.
    topology : {"replace", "raise"}
        What to do where the checkpoint's wiring is another than the model's.
    strict : bool
        Whether keys that are missing or unexpected are an error.

    Returns
    -------
    Module
        The model itself.

    Raises
    ------
    RuntimeError
        If the wiring differs and `topology` is "raise", or keys or shapes do not fit. The model is then as it was.
    ValueError
        If `topology` is neither.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> trained = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)
    >>> model = egt.load_state_dict(nn.Sequential(nn.Linear(8, 4)), trained.state_dict())
    >>> topology_digest(model) == topology_digest(trained)
    True
    """
    check_model(model)
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"a state_dict is needed, got {type(state_dict).__name__}")
    if topology not in ("replace", "raise"):
        raise ValueError(f"topology must be 'replace' or 'raise', got {topology!r}")
    layers = {name: layer for layer in candidates(model) for name in layer.names}
    expected, problems, other, plain = dict(model.state_dict()), [], [], {}
    wiring: dict[int, tuple[str, Tensor | None]] = {}  # by weight: the first layer that has it, and its mask
    for name, layer in layers.items():
        module, key = layer.module, f"{name}.mask" if name else "mask"
        masked, mask = isinstance(module, Masked), state_dict.get(key)
        if masked:
            expected.pop(key, None)
        elif layer.obstacle:
            continue
        if mask is not None:
            expected[key] = mask
            has_values = isinstance(mask, Tensor) and mask.layout == torch.strided
            if not has_values or mask.is_meta or mask.is_quantized or not layer.layout.has_mask_shape(mask.shape):
                problems.append(f"{key!r} is no mask of layer {name!r}, {layer.shape}")
                continue
            if not masked:
                plain[name] = mask
            if not masked or not _same(module.topology, mask):
                other.append(name)
        elif masked:
            mask = module.topology
        owner, its = wiring.setdefault(weight_key(module), (name, mask))
        if its is not mask and (its is None or mask is None or not _same(its, mask)):
            problems.append(f"layers {owner!r} and {name!r} share a weight, and would not have the same mask")
    if other and topology == "raise":
        raise RuntimeError(f"the wiring of the checkpoint differs from the model's in the layers {other}")
    if strict:
        problems += [f"{key!r} is missing" for key in expected if key not in state_dict]
        problems += [f"{key!r} is unexpected" for key in state_dict if key not in expected]
        if any(".n2nskip." in f".{key}" for key in state_dict.keys() - expected.keys()):
            problems.insert(0, "the checkpoint has N2NSkip connections: call add_n2nskip on the model first")
    for key, value in state_dict.items():
        if not _fits(key, value, expected.get(key)):
            problems.append(f"{key!r} is no tensor that can be copied")
            continue
        tensors = (value, expected.get(key, value))
        if any(map(nn.parameter.is_lazy, tensors)):
            continue  # takes any shape
        given, needed = (getattr(tensor, "shape", ()) for tensor in tensors)
        if given != needed:
            problems.append(f"{key!r} has the shape {tuple(given)}, {tuple(needed)} is needed")
    if problems:
        raise RuntimeError(f"the checkpoint does not fit the model: {'; '.join(problems)}")
    for name, mask in plain.items():
        if not isinstance(layers[name].module, Masked):  # a layer may have several names
            install(layers[name].module, mask.to(torch.bool), "given")
    model.load_state_dict(state_dict, strict=strict)
    return model


def check_topology(model: nn.Module, group: Any = None) -> None:
    """Check that all processes of a group have the same wiring, before DistributedDataParallel or FSDP wraps the model.

    Wrapping broadcasts the buffers of the first process, and with them its masks: afterwards nothing differs any more,
    and what the other processes had is lost. All processes of the group must call this.

    Parameters
    ----------
    model : Module
    group : ProcessGroup, optional
        The default group if not given.

    Raises
    ------
    ValueError
        On every process, if the digests differ; it says which processes have which.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> import torch.distributed as dist
    >>> model = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # torchrun gives rank and size
    >>> check_topology(model)
    >>> dist.destroy_process_group()
    """
    import torch.distributed as dist

    digests: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(digests, topology_digest(model), group=group)
    if len(set(digests)) > 1:
        listed = "; ".join(
            f"{digest[:12]} on {[rank for rank, its in enumerate(digests) if its == digest]}"
            for digest in dict.fromkeys(digests)
        )
        raise ValueError(
            f"processes have different wiring: digests {listed}; sparsify with the same rng on all of them"
        )


def _drawn(written: list[dict[str, Any]], layers: Mapping[str, Candidate]) -> dict[str, tuple[Tensor, Recipe]]:
    """Draw the masks of a configuration, by the names of their layers."""
    chosen: dict[str, tuple[Tensor, Recipe]] = {}
    for words in written:
        recipe = Recipe(**words | {"spawn_key": tuple(words["spawn_key"])})
        for name in recipe.edges:
            if name not in layers or layers[name].obstacle:
                reason = layers[name].obstacle if name in layers else "there is no such layer"
                raise ValueError(f"layer {name!r} cannot be wired: {reason}")
        chosen |= {name: (mask, recipe) for name, mask in _masks(recipe, layers).items()}
    return chosen


def _masks(recipe: Recipe, layers: Mapping[str, Candidate]) -> dict[str, Tensor]:
    """Draw the masks of a recipe's layers, by name."""
    its_layers = [layers[name] for name in recipe.edges]
    root = np.random.SeedSequence(recipe.entropy, spawn_key=recipe.spawn_key)
    graphs = draw_graphs(recipe.family, its_layers, recipe.edges, recipe.pattern, recipe.block, streams(root))
    return {layer.name: layer.layout.mask(graphs[layer.name]) for layer in its_layers}


def _fits(key: Any, value: Any, onto: Any) -> bool:
    """Tell whether a value may be copied onto the model's, shapes aside."""
    if not isinstance(key, str) or not isinstance(onto, Tensor):
        return isinstance(key, str)  # the model may lack it, or it is the extra state of a module
    if not isinstance(value, Tensor) or nn.parameter.is_lazy(value) or nn.parameter.is_lazy(onto):
        return isinstance(value, Tensor) and nn.parameter.is_lazy(onto)
    has_numbers = value.layout == onto.layout and not value.is_quantized and (onto.is_meta or not value.is_meta)
    return has_numbers and (onto.is_complex() or not value.is_complex())


def _digest(masks: Mapping[str, Tensor]) -> str:
    state = hashlib.sha256()
    for name, mask in masks.items():
        state.update(f"{name} {tuple(mask.shape)}\n".encode())
        state.update(mask.cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def _same(mask: Tensor, other: Tensor) -> bool:
    return torch.equal(mask.cpu(), other.to(torch.bool).cpu())
