"""Pruning over time, and the controls."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs_torch as egt
from tests.torch.test_prune import everything, mlp


def train(model, optimizer, pruning=None, steps=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = torch.randn(16, 20, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long()).backward()
        optimizer.step()
        if pruning is not None:
            pruning.step()


OPTIMIZERS = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3),
    "adam": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2),
}


def test_the_schedule_is_zhu_and_gupta_s():
    pruning = egt.GradualPruning(mlp(20, 30, 2), final_density=0.1, initial_density=0.9, begin=10, end=110, every=7)
    for step in (10, 17, 59, 109, 110):
        s = 0.9 + (0.1 - 0.9) * (1 - (step - 10) / 100) ** 3
        assert pruning.density_at(step) == pytest.approx(1 - s)
    assert pruning.density_at(9) == 1
    assert pruning.density_at(500) == 0.1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_model_follows_the_schedule(optimizer):
    model = mlp(20, 30, 2)
    optimizer = OPTIMIZERS[optimizer](model)
    pruning = egt.GradualPruning(model, final_density=0.1, begin=3, end=20, every=5, optimizer=optimizer)
    for step in range(1, 25):
        train(model, optimizer, pruning, seed=step)
        if step in (3, 8, 13, 18, 20):
            assert pruning.history[-1].step == step
            assert egt.summary(model).n_edges == round(pruning.density_at(step) * 660)
        for layer in egt.masked_modules(model).values():
            assert (layer.weight[~layer.mask] == 0).all()
            for tensor in optimizer.state[layer.weight].values():
                if tensor.shape == layer.weight.shape:
                    assert (tensor[~layer.mask] == 0).all()
    assert [line.step for line in pruning.history] == [3, 8, 13, 18, 20]
    thresholds = [line.threshold for line in pruning.history]
    assert thresholds[-1] > thresholds[0]


def test_one_time_pruning_is_one_step():
    model = mlp(20, 30, 2)
    pruning = egt.GradualPruning(model, final_density=0.2, begin=2, end=2, every=1)
    assert [pruning.step() for _ in range(4)] == [False, True, False, False]
    assert egt.density(model) == pytest.approx(0.2)


@pytest.mark.parametrize("criterion", ["magnitude", "snip", "random"])
def test_it_goes_on_where_it_was_interrupted(criterion):
    data = [(torch.ones(4, 20), torch.tensor([0, 1, 0, 1]))]

    def start():
        model = mlp(20, 30, 2)
        optimizer = OPTIMIZERS["sgd"](model)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
        options = {"criterion": criterion, "data": data, "rng": 0, "optimizer": optimizer}
        return (
            model,
            optimizer,
            schedule,
            egt.GradualPruning(model, final_density=0.1, begin=2, end=9, every=3, **options),
        )

    def run(parts, steps):
        model, optimizer, schedule, pruning = parts
        for step in steps:
            train(model, optimizer, pruning, seed=step)
            schedule.step()

    whole, first, second = start(), start(), start()
    run(whole, range(12))
    run(first, range(6))
    states = [copy.deepcopy(part.state_dict()) for part in first]
    json.dumps(states[3])
    egt.load_state_dict(second[0], states[0])
    for part, state in zip(second[1:], states[1:], strict=True):
        part.load_state_dict(state)
    run(second, range(6, 12))
    assert all(torch.equal(a, b) for a, b in zip(*(m[0].state_dict().values() for m in (whole, second)), strict=True))
    assert whole[3].state_dict() == second[3].state_dict()
    with pytest.raises(ValueError, match=r"a state made by .* is needed"):
        second[3].load_state_dict({"steps": 3})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"final_density": 1.2}, "final_density must be a number between 0 and 1"),
        ({"final_density": 0.5, "initial_density": 0.3}, "final_density = 0.5 must be at most initial_density = 0.3"),
        ({"begin": -1}, "begin must be an integer of at least 0"),
        ({"end": 1}, "end must be an integer of at least 2, got 1"),
        ({"every": 0}, "every must be an integer of at least 1"),
        ({"include": "tail"}, "matches no layer"),
    ],
)
def test_bad_schedules_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        egt.GradualPruning(mlp(20, 30, 2), **({"final_density": 0.1, "begin": 2, "end": 9, "every": 1} | change))


@pytest.mark.parametrize("other", [{"final_density": 0.2}, {"every": 2}, {"end": 8}, {"begin": 0}, {"begin": 7}])
def test_a_state_of_another_schedule_is_refused(other):
    arguments = {"final_density": 0.1, "begin": 2, "end": 9, "every": 3}
    done, fresh = (egt.GradualPruning(mlp(20, 30, 2), **arguments | change) for change in ({}, other))
    for _ in range(8):
        done.step()
    with pytest.raises(ValueError, match=r"of another schedule, with \(step, density\) (\(2, 1\.0|\(5, 0\.\d|None)"):
        fresh.load_state_dict(done.state_dict())
    assert (fresh.n_steps, fresh.history) == (0, [])
    same = egt.GradualPruning(mlp(20, 30, 2), **arguments)
    same.load_state_dict(done.state_dict())
    assert same.n_steps == 8


def test_prune_and_retrain():
    """Han's loop, and training on what it found: rewound, or drawn anew."""
    model = mlp(20, 30, 2)
    initial = copy.deepcopy(model.state_dict())
    optimizer = OPTIMIZERS["sgd"](model)
    for density in (0.5, 0.25, 0.1):
        train(model, optimizer, steps=5)
        egt.prune(model, "magnitude", density=density)
        egt.zero_off_mask(model, optimizer)
    train(model, optimizer, steps=5)
    masks = {name: layer.mask.clone() for name, layer in egt.masked_modules(model).items()}
    assert sum(int(mask.sum()) for mask in masks.values()) == 66
    model.load_state_dict(initial)
    for name, layer in egt.masked_modules(model).items():
        assert torch.equal(layer.weight, torch.where(masks[name], initial[f"{name}.weight"], 0.0))
        assert torch.equal(layer.mask, masks[name])


# --- controls ---


def test_shuffling_keeps_the_counts_and_moves_the_places():
    model = egt.prune(mlp(20, 30, 10, 2), "magnitude", density=0.2)
    before = {name: layer.mask.clone() for name, layer in egt.masked_modules(model).items()}
    assert egt.shuffle(model, rng=0) is model
    for name, layer in egt.masked_modules(model).items():
        assert layer.mask.sum() == before[name].sum()
        assert not torch.equal(layer.mask, before[name])
        assert layer.note == "positions of 'magnitude' shuffled"
    again = egt.shuffle(egt.prune(mlp(20, 30, 10, 2), "magnitude", density=0.2), rng=0)
    assert egt.topology_digest(again) == egt.topology_digest(model)
    fresh = egt.sparsify(mlp(20, 30, 10, 2), "random", budget=egt.summary(model).edges, pattern="weight", rng=0)
    assert egt.summary(fresh).edges == egt.summary(model).edges


def test_shuffling_is_uniform():
    """The first of six places is held by one of two ones in a third of the draws."""
    places = np.zeros(6)
    for seed in range(600):
        model = egt.prune(nn.Linear(3, 2), lambda name, layer: torch.arange(6.0).reshape(2, 3), density=1 / 3)
        places += egt.shuffle(model, rng=seed).mask.flatten().numpy()
    assert abs(places - 200).max() < 4 * (600 * 2 / 9) ** 0.5


def test_reinitialising_keeps_the_masks_and_takes_the_fan_in():
    model = egt.prune(nn.Sequential(nn.Linear(400, 50), nn.BatchNorm1d(50), nn.Linear(50, 3)), "magnitude", density=0.1)
    masks = {name: layer.mask.clone() for name, layer in egt.masked_modules(model).items()}
    with torch.no_grad():
        model[1].weight.fill_(7)
    state = torch.get_rng_state()
    egt.reinitialise(model, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    weights = model[0].weight.detach().clone()
    for name, layer in egt.masked_modules(model).items():
        assert torch.equal(layer.mask, masks[name])
        assert torch.equal(layer.weight != 0, layer.mask)
        fan_in = layer.mask.sum(dim=1, keepdim=True).clamp(min=1)
        assert (layer.weight.abs() <= fan_in**-0.5 + 1e-6).all()
    assert (model[1].weight == 1).all()
    assert torch.equal(egt.reinitialise(model, seed=3)[0].weight, weights)
    assert not torch.equal(egt.reinitialise(model)[0].weight, weights)


def test_what_cannot_be_reinitialised_is_named():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

    model = nn.Sequential(nn.Linear(3, 3), Scale())
    before = everything(model)[0]
    with pytest.raises(ValueError, match=r"module '1' \(Scale\) has parameters and no reset_parameters"):
        egt.reinitialise(model, seed=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
