"""The site names everything that is public, nothing that is not there, and its links are checked when it is built."""

import ast
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


def code_of(path):
    """The lines of code that a page shows: of blocks, or of a script without its prose."""
    text = path.read_text()
    if path.suffix == ".md":
        blocks = re.findall(r"^```(?:python|py|sh)\n(.*?)^```", text, re.S | re.M)
        return [line for block in blocks for line in block.splitlines()]
    code = text.splitlines()[ast.parse(text).body[0].end_lineno :]
    return [line for line in code if not line.startswith("# ")]


def test_code_on_the_site_fits_its_column():
    """96 characters fit at 1280 pixels, beside both sidebars."""
    pages = [
        *(path for path in DOCS.rglob("*.md") if not {"_build", "records", "reference"} & set(path.parts)),
        *(path for folder in ("gallery", "tutorials", "how-to") for path in (DOCS / folder).rglob("*.py")),
    ]
    shown = {path.relative_to(DOCS).as_posix(): code_of(path) for path in pages if "auto_" not in path.as_posix()}
    assert len(shown) >= 40
    assert sum(map(len, shown.values())) > 1000
    assert [(page, line) for page, lines in shown.items() for line in lines if len(line) > 96] == []


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
