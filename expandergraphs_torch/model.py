"""Small questions to a model with masked layers, and the way back to plain ones."""

import hashlib

import torch
from torch import Tensor, nn

from expandergraphs_torch.layers import PLAIN_CLASSES, Masked, uninstall
from expandergraphs_torch.select import check_model


def masked_modules(model: nn.Module) -> dict[str, Masked]:
    """Return the masked layers of a model by name.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> list(masked_modules(egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "random", density=0.5, rng=0)))
    ['0']
    """
    check_model(model)
    return {name: module for name, module in model.named_modules() if isinstance(module, Masked)}


def density(model: nn.Module) -> float:
    """Return the fraction of possible edges that the masked layers have; 1 where there is none."""
    masks = {id(module.weight): module.topology for module in masked_modules(model).values()}.values()
    possible = sum(mask.numel() for mask in masks)
    return sum(int(mask.sum()) for mask in masks) / possible if possible else 1.0


def bake(model: nn.Module) -> nn.Module:
    """Turn every masked layer into a plain one with zeros off the mask, in place; returns the model.

    For quantisation, export, and whatever knows only PyTorch's own layers.

    Raises
    ------
    ValueError
        If a masked layer is a subclass, or its weight is computed from other parameters; nothing is changed then.
    """
    masked = masked_modules(model)
    _check_weights_are_their_own(masked)
    for module in masked.values():
        uninstall(module)
    return model


def dense_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Return a state_dict that the dense model loads strictly: no masks, weights zero off them.

    Raises
    ------
    ValueError
        If a masked layer is a subclass, or its weight is computed from other parameters.
    """
    check_model(model)
    state = model.state_dict()
    # A module registered twice has its entries twice.
    masked = {name: m for name, m in model.named_modules(remove_duplicate=False) if isinstance(m, Masked)}
    _check_weights_are_their_own(masked)
    for name in masked:
        prefix = f"{name}." if name else ""
        mask = state.pop(f"{prefix}mask")
        state[f"{prefix}weight"] = torch.where(mask, state[f"{prefix}weight"], 0.0)
    return state


def topology_digest(model: nn.Module) -> str:
    """Return the SHA-256 of all masks and their layers' names: equal for equal wiring, on any machine."""
    state = hashlib.sha256()
    for name, module in masked_modules(model).items():
        mask = module.topology
        state.update(f"{name} {tuple(mask.shape)}\n".encode())
        state.update(mask.cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def _check_weights_are_their_own(masked: dict[str, Masked]) -> None:
    for name, module in masked.items():
        if type(module) not in PLAIN_CLASSES or "weight" not in module._parameters:
            raise ValueError(
                f"layer {name!r} ({type(module).__name__}) is not exactly a masked layer, or its weight is computed "
                "from other parameters; remove the parametrization or pruning first"
            )
