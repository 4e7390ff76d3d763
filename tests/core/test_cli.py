import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import expandergraphs as eg
from expandergraphs import cli, demo
from expandergraphs._study_graphs import measure_cell
from expandergraphs.study import Study, study


def run(*arguments):
    return CliRunner().invoke(cli.app, list(map(str, arguments)), catch_exceptions=False)


def test_generate_and_measure(tmp_path):
    path = tmp_path / "g.npz"
    result = run("generate", "regular", "64-64", "--degree", 8, "--seed", 3, "-o", path)
    assert result.exit_code == 0
    assert "64 x 64, 512 edges" in result.output
    assert eg.load(path) == eg.random_regular(64, 64, 8, rng=3)
    assert "512" in run("measure", path).output
    measured = json.loads(run("measure", path, "--json").output)
    assert measured == json.loads(json.dumps(eg.report(eg.load(path)).to_dict()))


def test_networks_and_budgets(tmp_path):
    path = tmp_path / "net.npz"
    run("generate", "random", "30-20-10", "--density", 0.1, "--seed", 0, "-o", path)
    assert eg.load(path) == eg.family_net("random", [30, 20, 10], density=0.1, rng=0)
    run("generate", "left-regular", "30-20-10", "--edges", 100, "-o", path)
    assert eg.load(path).n_edges == 100
    run("generate", "radix", "784-300-100", "--density", 0.1, "-o", path)
    assert eg.load(path) == eg.radix_net_for([784, 300, 100], [[10, 10]]).net
    run("generate", "radix", "20-20-20-10", "--systems", "2,5;2", "-o", path)
    assert eg.load(path) == eg.radix_net_for([20, 20, 20, 10], [[2, 5], [2]]).net
    run("generate", "radix", "-", "--systems", "2,2;2", "--multipliers", "1,2,1,3", "-o", path)
    assert eg.load(path) == eg.radix_net([[2, 2], [2]], [1, 2, 1, 3])


def test_convert_and_sizes(tmp_path):
    g = eg.random_regular(20, 30, 4, rng=0)
    eg.save(tmp_path / "g.npz", g)
    for suffix in ("mtx", "tsv", "tsv.gz"):
        run("convert", tmp_path / "g.npz", "-o", tmp_path / f"g.{suffix}")
        sizes = ("--sizes", "20-30") if suffix.startswith("tsv") else ()
        result = run("convert", tmp_path / f"g.{suffix}", *sizes, "--json", "-o", tmp_path / "back.npz")
        assert json.loads(result.output) == {"file": str(tmp_path / "back.npz"), "n_edges": 120, "widths": [20, 30]}
        assert eg.load(tmp_path / "back.npz") == g
    assert json.loads(run("measure", tmp_path / "g.tsv", "--sizes", "20-30", "--json").output)["n_edges"] == 120


@pytest.mark.parametrize("kind", ["pattern", "spectrum", "network"])
def test_plot(tmp_path, kind):
    run("generate", "regular", "9-9-6", "--degree", 2, "--seed", 0, "-o", tmp_path / "a.npz")
    run("generate", "random", "9-9-6", "--edges", 36, "--seed", 0, "-o", tmp_path / "b.npz")
    result = run("plot", tmp_path / "a.npz", tmp_path / "b.npz", "--kind", kind, "-o", tmp_path / "picture.png")
    assert result.exit_code == 0
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_json_has_null_for_what_is_not_a_number(tmp_path):
    eg.save(tmp_path / "g.npz", eg.BipartiteGraph.from_edges(2, 2, []))
    assert json.loads(run("measure", tmp_path / "g.npz", "--json").output)["graphs"][0]["spectrum"]["ratio"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "regular", "4-4", "--degree", "5", "-o", "g.npz"], "4 x 4 holds a degree of at most 4"),
        (["generate", "regular", "4-4", "--edges", "17", "-o", "g.npz"], "exceeds the 16 pairs"),
        (["generate", "regular", "4x4", "--degree", "2", "-o", "g.npz"], "sizes must be integers separated by '-'"),
        (
            ["generate", "regular", "4-4", "-o", "g.npz"],
            "generate needs exactly one of --density, --degree, --edges; got none",
        ),
        (["generate", "ramanujan", "4-4", "--degree", "2", "-o", "g.npz"], "one of random, left_regular"),
        (["generate", "regular", "4-4", "--degree", "2", "-o", "g.xyz"], "suffix"),
        (["generate", "regular", "4-4", "--systems", "2,2", "-o", "g.npz"], "--systems"),
        (["generate", "radix", "4-4", "--multipliers", "1,1", "-o", "g.npz"], "--multipliers goes with --systems"),
        (["generate", "random", "1000000000000-1", "--edges", "0", "-o", "g.npz"], "allocate"),
        (["plot", "missing.npz", "-o", "p.png"], "error: there is no file missing.npz\n"),
        (["convert", "missing.npz", "-o", "g.mtx"], "error: there is no file missing.npz\n"),
        (["generate", "radix", "-", "--systems", "2,2", "-o", "g.npz"], "from --multipliers, which is missing"),
        (["measure", "missing.npz"], "error: there is no file missing.npz\n"),
    ],
)
def test_errors_are_one_line(tmp_path, monkeypatch, arguments, message, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["expandergraphs", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert message in output.err
    assert output.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_is_installed():
    result = subprocess.run([sys.executable, "-m", "expandergraphs", "--version"], capture_output=True, text=True)
    assert result.stdout == "expandergraphs 0.1.0\n"
    result = subprocess.run([sys.executable, "-m", "expandergraphs", "generate"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def measure_quickly(nets):
    return {name: eg.report(net, quick=True) for name, net in nets.items()}


def test_demo_without_torch(tmp_path, monkeypatch):
    monkeypatch.setattr(cli.demo, "_training", lambda name: None)
    monkeypatch.setattr(demo, "measure", measure_quickly)
    result = run("demo", "-o", tmp_path)
    assert result.exit_code == 0
    assert "pip install 'expandergraphs[demo]'" in result.output
    assert {path.name for path in tmp_path.iterdir()} == {
        "patterns.png", "spectra.png", "radix-net.png", "n2nskip.png", "heat.png", "results.json",
    }  # fmt: skip


def test_demo_with_a_stand_in_for_training(tmp_path, monkeypatch):
    """The demo's own part: equal edges, every picture and table, and what training returned."""
    calls = []

    def train(net, *, seed, epochs, on_epoch):
        calls.append((net and net.n_edges, seed))
        for _ in range(epochs):
            on_epoch()
        return list(np.linspace(50, 90 + seed, epochs))

    def train_deep(method, *, seed, epochs, on_epoch):
        density = 1 if method == demo.DENSE else demo.DEEP_DENSITY
        draw = eg.n2nskip_net if method == demo.SKIPS else functools.partial(eg.family_net, "random")
        return train(None, seed=seed, epochs=epochs, on_epoch=on_epoch), draw(
            demo.DEEP_SIZES, density=density, rng=seed
        )

    monkeypatch.setattr(cli.demo, "_training", {"demo-training": train, "demo-n2nskip": train_deep}.get)
    result = run("demo", "-o", tmp_path, "--seeds", 2, "--epochs", 3)
    assert calls == [(26_520, 0), (26_520, 1)] * 4 + [(None, 0), (None, 1)] * 4
    assert result.output.count("90.50 ± 0.71") == 8
    assert "│ N2NSkip-RP │" in result.output
    records = json.loads((tmp_path / "results.json").read_text())
    assert records["test_accuracy_by_epoch"]["dense"] == [[50, 70, 90], [50, 70.5, 91]]
    (first, second) = records["measures"]["radix"]["graphs"]
    assert (first["n_edges"], second["intervals"]["left"]["upper"]) == (23_520, 1 / 3)
    assert "0.3333" in result.output
    assert len(records["n2nskip_test_accuracy_by_epoch"]["N2NSkip-RP"]) == 2
    assert len(list(tmp_path.glob("*.png"))) == 7


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("generate reg", "regular"), ("generate radix 8-8 --budget unif", "uniform_plus"), ("plot --kind sp", "spectrum")],
)
def test_the_shell_completes_choices(typed, offered):
    words = {"COMP_WORDS": f"expandergraphs {typed}", "COMP_CWORD": str(len(typed.split()))}
    environment = os.environ | words | {"_EXPANDERGRAPHS_COMPLETE": "complete_bash"}
    program = "import sys; sys.argv[0] = 'expandergraphs'; from expandergraphs.cli import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert offered in shown.stdout.split()


def test_compare(tmp_path):
    """Records, a table and pictures; a second run takes everything from the file of the first."""
    arguments = ["random,left-regular", "8,6-9", "2,3", "-o", tmp_path / "study.csv", "--seeds", 2, "--show", "ratio"]
    more = ["--resume", tmp_path / "done.jsonl", "--pictures", tmp_path / "pictures", "--time-limit", 30]
    result = run("compare", *arguments, *more)
    assert result.exit_code == 0
    records = Study.load(tmp_path / "study.csv").records
    assert len(records) == 2 * 2 * 2 * 2
    assert {record["left_alpha_exact"] for record in records} == {True}
    assert "left_regular" in result.output
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["6x9.png", "8x8.png"]
    lines = (tmp_path / "done.jsonl").read_text()
    assert run("compare", *arguments, *more).output == result.output
    assert (tmp_path / "done.jsonl").read_text() == lines


@pytest.fixture
def asked(monkeypatch):
    """What compare asks of the studies that it makes, a rehearsal first."""
    calls = []

    def spy(families, sizes, degrees, seeds, measures, **options):
        calls.append({"families": families, "sizes": sizes, "seeds": seeds, "measures": measures, **options})
        return study("regular", [2], [1], 1, measures)  # quick, whatever was asked

    monkeypatch.setattr(cli.compare, "study", spy)
    return calls


def test_compare_passes_its_options_on(tmp_path, asked):
    arguments = ["random, left-regular", "6,4-5", "1,2", "-o", tmp_path / "s.csv"]
    run("compare", *arguments, "--seeds", 3, "--processes", 2, "--measures", "degrees, expansion", "--time-limit", 7)
    request = asked[-1]
    assert (request["families"], request["sizes"]) == (["random", "left_regular"], [6, [4, 5]])
    assert (request["seeds"], request["processes"], list(request["measures"])) == (3, 2, ["degrees", "expansion"])
    assert request["measures"]["expansion"].keywords == {"time_limit": 7}
    assert run("compare", *arguments).exit_code == 0
    request = asked[-1]
    assert (request["seeds"], request["processes"], request["path"]) == (10, 1, None)
    assert list(request["measures"]) == ["degrees", "spectrum", "expansion"]


@pytest.mark.parametrize(
    ("measures", "show", "title"),
    [
        ("degrees,spectrum,expansion", None, "left_alpha"),
        ("sampled,spectrum", None, "sigma2"),
        ("degrees,sampled", None, "sampled_mean"),
        ("degrees", None, "right_degree_maximum"),
        ("spectrum", "ratio", "ratio"),
    ],
)
def test_compare_shows_what_was_measured(tmp_path, measures, show, title):
    options = ["--show", show] if show else []
    output = run("compare", "regular", "6", "2", "-o", tmp_path / "s.csv", "--measures", measures, *options).output
    assert output.splitlines()[0] == title


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"families": "regulr"}, r"each family must be one of .*, radix, got 'regulr'; did you mean 'regular'\?$"),
        ({"families": "RReg"}, r"got 'RReg'; did you mean 'regular'\?$"),
        ({"sizes": "8-8-8"}, "each size must be one number or two, such as 64 or 784-300; got '8-8-8'"),
        ({"-o": "s.xls"}, "got the suffix '.xls'"),
        ({"-o": "missing/s.csv"}, "s.csv cannot be written: there is no folder missing"),
        ({"--show": "left_beta"}, "--show: .* no numbers named 'left_beta'; there are .*, left_alpha,"),
        ({"--show": "sigma_2"}, r"; did you mean 'sigma2'\?$"),
        ({"--measures": "spectrum", "--show": "left_alpha"}, "no numbers named 'left_alpha'"),
        ({"--measures": "spectrum,colour"}, "each of --measures must be one of degrees, .*, sampled, got 'colour'$"),
        ({"--measures": "spectra"}, r"got 'spectra'; did you mean 'spectrum'\?$"),
        ({"--measures": "spectrum", "--time-limit": 5}, "--time-limit is for the measure expansion"),
        ({"--pictures": "file"}, "--pictures needs a folder, and file is a file"),
        ({"--pictures": "file/p"}, "--pictures needs a folder, and file is a file"),
        ({"--resume": "missing/r.jsonl"}, "missing/r.jsonl cannot be written: there is no folder missing"),
    ],
)
def test_compare_refuses_before_it_measures(tmp_path, monkeypatch, changed, message):
    def measured(cell, *_):
        assert cell.n_left == 2, "only the rehearsal may be measured"
        return measure_cell(cell, *_)

    monkeypatch.setattr("expandergraphs._study_run.measure_cell", measured)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    words = {"families": "random", "sizes": "8", "degrees": "2", "-o": "s.csv"} | changed
    arguments = [word for name, value in words.items() for word in ([name] * name.startswith("-") + [value])]
    with pytest.raises((ValueError, OSError), match=message):
        run("compare", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_compare_refuses_where_there_is_no_graph_at_all(tmp_path):
    options = ["-o", tmp_path / "s.csv", "--pictures", tmp_path / "none"]
    with pytest.raises(ValueError, match=r"^no graph can be measured: 80 edges exceed the 64 pairs of 8 x 8;") as stop:
        run("compare", "random,radix", "8,9", "10,17", *options)
    assert str(stop.value).endswith("; 90 edges exceed the 81 pairs of 9 x 9; and 1 more")
    with pytest.raises(ValueError, match=r"the nearest feasible numbers of edges: 16 and 32$"):
        run("compare", "radix", "8", "3", *options)
    assert list(tmp_path.iterdir()) == []


def test_compare_says_what_it_leaves_out(tmp_path):
    arguments = ["compare", "random,radix", "8", "3,4,9", "--seeds", 2, "-o", tmp_path / "s.csv"]
    result = run(*arguments, "--measures", "degrees")
    assert result.exit_code == 0
    assert "no first layer of a RadiX-Net" in result.output
    assert "6 of 12 graphs do not exist and are left out; the table says why\n" in result.output
    refused = json.loads(run(*arguments, "--measures", "degrees", "--json").output)["refused"]
    assert [(cell["family"], cell["n_edges"]) for cell in refused] == [("radix", 24), ("random", 72), ("radix", 72)]
    assert refused[1]["refused"] == "72 edges exceed the 64 pairs of 8 x 8"
    whole = run("compare", "random", "8", "3", *arguments[4:], "--measures", "degrees")
    assert "left out" not in whole.output
