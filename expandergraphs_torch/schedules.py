"""Pruning over time: while a model trains, ever fewer of its weights are kept.

Han's way, prune and retrain until nothing more can go, is a loop, since a pruned model can be pruned again::

    for density in (0.5, 0.25, 0.1):
        egt.prune(model, "magnitude", density=density)
        egt.zero_off_mask(model, optimizer)
        train(model)

Training on the pruned structure is one more line: ``egt.reinitialise(model)`` draws all weights anew on its masks, and
``model.load_state_dict(initial)`` rewinds it to a dense checkpoint made before; masks stay in either.
"""

from collections.abc import Iterable
from itertools import zip_longest
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import nn

from expandergraphs._checks import as_integer
from expandergraphs.rng import RNG, as_sequence
from expandergraphs_torch.criteria import Loss
from expandergraphs_torch.model import masked_modules, zero_off_mask
from expandergraphs_torch.prune import Criterion, prune
from expandergraphs_torch.select import Selectors, candidates, select


class PruningStep(NamedTuple):
    """One line of a pruning's history: at which step, to which density, and the smallest magnitude that was left.

    Attributes
    ----------
    step : int
        Counted from 1.
    density : float
    threshold : float

    Examples
    --------
    >>> pruning = GradualPruning(nn.Sequential(nn.Linear(8, 4)), final_density=0.5, begin=1, end=1, every=1)
    >>> pruning.step()
    True
    >>> pruning.history[0].density
    0.5
    """

    step: int
    density: float
    threshold: float


class GradualPruning:
    r"""Prune a model while it trains, on the cubic schedule of Zhu and Gupta.

    .. math:: s_t = s_f + (s_i - s_f) \left(1 - \frac{t - t_0}{t_1 - t_0}\right)^3

    with s = 1 - density, at the steps t_0, t_0 + every, ... and t_1. One-time pruning is ``begin == end``.

    Parameters
    ----------
    model : Module
        Wrapped in DistributedDataParallel or not.
    criterion, scope, data, loss_fn, include, exclude, rng
        As for `prune`. `data` is read anew, one batch, at every pruning. Across processes, a criterion that reads data
        needs the same batch on all of them; `check_topology` tells.
    final_density : float
    begin, end : int
        Steps of the first and the last pruning, the first call of `step` being step 1.
    every : int
        Steps between prunings.
    initial_density : float
        At `begin`; 1 by default, so that the first pruning removes nothing, as in the paper.
    optimizer : Optimizer, optional
        Its state is zeroed off the masks at every pruning, so that momentum does not move what is gone.

    Attributes
    ----------
    n_steps : int
        Calls of `step` so far.
    history : list of PruningStep
        One for every pruning.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    Zhu, Gupta. To prune, or not to prune: exploring the efficacy of pruning for model compression. 2017, equation 1.

    Examples
    --------
    >>> import expandergraphs_torch as egt
    >>> model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> pruning = GradualPruning(model, final_density=0.1, begin=2, end=6, every=2, optimizer=optimizer)
    >>> for _ in range(8):
    ...     loss = model(torch.ones(1, 100)).square().sum()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     _ = pruning.step()
    >>> [(step, round(density, 4)) for step, density, _ in pruning.history]
    [(2, 1.0), (4, 0.2125), (6, 0.1)]
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        criterion: Criterion = "magnitude",
        final_density: float,
        begin: int,
        end: int,
        every: int,
        initial_density: float = 1.0,
        optimizer: torch.optim.Optimizer | None = None,
        scope: str = "global",
        data: Iterable[Any] | None = None,
        loss_fn: Loss | None = None,
        include: Selectors = None,
        exclude: Selectors = None,
        rng: RNG = None,
    ) -> None:
        for name, value in (("initial_density", initial_density), ("final_density", final_density)):
            if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= 1:
                raise ValueError(f"{name} must be a number between 0 and 1, got {value!r}")
        if final_density > initial_density:
            raise ValueError(f"final_density = {final_density} must be at most initial_density = {initial_density}")
        self.begin, self.every = as_integer("begin", begin), as_integer("every", every, minimum=1)
        self.end = as_integer("end", end, minimum=self.begin)
        if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
            raise ValueError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
        select(candidates(model), include, exclude, masked_too=True)  # refuses what cannot be pruned, now
        self.model, self.optimizer = model, optimizer
        self.initial_density, self.final_density = float(initial_density), float(final_density)
        self._criterion = criterion
        self._options: dict[str, Any] = {
            "scope": scope, "data": data, "loss_fn": loss_fn, "include": include, "exclude": exclude,
            "rng": as_sequence(rng),
        }  # fmt: skip
        self.n_steps, self.history = 0, list[PruningStep]()

    def density_at(self, step: int) -> float:
        """Return the density that the schedule asks for at a step.

        Parameters
        ----------
        step : int
            1 is the first call of `step`.

        Returns
        -------
        float

        Examples
        --------
        >>> pruning = GradualPruning(nn.Sequential(nn.Linear(8, 4)), final_density=0.1, begin=1, end=9, every=4)
        >>> [round(pruning.density_at(step), 4) for step in (1, 5, 9)]
        [1.0, 0.2125, 0.1]
        """
        if step >= self.end:
            return self.final_density
        if step < self.begin:
            return 1.0
        left = (1 - (step - self.begin) / (self.end - self.begin)) ** 3
        return self.final_density + (self.initial_density - self.final_density) * left

    def step(self) -> bool:
        """Count a step of training, after the optimizer's; prune if it is time to. Return whether it was.

        Returns
        -------
        bool

        Raises
        ------
        ValueError
            As `prune` does.

        Examples
        --------
        >>> pruning = GradualPruning(nn.Sequential(nn.Linear(8, 4)), final_density=0.5, begin=2, end=2, every=1)
        >>> pruning.step(), pruning.step()
        (False, True)
        """
        self.n_steps += 1
        t = self.n_steps
        due = self._is_due(t)
        if due:
            density = self.density_at(t)
            prune(self.model, self._criterion, density=density, **self._options)
            zero_off_mask(self.model, self.optimizer)
            self.history.append(PruningStep(t, density, _smallest(self.model)))
        return due

    def _is_due(self, step: int) -> bool:
        return self.begin <= step <= self.end and ((step - self.begin) % self.every == 0 or step == self.end)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs besides the model's state, which has the masks.

        Returns
        -------
        dict

        Examples
        --------
        >>> pruning = GradualPruning(nn.Sequential(nn.Linear(8, 4)), final_density=0.5, begin=2, end=2, every=1)
        >>> pruning.state_dict()
        {'n_steps': 0, 'history': []}
        """
        return {"n_steps": self.n_steps, "history": [tuple(line) for line in self.history]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken; `expandergraphs_torch.load_state_dict` loads the model's own state.

        Parameters
        ----------
        state : dict

        Raises
        ------
        ValueError
            If it is no such state, or that of another schedule.

        Examples
        --------
        >>> options = {"final_density": 0.5, "begin": 2, "end": 2, "every": 1}
        >>> pruning = GradualPruning(nn.Sequential(nn.Linear(8, 4)), **options)
        >>> pruning.step()
        False
        >>> other = GradualPruning(nn.Sequential(nn.Linear(8, 4)), **options)
        >>> other.load_state_dict(pruning.state_dict())
        >>> other.n_steps
        1
        """
        try:
            n_steps = as_integer("n_steps", state["n_steps"])
            history = [PruningStep(*line) for line in state["history"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"a state made by GradualPruning.state_dict is needed: {error!r}") from None
        done = [(line.step, line.density) for line in history]
        here = [(t, self.density_at(t)) for t in range(1, min(n_steps, self.end) + 1) if self._is_due(t)]
        for there, asked in zip_longest(done, here):
            if there != asked:
                raise ValueError(
                    f"this state is of another schedule, with (step, density) {there} where this one has {asked}; make "
                    "GradualPruning with the arguments that the state's was made with"
                )
        self.n_steps, self.history = n_steps, history


def _smallest(model: nn.Module) -> float:
    """Return the smallest magnitude among the weights on the masks; nan where there is none."""
    smallest = [
        layer.weight.detach().abs().masked_fill(~layer.mask, torch.inf).min().item()
        for layer in masked_modules(model).values()
        if layer.mask.any()
    ]
    return min(smallest, default=float("nan"))
