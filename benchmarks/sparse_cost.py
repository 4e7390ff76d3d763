"""What sparse execution gains: training steps and inference of layers and networks, dense, masked, and sparse.

    python -m benchmarks.sparse_cost [PART ...] [--threads 2] [--rows rows.jsonl] > tables.md
    python -m benchmarks.sparse_cost mlp --data DATA       # needs CIFAR-10, as benchmarks/block_cost.py does
    python -m benchmarks.sparse_cost gpu                   # on a GPU: float32 and bfloat16, to 8192 x 8192
    python -m benchmarks.sparse_cost --plot rows.jsonl --output FOLDER

All variants of a line take turns in one process; a time is the least of all of a variant's, and the tables give the
dense one, and how many times as fast the others are. A step is forward, and backward to weights, bias and input.
"MaskedLinear" and "MaskedConv2d" are what `sparsify` makes; the executions after them are those among which `to_sparse`
chooses. Peers: "MKL CSR" (cuSPARSE on a GPU) is PyTorch's CSR tensors, as a layer that takes and returns what the
others do, and its three products alone, of operands laid out for them; "BSR" the product by its block tensors;
"sparselab" is measured where it is installed.
"""

import argparse
import copy
import importlib.util
import json
import math
import platform
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import torch
from torch import nn

import expandergraphs_torch as egt
from expandergraphs_torch.sparse.products import executions

TURNS, MOST_SECONDS = 8, 8  # turns of each variant, and when to stop taking turns
CALLS, TURN_SECONDS = 5, 0.05  # at least so many calls in a turn, and for so long: caches and threads change slowly
ZEROS = (0.8, 0.9, 0.95, 0.98, 0.99)
CONVOLUTIONS = (  # channels, pixels, batch, kernel, stride
    (256, 16, 8, 3, 1),
    (256, 16, 8, 3, 2),
    (256, 16, 8, 1, 1),
    (512, 8, 16, 3, 1),
    (512, 2, 128, 3, 1),
    (64, 32, 64, 3, 1),
)
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def least(steps, device="cpu"):
    """Return the least seconds of each step; one that fails has none."""
    found, start = dict.fromkeys(steps, math.inf), time.perf_counter()
    for turn in range(TURNS):
        for name, step in steps.items():
            calls, turn_began = 0, time.perf_counter()
            while calls < CALLS or time.perf_counter() - turn_began < TURN_SECONDS:
                calls += 1
                if device == "cuda":
                    torch.cuda.synchronize()
                begun = time.perf_counter()
                try:
                    step()
                except (RuntimeError, ValueError) as error:  # a peer that does not take these, or has no memory left
                    if turn == 0:
                        print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr)
                    break
                if device == "cuda":
                    torch.cuda.synchronize()
                found[name] = min(found[name], time.perf_counter() - begun)
        if turn and time.perf_counter() - start > MOST_SECONDS:
            break
    return {name: seconds for name, seconds in found.items() if seconds < math.inf}


def step_of(layer, x, *, train):
    if not train:
        return torch.no_grad()(lambda: layer(x))
    along = torch.randn_like(layer(x))
    sources = (*layer.parameters(), x)
    return lambda: torch.autograd.grad(layer(x), sources, along)


def variants(plain, masked, x, *, train):
    """Return steps of a dense layer, a masked one, and every sparse execution of it."""
    steps = {"dense": step_of(plain, x, train=train), type(masked).__name__: step_of(masked, x, train=train)}
    sparse = (egt.SparseLinear if isinstance(plain, nn.Linear) else egt.SparseConv2d).of(copy.deepcopy(masked))
    for how in executions(x, sparse.pattern, sparse.window()):
        layer = copy.deepcopy(sparse)
        layer.how = how
        steps[how] = step_of(layer, x, train=train)
    return steps


class CsrProduct(torch.autograd.Function):
    """A linear layer by PyTorch's CSR tensors: two products with them, and one at their places."""

    @staticmethod
    def forward(ctx, x, values, csr, csr_t, order):
        ctx.save_for_backward(x, values)
        ctx.parts = csr, csr_t, order
        return (filled(csr, values) @ x.T).T

    @staticmethod
    def backward(ctx, dy):
        (x, values), (csr, csr_t, order) = ctx.saved_tensors, ctx.parts
        dx = (filled(csr_t, values.index_select(0, order)) @ dy.T).T
        return dx, torch.sparse.sampled_addmm(csr, dy.T.contiguous(), x, beta=0.0).values(), None, None, None


def filled(csr, values):
    parts = csr.crow_indices(), csr.col_indices(), values, csr.shape
    return torch.sparse_csr_tensor(*parts, check_invariants=False)


def peers(masked, x, block, *, train):
    """Return a layer by PyTorch's CSR tensors, its products alone, BSR's, and sparselab's layer."""
    weight, rows = masked.weight.detach(), x.detach().T.contiguous()
    along = torch.randn(len(weight), x.shape[0], dtype=x.dtype, device=x.device)
    sparse = egt.SparseLinear.of(copy.deepcopy(masked))
    pattern, values = sparse.pattern, sparse.values.detach().requires_grad_(train)
    csr, csr_t = (
        torch.sparse_csr_tensor(*parts, check_invariants=False)
        for parts in (
            (pattern.pointers, pattern.columns, values.detach(), weight.shape),
            (pattern.pointers_t, pattern.rows, values.detach()[pattern.order], weight.T.shape),
        )
    )

    def products():
        csr @ rows
        if train:
            csr_t @ along
            torch.sparse.sampled_addmm(csr, along, rows.T, beta=0.0)

    name = "cuSPARSE CSR" if x.is_cuda else "MKL CSR"
    bias = masked.bias.detach().requires_grad_(train)

    def layer():
        return CsrProduct.apply(x, values, csr, csr_t, pattern.order) + bias

    if train:
        dy = along.T.contiguous()
        steps = {f"{name} layer": lambda: torch.autograd.grad(layer(), (values, bias, x), dy)}
    else:
        steps = {f"{name} layer": torch.no_grad()(layer)}
    steps[f"{name} products"] = products
    if block > 1 and not train:
        bsr = weight.to_sparse_bsr(block)
        steps["BSR"] = lambda: bsr @ rows
    if importlib.util.find_spec("sparselab") and not x.is_cuda and x.dtype == torch.float32:
        import sparselab

        sparsity = 1 - masked.mask.float().mean().item()
        theirs = sparselab.SparseLinear(masked.in_features, masked.out_features, sparsity=sparsity)
        steps["sparselab"] = step_of(theirs, x, train=train)
    return steps


def linear(sizes, batches, zeros, *, train=True, device="cpu", dtype=torch.float32, blocks=(1,)):
    for n in sizes:
        for batch in batches:
            for block in blocks:
                for z in zeros:
                    torch.manual_seed(0)
                    make = {"device": device, "dtype": dtype}
                    plain, model = nn.Linear(n, n, **make), nn.Sequential(nn.Linear(n, n, **make))
                    family = "random" if block == 1 else "regular"
                    density = max(1, round((1 - z) * n / block)) * block / n if block > 1 else 1 - z
                    masked = egt.sparsify(model, family, density=density, block=block, rng=0)[0]
                    x = torch.randn(batch, n, requires_grad=train, **make)
                    steps = variants(plain, masked, x, train=train) | peers(masked, x, block, train=train)
                    setting = {"size": n, "batch": batch, "type": str(dtype)[6:], "block": block}
                    yield setting | {"zeros": 1 - egt.density(model)}, least(steps, device)


def convolutions():
    for channels, pixels, batch, kernel, stride in CONVOLUTIONS:
        for z in (0.9, 0.95, 0.98):
            torch.manual_seed(0)
            make = partial(nn.Conv2d, channels, channels, kernel, stride=stride, padding=kernel // 2)
            masked = egt.sparsify(nn.Sequential(make()), "random", density=1 - z, rng=0)[0]
            x = torch.randn(batch, channels, pixels, pixels, requires_grad=True)
            setting = {"channels": channels, "pixels": pixels, "batch": batch, "kernel": kernel, "stride": stride}
            yield setting | {"zeros": z}, least(variants(make(), masked, x, train=True))


def vgg16():
    """A VGG16 with batch normalisation for images of 32 x 32, and one linear layer at its end."""
    channels, layers = 3, []
    for width in VGG16:
        if width == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def three(make, density, example, *, train=True):
    """Return a model dense, masked, and as `to_sparse` makes it."""
    models = {}
    for name in ("dense", "masked", "to_sparse"):
        torch.manual_seed(0)
        models[name] = make().train(train)
        if name != "dense":
            last = egt.exclude_last(models[name])
            egt.sparsify(models[name], "random", density=density, exclude=last, rng=0)
    egt.to_sparse(models["to_sparse"], example_input=example)
    return models


def whole_step(model, x, y):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def networks():
    """Whole steps of training, optimizer included; and inference."""
    for train, batch in ((True, 32), (True, 128), (False, 1), (False, 64)):
        for z in (0.9, 0.95, 0.98):
            x, y = torch.randn(batch, 3, 32, 32), torch.arange(batch) % 10
            models = three(vgg16, 1 - z, x, train=train)
            steps = {name: whole_step(model, x, y) if train else partial(model, x) for name, model in models.items()}
            with torch.set_grad_enabled(train):
                found = least(steps)
            sparse = sum("Sparse" in type(layer).__name__ for layer in models["to_sparse"])
            kind = "training" if train else "inference"
            yield {"VGG16": kind, "batch": batch, "sparse layers": f"{sparse} of 13", "zeros": z}, found


def mlp(data):
    """Train 3072-4096-4096-10 at 95 % on CIFAR-10: whole epochs, and the accuracy."""
    from benchmarks.block_cost import cifar10

    x, y, x_test, y_test = cifar10(data)
    x, x_test = x.flatten(1), x_test.flatten(1)
    models = three(
        lambda: nn.Sequential(nn.Linear(3072, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 10)),
        0.05,
        x[:128],
    )
    print(egt.summary(models["to_sparse"]), file=sys.stderr)
    for epoch in range(3):
        seconds, accuracies = {}, {}
        for name, model in models.items():
            optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch))
            begun = time.perf_counter()
            for batch in order.split(128):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
                optimizer.step()
            seconds[name] = time.perf_counter() - begun
            with torch.no_grad():
                accuracies[name] = 100 * (model(x_test).argmax(1) == y_test).double().mean().item()
        accuracy = ", ".join(f"{name} {value:.2f}" for name, value in accuracies.items())
        yield {"epoch": epoch + 1, "images": len(x), "accuracy, %": accuracy}, seconds


def gpu():
    for dtype in (torch.float32, torch.bfloat16):
        for blocks in ((1,), (32,)):
            for sizes, batches in (((1024, 2048, 4096, 8192), (64, 512, 4096)), ((8192,), (8192,))):
                for train in (True, False):
                    options = {"train": train, "device": "cuda", "dtype": dtype, "blocks": blocks}
                    for setting, found in linear(sizes, batches, (0.8, 0.9, 0.95, 0.98, 0.995), **options):
                        yield {"step": "training" if train else "inference"} | setting, found


PARTS = {
    "linear": lambda _: linear((1024, 2048, 4096), (128,), ZEROS),
    "2048": lambda _: linear((2048,), (128,), ZEROS),
    "batches": lambda _: linear((2048,), (1, 16, 512), (0.9, 0.95, 0.99)),
    "blocks": lambda _: linear((2048,), (128,), (7 / 8, 15 / 16), blocks=(16, 32)),
    "inference": lambda _: linear((2048,), (1, 128), ZEROS, train=False),
    "convolutions": lambda _: convolutions(),
    "networks": lambda _: networks(),
    "mlp": lambda options: mlp(options.data),
    "gpu": lambda _: gpu(),
}


def percent(zeros):
    return f"{100 * zeros:.4g} %"


def tables(part, lines):
    """Print the lines of a part as they come; a table ends where other variants begin."""
    before = None
    for setting, found in lines:
        yield {"part": part, "threads": torch.get_num_threads()} | setting | {"seconds": found}
        names = [name for name in found if name != "dense"]
        kinds = tuple("gather" if name.startswith("gather") else name for name in names)
        if kinds != before:
            print(f"\n### {part}\n\n| {' | '.join(setting)} | dense, ms | {' | '.join(kinds)} |")
            print("|" + "---|" * len(setting) + "---:|" * (1 + len(kinds)))
            before = kinds
        cells = [percent(value) if key == "zeros" else str(value) for key, value in setting.items()]
        ratios = [f"{found['dense'] / found[name]:.2f}x" for name in names]
        print(f"| {' | '.join(cells)} | {1e3 * found['dense']:.3g} | {' | '.join(ratios)} |", flush=True)


def draw(path, folder):
    """Draw gain against density, for a linear layer and a convolution on a CPU, and for a GPU where there are rows."""
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    panels = {
        "Linear 2048 x 2048, batch 128": {"part": "linear", "size": 2048, "batch": 128},
        "Conv 3 x 3, 256 channels, 16 x 16, batch 8": {
            "part": "convolutions", "channels": 256, "pixels": 16, "kernel": 3, "stride": 1,
        },
    }  # fmt: skip
    threads = f"{rows[0]['threads']} CPU threads"
    _draw(rows, panels, f"Training step (forward and backward), float32, {threads}", Path(folder) / "sparse-gain.png")
    if any(row["part"] == "gpu" for row in rows):
        wanted = {"part": "gpu", "step": "training", "size": 8192, "batch": 4096}
        panels = {
            f"Linear 8192 x 8192, batch 4096, {kind}": wanted | {"type": kind} for kind in ("float32", "bfloat16")
        }
        _draw(rows, panels, "Training step (forward and backward), GPU", Path(folder) / "sparse-gain-gpu.png")


STYLES = {  # by how the names of variants begin
    "compiled": ("sparse: compiled kernels", "#0072B2", "o"),
    "triton blocks": ("sparse: Triton, blocks of 32", "#0072B2", "s"),
    "triton": ("sparse: Triton, single weights", "#0072B2", "o"),
    "gather": ("sparse: gather, blocks of 32", "#CC79A7", "D"),
    "operators": ("sparse: PyTorch's operators", "#56B4E9", "s"),
    "sparselab": ("sparselab", "#E69F00", "^"),
    "MKL CSR layer": ("MKL CSR", "#009E73", "v"),
    "cuSPARSE CSR layer": ("cuSPARSE CSR", "#009E73", "v"),
    "Masked": ("masked dense", "#D55E00", "x"),
}


def _draw(rows, panels, title, path):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 5), sharey=True, layout="constrained")
    labels = {}
    for axis, (name, wanted) in zip(axes, panels.items(), strict=True):
        lines, densities = {}, set()
        for row in rows:
            if wanted.items() <= row.items():
                densities.add(100 * (1 - row["zeros"]))
                for variant, seconds in row["seconds"].items():
                    style = next((begin for begin in STYLES if variant.startswith(begin)), None)
                    # what is drawn of single weights is not drawn of blocks again
                    if style and (row.get("block", 1) == 1 or style in ("triton blocks", "gather")):
                        lines.setdefault(style, {})[100 * (1 - row["zeros"])] = row["seconds"]["dense"] / seconds
        densities = sorted(densities)
        ideal = axis.plot(densities, [100 / d for d in densities], "--", color="0.6")[0]
        labels["as much less as there are weights"] = ideal
        for style in STYLES:
            if points := sorted(lines.get(style, {}).items()):
                label, colour, marker = STYLES[style]
                labels[label] = axis.plot(*zip(*points, strict=True), marker=marker, color=colour)[0]
        axis.axhline(1, color="black", linewidth=1)
        axis.set(xscale="log", yscale="log", xlabel="density of the weights, %", title=name)
        axis.set_xticks(densities, [f"{d:.3g}" for d in densities])
        axis.set_yticks([0.5, 1, 2, 5, 10, 20, 50, 100], ["0.5", "1", "2", "5", "10", "20", "50", "100"])
        axis.minorticks_off()
        axis.invert_xaxis()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("times as fast as the dense layer")
    figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=3, fontsize=9)
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    every = [part for part in PARTS if part not in ("2048", "mlp", "gpu")]
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, help="folder with cifar10-jpeg.tar.xz, for mlp")
    parser.add_argument("--rows", type=Path, help="file to which every line is added as JSON")
    parser.add_argument("--plot", type=Path, help="such a file, to be drawn; nothing is measured")
    parser.add_argument("--output", type=Path, default=Path(), help="folder for the picture")
    options = parser.parse_args()
    if options.plot:
        return draw(options.plot, options.output)
    if "mlp" in options.parts and options.data is None:
        parser.error("mlp needs --data, the folder with cifar10-jpeg.tar.xz")
    warnings.filterwarnings("ignore", message="Sparse .* tensor support is in beta")
    torch.set_num_threads(options.threads)
    print(f"{platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}, ", end="")
    print(f"{options.threads} threads{', ' + torch.cuda.get_device_name() if torch.cuda.is_available() else ''}")
    for part in options.parts or every:
        for row in tables(part, PARTS[part](options)):
            if options.rows:
                with options.rows.open("a") as file:
                    print(json.dumps(row), file=file)
    return None


if __name__ == "__main__":
    main()
