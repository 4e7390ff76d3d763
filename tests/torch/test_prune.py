"""Criteria against slow twins written from their formulas, and against properties; what pruning leaves alone."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs.rng import streams
from expandergraphs_torch import criteria
from expandergraphs_torch.prune import keep_largest
from expandergraphs_torch.select import candidates


class ConvNet(nn.Module):
    """Something of everything: batch norm, dropout, groups, a depthwise and a shared layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 3, groups=2)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8, padding=1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = torch.relu(self.depthwise(torch.relu(self.grouped(torch.relu(self.norm(self.stem(x)))))))
        return self.head(torch.relu(self.fc(self.drop(x.mean((2, 3))))))


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 3, 8, 8, generator=generator), torch.randint(4, (6,), generator=generator)


def mlp(*widths, bias=True):
    torch.manual_seed(0)
    layers = [nn.Linear(a, b, bias=bias) for a, b in pairwise(widths)]
    return nn.Sequential(*[module for layer in layers for module in (layer, nn.ReLU())][:-1])


def everything(model):
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    return tensors, gradients, [type(m) for m in model.modules()], [m.training for m in model.modules()]


def unchanged(before, model, *, off_the_masks=False):
    tensors, gradients, classes, modes = before
    after = everything(model)
    for name, tensor in tensors.items():
        mask = after[0].get(name[: -len("weight")] + "mask" if name.endswith("weight") else "", torch.tensor(True))
        assert torch.equal(torch.where(mask, tensor, 0.0) if off_the_masks else tensor, after[0][name]), name
    if not off_the_masks:
        assert all(a is None if b is None else torch.equal(a, b) for a, b in zip(after[1], gradients, strict=True))
        assert after[2] == classes
    assert after[3] == modes


def scores_of(model, criterion, data=None, loss_fn=None, rng=0):
    layers = [layer for layer in candidates(model) if not layer.obstacle]
    scoring = criteria.Scoring(model, layers, data, loss_fn, streams(rng))
    masks = {layer.name: torch.ones_like(layer.module.weight, dtype=torch.bool) for layer in layers}
    with scoring.undisturbed():
        return criteria.CRITERIA[criterion](scoring, masks)


# --- exact counts ---


@pytest.mark.parametrize("criterion", criteria.CRITERIA)
@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("pattern", ["weight", "channel"])
def test_counts_are_exact_and_the_model_is_left_alone(criterion, scope, pattern):
    model = ConvNet()
    x, y = batch()
    nn.functional.cross_entropy(model(x), y).backward()
    model.norm.eval()
    before, state = everything(model), torch.get_rng_state()
    rounds = {"rounds": 3} if criterion == "synflow" else {}
    parameters = list(model.parameters())
    kind = {"scope": scope, "pattern": pattern, "data": [(x, y)]}
    assert egt.prune(model, criterion, density=0.3, rng=0, **kind, **rounds) is model
    assert torch.equal(torch.get_rng_state(), state)
    unchanged(before, model, off_the_masks=True)
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    masked = egt.masked_modules(model)
    assert list(masked) == ["stem", "grouped", "fc", "head"]
    sizes = {name: layer.mask.numel() for name, layer in masked.items()}
    kernels = {"stem": 24, "grouped": 32, "fc": 64, "head": 32}
    assert sizes == (kernels if pattern == "channel" else {n: layer.weight.numel() for n, layer in masked.items()})
    counts = {name: int(layer.mask.sum()) for name, layer in masked.items()}
    assert sum(counts.values()) == round(0.3 * sum(sizes.values())) == egt.summary(model).n_edges
    if scope == "layer" or criterion == "random":
        assert all(abs(counts[name] - 0.3 * size) < 1 for name, size in sizes.items())
    assert {layer.family for layer in masked.values()} == {criterion}
    model(x).sum().backward()
    assert all((layer.weight.grad[~layer.mask.expand_as(layer.weight)] == 0).all() for layer in masked.values())


@given(st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=9), min_size=1, max_size=4), st.data())
def test_ties_go_to_the_first_and_counts_are_exact(values, data):
    scores = {str(k): torch.tensor(row, dtype=torch.float32) for k, row in enumerate(values)}
    masks = {
        name: torch.tensor(data.draw(st.lists(st.booleans(), min_size=row.numel(), max_size=row.numel())))
        for name, row in scores.items()
    }
    places = [(-row[i].item(), k, i) for k, row in scores.items() for i in range(row.numel()) if masks[k][i]]
    n_keep = data.draw(st.integers(0, len(places)))
    expected = sorted(places, key=lambda place: (place[0], int(place[1]), place[2]))[:n_keep]
    kept = keep_largest(scores, masks, n_keep)
    assert {(k, i) for k, mask in kept.items() for i in mask.nonzero()[:, 0].tolist()} == {p[1:] for p in expected}


def test_ties_in_another_memory_format():
    """Gradients of convolutions may come with their channels last; order is still that of the indices."""
    ones = torch.ones(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    kept = keep_largest({"a": ones}, {"a": torch.ones(4, 3, 2, 2, dtype=torch.bool)}, 17)["a"]
    assert kept.flatten().tolist() == [True] * 17 + [False] * 31


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_dtypes(dtype):
    model = mlp(30, 20, 5).to(dtype)
    weights = torch.cat([layer.weight.detach().abs().flatten() for layer in (model[0], model[2])])
    egt.prune(model, "magnitude", density=0.2)
    kept = torch.cat([layer.mask.flatten() for layer in (model[0], model[2])])
    assert kept.sum() == 140
    assert weights[kept].min() >= weights[~kept].max()


def test_large_tensors():
    """torch.quantile refuses more than 16 million values."""
    model = nn.Linear(5000, 4000)
    egt.prune(model, "magnitude", density=0.01)
    assert model.mask.sum() == 200_000


# --- the formulas ---


def test_magnitude_and_random():
    model = mlp(20, 30, 10)
    flat = np.concatenate([model[k].weight.detach().abs().numpy().ravel() for k in (0, 2)])
    order = np.argsort(-flat, kind="stable")[: round(0.25 * flat.size)]
    egt.prune(model, "magnitude", density=0.25)
    kept = np.concatenate([model[k].mask.numpy().ravel() for k in (0, 2)])
    assert set(np.flatnonzero(kept)) == set(order)
    one, two, three = (egt.prune(mlp(20, 30, 10), "random", density=0.25, rng=rng) for rng in (0, 0, 1))
    assert egt.topology_digest(one) == egt.topology_digest(two) != egt.topology_digest(three)


def gradient_twin(model, loss):
    weights = [layer.module.weight for layer in candidates(model) if not layer.obstacle]
    return weights, torch.autograd.grad(loss(model), weights, create_graph=True)


def test_snip_is_the_sensitivity_to_multipliers():
    """Lee et al., equation 4: the derivative of the loss by a multiplier c of each weight, at c = 1."""
    model, (x, y) = ConvNet().eval(), batch()
    names = [layer.name for layer in candidates(model) if not layer.obstacle]
    multipliers = {
        f"{name}.weight": torch.ones_like(model.get_submodule(name).weight).requires_grad_() for name in names
    }
    changed = {name: c * model.get_parameter(name).detach() for name, c in multipliers.items()}
    nn.functional.cross_entropy(torch.func.functional_call(model, changed, (x,)), y).backward()
    for name, score in scores_of(model, "snip", [(x, y)]).items():
        torch.testing.assert_close(score, multipliers[f"{name}.weight"].grad.abs())


def test_snip_does_not_see_the_scale_of_the_loss():
    digests = set()
    for scale in (1.0, 1024.0):
        model = mlp(12, 20, 4).double()
        data = [(torch.randn(9, 12, generator=torch.Generator().manual_seed(0)).double(), torch.arange(9) % 4)]

        def loss(model, batch, scale=scale):
            return scale * nn.functional.cross_entropy(model(batch[0]), batch[1])

        digests.add(egt.topology_digest(egt.prune(model, "snip", density=0.2, data=data, loss_fn=loss)))
    assert len(digests) == 1


def test_grasp_is_a_difference_of_gradients():
    """H g, from the gradient at the weights a little along g."""
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x, y = torch.randn(7, 5, dtype=torch.float64), torch.arange(7) % 3

    def gradients(model):
        weights = [model[0].weight, model[2].weight]
        return torch.autograd.grad(nn.functional.cross_entropy(model(x), y), weights)

    at, step = gradients(model), 1e-5
    moved = []
    for sign in (1, -1):
        other = copy.deepcopy(model)
        with torch.no_grad():
            for layer, gradient in zip((other[0], other[2]), at, strict=True):
                layer.weight.add_(gradient, alpha=sign * step)
        moved.append(gradients(other))
    scores = scores_of(model, "grasp", [(x, y)])
    for name, up, down in zip(("0", "2"), *moved, strict=True):
        expected = model.get_submodule(name).weight.detach() * (up - down) / (2 * step)
        torch.testing.assert_close(scores[name], expected, rtol=1e-6, atol=1e-10)
    # Kept is what has the smallest -w (H g), as in the paper's algorithm 1.
    egt.prune(model, "grasp", density=0.3, data=[(x, y)])
    all_scores = torch.cat([-scores[name].flatten() for name in ("0", "2")])
    kept = torch.cat([model.get_submodule(name).mask.flatten() for name in ("0", "2")])
    assert all_scores[kept].max() < all_scores[~kept].min()


def test_obd_is_exact_on_a_quadratic():
    """A loss 1/2 w' A w: the score is A_kk w_k^2 / 2, whatever lies off the diagonal."""
    torch.manual_seed(0)
    root = torch.randn(60, 60, dtype=torch.float64)
    matrix = root @ root.T
    model = nn.Sequential(nn.Linear(5, 8, bias=False), nn.Linear(10, 2, bias=False)).double()

    def loss(model, batch):
        w = torch.cat([layer.weight.flatten() for layer in model])
        return w @ matrix @ w / 2

    w = torch.cat([layer.weight.detach().flatten() for layer in model])
    for seed in range(3):
        scores = scores_of(model, "obd", [0], loss, rng=seed)
        found = torch.cat([scores[name].flatten() for name in ("0", "1")])
        torch.testing.assert_close(found, matrix.diagonal() * w**2 / 2)


def test_obd_estimates_without_bias_where_there_are_more_weights():
    torch.manual_seed(0)
    root = torch.randn(200, 200, dtype=torch.float64)
    matrix = root @ root.T / 200
    model = nn.Linear(20, 10, bias=False).double()
    truth = matrix.diagonal() * model.weight.detach().flatten() ** 2 / 2

    def loss(model, batch):
        w = model.weight.flatten()
        return w @ matrix @ w / 2

    found = torch.stack([scores_of(model, "obd", [0], loss, rng=seed)[""].flatten() for seed in range(200)])
    single = (found - truth).abs().mean() / truth.mean()
    averaged = (found.mean(dim=0) - truth).abs().mean() / truth.mean()
    assert single < 0.2
    assert averaged < single / 8  # 200 seeds: the root is 14


def synflow_twin(weights):
    """Every path from inputs to outputs, one by one."""
    scores = [np.zeros(w.shape) for w in weights]
    first, second = weights
    for i in range(first.shape[1]):
        for j in range(first.shape[0]):
            for k in range(second.shape[0]):
                flow = abs(first[j, i] * second[k, j])
                scores[0][j, i] += flow
                scores[1][k, j] += flow
    return scores


def test_synflow_adds_up_paths():
    model = mlp(4, 5, 3)
    data = [torch.randn(2, 4)]
    weights = [model[k].weight.detach().double().numpy() for k in (0, 2)]
    scores = scores_of(model, "synflow", data)
    for name, expected in zip(("0", "2"), synflow_twin(weights), strict=True):
        assert scores[name].dtype == torch.float64
        np.testing.assert_allclose(scores[name].numpy(), expected)


def test_synflow_is_conserved_layer_by_layer():
    """Tanaka et al., theorem 1: every layer of a network has the same sum of scores, and so has every hidden unit."""
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, bias=False), nn.ReLU(),
        nn.Flatten(), nn.Linear(32, 5, bias=False), nn.ReLU(), nn.Linear(5, 4),
    )  # fmt: skip
    with torch.no_grad():
        model[1].weight.normal_()
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.5, 2)
    scores = scores_of(model, "synflow", [(torch.randn(2, 3, 6, 6), None)])
    sums = [score.sum().item() for score in scores.values()]
    np.testing.assert_allclose(sums, sums[0])
    torch.testing.assert_close(scores["6"].sum(dim=1), scores["8"].sum(dim=0))


def test_synflow_prunes_in_rounds_and_keeps_layers_alive():
    """At 1 %, one round removes a whole layer; a hundred do not (the paper's figure 1)."""
    widths = (64, 256, 256, 256, 8)
    data = [torch.randn(1, 64)]

    def smallest(rounds):
        model = egt.prune(mlp(*widths), "synflow", density=0.002, data=data, rounds=rounds)
        return min(int(layer.mask.sum()) for layer in egt.masked_modules(model).values())

    assert smallest(1) == 0
    assert smallest(None) > 0


def test_synflow_does_not_overflow():
    """Twenty wide convolutions overflow single precision."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Conv2d(128, 128, 3, padding=1, bias=False) for _ in range(20)])
    with torch.no_grad():
        for layer in model:
            layer.weight.normal_()
    x, linear = torch.ones(1, 128, 4, 4), [layer.weight.detach().abs() for layer in model]
    flow = x
    for weight in linear:
        flow = nn.functional.conv2d(flow, weight, padding=1)
    assert not torch.isfinite(flow).all()
    egt.prune(model, "synflow", density=0.1, data=[x], rounds=2)
    assert egt.summary(model).n_edges == round(0.1 * 20 * 128 * 128 * 9)


# --- again and again ---


def test_pruning_again_goes_on_from_what_is_left():
    model, data = ConvNet(), [batch()]
    kept = None
    for density in (0.5, 0.2, 0.05):
        egt.prune(model, "snip", density=density, data=data)
        masks = {name: layer.mask.clone() for name, layer in egt.masked_modules(model).items()}
        assert sum(int(mask.sum()) for mask in masks.values()) == round(density * 600)
        assert kept is None or all((masks[name] <= kept[name]).all() for name in masks)
        kept = masks
    before = everything(model)
    with pytest.raises(ValueError, match=r"density 0.2 is 120 of 600 weights, and 30 are left: ask for at most 0.05"):
        egt.prune(model, "magnitude", density=0.2)
    with pytest.raises(ValueError, match=r"masked by single weights; prune it with pattern='weight'"):
        egt.prune(model, "magnitude", density=0.01, pattern="channel")
    unchanged(before, model)


def test_what_is_stored_off_the_mask_is_worth_nothing():
    model = egt.sparsify(nn.Sequential(nn.Linear(20, 10)), "random", density=0.5, rng=0)
    mask = model[0].mask.clone()
    with torch.no_grad():
        model[0].weight.masked_fill_(~mask, 1e6)
    egt.prune(model, "magnitude", density=0.25)
    assert (model[0].mask <= mask).all()
    assert model[0].mask.sum() == 50
    graph = model[0].graph  # a pruned layer is a graph like any other
    assert eg.report(graph)
    assert graph.n_edges == 50


def test_a_graph_by_channels_can_be_pruned_by_weights_or_channels():
    for pattern, size in (("weight", 9), ("channel", 1)):
        model = egt.sparsify(nn.Conv2d(8, 8, 3), "regular", degree=4, rng=0)
        before = model.graph
        egt.prune(model, "magnitude", density=0.25, pattern=pattern)
        assert model.mask.sum() == 16 * size
        assert (egt.graph_from_mask(model.mask).biadjacency - before.biadjacency).max() <= 0


def test_inverting_keeps_the_worst():
    best, worst = (egt.prune(mlp(20, 30, 10), "magnitude", density=0.5, invert=invert) for invert in (False, True))
    for name, layer in egt.masked_modules(best).items():
        assert torch.equal(layer.mask, ~worst.get_submodule(name).mask)


def test_tied_weights_are_counted_once():
    model = nn.ModuleDict({name: nn.Linear(8, 8) for name in "abc"})
    model["c"].weight = model["a"].weight
    egt.prune(model, "magnitude", density=0.25)
    assert torch.equal(model["a"].mask, model["c"].mask)
    assert model["a"].mask.sum() + model["b"].mask.sum() == 32


# --- data and losses ---


def test_data_may_be_any_iterable_and_one_batch_is_read():
    class Dataset(torch.utils.data.Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, i):
            x, y = batch(i)
            return x[0], y[0]

    read = []

    def endless():
        while True:
            read.append(1)
            yield batch()

    state = torch.get_rng_state()
    for data in (
        torch.utils.data.DataLoader(Dataset(), batch_size=4, shuffle=True),
        endless(),
        [batch()],
        iter([batch()]),
    ):
        egt.prune(ConvNet(), "snip", density=0.3, data=data)
    assert len(read) == 1
    torch.set_rng_state(state)
    egt.prune(model := ConvNet(), "snip", density=0.3, data=torch.utils.data.DataLoader(Dataset(), shuffle=True))
    assert len(egt.masked_modules(model)) == 4


def test_a_model_that_takes_dictionaries():
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.head = nn.Embedding(20, 16), nn.Linear(16, 4)

        def forward(self, input_ids, labels):
            logits = self.head(self.words(input_ids).mean(dim=1))
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    data = [{"input_ids": torch.arange(12).reshape(3, 4), "labels": torch.tensor([0, 1, 2])}]
    for criterion in ("snip", "grasp", "obd"):
        model = Classifier()
        egt.prune(model, criterion, density=0.5, data=data, loss_fn=lambda model, batch: model(**batch)["loss"])
        assert model.head.mask.sum() == 32


def test_a_criterion_may_be_a_function():
    model = mlp(10, 8, 4)
    egt.prune(model, lambda name, layer: torch.arange(layer.weight.numel()).reshape(layer.weight.shape), density=0.25)
    assert model[0].mask.flatten()[-28:].all()
    assert egt.summary(model).n_edges == 28


def test_under_no_grad_and_with_frozen_weights():
    data = [batch()]
    expected = egt.prune(copy.deepcopy(model := ConvNet().eval()), "grasp", density=0.3, data=data)
    frozen = copy.deepcopy(model).requires_grad_(False)
    with torch.no_grad():
        egt.prune(frozen, "grasp", density=0.3, data=data)
    assert egt.topology_digest(frozen) == egt.topology_digest(expected)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def _overflowing(model, batch):
    return model(batch[0]).sum() * 1e30 * 1e30


@pytest.mark.parametrize(
    ("criterion", "options", "message"),
    [
        ("snap", {}, "criterion must be one of random, magnitude, snip, grasp, synflow, obd or a function, got 'snap'"),
        (3, {}, "criterion must be one of"),
        ("magnitude", {"density": 1.5}, "density must be a number between 0 and 1"),
        ("magnitude", {"scope": "model"}, "scope must be 'global' or 'layer', got 'model'"),
        ("magnitude", {"pattern": "row"}, "pattern must be one of"),
        ("magnitude", {"rounds": 0}, "rounds must be an integer of at least 1"),
        ("magnitude", {"include": "tail"}, "matches no layer"),
        ("magnitude", {"include": "depthwise"}, "layer 'depthwise' cannot be included: it is depthwise"),
        ("magnitude", {"rng": "seed"}, "rng must be"),
        ("snip", {}, "this criterion needs data, an iterable of batches; got None"),
        ("snip", {"data": []}, "needs a batch, and data has none"),
        ("snip", {"data": [torch.ones(3)]}, r"without a loss_fn, a batch must be \(x, y\), got Tensor"),
        ("snip", {"data": [batch()], "loss_fn": lambda model, b: model(b[0])}, "must return one number in a tensor"),
        ("snip", {"data": [batch()], "loss_fn": lambda model, b: 3.0}, "must return one number in a tensor, got float"),
        ("snip", {"data": [batch()], "loss_fn": _overflowing}, "the scores of layer 'stem' are not all finite"),
        ("synflow", {"data": [{"x": 3}]}, r"synflow needs batches of floats x, or \(x, ...\), .* got dict"),
        (lambda name, layer: torch.ones(3), {}, r"the scores of layer 'stem' have the shape \(3,\), \(8, 3, 3, 3\)"),
    ],
)
def test_a_refused_call_leaves_the_model_as_it_was(criterion, options, message):
    model = ConvNet()
    before, state = everything(model), torch.get_rng_state()
    with pytest.raises(ValueError, match=message):
        egt.prune(model, criterion, **({"density": 0.3} | options))
    unchanged(before, model)
    assert torch.equal(torch.get_rng_state(), state)
