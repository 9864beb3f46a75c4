"""The texts below fields in the source of a class: for tables of keys, and for what `help` shows of public classes."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from itertools import chain, pairwise

_FOREIGN = ("pydantic", "builtins", "typing", "enum", "abc")


def meanings(model: type) -> dict[str, str]:
    """The text below each field of a class and of what it derives from, and below each attribute that it sets when it
    is made; as one line."""
    said: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if one.__module__.partition(".")[0] in _FOREIGN:
            continue
        tree = ast.parse(inspect.getsource(importlib.import_module(one.__module__)))
        body = next((n.body for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == one.__name__), [])
        made = next((n.body for n in body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), [])
        for field, below in chain(pairwise(body), pairwise(made)):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name))
                    | ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)]),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    said[name] = " ".join(text.split())
    return said


def documented(model: type) -> None:
    """Put the texts below the fields of a class into its docstring, where `help` shows them."""
    said = meanings(model)
    lines = [
        textwrap.fill(f"{name}: {text}", 100, initial_indent="    ", subsequent_indent="        ")
        for name, text in said.items()
        if not name.startswith("_")
    ]
    if lines:
        model.__doc__ = "\n".join([inspect.getdoc(model) or "", "", "Fields:", *lines, ""])
