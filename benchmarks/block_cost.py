"""What blocks cost: expansion and accuracy at equal density, with edges one by one and in complete b x b blocks.

    python benchmarks/block_cost.py --data DATA --path rows.jsonl > tables.md

DATA holds `mnist/*-ubyte.gz`, as LeCun published it, and `cifar10-jpeg.tar.xz`, of `cifar10/train/CLASS/NUMBER.jpg` and
`cifar10/test/...`. Every row is kept in `--path` as soon as it is known; interrupted, the same command goes on where it
stopped, and two of them with other `--parts` or `--seeds` may share the file.

A block expander is the Kronecker product of a graph on n / b blocks with the all-ones J_b, so its singular values are
those of that graph times b, and zeros. A layer of degree d keeps sigma2 / sigma1 of a graph of degree k = d / b, about
2 sqrt(k - 1) / k in place of 2 sqrt(d - 1) / d: sqrt(b) times as much. (That is for sparse graphs. At density p an
entry of B has the variance p (1 - p), not p: the tables have sqrt(1 - p) times that too, no theorem here.)

Where n / b is even, alpha is that of the graph on blocks too, and is measured there. For let a set S touch t blocks: if
t <= n / 2b, all units of these blocks are a set that is admitted, no smaller than S, with the neighbours of S; if not,
so are all units of any n / 2b of them, with no more. "Sampled" is what RReg's code reports, the mean of |N(S)| / |S|
over random sets; "reached in two layers" the share of inputs that a unit two such layers on reads along some path.

Accuracy: PyTorch's default weights, scaled by `sparsify`; SGD with momentum; nothing tuned for any of them. One seed
gives one dense initialisation and one order of images, whatever the blocks: differences are paired by seed.
"""

import argparse
import gzip
import json
import platform
import sys
import tarfile
from pathlib import Path

import numpy as np
import scipy
import torch
from PIL import Image
from scipy import stats
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt

BLOCKS = (1, 4, 16, 32)
FAMILIES = {"RReg": eg.random_regular, "Random": eg.random_bipartite}
SIZES = {1024: (1 / 32, 1 / 16, 1 / 8, 1 / 4), 256: (1 / 8, 1 / 4)}  # of the layers trained below, and their densities
TRAINING = {"mnist": ((1 / 32, 1 / 16), 3), "cifar10": ((1 / 8, 1 / 4), 2)}  # densities, and epochs
N_TRAIN = 20_000  # the first of MNIST; of CIFAR-10 the first of each class
LEARNING_RATE, BATCH = 0.05, 100


def expansion_settings(seeds):
    for seed in seeds:
        for n, densities in SIZES.items():
            for density in densities:
                for block in BLOCKS:
                    for family in FAMILIES:
                        yield {"n": n, "density": density, "block": block, "family": family, "seed": seed}


def expansion_of(n, density, block, family, seed):
    """Measure one graph; the next layer of the two through which units are reached has a graph of its own."""
    rng, side = np.random.default_rng([seed, n, block]), n // block
    small, other = (FAMILIES[family](side, side, n_edges=round(density * side**2), rng=rng) for _ in range(2))
    large, after = (eg.block_expander(g, block) for g in (small, other))
    gap, alpha = eg.spectral_gap(large), eg.vertex_expansion(small, side="left", rng=seed)
    result = {
        "edges": large.n_edges,
        "ratio": gap.sigma2_normalised,
        "ramanujan": gap.is_ramanujan,
        "connected": gap.connected,
        "kronecker": abs(gap.sigma2_normalised - eg.spectral_gap(small).sigma2_normalised),
        "alpha": [alpha.lower, alpha.upper],
        "sampled": eg.sampled_expansion(large, rng=seed).mean,
        "reached": float(eg.reachability(eg.LayeredGraph([n] * 3, {(0, 1): large, (1, 2): after})).mean()),
    }
    if n <= 256:  # the statement about alpha, checked where it costs little
        whole = eg.vertex_expansion(large, side="left", rng=seed)
        result["alpha_agrees"] = whole.lower <= alpha.upper + 1e-9 and alpha.lower <= whole.upper + 1e-9
    return result


def mnist(folder, seed, shuffled):
    """Pad digits to 32 x 32 = 1,024 inputs, which all blocks divide; shuffled, a block is no piece of an image row."""
    parts = {}
    for part, n in (("train", N_TRAIN), ("t10k", 10_000)):
        images = np.frombuffer(gzip.decompress((folder / f"mnist/{part}-images-idx3-ubyte.gz").read_bytes())[16:], "u1")
        labels = np.frombuffer(gzip.decompress((folder / f"mnist/{part}-labels-idx1-ubyte.gz").read_bytes())[8:], "u1")
        x = np.pad(images.reshape(-1, 28, 28)[:n], ((0, 0), (2, 2), (2, 2))).reshape(n, 1024)
        if shuffled:
            x = x[:, np.random.default_rng(seed).permutation(1024)]
        parts[part] = torch.from_numpy((x / 255 - 0.1307) / 0.3081).float(), torch.tensor(labels[:n], dtype=torch.long)
    return *parts["train"], *parts["t10k"]


def cifar10(folder):
    """Images of 3 x 32 x 32, normalised by channel over the whole; classes in alphabetical order."""
    found = {"train": {}, "test": {}}
    with tarfile.open(folder / "cifar10-jpeg.tar.xz") as archive:
        for member in archive:
            if member.isfile():
                _, part, kind, name = member.name.split("/")
                if part == "test" or int(name.removesuffix(".jpg")) < N_TRAIN // 10:
                    found[part][kind, name] = np.asarray(Image.open(archive.extractfile(member)))
    kinds = sorted({kind for kind, _ in found["train"]})
    parts = []
    for images in found.values():
        x = np.stack([images[key] for key in sorted(images)]).transpose(0, 3, 1, 2) / 255
        parts += [x, torch.tensor([kinds.index(kind) for kind, _ in sorted(images)])]
    mean, deviation = parts[0].mean((0, 2, 3), keepdims=True), parts[0].std((0, 2, 3), keepdims=True)
    return [torch.from_numpy((p - mean) / deviation).float() if i % 2 == 0 else p for i, p in enumerate(parts)]


def mlp():
    return nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


def cnn():
    """Three sparse convolutions of 256 channels, 8 blocks of 32, after a dense one that makes 8 x 8 maps."""
    first = nn.Conv2d(3, 256, 5, stride=2, padding=2, bias=False)
    layers = [first, nn.MaxPool2d(2), nn.BatchNorm2d(256), nn.ReLU()]
    for stride in (2, 1, 1):
        convolution = nn.Conv2d(256, 256, 3, stride=stride, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(256), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


def training_settings(task, seeds):
    orders = (False, True) if task == "mnist" else (False,)
    for seed in seeds:
        yield {"density": 1, "block": 1, "shuffled": False, "seed": seed}
        for shuffled in orders:
            for density in TRAINING[task][0]:
                for block in BLOCKS:
                    yield {"density": density, "block": block, "shuffled": shuffled, "seed": seed}


def accuracy_of(task, data, density, block, seed):
    x, y, x_test, y_test = data
    torch.manual_seed(seed)
    model, dense = (mlp(), []) if task == "mnist" else (cnn(), ["0"])
    if density < 1:
        dense.append(egt.exclude_last(model))
        egt.sparsify(model, "regular", density=density, block=block, exclude=dense, rng=seed)
    edges = sum(layer.n_edges for layer in egt.summary(model).layers)
    model, order = model.to(memory_format=torch.channels_last), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9)
    epochs = TRAINING[task][1]
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=epochs * (len(x) // BATCH))
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(x), generator=order), BATCH):
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        right = sum(
            int((model(a).argmax(1) == b).sum()) for a, b in zip(x_test.split(500), y_test.split(500), strict=True)
        )
    return {"edges": edges, "accuracy": 100 * right / len(y_test)}


def run(part, seeds, folder, path):
    """Do what is not in the file yet."""
    data = {}
    for setting in expansion_settings(seeds) if part == "expansion" else training_settings(part, seeds):
        key = {"part": part, **setting}
        if any(key.items() <= row.items() for row in rows_of(path)):
            continue
        if part == "expansion":
            result = expansion_of(**setting)
        else:
            wanted = (setting["seed"], setting["shuffled"]) if part == "mnist" else None
            if wanted not in data:
                data = {wanted: mnist(folder, *wanted) if part == "mnist" else cifar10(folder)}
            result = accuracy_of(part, data[wanted], setting["density"], setting["block"], setting["seed"])
        with path.open("a") as file:
            file.write(json.dumps(key | result) + "\n")
        print(key | result, file=sys.stderr, flush=True)


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def chosen(rows, **wanted):
    return sorted((row for row in rows if wanted.items() <= row.items()), key=lambda row: row["seed"])


def print_expansion(rows):
    for family in FAMILIES:
        print(f"\n### Expansion: {family} between blocks, mean ± standard deviation over graphs\n")
        print("| n | density | block b | k = d / b | graphs | σ2/σ1 | 2√(k-1)/k | times √(1-p) | over b = 1 | √b | "
              "Ramanujan | connected | α | sampled | reached in two layers |")  # fmt: skip
        print("|---:" * 15 + "|")
        for n, densities in SIZES.items():
            for density in densities:
                of = {block: chosen(rows, n=n, density=density, block=block, family=family) for block in BLOCKS}
                for block, graphs in of.items():
                    if not graphs:
                        continue
                    k = round(density * n / block)
                    ideal = [2 * ((k - 1) * share) ** 0.5 / k for share in (1, 1 - density)]
                    bounds = " | ".join(f"{value:.3f}" if k > 1 else "-" for value in ideal)  # k = 1: a matching
                    ratios = np.array([g["ratio"] for g in graphs])
                    low, high = np.mean([g["alpha"] for g in graphs], axis=0)
                    times = ratios.mean() / np.mean([g["ratio"] for g in of[1]])
                    alpha = f"{low:.3f}" if f"{low:.3f}" == f"{high:.3f}" else f"{low:.3f} .. {high:.3f}"
                    yes = ["-" if (verdicts := [g[name] for g in graphs])[0] is None else sum(verdicts)
                           for name in ("ramanujan", "connected")]  # fmt: skip
                    print(f"| {n} | {density:.3%} | {block} | {k} | {len(graphs)} | {ratios.mean():.3f} ± "
                          f"{ratios.std(ddof=1):.3f} | {bounds} | {times:.2f} | {block**0.5:.2f} | "
                          f"{yes[0]} | {yes[1]} | {alpha} | {np.mean([g['sampled'] for g in graphs]):.2f} | "
                          f"{np.mean([g['reached'] for g in graphs]):.1%} |")  # fmt: skip
    checked = [row["alpha_agrees"] for row in rows if "alpha_agrees" in row]
    print(f"\nσ2/σ1 of the layer and of its graph on blocks differ by at most {max(r['kronecker'] for r in rows):.1e}; "
          f"the intervals of α of both meet in {sum(checked)} of {len(checked)} cases.")  # fmt: skip


def print_accuracy(rows, task):
    """Print Student's 95 % limits of the paired differences, and p, by itself and after Holm over the table."""
    lines, p_values = [], {}
    for shuffled in sorted({row["shuffled"] for row in rows}):
        for density in (1, *TRAINING[task][0]):
            of = {b: chosen(rows, shuffled=shuffled, density=density, block=b) for b in BLOCKS}
            for block, runs in of.items():
                if not runs:
                    continue
                values, edges = np.array([r["accuracy"] for r in runs]), {r["edges"] for r in runs}
                order = "shuffled" if shuffled else "as they are"
                line = f"| {order} | {density:.3%} | {block if density < 1 else 'dense'} | {min(edges):,} | "
                line += f"{values.mean():.2f} ± {values.std(ddof=1):.2f} | {len(runs)} |"
                assert len(edges) == 1
                if block > 1:
                    base = {r["seed"]: r["accuracy"] for r in of[1]}
                    differences = [r["accuracy"] - base[r["seed"]] for r in runs if r["seed"] in base]
                    test = stats.ttest_1samp(differences, 0)
                    limits = test.confidence_interval(0.95)
                    line += (
                        f" {np.mean(differences):+.2f} ({limits.low:+.2f} .. {limits.high:+.2f}) | {test.pvalue:.2g} |"
                    )
                    p_values[len(lines)] = test.pvalue
                lines.append(line)
    worst = 0.0
    for rank, i in enumerate(sorted(p_values, key=p_values.get)):
        worst = max(worst, min(1.0, p_values[i] * (len(p_values) - rank)))
        lines[i] += f" {worst:.2g} |"
    print(f"\n### Accuracy on {task}, %\n")
    print("| inputs | density | block | edges | accuracy | seeds | less block 1, paired (95 %) | p | p, Holm |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for i, line in enumerate(lines):
        print(line if i in p_values else f"{line} | | |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the images")
    parser.add_argument("--path", type=Path, required=True, help="file that keeps every row")
    parser.add_argument(
        "--parts", nargs="*", default=["expansion", *TRAINING], help="what to run; tables show all rows"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for part in options.parts:
        run(part, options.seeds, options.data, options.path)
    print(f"{platform.platform()}, Python {platform.python_version()}, NumPy {np.__version__}, ", end="")
    print(f"SciPy {scipy.__version__}, torch {torch.__version__}, one thread")
    rows = rows_of(options.path)
    if expansion := chosen(rows, part="expansion"):
        print_expansion(expansion)
    for task in TRAINING:
        if runs := chosen(rows, part=task):
            print_accuracy(runs, task)


if __name__ == "__main__":
    main()
