"""No pattern of the product needs a time that grows with the square of a text: anybody may send us one letter often."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any

import pytest

import pps

PRODUCT = Path(pps.__file__).parent
_WAYS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
_ANCHORED = {"match", "fullmatch"}
#: What a pattern takes for a separator, and what it may take for the beginning of something.
_SEEDS = [
    "a",
    "1",
    " ",
    "\n",
    "\r",
    "\t",
    "-",
    ".",
    ",",
    "/",
    "=",
    "@",
    "(",
    "[",
    '"',
    "<",
    "ab ",
    "a@",
    "a.",
    "\u2028",
    "é",
]
CPU_S = 1.0
"""of the processor for all texts of 20 kB together, a hundred times what a linear pattern needs; a quadratic one
needs that for one of them"""


class _Words(dict[str, Any]):
    """What a pattern is put together from while it runs: words that are taken literally."""

    def __missing__(self, name: str) -> str:
        if hasattr(builtins, name):
            raise KeyError(name)
        return "word"


@dataclass(frozen=True)
class Used:
    """A pattern and how it is used."""

    where: str
    pattern: str
    flags: int
    anchored: bool

    def __str__(self) -> str:
        return self.where


def _patterns_of(path: Path) -> Iterator[Used]:
    """Each pattern that the module compiles or uses. What cannot be told without running it is a failure."""
    source = path.read_text()
    tree = ast.parse(source)
    name = ".".join(path.relative_to(PRODUCT.parent).with_suffix("").parts)
    space: dict[str, Any] | None = None
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        way = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        is_re = way in _WAYS and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "re"
        given = [k.value for k in node.keywords if k.arg == "pattern"] + (node.args[:1] if is_re else [])
        for argument in given:
            if space is None:
                space = {**vars(importlib.import_module(name)), "re": re}
            words = _Words(space) if isinstance(argument, ast.JoinedStr) else {}
            try:
                pattern = eval(ast.unparse(argument), space, words)
                flags = eval(ast.unparse(node.args[1]), space) if way == "compile" and len(node.args) > 1 else 0
            except (NameError, AttributeError):
                pytest.fail(f"{name}:{node.lineno}: {ast.unparse(argument)} cannot be judged without running it")
            text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
            anchored = way in _ANCHORED or (is_re and way == "compile" and _only_anchored(tree, node))
            yield Used(f"{name}:{node.lineno}", text, int(flags), anchored)


def _only_anchored(tree: ast.Module, call: ast.Call) -> bool:
    """Whether the name to which a pattern is given is only ever asked for a match from the beginning."""
    names = {
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and node.value is call
        for target in node.targets
    }
    uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in names and isinstance(n.ctx, ast.Load)]
    asked = [
        n.value for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr in _ANCHORED and n.value in uses
    ]
    return bool(uses) and len(asked) == len(uses)


def _schema_patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        schema = list(schema.values())
    if isinstance(schema, list | tuple):
        for part in schema:
            yield from _schema_patterns(part)


def _in_forms() -> Iterator[Used]:
    from pps.workflow.form_book import FORMS
    from pps.workflow.paths import STARTS

    schemas = [(dag, start.schema) for dag, start in STARTS.items()] + [(k, f.fields or {}) for k, f in FORMS.items()]
    for where, schema in schemas:
        for pattern in _schema_patterns(schema):
            yield Used(f"form {where}", pattern, 0, anchored=False)


def _letters(pattern: str, flags: int) -> list[str]:
    """Every letter that stands in the pattern, and its literal beginnings: what it may loop on."""
    found: list[str] = []

    def walk(items: Any) -> None:
        for item in items:
            if isinstance(item, tuple) and len(item) == 2 and item[0] in (op.LITERAL, op.NOT_LITERAL):
                found.append(chr(item[1]))
            elif isinstance(item, tuple) and len(item) == 2 and item[0] is op.RANGE:
                found.append(chr(item[1][0]))
            elif isinstance(item, tuple | list | _parser.SubPattern):
                walk(item)

    walk(_parser.parse(pattern, flags))
    literal = re.match(r"[A-Za-z0-9:/=_. -]{2,20}", pattern)
    words = [literal[0]] if literal else []
    return list(dict.fromkeys([*found, *words, "".join(found[:4]), "".join(found[:12])]))


class TooSlowError(Exception):
    """The pattern has used its share of the processor."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise TooSlowError


def _slow_on(used: Used) -> str | None:
    """The text on which the pattern takes longer than a linear one can, or None."""
    compiled = re.compile(used.pattern, used.flags)
    ask = compiled.match if used.anchored else compiled.search
    seeds = [s for s in dict.fromkeys([*_SEEDS, *_letters(used.pattern, used.flags)]) if s]
    for size in (20_000, 200_000):
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S * size / 20_000)
        for seed in seeds:
            for end in ("\x00", "\n"):
                try:
                    ask(seed * (size // len(seed)) + end)
                except TooSlowError:
                    return f"{seed!r} * {size // len(seed)} + {end!r}"
                if size > 20_000:
                    break
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return None


@pytest.mark.slow
def test_every_pattern_of_the_product_is_linear() -> None:
    patterns = [used for path in sorted(PRODUCT.rglob("*.py")) for used in _patterns_of(path)] + list(_in_forms())
    assert len(patterns) > 80
    before = signal.signal(signal.SIGVTALRM, _stop)
    try:
        once = {(used.pattern, used.flags, used.anchored): used for used in patterns}
        slow = {str(used): (used.pattern, on) for used in once.values() if (on := _slow_on(used))}
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert not slow


@pytest.mark.slow
def test_the_judge_finds_a_pattern_that_is_not_linear() -> None:
    before = signal.signal(signal.SIGVTALRM, _stop)
    try:
        assert _slow_on(Used("x", r"(?=[^\s@]+@)([^\s@]?)[^\s@]*@", 0, anchored=False))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
