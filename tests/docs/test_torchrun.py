"""The script of the page on several machines: really run by torchrun, two processes by gloo on this machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import expandergraphs_torch as egt

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs/how-to/train_torchrun.py"
TIMEOUT = 240  # seconds; most of them are imports


def torchrun(script, out):
    """Run on loopback alone, on a port that is free, and leave no process behind."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--max-restarts=0"]
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    command += [str(script), f"--out={out}", "--epochs=3"]
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": "",
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            output, errors = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.terminate()  # not killed: so it ends its workers
            output, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("torchrun") / "lenet.pt"
    return torchrun(SCRIPT, out), out


def test_two_processes_train_and_the_first_one_saves(trained):
    done, out = trained
    assert done.returncode == 0, done.stderr
    (accuracy,) = re.findall(r"^2 processes, test accuracy (\d+\.\d) %$", done.stdout, re.M)
    assert float(accuracy) > 75
    model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    egt.load_state_dict(model, torch.load(out, weights_only=True))
    assert egt.summary(model).edges == {"0": 23_520, "2": 3_000}
    assert not model[2].weight[~model[2].mask].any()


def test_processes_with_other_seeds_are_refused_before_they_train(tmp_path):
    script = tmp_path / "other_seeds.py"
    text = SCRIPT.read_text()
    assert text.count("rng=0)") == 1
    script.write_text(text.replace("rng=0)", "rng=rank)"))
    done = torchrun(script, tmp_path / "lenet.pt")
    assert done.returncode != 0
    assert "processes have different wiring" in done.stderr
    assert not (tmp_path / "lenet.pt").exists()
