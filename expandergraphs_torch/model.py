"""Small questions to a model with masked layers, and the way back to plain ones."""

import hashlib

import torch
from torch import Tensor, nn

from expandergraphs_torch.layers import Masked, uninstall


def masked_modules(model: nn.Module) -> dict[str, Masked]:
    """Return the masked layers of a model by name.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> list(masked_modules(egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "random", density=0.5, rng=0)))
    ['0']
    """
    return {name: module for name, module in model.named_modules() if isinstance(module, Masked)}


def density(model: nn.Module) -> float:
    """Return the fraction of possible edges that the masked layers have; 1 where there is none."""
    masks = {id(module.weight): module.mask for module in masked_modules(model).values()}.values()
    possible = sum(mask.numel() for mask in masks)
    return sum(int(mask.sum()) for mask in masks) / possible if possible else 1.0


def bake(model: nn.Module) -> nn.Module:
    """Turn every masked layer into a plain one with zeros off the mask, in place; returns the model.

    For quantisation, export, and whatever knows only PyTorch's own layers.
    """
    for module in masked_modules(model).values():
        uninstall(module)
    return model


def dense_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Return a state_dict that the dense model loads strictly: no masks, weights zero off them."""
    state = model.state_dict()
    for name in masked_modules(model):
        prefix = f"{name}." if name else ""
        mask = state.pop(f"{prefix}mask")
        state[f"{prefix}weight"] = torch.where(mask, state[f"{prefix}weight"], 0.0)
    return state


def topology_digest(model: nn.Module) -> str:
    """Return the SHA-256 of all masks and their layers' names: equal for equal wiring, on any machine."""
    state = hashlib.sha256()
    for name, module in masked_modules(model).items():
        mask = module.mask
        state.update(f"{name} {tuple(mask.shape)}\n".encode())
        state.update(mask.cpu().contiguous().numpy().tobytes())
    return state.hexdigest()
