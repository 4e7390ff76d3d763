"""What a page carries to be kept: the table as CSV, all measures as JSON, and the graph where it is small."""

import base64
import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from expandergraphs._npz import write_graphs, write_npz
from expandergraphs.html.markup import Markup, joined, tag
from expandergraphs.html.measured import Measured
from expandergraphs.html.subject import Subject
from expandergraphs.layered import LayeredGraph

_CARRIED = 2**20  # bytes of a graph that is put into the page unasked
_LISTS = ("name", "witness", "sides", "spectral_density")  # of a report, left to the JSON file


def files(found: Measured, include_graph: bool | None) -> Markup:
    """Return links to the files, which are in the links themselves."""
    report = json.dumps(found.report.to_dict(), indent=1, allow_nan=False) + "\n"
    carried = [
        ("layers.csv", "text/csv", "The table, with every number", as_csv(found).encode("utf-8", "replace")),
        ("report.json", "application/json", "All measures", report.encode()),
    ]
    given, size, left_out = found.subject.source, _size_of(found.subject), ""
    if given is not None and (size <= _CARRIED if include_graph is None else include_graph):
        file = io.BytesIO()
        if isinstance(given, Mapping):
            write_graphs(file, given)
        else:
            write_npz(file, given)
        how = "expandergraphs.load_graphs" if isinstance(given, Mapping) else "expandergraphs.load"
        carried.append(("graph.npz", "application/octet-stream", f"The graph; {how} reads it", file.getvalue()))
    elif given is not None:
        left_out = f"The graph itself, about {size / 2**20:,.1f} MiB, is left out; include_graph puts it here."
    links = [
        tag(
            "li",
            tag(
                "a", name, tag("small", f"{words}, {len(data) / 1024:,.1f} KiB"), download=name,
                href=f"data:{kind};base64,{base64.b64encode(data).decode()}",
            ),
        )
        for name, kind, words, data in carried
    ]  # fmt: skip
    return joined([tag("ul", *links, class_="files"), tag("p", left_out, class_="quiet") if left_out else ""])


def _size_of(subject: Subject) -> int:
    """Return about how many bytes the graph takes as a file."""
    weighted = isinstance(subject.source, LayeredGraph) and subject.source.weights is not None
    return sum((12 if weighted else 4) * g.n_edges + 4 * g.n_left for g in (layer.graph for layer in subject.layers))


def as_csv(measured: Measured) -> str:
    """Return every number of the layers, a row a layer; nothing where there is no value."""
    rows = [
        {"layer": layer.name, "from": layer.source, "kind": layer.detail, "skip": layer.skip}
        | dict(_flat(graph))
        | {"expansion_searched": searched}
        for (layer, graph), searched in zip(measured.layers, measured.searched, strict=True)
    ]
    rows += [
        {"layer": layer.name, "kind": layer.detail or "dense", "n_left": layer.n_left, "n_right": layer.n_right,
         "n_edges": layer.n_left * layer.n_right, "density": 1.0}
        for layer in measured.subject.dense
    ]  # fmt: skip
    file = io.StringIO()
    writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _flat(result: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the numbers of a result by name, such as ``spectrum_sigma2``; lists are left to the JSON file."""
    for field in fields(result):
        value, name = getattr(result, field.name), f"{prefix}{field.name}"
        if is_dataclass(value) and field.name not in _LISTS:
            yield from _flat(value, f"{name}_")
        elif isinstance(value, bool | int | float | str) and field.name not in _LISTS:
            yield name, value
