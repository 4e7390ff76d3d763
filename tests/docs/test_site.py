"""The site names everything that is public, nothing that is not there, and its links are checked when it is built."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

import expandergraphs
import expandergraphs_torch

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def listed():
    """The names in the tables of the reference, in full."""
    names = []
    for page in sorted((DOCS / "reference").glob("*.rst")):
        text = page.read_text()
        module = re.search(r"^\.\. currentmodule:: (\w+)$", text, re.M)[1]
        tables = re.findall(r"\.\. autosummary::\n   :toctree: generated\n\n((?:   \S+\n)+)", text)
        names += [f"{module}.{name}" for table in tables for name in table.split()]
    return names


def test_the_reference_names_what_is_public():
    names = listed()
    assert len(names) == len(set(names))
    public = {
        f"{package.__name__}.{name}" for package in (expandergraphs, expandergraphs_torch) for name in package.__all__
    }
    assert {name for name in names if ".plotting" not in name} == public


def test_the_reference_names_what_there_is():
    for name in listed():
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_the_architecture_matches_the_tree():
    text = (DOCS / "architecture.md").read_text()
    paths = [path for path in re.findall(r"`([\w./]+)`", text) if "/" in path]
    assert len(paths) >= 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.fixture
def problems():
    spec = importlib.util.spec_from_file_location("check_links", DOCS / "check_links.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.problems


def test_links_are_checked(problems, tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">b</a><img src="data:image/png;base64,AA=="><h1 id="top">a</h1>'
    )
    (tmp_path / "b.html").write_text(
        '<p id="there"><a href="a.html#top">a</a> <a href="https://example.org">far</a></p>'
    )
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("html", "message"),
    [
        ('<a href="gone.html">', "a.html: no file gone.html"),
        ('<a href="#gone">', "a.html: no place #gone"),
        ('<img src="gone.png">', "a.html: no file gone.png"),
        ('<script src="https://example.org/x.js"></script>', "a.html: loads https://example.org/x.js"),
    ],
)
def test_a_broken_link_is_noticed(problems, tmp_path, html, message):
    (tmp_path / "a.html").write_text(html)
    assert problems(tmp_path) == [message]


def test_an_empty_site_is_noticed(problems, tmp_path):
    assert problems(tmp_path) != []
