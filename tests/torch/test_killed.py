"""A training that prunes gradually is killed at any moment, again and again, and ends as if it had not been."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import expandergraphs_torch as egt
from tests.core.test_killed import begun, was_killed

ROOT = Path(__file__).parents[2]
OPTIMIZERS = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3),
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2),
}


def batch(step):
    x = torch.randn(16, 20, generator=torch.Generator().manual_seed(step))
    return x, (x[:, 0] > 0).long()


def train(path, criterion, optimizer, n_steps=20):
    """Train from the checkpoint, or from the start; every step leaves a checkpoint of all there is."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 2))
    parts = {"model": model, "optimizer": OPTIMIZERS[optimizer](model)}
    parts["pruning"] = pruning = egt.GradualPruning(
        model, criterion=criterion, final_density=0.1, begin=2, end=16, every=3, optimizer=parts["optimizer"],
        data=[batch(-1)], rng=0,
    )  # fmt: skip
    if path.exists():
        states = torch.load(path, weights_only=True)
        egt.load_state_dict(model, states.pop("model"))
        for name, state in states.items():
            parts[name].load_state_dict(state)
    while pruning.n_steps < n_steps:
        x, y = batch(pruning.n_steps)
        parts["optimizer"].zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        parts["optimizer"].step()
        pruning.step()
        unfinished = path.with_suffix(".new")
        torch.save({name: part.state_dict() for name, part in parts.items()}, unfinished)
        os.replace(unfinished, path)


def watched(action, moment=None):
    """Run the action, to be killed at that call or return of any function; return how many there are."""
    count = 0

    def watch(*_):
        nonlocal count
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    sys.setprofile(watch)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def kill_and_compare(folder, criterion, optimizer):
    whole, path, chance, rounds = folder / "whole.pt", folder / "killed.pt", random.Random(0), 0
    train(whole, criterion, optimizer)
    n_moments = watched(lambda: train(folder / "again.pt", criterion, optimizer)) // 2  # loading takes a sixth
    while rounds < 100:
        moment = chance.randrange(n_moments)
        if not was_killed(begun(lambda moment=moment: watched(lambda: train(path, criterion, optimizer), moment))):
            break
        rounds += 1
    assert 3 < rounds < 100
    found, expected = (torch.load(file, weights_only=True) for file in (path, whole))
    assert found["pruning"] == expected["pruning"]
    assert len(found["pruning"]["history"]) == 6
    assert found["model"].keys() == expected["model"].keys()
    for name, tensor in expected["model"].items():
        assert torch.equal(found["model"][name], tensor), name
    states = [states["optimizer"]["state"] for states in (found, expected)]
    for parameter, state in states[1].items():
        assert all(torch.equal(states[0][parameter][name], torch.as_tensor(value)) for name, value in state.items())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_gradual_pruning_goes_on_from_its_last_checkpoint(tmp_path, optimizer):
    """In a process of its own, which starts no threads: its children are copies of it."""
    script = "import sys, torch; from tests.torch.test_killed import *; torch.set_num_threads(1)\n"
    for criterion in ("magnitude", "snip", "random"):
        (tmp_path / criterion).mkdir()
        script += f"kill_and_compare(Path(sys.argv[1]) / {criterion!r}, {criterion!r}, {optimizer!r})\n"
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, env=environment, check=True)
