"""Pictures of pruning over time: sparsity and threshold at every pruning, and the accuracy of the model beside them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from expandergraphs.plotting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = Sequence[tuple[int, float, float]]


def plot_sparsity(histories: Mapping[str, History], ax: "Axes") -> "Axes":
    """Plot the share of pruned weights over training.

    Parameters
    ----------
    histories : mapping {name: sequence of (step, density, threshold)}
        As ``expandergraphs_torch.GradualPruning.history``.
    ax : matplotlib.axes.Axes

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        If there is no history, or one of no pruning.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure(layout="constrained").subplots()
    >>> plot_sparsity({"gradual": [(1, 1.0, 0.01), (2, 0.5, 0.1), (3, 0.1, 0.2)]}, ax) is ax
    True
    """
    _draw(histories, ax, lambda line: 100 * (1 - line[1]))
    ax.set(xlabel="step", ylabel="sparsity (% of weights pruned)", ylim=(0, 103))
    return ax


def plot_threshold(histories: Mapping[str, History], ax: "Axes") -> "Axes":
    """Plot the smallest magnitude left after every pruning; parameters, errors: as for `plot_sparsity`.

    Parameters
    ----------
    histories : mapping {name: sequence of (step, density, threshold)}
        As for `plot_sparsity`.
    ax : matplotlib.axes.Axes

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    Raises
    ------
    ValueError
        As `plot_sparsity` does.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure(layout="constrained").subplots()
    >>> plot_threshold({"gradual": [(1, 1.0, 0.01), (2, 0.5, 0.1), (3, 0.1, 0.2)]}, ax) is ax
    True
    """
    _draw(histories, ax, lambda line: line[2])
    ax.set(xlabel="step", ylabel="smallest remaining |weight|")
    ax.set_ylim(bottom=0)
    return ax


def pruning_figure(
    histories: Mapping[str, History], accuracies: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None
) -> "Figure":
    """Return a figure of sparsity, threshold and, where they are given, accuracies over training.

    Parameters
    ----------
    histories : mapping {name: sequence of (step, density, threshold)}
    accuracies : mapping {name: (steps, accuracies in percent)}, optional
        A name that has a history is drawn like it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no history, one of no pruning, or steps and accuracies differ in number.

    Examples
    --------
    >>> history = [(100, 0.8, 0.002), (200, 0.3, 0.01), (300, 0.1, 0.03)]
    >>> figure = pruning_figure({"magnitude": history}, {"magnitude": ([100, 200, 300], [97.1, 97.0, 96.4])})
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['sparsity (% of weights pruned)', 'smallest remaining |weight|', 'test accuracy (%)']
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * (2 if accuracies is None else 3), 3.6), layout="constrained")
    panels = figure.subplots(1, 2 if accuracies is None else 3, sharex=True)
    plot_sparsity(histories, panels[0])
    plot_threshold(histories, panels[1])
    names = list(dict.fromkeys([*histories, *(accuracies or {})]))
    for name, (steps, values) in (accuracies or {}).items():
        x, y = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
        if x.shape != y.shape or x.ndim != 1:
            raise ValueError(f"steps and accuracies of {name!r} must be as many, got shapes {x.shape} and {y.shape}")
        panels[2].plot(x, y, label=name, **style(names.index(name)))
    if accuracies is not None:
        panels[2].set(xlabel="step", ylabel="test accuracy (%)")
        panels[2].legend()
    return figure


def _draw(histories: Mapping[str, History], ax: "Axes", value: Callable[[tuple[int, float, float]], float]) -> None:
    if not histories or not all(len(history) for history in histories.values()):
        raise ValueError(f"at least one history with a pruning in it is needed, got {dict(histories)!r}")
    for k, (name, history) in enumerate(histories.items()):
        ax.plot(
            [line[0] for line in history],
            [value(line) for line in history],
            drawstyle="steps-post",
            label=name,
            **style(k),
        )
    ax.legend()
