"""Every public name of the adapter on small and degenerate models: its laws hold, or a ValueError leaves all as it was.

A new public name without a case here fails `test_every_public_name_has_a_case`.
"""

import copy
import inspect
import json
import pickle
from dataclasses import FrozenInstanceError, fields, is_dataclass

import numpy as np
import pytest
import torch
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt
from tests.core.test_everything import GRAPHS


def chain(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*[layer() for layer in layers])


MODELS = {  # model, shape of an input
    "nothing": (lambda: chain(), (2, 3)),
    "no layers": (lambda: chain(nn.ReLU), (2, 3)),
    "one weight": (lambda: chain(lambda: nn.Linear(1, 1)), (2, 1)),
    "one output": (lambda: chain(lambda: nn.Linear(5, 1, bias=False)), (2, 5)),
    "mlp": (lambda: chain(lambda: nn.Linear(6, 8), nn.ReLU, lambda: nn.Linear(8, 8), lambda: nn.Linear(8, 3)), (2, 6)),
    "conv": (
        lambda: chain(
            lambda: nn.Conv2d(2, 3, 3, padding=1),
            lambda: nn.BatchNorm2d(3),
            nn.ReLU,
            nn.Flatten,
            lambda: nn.Linear(48, 2),
        ),
        (2, 2, 4, 4),
    ),
    "1d and 3d": (
        lambda: chain(
            lambda: nn.Conv1d(2, 4, 2), lambda: nn.Unflatten(1, (1, 2, 2)), lambda: nn.Conv3d(1, 2, (1, 2, 2))
        ),
        (2, 2, 3),
    ),
}


def outputs(model, shape):
    with torch.no_grad():
        return model.eval()(torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape))


def state(model):
    return {key: value.clone() for key, value in model.state_dict().items()}, [
        type(module) for module in model.modules()
    ]


def unchanged(model, before):
    values, types = state(model)
    return (
        values.keys() == before[0].keys()
        and all(torch.equal(value, before[0][key]) for key, value in values.items())
        and types == before[1]
    )


def wired(make, n=None):
    """A model of which every other weight is kept."""
    model = make()
    return egt.sparsify(model, "random", density=0.5, rng=0) if n is None else egt.sparsify(model, "random", n_edges=n)


def off_mask(model):
    return sum(int((module.weight[~module.mask.expand_as(module.weight)] != 0).sum()) for module in masked(model))


def masked(model):
    return list(egt.masked_modules(model).values())


# --- the laws, of a function that makes a model, and the shape of its input ---


def sparsify(make, shape):
    for family in ("random", "left_regular", "regular"):
        model = egt.sparsify(make(), family, n_edges=1, rng=0, pattern="channel")
        assert sum(module.graph.n_edges for module in masked(model)) == 1
        assert egt.topology_digest(model) == egt.topology_digest(egt.sparsify(make(), family, n_edges=1, rng=0))
    model = wired(make)
    assert off_mask(model) == 0
    assert outputs(model, shape).isfinite().all()
    assert same(outputs(copy.deepcopy(model), shape), outputs(model, shape))
    assert same(outputs(pickle.loads(pickle.dumps(model)), shape), outputs(model, shape))


def same(one, other):
    return torch.allclose(one, other, atol=1e-5)


def plan(make, shape):
    model = make()
    before = state(model)
    found = whole(egt.plan(model, "random", density=0.5))
    assert unchanged(model, before)
    wanted = {layer.name: layer.n_edges for layer in found.layers}
    for name, graph in egt.topology(egt.sparsify(model, "random", density=0.5)).items():
        assert graph.n_edges == wanted[name]


def prune(make, shape):
    for scope in ("global", "layer"):
        model = egt.prune(make(), "magnitude", density=0.5, scope=scope)
        assert off_mask(model) == 0
        assert outputs(model, shape).isfinite().all()
        assert egt.prune(make(), "random", density=1, rng=0) is not None


def bake(make, shape):
    model = wired(make)
    expected, plain = outputs(model, shape), egt.bake(model)
    assert same(outputs(plain, shape), expected)
    assert not masked(plain)
    assert plain.state_dict().keys() == make().state_dict().keys()


def dense_state_dict(make, shape):
    model, plain = wired(make), make()
    plain.load_state_dict(egt.dense_state_dict(model))
    assert same(outputs(plain, shape), outputs(model, shape))


def density(make, shape):
    assert egt.density(make()) == 1
    found = egt.density(wired(make))
    kept = sum(int(module.mask.expand_as(module.weight).sum()) for module in masked(wired(make)))
    assert found == pytest.approx(kept / sum(module.weight.numel() for module in masked(wired(make))))


def topology(make, shape):
    model = wired(make)
    graphs = egt.topology(model)
    assert list(graphs) == list(egt.masked_modules(model))
    again = egt.sparsify(make(), graphs)
    assert egt.topology(again) == graphs
    assert egt.topology_digest(again) == egt.topology_digest(model)
    config = json.loads(json.dumps(egt.topology_config(model)))
    assert egt.topology_digest(egt.rebuild(make(), config)) == config["digest"] == egt.topology_digest(model)
    loaded = egt.load_state_dict(make(), model.state_dict())
    assert same(outputs(loaded, shape), outputs(model, shape))


def zero_off_mask(make, shape):
    model = wired(make)
    for module in masked(model):
        module.weight.data += 1
    egt.zero_off_mask(model)
    assert off_mask(model) == 0


def controls(make, shape):
    model = wired(make)
    digest, degrees = egt.topology_digest(model), [sorted(module.graph.left_degrees) for module in masked(model)]
    egt.shuffle(model, rng=0)
    assert [module.graph.n_edges for module in masked(model)] == [int(sum(d)) for d in degrees]
    egt.reinitialise(model, seed=0)
    assert off_mask(model) == 0
    assert egt.topology_digest(egt.shuffle(wired(make), rng=0)) == egt.topology_digest(model)
    assert egt.topology_digest(wired(make)) == digest


def sparse(make, shape):
    model = wired(make)
    expected, keys = outputs(model, shape), list(model.state_dict())
    quick = egt.to_sparse(model)
    assert same(outputs(quick, shape), expected)
    assert list(quick.state_dict()) == keys
    assert same(outputs(egt.to_masked(quick), shape), expected)
    assert whole(egt.summary(model)).layers is not None


def skips(make, shape):
    model = egt.add_n2nskip(make(), density=0.5, example_input=torch.ones(shape), rng=0)
    assert outputs(model, shape).isfinite().all()
    assert outputs(egt.add_resskip(make(), example_input=torch.ones(shape)), shape).isfinite().all()


def network_graph(make, shape):
    net = egt.network_graph(wired(make), torch.ones(shape))
    assert net.widths[0] == shape[1]
    assert all((weights >= 0).all() for weights in net.weights.values())
    assert eg.report(net, quick=True).n_nodes == net.n_nodes


def exclude_last(make, shape):
    model = egt.sparsify(make(), "random", density=0.5, exclude=egt.exclude_last(make()), rng=0)
    assert egt.exclude_last(make()) not in egt.masked_modules(model)


def gradual(make, shape):
    model = wired(make, None)
    pruning = egt.GradualPruning(model, final_density=0.25, begin=0, end=2, every=1)
    for _ in range(3):
        pruning.step()
    other = egt.GradualPruning(wired(make), final_density=0.25, begin=0, end=2, every=1)
    other.load_state_dict(json.loads(json.dumps(pruning.state_dict())))
    assert other.state_dict() == pruning.state_dict()
    assert egt.density(model) <= 0.5 + 1e-9


def page(make, shape, tmp_path):
    egt.report(wired(make), tmp_path / "page.html")
    assert "</html>" in (tmp_path / "page.html").read_text()


LAWS = {
    "GradualPruning": gradual,
    "add_n2nskip": skips,
    "bake": bake,
    "dense_state_dict": dense_state_dict,
    "density": density,
    "exclude_last": exclude_last,
    "network_graph": network_graph,
    "plan": plan,
    "prune": prune,
    "shuffle": controls,
    "sparsify": sparsify,
    "to_sparse": sparse,
    "topology": topology,
    "zero_off_mask": zero_off_mask,
}
if hasattr(egt, "report"):
    LAWS["report"] = page
WITH = {
    "add_resskip": "add_n2nskip",
    "load_state_dict": "topology",
    "masked_modules": "topology",
    "rebuild": "topology",
    "reinitialise": "shuffle",
    "summary": "to_sparse",
    "to_masked": "to_sparse",
    "topology_config": "topology",
    "topology_digest": "topology",
}


def whole(result):
    assert repr(result)
    assert str(result)
    assert repr(pickle.loads(pickle.dumps(result))) == repr(copy.deepcopy(result)) == repr(result)
    if hasattr(result, "_repr_html_"):
        assert result._repr_html_().startswith("<")
    if hasattr(result, "to_dict"):
        assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()
    if is_dataclass(result):
        for field in fields(result):
            with pytest.raises(FrozenInstanceError):
                setattr(result, field.name, None)
    return result


PACKAGES = tuple(inspect.getfile(package).removesuffix("__init__.py") for package in (eg, egt))


def holds(law, *subject):
    """Tell whether a law holds; where what it is about does not exist, a ValueError of our own must say so."""
    try:
        law(*subject)
    except ValueError as error:
        trace = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        assert trace.tb_frame.f_code.co_filename.startswith(PACKAGES), error  # noqa: PT017
        assert len(str(error)) > 10  # noqa: PT017
        return False
    return True


NOTHING_TO_WIRE = {"nothing", "no layers", "one weight"}
REFUSED = {
    "add_n2nskip": NOTHING_TO_WIRE | {"one output", "1d and 3d"},
    "exclude_last": NOTHING_TO_WIRE | {"one output", "1d and 3d"},
    "network_graph": NOTHING_TO_WIRE | {"1d and 3d"},
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", LAWS)
def test_models(name, model, tmp_path):
    more = (tmp_path,) if "tmp_path" in inspect.signature(LAWS[name]).parameters else ()
    found = holds(LAWS[name], *MODELS[model], *more)
    assert found != (model in REFUSED.get(name, NOTHING_TO_WIRE))


LAYERS = {
    "MaskedLinear": lambda g: egt.MaskedLinear(g),
    **{f"MaskedConv{n}d": lambda g, n=n: getattr(egt, f"MaskedConv{n}d")(g, 1) for n in (1, 2, 3)},
    **{f"MaskedConvTranspose{n}d": lambda g, n=n: getattr(egt, f"MaskedConvTranspose{n}d")(g, 1) for n in (1, 2, 3)},
    "N2NSkipLinear": lambda g: egt.N2NSkipLinear(g),
    **{f"N2NSkipConv{n}d": lambda g, n=n: getattr(egt, f"N2NSkipConv{n}d")(g, 1) for n in (1, 2, 3)},
    "SparseLinear": lambda g: egt.SparseLinear.of(egt.MaskedLinear(g)),
    **{
        f"SparseConv{n}d": lambda g, n=n: getattr(egt, f"SparseConv{n}d").of(getattr(egt, f"MaskedConv{n}d")(g, 1))
        for n in (1, 2, 3)
    },
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("label", [label for label in GRAPHS if "star" not in label])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, label):
    """Layer -> graph gives the graph, and the layer computes what its dense twin does."""
    g = GRAPHS[label]

    def law():
        layer = LAYERS[name](g)
        assert isinstance(layer, getattr(egt, name))
        assert layer.graph == g
        assert repr(layer)
        n = 0 if "Linear" in name else int(name[-2])
        x = torch.ones(2, g.n_left, *[2] * n)
        y = layer.eval()(x)
        assert y.shape == (2, g.n_right, *[2] * n)
        assert y.isfinite().all()
        assert same(pickle.loads(pickle.dumps(layer))(x), y)
        assert same(copy.deepcopy(layer)(x), y)

    assert holds(law) or min(g.n_left, g.n_right) == 0


@pytest.mark.parametrize("label", GRAPHS)
def test_masks(label):
    g = GRAPHS[label]
    assert egt.linear_mask(g).shape == (g.n_right, g.n_left)
    assert egt.graph_from_mask(egt.linear_mask(g)) == g
    mask = egt.conv_mask(g, (2, 3))
    assert egt.graph_from_mask(mask) == g
    assert mask.expand(g.n_right, g.n_left, 2, 3).sum() == 6 * g.n_edges


def test_other_names():
    model = wired(MODELS["mlp"][0])
    assert isinstance(whole(egt.plan(MODELS["mlp"][0](), "random", density=0.5)), egt.Plan)
    assert isinstance(whole(egt.plan(MODELS["mlp"][0](), "random", density=0.5).layers[0]), egt.LayerPlan)
    assert isinstance(whole(egt.summary(model)), egt.Summary)
    assert isinstance(whole(egt.summary(model).layers[0]), egt.LayerSummary)
    assert isinstance(whole(masked(model)[0].recipe), egt.Recipe)
    assert isinstance(masked(model)[0], egt.Masked)
    pruning = egt.GradualPruning(model, final_density=0.25, begin=0, end=2, every=1)
    assert pruning.step()
    assert isinstance(pruning.history[0], egt.PruningStep)
    assert repr(egt.add_resskip(MODELS["mlp"][0]())).count("ResSkip") > 0
    for wrong in ((nn.Linear, egt.Masked), (3, 4), (nn.Linear, nn.Linear)):
        with pytest.raises(ValueError, match=r".{10}"):
            egt.register(*wrong)


def test_one_process_agrees_with_itself():
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        egt.check_topology(wired(MODELS["mlp"][0]))
    finally:
        dist.destroy_process_group()


TOLD = {"Masked", "Plan", "LayerPlan", "Summary", "LayerSummary", "Recipe", "PruningStep", "ResSkip", "register"}
TOLD |= {"check_topology", "conv_mask", "graph_from_mask", "linear_mask"}


def test_every_public_name_has_a_case():
    assert sorted({*LAWS, *WITH, *LAYERS, *TOLD}) == sorted(egt.__all__)


OF_A_MODEL = [
    name for name in egt.__all__ if "model" in getattr(inspect.signature(getattr(egt, name)), "parameters", {})
]


@pytest.mark.parametrize("name", OF_A_MODEL)
def test_nonsense_is_refused(name):
    function = getattr(egt, name)
    needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty][1:]
    if name == "check_topology":
        return
    for nonsense in (None, "nonsense", 1.5, [], {}, nn.Linear, torch.zeros(2)):
        options = {p.name: 0.5 for p in needed if p.kind is p.KEYWORD_ONLY}
        rest = ["magnitude" for p in needed if p.kind is not p.KEYWORD_ONLY]
        assert not holds(lambda: function(nonsense, *rest, **options))  # noqa: B023


HOSTILE = {
    "0.weight": [None, 3, "x", np.zeros((8, 6)), torch.zeros(6, 8), torch.zeros(8, 6, device="meta"), []],
    "0.mask": [3, "x", torch.zeros(6, 8), torch.zeros(8, 6, device="meta"), torch.zeros(8, 6).to_sparse()],
    "0.bias": [
        torch.zeros(8).to_sparse(),
        torch.zeros(8, dtype=torch.complex64),
        nn.parameter.UninitializedParameter(),
    ],
    3: [torch.zeros(1)],
}


@pytest.mark.parametrize("make", [MODELS["mlp"][0], lambda: wired(MODELS["mlp"][0])])
@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in HOSTILE.items() for value in values])
def test_hostile_checkpoints_change_nothing(make, key, value):
    checkpoint, model = wired(MODELS["mlp"][0]).state_dict(), make()
    before = state(model)
    with pytest.raises(RuntimeError, match=r"the checkpoint does not fit the model: .{10}"):
        egt.load_state_dict(model, checkpoint | {key: value}, strict=isinstance(key, int) or value is None)
    assert unchanged(model, before)


JUNK = [None, -1, 2**70, 1.5, float("nan"), "", "radix", [], [1], {}, {"0": 10**20}, {"0": -3}, {"0": "8"}, ["0"], b"x"]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_hostile_configurations_change_nothing(junk):
    config = egt.topology_config(wired(MODELS["mlp"][0]))
    model = MODELS["mlp"][0]()
    before = state(model)
    changed = [junk, *(config | {key: junk} for key in ("version", "digest", "recipes"))]
    changed += [config | {"recipes": [junk]}]
    for key in config["recipes"][0]:
        changed.append(config | {"recipes": [config["recipes"][0] | {key: junk}]})
        if isinstance(config["recipes"][0][key], dict):
            changed.append(config | {"recipes": [config["recipes"][0] | {key: {"0": junk}}]})
    for wrong in changed:
        try:
            rebuilt = egt.rebuild(MODELS["mlp"][0](), wrong)
        except ValueError as error:
            assert len(str(error)) > 10  # noqa: PT017
            with pytest.raises(ValueError, match=r"."):
                egt.rebuild(model, wrong)
            assert unchanged(model, before)
        else:  # as where "" is the same as no spawn_key
            assert egt.topology_digest(rebuilt) == config["digest"]
