"""Controls for pruning, which tell whether it matters which weights are kept, how many in each layer, or their values.

The third control, keeping the worst, is ``prune(..., invert=True)``. Random positions in a fresh model with the layers'
counts of a method are ``sparsify(fresh, "random", budget=summary(pruned).edges, pattern="weight")``.

Frankle, Dziugaite, Roy, Carbin. Pruning Neural Networks at Initialization: Why Are We Missing the Mark? ICLR 2021.
"""

from typing import Any

import torch
from torch import nn

from expandergraphs.rng import RNG, streams
from expandergraphs_torch.layers import install
from expandergraphs_torch.model import masked_modules, zero_off_mask
from expandergraphs_torch.select import check_model
from expandergraphs_torch.sparse.layers import Sparse


def shuffle(model: nn.Module, *, rng: RNG = None) -> nn.Module:
    """Move the mask of every layer to random places, as many as before, in place.

    The weights there are zero, since they were masked: load the initial state afterwards, or `reinitialise`.

    Parameters
    ----------
    model : Module
    rng : None, int, SeedSequence or Generator
        Every layer draws from the stream of its name.

    Returns
    -------
    Module
        The model itself.

    Raises
    ------
    ValueError
        If `model` is no Module.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = nn.Sequential(nn.Linear(8, 4))
    >>> initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    >>> _ = shuffle(egt.prune(model, "magnitude", density=0.25), rng=0)
    >>> _ = model.load_state_dict(initial)
    >>> int((model[0].weight != 0).sum())
    8
    """
    modules, stream, moved = masked_modules(model), streams(rng), {}
    if any(isinstance(module, Sparse) for module in modules.values()):
        raise ValueError("some layers compute sparsely: call to_masked first")
    for name, module in modules.items():
        if id(module.weight) not in moved:
            mask = module.topology
            order = torch.from_numpy(stream(name).permutation(mask.numel()))
            moved[id(module.weight)] = mask.cpu().flatten()[order].reshape(mask.shape)
    for module in modules.values():
        install(module, moved[id(module.weight)], "random", f"positions of {module.family!r} shuffled")
    return model


def reinitialise(model: nn.Module, *, seed: int | None = None) -> nn.Module:
    """Draw all parameters of a model anew, on the masks it has, in place: the pruned structure trained from scratch.

    Every layer is initialised by its own ``reset_parameters``, which for masked ones takes the actual fan-in.

    Parameters
    ----------
    model : Module
    seed : int, optional
        PyTorch's random state is put back afterwards; without a seed the global one is used, and advances.

    Returns
    -------
    Module
        The model itself.

    Raises
    ------
    ValueError
        If a module has parameters and no ``reset_parameters``; nothing is changed then.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = egt.prune(nn.Sequential(nn.Linear(8, 4)), "magnitude", density=0.25)
    >>> int((reinitialise(model, seed=0)[0].weight != 0).sum())
    8
    """
    check_model(model)
    resets: list[Any] = []
    for name, module in model.named_modules():
        reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
        if callable(reset):
            resets.append(reset)
        elif any(parameter is not None for parameter in module._parameters.values()):
            raise ValueError(f"module {name!r} ({type(module).__name__}) has parameters and no reset_parameters")
    devices = [parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"]
    with torch.random.fork_rng(devices=list(dict.fromkeys(devices)), enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        for reset in reversed(resets):  # as constructors do: what is inside first
            reset()
    zero_off_mask(model)
    return model
