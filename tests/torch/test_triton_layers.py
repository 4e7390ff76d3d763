"""Whole sparse layers by the Triton kernels, in Triton's interpreter: another process, see test_triton.py."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

import expandergraphs_torch as egt
from expandergraphs_torch.sparse.products import executions

CASES = [
    # family, block, convolution, the execution
    ("random", 1, False, "triton"),
    ("regular", 1, False, "triton with constant fan-in"),
    ("left_regular", 16, False, "triton blocks of 16"),
    ("regular", 32, False, "triton blocks of 32"),
    ("left_regular", 1, True, "triton"),
]


def compare():
    for family, block, convolution, how in CASES:
        torch.manual_seed(0)
        plain = nn.Conv2d(6, 4, 3, padding=1, stride=2) if convolution else nn.Linear(96, 64)
        masked = egt.sparsify(nn.Sequential(plain), family, density=0.25 if block < 32 else 0.5, block=block, rng=0)[0]
        sparse = (egt.SparseConv2d if convolution else egt.SparseLinear).of(copy.deepcopy(masked))
        sparse.how = how
        x = torch.randn(3, 6, 4, 5, requires_grad=True) if convolution else torch.randn(5, 96, requires_grad=True)
        assert how in executions(x, sparse.pattern, sparse.window()), how
        expected, found = masked(x), sparse(x)
        torch.testing.assert_close(found, expected)
        gradients = torch.autograd.grad(found.square().sum(), (sparse.values, sparse.bias, x))
        weight, bias, dx = torch.autograd.grad(expected.square().sum(), (masked.weight, masked.bias, x))
        on = masked.mask.expand_as(weight)
        torch.testing.assert_close(gradients, (weight[on], bias, dx), rtol=1e-4, atol=1e-4, msg=how)
        if "blocks" in how:
            from expandergraphs_torch.sparse import gpu

            assert len(gpu._KEPT) == 1  # found once for this layer, and forgotten with the one before


def test_layers_by_the_triton_kernels_are_the_masked_ones():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRITON")}
    environment = kept | {"PYTHONPATH": str(Path(egt.__file__).parents[1]), "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_a_gpu_they_are_not_offered():
    layer, x = (
        egt.SparseLinear.of(egt.sparsify(nn.Sequential(nn.Linear(8, 8)), "random", density=0.5)[0]),
        torch.ones(2, 8),
    )
    layer.how = "triton"
    assert "triton" not in executions(x, layer.pattern, layer.window())
    torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias)


if __name__ == "__main__":
    compare()
