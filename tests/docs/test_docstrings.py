"""Every public name says what it does, takes, returns and raises, and shows it in an example that doctest runs."""

import importlib
import inspect
from pathlib import Path

import pytest
from numpydoc.docscrape import FunctionDoc, get_doc_object
from numpydoc.validate import validate
from torch import nn

import expandergraphs as eg
import expandergraphs_torch as egt

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "plotting.rst"
PLOTTING = [
    line.strip() for line in REFERENCE.read_text().splitlines() if line.startswith("   plotting") and "." in line
]


def resolved(module, name):
    owner, _, function = name.rpartition(".")
    return getattr(importlib.import_module(f"{module}.{owner}") if owner else importlib.import_module(module), function)


NAMES = [("expandergraphs", name) for name in (*eg.__all__, *PLOTTING)]
NAMES += [("expandergraphs_torch", name) for name in egt.__all__]
NAMED = {".".join(name): resolved(*name) for name in NAMES}


def members_of(cls):
    """Return the public members that our classes define: methods and properties, but no hooks of PyTorch's."""
    ours = [base for base in cls.__mro__ if base.__module__.startswith("expandergraphs")]
    names = {name for base in ours for name in vars(base) if not name.startswith("_")}
    if issubclass(cls, nn.Module):
        names -= set(dir(nn.Module)) | {"reset_parameters"}
    return {name: inspect.getattr_static(cls, name) for name in names - set(getattr(cls, "__dataclass_fields__", ()))}


def is_code(member):
    return inspect.isfunction(member) or isinstance(member, staticmethod | classmethod)


PROPERTIES = {
    f"{name}.{member}": value
    for name, cls in NAMED.items()
    if inspect.isclass(cls)
    for member, value in members_of(cls).items()
    if isinstance(value, property)
}
METHODS = {
    f"{name}.{member}": getattr(cls, member)
    for name, cls in NAMED.items()
    if inspect.isclass(cls)
    for member, value in members_of(cls).items()
    if is_code(value)
}
FUNCTIONS = {name: value for name, value in NAMED.items() if not inspect.isclass(value)} | METHODS
CLASSES = {name: value for name, value in NAMED.items() if inspect.isclass(value)}

# numpydoc's own checks: sections and their form and order, the summary, an example.
CHECKED = {*("GL03", "GL05", "GL06", "GL07", "GL08", "GL09", "GL10", "SS01", "SS02", "SS03", "SS04", "PR10", "EX01")}
CANNOT_FAIL = {"density_at", "zero_off_mask"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    function = FUNCTIONS[name]
    sections = FunctionDoc(function)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    described = {part.strip(" *") for p in sections["Parameters"] for part in p.name.split(",")}
    assert described == {p.name for p in parameters}
    returned = inspect.signature(function).return_annotation
    assert bool(sections["Returns"] or sections["Yields"]) == (returned not in (None, "None"))
    assert ">>>" in "\n".join(sections["Examples"])
    if parameters and function.__name__ not in CANNOT_FAIL:
        assert sections["Raises"]


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name):
    sections = get_doc_object(CLASSES[name])
    assert ">>>" in "\n".join(sections["Examples"])


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties(name):
    assert inspect.getdoc(PROPERTIES[name])


@pytest.mark.parametrize("name", {**FUNCTIONS, **CLASSES})
def test_form(name):
    value = {**FUNCTIONS, **CLASSES}[name]
    found = validate(f"{value.__module__}.{value.__qualname__}")["errors"]
    assert not [message for code, message in found if code in CHECKED]


def test_no_name_is_left_out():
    assert len(PLOTTING) >= 20
    for name in PLOTTING:
        assert f"expandergraphs.{name}" in FUNCTIONS
    assert "expandergraphs.BipartiteGraph.T" in PROPERTIES
    assert "expandergraphs_torch.SparseLinear.mask" in PROPERTIES
    assert "expandergraphs.Study.load" in METHODS
