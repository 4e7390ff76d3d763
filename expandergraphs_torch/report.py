"""A page about a model, or about a checkpoint of one: names and graphs for `expandergraphs.save_report`."""

import os
import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expandergraphs import BipartiteGraph
from expandergraphs.budget import LayerShape
from expandergraphs.html.page import write_page
from expandergraphs.html.subject import Dense, Layer, Subject, as_subject
from expandergraphs.rng import RNG
from expandergraphs_torch.masked import Masked
from expandergraphs_torch.masks import Layout
from expandergraphs_torch.network import network_graph
from expandergraphs_torch.select import Candidate, candidates

_HOW = "save one by torch.save(model.state_dict(), path)"
_WEIGHTS = {"weight": "mask", "weight_orig": "weight_mask"}  # and their masks: here, and in torch.nn.utils.prune
_ZEROS = "no mask: wired where its weight is not 0"
_ONE_BY_ONE = (
    "Layers are looked at one by one: a unit may be cut off further away, which only the whole network shows. With an "
    "example input the model is read as a whole."
)


def report(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    example_input: Any = None,
    title: str | None = None,
    thorough: bool = False,
    time_limit: float | None = None,
    include_graph: bool | None = None,
    rng: RNG = 0,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Write a page about a model: what is wrong with its wiring, every layer, spectra, heat, and the data.

    One HTML file that needs no network, no other file and no script. Without an example input, layers are reported one
    by one: by their masks or, where there is none, by the zeros of their weights; those without zeros count as dense.

    Parameters
    ----------
    model : Module
    path : path
        Ending in ``.html``; what is there is replaced once the page is complete.
    example_input : Tensor, or tuple of Tensor, optional
        As for `network_graph`: then the model is reported as a whole, its channels the units and the sums of the
        magnitudes of its kernels the weights, with dead units, paths and heat.
    title : str, optional
        Headline of the page; the name of the model's class by default.
    thorough, time_limit, include_graph, rng, progress
        As for `expandergraphs.save_report`.

    Raises
    ------
    ValueError
        If the model has no Linear or convolution, cannot be read as a whole, or an argument is none of these.
    OSError
        If the file cannot be written; then what was there before is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import expandergraphs_torch as egt
    >>> model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))
    >>> model = egt.sparsify(model, "regular", degree=8, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report(model, f"{folder}/report.html", example_input=torch.ones(1, 32))
    ...     "Dead units" in Path(f"{folder}/report.html").read_text("utf-8")
    True
    """
    layers, title = candidates(model), title or type(model).__name__
    if not layers:
        raise ValueError(f"{type(model).__name__} has no Linear or convolution to report on")
    if example_input is not None:
        subject = as_subject(network_graph(model, example_input), title)
        if zeros := [
            layer.name for layer in layers if not isinstance(layer.module, Masked) and _has_zeros(layer.module)
        ]:
            note = f"Weights of 0 without a mask count as edges, of weight 0, in {', '.join(zeros)}."
            subject = replace(subject, notes=(*subject.notes, note))
    else:
        subject = _one_by_one(layers, title)
    write_page(
        path, subject, thorough=thorough, time_limit=time_limit, include_graph=include_graph, rng=rng, progress=progress
    )


def _one_by_one(layers: list[Candidate], title: str) -> Subject:
    graphs: list[Layer] = []
    dense: list[Dense] = []
    for layer in layers:
        shape, name = layer.shape, layer.name or layer.kind
        if isinstance(layer.module, Masked):
            graph = layer.module.graph
            graphs.append(Layer(name, graph, detail=f"{layer.kind}{_kernel(shape, graph)}, {layer.module.family}"))
        elif _has_zeros(layer.module):
            graph = Layout.of(layer.module).graph(_present(layer.module.weight.detach()))
            graphs.append(Layer(name, graph, detail=f"{layer.kind}{_kernel(shape, graph)}, {_ZEROS}"))
        else:
            note = f": {layer.obstacle}" if layer.obstacle else ""
            dense.append(Dense(name, *shape[:2], detail=f"{layer.kind}{_kernel(shape)}{note}"))
    return _subject(title, graphs, dense, [])


def _has_zeros(module: nn.Module) -> bool:
    """Tell whether a layer computes with a weight that is 0 somewhere; on the meta device it has no values."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and not weight.is_meta and bool((weight == 0).any())


def _present(weight: Tensor) -> Tensor:
    """Return where a weight is not 0, by whole kernels where that says it all."""
    mask = weight != 0
    corner: tuple[Any, ...] = (..., *[slice(1)] * (weight.ndim - 2))
    first = mask[corner]
    return first if bool((mask == first).all()) else mask


def _subject(title: str, layers: list[Layer], dense: list[Dense], notes: list[str]) -> Subject:
    if not layers:
        notes = [*notes, "No layer has a mask or a weight of 0: the model is dense, and there is no wiring to measure."]
    by_name = {layer.name: layer.graph for layer in layers}
    return Subject(title, tuple(layers), None, tuple(dense), (*notes, _ONE_BY_ONE), by_name or None)


def _kernel(shape: LayerShape, graph: BipartiteGraph | None = None) -> str:
    """Describe the kernel of a convolution, and what the units are where single weights have masks."""
    words = f" {' × '.join(map(str, shape.kernel))}" if shape.kernel else ""
    words += f", {shape.groups} groups" if shape.groups > 1 else ""
    single = graph is not None and graph.n_left > shape.n_left
    return f"{words}, inputs are single entries of the kernels" if single else words


def checkpoint(path: Path, title: str) -> Subject:
    """Read the masks of a state_dict as layers by name, for the command ``expandergraphs report``.

    Nothing but tensors is unpickled. The state_dict may be an entry of the file, such as "model" or "state_dict".

    Raises
    ------
    ValueError
        If the file holds no state_dict, or more than tensors.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are refused or read all the same
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError, PermissionError, MemoryError):
        raise
    except Exception as error:  # whatever damaged bytes provoke in zip, pickle or PyTorch
        more = isinstance(error, pickle.UnpicklingError) and "weights only" in str(error).lower()
        why = (
            "holds more than tensors, and nothing else is unpickled"
            if more
            else "is damaged, or was not written by torch.save"
        )
        raise ValueError(f"{path} {why}; {_HOW}") from None
    inside = loaded.values() if isinstance(loaded, Mapping) else ()
    state = next((entry for entry in (loaded, *inside) if _is_state(entry)), None)
    if state is None:
        raise ValueError(f"{path} holds no state_dict; {_HOW}")
    layers: list[Layer] = []
    dense: list[Dense] = []
    for key, weight in state.items():
        name, _, last = key.rpartition(".")
        if last not in _WEIGHTS or not isinstance(weight, Tensor) or weight.ndim < 2:
            continue
        shape = LayerShape(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]))
        mask = state.get(key.removesuffix(last) + _WEIGHTS[last])
        masked = isinstance(mask, Tensor)
        if not masked and (weight == 0).any():
            mask = _present(weight)
        if isinstance(mask, Tensor):
            layout = Layout(shape)
            if not layout.has_mask_shape(mask.shape):
                raise ValueError(
                    f"{path}: the mask of {name!r} is {tuple(mask.shape)}, its weight {tuple(weight.shape)}"
                )
            graph = layout.graph(mask != 0)
            detail = _kernel(shape, graph) if masked else f"{_kernel(shape, graph)}, {_ZEROS}"
            layers.append(Layer(name or "layer", graph, detail=detail.removeprefix(", ").strip()))
        else:
            dense.append(Dense(name or "layer", *shape[:2], detail=_kernel(shape).strip()))
    notes = [
        "Read from a checkpoint, which does not say what kind of layers these are: weights of two dimensions and more "
        "without a mask or a 0 count as dense, embeddings too; a convolution in groups shows the inputs of one group, "
        "and a transposed one its inputs and outputs exchanged. expandergraphs_torch.report reads the model itself."
    ]
    return _subject(title, layers, dense, notes)


def _is_state(entry: Any) -> bool:
    """Tell whether an entry of a checkpoint is a state_dict: weights by name."""
    return isinstance(entry, Mapping) and any(
        isinstance(key, str) and key.rpartition(".")[2] in _WEIGHTS and isinstance(value, Tensor)
        for key, value in entry.items()
    )
