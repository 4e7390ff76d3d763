"""Pruning a whole model by a criterion: scores for all weights, the largest of them kept, in exact numbers."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from expandergraphs._checks import as_integer
from expandergraphs._words import did_you_mean
from expandergraphs.budget import PATTERNS, spread
from expandergraphs.rng import RNG, streams
from expandergraphs_torch.criteria import CRITERIA, Loss, Masks, Scores, Scoring
from expandergraphs_torch.layers import install
from expandergraphs_torch.masked import Masked
from expandergraphs_torch.plan import untie
from expandergraphs_torch.select import Candidate, Selectors, candidates, select

Criterion = str | Callable[[str, nn.Module], Tensor]


def prune(
    model: nn.Module,
    criterion: Criterion,
    *,
    density: float,
    scope: str = "global",
    data: Iterable[Any] | None = None,
    loss_fn: Loss | None = None,
    rounds: int | None = None,
    invert: bool = False,
    pattern: str = "weight",
    include: Selectors = None,
    exclude: Selectors = None,
    rng: RNG = None,
) -> nn.Module:
    """Keep the weights of a model that score highest, in place; the others are masked, as by `sparsify`.

    What is masked already stays so; a model can be pruned again and again, to ever smaller densities.

    Parameters
    ----------
    model : Module
    criterion : {"random", "magnitude", "snip", "grasp", "synflow", "obd"} or callable(name, module)
        See `expandergraphs_torch.criteria` for the formulas; or a function that returns the scores of a layer, of the
        shape of its weight.
    density : float
        Of the weights of all included layers that are left; exactly ``round(density * n)``.
    scope : {"global", "layer"}
        Whether all weights compete, or those of a layer. "random" keeps the same share of every layer in either.
    data : iterable of batches
        For "snip", "grasp" and "obd", which read one batch; "synflow" takes the shape of an input from it, without the
        first dimension.
    loss_fn : callable(model, batch) -> Tensor
        The loss of a batch, as one number; by default the cross-entropy of ``model(x)`` and y for batches (x, y).
    rounds : int, optional
        Score and prune so many times, to densities that fall exponentially; 100 for "synflow", 1 for the others.
    invert : bool
        Keep the weights that score lowest: a control.
    pattern : {"weight", "channel"}
        Whether a convolution loses single weights, or whole kernels, which score the sum of their weights; density is
        then counted in kernels.
    include, exclude
        As for `sparsify`; layers that are masked already can be included.
    rng : None, int, SeedSequence or Generator
        For "random", and for the signs of "obd".

    Returns
    -------
    Module
        The model itself. Its weights, buffers, gradients and mode, and PyTorch's random state, are as before, save that
        weights are zero off the masks.

    Raises
    ------
    ValueError
        If an argument is out of its range, more weights are asked for than are left, data is missing, or a score is not
        finite. The model is then as it was.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10))
    >>> data = [(torch.randn(64, 784), torch.randint(10, (64,)))]
    >>> egt.density(prune(model, "snip", density=0.05, data=data)) * 238_200
    11910.0
    """
    choice = choose(
        model,
        criterion,
        density=density,
        scope=scope,
        data=data,
        loss_fn=loss_fn,
        rounds=rounds,
        invert=invert,
        pattern=pattern,
        include=include,
        exclude=exclude,
        rng=rng,
    )
    choice.install()
    return model


class Choice(NamedTuple):
    """What `prune` is about to do."""

    layers: list[Candidate]  # each with a weight of its own
    twins: list[tuple[Candidate, Candidate]]  # a layer, and the one of `layers` whose weight it shares
    masks: Masks
    label: str

    def install(self) -> None:
        """Mask the layers."""
        for layer, owner in [*((layer, layer) for layer in self.layers), *self.twins]:
            install(layer.module, self.masks[owner.name], self.label)


def choose(
    model: nn.Module,
    criterion: Criterion,
    *,
    density: float,
    scope: str,
    data: Iterable[Any] | None,
    loss_fn: Loss | None,
    rounds: int | None,
    invert: bool,
    pattern: str,
    include: Selectors,
    exclude: Selectors,
    rng: RNG,
) -> Choice:
    """Score, and decide what is kept, as `prune` does; the model stays as it was."""
    score, label = _as_criterion(criterion)
    if scope not in ("global", "layer"):
        raise ValueError(f"scope must be 'global' or 'layer', got {scope!r}")
    if pattern not in PATTERNS:
        raise ValueError(f"pattern must be one of {', '.join(map(repr, PATTERNS))}, got {pattern!r}")
    rounds = (100 if criterion == "synflow" else 1) if rounds is None else as_integer("rounds", rounds, minimum=1)
    layers, twins = untie(everything := candidates(model), select(everything, include, exclude, masked_too=True))
    masks = {layer.name: _present(layer, pattern) for layer in layers}
    targets = _targets(layers, masks, density, "layer" if criterion == "random" else scope, pattern)
    scoring = Scoring(model, layers, data, loss_fn, streams(rng))
    alive = {name: int(mask.count_nonzero()) for name, mask in masks.items()}
    for k in range(1, rounds + 1):
        with scoring.undisturbed():
            scores = score(scoring, masks)
        _check(scores, masks, scoring)
        if invert:
            scores = {name: -values for name, values in scores.items()}
        for names, final in targets:
            start = sum(alive[name] for name in names)
            keep = final if k == rounds or not final else round(start * (final / start) ** (k / rounds))
            masks |= keep_largest({n: _by_pattern(scores[n], masks[n]) for n in names}, masks, keep)
        del scores
    return Choice(layers, twins, masks, label)


def keep_largest(scores: Scores, masks: Masks, n_keep: int) -> Masks:
    """Return masks of the `n_keep` largest scores on the given ones; of equal scores, the first are kept."""
    alive = {name: int(masks[name].count_nonzero()) for name in scores}
    if n_keep == sum(alive.values()):
        return {name: masks[name] for name in scores}
    if n_keep == 0:
        return {name: torch.zeros_like(masks[name]) for name in scores}
    double = any(values.dtype == torch.float64 for values in scores.values())
    kind = torch.float64 if double else torch.float32  # of all: layers may differ, and a threshold must not be rounded
    flat, end = np.empty(sum(alive.values()), dtype=np.float64 if double else np.float32), 0
    for name, values in scores.items():
        end += alive[name]
        whole = alive[name] == values.numel()
        present = values.flatten() if whole else values[masks[name].to(values.device)]
        flat[end - alive[name] : end] = present.cpu().to(kind).numpy()
    place = flat.size - n_keep
    flat.partition(place)
    threshold = flat[place].item()
    n_ties = n_keep - int(np.count_nonzero(flat[place:] > threshold))
    del flat
    kept = {}
    for name, values in scores.items():
        values, mask = values.to(kind), masks[name].to(values.device)
        chosen, ties = ((values >= threshold) & mask).contiguous(), (values == threshold) & mask
        n_here = int(ties.count_nonzero())
        if n_here > n_ties:
            chosen.view(-1)[ties.flatten().nonzero()[n_ties:, 0]] = False
        n_ties -= min(n_here, n_ties)
        kept[name] = chosen.to(masks[name].device)
    return kept


def _as_criterion(criterion: Any) -> tuple[Callable[[Scoring, Masks], Scores], str]:
    if isinstance(criterion, str) and criterion in CRITERIA:
        return CRITERIA[criterion], criterion
    if isinstance(criterion, str) or not callable(criterion):
        hint = did_you_mean(str(criterion), CRITERIA)
        raise ValueError(f"criterion must be one of {', '.join(CRITERIA)} or a function, got {criterion!r}{hint}")

    def score(scoring: Scoring, masks: Masks) -> Scores:
        with torch.no_grad():
            scores = {name: torch.as_tensor(criterion(name, layer)) for name, layer in scoring.layers.items()}
            return {n: v.clone() if v.is_floating_point() else v.to(torch.float64) for n, v in scores.items()}

    return score, getattr(criterion, "__name__", type(criterion).__name__)


@torch.inference_mode(False)
def _present(layer: Candidate, pattern: str) -> Tensor:
    """Return the mask that a layer has, or all ones, in the shape of the pattern."""
    weight = layer.module.weight
    kernel = weight.shape[2:] if pattern == "weight" else (1,) * (weight.ndim - 2)
    mask = layer.module.topology if isinstance(layer.module, Masked) else torch.ones(1, 1, dtype=torch.bool)
    if pattern == "channel" and mask[0, 0].numel() > 1:
        raise ValueError(f"layer {layer.name!r} is masked by single weights; prune it with pattern='weight'")
    while mask.ndim < weight.ndim:
        mask = mask[..., None]
    return mask.expand(*weight.shape[:2], *kernel).contiguous().to(weight.device)


def _targets(
    layers: list[Candidate], masks: Masks, density: float, scope: str, pattern: str
) -> list[tuple[list[str], int]]:
    """Decide what competes, and how many of it are kept."""
    counts = list(spread([layer.shape for layer in layers], density=density, pattern=pattern))
    names = [layer.name for layer in layers]
    if scope == "layer":
        _round_down_to_what_is_left(counts, [masks[name] for name in names])
    groups = [(names, sum(counts))] if scope == "global" else [([n], m) for n, m in zip(names, counts, strict=True)]
    for competing, keep in groups:
        left = sum(int(masks[name].count_nonzero()) for name in competing)
        if keep > left:
            where = "" if scope == "global" else f" of layer {competing[0]!r}"
            possible = sum(masks[name].numel() for name in competing)
            raise ValueError(
                f"density {density} is {keep} of {possible} weights{where}, and {left} are left: ask for at most "
                f"{left / possible:.6g}"
            )
    return groups


def _round_down_to_what_is_left(counts: list[int], masks: list[Tensor]) -> None:
    """Let other layers have the weight that a layer is rounded up to and a larger density, rounded down, took away."""
    left, sizes = [int(mask.count_nonzero()) for mask in masks], [mask.numel() for mask in masks]
    n, total = sum(counts), sum(sizes)
    for k, count in enumerate(counts):
        if left[k] == count - 1 and n * sizes[k] < count * total:
            room = [j for j in range(len(counts)) if counts[j] < left[j]]
            if room:
                counts[max(room, key=lambda j: n * sizes[j] - counts[j] * total)] += 1
                counts[k] -= 1


def _by_pattern(scores: Tensor, mask: Tensor) -> Tensor:
    return scores if scores.shape == mask.shape else scores.sum(dim=tuple(range(2, scores.ndim)), keepdim=True)


def _check(scores: Mapping[str, Tensor], masks: Masks, scoring: Scoring) -> None:
    for name, values in scores.items():
        if values.shape not in (scoring.layers[name].weight.shape, masks[name].shape):
            needed = tuple(scoring.layers[name].weight.shape)
            raise ValueError(f"the scores of layer {name!r} have the shape {tuple(values.shape)}, {needed} is needed")
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"the scores of layer {name!r} are not all finite: its weights, or the loss, overflow")
