import pytest
import torch

from expandergraphs import cli, demo
from expandergraphs_torch.demo import _digits, train_deep, train_lenet


def test_the_digits_are_split_evenly():
    x, y, x_test, y_test = _digits()
    assert (x.shape, x_test.shape) == ((4000, 784), (1000, 784))
    assert y.bincount().tolist() == [400] * 10
    assert y_test.bincount().tolist() == [100] * 10


def test_training_learns_and_repeats():
    state, epochs = torch.get_rng_state(), []
    net = demo.families(0)["regular"]
    accuracies = train_lenet(net, seed=0, epochs=3, on_epoch=lambda: epochs.append(1))
    assert len(accuracies) == len(epochs) == 3
    assert accuracies[-1] > 85
    assert torch.equal(torch.get_rng_state(), state)
    assert train_lenet(net, seed=0, epochs=3) == pytest.approx(accuracies, abs=0.5)
    assert train_lenet(None, seed=0, epochs=3)[-1] > accuracies[-1]


def test_the_families_have_equal_edges():
    for net in demo.families(3).values():
        assert [layer.n_edges for layer in net.layers] == [23_520, 3_000]
    assert demo.families(0)["regular"] != demo.families(1)["regular"]


def test_the_entry_point_leads_here():
    assert cli.demo._training("demo-training") is train_lenet
    assert cli.demo._training("demo-n2nskip") is train_deep


def test_the_deeper_mlp_is_trained_at_equal_edges():
    state = torch.get_rng_state()
    accuracies, nets = zip(*(train_deep(name, seed=0, epochs=2) for name in (demo.RP, demo.SKIPS)), strict=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(run) for run in accuracies] == [2, 2]
    assert [net.n_edges for net in nets] == [6704 + 1000] * 2
    assert [net.widths for net in nets] == [demo.DEEP_SIZES] * 2
    assert not nets[0].skips
    assert sum(g.n_edges for g in nets[1].skips.values()) == 3352
    with pytest.raises(ValueError, match="method must be 'RP', 'N2NSkip-RP' or 'dense'"):
        train_deep("X-Net", seed=0, epochs=1)
