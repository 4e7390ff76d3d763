"""Rounds, unused layers and normalisation in pruning, against twins that share no code with it."""

import copy

import numpy as np
import torch
from torch import nn

import expandergraphs_torch as egt
from expandergraphs_torch.prune import keep_largest
from tests.torch.test_prune import batch, mlp, scores_of


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
