"""What the README and the pages of docs show is run: every Python block, every command, every link to a file."""

import ast
import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from expandergraphs import cli
from tests.torch import torchvision_shim  # noqa: F401 pages import torchvision, beside any build of torch

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MADE = ("docs/_build/", "docs/auto_", "docs/records/", "docs/reference/")  # by building the site
PAGES = {"README.md": README} | {
    name: path.read_text()
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if not (name := path.relative_to(ROOT).as_posix()).startswith(MADE)
}
BLOCKS = {
    f"{page} {k}": block
    for page, text in PAGES.items()
    for k, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.S))
}


def run(block):
    """Run a block; an expression followed by ``# -> value`` must have that value."""
    namespace, promised = {}, 0
    lines = block.splitlines()
    for statement in ast.parse(block).body:
        source = ast.get_source_segment(block, statement)
        exec(source, namespace)
        promise = re.search(r"  # -> (.*)$", lines[statement.end_lineno - 1])
        if promise:
            value = eval(source, namespace)
            assert repr(_plain(value)) == promise[1], source
            promised += 1
    return promised


def _plain(value):
    """NumPy's numbers as Python's, within tuples too."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.item() if hasattr(value, "item") and not hasattr(value, "n_edges") else value


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_python(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(block) >= 2


def test_a_wrong_promise_is_noticed():
    with pytest.raises(AssertionError):
        run("x = 1\nx + 1  # -> 3\n")


def test_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^expandergraphs (.*)$", README, re.M)
    assert len(commands) >= 5
    for command in commands:
        assert CliRunner().invoke(cli.app, shlex.split(command), catch_exceptions=False).exit_code == 0


@pytest.mark.parametrize("page", PAGES)
def test_links(page):
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)", PAGES[page])
    places = {target: Path(os.path.normpath((ROOT / page).parent / target)) for target in targets}
    made = [place for place in places.values() if place.relative_to(ROOT).as_posix().startswith(MADE)]
    assert [target for target, place in places.items() if place not in made and not place.is_file()] == []


def test_pages_are_found():
    assert {"README.md", "docs/index.md", "docs/theory/heat.md", "docs/how-to/resnet.md"} <= PAGES.keys()
    assert len(BLOCKS) >= 30


def sections(page):
    """The sections of a page that rests on records, by its name and their headings."""
    parts = PAGES[f"docs/{page}.md"].split("\n## ")[1:]
    return {f"{page}: {part.splitlines()[0]}": part for part in parts if "```{toctree}" not in part}


CLAIMS = sections("what-holds-up")
MEASURED = CLAIMS | sections("benchmarks")


@pytest.mark.parametrize("section", MEASURED.values(), ids=MEASURED)
def test_figures_of_a_section_stand_in_its_records(section):
    """Every decimal of a section is in a record that it links to, there perhaps with more digits."""
    links = re.findall(r"\]\((\.\./benchmarks/records/[^)]+)\)", section)
    records = "".join((ROOT / "docs" / link).read_text() for link in links)
    known = {round(float(number), digits) for number in re.findall(r"\d*\.\d+", records) for digits in (1, 2, 3, 4)}
    figures = [float(number) for number in re.findall(r"\d*\.\d+", section)]
    assert [figure for figure in figures if figure not in known] == []
    assert links


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_claim_has_a_picture(claim):
    assert "](images/" in claim or "icture above" in claim


def test_numbers_have_their_record():
    """Every accuracy in the README stands in the record it links to."""
    record = (ROOT / "benchmarks/records/2026-11-21-demo.md").read_text()
    accuracies = re.findall(r"\d\d\.\d\d ± \d\.\d\d", README)
    assert len(accuracies) == 5
    assert all(accuracy in record for accuracy in accuracies)


def test_alphas_have_their_record():
    """Every alpha in the README and in the words of the record stands in a table of the record."""
    head, tables = (ROOT / "benchmarks/records/2026-11-21-study.md").read_text().split("\n### ", 1)
    words = README[README.index("RReg's poster says") : README.index("![Vertex expansion")]
    for text in (head, words):
        alphas = re.findall(r"\b\d\.\d{3}\b", text)
        assert len(alphas) >= 3
        assert [alpha for alpha in alphas if alpha not in tables] == []
