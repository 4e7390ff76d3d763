import csv
import io
import json
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from typer.testing import CliRunner

import expandergraphs as eg
import expandergraphs_torch as egt
from expandergraphs import BipartiteGraph, cli
from tests.core.html_page import Page


def small(**options):
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 1), nn.Flatten(), nn.Linear(48, 5)
    )
    return egt.sparsify(model, "random", density=0.4, exclude=["5"], rng=0, **options)


EXAMPLE = torch.ones(1, 3, 2, 2)


def rows_of(page):
    return list(csv.DictReader(io.StringIO(page.files["layers.csv"].decode())))


def test_layer_by_layer(tmp_path):
    model = small()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    egt.report(model, tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    assert page.text.startswith("Sequential")
    (tmp_path / "g.npz").write_bytes(page.files["graph.npz"])
    assert eg.load_graphs(tmp_path / "g.npz") == egt.topology(model)
    rows = rows_of(page)
    assert [row["layer"] for row in rows] == ["0", "3", "5"]
    assert [row["n_edges"] for row in rows] == [str(row.n_edges) for row in egt.summary(model).layers]
    assert "MaskedConv2d 3 × 3, random" in page.text
    assert "dense: every input is joined to every output" in page.text
    assert "Layers are looked at one by one" in page.text
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_as_a_whole(tmp_path):
    model = small()
    egt.report(model, tmp_path / "r.html", example_input=EXAMPLE, title="Ours")
    net = egt.network_graph(model, EXAMPLE)
    eg.save_report(tmp_path / "same.html", net, title="Ours")
    assert (tmp_path / "r.html").read_bytes() == (tmp_path / "same.html").read_bytes()
    page = Page(tmp_path / "r.html")
    assert "Dead units" in page.text
    assert page.count("table") == 2


def test_dead_outputs_are_named(tmp_path):
    edges = [(i, j) for i in range(3) for j in range(8) if j not in (1, 6)]
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1))
    egt.sparsify(model, {"0": BipartiteGraph.from_edges(3, 8, edges)})
    egt.report(model, tmp_path / "r.html", example_input=torch.ones(1, 3, 4, 4))
    assert "0: 2 outputs receive nothing 2 of 8: 1, 6" in Page(tmp_path / "r.html").text
    egt.report(model, tmp_path / "r.html")
    assert "0: 2 outputs receive nothing 2 of 8: 1, 6" in Page(tmp_path / "r.html").text


def test_single_weights_and_groups_say_so(tmp_path):
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 4, 3))
    egt.sparsify(model, "random", density=0.5, pattern="weight", rng=0)
    egt.report(model, tmp_path / "r.html")
    text = Page(tmp_path / "r.html").text
    assert "MaskedConv2d 3 × 3, 2 groups, inputs are single entries of the kernels" in text


def test_a_dense_model_gets_a_page_that_says_so(tmp_path):
    egt.report(nn.Linear(3, 4), tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    assert "Nothing to measure: there is no sparse layer." in page.text
    assert "No layer has a mask or a weight of 0: the model is dense" in page.text
    assert [(row["layer"], row["n_edges"]) for row in rows_of(page)] == [("Linear", "12")]


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="ReLU has no Linear or convolution"):
        egt.report(nn.ReLU(), tmp_path / "r.html")
    with pytest.raises(ValueError, match=r"must be a torch\.nn\.Module, got int"):
        egt.report(3, tmp_path / "r.html")
    with pytest.raises(ValueError, match=r"written as \.html"):
        egt.report(small(), tmp_path / "r.txt")
    assert list(tmp_path.iterdir()) == []


def run(*arguments):
    return CliRunner().invoke(cli.app, ["report", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"epoch": 3, "model": state}])
@pytest.mark.parametrize("pattern", ["channel", "weight"])
def test_a_checkpoint_shows_the_layers_of_its_model(tmp_path, wrap, pattern):
    model = small(pattern=pattern)
    torch.save(wrap(model.state_dict()), tmp_path / "m.pt")
    result = run(tmp_path / "m.pt", "-o", tmp_path / "r.html")
    assert result.output == f"wrote {tmp_path / 'r.html'}\n"
    page = Page(tmp_path / "r.html")
    assert page.text.startswith("m.pt")
    (tmp_path / "g.npz").write_bytes(page.files["graph.npz"])
    assert eg.load_graphs(tmp_path / "g.npz") == egt.topology(model)
    egt.report(model, tmp_path / "model.html")
    ours, theirs = (json.loads(p.files["report.json"]) for p in (page, Page(tmp_path / "model.html")))
    assert ours == theirs
    assert [row["n_edges"] for row in rows_of(page)] == [
        row["n_edges"] for row in rows_of(Page(tmp_path / "model.html"))
    ]
    assert "Read from a checkpoint" in page.text


def test_a_checkpoint_of_one_layer(tmp_path):
    layer = egt.sparsify(nn.Sequential(nn.Linear(6, 4)), "random", density=0.5, rng=0)[0]
    torch.save(layer.state_dict(), tmp_path / "m.pth")
    run(tmp_path / "m.pth", "-o", tmp_path / "r.html")
    assert [row["layer"] for row in rows_of(Page(tmp_path / "r.html"))] == ["layer"]


class Hostile:
    def __reduce__(self):
        return print, ("run",)


def test_files_that_are_no_checkpoints(tmp_path, capsys):
    def refused(message):
        with pytest.raises(ValueError, match=message):
            run(tmp_path / "m.pt", "-o", tmp_path / "r.html")

    torch.save({"weight": torch.ones(2, 2), "other": Hostile()}, tmp_path / "m.pt")
    refused("holds more than tensors, and nothing else is unpickled; save one by torch.save")
    (tmp_path / "m.pt").write_bytes(pickle.dumps(Hostile()))
    refused("holds more than tensors|is damaged")
    torch.save([1, 2], tmp_path / "m.pt")
    refused("holds no state_dict")
    torch.save(small().state_dict(), tmp_path / "m.pt")
    whole = (tmp_path / "m.pt").read_bytes()
    for kept in (0, 10, len(whole) // 2, len(whole) - 10):
        (tmp_path / "m.pt").write_bytes(whole[:kept])
        refused("is damaged, or was not written by torch.save")
    torch.save({"0.weight": torch.ones(4, 3), "0.mask": torch.ones(2, 2, dtype=torch.bool)}, tmp_path / "m.pt")
    refused(r"the mask of '0' is \(2, 2\), its weight \(4, 3\)")
    assert "run" not in capsys.readouterr().out
    assert not (tmp_path / "r.html").exists()


def test_zeros_are_a_wiring_without_a_mask(tmp_path):
    """Baked models, and those of torch.nn.utils.prune, from the model and from their checkpoints."""
    expected = {name: graph.n_edges for name, graph in egt.topology(small()).items()}
    baked = egt.bake(small())
    pruned = nn.Sequential(nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 5))
    prune.random_unstructured(pruned[0], "weight", amount=150)
    for model, edges in ((baked, expected), (pruned, {"0": 50})):
        egt.report(model, tmp_path / "model.html")
        torch.save(model.state_dict(), tmp_path / "m.pt")
        arguments = ["report", str(tmp_path / "m.pt"), "-o", str(tmp_path / "file.html")]
        assert CliRunner().invoke(cli.app, arguments, catch_exceptions=False).exit_code == 0
        pages = [Page(tmp_path / name) for name in ("model.html", "file.html")]
        for page in pages:
            sparse = {row["layer"]: int(row["n_edges"]) for row in rows_of(page) if row["density"] != "1.0"}
            assert sparse == edges
        assert "no mask: wired where its weight is not 0" in pages[0].text
    egt.report(baked, tmp_path / "whole.html", example_input=EXAMPLE)
    assert "Weights of 0 without a mask count as edges, of weight 0, in 0, 3." in Page(tmp_path / "whole.html").text
