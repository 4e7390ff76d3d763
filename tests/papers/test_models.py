"""Every network against torchvision where it has it, else against a count by hand; and RReg's percentages."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import expandergraphs_torch as egt
from benchmarks.papers.models import RESNETS, PreActivated, main, make, n_parameters, remaining
from tests.torch.torchvision_shim import torchvision

NAMES = ("lenet-300-100", "lenet-5", "vgg16", "vgg19", *RESNETS, "wrn-10-2", "mobilenet")


def on_meta(name, **shape):
    with torch.device("meta"):
        return make(name, **shape)


def linear(n_in, n_out):
    return n_in * n_out + n_out


# --- parameters, dense ---


@pytest.mark.parametrize("name", RESNETS)
def test_resnets_are_torchvisions(name):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)()
    ours = on_meta(name, classes=1000, size=224)
    assert n_parameters(ours) == n_parameters(theirs)
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: value.shape for key, value in theirs.state_dict().items()
    }


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnets_compute_what_torchvisions_compute(name):
    torch.manual_seed(0)
    theirs, ours = getattr(torchvision.models, name)(num_classes=7).eval(), make(name, classes=7, size=96).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("name", RESNETS)
def test_the_stem_for_small_images_is_3x3(name):
    stems = 64 * 3 * (7 * 7 - 3 * 3)
    small, large = (on_meta(name, classes=200, size=size) for size in (64, 65))
    assert n_parameters(large) - n_parameters(small) == stems
    assert isinstance(small.maxpool, nn.Identity)


@pytest.mark.parametrize(("name", "config"), [("vgg16", "D"), ("vgg19", "E")])
def test_vggs_have_torchvisions_features(name, config):
    with torch.device("meta"):
        features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs[config], batch_norm=True)
    head = linear(512, 512) + linear(512, 1000)
    assert n_parameters(on_meta(name, classes=1000, size=224)) == n_parameters(features) + head


def test_vgg16_has_the_parameters_of_rreg():
    assert n_parameters(on_meta("vgg16")) == 14_990_922


def test_lenets_by_hand():
    assert n_parameters(make("lenet-300-100", channels=1, size=28)) == linear(784, 300) + linear(300, 100) + 1010
    on_mnist = 20 * 25 + 20 + 50 * 20 * 25 + 50 + linear(50 * 7 * 7, 384) + linear(384, 10)
    assert n_parameters(make("lenet-5", channels=1, size=28)) == on_mnist
    on_crops = 20 * 3 * 25 + 20 + 50 * 20 * 25 + 50 + linear(50 * 6 * 6, 384) + linear(384, 10)
    assert n_parameters(make("lenet-5", size=24)) == on_crops


@pytest.mark.parametrize(("depth", "factor"), [(28, 10), (40, 14), (16, 2)])
def test_wide_resnets_by_hand(depth, factor):
    n = (depth - 4) // 6  # blocks a stage
    widths = [16, 16 * factor, 32 * factor, 64 * factor]
    count = 9 * 3 * 16 + 2 * widths[-1] + linear(widths[-1], 10)
    for n_in, n_out in pairwise(widths):
        count += 9 * n_in * n_out + (2 * n - 1) * 9 * n_out**2 + n_in * n_out  # 3x3, and one shortcut of 1x1
        count += 2 * n_in + (2 * n - 1) * 2 * n_out  # a BatchNorm before each 3x3
    assert n_parameters(on_meta(f"wrn-{depth}-{factor}")) == count
    if (depth, factor) == (28, 10):
        assert count == 36_479_194  # the 36.5 million of the paper


@pytest.mark.parametrize(("n_in", "stride"), [(6, 2), (3, 1), (6, 1)])
def test_a_block_of_a_wide_resnet_is_that_of_its_paper(n_in, stride):
    torch.manual_seed(0)
    block, x, conv = PreActivated(n_in, 6, stride).eval(), torch.randn(2, n_in, 5, 5), torch.nn.functional.conv2d
    with torch.no_grad():
        first = block.bn1(x).clamp(min=0)
        second = block.bn2(conv(first, block.conv1.weight, stride=stride, padding=1)).clamp(min=0)
        kept = x if (n_in, stride) == (6, 1) else conv(first, block.shortcut.weight, stride=stride)
        torch.testing.assert_close(block(x), kept + conv(second, block.conv2.weight, padding=1))


def test_mobilenet_by_hand():
    units = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    count = 9 * 3 * 32 + 2 * 32 + linear(1024, 1000)
    count += sum(9 * a + 2 * a + a * b + 2 * b for a, b in pairwise(units))
    assert count == 4_231_976  # the 4.2 million of the paper
    assert n_parameters(on_meta("mobilenet", classes=1000, size=224)) == count


def test_frozen_parameters_are_not_counted():
    model = make("lenet-300-100", channels=1, size=28)
    model[1].weight.requires_grad_(False)
    assert n_parameters(model) == 300 + linear(300, 100) + linear(100, 10)


# --- shapes ---


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "size", "width"), [(1, 28, 0.125), (3, 8, 0.0625), (3, 80, 0.0625)])
def test_small_ones_run_and_learn(name, channels, size, width):
    torch.manual_seed(0)
    model = make(name, classes=4, channels=channels, size=size, width=width)
    output = model(torch.randn(2, channels, size, size))
    assert output.shape == (2, 4)
    output.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_width_multiplies_all_widths_but_the_ends():
    convolutions = [m for m in on_meta("vgg16", width=0.25).modules() if isinstance(m, nn.Conv2d)]
    assert [convolution.out_channels for convolution in convolutions] == [16, 16, 32, 32, *[64] * 3, *[128] * 6]
    assert {p.shape[0] for p in on_meta("mobilenet", width=1e-9).parameters()} == {1, 10}
    assert make("resnet18", width=1e-9, size=8)(torch.zeros(2, 3, 8, 8)).shape == (2, 10)  # strides without widening


def test_vgg_pools_as_often_as_the_image_allows():
    pools = {
        size: sum(isinstance(m, nn.MaxPool2d) for m in on_meta("vgg16", size=size).modules())
        for size in (2, 8, 16, 32, 64)
    }
    assert pools == {2: 1, 8: 3, 16: 4, 32: 5, 64: 5}


def test_one_seed_is_one_initialisation_of_he():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(make("lenet-300-100", channels=1, size=28).state_dict())
    assert all(torch.equal(a, b) for a, b in zip(*(state.values() for state in states), strict=True))
    assert states[0]["1.weight"].std().item() == pytest.approx((2 / 784) ** 0.5, rel=0.01)
    assert not states[0]["1.bias"].any()


@pytest.mark.parametrize("name", ["vgg18", "wrn-27-10", "wrn-28"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match=f"got '{name}'"):
        make(name)


# --- RReg's percentages ---


@pytest.mark.parametrize(("degree", "left", "larger"), [(60, 13.709, 15.324), (30, 6.916, 7.729), (3, 0.802, 0.893)])
def test_remaining_parameters_of_vgg16(degree, left, larger):
    """All convolutions and the hidden linear layer sparse, biases kept; the classifier dense."""
    model = on_meta("vgg16")
    assert remaining(model, "left_regular", degree) == pytest.approx(left, abs=5e-4)
    assert remaining(model, "regular", degree) == pytest.approx(larger, abs=5e-4)


def test_shortcuts_are_found_by_name():
    downsamples = egt.plan(on_meta("resnet50"), "regular", degree=3, include="*downsample*")
    assert [row.kind for row in downsamples.layers if row.family != "dense"] == ["Conv2d"] * 4
    shortcuts = egt.plan(on_meta("wrn-28-10"), "regular", degree=3, include="*shortcut*")
    assert [row.shape.n_left for row in shortcuts.layers if row.family != "dense"] == [16, 160, 320]


def test_the_table_is_printed(capsys):
    main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| resnet")]
    assert len(rows) == 5
    for _, _, _, left, larger, mean in rows:
        assert 0 < float(left) < float(mean.strip(" |")) < float(larger) < 100
