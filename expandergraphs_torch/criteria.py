"""What a weight is worth: the criteria of pruning, each a score for every weight; the largest are kept.

With w a weight as the layer computes with it (zero where it is pruned already), L the loss on one batch, g its gradient
and H its Hessian:

=========  ===============================  =========================================================================
criterion  score                            source
=========  ===============================  =========================================================================
random     uniform                          every layer keeps the same share, exactly
magnitude  ``abs(w)``                       Han et al., NeurIPS 2015
snip       ``abs(w g)``                     Lee, Ajanthan, Torr, ICLR 2019; the N2NSkip paper's connection sensitivity
grasp      ``w (H g)``                      Wang, Zhang, Grosse, ICLR 2020: they remove the largest ``-w (H g)``
synflow    ``w dR/dw``, R the sum of the    Tanaka et al., NeurIPS 2020: in many rounds, in double precision
           outputs of the network of
           ``abs(w)`` for an input of ones
obd        ``w^2 diag(H) / 2``              LeCun, Denker, Solla, NeurIPS 1989
=========  ===============================  =========================================================================

Scoring leaves the model as it was, bit for bit: the loss is computed with other tensors in the place of parameters and
buffers, and PyTorch's random state is put back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from expandergraphs_torch.computing import computing_on, evaluating, keeping_modes
from expandergraphs_torch.select import Candidate

Loss = Callable[[nn.Module, Any], Tensor]
Masks = dict[str, Tensor]
Scores = dict[str, Tensor]
PROBES = 64  # of the Hessian's diagonal; a power of two


class Scoring:
    """A model to score: its layers by name, what they are masked by at the moment, a batch and a loss.

    Parameters
    ----------
    model : Module
    layers : list of Candidate
        Each with a weight of its own.
    data : iterable of batches or None
        Read once, one batch.
    loss_fn : callable(model, batch) or None
        Cross-entropy of ``model(x)`` and y, for batches (x, y, ...), by default.
    stream : callable
        From a name to its own generator of random numbers.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: list[Candidate],
        data: Iterable[Any] | None,
        loss_fn: Loss | None,
        stream: Callable[[str], np.random.Generator],
    ) -> None:
        self.model, self.stream, self._data = model, stream, data
        self.layers = {layer.name: layer.module for layer in layers}
        if isinstance(loss_fn, nn.Module) or getattr(loss_fn, "__module__", None) == nn.functional.__name__:
            raise ValueError(
                f"loss_fn is called as loss_fn(model, batch), which {loss_fn!r} is not; for cross-entropy leave it out"
            )
        self._loss = _Loss(model, cross_entropy if loss_fn is None else loss_fn)
        self._batch: Any = None

    @property
    def batch(self) -> Any:
        """The first batch of the data."""
        if self._batch is None:
            if isinstance(self._data, Tensor | dict):
                raise ValueError(
                    f"data is an iterable of batches, got a {type(self._data).__name__}: for one batch (x, y), give "
                    "[(x, y)]; other batches need loss_fn(model, batch) too"
                )
            if not isinstance(self._data, Iterable):
                raise ValueError(f"this criterion needs data, an iterable of batches; got {self._data!r}")
            self._batch = next(iter(self._data), None)
            if self._batch is None:
                raise ValueError("this criterion needs a batch, and data has none")
        return self._batch

    def weights(self, masks: Masks) -> dict[str, Tensor]:
        """Return the weights that the layers compute with, by layer name, to be read only: they may be its own."""
        return {name: _present(layer.weight.detach(), masks[name]) for name, layer in self.layers.items()}

    def loss(self, weights: dict[str, Tensor]) -> Tensor:
        """Compute the loss with other weights, on copies of the buffers."""
        changed = {f"model.{self._key(name)}": weight for name, weight in weights.items()}
        changed |= {f"model.{name}": buffer.clone() for name, buffer in self.model.named_buffers()}
        loss = functional_call(self._loss, changed, (self.batch,))
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise ValueError(f"loss_fn(model, batch) must return one number in a tensor, got {type(loss).__name__}")
        return loss.sum()

    def output_of_ones(self, weights: dict[str, Tensor]) -> Tensor:
        """Sum the outputs for an input of ones in evaluation mode: absolute weights, no biases, no running means."""
        x = self.batch[0] if isinstance(self.batch, list | tuple) else self.batch
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 2:
            got = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"synflow needs batches of floats x, or (x, ...), to know the shape; got {got}")
        device = next(iter(weights.values())).device
        changed = {self._key(name): weight for name, weight in weights.items()}
        for name, tensor in (*self.model.named_parameters(), *self.model.named_buffers()):
            if name not in changed:
                changed[name] = _linear_part(name, tensor.detach()) if tensor.is_floating_point() else tensor.clone()
        ones = torch.ones(1, *x.shape[1:], dtype=torch.float64, device=device)
        with evaluating(self.model):
            output = functional_call(self.model, changed, (ones,))
        if not isinstance(output, Tensor):
            raise ValueError(f"synflow needs a model that returns a tensor, got {type(output).__name__}")
        return output.sum()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let gradients be computed, and leave the random state and the modes as they were."""
        devices = {p.device for p in self.model.parameters() if p.device.type == "cuda"}
        random_state = torch.random.fork_rng(devices=list(devices))
        with random_state, keeping_modes(self.model), torch.inference_mode(False), torch.enable_grad():
            yield

    def _key(self, name: str) -> str:
        return f"{name}.weight" if name else "weight"


class _Loss(nn.Module):
    """The loss as a module, so that tensors of the model below can be replaced while it is computed."""

    def __init__(self, model: nn.Module, loss_fn: Loss) -> None:
        super().__init__()
        self.model, self.loss_fn = model, loss_fn

    def forward(self, batch: Any) -> Tensor:
        return self.loss_fn(self.model, batch)


def cross_entropy(model: nn.Module, batch: Any) -> Tensor:
    """Return the cross-entropy of ``model(x)`` and y, for a batch (x, y, ...)."""
    if not isinstance(batch, list | tuple) or len(batch) < 2:
        raise ValueError(
            f"without a loss_fn, a batch must be (x, y), got {type(batch).__name__}; for others give loss_fn(model, "
            "batch), such as lambda model, batch: model(**batch).loss"
        )
    device = next(model.parameters()).device
    with computing_on("the first batch of data"):
        output = model(batch[0].to(device))
        if not isinstance(output, Tensor):
            raise ValueError(f"the model returns a {type(output).__name__}, not a tensor: give loss_fn(model, batch)")
        return nn.functional.cross_entropy(output, batch[1].to(device))


def random(scoring: Scoring, masks: Masks) -> Scores:
    """Score by chance, each layer from the stream of its name."""
    return {name: torch.from_numpy(scoring.stream(name).random(mask.shape)) for name, mask in masks.items()}


def magnitude(scoring: Scoring, masks: Masks) -> Scores:
    """Score by ``abs(w)``."""
    return {name: weight.abs() for name, weight in scoring.weights(masks).items()}


def snip(scoring: Scoring, masks: Masks) -> Scores:
    """Score by ``abs(w g)``."""
    weights = _leaves(scoring.weights(masks))
    gradients = _gradients(scoring.loss(weights), weights)
    return {name: _product(gradients[name], weight).abs_() for name, weight in weights.items()}


def grasp(scoring: Scoring, masks: Masks) -> Scores:
    """Score by ``w (H g)``: what increases the norm of the gradient is kept."""
    weights = _leaves(scoring.weights(masks))
    gradients = _gradients(scoring.loss(weights), weights, create_graph=True)
    vectors = {name: _present(gradient.detach(), masks[name]) for name, gradient in gradients.items()}
    curved = _hessian_times(vectors, gradients, weights)
    return {name: _product(curved[name], weight) for name, weight in weights.items()}


def obd(scoring: Scoring, masks: Masks) -> Scores:
    """Score by ``w^2 diag(H) / 2``.

    The diagonal is estimated with `PROBES` products with the Hessian, of the rows of a Hadamard matrix under random
    signs: entry i of row j is ``s_i (-1)^popcount(j & i % PROBES)``. What is left of the rows' products are the entries
    of H between weights whose numbers agree modulo PROBES, with random signs: nothing, in a model of at most that many
    weights. (Bekas, Kokiopoulou, Saad. An estimator for the diagonal of a matrix. Appl. Numer. Math. 57 (2007).)
    """
    weights = _leaves(scoring.weights(masks))
    gradients = _gradients(scoring.loss(weights), weights, create_graph=True)
    signs, first = {}, 0
    for name, weight in weights.items():
        drawn = torch.from_numpy(
            scoring.stream(f"{name}/signs").integers(2, size=weight.numel(), dtype=np.int8) * 2 - 1
        )
        signs[name] = drawn.to(weight.device), (torch.arange(weight.numel(), device=weight.device) + first) % PROBES
        first += weight.numel()
    diagonals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    colours = np.arange(PROBES)
    for j in range(PROBES):
        row = torch.from_numpy(1 - 2 * (np.bitwise_count(colours & j) % 2).astype(np.int8))
        probe = {
            name: _present((row.to(sign.device)[colour] * sign).to(weight.dtype).reshape(weight.shape), masks[name])
            for (name, weight), (sign, colour) in zip(weights.items(), signs.values(), strict=True)
        }
        for name, curved in _hessian_times(probe, gradients, weights, retain_graph=True).items():
            diagonals[name].add_(curved.mul_(probe[name]), alpha=1 / PROBES)
    return {name: diagonals[name].mul_(weight.detach().square()).mul_(0.5) for name, weight in weights.items()}


def synflow(scoring: Scoring, masks: Masks) -> Scores:
    """Score by ``w dR/dw``: how much flows through a weight if all of them are positive."""
    weights = {
        name: torch.where(masks[name], layer.weight.detach().to(torch.float64).abs_(), 0.0).requires_grad_()
        for name, layer in scoring.layers.items()
    }
    gradients = _gradients(scoring.output_of_ones(weights), weights)
    return {name: gradients[name].mul_(weight.detach()) for name, weight in weights.items()}


CRITERIA: dict[str, Callable[[Scoring, Masks], Scores]] = {
    "random": random,
    "magnitude": magnitude,
    "snip": snip,
    "grasp": grasp,
    "synflow": synflow,
    "obd": obd,
}


def _present(tensor: Tensor, mask: Tensor) -> Tensor:
    """Return a tensor, zero off the mask; itself, where the mask is full."""
    return tensor if int(mask.count_nonzero()) == mask.numel() else torch.where(mask, tensor, 0.0)


def _leaves(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: weight.requires_grad_() for name, weight in weights.items()}


def _gradients(value: Any, weights: Mapping[str, Tensor], **options: Any) -> dict[str, Tensor]:
    """Return the gradient of a number with respect to the weights; zeros where it does not depend on them."""
    found = torch.autograd.grad(value, list(weights.values()), materialize_grads=True, **options)
    return dict(zip(weights, found, strict=True))


def _hessian_times(
    vectors: dict[str, Tensor], gradients: dict[str, Tensor], weights: Mapping[str, Tensor], **options: Any
) -> dict[str, Tensor]:
    """Return the Hessian times a vector, given gradients that have a graph; where they have none, it is zero."""
    names = [name for name, gradient in gradients.items() if gradient.requires_grad]
    if not names:
        return {name: torch.zeros_like(weight) for name, weight in weights.items()}
    along = [vectors[name] for name in names]
    return _gradients([gradients[name] for name in names], weights, grad_outputs=along, **options)


def _product(gradient: Tensor, weight: Tensor) -> Tensor:
    """Return a gradient, overwritten where that is precise enough, times its weight: halves underflow, and then tie."""
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32)).mul_(weight.detach())


def _linear_part(name: str, tensor: Tensor) -> Tensor:
    """Return what makes a network of ReLUs homogeneous: absolute values, no biases, no running means."""
    tensor = tensor.to(torch.float64)
    return torch.zeros_like(tensor) if name.endswith(("bias", "running_mean")) else tensor.abs()
