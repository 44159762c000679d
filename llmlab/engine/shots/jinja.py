"""Jinja2 as lm-evaluation-harness sets it up, in a sandbox; which templates cannot run away, and what went wrong.

lm-evaluation-harness: StrictUndefined, keep_trailing_newline, and the filter regex_replace (lm_eval/utils.py).
"""

from __future__ import annotations

import re

from jinja2 import StrictUndefined, meta, nodes
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["PLAIN", "TemplateError", "environment", "fields", "is_tame", "kind_of"]

PLAIN = 20_000  # characters of a template that is looked at here; longer ones go to the process
# What can neither loop nor multiply its input. Everything else renders in a process of its own.
_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Filter, nodes.Call, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.Keyword,
)  # fmt: skip
_FILTERS = {"trim", "lower", "upper", "capitalize", "title", "first", "last", "default", "d", "length", "count", "int"}
_METHODS = {"strip", "lstrip", "rstrip", "lower", "upper", "capitalize", "title", "startswith", "endswith"}


def environment() -> ImmutableSandboxedEnvironment:
    """A new environment."""
    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    made.filters["regex_replace"] = _regex_replace
    return made


def fields(source: str) -> set[str]:
    """The names that a template takes from outside. Raises TemplateError."""
    made = environment()
    return meta.find_undeclared_variables(made.parse(source)) - set(made.globals)


def is_tame(tree: nodes.Template) -> bool:
    """Whether rendering takes no more time and memory than the template and the fields are long."""
    return all(_tame(node) for node in [tree, *tree.find_all(nodes.Node)])


def kind_of(error: Exception) -> tuple[str, str]:
    """(kind, its own words) of what a template raised."""
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (SecurityError, "sandbox"),
        (UndefinedError, "undefined"),
        (TemplateSyntaxError, "syntax"),
        (MemoryError, "memory"),
        (RecursionError, "depth"),
    )
    kind = next((name for of, name in kinds if isinstance(error, of)), "other")
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = f"line {error.lineno}: {lines[0]}" if isinstance(error, TemplateSyntaxError) else lines[0]
    return kind, text[:300].rstrip(".")


def _tame(node: nodes.Node) -> bool:
    if not isinstance(node, (*_NODES, nodes.Operand)):
        return False
    if isinstance(node, nodes.Filter):
        return node.name in _FILTERS
    if isinstance(node, nodes.Call):
        return isinstance(node.node, nodes.Getattr) and node.node.attr in _METHODS
    return True


def _regex_replace(text: str, pattern: str, replacement: str, count: int = 0) -> str:
    return re.sub(pattern, replacement, text, count=count)
