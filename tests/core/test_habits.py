"""Habits of the command line: examples that run, exit codes, colours, progress, pipes, full disks; of the library."""

import ast
import json
import os
import pty
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

import expandergraphs as eg
from expandergraphs import cli, demo
from expandergraphs.results import Printable, Table

ROOT = Path(__file__).parents[2]
COMMANDS = {command.callback.__name__: command.callback for command in cli.app.registered_commands}
PROGRAM = [sys.executable, "-m", "expandergraphs"]
ESCAPE = b"\x1b"
QUIET = {"EXPANDERGRAPHS_NO_PROGRESS": "1"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a graph, in which everything runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "EXPANDERGRAPHS_NO_PROGRESS"):
        monkeypatch.delenv(name, raising=False)
    eg.save("g.npz", eg.random_regular(64, 64, 8, rng=3))
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(cli.app, list(map(str, arguments)), catch_exceptions=False)


def run(*arguments, **options):
    """Run the program as a process, both outputs to pipes."""
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, check=False, **options)


def run_on_terminal(*arguments, **environment):
    """Run the program as a process whose three streams are one terminal; return what it writes there."""
    outside, inside = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdin=inside, stdout=inside, stderr=inside, env=os.environ | environment
    )
    os.close(inside)
    written = b""
    try:
        while part := os.read(outside, 1 << 16):
            written += part
    except OSError:  # the terminal is closed with the process
        pass
    os.close(outside)
    process.wait()
    return written


# --- help ---


def examples(command):
    return re.findall(r"^\s*\$ expandergraphs (.*)$", COMMANDS[command].__doc__, re.M)


def test_every_example_of_the_help_runs(folder, monkeypatch):
    monkeypatch.setattr(cli.demo, "_training", lambda name: None)
    monkeypatch.setattr(demo, "draw_pictures", lambda *_: [])  # as tests/core/test_cli.py does
    monkeypatch.setattr(demo, "measure", lambda nets: {name: eg.report(net, quick=True) for name, net in nets.items()})
    eg.save("net.npz", eg.family_net("random", [9, 8, 7], density=0.5, rng=0))
    for command in COMMANDS:
        assert len(examples(command)) >= 2
        for example in examples(command):
            assert example.split()[0] == command
            assert len(example) < 78 - len("$ expandergraphs "), "it would be folded"
            if "model.pt" not in example:  # which needs torch
                assert invoke(*shlex.split(example)).exit_code == 0, example


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples_and_exit_codes(command):
    shown = invoke(command, "--help").output
    assert [f"$ expandergraphs {line}" in shown for line in examples(command)] == [True] * len(examples(command))
    assert "Exit codes: 0 done; 1 refused, one line on stderr; 2 wrong usage; 130 Ctrl-C." in shown


# --- exit codes and one line ---


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "regular", "4-4", "--degree", "2", "-o", "{}.npz"],
        ["convert", "g.npz", "-o", "{}.mtx"],
        ["plot", "g.npz", "-o", "{}.png"],
        ["heat", "g.npz", "--plot", "{}.png"],
        ["report", "g.npz", "-o", "{}.html"],
        ["compare", "regular", "4", "2", "--measures", "degrees", "-o", "{}.csv"],
        ["demo", "-o", "{}"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_done(folder, monkeypatch, arguments):
    def computed(*_, **__):
        raise AssertionError("this was for nothing")

    for place in (
        "graphs.family_net",
        "graphs.load_graph",
        "measures.compare_heat",
        "report.load_graph",
        "demo.job.heat",
    ):
        monkeypatch.setattr(f"expandergraphs.cli.{place}", computed)
    (folder / "file").touch()

    def message(place):
        with pytest.raises((OSError, ValueError)) as stop:
            invoke(*(argument.format(place) for argument in arguments))
        return str(stop.value)

    demonstrates = arguments[0] == "demo"  # which makes its folder
    needed = "--output needs a folder, and file is a file" if demonstrates else "there is no folder"
    assert needed in message("file/x")
    if not demonstrates:
        (folder / arguments[-1].format("folder")).mkdir()
        assert "Is a directory" in message("folder")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # the superuser may write everywhere
    assert "Permission denied" in message("x")


def test_an_unknown_picture_is_refused_before_anything_is_done(folder):
    for arguments in (["plot", "missing.npz", "-o"], ["heat", "missing.npz", "--plot"]):
        with pytest.raises(ValueError, match=r"a picture's format is its suffix, one of .*\.png.*; got 'p\.xyz'"):
            invoke(*arguments, "p.xyz")


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "regular", "640-640", "--degree", "8", "-o", "there.npz"],
        ["convert", "large.npz", "-o", "there.edges.gz"],
        ["plot", "g.npz", "-o", "there.png"],
        ["compare", "regular", "4,5,6,7,8", "2", "-o", "there.json"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_full_disk_leaves_what_was_there(folder, arguments):
    eg.save("large.npz", eg.random_regular(640, 640, 8, rng=3))
    there = folder / arguments[-1]
    there.write_text("before")
    before = sorted(folder.iterdir())
    # The system's answer to a file that grows beyond the limit stands for that of a full disk.
    result = run(*arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)))
    assert result.returncode == 1
    assert result.stderr.decode() == f"error: {there}: File too large\n"
    assert result.stdout == b""
    assert there.read_text() == "before"
    assert sorted(folder.iterdir()) == before


def test_a_full_disk_behind_the_standard_output(folder):
    with open("/dev/full", "wb") as full:
        result = subprocess.run([*PROGRAM, "measure", "g.npz", "--quick"], stdout=full, stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (1, b"error: No space left on device\n")


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_in_a_line_and_keeps_what_is_done(folder, processes):
    arguments = ["compare", "random", "40", "3", "--measures", "spectrum", "--seeds", 20_000, "-o", "s.csv"]
    command = [*PROGRAM, *map(str, arguments), "--resume", "done.jsonl", "--processes", str(processes)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # which jobs in the background ignore
    )  # fmt: skip
    done = folder / "done.jsonl"
    while not (done.exists() and done.read_bytes().count(b"\n") > 2) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
    output, errors = process.communicate()
    line = b"interrupted; done.jsonl keeps what is finished, and the same command goes on from there\n"
    assert (process.returncode, output, errors) == (130, b"", line)
    assert not (folder / "s.csv").exists()
    assert all(json.loads(line) for line in done.read_bytes().splitlines())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["measure", "g.npz", "--quick"], ["convert", "g.npz", "-o", "h.mtx"]]
)
def test_nobody_reads_to_the_end(folder, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([*PROGRAM, *arguments], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, b"")


# --- colours and progress ---


def test_without_a_terminal_there_are_no_escapes_and_no_progress(folder):
    for arguments in (["--help"], ["measure", "g.npz", "--quick"], ["measure", "none.npz"], ["measure"]):
        result = run(*arguments)
        assert ESCAPE not in result.stdout + result.stderr
    assert run("measure", "g.npz", "--quick", env=os.environ | {"FORCE_COLOR": "1"}).stderr == b""


def test_colours_on_a_terminal_unless_they_are_not_wanted(folder):
    colour = re.compile(rb"\x1b\[[0-9;]*(?:3|4|9)[0-7][0-9;]*m")
    assert colour.search(run_on_terminal("measure", "none.npz"))
    for arguments in (["measure", "none.npz"], ["measure", "g.npz", "--quick"], ["measure"], ["measure", "--help"]):
        assert not colour.search(run_on_terminal(*arguments, NO_COLOR="1"))


def test_progress_on_a_terminal_unless_it_is_not_wanted(folder):
    arguments = ["measure", "g.npz", "--quick"]
    assert b"measuring" in run_on_terminal(*arguments)
    assert b"measuring" not in run_on_terminal(*arguments, "--no-progress")
    assert b"measuring" not in run_on_terminal(*arguments, **QUIET)
    for command in ("compare", "report", "demo"):
        assert "--no-progress" in invoke(command, "--help").output


# --- JSON ---


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        ("generate random 9-9-9 --density 0.5 -o n.npz", {"file", "n_edges", "widths"}),
        ("convert g.npz -o g.mtx", {"file", "n_edges", "widths"}),
        ("plot g.npz -o p.png", {"file"}),
        ("measure g.npz --quick", {"graphs", "n_nodes", "n_edges", "components", "paths"}),
        ("heat g.npz --plot h.png", {"reference", "times", "networks", "laplacian"}),
        ("compare regular,radix 6 2 --seeds 2 -o s.csv --pictures p", {"summary", "files"}),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_json_and_nothing_else(folder, arguments, keys):
    result = invoke(*arguments.split(), "--json")
    assert json.loads(result.stdout).keys() >= keys
    assert result.stderr == ""


def test_json_of_a_comparison_is_its_summary(folder):
    found = json.loads(invoke(*shlex.split("compare regular,radix 6 2 --seeds 2 -o s.csv --pictures p --json")).stdout)
    assert found["files"] == ["s.csv", "p/6x6.png"]
    assert all(Path(file).exists() for file in found["files"])
    assert {row["family"]: row["graphs"] for row in found["summary"]} == {"regular": 2, "radix": 2}
    assert found["summary"][0]["quantity"] == "left_alpha"
    assert found["summary"][1]["low"] is None, "two equal values tell nothing, and infinity is not JSON"


# --- the library ---


def test_only_the_command_line_prints():
    for path in [*ROOT.glob("expandergraphs/**/*.py"), *ROOT.glob("expandergraphs_torch/**/*.py")]:
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        if path.parent.name != "cli":
            assert "print" not in names, path


def test_logging_is_there_and_silent(folder):
    code = "import expandergraphs as eg; eg.study('regular', [4], [2], 2, 'degrees', path='done.jsonl')"
    heard = f"import logging; logging.basicConfig(level=logging.INFO); {code}"
    outputs = [
        subprocess.run([sys.executable, "-c", each], capture_output=True, text=True, check=True)
        for each in (code, code, heard)
    ]
    assert [output.stdout + output.stderr for output in outputs] == [
        "",
        "",
        "INFO:expandergraphs._study_run:2 of 2 records are taken from done.jsonl\n",
    ]


def test_both_packages_are_typed():
    for package in ("expandergraphs", "expandergraphs_torch"):
        assert (ROOT / package / "py.typed").read_bytes() == b""


# --- notebooks ---


def cells(html):
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]


def test_graphs_in_a_notebook():
    html = eg.BipartiteGraph.from_edges(3, 4, [(0, 1), (0, 2), (1, 1)])._repr_html_()
    assert "<p>BipartiteGraph(3 x 4, 3 edges, density 0.25)</p>" in html
    assert cells(html) == [
        ["", "left", "right"],
        ["vertices", "3", "4"],
        ["isolated", "1", "2"],
        ["smallest degree", "0", "0"],
        ["mean degree", "1", "0.75"],
        ["largest degree", "2", "2"],
    ]
    assert ["largest degree", "0", "0"] in cells(eg.BipartiteGraph.from_edges(0, 0, [])._repr_html_())


def test_networks_in_a_notebook():
    g = eg.random_regular(4, 4, 2, rng=0)
    net = eg.LayeredGraph([4] * 3, {(0, 1): g, (1, 2): g, (0, 2): g}, names=["<in>", "b", "c"])
    html = net._repr_html_()
    assert cells(html)[1:] == [
        ["&lt;in&gt; → b", "4 x 4", "8", "0.5"],
        ["&lt;in&gt; → c", "4 x 4", "8", "0.5"],
        ["b → c", "4 x 4", "8", "0.5"],
    ]
    deep = eg.LayeredGraph.from_layers([g] * 1000)._repr_html_()
    assert cells(deep)[-1][0] == "and 980 more"
    assert len(deep) < 5000


def test_studies_in_a_notebook():
    found = eg.study("random", [4], [1], 12, ["degrees"])
    html = found._repr_html_()
    assert len(cells(html)) == 11
    assert "and 2 more" in html
    assert cells(html)[0] == list(found.records[0])
    assert cells(eg.Study(())._repr_html_())[0][:2] == ["family", "n_left"]


def test_results_in_a_notebook_are_escaped():
    assert "&lt;b&gt;" in Table.of("<b>", ["<b>"], [["<b>"]], caption="<b>")._repr_html_()
    assert "<b>" not in Table.of("<b>", ["<b>"], [["<b>"]], caption="<b>")._repr_html_()
    net = eg.family_net("random", [6, 5, 4], density=0.2, rng=0)
    shown = [eg.report(net, quick=True), eg.unreached_units(net), eg.compare_heat({"<b>": net}, [1.0])]
    assert all(isinstance(result, Printable) for result in shown)
    for result in shown:
        assert result._repr_html_().startswith("<div>")
        assert "<b>" not in result._repr_html_()
