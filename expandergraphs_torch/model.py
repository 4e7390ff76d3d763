"""Small questions to a model with masked layers, and the way back to plain ones."""

from typing import Any

import torch
from torch import Tensor, nn

from expandergraphs_torch.layers import plain_class, uninstall
from expandergraphs_torch.masked import Masked, weight_key, zero_outside
from expandergraphs_torch.select import check_model
from expandergraphs_torch.sparse.layers import SPARSE_CLASSES, Sparse


def masked_modules(model: nn.Module) -> dict[str, Masked]:
    """Return the masked layers of a model by name.

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict {str: Masked}

    Raises
    ------
    ValueError
        If `model` is no Module.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> list(masked_modules(egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "random", density=0.5, rng=0)))
    ['0']
    """
    check_model(model)
    return {name: module for name, module in model.named_modules() if isinstance(module, Masked)}


def density(model: nn.Module) -> float:
    """Return the fraction of possible edges that the masked layers have; 1 where there is none.

    Parameters
    ----------
    model : Module

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If `model` is no Module.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> density(egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0))
    0.5
    """
    masks = {weight_key(module): module.topology for module in masked_modules(model).values()}.values()
    possible = sum(mask.numel() for mask in masks)
    return sum(int(mask.count_nonzero()) for mask in masks) / possible if possible else 1.0


def zero_off_mask(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Zero what is stored off the masks: weights, their gradients, and what an optimizer remembers of them.

    A masked layer computes the same before and after. It matters to what reads stored weights, and after training
    before the masks: momentum from then goes on moving weights that are no longer there.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer, optional
        Whose state (momentum, moments) is zeroed too, wherever it has the shape of the weight.

    Raises
    ------
    ValueError
        If `model` is no Module.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = nn.Linear(8, 4)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> model(torch.ones(1, 8)).sum().backward()
    >>> optimizer.step()
    >>> _ = egt.sparsify(model, "random", density=0.5, rng=0)
    >>> zero_off_mask(model, optimizer)
    >>> bool(optimizer.state[model.weight]["momentum_buffer"][~model.mask].any())
    False
    """
    check_model(model)
    for sharded in model.modules():
        reshard: Any = getattr(sharded, "reshard", None)
        if reshard is not None:
            reshard()  # FSDP2 leaves whole copies of the weights after a forward without a backward
    for module in masked_modules(model).values():
        weight, others = module.weight, []
        if weight.is_leaf and weight.grad is not None:
            others.append(weight.grad)
        state: dict[str, Any] = optimizer.state.get(weight, {}) if optimizer is not None else {}
        others += [item for item in state.values() if isinstance(item, Tensor) and item.shape == weight.shape]
        module.zero_off_mask(*others)


def bake(model: nn.Module) -> nn.Module:
    """Turn every masked layer into a plain one with zeros off the mask, in place; returns the model.

    For quantisation, export, and whatever knows only PyTorch's own layers.

    Parameters
    ----------
    model : Module

    Returns
    -------
    Module
        The model itself; a new layer where the model is a masked layer itself.

    Raises
    ------
    ValueError
        If a masked layer is a subclass, or its weight is computed from other parameters; nothing is changed then.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)
    >>> type(bake(model)[0])
    <class 'torch.nn.modules.linear.Linear'>
    """
    masked = masked_modules(model)
    _check_weights_are_their_own(masked)
    for module in masked.values():
        uninstall(module.to_masked() if isinstance(module, Sparse) else module)
    return model


def dense_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Return a state_dict that the dense model loads strictly: no masks, weights zero off them.

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict {str: Tensor}

    Raises
    ------
    ValueError
        If a masked layer is a subclass, or its weight is computed from other parameters.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = egt.sparsify(nn.Sequential(nn.Linear(8, 4)), "regular", degree=2, rng=0)
    >>> nn.Sequential(nn.Linear(8, 4)).load_state_dict(dense_state_dict(model))
    <All keys matched successfully>
    """
    check_model(model)
    state = model.state_dict()
    # A module registered twice has its entries twice.
    masked = {name: m for name, m in model.named_modules(remove_duplicate=False) if isinstance(m, Masked)}
    _check_weights_are_their_own(masked, sharded=True)
    for name, module in masked.items():
        prefix = f"{name}." if name else ""
        weight, mask = state[f"{prefix}weight"], state.pop(f"{prefix}mask")
        if hasattr(weight, "device_mesh"):
            state[f"{prefix}weight"] = weight.clone()
            zero_outside(state[f"{prefix}weight"], mask)
        else:
            state[f"{prefix}weight"] = module.masked_weight().detach()
    return state


def _check_weights_are_their_own(masked: dict[str, Masked], *, sharded: bool = False) -> None:
    for name, module in masked.items():
        # fully_shard of a layer makes it a subclass, of its own and then of the layer's class.
        kind = type(module).__bases__[-1] if sharded and hasattr(module, "reshard") else type(module)
        own = plain_class(kind) is not None and "weight" in module._parameters
        if not own and kind not in SPARSE_CLASSES.values():
            raise ValueError(
                f"layer {name!r} ({type(module).__name__}) is not exactly a masked layer, or its weight is computed "
                "from other parameters; remove the parametrization or pruning first"
            )
