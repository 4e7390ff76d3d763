"""While a model computes for our own ends: its modes are kept, and what it cannot compute on is refused."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def keeping_modes(model: nn.Module) -> Iterator[None]:
    """Put the modes back afterwards, each by itself: no layer's own ``train`` method is called."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def evaluating(model: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Set the mode, evaluation or training, meanwhile."""
    with keeping_modes(model):
        for module in model.modules():
            module.training = training
        yield


@contextmanager
def computing_on(what: str) -> Iterator[None]:
    """Refuse what the model cannot compute on; to run out of memory is another matter."""
    try:
        yield
    except (ValueError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)  # torch.fx describes itself below
        raise ValueError(f"the model does not compute on {what}: {first_line}") from error
