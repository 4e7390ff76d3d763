"""The harness: a run is a function of its seed, killed or not, and what it reports is what a plain loop gives."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs_torch as egt
from benchmarks.papers import training
from benchmarks.papers.data import Data, Images, batch
from benchmarks.papers.training import HALVINGS, OutOfTime, Recipe, evaluate, train

RECIPE = Recipe(epochs=3, batch=16, lr=0.1, schedule="cosine", augment=("flip", "crop"))


def images(n, seed):
    """Make images whose class shows: a bright quarter."""
    rng = np.random.default_rng(seed)
    y = rng.integers(4, size=n)
    x = rng.integers(0, 120, size=(n, 3, 8, 8))
    for i, kind in enumerate(y):
        x[i, :, 4 * (kind // 2) :, 4 * (kind % 2) :][:, :4, :4] += 120
    return Images(torch.tensor(x, dtype=torch.uint8), torch.tensor(y))


def small_data(n=200):
    return Data(
        "quarters", "made here", tuple("abcd"), images(n, 0), images(40, 1), images(60, 2), (0.3,) * 3, (0.2,) * 3
    )


def convolutional(seed=0):
    torch.manual_seed(seed)
    parts = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(8 * 4 * 4, 4))


def masked():
    return egt.sparsify(convolutional(), "regular", density=0.5, exclude="0", rng=0)


def gradual(model, optimizer):
    return egt.GradualPruning(
        model, initial_density=0.5, final_density=0.2, begin=3, end=25, every=4, optimizer=optimizer
    )


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def without_time(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("pruning", [None, gradual])
@pytest.mark.parametrize("make", [convolutional, masked])
def test_a_run_stopped_again_and_again_ends_as_one_that_was_not(make, pruning, tmp_path, monkeypatch):
    data, whole, parts = small_data(), make(), make()
    rows = train(whole, data, RECIPE, seed=5, folder=tmp_path / "whole", pruning=pruning)
    stops = 0
    while True:
        parts = make()
        try:
            again = train(parts, data, RECIPE, seed=5, folder=tmp_path / "parts", pruning=pruning, deadline=time.time())
            break
        except OutOfTime:
            stops += 1
    assert stops == 5  # in the middle of each of three epochs of 12 steps, and at the ends of two
    assert same(whole, parts)
    assert without_time(rows) == without_time(again)
    assert [row["step"] for row in rows] == [12, 24, 36]
    if pruning:
        assert egt.summary(parts).n_edges == round(0.2 * (3 * 8 * 9 + 8 * 8 * 9 + 128 * 4))


def test_what_is_finished_is_loaded_and_not_trained(tmp_path, monkeypatch):
    data, model = small_data(), convolutional()
    rows = train(model, data, RECIPE, seed=5, folder=tmp_path)
    monkeypatch.setattr(training, "batch", None)
    other = convolutional(seed=1)
    assert train(other, data, RECIPE, seed=5, folder=tmp_path) == rows
    assert same(model, other)


SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from benchmarks.papers import training
from tests.papers.test_training import RECIPE, convolutional, small_data
training.EVERY = 0
plain = training.batch
def slowly(*a, **k):
    import time
    time.sleep(0.05)
    return plain(*a, **k)
training.batch = slowly
training.train(convolutional(), small_data(), RECIPE, seed=5, folder=Path(sys.argv[1]))
"""


def test_a_killed_run_loses_seconds(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "killed")])
    end = time.monotonic() + 60
    while not (tmp_path / "killed/log.jsonl").exists() and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    begun = torch.load(tmp_path / "killed/checkpoint.pt", weights_only=True)["step"]
    assert 0 < begun < 36
    data, whole, rest = small_data(), convolutional(), convolutional()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the process that was killed: sums are in one order
    try:
        rows = train(whole, data, RECIPE, seed=5, folder=tmp_path / "whole")
        again = train(rest, data, RECIPE, seed=5, folder=tmp_path / "killed")
    finally:
        torch.set_num_threads(threads)
    assert same(whole, rest)
    assert without_time(rows) == without_time(again)
    log = (tmp_path / "killed/log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in log] == again


def test_training_is_the_plain_loop(tmp_path):
    recipe = Recipe(epochs=2, batch=16, lr=0.1, schedule=((0, 1), (0.5, 0.3)))
    data, model, twin = small_data(), convolutional(), convolutional()
    rows = train(model, data, recipe, seed=5, folder=tmp_path)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    twin.to(memory_format=torch.channels_last)
    for epoch in range(2):
        optimizer.param_groups[0]["lr"] = 0.1 * (1, 0.3)[epoch]
        losses, right = [], 0
        order = torch.randperm(200, generator=training._generator("cpu", 5, epoch))
        for at in range(12):
            x, y = batch(data.train, order[16 * at : 16 * at + 16], data, torch.device("cpu"))
            loss = nn.functional.cross_entropy(logits := twin(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            right += (logits.argmax(1) == y).sum().item()
        assert rows[epoch]["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
        assert rows[epoch]["train"] == pytest.approx(100 * right / 192)
        assert rows[epoch]["lr"] == pytest.approx(0.1 * (1, 0.3)[epoch])
    assert same(model, twin)
    twin.eval()
    x, y = batch(data.test, torch.arange(60), data, torch.device("cpu"))
    wanted = 100 * (twin(x).argmax(1) == y).double().mean().item()
    assert evaluate(model, data.test, data) == evaluate(model, data.test, data, size=7) == pytest.approx(wanted)
    assert wanted > 60
    assert model.training  # as it was


def test_the_seed_decides(tmp_path):
    data, models = small_data(), [convolutional() for _ in range(3)]
    for k, (model, seed) in enumerate(zip(models, (5, 5, 6), strict=True)):
        train(model, data, RECIPE, seed=seed, folder=tmp_path / str(k))
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


def test_the_papers_schedule():
    recipe = Recipe(epochs=300)
    rates = [recipe.lr * recipe.factor(epoch / 300) for epoch in range(300)]
    assert rates == pytest.approx([0.05 * 0.5 ** (epoch // 30) for epoch in range(300)])
    assert recipe.schedule == HALVINGS
    cosine = Recipe(epochs=1, schedule="cosine")
    assert [cosine.factor(share) for share in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_optimizers_and_precisions_learn(optimizer, precision, tmp_path):
    lr = {"sgd": 0.1, "adamw": 0.01}[optimizer]
    recipe = Recipe(epochs=4, batch=20, optimizer=optimizer, lr=lr, precision=precision, schedule="cosine")
    model = convolutional()
    rows = train(model, small_data(), recipe, seed=0, folder=tmp_path)
    assert rows[-1]["validation"] > 60
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    full = train(convolutional(), small_data(), Recipe(**{**vars(recipe), "precision": "float32"}), seed=0,
                 folder=tmp_path / "full")  # fmt: skip
    assert (rows[0]["loss"] == full[0]["loss"]) == (precision == "float32")


def test_another_run_is_not_gone_on_with(tmp_path):
    data = small_data()
    train(convolutional(), data, RECIPE, seed=5, folder=tmp_path)
    for other in ({"seed": 6}, {"recipe": Recipe(epochs=4, batch=16)}, {"data": small_data(196)}):
        arguments = {"recipe": RECIPE, "data": data, "seed": 5} | other
        with pytest.raises(ValueError, match="give it another folder"):
            train(convolutional(), arguments["data"], arguments["recipe"], seed=arguments["seed"], folder=tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"optimizer": "adam"}, "one of sgd, adamw; got 'adam'"),
        ({"precision": "half"}, "one of float32, bfloat16; got 'half'"),
        ({"epochs": 0}, "at least 1, got 0"),
        ({"schedule": "linear"}, "'cosine' or pairs"),
        ({"schedule": ((0.5, 1),)}, "begin at 0"),
    ],
)
def test_recipes_that_make_no_sense(wrong, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**{"epochs": 1} | wrong)


def test_fewer_images_than_a_batch_are_one_batch(tmp_path):
    rows = train(convolutional(), small_data(10), Recipe(epochs=2), seed=0, folder=tmp_path)
    assert [row["step"] for row in rows] == [1, 2]


def test_no_validation_images_is_nan():
    data = small_data()
    empty = Images(data.test.x[:0], data.test.y[:0])
    assert math.isnan(evaluate(convolutional(), empty, data))


def _split(rank, folder):
    """One of two processes: train together, stop in the middle, and go on."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    try:
        for deadline in (time.time() if rank == 0 else None, None):  # process 0 decides for both
            model = without_norm()
            try:
                train(model, small_data(), PLAIN, seed=5, folder=folder, deadline=deadline)
            except OutOfTime:
                continue
        torch.save(model.state_dict(), folder / f"model {rank}.pt")
        other = egt.sparsify(without_norm(), "regular", density=0.5, rng=rank)
        try:
            train(other, small_data(), PLAIN, seed=5, folder=folder / "other")
        except ValueError as error:
            (folder / f"refused {rank}").write_text(str(error))
    finally:
        torch.distributed.destroy_process_group()


PLAIN = Recipe(epochs=2, batch=16, lr=0.05)


def without_norm():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 4))


def test_two_processes_train_what_one_does(tmp_path):
    torch.multiprocessing.spawn(_split, (tmp_path,), nprocs=2)
    model = without_norm()
    train(model, small_data(), PLAIN, seed=5, folder=tmp_path / "one")
    for rank in (0, 1):
        state = torch.load(tmp_path / f"model {rank}.pt", weights_only=True)
        for name, value in model.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5)
        assert "wiring" in (tmp_path / f"refused {rank}").read_text()
    assert not any(tmp_path.glob("other/checkpoint.pt"))
