"""What all experiments share: they run on the data that needs no download, and their settings can be keys."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.papers.data import load
from benchmarks.papers.runs import Context, folder_of, key

NAMES = ("rreg", "n2nskip", "alford", "xnet", "expanders")


class Loaded(Exception):
    """Raised in the place of a run."""


@pytest.mark.parametrize("scale", ["small", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_every_run_finds_its_images_among_the_digits(name, scale, tmp_path):
    experiment, asked = import_module(f"benchmarks.papers.{name}"), set()

    def note(**choice):
        asked.add(json.dumps(choice))
        raise Loaded

    for setting in experiment.settings(scale, "digits", range(1)):
        if setting.get("part") not in ("graph", "depth") or name in ("rreg", "n2nskip"):  # those need no images
            with pytest.raises(Loaded):
                experiment.run(setting, Context(tmp_path, note))
    assert asked
    for choice in asked:
        data = load("digits", **json.loads(choice))
        assert min(len(part.y) for part in (data.train, data.validation, data.test)) > 0


@pytest.mark.parametrize("scale", ["small", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_settings_name_each_run_once(name, scale):
    settings = import_module(f"benchmarks.papers.{name}").settings
    every = list(settings(scale, "mnist", range(3)))
    assert len({key(setting) for setting in every}) == len(every)
    assert len({folder_of(Path("out"), setting) for setting in every}) == len(every)
    assert {setting["seed"] for setting in every} == {0, 1, 2}
    per_seed = [[{**s, "seed": None} for s in every if s["seed"] == seed] for seed in range(3)]
    assert per_seed[0] == per_seed[1] == per_seed[2]
    assert all(json.loads(key(setting)) == setting for setting in every)
