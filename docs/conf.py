"""How the site is built: `make docs`, without a network, warnings being errors."""

import ast
import html
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from numpydoc.xref import DEFAULT_LINKS

import expandergraphs
import expandergraphs_torch
from tests.torch import torchvision_shim  # noqa: F401 examples import torchvision

project = "expandergraphs"
author = "The expandergraphs developers"
copyright = author
version = release = expandergraphs.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "_templates",
    "gallery/*",
    "tutorials/*",
    "auto_*/*.ipynb",
    "auto_*/*.py",
]
suppress_warnings = ["myst.header"]  # records skip levels
nitpicky = True
default_role = "py:obj"
# what single quotes and types name need not be documented here
nitpick_ignore_regex = [("py:obj", ".*")]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrtalpha"
bibtex_reference_style = "author_year"

autodoc_typehints = "none"  # types are in the sections of the docstrings
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {
    name: name for name in DEFAULT_LINKS
} | {  # no links into other sites, which had to be asked first
    name: f"{module.__name__}.{name}"
    for module in (expandergraphs, expandergraphs_torch)
    for name in module.__all__
}
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": ["gallery", "tutorials"],
    "subsection_order": [
        *(f"gallery/{section}" for section in ("graphs", "networks", "heat", "models")),
        "*",
    ],
    "gallery_dirs": ["auto_gallery", "auto_tutorials"],
    "filename_pattern": r"plot_\w+\.py$",
    "abort_on_example_error": True,
    "backreferences_dir": "reference/backreferences",
    "doc_module": ("expandergraphs", "expandergraphs_torch"),
    "download_all_examples": False,
    "image_scrapers": ("matplotlib",),
    "plot_gallery": "True",
    "remove_config_comments": True,
    "reset_modules_order": "both",
    "show_memory": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "expandergraphs"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}


def copy_records(app):
    """Bring the records into the site: what a figure rests on is one click away, without a network too."""
    records = Path(app.srcdir) / "records"
    records.mkdir(exist_ok=True)
    for record in sorted((ROOT / "benchmarks/records").glob("*.md")):
        text = record.read_text()
        copy = records / record.name
        if not copy.exists() or copy.read_text() != text:
            copy.write_text(text)


def write_commands(app):
    """Write the page of the command line from the command line itself."""
    arguments = [
        sys.executable,
        "-m",
        "typer",
        "expandergraphs.cli",
        "utils",
        "docs",
        "--name",
        "expandergraphs",
    ]
    found = subprocess.run(
        arguments, check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout
    page = Path(app.srcdir) / "reference/command-line.md"
    found = html.unescape(found).replace("# `expandergraphs`", "# The command line", 1)
    heading, block = r"^Examples\n-+\n((?:\$ .*\n)+)", r"**Examples**:\n\n```console\n\1```\n"
    found = re.sub(heading, block, found, flags=re.M)
    page.write_text(found)


def write_modules(app):
    """Write the list of all modules from the first lines of their docstrings."""
    lines = []
    for package in ("expandergraphs", "expandergraphs_torch"):
        for path in sorted(
            (ROOT / package).rglob("*.py"), key=lambda path: (path.parent, path.name)
        ):
            first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
            lines += [f"`{path.relative_to(ROOT)}`", f": {first}", ""]
    (Path(app.srcdir) / "reference/modules.txt").write_text("\n".join(lines))


def link_records(app, name, source):
    """Let links to the repository's records lead to the site's copies."""
    source[0] = re.sub(r"\]\((?:\.\./)+benchmarks/records/", "](/records/", source[0])


def setup(app):
    app.connect("builder-inited", copy_records)
    app.connect("builder-inited", write_commands)
    app.connect("builder-inited", write_modules)
    app.connect("source-read", link_records)
