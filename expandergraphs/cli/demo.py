"""The command ``demo``: the main job from end to end."""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from expandergraphs import demo as job
from expandergraphs._files import check_place, replacing
from expandergraphs.cli._shared import NoProgress, check_folder, progress_bar, wide_console
from expandergraphs.layered import LayeredGraph

INSTALL_TORCH = "training needs the adapter for PyTorch: pip install 'expandergraphs[demo]'"


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for pictures and results.")] = Path("demo"),
    seeds: Annotated[int, typer.Option(min=1, help="Networks trained for each family, each with its own graphs.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training digits.")] = 15,
    no_progress: NoProgress = False,
) -> None:
    """Run the main job: four families at equal edges, measured, drawn and trained on real digits; and N2NSkip.

    results.json in the folder holds everything that is found. Without PyTorch,
    all but the training is done.

    Examples
    --------
    $ expandergraphs demo
    $ expandergraphs demo --seeds 2 --epochs 3 -o quick
    """
    check_folder("--output", output)
    console = wide_console()
    output.mkdir(parents=True, exist_ok=True)
    check_place(output / "results.json")
    nets = [job.families(seed) for seed in range(seeds)]
    reports, heat = job.measure(nets[0]), job.heat(nets[0])
    console.print(*job.measures_tables(reports), sep="\n")
    train, train_deep = _training("demo-training"), _training("demo-n2nskip")
    accuracies: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    deep: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
    trained: dict[str, list[LayeredGraph]] = {}
    if train is None or train_deep is None:
        console.print(INSTALL_TORCH, markup=False)
    else:
        names, methods = [*nets[0], job.DENSE], [job.RP, job.SKIPS, job.DENSE]
        with progress_bar(no_progress) as progress:
            task = progress.add_task("training", total=len(names + methods) * seeds * epochs)
            for name in names:
                progress.update(task, description=f"training {job.TITLES.get(name, name)}")
                runs = [
                    train(nets[seed].get(name), seed=seed, epochs=epochs, on_epoch=lambda: progress.advance(task))
                    for seed in range(seeds)
                ]
                accuracies[name] = np.array(runs)
            for name in methods:
                progress.update(task, description=f"training deep {name}")
                pairs = [
                    train_deep(name, seed=seed, epochs=epochs, on_epoch=lambda: progress.advance(task))
                    for seed in range(seeds)
                ]
                deep[name], trained[name] = np.array([run for run, _ in pairs]), [net for _, net in pairs]
    records = output / "results.json"
    found = job.as_records(reports, heat, accuracies, range(seeds), deep)
    with replacing(records) as file:
        file.write(json.dumps(found, indent=1).encode() + b"\n")
    console.print(f"wrote {records}", highlight=False)
    for path in job.draw_pictures(nets[0], heat, accuracies, output):
        console.print(f"wrote {path}", highlight=False)
    console.print(job.results_table(reports, heat, accuracies))
    if deep:
        console.print(job.skips_table(trained, deep))


def _training(name: str) -> Callable[..., Any] | None:
    """Return one of the adapter's training functions, or None where torch or the digits are not installed."""
    (entry,) = metadata.entry_points(group="expandergraphs.commands", name=name)
    try:
        return entry.load()  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "mlxtend"):
            raise
        return None
