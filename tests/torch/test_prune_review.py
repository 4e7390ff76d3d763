"""Rounds, unused layers and normalisation in pruning, against twins that share no code with it."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs_torch as egt
from expandergraphs_torch.prune import keep_largest
from tests.torch.test_prune import batch, everything, mlp, scores_of, unchanged


def synflow_in_rounds(weights, density, rounds):
    """Tanaka et al., algorithm 1: masks of a network without biases, every path counted, dense layer by dense layer."""
    masks = [np.ones(w.shape, dtype=bool) for w in weights]
    total = sum(w.size for w in weights)
    for k in range(1, rounds + 1):
        linear = [abs(w) * mask for w, mask in zip(weights, masks, strict=True)]
        scores = []
        for layer, w in enumerate(linear):
            before, after = np.ones(weights[0].shape[1]), np.ones(weights[-1].shape[0])
            for other in linear[:layer]:
                before = other @ before
            for other in reversed(linear[layer + 1 :]):
                after = after @ other
            scores.append(np.outer(after, before) * w)
        flat = np.concatenate([np.where(m, s, -1.0).ravel() for s, m in zip(scores, masks, strict=True)])
        kept = np.zeros(total, dtype=bool)
        kept[np.argsort(-flat, kind="stable")[: round(total * density ** (k / rounds))]] = True
        masks = [
            part.reshape(w.shape)
            for part, w in zip(np.split(kept, np.cumsum([w.size for w in weights])[:-1]), weights, strict=True)
        ]
    return masks


def test_synflow_falls_exponentially_round_by_round():
    model = mlp(8, 12, 10, 4, bias=False)
    weights = [layer.weight.detach().double().numpy() for layer in model if isinstance(layer, nn.Linear)]
    expected = synflow_in_rounds(weights, 0.1, 5)
    egt.prune(model, "synflow", density=0.1, data=[torch.ones(1, 8)], rounds=5)
    for layer, mask in zip(egt.masked_modules(model).values(), expected, strict=True):
        np.testing.assert_array_equal(layer.mask.numpy(), mask)


def test_synflow_takes_the_absolute_value_of_a_normalisation_s_factors():
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([-2.0, 1.0, -0.5, 3.0, -1.0]))
        model[1].running_var.copy_(torch.tensor([4.0, 1.0, 2.0, 0.5, 1.0]))
    scores = scores_of(model, "synflow", [torch.randn(2, 4)])
    first, second = (model[k].weight.detach().double().abs() for k in (0, 3))
    factor = model[1].weight.detach().double().abs() / (model[1].running_var.double() + model[1].eps).sqrt()
    torch.testing.assert_close(scores["0"], first * (factor * second.sum(dim=0))[:, None])
    torch.testing.assert_close(scores["3"], second * (factor * first.sum(dim=1)))


def test_all_rounds_see_the_same_batch():
    read = []

    def endless():
        while True:
            read.append(1)
            yield batch(len(read))

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))
    egt.prune(model, "snip", density=0.2, data=endless(), rounds=3)
    assert len(read) == 1


def test_a_layer_that_the_loss_does_not_use_goes_first():
    for criterion in ("snip", "grasp", "obd", "synflow"):
        model = nn.ModuleDict({"used": mlp(6, 5, 4), "spare": nn.Linear(6, 4)}).double()
        model.forward = lambda x, used=model["used"]: used(x)
        x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).double()
        scores = scores_of(model, criterion, [(x, torch.arange(5) % 4)])
        assert not scores["spare"].any()
        assert any(score.any() for score in scores.values())


def test_nothing_left_can_be_pruned_to_nothing_again():
    model = mlp(6, 5, 4)
    for rounds in (1, 3):
        egt.prune(model, "magnitude", density=0, rounds=rounds)
        assert egt.density(model) == 0


def test_ties_that_run_over_many_layers_go_to_the_first():
    scores = {name: torch.zeros(3) for name in "abcd"}
    everywhere = {name: torch.ones(3, dtype=torch.bool) for name in scores}
    for n_keep in range(13):
        kept = torch.cat(list(keep_largest(scores, everywhere, n_keep).values()))
        assert torch.equal(kept, torch.arange(12) < n_keep)


def test_a_kernel_scores_the_sum_of_its_weights():
    scores = torch.full((3, 2, 3, 3), 1.0)
    scores[0, 1], scores[2, 0] = 0, 0
    scores[0, 1, 0, 0], scores[2, 0, 1] = 8.0, 4.0  # sums 8 and 12; the others have 9
    model = egt.prune(nn.Conv2d(2, 3, 3), lambda name, layer: scores, density=1 / 6, pattern="channel")
    assert model.mask.nonzero().tolist() == [[2, 0, 0, 0]]


def test_gradients_are_scored_in_inference_mode_too():
    data = [batch()]
    for criterion in ("snip", "grasp", "obd"):
        torch.manual_seed(0)
        one = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))
        two = copy.deepcopy(one)
        egt.prune(one, criterion, density=0.3, data=data, rng=0)
        with torch.inference_mode():
            egt.prune(two, criterion, density=0.3, data=data, rng=0)
        assert egt.topology_digest(one) == egt.topology_digest(two)


def test_gradual_pruning_leaves_out_what_is_excluded():
    model = mlp(6, 5, 4)
    pruning = egt.GradualPruning(model, final_density=0, begin=1, end=1, every=1, exclude="0", scope="layer")
    assert pruning.step()
    assert list(egt.masked_modules(model)) == ["2"]
    assert np.isnan(pruning.history[0].threshold)


def test_gradual_pruning_is_prune_with_the_same_arguments():
    def loss(model, batch):
        return model(batch).square().sum()

    data = [torch.randn(3, 6, generator=torch.Generator().manual_seed(0))]
    options = {"criterion": "snip", "data": data, "loss_fn": loss}
    digests = set()
    for scope in ("global", "layer"):
        gradual, once = mlp(6, 12, 4), mlp(6, 12, 4)
        egt.GradualPruning(gradual, final_density=0.25, begin=1, end=1, every=1, scope=scope, **options).step()
        egt.prune(once, density=0.25, scope=scope, **options)
        assert egt.topology_digest(gradual) == egt.topology_digest(once)
        digests.add(egt.topology_digest(once))
    egt.prune(magnitude := mlp(6, 12, 4), "magnitude", density=0.25)
    assert len(digests | {egt.topology_digest(magnitude)}) == 3


def test_every_layer_is_shuffled_by_itself_and_tied_ones_together():
    def tied():
        model = nn.ModuleDict({name: nn.Linear(12, 12) for name in "abc"})
        model["c"].weight = model["a"].weight
        return egt.prune(model, lambda name, layer: -torch.arange(144.0).reshape(12, 12), density=0.25, scope="layer")

    model = tied()
    assert torch.equal(model["a"].mask, model["b"].mask)
    egt.shuffle(model, rng=0)
    assert torch.equal(model["a"].mask, model["c"].mask)
    assert not torch.equal(model["a"].mask, model["b"].mask)


def test_reinitialising_attention_and_without_a_seed():
    model = nn.Sequential(nn.MultiheadAttention(8, 2), nn.Linear(8, 4))
    with torch.no_grad():
        model[0].in_proj_weight.fill_(7)
    state = torch.get_rng_state()
    egt.reinitialise(model)
    assert not torch.equal(torch.get_rng_state(), state)
    assert (model[0].in_proj_weight != 7).all()


def test_a_history_that_was_loaded_has_named_fields():
    pruning = egt.GradualPruning(mlp(6, 5, 4), final_density=0.5, begin=1, end=1, every=1)
    pruning.step()
    again = egt.GradualPruning(mlp(6, 5, 4), final_density=0.5, begin=1, end=1, every=1)
    again.load_state_dict(pruning.state_dict())
    assert [(line.step, line.density) for line in again.history] == [(1, 0.5)]


# --- exact in any precision ---


@pytest.mark.parametrize("dtypes", [(torch.bfloat16, torch.float32), (torch.float32, torch.float64)])
def test_counts_are_exact_where_layers_differ_in_precision(dtypes):
    """A threshold of one layer is none of the values of another: rounded to one, it would be."""
    for seed in range(10):
        torch.manual_seed(seed)
        model = nn.ModuleDict({str(k): nn.Linear(30, 30).to(dtype) for k, dtype in enumerate(dtypes)})
        flat = torch.cat([layer.weight.detach().double().abs().flatten() for layer in model.values()]).numpy()
        egt.prune(model, "magnitude", density=0.3)
        kept = torch.cat([layer.mask.flatten() for layer in model.values()]).numpy()
        assert set(np.flatnonzero(kept)) == set(np.argsort(-flat, kind="stable")[:540])


def test_a_threshold_between_the_values_of_a_coarser_layer():
    fine = torch.nextafter(torch.tensor(1.0, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64))
    scores = {"a": torch.ones(4), "b": torch.full((4,), fine.item(), dtype=torch.float64)}
    everywhere = {name: torch.ones(4, dtype=torch.bool) for name in scores}
    for n_keep in range(9):
        kept = keep_largest(scores, everywhere, n_keep)
        assert (int(kept["a"].sum()), int(kept["b"].sum())) == (max(0, n_keep - 4), min(4, n_keep))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_snip_of_halves_does_not_underflow(dtype):
    """The product of a small gradient and a small weight is a score still, and no tie with zero."""
    model = nn.Linear(20, 10, bias=False).to(dtype)
    with torch.no_grad():
        model.weight.copy_(torch.linspace(1e-4, 4e-4, 200).reshape(10, 20))
    x = torch.full((1, 20), 1e-4, dtype=dtype)
    expected = model.weight.detach().double().flatten() * x[0, 0].double()
    scores = scores_of(model, "snip", [x], lambda model, batch: model(batch).float().sum())[""]
    torch.testing.assert_close(scores.double().flatten(), expected, rtol=1e-6, atol=0)


def test_whole_numbers_are_scores_too():
    large = 2**24 + torch.arange(100).reshape(10, 10)
    model = egt.prune(nn.Linear(10, 10), lambda name, layer: large, density=0.11)
    assert model.mask.flatten().tolist() == [False] * 89 + [True] * 11
    model = egt.prune(nn.Linear(10, 10), lambda name, layer: large > 2**24 + 49, density=0.5, invert=True)
    assert model.mask.flatten().tolist() == [True] * 50 + [False] * 50


def test_a_function_may_return_the_weight_and_gives_its_name():
    def signed(name, layer):
        return layer.weight

    model, inverse = mlp(6, 5, 4), mlp(6, 5, 4)
    flat = torch.cat([model[k].weight.detach().flatten() for k in (0, 2)])
    egt.prune(model, signed, density=0.5)
    egt.prune(inverse, signed, density=0.5, invert=True)
    kept, rest = (torch.cat([m[k].mask.flatten() for k in (0, 2)]) for m in (model, inverse))
    assert flat[kept].min() > flat[~kept].max()
    assert torch.equal(kept, ~rest)
    assert model[0].family == "signed"


# --- again, in rounds, over time ---


@pytest.mark.parametrize("criterion", ["snip", "grasp", "obd", "synflow"])
def test_rounds_are_prunings_one_after_another(criterion):
    """In a later round, weights that are gone are zero; and a network with masks is scored as its dense twin."""
    rounds, steps = mlp(12, 10, 8, 4).double(), mlp(12, 10, 8, 4).double()
    data = [(torch.randn(9, 12, generator=torch.Generator().manual_seed(0)).double(), torch.arange(9) % 4)]
    egt.prune(rounds, criterion, density=0.25, rounds=2, data=data, rng=0)
    for density in (0.5, 0.25):
        egt.prune(steps, criterion, density=density, rounds=1, data=data, rng=0)
    assert egt.topology_digest(rounds) == egt.topology_digest(steps)


def test_synflow_takes_a_hundred_rounds():
    calls, model = [], mlp(8, 6, 4)
    model.register_forward_hook(lambda *_: calls.append(1))
    egt.prune(model, "synflow", density=0.5, data=[torch.ones(1, 8)])
    assert len(calls) == 100
    egt.prune(model, "snip", density=0.4, data=[(torch.ones(1, 8), torch.tensor([1]))])
    assert len(calls) == 101


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_a_smaller_density_by_layers_is_always_possible(criterion):
    """Of a smaller total, a layer's share may be rounded up to more than the larger one's, rounded down."""
    model = mlp(2, 2, 5, 2, 2, bias=False)  # of 24, they have 3, 9, 9 and 3; of 23, they would have 4, 8, 8 and 3
    sizes = np.array([4, 10, 10, 4])
    for total in range(28, -1, -1):
        egt.prune(model, criterion, density=total / 28, scope="layer", rng=0)
        counts = np.array([int(layer.mask.sum()) for layer in egt.masked_modules(model).values()])
        assert counts.sum() == total
        assert abs(counts - total * sizes / 28).max() < 1


def test_others_make_up_for_what_was_rounded_up_and_for_nothing_else():
    def layers(*sizes):
        return nn.ModuleDict({str(k): nn.Linear(size, 1) for k, size in enumerate(sizes)})

    model = egt.prune(layers(3, 8, 9), "magnitude", density=1 / 3, include="0")  # shares of 1.5, 4 and 4.5
    egt.prune(model, "magnitude", density=0.5, scope="layer")
    assert [int(layer.mask.sum()) for layer in model.values()] == [1, 4, 5]
    for left, density, message in (
        (23, 0.5, "density 0.5 is 24 of 48 weights of layer '0', and 23 are left: ask for at most 0.479167"),
        (12, 0.5, "density 0.5 is 24 of 48 weights of layer '0', and 12 are left"),
    ):
        model = egt.prune(layers(48, 24), "magnitude", density=left / 48, include="0")
        with pytest.raises(ValueError, match=message):
            egt.prune(model, "magnitude", density=density, scope="layer")
    model = egt.prune(layers(4, 10, 10, 4), "magnitude", density=0.5, include="0")
    with pytest.raises(ValueError, match=r"is 4 of 4 weights of layer '0', and 2 are left"):
        egt.prune(model, "magnitude", density=23 / 28, scope="layer")


@pytest.mark.parametrize("make", [lambda: 0, lambda: np.random.default_rng(0), lambda: np.random.SeedSequence(0)])
def test_whatever_the_randomness_an_interrupted_pruning_goes_on(make):
    def start():
        model = mlp(20, 20, 4)
        return model, egt.GradualPruning(
            model, criterion="random", final_density=0.1, begin=1, end=6, every=1, rng=make()
        )

    (whole, pruning), (first, before), (second, after) = start(), start(), start()
    for _ in range(6):
        pruning.step()
    for _ in range(3):
        before.step()
    egt.load_state_dict(second, first.state_dict())
    after.load_state_dict(before.state_dict())
    for _ in range(3):
        after.step()
    assert egt.topology_digest(whole) == egt.topology_digest(second)
    assert pruning.state_dict() == after.state_dict()


def test_a_pruning_and_its_model_are_copied_together():
    model = mlp(20, 20, 4)
    optimizer = torch.optim.Adam(model.parameters())
    pruning = egt.GradualPruning(model, final_density=0.1, begin=1, end=4, every=1, optimizer=optimizer)
    pruning.step()
    for again in (copy.deepcopy(pruning), pickle.loads(pickle.dumps(pruning))):
        for _ in range(3):
            again.step()
        assert egt.summary(again.model).n_edges == 48
        assert again.optimizer.param_groups[0]["params"][0] is again.model[0].weight
        assert len(again.history) == 4
    assert egt.density(model) == 1
    assert len(pruning.history) == 1


# --- what scoring leaves alone ---


class Odd(nn.Module):
    """Dropout, a mean over all batches, a buffer that counts, a frozen layer, and hooks."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.norm, self.drop = nn.Linear(6, 8), nn.BatchNorm1d(8, momentum=None), nn.Dropout(0.5)
        self.two, self.head = nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 4)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x):
        self.calls += 1
        return self.head(torch.relu(self.two(self.drop(self.norm(self.one(x))))))


@pytest.mark.parametrize("criterion", ["snip", "grasp", "obd", "synflow"])
@pytest.mark.parametrize("fails", [False, True])
def test_scoring_leaves_no_trace(criterion, fails):
    model = Odd()
    model.norm.eval()
    x, y = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)), torch.arange(5) % 4
    nn.functional.cross_entropy(model(x), y).backward()
    fired = []
    model.one.weight.register_hook(lambda gradient: fired.append(1))
    model.head.bias.register_post_accumulate_grad_hook(lambda parameter: fired.append(1))
    before, flags = everything(model), [p.requires_grad for p in model.parameters()]
    calls, parameters, state = model.calls.clone(), list(model.parameters()), torch.get_rng_state()

    def loss(model, batch):
        model.eval() if model.training else model.train()
        value = nn.functional.cross_entropy(model(batch[0]), batch[1])
        if fails:
            raise KeyError("loss")
        return value

    if fails:
        if criterion == "synflow":
            model.head.register_forward_hook(lambda *_: loss(nn.Linear(6, 4), (x, y)))
        with pytest.raises(KeyError):
            egt.prune(model, criterion, density=0.3, data=[(x, y)], loss_fn=loss)
        unchanged(before, model)
    else:
        egt.prune(model, criterion, density=0.3, data=[(x, y)], loss_fn=loss, rounds=2)
        unchanged(before, model, off_the_masks=True)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert [p.requires_grad for p in model.parameters()] == flags
    assert torch.equal(model.calls, calls)
    assert torch.equal(torch.get_rng_state(), state)
    assert not fired


def test_synflow_needs_a_dimension_beside_the_batch():
    with pytest.raises(ValueError, match=r"synflow needs batches of floats x, .*; got torch.float32 of shape \(4,\)"):
        egt.prune(nn.Linear(4, 4), "synflow", density=0.5, data=[torch.ones(4)])


# --- controls ---


def test_reinitialising_ends_with_the_outermost_module():
    """Attention sets the bias of its projection to zero, after the projection has drawn it; as in a constructor."""
    model = nn.Sequential(nn.MultiheadAttention(8, 2), nn.Linear(8, 4))
    with torch.no_grad():
        model[0].out_proj.bias.fill_(7)
    egt.reinitialise(model, seed=0)
    assert not model[0].out_proj.bias.any()


def test_reinitialising_stays_on_the_masks_whoever_writes():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def reset_parameters(self):
            nn.init.constant_(self.fc.weight, 3)

    model = egt.prune(Net(), "magnitude", density=0.25)
    egt.reinitialise(model)
    assert torch.equal(model.fc.weight, torch.where(model.fc.mask, 3.0, 0.0))


def test_a_loss_that_is_linear_in_the_weights_has_no_curvature():
    for criterion in ("grasp", "obd"):
        scores = scores_of(
            nn.Sequential(nn.Linear(4, 3)), criterion, [torch.ones(2, 4)], lambda model, x: model(x).sum()
        )
        assert not scores["0"].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": torch.ones(2, 6)}, r"data is an iterable of batches, got a Tensor: for one batch \(x, y\), give"),
        ({"data": {"x": 1}}, "got a dict"),
        ({"data": [{"x": 1}]}, r"must be \(x, y\), got dict; for others give loss_fn"),
        ({"data": [batch()], "loss_fn": nn.CrossEntropyLoss()}, "loss_fn is called as loss_fn"),
        ({"data": [batch()], "loss_fn": nn.functional.cross_entropy}, "loss_fn is called as loss_fn"),
        ({"criterion": "SNIP", "data": [batch()]}, "did you mean 'snip'?"),
        ({"data": [(torch.ones(2, 7), torch.ones(2))]}, "does not compute on the first batch of data: mat1 and mat2"),
        ({"data": [(torch.ones(2, 6), torch.tensor([0, 9]))]}, "does not compute on the first batch of data: Target 9"),
    ],
)
def test_mistakes_of_newcomers(options, message):
    with pytest.raises(ValueError, match=message):
        egt.prune(mlp(6, 5, 4), **{"criterion": "snip", "density": 0.1} | options)


def test_a_model_that_returns_no_tensor_needs_a_loss():
    model = mlp(6, 5, 4)
    model.forward = lambda x: {"logits": x}
    with pytest.raises(ValueError, match="returns a dict, not a tensor: give loss_fn"):
        egt.prune(model, "snip", density=0.1, data=[(torch.ones(2, 6), torch.ones(2))])


def test_an_optimizer_is_one():
    with pytest.raises(ValueError, match=r"optimizer must be a torch.optim.Optimizer, got dict"):
        egt.GradualPruning(mlp(6, 5, 4), final_density=0.1, begin=1, end=2, every=1, optimizer={})
