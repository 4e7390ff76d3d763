"""Training one network, so that being killed costs seconds: the harness of all experiments.

A run is a function of its seed, at any point: the order of the images is drawn from (seed, epoch), augmentation from
(seed, step), so that a checkpoint needs no state of a generator. On a CPU, with as many threads, a run that was killed
and goes on ends in the same weights, bit for bit, as one that was not.

In the folder of a run: `checkpoint.pt`, replaced as a whole, and `log.jsonl`, one line an epoch. Under torchrun the
batches are split over the processes, and process 0 writes.
"""

import json
import math
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from multiprocessing import parent_process

import numpy as np
import torch
from torch import distributed, nn

import expandergraphs_torch as egt
from benchmarks.papers.data import batch

HALVINGS = tuple((k / 10, 0.5**k) for k in range(10))  # RReg and N2NSkip: half as much every 30 of 300 epochs
EVERY = 30  # seconds between checkpoints
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


class OutOfTime(Exception):
    """The deadline has come; the checkpoint holds what was done."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    The learning rate is `lr` times a factor: that of the last pair (share of the training, factor) of `schedule` which
    has begun, or half a cosine. `augment` names what `data.batch` does; `batch` counts the images of all processes.
    """

    epochs: int
    batch: int = 128
    optimizer: str = "sgd"
    lr: float = 0.05
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: tuple | str = HALVINGS
    augment: tuple = ()
    precision: str = "float32"

    def __post_init__(self):
        for name, allowed in (("optimizer", ("sgd", "adamw")), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {getattr(self, name)!r}")
        if self.epochs < 1 or self.batch < 1:
            raise ValueError(f"epochs and batch must be at least 1, got {self.epochs} and {self.batch}")
        if self.schedule != "cosine" and (isinstance(self.schedule, str) or self.schedule[0][0] != 0):
            raise ValueError(f"schedule must be 'cosine' or pairs that begin at 0, got {self.schedule!r}")

    def steps_per_epoch(self, data):
        """Return the number of whole batches, one smaller one if there is none."""
        return max(1, len(data.train.y) // self.batch)

    def n_steps(self, data):
        return self.epochs * self.steps_per_epoch(data)

    def factor(self, share):
        """Return the factor of the learning rate when this share of the training is done."""
        if self.schedule == "cosine":
            return (1 + math.cos(math.pi * share)) / 2
        return [factor for begin, factor in self.schedule if begin <= share + 1e-12][-1]

    def make_optimizer(self, parameters):
        if self.optimizer == "adamw":
            return torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay)
        nesterov = self.nesterov and self.momentum > 0
        return torch.optim.SGD(
            parameters, lr=self.lr, momentum=self.momentum, nesterov=nesterov, weight_decay=self.weight_decay
        )


def train(model, data, recipe, *, seed, folder, device="cpu", deadline=None, pruning=None):
    """Train a model in place, or go on with it; return a row for each epoch.

    `pruning(model, optimizer)` makes what is stepped after the optimizer, such as `GradualPruning`. When `time.time()`
    has passed `deadline`, `OutOfTime` is raised; the same call goes on from there, later and elsewhere. A run that is
    complete is loaded, and nothing is trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device, rank, world = torch.device(device), *_place()
    if recipe.batch % world:
        raise ValueError(f"batches of {recipe.batch} images cannot be split over {world} processes")
    model.to(device, memory_format=torch.channels_last)
    optimizer = recipe.make_optimizer(model.parameters())
    key = json.loads(json.dumps([asdict(recipe), seed, data.describe()]))
    step, rows, sums, spent, pruner = _resume(model, optimizer, pruning, folder, key, device)
    net = _wrapped(model, device, world)
    n, per_epoch, n_steps = len(data.train.y), recipe.steps_per_epoch(data), recipe.n_steps(data)
    size = min(recipe.batch, n)

    def save():
        nonlocal saved
        saved, total = time.time(), _total(sums)
        if rank == 0:
            state = {"key": key, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            state |= {"rows": rows, "sums": total.cpu(), "spent": spent + saved - begun}
            state["pruning"] = pruner.state_dict() if pruner else None
            _replace(folder / "checkpoint.pt", lambda path: torch.save(state, path))
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            _replace(folder / "log.jsonl", lambda path: path.write_text(lines))
        if world > 1:
            distributed.barrier()  # nobody reads what is not written yet

    def due():
        """Return 2 if time is up, 1 if the last checkpoint is old."""
        late = deadline is not None and time.time() > deadline
        return agreed(2 if late else int(time.time() - saved > EVERY), device)

    begun = saved = time.time()
    while step < n_steps:
        epoch, first = divmod(step, per_epoch)
        order = torch.randperm(n, generator=_generator("cpu", seed, epoch))
        jobs = [(at, order[at * size : (at + 1) * size][rank::world]) for at in range(first, per_epoch)]

        def fetch(job, epoch=epoch):
            at, indices = job
            generator = _generator(device, seed, epoch, at, rank)
            return batch(data.train, indices, data, device, augment=recipe.augment, generator=generator)

        net.train()
        for x, y in _fetched(fetch, jobs, data.train):
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * recipe.factor(step / n_steps)
            with _autocast(recipe, device):
                logits = net(x)
                loss = nn.functional.cross_entropy(logits, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if pruner:
                pruner.step()
            right = (logits.detach().argmax(1) == y).sum()
            sums += torch.stack([loss.detach().double() * len(y), right.double(), right.new_tensor(len(y)).double()])
            step += 1
            if step % per_epoch and step % 10 == 0 and (what := due()):
                save()
                if what == 2:
                    raise OutOfTime(folder)
        loss, right, seen = _total(sums).tolist()
        row = {"epoch": epoch + 1, "step": step, "loss": loss / seen, "train": 100 * right / seen}
        row["validation"] = evaluate(model, data.validation, data, device, recipe)
        row |= {"lr": optimizer.param_groups[0]["lr"], "seconds": spent + time.time() - begun}
        rows.append(row)
        sums = torch.zeros_like(sums)
        _tell(folder, recipe, row, rank)
        what = due()
        if what or step == n_steps:
            save()
        if what == 2 and step < n_steps:
            raise OutOfTime(folder)
    return rows


@torch.no_grad()
def evaluate(model, images, data, device="cpu", recipe=None, size=500):
    """Return the accuracy in percent; nan where there are no images."""
    was_training = model.training
    model.eval()
    parts = torch.arange(len(images.y)).split(size)
    right = torch.zeros((), dtype=torch.int64, device=device)
    for x, y in _fetched(lambda indices: batch(images, indices, data, torch.device(device)), parts, images):
        with _autocast(recipe, x.device):
            right += (model(x).argmax(1) == y).sum()
    model.train(was_training)
    return 100 * right.item() / len(images.y) if len(images.y) else float("nan")


def _resume(model, optimizer, pruning, folder, key, device):
    """Return step, rows, sums, seconds spent and the pruning, from the checkpoint if there is one."""
    path, sums = folder / "checkpoint.pt", torch.zeros(3, dtype=torch.float64, device=device)
    if not path.exists():
        return 0, [], sums, 0.0, pruning and pruning(model, optimizer)
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["key"] != key:
        raise ValueError(f"{folder} holds a run of {state['key']}, and this one is {key}; give it another folder")
    egt.load_state_dict(model, state["model"])
    optimizer.load_state_dict(state["optimizer"])
    pruner = pruning and pruning(model, optimizer)
    if pruner:
        pruner.load_state_dict(state["pruning"])
    if _place()[0] == 0:  # the sums are those of all
        sums += state["sums"].to(device)
    return state["step"], state["rows"], sums, state["spent"], pruner


def _place():
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _wrapped(model, device, world):
    """Average gradients over the processes, where there are several, and make sure that all have one wiring."""
    if world == 1:
        return model
    egt.check_topology(model)
    return nn.parallel.DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)


def agreed(answer, device):
    """Return the number that process 0 says, so that all of them stop together."""
    if _place()[1] == 1:
        return answer
    answer = torch.tensor(answer, dtype=torch.int32, device=device)
    distributed.broadcast(answer, 0)
    return answer.item()


def _total(sums):
    """Add up those of all processes."""
    if _place()[1] > 1:
        sums = sums.clone()
        distributed.all_reduce(sums)
    return sums


def _fetched(fetch, jobs, images):
    """Yield what is fetched; images that are decoded from files, one job ahead."""
    if isinstance(images.x, torch.Tensor):
        yield from map(fetch, jobs)
        return
    with ThreadPoolExecutor(1) as pool:
        pending = None
        for job in jobs:
            following = pool.submit(fetch, job)
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()


def _autocast(recipe, device):
    dtype = PRECISIONS[recipe.precision] if recipe else None
    return torch.autocast(device.type, dtype) if dtype else nullcontext()


def _generator(device, *key):
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1
    return torch.Generator(device).manual_seed(int(seed))


def _replace(path, write):
    temporary = path.with_name(path.name + ".new")
    write(temporary)
    os.replace(temporary, path)


def _tell(folder, recipe, row, rank):
    if rank == 0 and parent_process() is None and sys.stderr.isatty():
        text = f"{folder.name}: epoch {row['epoch']} of {recipe.epochs}, loss {row['loss']:.3f}, "
        print(text + f"validation {row['validation']:.2f} %\033[K", end="\r", file=sys.stderr, flush=True)
