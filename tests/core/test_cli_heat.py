"""The command ``expandergraphs heat``."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

import expandergraphs as eg
from expandergraphs import cli


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
        (["--times", "soon"], "--times must be numbers, 'saturated', or FIRST..LAST above 0, got 'soon'"),
        (["--times", "0..1"], "--times must be numbers"),
        (["--times", "1,2..x"], "--times must be numbers"),
        (["--times", "-1"], "times must be numbers of at least 0"),
        (["--laplacian", "signless"], "laplacian must be one of"),
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
    with pytest.raises(ValueError, match=r"two\.gif can show one network, got 2"):
        run(*files[1], "--plot", tmp_path / "two.gif")


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
