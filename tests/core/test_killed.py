"""What a process that is killed while it writes leaves behind: the old file or the new one, and every finished record.

Children of this process write, and kill themselves with SIGKILL right before or right after one of the calls that
reach the system; every such moment is tried, one child each. And real studies of several processes are killed at odd
times. What cannot be written for want of space leaves the same: every command that writes is tried.
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from typer.testing import CliRunner

import expandergraphs as eg
from expandergraphs import cli, demo
from expandergraphs._files import save_figure
from expandergraphs.plotting import draw_biadjacency
from expandergraphs.study import Study, study

ROOT = Path(__file__).parents[2]
CALLS = {  # that reach the system: opening, writing, closing, and what is done with names
    "open", "mkdir", "write", "writelines", "fsync", "truncate", "close", "chmod", "replace", "rename", "rmdir",
}  # fmt: skip
ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT  # whether a child has, without waiting for it


def begun(action):
    """Return the number of a child that runs the action."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 dislikes a fork where BLAS has threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return child


def was_killed(child):
    """Wait for the child; return whether it was killed, and not at its end."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def killed(action, moment):
    """Run the action in a child that is killed at the moment of that number; return whether it came so far."""
    left = moment

    def watch(_, event, function):
        nonlocal left
        if event in ("c_call", "c_return") and function.__name__ in CALLS:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    def watched():
        sys.setprofile(watch)
        action()
        sys.setprofile(None)

    return was_killed(begun(watched))


def seen(action):
    """Return the number of moments, by running the action here."""
    count = 0

    def watch(_, event, function):
        nonlocal count
        count += event in ("c_call", "c_return") and function.__name__ in CALLS

    sys.setprofile(watch)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def moments(action, most=10_000):
    """Kill the action at its first moment, its second, ..., until it ends; yield after each, also after the end."""
    moment = 0
    while killed(action, moment):
        yield moment
        moment += 1
        assert moment < most
    assert moment > 5, "hardly any moment was seen"
    yield moment


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


OLD, NEW = eg.random_regular(12, 12, 3, rng=0), eg.random_regular(12, 12, 3, rng=1)
SUFFIXES = ("npz", "mtx", "tsv", "edges", "mtx.gz", "tsv.gz", "edges.gz")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_saved_graph_is_the_old_one_or_the_new_one(tmp_path, suffix):
    path, found = tmp_path / f"g.{suffix}", []
    eg.save(path, OLD)
    for _ in moments(lambda: eg.save(path, NEW)):
        found.append(eg.load(path, sizes=(12, 12)))
        assert found[-1] in (OLD, NEW)
        assert visible(tmp_path) == [path.name]
    assert found[0] == OLD
    assert found[-1] == NEW
    assert found == sorted(found, key=lambda g: g == NEW), "once it is the new one it stays so"
    eg.save(path, OLD)  # whatever lies around
    assert eg.load(path, sizes=(12, 12)) == OLD


def test_a_graph_that_was_not_there_is_whole_or_not_there(tmp_path):
    path = tmp_path / "g.mtx.gz"
    for _ in moments(lambda: eg.save(path, NEW)):
        assert not path.exists() or eg.load(path) == NEW
        path.unlink(missing_ok=True)


def test_networks_graphs_by_name_and_studies(tmp_path):
    nets = [eg.family_net("random", [9, 8, 7], n_edges=40, rng=seed) for seed in (0, 1)]
    studies = [study("regular", [6], [2], seeds, ["degrees"]) for seeds in (2, 3)]
    kinds = {
        "net.npz": (eg.save, nets, eg.load),
        "graphs.npz": (eg.save_graphs, [{"a": OLD}, {"a": NEW, "b": OLD}], eg.load_graphs),
        "s.csv": (lambda path, result: result.save(path), studies, Study.load),
        "s.json": (lambda path, result: result.save(path), studies, Study.load),
        "s.parquet": (lambda path, result: result.save(path), studies, Study.load),
    }
    for name, (write, (old, new), read) in kinds.items():
        write(tmp_path / name, old)
        for _ in moments(lambda write=write, path=tmp_path / name, new=new: write(path, new)):
            assert read(tmp_path / name) in (old, new)
        assert read(tmp_path / name) == new
    assert visible(tmp_path) == sorted(kinds)


def test_a_folder_of_layers_is_whole_or_not_there(tmp_path):
    layers = [OLD, NEW]
    folder, net = tmp_path / "net", eg.LayeredGraph.from_layers(layers)
    for _ in moments(lambda: eg.save_graph_challenge(folder, net)):
        assert visible(tmp_path) in ([], ["net"])
        if folder.exists():
            assert list(eg.load_graph_challenge(folder, 12).layers) == layers
            shutil.rmtree(folder)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_picture_is_the_old_one_or_the_new_one(tmp_path, suffix):
    from matplotlib.figure import Figure

    path, figure = tmp_path / f"p.{suffix}", Figure(figsize=(1, 1), dpi=20)
    draw_biadjacency(OLD, figure.subplots())

    def draw():
        save_figure(figure, path)

    draw()
    whole = path.stat().st_size
    n_moments = seen(draw)
    path.write_bytes(b"old")
    # A picture is written in many small pieces; the name changes at the end.
    for moment in [*random.Random(0).sample(range(n_moments), 5), *range(n_moments - 8, n_moments)]:
        assert killed(draw, moment)
        assert path.read_bytes() == b"old" or path.stat().st_size == whole
    assert path.stat().st_size == whole
    assert visible(tmp_path) == [path.name]


@pytest.fixture
def small_demo(monkeypatch):
    """The demo on a few dozen units, few measures, small pictures, and a stand-in for training."""
    from matplotlib.figure import Figure

    def train(net, *, seed, epochs, on_epoch):
        return [90.0 + seed] * epochs

    def train_deep(method, *, seed, epochs, on_epoch):
        net = eg.family_net("random", demo.DEEP_SIZES, density=1 if method == demo.DENSE else 0.5, rng=seed)
        return [80.0 + seed] * epochs, net

    monkeypatch.setattr(demo, "SIZES", (20, 20, 10))
    monkeypatch.setattr(demo, "SYSTEMS", ((2, 5),))
    monkeypatch.setattr(demo, "DEEP_SIZES", (9, 8, 7))
    monkeypatch.setattr(demo, "measure", lambda nets: {name: eg.report(net, quick=True) for name, net in nets.items()})
    monkeypatch.setattr(demo, "_figure", lambda width, height: Figure(figsize=(width / 5, height / 5)))
    monkeypatch.setattr(cli.demo, "_training", {"demo-training": train, "demo-n2nskip": train_deep}.get)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in visible(folder)}


def test_the_demo_is_killed_and_done_again(tmp_path, small_demo):
    def run(folder, seeds=2):
        cli.demo.demo(folder, seeds, 3, no_progress=True)

    folder, rounds = tmp_path / "killed", 0
    run(tmp_path / "whole")
    run(folder, seeds=1)
    whole, old = contents(tmp_path / "whole"), contents(folder)
    assert len(whole) == 8
    assert old["results.json"] != whole["results.json"]
    (folder / "heat.png").unlink()
    for name in ("results.json", *random.Random(0).sample(sorted(whole), 3)):
        child = begun(lambda: run(folder))
        while not any(folder.glob(f".{name}.*")) and os.waitid(os.P_PID, child, ENDED) is None:
            time.sleep(0.0005)
        os.kill(child, signal.SIGKILL)
        rounds += was_killed(child)
        assert all(content in (whole[name], old[name]) for name, content in contents(folder).items())
        if name != "results.json":
            assert contents(folder)["results.json"] == whole["results.json"], "hours of training are kept first"
        for unfinished in folder.glob(".*"):
            unfinished.unlink()
    assert rounds > 1
    run(folder)
    assert contents(folder) == whole
    assert sorted(path.name for path in folder.iterdir()) == sorted(whole)


def test_nothing_is_written_but_whole():
    """Every file is written by `_files.replacing`, but for the journal of a study, which is tested below."""
    ways = re.compile(r"\.savefig\(|\.write_text\(|\.write_bytes\(|\bopen\([^)]*[\"'][wax]b?[\"']")
    found = {
        f"{path.name}: {line.strip()}"
        for path in sorted(ROOT.glob("expandergraphs/**/*.py"))
        for line in path.read_text().splitlines()
        if ways.search(line) and not line.strip().startswith((">>>", "..."))
    }
    assert found == {
        '_files.py: with open(path, "xb") as raw:',
        "_files.py: figure.savefig(file, format=path.suffix[1:], dpi=150)",
        '_study_run.py: with open(self.path, "ab") as file:',
    }


# --- studies ---

ASKED = {"families": ["random", "radix"], "sizes": [6], "degrees": [2, 5], "seeds": 1, "measures": ["degrees"]}


def test_a_study_goes_on_from_every_moment(tmp_path):
    path, whole = tmp_path / "done.jsonl", study(**ASKED)
    for _ in moments(lambda: study(**ASKED, path=path)):
        before = path.read_bytes() if path.exists() else b""
        finished = before[: before.rfind(b"\n") + 1]
        assert study(**ASKED, path=path) == whole
        assert path.read_bytes().startswith(finished), "what was done is not done again"
        path.unlink()


def test_a_study_killed_again_and_again_ends(tmp_path):
    path, chance, rounds = tmp_path / "done.jsonl", random.Random(0), 0
    n_moments = seen(lambda: study(**ASKED, path=tmp_path / "other.jsonl"))
    while killed(lambda: study(**ASKED, path=path), chance.randrange(n_moments)):
        rounds += 1
        assert rounds < 500
    assert rounds > 3
    assert study(**ASKED, path=path) == study(**ASKED)
    assert len(path.read_bytes().splitlines()) == 1 + 4


def test_a_study_goes_on_from_every_torn_line(tmp_path):
    path, whole = tmp_path / "done.jsonl", study(**ASKED)
    study(**ASKED, path=path)
    content = path.read_bytes()
    start = content.rfind(b"\n", 0, len(content) - 1)
    for end in [*range(0, start, 29), *range(start - 3, len(content), 9)]:
        path.write_bytes(content[:end])
        assert study(**ASKED, path=path) == whole
        assert path.read_bytes() == content


def test_a_comparison_of_several_processes_is_killed_and_goes_on(tmp_path):
    arguments = ["compare", "random,regular", "40", "3", "--measures", "spectrum", "--seeds", "300"]
    command = [sys.executable, "-m", "expandergraphs", *arguments, "-o", "s.json", "--resume", "done.jsonl"]
    done, environment = tmp_path / "done.jsonl", os.environ | {"PYTHONPATH": str(ROOT)}
    records = 0
    for processes in ("2", "1"):
        process = subprocess.Popen([*command, "--processes", processes], cwd=tmp_path, env=environment)
        while not done.exists() or done.read_bytes().count(b"\n") < records + 20:
            assert process.poll() is None
            time.sleep(0.003)
        process.kill()
        process.wait()
        assert not (tmp_path / "s.json").exists()
        records = done.read_bytes().count(b"\n")
    kept = done.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert done.read_bytes().startswith(kept)
    result = Study.load(tmp_path / "s.json")
    assert result == study(["random", "regular"], [40], [3], 300, ["spectrum"])
    assert {json.loads(line)["record"]["seed"] for line in done.read_bytes().splitlines()[1:]} == set(range(300))
    assert len(result.records) == 600
    assert np.isfinite([record["sigma2"] for record in result.records]).all()


# --- a full disk ---

WRITING = {  # commands, and the file for which there is no room
    "generate regular 64-64 --degree 8 -o there.npz": "there.npz",
    "convert net.npz -o there.npz": "there.npz",
    "convert g.npz -o there.mtx.gz": "there.mtx.gz",
    "plot g.npz -o there.png": "there.png",
    "plot g.npz -o there.svg": "there.svg",
    "heat net.npz --plot there.png": "there.png",
    "heat net.npz --times 0,1 --plot there.gif": "there.gif",
    "report net.npz -o there.html": "there.html",
    "compare random 4 2 --seeds 2 --measures degrees -o there.csv": "there.csv",
    "compare random 4 2 --seeds 2 --measures spectrum -o there.parquet": "there.parquet",
    "compare random 4 2 --seeds 2 --measures spectrum -o other.csv --pictures . --resume other.jsonl": "4x4.png",
    "demo -o . --seeds 1 --epochs 1": "patterns.png",
}


@contextmanager
def little_room(size):
    """Let no file grow beyond so many bytes; the system's refusal stands for that of a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_every_command_that_writes_is_tried():
    """It has an option that is a path; what is read is an argument."""
    writing = {
        command.callback.__name__
        for command in cli.app.registered_commands
        for kind in get_type_hints(command.callback, include_extras=True).values()
        if "Path" in str(kind) and "OptionInfo" in str(kind)
    }
    assert {line.split()[0] for line in WRITING} == writing


@pytest.mark.parametrize("line", WRITING)
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, small_demo, line):
    def invoke():
        return CliRunner().invoke(cli.app, line.split(), catch_exceptions=False)

    monkeypatch.chdir(tmp_path)
    eg.save("g.npz", eg.random_regular(64, 64, 8, rng=3))
    eg.save("net.npz", eg.family_net("random", [9, 8, 7], density=0.5, rng=0))
    there = tmp_path / WRITING[line]
    assert invoke().exit_code == 0
    size = there.stat().st_size
    there.write_bytes(b"before")
    before = contents(tmp_path)
    with little_room(size - 1), pytest.raises(OSError, match="File too large") as stop:
        invoke()
    assert stop.value.filename == str(there)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(before)
    assert there.read_bytes() == b"before"
