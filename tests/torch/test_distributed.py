"""Masked models on two processes, by gloo on the CPU: DistributedDataParallel, and FSDP2, which shards weights.

Two processes run every scenario (a test's name without ``test_``), each with a process group of its own; a test fails
where one of the two does. They are started once, because most of the time goes into imports.
"""

import copy
import time
import traceback
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

import expandergraphs_torch as egt

TIMEOUT = 120  # seconds, for everything; a scenario whose other process has failed waits for a quarter of them
SCENARIOS = []


def on_two_processes(scenario):
    """Make a test of a function of the rank and a folder: it looks at what the processes reported."""

    def test(reports):
        for rank in (0, 1):
            report = reports / f"{scenario.__name__} {rank}"
            assert report.exists(), f"process {rank} did not get as far"
            if report.read_text():
                pytest.fail(f"process {rank}:\n{report.read_text()}", pytrace=False)

    SCENARIOS.append(scenario)
    test.__doc__ = scenario.__doc__
    return test


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Run all scenarios, and never wait for longer than the timeout."""
    path = tmp_path_factory.mktemp("reports")
    processes = torch.multiprocessing.spawn(_run, (str(path),), nprocs=2, join=False)
    end = time.monotonic() + TIMEOUT
    try:
        while time.monotonic() < end and not processes.join(timeout=end - time.monotonic()):
            pass
    finally:
        for process in processes.processes:
            process.kill()
    return path


def _run(rank, path):
    """Run every scenario and write what went wrong."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    for scenario in SCENARIOS:
        folder = Path(path, f"{scenario.__name__} files")
        folder.mkdir(exist_ok=True)
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store",
            rank=rank,
            world_size=2,
            timeout=timedelta(seconds=TIMEOUT / 4),
        )
        try:
            scenario(rank, folder)
            report = ""
        except BaseException:  # also what pytest.raises and pytest.fail raise
            report = traceback.format_exc()
        dist.destroy_process_group()
        Path(path, f"{scenario.__name__} {rank}").write_text(report)


def dense_network():
    """Sides that two processes do not share evenly: 5 channels, 7 and 3 units."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, 7), nn.ReLU(), nn.Linear(7, 3, bias=False)
    )


def network(rng=0):
    return egt.sparsify(dense_network(), "random", density=0.5, rng=rng)


def batch():
    return torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(1))


def train(model, optimizer, x):
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


def reference(x):
    """One process that sees the whole batch."""
    model = network()
    train(model, make_optimizer(model), x)
    return model


def make_optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)


def whole(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def assert_same(model, expected):
    """Weights to the rounding of sums in another order, wiring exactly."""
    assert egt.topology_digest(model) == egt.topology_digest(expected)
    for (name, one), two in zip(model.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(whole(one.detach()), two.detach(), msg=lambda m, name=name: f"{name}: {m}")
    assert_zero_off_mask(model)


def assert_zero_off_mask(model):
    for module in egt.masked_modules(model).values():
        assert not whole(module.weight.detach()).masked_select(~module.mask).any()


# --- DistributedDataParallel ---


@on_two_processes
def test_ranks_with_different_wiring_are_refused(rank, path):
    """Trap: wrapping broadcasts the buffers of the first process, and a digest compared afterwards cannot differ."""
    egt.check_topology(network())
    model = network(rng=rank)
    digests = [egt.topology_digest(network(rng=seed))[:12] for seed in (0, 1)]
    with pytest.raises(ValueError, match=rf"{digests[0]} on \[0\]; {digests[1]} on \[1\]; sparsify with the same rng"):
        egt.check_topology(model)
    wrapped = nn.parallel.DistributedDataParallel(model)
    egt.check_topology(wrapped.module)  # too late: all have the wiring of the first
    assert egt.topology_digest(model).startswith(digests[0])


@on_two_processes
def test_training_on_two_processes_is_training_on_the_joint_batch(rank, path):
    """DDP averages the gradients; nothing off the mask moves on any process."""
    model = network()
    if rank == 1:
        with torch.no_grad():  # wrapping brings the weights of the first process
            model[3].weight.add_(1)
    wrapped = nn.parallel.DistributedDataParallel(model)
    train(wrapped, make_optimizer(model), batch().chunk(2)[rank])
    assert_same(model, reference(batch()))
    for parameter in model.parameters():
        both = [torch.empty_like(parameter) for _ in range(2)]
        dist.all_gather(both, parameter.detach())
        assert torch.equal(*both)
    loaded = egt.load_state_dict(
        nn.parallel.DistributedDataParallel(dense_network()), wrapped.state_dict(), topology="replace"
    )
    assert_same(loaded.module, model)


@on_two_processes
def test_gradual_pruning_of_a_wrapped_model(rank, path):
    """Every process decides the same from the same weights, and the result is that of one process."""

    def prune_and_train(model, x):
        optimizer = make_optimizer(model)
        pruning = egt.GradualPruning(model, final_density=0.2, begin=1, end=5, every=2, optimizer=optimizer)
        for _ in range(6):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
            pruning.step()

    plain = dense_network()
    wrapped = nn.parallel.DistributedDataParallel(dense_network())
    prune_and_train(plain, batch())
    prune_and_train(wrapped, batch()[3 * rank : 3 * rank + 3])
    egt.check_topology(wrapped)
    assert_same(wrapped.module, plain)
    assert egt.density(wrapped) == pytest.approx(0.2, abs=0.01)


# --- FSDP2 ---


def shard(model, by_layer=False):
    from torch.distributed.fsdp import fully_shard

    mesh = dist.init_device_mesh("cpu", (2,))
    for layer in model if by_layer else ():
        if isinstance(layer, egt.Masked):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


@on_two_processes
def test_sharded_training_is_unsharded_training(rank, path):
    """Trap: FSDP2 shards the weight and not the mask."""
    expected = reference(batch())
    for by_layer in (False, True):
        model = shard(network(), by_layer)
        optimizer = make_optimizer(model)
        train(model, optimizer, batch().chunk(2)[rank])
        assert model[3].weight.to_local().shape == ((4, 3)[rank], 20)
        assert_same(model, expected)

        with torch.no_grad():  # as a careless user might
            for module in egt.masked_modules(model).values():
                module.weight.add_(1)
        model.eval()
        assert_zero_off_mask(model)
        torch.testing.assert_close(whole(model[3].weight), torch.where(model[3].mask, expected[3].weight + 1, 0.0))
        with torch.no_grad():
            for module in egt.masked_modules(expected).values():
                module.weight.add_(1)
        torch.testing.assert_close(model(batch()), expected(batch()))
        expected = reference(batch())
        model.reshard()

        for module in egt.masked_modules(model).values():
            with torch.no_grad():
                module.weight.fill_(1)
                module.weight.grad.fill_(1)
            optimizer.state[module.weight]["momentum_buffer"].fill_(1)
        egt.zero_off_mask(model, optimizer)
        for module in egt.masked_modules(model).values():
            momentum = optimizer.state[module.weight]["momentum_buffer"]
            for tensor in (module.weight, module.weight.grad, momentum):
                assert torch.equal(whole(tensor.detach()), module.mask.expand(tensor.shape).float())


@on_two_processes
def test_sharded_models_are_saved_whole_and_dense(rank, path):
    """A full state_dict carries the wiring; a dense one has zeros off the masks, and leaves the model alone."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    expected, plain = reference(batch()), reference(batch())
    with torch.no_grad():
        plain[3].weight.add_(1)
    egt.bake(plain)
    for by_layer in (False, True):
        model = shard(copy.deepcopy(expected), by_layer)
        assert egt.topology_digest(model) == egt.topology_digest(expected)
        full = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
        assert full.keys() == expected.state_dict().keys()
        assert_same(egt.load_state_dict(dense_network(), full), expected)

        with torch.no_grad():
            model[3].weight.add_(1)
        dense = egt.dense_state_dict(model)
        assert dense.keys() == plain.state_dict().keys()
        for name, tensor in plain.state_dict().items():
            assert torch.equal(whole(dense[name]), tensor)
        assert whole(model[3].weight.detach()).masked_select(~model[3].mask).all()  # a copy was zeroed


@on_two_processes
def test_sharded_checkpoints_bring_their_wiring(rank, path):
    """torch.distributed.checkpoint loads into the tensors of a model that has other wiring."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict

    expected = reference(batch())
    with warnings.catch_warnings():  # of its own: TypedStorage
        warnings.filterwarnings("ignore", message="TypedStorage is deprecated")
        dcp.save(get_model_state_dict(shard(copy.deepcopy(expected))), checkpoint_id=f"{path}/checkpoint")
        model = shard(network(rng=1))
        state = get_model_state_dict(model)
        dcp.load(state, checkpoint_id=f"{path}/checkpoint")
    set_model_state_dict(model, state)
    assert_same(model, expected)
    with pytest.raises(ValueError, match="seed"):  # the seed is another wiring's
        egt.topology_config(model)


@on_two_processes
def test_momentum_is_cut_after_an_evaluation_too(rank, path):
    """Trap: a forward without a backward leaves whole weights in the place of the sharded ones, which own the state."""
    model = shard(network())
    optimizer = make_optimizer(model)
    train(model, optimizer, batch().chunk(2)[rank])
    sharded = [module.weight for module in egt.masked_modules(model).values()]
    for weight in sharded:
        optimizer.state[weight]["momentum_buffer"].fill_(1)
    with torch.no_grad():
        model(batch())
    egt.zero_off_mask(model, optimizer)
    for weight, module in zip(sharded, egt.masked_modules(model).values(), strict=True):
        momentum = whole(optimizer.state[weight]["momentum_buffer"])
        assert torch.equal(momentum, module.mask.expand(momentum.shape).float())


@on_two_processes
def test_models_built_on_the_meta_device_are_sharded_and_then_drawn(rank, path):
    """What is recommended with FSDP2 for models too large for one process."""
    with torch.device("meta"):
        model = dense_network()
    model = shard(egt.sparsify(model, "random", density=0.5, rng=0))
    model.to_empty(device="cpu")
    warnings.filterwarnings("ignore", message="DTensor random operators may not have complete support on cpu")
    for module in egt.masked_modules(model).values():
        module.reset_parameters()
    assert egt.topology_digest(model) == egt.topology_digest(network())
    assert_zero_off_mask(model)
    for module in egt.masked_modules(model).values():
        layout = module.layout
        bound = layout.by_unit(layout.fan_in(module.mask).clamp(min=1).rsqrt())
        assert (whole(module.weight.detach()).abs() <= bound + 1e-6).all()
        assert whole(module.weight.detach()).any()


@on_two_processes
def test_models_that_are_sharded_already_are_refused(rank, path):
    """Masks come before sharding; a refused call leaves the model as it was."""
    for by_layer in (False, True):
        model = shard(dense_network(), by_layer)
        before = {name: whole(tensor).clone() for name, tensor in model.state_dict().items()}
        classes = [type(module) for module in model.modules()]
        with pytest.raises(ValueError, match=r"(?i)shard|FSDP"):
            egt.sparsify(model, "random", density=0.5, rng=0)
        assert classes == [type(module) for module in model.modules()]
        assert before.keys() == model.state_dict().keys()
        assert all(torch.equal(whole(tensor), before[name]) for name, tensor in model.state_dict().items())


@on_two_processes
def test_sharded_layers_stay_masked(rank, path):
    """Sparse execution keeps values of its own, which nobody has sharded: it comes before sharding too."""
    for by_layer, why in (
        (False, "its weight is sharded: call to_sparse before fully_shard"),
        (True, "there is no sparse FSDP"),
    ):
        model = egt.to_sparse(shard(network(), by_layer))
        executes = [layer.executes for layer in egt.summary(model).layers if layer.executes != "dense"]
        assert len(executes) >= 2
        assert all(why in each for each in executes)
