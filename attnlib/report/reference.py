"""The API reference: every public name, drawn from its docstring."""

import ast
import importlib
import inspect
import textwrap
from pathlib import Path

import keras

import attnlib
from attnlib import paths
from attnlib.report import docstrings
from attnlib.report.templating import render

MODULES = (
    "ops",
    "layers",
    "losses",
    "distributions",
    "datasets",
    "claims",
    "training",
    "figures",
)

_PACKAGE = Path(attnlib.__file__).parent
_WIDTH = 76


def build() -> Path:
    """Draw the reference into `docs` of the folder of reports.

    Returns:
        The path of `index.html`.

    Raises:
        OSError: The pages cannot be written.
    """
    folder = paths.reports_dir() / "docs"
    modules = {name: _module(name) for name in MODULES}
    links = _links(modules)
    pages = {"index.html": _index(modules, links)}
    for name, module in modules.items():
        pages[f"{name}.html"] = _page(name, module, modules, links)
    for page, text in pages.items():
        with paths.atomic_write(folder / page) as file:
            file.write(text)
    for path in folder.glob("*.html"):
        if path.name not in pages:
            path.unlink(missing_ok=True)
    return folder / "index.html"


def public_names(module) -> list:
    """Return the names that a module offers.

    Args:
        module: A module.

    Returns:
        What `__all__` lists; without it, its own functions and classes whose
        names have no underscore in front.
    """
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return sorted(
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
    )


def _module(name):
    return importlib.import_module(f"attnlib.{name}")


def _links(modules):
    """Return the address of every name, with and without its module."""
    links = {}
    for name, module in modules.items():
        links[f"attnlib.{name}"] = f"{name}.html"
        for entry in public_names(module):
            links[f"attnlib.{name}.{entry}"] = f"{name}.html#{entry}"
            links.setdefault(entry, f"{name}.html#{entry}")
    return links


def _index(modules, links):
    listed = []
    for name, module in modules.items():
        names = [
            (entry, _summary(getattr(module, entry), links))
            for entry in public_names(module)
        ]
        listed.append((name, _summary(module, links), names))
    return render("docs_index.html.j2", modules=listed)


def _page(name, module, modules, links):
    entries = [
        _entry(f"attnlib.{name}", entry, getattr(module, entry), links)
        for entry in public_names(module)
    ]
    parts = docstrings.parse(module)
    return render(
        "docs_module.html.j2",
        name=name,
        modules=list(modules),
        summary=docstrings.inline(parts.summary, links),
        text=docstrings.blocks(parts.text, links),
        entries=entries,
    )


def _documented(thing):
    return inspect.isroutine(thing) or inspect.isclass(thing)


def _summary(thing, links):
    """Return the first sentence as HTML; the value of a constant."""
    if not _documented(thing) and not inspect.ismodule(thing):
        return f"The constant {docstrings.inline(f'`{thing!r}`', links)}."
    return docstrings.inline(docstrings.parse(thing).summary, links)


def _entry(module, name, thing, links):
    """Return what a page shows of one name."""
    entry = {
        "name": name,
        "module": module,
        "kind": _kind(thing),
        "summary": _summary(thing, links),
        "signatures": [],
        "text": "",
        "sections": [],
        "methods": [],
        "source": "",
        "place": "",
    }
    if not _documented(thing):
        return entry
    return entry | _described(thing, name, links)


def _kind(thing):
    if not _documented(thing):
        return "constant"
    if not inspect.isclass(thing):
        return "function"
    if issubclass(thing, keras.layers.Layer):
        return "layer"
    return "exception" if issubclass(thing, Exception) else "class"


def _described(thing, name, links):
    parts = docstrings.parse(thing)
    lines, first = inspect.getsourcelines(thing)
    path = Path(inspect.getsourcefile(thing)).relative_to(_PACKAGE.parent)
    source = docstrings.code(_without_docstring("".join(lines)))
    return {
        "signatures": [
            docstrings.code(text) for text in _signatures(thing, name)
        ],
        "text": docstrings.blocks(parts.text, links),
        "sections": [
            (heading, docstrings.section(heading, text, links))
            for heading, text in parts.sections.items()
        ],
        "methods": _methods(thing, name, links),
        "source": source,
        "place": f"{path.as_posix()}, line {first}",
    }


def _methods(thing, name, links):
    """Return the documented methods that a class adds to its base."""
    if not inspect.isclass(thing):
        return []
    return [
        {
            "name": method,
            "anchor": f"{name}.{method}",
            "summary": _summary(function, links),
        }
        | _described(function, f"{name}.{method}", links)
        for base in thing.__mro__
        # Those of a base without an entry of its own are shown here.
        if base is thing
        or (
            base.__module__.startswith("attnlib.")
            and base.__name__ not in links
        )
        for method, function in vars(base).items()
        if inspect.isfunction(function)
        and not method.startswith("_")
        and function.__doc__
    ]


def _signatures(thing, name):
    """Return how a name is called; a layer is made and then called."""
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return []
    texts = [_signature(name, thing)]
    if inspect.isclass(thing) and issubclass(thing, keras.layers.Layer):
        texts.append(_signature("layer", thing.call))
    return texts


def _signature(name, function):
    """Return a signature; one argument per line where it is long."""
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.name != "self"]
    text = f"{name}{signature.replace(parameters=kept)}"
    if len(text) <= _WIDTH:
        return text
    lines = [str(p) for p in kept]
    for index, parameter in enumerate(kept):
        if parameter.kind is parameter.VAR_POSITIONAL:
            break
        if parameter.kind is parameter.KEYWORD_ONLY:
            lines.insert(index, "*")
            break
    returns = text.rpartition(")")[2]
    return "\n".join([f"{name}(", *(f"    {x}," for x in lines), f"){returns}"])


def _without_docstring(source):
    """Return the source of a function or class without its own docstring."""
    source = textwrap.dedent(source)
    body = ast.parse(source).body[0].body
    first = body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(
        first.value, ast.Constant
    )
    if not is_docstring or len(body) == 1:
        return source
    lines = source.splitlines()
    del lines[first.lineno - 1 : first.end_lineno]
    return "\n".join(lines)
