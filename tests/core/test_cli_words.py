"""What the command line says to somebody who does not know Python, mistypes, or stops it."""

import json
import re

import pytest
from typer.testing import CliRunner

import expandergraphs as eg
from expandergraphs import cli


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with files of several kinds, in which everything runs."""
    monkeypatch.chdir(tmp_path)
    g = eg.random_regular(8, 8, 2, rng=0)
    for name in ("regular.npz", "g.tsv", "g.mtx", "g.edges"):
        eg.save(name, g)
    eg.save("net.npz", eg.family_net("random", [8, 8, 8], density=0.5, rng=0))
    eg.save_graphs("wiring.npz", {"fc1": g})
    (tmp_path / "bare.edges").write_text("0 1\n")
    (tmp_path / "large.edges").write_text("# 100000000 100000000\n")
    (tmp_path / "model.pt").write_bytes(b"whatever")
    (tmp_path / "README.md").touch()
    return tmp_path


@pytest.fixture
def said(monkeypatch, capsys):
    """Run the program as who types it does; return its exit code and what it says on the standard error output."""

    def run(line):
        monkeypatch.setattr("sys.argv", ["expandergraphs", *line.split()])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, capsys.readouterr().err

    return run


# --- words that can be typed ---


@pytest.mark.parametrize(
    "line",
    [
        "generate regular 8-8 -o x.npz",
        "generate regular 8-8 --degree 2 --density 0.5 -o x.npz",
        "generate expander 8-8 --degree 2 -o x.npz",
        "generate random 8-8 --edges 65 -o x.npz",
        "generate random 8-8 --edges 3 --budget uniform-plus -o x.npz",
        "generate random 8-8 --degree 9 -o x.npz",
        "generate random 8-8 --degree 2 --budget erk -o x.npz",
        "generate radix 7-7-7 --density 0.5 -o x.npz",
        "generate radix - --density 0.5 -o x.npz",
        "generate random 8-8-8 --degree 2 -o x.mtx",
        "convert g.tsv -o x.npz",
        "convert bare.edges -o x.npz",
        "convert large.edges -o x.npz",
        "convert g.tsv --sizes 8 -o x.npz",
        "convert g.mtx --sizes 4-4 -o x.npz",
        "convert wiring.npz -o x.mtx",
        "plot regular.npz --kind heat -o p.png",
        "measure regular.npz --quick --time-limit 3",
        "heat net.npz --times -1",
        "heat net.npz --sources 1,1",
        "heat net.npz --laplacian L",
        "heat net.npz regular.npz",
        "compare expander 8 2 -o s.csv",
        "compare random 8-8-8 2 -o s.csv",
        "compare random 8 2 --measures colour -o s.csv",
        "compare radix 8 3 -o s.csv",
        "compare random 8 9 -o s.csv",
    ],
)
def test_an_error_names_nothing_that_only_python_has(folder, said, line):
    code, error = said(line)
    assert code == 1
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    beside = re.sub(r"sizes=\([^)]*\), in the shell --sizes", "", error)  # which says both
    assert not re.search(r"\w=|n_edges|function|None|rng|time_limit|\[\d", beside)


@pytest.mark.parametrize(
    "line",
    [
        "generate regular 8-8 --degree -1 -o x.npz",
        "generate regular 8-8 --edges -1 -o x.npz",
        "generate regular 8-8 --degree 2 --seed -1 -o x.npz",
        "measure regular.npz --samples 0",
        "measure regular.npz --seed -1",
        "measure regular.npz --time-limit -1",
        "report regular.npz -o r.html --time-limit -1",
        "report regular.npz -o r.html --seed -1",
        "compare random 8 2 -o s.csv --time-limit -1",
    ],
)
def test_numbers_below_their_least_are_wrong_usage(folder, said, line):
    code, error = said(line)
    option = re.search(r"(--\S+) (?:0|-1)\b", line)[1]
    assert code == 2
    assert f"Invalid value for '{option}'" in error


# --- did you mean ---


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("generate regulr 8-8 --degree 2 -o x.npz", "regular"),
        ("generate x-net 8-8 --degree 2 -o x.npz", "left_regular"),
        ("generate random 8-8 --edges 9 --budget erks -o x.npz", "erk"),
        ("plot regular.npz --kind spectra -o p.png", "spectrum"),
        ("heat net.npz --laplacian randomwalk", "random_walk"),
        ("heat net.npz --times saturation", "saturated"),
        ("compare random,Left-Regulr 8 2 -o s.csv", "left_regular"),
        ("compare random 8 2 --measures degree -o s.csv", "degrees"),
        ("compare random 8 2 --show left_alfa -o s.csv", "left_alpha"),
        ("measure regulr.npz", "regular.npz"),
        ("plot Regular.npz -o p.png", "regular.npz"),
        ("convert net.mtx -o x.npz", "net.npz"),
    ],
)
def test_a_word_that_is_nearly_right_gets_a_hint(folder, said, line, meant):
    code, error = said(line)
    assert code == 1
    assert error.endswith(f"; did you mean {meant!r}?\n")


def test_words_may_be_typed_with_hyphens(folder):
    for line in (
        "generate left-regular 8-8 --degree 2 -o x.npz",
        "generate random 8-8 --edges 20 --budget uniform-plus -o x.npz",
        "heat net.npz --laplacian random-walk",
    ):
        assert CliRunner().invoke(cli.app, line.split(), catch_exceptions=False).exit_code == 0


# --- files ---


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("measure gone.npz", "there is no file gone.npz"),
        ("measure gone/g.npz", "there is no file gone/g.npz: there is no folder gone"),
        ("measure regular.npz/g.npz", "regular.npz/g.npz: Not a directory"),
        ("compare random 8 2 -o s.csv --resume .", ".: Is a directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_without_the_system_s_numbers(folder, said, line, message):
    assert said(line) == (1, f"error: {message}\n")


def test_a_folder_that_may_not_be_read_gives_no_hint(folder, said, monkeypatch):
    def refused(_):
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.iterdir", refused)
    assert said("measure regulr.npz") == (1, "error: there is no file regulr.npz\n")


@pytest.mark.parametrize("line", ["measure {}", "heat {}", "plot {} -o p.png", "convert {} -o x.npz"])
def test_a_checkpoint_is_sent_to_the_report(folder, said, line):
    for name in ("model.pt", "gone.pth"):
        code, error = said(line.format(name))
        assert code == 1
        assert f"{name} is a checkpoint of a model and no graph file; the command report takes it" in error
        assert "expandergraphs_torch.network_graph" in error


def test_report_lists_checkpoints_too(folder, said):
    assert "must be one of .npz, .mtx," in said("report README.md -o r.html")[1]
    assert ".edges.gz, .pt, .pth, got 'README.md'" in said("report README.md -o r.html")[1]
    assert ".edges.gz, got 'README.md'" in said("measure README.md")[1]


def test_an_unknown_format_is_refused_before_anything_is_done(folder, said, monkeypatch):
    for place in ("family_net", "load_graph"):
        monkeypatch.delattr(f"expandergraphs.cli.graphs.{place}")
    for line in ("generate regular 8-8 --degree 2 -o x.txt", "convert regular.npz -o x.txt"):
        assert "got 'x.txt'" in said(line)[1]


def test_pictures_of_equal_names_in_other_folders(folder, monkeypatch):
    drawn = []
    monkeypatch.setattr("expandergraphs.cli.graphs.picture_of", lambda graphs, kind: drawn.append(list(graphs)))
    monkeypatch.setattr("expandergraphs.cli.graphs.save_figure", lambda *_: None)
    (folder / "other").mkdir()
    eg.save("other/net.npz", eg.load("net.npz"))
    for line in ("plot net.npz other/net.npz regular.npz -o p.png", "plot net.npz regular.npz -o p.png"):
        assert CliRunner().invoke(cli.app, line.split(), catch_exceptions=False).exit_code == 0
    assert drawn == [["net.npz", "other/net.npz", "regular"], ["net", "regular"]]
    with pytest.raises(ValueError, match=r"^net\.npz is named twice$"):
        CliRunner().invoke(cli.app, ["plot", "net.npz", "net.npz", "-o", "p.png"], catch_exceptions=False)


def test_a_full_memory_is_named(folder, said, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("expandergraphs.cli.measures.report", full)
    assert said("measure regular.npz") == (1, "error: out of memory\n")


# --- graphs without edges ---


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("generate regular 8-8 --degree 0 -o x.npz", "warning: 0 edges in this graph\n"),
        ("generate random 8-8-8-8 --edges 2 -o x.npz --json", "warning: 0 edges between 1 of 3 pairs of layers\n"),
        ("convert empty.npz -o x.mtx", "warning: 0 edges in this graph\n"),
        ("generate regular 8-8 --degree 1 -o x.npz", ""),
    ],
)
def test_a_graph_without_edges_is_written_with_a_warning(folder, line, warning):
    eg.save("empty.npz", eg.BipartiteGraph.from_edges(2, 2, []))
    result = CliRunner().invoke(cli.app, line.split(), catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, warning)
    if "--json" in line:
        assert json.loads(result.stdout)["n_edges"] == 2


# --- Ctrl-C ---


@pytest.mark.parametrize(
    ("line", "place", "word"),
    [
        ("measure regular.npz", "measures.report", "no file is half written"),
        ("report regular.npz -o r.html", "report.write_page", "no file is half written"),
        ("compare random 8 2 -o s.csv", "compare.study", "nothing is kept without --resume"),
        ("compare random 8 2 -o s.csv --resume r.jsonl", "compare.study", "r.jsonl keeps what is finished, .*"),
    ],
)
def test_ctrl_c_is_answered_by_a_line(folder, said, monkeypatch, line, place, word):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"expandergraphs.cli.{place}", interrupted)
    monkeypatch.setattr("expandergraphs.cli.compare._rehearse", lambda *_: None)
    code, error = said(line)
    assert code == 130
    assert re.fullmatch(f"interrupted; {word}\n", error)
