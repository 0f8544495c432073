"""Rules that hold for every public name, so that a new one cannot forget."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import keras
import pytest
from cases import CASES

import attnlib
from attnlib import distributions, layers, losses, ops

PACKAGE = Path(attnlib.__file__).parent
TESTS = Path(__file__).parent
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(attnlib.__path__, "attnlib.")
    if not found.name.endswith("__main__")
)
SOURCES = sorted(PACKAGE.rglob("*.py"))
LAYERS = {name: getattr(layers, name) for name in layers.__all__}
FUNCTIONS = {
    f"{module.__name__.removeprefix('attnlib.')}.{name}": function
    for module in (ops, losses, distributions)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if not name.startswith("_") and function.__module__.startswith("attnlib.")
}
GEOMETRY = ("affine_grid", "bilinear_sample", "extract_glimpses", "Glimpse")
# What operations and layers may import.
ALLOWED = {"attnlib", "functools", "keras", "math", "numbers", "numpy"}
BACKENDS = {"tensorflow", "tensorflow_probability", "jax", "numpyro", "torch"}
# Choosing a backend, naming its device, measuring and distributions are all
# that may differ between backends.
KNOW_BACKENDS = {
    "_backend.py",
    "distributions.py",
    "timing.py",
    "training.py",
}


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def sections(thing):
    """Return the docstring's headings in order."""
    return re.findall(r"^(\w[\w ]*):$", inspect.getdoc(thing) or "", re.M)


def check_docstring(name, thing, wanted, arguments):
    text = inspect.getdoc(thing)
    assert text, f"{name} has no docstring"
    summary = text.splitlines()[0]
    assert summary.endswith("."), f"{name}: the first line is no sentence"
    if any(part in name for part in GEOMETRY):
        wanted = [*wanted, "Convention"]
    missing = set(wanted) - set(sections(thing))
    assert not missing, f"{name}: no section {sorted(missing)}"
    described = text[text.index("Args:") :]
    for argument in arguments:
        assert re.search(rf"^ +\**{argument}:", described, re.M), (
            f"{name}: argument {argument} is not described"
        )


def parameters(function):
    return [p for p in inspect.signature(function).parameters if p != "self"]


def test_all_public_names_are_listed():
    for module in (ops, losses, distributions):
        public = {
            name.rpartition(".")[2]
            for name in FUNCTIONS
            if name.startswith(module.__name__.removeprefix("attnlib."))
        }
        listed = getattr(module, "__all__", public)
        assert set(listed) == public
    assert list(ops.__all__) == sorted(ops.__all__)
    assert list(layers.__all__) == sorted(layers.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_documented(name):
    function = FUNCTIONS[name]
    wanted = ["Args", "Returns", "Raises"]
    check_docstring(name, function, wanted, parameters(function))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_tested(name):
    module, _, function = name.partition(".")
    files = (
        sorted((TESTS / "ops").glob("test_*.py"))
        if module == "ops"
        else [TESTS / f"test_{module}.py"]
    )
    calls = "".join(path.read_text(encoding="utf-8") for path in files)
    # Once to import it, and more often to use it.
    assert len(re.findall(rf"\b{function}\b", calls)) > 1


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_documented(name):
    layer = LAYERS[name]
    wanted = ["Args", "Call arguments", "Returns", "Raises", "Example"]
    wanted.append("Reference")
    arguments = parameters(layer.__init__) + parameters(layer.call)
    check_docstring(name, layer, wanted, arguments)
    reference = inspect.getdoc(layer).partition("Reference:")[2]
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|doi:", reference)
    assert "Differs from the paper in:" in " ".join(reference.split())


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_tested(name):
    layer = LAYERS[name]
    assert issubclass(layer, keras.layers.Layer)
    assert layer.__module__ == f"attnlib.layers.{snake(name)}"
    assert (TESTS / "layers" / f"test_{snake(name)}.py").is_file()
    made = {type(case.make()) for case in CASES.values()}
    assert layer in made, f"add {name} to tests/layers/cases.py"


@pytest.mark.parametrize("name", MODULES)
def test_doctests_and_module_docstrings(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    assert doctest.testmod(module, optionflags=options).failed == 0


def imported(tree):
    """Yield the top-level packages that a module imports anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize(
    "path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_sources_keep_the_rules(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    packages = set(imported(tree))
    if path.name not in KNOW_BACKENDS:
        assert not packages & BACKENDS, "only keras.ops may be used here"
    folder = path.relative_to(PACKAGE).parts[0]
    if folder in ("ops", "layers"):
        assert packages <= ALLOWED
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), (
            f"line {node.lineno}: an assert vanishes under python -O"
        )


def test_arrows_point_one_way():
    """Models use layers, layers use ops; nothing points back."""
    forbidden = {
        "ops": ("layers", "models", "datasets", "claims", "figures"),
        "layers": ("models", "datasets", "claims", "figures"),
        "datasets": ("models", "layers", "figures", "claims"),
        "claims": ("models", "layers", "figures"),
        "figures": ("models", "layers", "datasets"),
    }
    for folder, others in forbidden.items():
        pattern = re.compile(
            rf"^\s*(from attnlib\.({'|'.join(others)})\b"
            rf"|import attnlib\.({'|'.join(others)})\b"
            rf"|from attnlib import .*\b({'|'.join(others)})\b)",
            re.M,
        )
        for path in (PACKAGE / folder).rglob("*.py"):
            found = pattern.search(path.read_text(encoding="utf-8"))
            assert not found, f"{path}: {found.group(0)}"
