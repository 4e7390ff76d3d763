"""Masks in real models, of torchvision and timm, with random weights."""

import copy
import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs_torch as egt
from expandergraphs_torch.layers import MASKED_CLASSES
from tests.torch.torchvision_shim import timm, torchvision

DEPTHWISE = "it is depthwise"
ATTENTION = "attention reads the weights of its projections itself, past any mask"
PROJECTION = "NonDynamicallyQuantizableLinear has a forward of its own, and no masked class is registered for it"


def vgg16_bn(bias=True):
    """For images of 32 x 32, as in RReg: 14,990,922 parameters with the biases of the convolutions."""
    features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"], batch_norm=True)
    for module in features:
        if isinstance(module, nn.Conv2d) and not bias:
            module.bias = None
    return nn.Sequential(features, nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


class Model(NamedTuple):
    make: Callable[[], nn.Module]
    family: str
    layers: int  # Linear, convolutions and attention, counted by hand from the papers' tables
    dense: dict[str, int] = {}  # noqa: RUF012 # how many of them stay dense, and why


def torchvision_model(name):
    return lambda: getattr(torchvision.models, name)(num_classes=10)


def timm_model(name):
    return lambda: timm.create_model(name, img_size=32, num_classes=10)


def torchvision_vit():
    return torchvision.models.VisionTransformer(32, 16, 2, 4, 64, 128, num_classes=10)


MODELS = {
    "ResNet-18": Model(torchvision_model("resnet18"), "random", 21),
    "ResNet-50": Model(torchvision_model("resnet50"), "left_regular", 54),
    "VGG16-BN": Model(vgg16_bn, "regular", 15),
    "MobileNetV2": Model(torchvision_model("mobilenet_v2"), "random", 53, {DEPTHWISE: 17}),
    "DenseNet-121": Model(torchvision_model("densenet121"), "left_regular", 121),
    "EfficientNet-B0": Model(torchvision_model("efficientnet_b0"), "regular", 82, {DEPTHWISE: 16}),
    "ConvNeXt-tiny": Model(torchvision_model("convnext_tiny"), "random", 59, {DEPTHWISE: 18}),
    "RegNetY-400MF": Model(torchvision_model("regnet_y_400mf"), "regular", 86),
    "Mixer-S/16": Model(timm_model("mixer_s16_224"), "left_regular", 34),
    "ViT-tiny": Model(timm_model("vit_tiny_patch16_224"), "random", 50),
    "ViT of torchvision": Model(torchvision_vit, "regular", 10, {ATTENTION: 2, PROJECTION: 2}),
}


class Case(NamedTuple):
    expected: Model
    dense: nn.Module
    planned: egt.Plan
    model: nn.Module
    parameters: dict[str, nn.Parameter]  # of the model, and an optimizer, from before it was sparse
    optimizer: torch.optim.Optimizer


@torch.no_grad()
def disturb(model):
    """Some heads and gains start at zero, and neither signals nor gradients pass them."""
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.02)


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    expected = MODELS[request.param]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dense = expected.make()
        disturb(dense)
        model = copy.deepcopy(dense)
        parameters = dict(model.named_parameters())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)
        planned = egt.plan(model, expected.family, density=0.1)
        assert egt.sparsify(model, expected.family, density=0.1, rng=0) is model
        yield Case(expected, dense, planned, model, parameters, optimizer)


def staying_dense(model):
    """Say by name which layers no mask can be put on, as seen from outside."""
    reasons = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            reasons |= {name: ATTENTION, f"{name}.out_proj": PROJECTION}
        elif isinstance(module, nn.Conv2d) and module.weight.shape[1] == 1:
            reasons[name] = DEPTHWISE
    return reasons


# --- counts ---


def test_layers_that_stay_dense(case):
    reasons = staying_dense(case.dense)
    assert {reason: list(reasons.values()).count(reason) for reason in reasons.values()} == case.expected.dense
    for table in (case.planned, egt.summary(case.model)):
        assert len(table.layers) == case.expected.layers
        assert {row.name: row.note for row in table.layers if row.family == "dense"} == reasons
    assert egt.masked_modules(case.model).keys() == table.edges.keys()
    for name, reason in reasons.items():
        with pytest.raises(ValueError, match=f"layer '{name}' cannot be included: {reason}"):
            egt.plan(case.dense, "random", density=0.1, include=name)


def test_edges_are_those_asked_for_and_planned(case):
    masked, result = egt.masked_modules(case.model), egt.summary(case.model)
    pairs = sum(module.weight.shape[:2].numel() for module in masked.values())
    assert case.planned.n_edges == result.n_edges == round(0.1 * pairs)
    for before, after in zip(case.planned.layers, result.layers, strict=True):
        assert before.n_edges == after.n_edges
        assert (before.name, before.shape, before.family) == (after.name, after.shape, after.family)
        if after.name in masked:
            assert after.n_edges == masked[after.name].mask.sum() == masked[after.name].graph.n_edges
    left = sum(parameter.numel() for parameter in case.dense.parameters())
    left -= sum((~module.mask).expand_as(module.weight).sum().item() for module in masked.values())
    total = sum(parameter.numel() for parameter in case.dense.parameters())
    assert case.planned.remaining == pytest.approx(100 * left / total)
    assert result.remaining == pytest.approx(100 * left / total)


@pytest.mark.parametrize("family", ["random", "left_regular", "regular"])
@pytest.mark.parametrize("budget", ["uniform", "er", "erk"])
def test_every_budget_is_exact(case, family, budget):
    reasons = staying_dense(case.dense)
    pairs = [
        module.weight.shape[:2].numel()
        for name, module in case.dense.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and name not in reasons
    ]
    assert egt.plan(case.dense, family, density=0.05, budget=budget).n_edges == round(0.05 * sum(pairs))
    assert egt.plan(case.dense, family, n_edges=30_011, budget=budget).n_edges == 30_011


# --- values ---


def test_a_training_step_stays_on_the_mask(case):
    before = {name: module.weight.detach().clone() for name, module in egt.masked_modules(case.model).items()}
    loss = nn.functional.cross_entropy(case.model.train()(torch.randn(2, 3, 32, 32)), torch.tensor([3, 7]))
    assert loss.isfinite()
    case.optimizer.zero_grad()
    loss.backward()
    case.optimizer.step()
    after = dict(case.model.named_parameters())
    assert after.keys() == case.parameters.keys()
    assert all(parameter is case.parameters[name] for name, parameter in after.items())
    for name, module in egt.masked_modules(case.model).items():
        off_mask = (~module.mask).expand_as(module.weight)
        assert (module.weight[off_mask] == 0).all()
        assert (module.weight.grad[off_mask] == 0).all()
        assert (module.weight != before[name]).any()


def test_evaluation_equals_the_baked_and_the_dense_model(case):
    # In an untrained net, signals fade until outputs of two images agree in all digits of float32.
    model, x = copy.deepcopy(case.model).double().eval(), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        for module in egt.masked_modules(model).values():  # as a careless user might
            module.weight.masked_fill_(~module.mask, 1.0)
        expected, dense_state = model(x), egt.dense_state_dict(model)
        assert (expected[0] - expected[1]).abs().max() > 1e-9
        loaded = copy.deepcopy(case.dense).double().eval()
        loaded.load_state_dict(dense_state)  # strict
        torch.testing.assert_close(loaded(x), expected, rtol=0, atol=1e-13)
        baked = egt.bake(model)
        torch.testing.assert_close(baked(x), expected, rtol=0, atol=1e-13)
    assert [type(module) for module in baked.modules()] == [type(module) for module in case.dense.modules()]
    assert baked.state_dict().keys() == case.dense.state_dict().keys()


# --- wiring ---


def test_keys_are_the_dense_ones_and_masks(case):
    masks = {f"{name}.mask" for name in egt.masked_modules(case.model)}
    assert len(masks) == case.expected.layers - sum(case.expected.dense.values())
    assert case.model.state_dict().keys() == case.dense.state_dict().keys() | masks


def test_wiring_is_drawn_again_from_its_configuration(case):
    config = json.loads(json.dumps(egt.topology_config(case.model)))
    fresh = egt.rebuild(copy.deepcopy(case.dense), config)
    assert egt.topology_digest(fresh) == egt.topology_digest(case.model)
    dense = dict(case.dense.named_modules())
    for name, module in egt.masked_modules(fresh).items():
        assert module.family == case.expected.family
        assert torch.equal(module.weight, dense[name].weight * module.mask)


def reached(module):
    """Return which outputs of a convolution each input reaches, found by sending one at a time."""
    module, n = copy.deepcopy(module).double(), module.in_channels
    with torch.no_grad():
        one_hot = torch.eye(n, dtype=torch.float64)[..., None, None].expand(n, n, 3, 3)
        return ((module(one_hot) - module(torch.zeros_like(one_hot))).abs().amax((2, 3)) > 1e-9).numpy()


def test_groups_keep_to_themselves():
    model = egt.sparsify(MODELS["RegNetY-400MF"].make(), "left_regular", density=0.3, rng=0)
    grouped = [module for module in egt.masked_modules(model).values() if getattr(module, "groups", 1) > 1]
    assert len(grouped) == 16
    for module in grouped:
        assert np.array_equal(reached(module), module.graph.biadjacency.toarray() > 0)
        left, right = module.graph.edges.T
        assert (left // 8 == right // 8).all()  # its groups are 8 wide


# --- classes with a forward of their own ---

FORWARD = "has a forward of its own, and no masked class is registered for it"


class MaskedConv2dSame(egt.Masked, timm.layers.Conv2dSame):
    def forward(self, x):
        options = (self.stride, self.padding, self.dilation, self.groups)
        return timm.layers.conv2d_same(x, self.masked_weight(), self.bias, *options)


class MaskedScaledStdConv2d(egt.Masked, timm.layers.ScaledStdConv2d):
    """Weights are standardised over the edges of their unit; over all of them, zeros would not stay zeros.

    The stored weights are centred, too, so that a plain layer, which subtracts their mean, finds nothing to subtract.
    """

    def masked_weight(self):
        n_edges = self.mask.expand_as(self.weight).sum((1, 2, 3), keepdim=True).clamp(min=1)
        weight = super().masked_weight()
        return torch.where(self.mask, weight - weight.sum((1, 2, 3), keepdim=True) / n_edges, 0.0)

    @torch.no_grad()
    def zero_off_mask(self, *others):
        super().zero_off_mask(*others)
        self.weight.copy_(self.masked_weight())

    def forward(self, x):
        weight, scale = self.masked_weight().flatten(1), (self.gain * self.scale).flatten()
        weight = nn.functional.batch_norm(weight[None], None, None, scale, training=True, momentum=0.0, eps=self.eps)
        options = (self.stride, self.padding, self.dilation, self.groups)
        return nn.functional.conv2d(x, weight.reshape_as(self.weight), self.bias, *options)


OWN_FORWARDS = {
    "Conv2dSame": ("tf_efficientnet_b0", timm.layers.Conv2dSame, MaskedConv2dSame, 5, 4),
    "ScaledStdConv2d": ("test_nfnet", timm.layers.ScaledStdConv2d, MaskedScaledStdConv2d, 25, 0),
}


@pytest.mark.parametrize(("name", "plain", "masked", "layers", "depthwise"), OWN_FORWARDS.values(), ids=OWN_FORWARDS)
def test_forwards_of_their_own(monkeypatch, name, plain, masked, layers, depthwise):
    """Their layers stay dense and are named, until there is a class that masks them."""
    model = timm.create_model(name, num_classes=10)
    disturb(model)
    own = [layer for layer, module in model.named_modules() if isinstance(module, plain)]
    assert len(own) == layers
    without = egt.sparsify(copy.deepcopy(model), "regular", density=0.3, rng=0)
    for row in egt.summary(without).layers:
        if row.name in own:
            assert (row.family, row.executes, row.density) == ("dense", "dense", 1.0)
            assert row.note == f"{plain.__name__} {FORWARD}"
            with pytest.raises(ValueError, match=f"layer '{row.name}' cannot be included: {plain.__name__} {FORWARD}"):
                egt.plan(model, "regular", density=0.3, include=["conv*", row.name])
    with pytest.raises(ValueError, match=f"matches no layer; what it matches cannot carry a mask: .* {FORWARD}"):
        egt.plan(model, "regular", density=0.3, include=plain)

    monkeypatch.setitem(MASKED_CLASSES, plain, masked)  # and takes it out again
    egt.register(plain, masked)
    dense = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    planned = egt.plan(model, "regular", density=0.3)
    egt.sparsify(model, "regular", density=0.3, rng=0)
    assert egt.summary(model).edges == planned.edges
    wired = [module for module in egt.masked_modules(model).values() if type(module) is masked]
    assert len(wired) == layers - depthwise
    x = torch.randn(2, 3, 64, 64)
    nn.functional.cross_entropy(model.train()(x), torch.tensor([3, 7])).backward()
    optimizer.step()
    early = copy.deepcopy(dense)
    early.load_state_dict(egt.dense_state_dict(model))  # also while stored weights are not what is computed with
    for module in wired:
        assert np.array_equal(reached(module), module.graph.biadjacency.toarray() > 0)
    with torch.no_grad():
        expected, dense_state = model.eval()(x), egt.dense_state_dict(model)
        dense.load_state_dict(dense_state)  # strict
        torch.testing.assert_close(dense.eval()(x), expected)
        torch.testing.assert_close(early.eval()(x), expected)
        torch.testing.assert_close(egt.bake(model)(x), expected)
    assert [type(module) for module in model.modules()] == [type(module) for module in dense.modules()]


# --- RReg's table ---


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("degree", "family", "without", "with_bias"),
    [
        (60, "left_regular", 13.681, 13.709),
        (30, "left_regular", 6.888, 6.916),
        (15, "left_regular", 3.491, 3.519),
        (3, "left_regular", 0.773, 0.802),
        (60, "regular", 15.296, 15.324),
        (30, "regular", 7.701, 7.729),
        (15, "regular", 3.903, 3.931),
        (3, "regular", 0.865, 0.893),
    ],
)
def test_remaining_parameters_of_vgg16(degree, family, without, with_bias, bias):
    """The percentages of the 14,990,922 parameters with biases, also where the sparse convolutions have none."""
    with torch.device("meta"):
        model = vgg16_bn(bias)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert total == 14_990_922 - (0 if bias else 4_224)
    planned = egt.plan(model, family, degree=degree, exclude=egt.exclude_last(model))
    egt.sparsify(model, family, degree=degree, exclude=egt.exclude_last(model), rng=0)
    for result in (planned, egt.summary(model)):
        assert result.remaining * total / 14_990_922 == pytest.approx(with_bias if bias else without, abs=5e-4)
