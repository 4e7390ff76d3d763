"""The command ``expandergraphs heat``."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import expandergraphs as eg
from expandergraphs import cli
from expandergraphs.cli import measures


@pytest.fixture
def files(tmp_path):
    dense = eg.family_net("random", [12, 9, 5], density=1, rng=0)
    nets = {"dense": dense, "thin": eg.family_net("random", [12, 9, 5], density=0.2, rng=0)}
    for name, net in nets.items():
        eg.save(tmp_path / f"{name}.npz", net)
    return nets, [str(tmp_path / f"{name}.npz") for name in nets]


def run(*arguments):
    return CliRunner().invoke(cli.app, ["heat", *map(str, arguments)], catch_exceptions=False)


def test_distances_to_the_reference(files):
    nets, paths = files
    found = json.loads(run(*paths, "--times", "0.1,2,saturated", "--json").output)
    times = [0.1, 2, math.inf]
    assert found["times"] == [0.1, 2, None]
    thin = found["networks"][paths[1]]
    np.testing.assert_allclose(thin["distances"], eg.heat_distance(nets["dense"], nets["thin"], times))
    assert thin["n_edges"] == nets["thin"].n_edges
    assert thin["components"] == eg.components(nets["thin"]).count
    assert thin["unreached"] == eg.unreached_units(nets["thin"]).n_unreached > 0
    assert found["networks"][paths[0]]["distances"] == [0, 0, 0]
    text = run(*paths).output
    assert "never reached" in text
    assert f"heat never reaches {eg.unreached_units(nets['thin']).n_unreached} of 26 units" in text
    assert "saturated" in text


def test_its_options_reach_the_measure(files):
    nets, paths = files
    options = ["--sources", "0,3", "--laplacian", "random_walk", "--times", "0.5..2,saturated"]
    found = json.loads(run(*paths, *options, "--json").output)
    assert len(found["times"]) == 61
    assert found["times"].pop() is None
    assert (found["times"][0], found["times"][-1]) == (0.5, pytest.approx(2))
    expected = eg.heat_distance(nets["dense"], nets["thin"], found["times"], sources=[0, 3], laplacian="random_walk")
    np.testing.assert_allclose(found["networks"][paths[1]]["distances"][:-1], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--times", "soon"],
            "--times must be numbers of at least 0, 'saturated', or FIRST..LAST above 0, got 'soon'$",
        ),
        (["--times", "1,saturation"], r"got 'saturation'; did you mean 'saturated'\?$"),
        (["--times", "0..1"], "--times must be numbers"),
        (["--times", "1,2..x"], "--times must be numbers"),
        (["--times", "1..2..3"], "--times must be numbers"),
        (["--times", "1..nan"], "--times must be numbers"),
        (["--times", "1..saturated"], "LAST above 0, got '1..saturated'$"),
        (["--times", "-1"], "--times must be numbers of at least 0"),
        (["--times", "nan"], "--times must be numbers of at least 0"),
        (
            ["--laplacian", "signless"],
            "--laplacian must be one of combinatorial, random_walk, symmetric, got 'signless'$",
        ),
        (["--laplacian", "randomwalk"], r"did you mean 'random_walk'\?$"),
        (["--sources", "1,2,1"], "--sources names node 1 twice"),
        (["--sources", "99"], "sources must be nodes in 0..25"),
    ],
)
def test_bad_options(files, options, message):
    with pytest.raises(ValueError, match=message):
        run(*files[1], *options)


def test_pictures(files, tmp_path):
    """Distances where there is something to compare, and heat layer by layer where there is not."""
    for paths in (files[1], files[1][:1]):
        picture = tmp_path / f"{len(paths)}.png"
        assert run(*paths, "--plot", picture).exit_code == 0
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "1.png").read_bytes() != (tmp_path / "2.png").read_bytes()


def test_an_animation_of_one_network(files, tmp_path):
    assert run(files[1][1], "--times", "0,1", "--plot", tmp_path / "heat.gif").exit_code == 0
    assert (tmp_path / "heat.gif").read_bytes().startswith(b"GIF8")
    moving = eg.radix_net([[2, 2]], [1, 1, 1])
    eg.save(tmp_path / "small.npz", moving)
    run(tmp_path / "small.npz", "--times", "0,1", "--plot", tmp_path / "CAPITALS.GIF")
    with Image.open(tmp_path / "CAPITALS.GIF") as picture:
        assert picture.n_frames == 2


def test_what_cannot_be_animated_is_refused_before_anything_is_computed(files, tmp_path, monkeypatch):
    def computed(*_, **__):
        raise AssertionError("this was for nothing")

    for name in ("compare_heat", "heat_signature", "heat_gif"):
        monkeypatch.setattr(f"expandergraphs.cli.measures.{name}", computed)
    eg.save(tmp_path / "wide.npz", eg.random_regular(101, 101, 2, rng=0))
    with pytest.raises(ValueError, match="layers of at most 100 nodes can be drawn node by node, got 101"):
        run(tmp_path / "wide.npz", "--plot", tmp_path / "wide.gif")
    for suffix in ("gif", "GIF"):
        with pytest.raises(ValueError, match=rf"two\.{suffix} can show one network, got 2"):
            run(*files[1], "--plot", tmp_path / f"two.{suffix}")


def test_networks_that_do_not_correspond_are_named(files, tmp_path):
    eg.save(tmp_path / "other.npz", eg.family_net("random", [12, 9, 6], density=1))
    with pytest.raises(ValueError, match=r"dense\.npz has 26 of them, .*other\.npz has 27"):
        run(*files[1], tmp_path / "other.npz")
    with pytest.raises(ValueError, match=r"thin\.npz is named twice"):
        run(*files[1], files[1][1])


def test_equal_names_in_other_folders_are_told_apart(files, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    for name, net in files[0].items():
        eg.save(tmp_path / "other" / f"{name}.npz", net)
    drawn = []
    monkeypatch.setattr(
        measures, "plot_heat_distance", lambda distances, times, ax: drawn.append(list(distances)) or ax
    )
    run(*files[1], tmp_path / "other" / "thin.npz", "--plot", tmp_path / "heat.png")
    assert drawn == [[files[1][1], str(tmp_path / "other" / "thin.npz")]]
    run(*files[1], "--plot", tmp_path / "heat.png")
    assert drawn[1:] == [["thin"]]


def rows(output):
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if line.startswith("│")]


@pytest.mark.parametrize("alone", [False, True])
def test_of_many_times_a_table_shows_ten_and_says_so(files, alone):
    paths = files[1][1:] if alone else files[1]
    shown = [row for row in rows(run(*paths, "--times", "0.01..10,saturated").output) if "=" in row[0]]
    everything = run(*paths, "--times", "0.01..10,saturated").output
    assert len(shown) == 9
    assert (shown[0][0], "saturated" in everything) == ("t = 0.01", True)
    assert "10 of 61 times; --json prints all of them\n" in everything
    few = run(*paths, "--times", ",".join(map(str, range(1, 21)))).output
    assert "t = 20" in few
    assert "--json" not in few
    exact = run(*paths, "--times", f"0.01,{shown[4][0].removeprefix('t = ')}").output
    assert shown[4][-1] in exact


def test_the_mean_heat_of_each_layer_is_in_the_json_of_a_single_network(files):
    net, path = files[0]["thin"], files[1][1]
    found = json.loads(run(path, "--times", "0.5,saturated", "--json").output)
    values = eg.heat_signature(net, [0.5, math.inf]).values
    expected = [layer.mean(axis=1) for layer in (values[:, :12], values[:, 12:21], values[:, 21:])]
    np.testing.assert_allclose(found["mean_heat"], expected)
    assert "mean_heat" not in json.loads(run(*files[1], "--json").output)


def test_one_network_alone_is_measured(files):
    signature = eg.heat_signature(files[0]["thin"], [0.5, math.inf]).values
    rows = [
        line.split("│")[2:5] for line in run(files[1][1], "--times", "0.5,saturated").output.splitlines() if "│" in line
    ]
    for row, heat in zip(rows[:2], signature, strict=True):
        assert [float(cell) for cell in row] == pytest.approx(
            [heat[:12].mean(), heat[12:21].mean(), heat[21:].mean()], 1e-3
        )
    found = json.loads(run(files[1][1], "--json").output)
    assert list(found["networks"]) == files[1][1:]
