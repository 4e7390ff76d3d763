"""Places that cannot be written: an error that names them, and nothing is lost."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import expandergraphs as eg
from expandergraphs.plotting_heat_network import heat_gif
from expandergraphs.study import study

ROOT = Path(__file__).parents[2]
G = eg.random_regular(12, 12, 3, rng=0)
WAYS = {
    "g.npz": lambda path: eg.save(path, G),
    "g.edges.gz": lambda path: eg.save(path, G),
    "graphs.npz": lambda path: eg.save_graphs(path, {"a": G}),
    "r.html": lambda path: eg.save_report(path, G),
    "s.csv": lambda path: study("regular", [6], [2], 1, ["degrees"]).save(path),
    "h.gif": lambda path: heat_gif(eg.radix_net([[2, 2]], [1, 1, 1]), [0], path),
}


@pytest.mark.parametrize("name", WAYS)
def test_links_that_lead_in_a_circle(tmp_path, name):
    path = tmp_path / name
    (tmp_path / "other").symlink_to(path)
    path.symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="Too many levels of symbolic links") as stop:
        WAYS[name](path)
    assert stop.value.filename == str(path)
    assert sorted(tmp_path.iterdir()) == sorted([path, tmp_path / "other"])


@pytest.mark.parametrize("name", WAYS)
def test_a_protected_file_is_not_replaced(tmp_path, monkeypatch, name):
    path, link = tmp_path / name, tmp_path / f"link-{name}"
    path.write_bytes(b"dear")
    link.symlink_to(path)
    access = os.access
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != path and access(place, mode))  # even as root
    for place in (path, link):
        with pytest.raises(PermissionError, match="Permission denied") as stop:
            WAYS[name](place)
        assert stop.value.filename == str(path)
    assert path.read_bytes() == b"dear"
    assert sorted(tmp_path.iterdir()) == sorted([path, link])


# --- the file of a study ---

ASKED = {"families": ["random", "regular"], "sizes": [6], "degrees": [2, 3], "seeds": 2, "measures": ["degrees"]}


def test_one_study_at_a_time(tmp_path):
    path, refusals = tmp_path / "done.jsonl", []
    arguments = (
        "-m expandergraphs compare random,regular 6 2,3 --seeds 2 --measures degrees -o s.csv --resume done.jsonl"
    )

    def another(done, total):
        if done == 3:
            before = path.read_bytes()
            with pytest.raises(BlockingIOError, match="another study is writing it; wait until") as stop:
                study(**ASKED, path=path)
            assert stop.value.filename == str(path)
            process = subprocess.run(
                [sys.executable, *arguments.split(" ")],
                cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
            )  # fmt: skip
            assert (process.returncode, process.stdout) == (1, "")
            assert "another study is writing it; wait until that is done, or give another path" in process.stderr
            assert "done.jsonl" in process.stderr
            assert process.stderr.count("\n") == 1
            assert path.read_bytes() == before
            refusals.append(done)

    whole = study(**ASKED, path=path, progress=another)
    assert refusals == [3]
    assert whole == study(**ASKED, path=path) == study(**ASKED)
    assert len(path.read_bytes().splitlines()) == 1 + 8


def test_a_study_that_ends_early_lets_go(tmp_path):
    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept:  # and with it every frame, as a notebook does
        study(**ASKED, path=tmp_path / "done.jsonl", progress=stop)
    assert study(**ASKED, path=tmp_path / "done.jsonl") == study(**ASKED)
    with pytest.raises(ValueError, match="must not be mixed") as other:
        study(**ASKED | {"measures": ["spectrum"]}, path=tmp_path / "done.jsonl")
    assert study(**ASKED, path=tmp_path / "done.jsonl") == study(**ASKED)
    assert kept.value is not other.value


@pytest.mark.parametrize("room", [50, 700])
def test_a_full_disk_under_a_study(tmp_path, room):
    path = tmp_path / "done.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OSError, match="File too large") as stop:
            study(**ASKED, path=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert stop.value.filename == str(path)
    kept = path.read_bytes()
    assert len(kept) == room
    assert study(**ASKED, path=path) == study(**ASKED)
    assert path.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    assert len({json.dumps(json.loads(line)) for line in path.read_bytes().splitlines()}) == 1 + 8


def test_what_is_complete_needs_no_place(tmp_path):
    """A file that cannot be written any more still holds what was done."""
    path = tmp_path / "done.jsonl"
    whole = study(**ASKED, path=path)
    path.chmod(0o444)
    assert study(**ASKED, path=path) == whole


CHILDREN: list[int] = []


def forks(g):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, under Python 3.12; the child touches none
        child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    CHILDREN.append(child)
    return {"s": 1.0}


def test_a_process_that_outlives_its_study_lets_go(tmp_path):
    """A forked child has the file open, too, and with it the lock."""
    asked = {"families": "regular", "sizes": [8], "degrees": [3], "measures": {"s": forks}, "processes": 1}
    try:
        study(**asked, seeds=1, path=tmp_path / "done.jsonl")
        assert len(study(**asked, seeds=2, path=tmp_path / "done.jsonl").records) == 2
    finally:
        for child in CHILDREN:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
