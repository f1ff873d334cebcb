"""What YAIM's own files say about the configuration of a version, and what is different in another one.

YAIM configures gLite from variables that a site sets in `site-info.def` and `services/<node>`. Its files tell which:

```text
functions/config_x          requires $1 BDII_HOST SITE_NAME     mandatory variables
defaults/<node>.pre|post    BDII_PORT=${BDII_PORT:-2170}        variables with a value of the package's own
services/<node>             BDII_REGIONS=                       variables that a site may set, with examples
node-info.d/<node>          BDII_top_FUNCTIONS="config_x"       node types
any of them                 cat ... $BDII_LOG_DIR ...           variables that are read, whoever sets them
```

Packages have them below `opt/glite/yaim/`, sources below `config/`: the folder names count, whatever
stands before. The files come out of packages, so they may be anything: they are read as text, with limits,
and never evaluated.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest

from pps.domain.base.errors import PackageError
from pps.domain.base.texts import one_line
from pps.domain.packages.shell_reads import SITE_NAME, for_each, reads, resolved
from pps.domain.packages.shell_text import commands
from pps.domain.packages.yaim_names import is_nobodys_to_set

#: Limits of one tree. The largest YAIM module that we know has 120 files, 600 kB and 700 variables.
FILE_BYTES_AT_MOST = 1 << 19
TREE_BYTES_AT_MOST = 8 << 20
FILES_AT_MOST = 5000
VARIABLES_AT_MOST = 10_000

_VALUE_LENGTH = 200
# `x=1` in a file is YAIM's own business.
_NAME = SITE_NAME
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\+?=(.*)", re.DOTALL)
_REFERENCE = re.compile(r"\$\{[^}]*\}|\$[A-Za-z_][A-Za-z0-9_]*|\$.")
_FALLBACK = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(:?[-=])(.*)\}", re.DOTALL)
_NODE = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,127})_FUNCTIONS")
# with a dot it is a program's or a document's name: services/foo.py, services/README.txt
_PLAIN_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}(?:[.][0-9]+)*")
_FUNCTION_FILE = re.compile(_PLAIN_FILE.pattern + r"(?:[.](?:ba)?sh)?")
_DECLARATIONS = ("export", "declare", "typeset", "readonly")


class VariableRole(StrEnum):
    """What a file of YAIM tells, by its folder."""

    FUNCTIONS = "functions"
    DEFAULTS = "defaults"
    SERVICES = "services"
    NODES = "node-info.d"


def role_of(path: str) -> VariableRole | None:
    """The role of a file by its path; None if it is not a YAIM file that we read."""
    *folders, name = path.split("/")
    parent = folders[-1] if folders else ""
    if parent == VariableRole.DEFAULTS and name.endswith((".pre", ".post")):
        return VariableRole.DEFAULTS
    if parent in (VariableRole.SERVICES, VariableRole.NODES) and _PLAIN_FILE.fullmatch(name):
        return VariableRole(parent)
    if VariableRole.FUNCTIONS in folders[-2:] and _FUNCTION_FILE.fullmatch(
        name
    ):  # also functions/utils, local, pre, post
        return VariableRole.FUNCTIONS
    return None


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable, with the files that speak of it."""

    name: str
    """as in the file; `*` stands for what only bash would know: VO_*_SW_DIR"""
    required: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    """file -> value, as it stands there; several values of one file are joined with ` or `"""
    documented: tuple[str, ...] = ()

    @property
    def default(self) -> str | None:
        """The first value that is not empty."""
        return next((value for _, value in sorted(self.defaults.items()) if value), None)

    @property
    def file(self) -> str:
        """The file that says most about it."""
        return next(iter((*self.required, *sorted(self.defaults), *self.documented)), "")


@dataclass(frozen=True, slots=True)
class YaimTree:
    """All that the files of a version say."""

    variables: Mapping[str, Variable] = field(default_factory=dict)
    nodes: Mapping[str, str] = field(default_factory=dict)
    """node type -> file"""
    read_in: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """variable that a file reads and has not set itself -> the first file and line"""

    @classmethod
    def read(cls, files: Mapping[str, str]) -> YaimTree:
        """Read files (path -> text); those that are not YAIM's are passed over.

        Raises:
            PackageError: there is more than any version of YAIM would have.
        """
        ours = {path: role for path in sorted(files) if (role := role_of(path))}
        _check_sizes(files, ours)
        required: dict[str, set[str]] = {}
        documented: dict[str, set[str]] = {}
        defaults: dict[str, dict[str, list[str]]] = {}
        nodes: dict[str, str] = {}
        texts = {path: reads(files[path]) for path in ours}
        read = resolved(texts)
        if len(read) > VARIABLES_AT_MOST:
            raise _too_much("the packages", f"read more than {VARIABLES_AT_MOST} variables")
        for path, role in ours.items():
            if role is VariableRole.FUNCTIONS:
                for name in _required(files[path], texts[path].demanded):
                    required.setdefault(name, set()).add(path)
                continue
            for words in commands(files[path]):
                for name, value in _assigned(words):
                    if role is VariableRole.NODES and (node := _NODE.fullmatch(name)):
                        nodes.setdefault(node[1], path)
                    elif role is VariableRole.SERVICES and _NAME.fullmatch(name):
                        documented.setdefault(name, set()).add(path)
                    elif role is VariableRole.DEFAULTS and _NAME.fullmatch(name):
                        values = defaults.setdefault(name, {}).setdefault(path, [])
                        if (plain := _default_value(name, value)) not in values:
                            values.append(plain)
            if len(required) + len(documented) + len(defaults) + len(nodes) > VARIABLES_AT_MOST:
                raise _too_much(path, f"brings the number of variables above {VARIABLES_AT_MOST}")
        return cls(
            {
                name: Variable(
                    name,
                    tuple(sorted(required.get(name, ()))),
                    {path: _short(" or ".join(values)) for path, values in defaults.get(name, {}).items()},
                    tuple(sorted(documented.get(name, ()))),
                )
                for name in sorted({*required, *defaults, *documented})
            },
            nodes,
            {name: place for name, place in read.items() if not is_nobodys_to_set(name)},
        )


def _check_sizes(files: Mapping[str, str], ours: Mapping[str, VariableRole]) -> None:
    if len(ours) > FILES_AT_MOST:
        raise _too_much("the packages", f"have {len(ours)} YAIM files; {FILES_AT_MOST} are allowed")
    for path in ours:
        if len(files[path]) > FILE_BYTES_AT_MOST:
            raise _too_much(path, f"has {len(files[path])} characters; {FILE_BYTES_AT_MOST} are allowed")
    if (total := sum(len(files[path]) for path in ours)) > TREE_BYTES_AT_MOST:
        raise _too_much("the packages", f"have {total} characters of YAIM files; {TREE_BYTES_AT_MOST} are allowed")


def _too_much(what: str, why: str) -> PackageError:
    return PackageError(f"configuration, {one_line(what, 120)}", f"{why}.", "Ask the provider of the packages.")


def _required(text: str, demanded: Iterable[str]) -> Iterator[str]:
    """`requires $1 A B`: A and B. Of a name that is put together only the fixed parts are known.

    YAIM's `requires` splits its arguments, and takes VO__SW_DIR for VO_<each VO>_SW_DIR. `${A:?}` says the same.
    """
    yield from (name for name in demanded if not is_nobodys_to_set(name))
    for words in commands(text):
        for word in " ".join(words[1:]).split() if words[0] == "requires" else ():
            name = for_each(_REFERENCE.sub("*", word))
            if _NAME.fullmatch(name):
                yield name


def _assigned(words: list[str]) -> Iterator[tuple[str, str]]:
    """The assignments of a command: `A=1 B=2`, `export A=1`, `: ${A:=1}`."""
    if words[0] == ":":
        for word in words[1:]:
            if (match := _FALLBACK.fullmatch(word)) and match[2].endswith("="):
                yield match[1], word
        return
    rest = [w for w in words[1:] if not w.startswith("-")] if words[0] in _DECLARATIONS else words
    matches = [_ASSIGNMENT.fullmatch(word) for word in rest]
    if words[0] not in _DECLARATIONS and not all(matches):
        return  # `A=1 command` sets A for that command alone
    for match in matches:
        if match:
            yield match[1], match[2]


def _default_value(name: str, value: str) -> str:
    """The value that a variable gets if the site does not set it; `${NAME:-value}` says the same in other words."""
    match = _FALLBACK.fullmatch(value)
    if match is None or match[1] != name:
        return "" if value in (f"${name}", f"${{{name}}}") else value.strip()
    inner = match[3].strip()
    quote = inner[:1]
    if len(inner) > 1 and quote in ("'", '"') and inner.endswith(quote) and quote not in inner[1:-1]:
        return inner[1:-1]
    return inner


def _short(value: str) -> str:
    """The value if it is short, else its beginning and its digest: two long ones differ if they differ anywhere."""
    if len(value) <= _VALUE_LENGTH:
        return value
    digest = hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{value[: _VALUE_LENGTH - 30]}… (sha256 {digest})"


# --- comparison ------------------------------------------------------------------------------


class ChangeKind(StrEnum):
    """How a variable or node type differs from the version in production. Stored: never rename, only add."""

    NEW_MANDATORY = "new mandatory without default"
    NEW_MANDATORY_WITH_DEFAULT = "new mandatory with default"
    NEW_OPTIONAL = "new optional"
    CHANGED_DEFAULT = "changed default"
    BECAME_MANDATORY = "became mandatory"
    BECAME_OPTIONAL = "became optional"
    DROPPED = "dropped"
    NEW_NODE = "new node type"
    DROPPED_NODE = "dropped node type"
    PERHAPS_NEW = "perhaps new"


_SENTENCES: Mapping[ChangeKind, str] = {
    ChangeKind.NEW_MANDATORY: "Variable {name} is new, mandatory, and has no default",
    ChangeKind.NEW_MANDATORY_WITH_DEFAULT: 'Variable {name} is new and mandatory; its default is "{after}"',
    ChangeKind.NEW_OPTIONAL: "Variable {name} is new and optional",
    ChangeKind.BECAME_MANDATORY: "Variable {name} has become mandatory",
    ChangeKind.BECAME_OPTIONAL: "Variable {name} is no longer mandatory",
    ChangeKind.DROPPED: "Variable {name} is no longer used",
    ChangeKind.NEW_NODE: "Node type {name} is new",
    ChangeKind.DROPPED_NODE: "Node type {name} is no longer there",
    ChangeKind.PERHAPS_NEW: "Variable {name} is perhaps new: it is read, but neither required, documented nor preset",
}


@dataclass(frozen=True, slots=True, order=True)
class YaimChange:
    """One difference between two versions."""

    name: str
    """of the variable or node type"""
    kind: ChangeKind
    file: str
    """the file that says so: of the update, or of production for what is gone"""
    before: str | None = None
    """default in production; None: it has none"""
    after: str | None = None
    """default in the update"""
    line: int | None = None
    """of the file, where it is one line that says so"""

    @property
    def place(self) -> str:
        """The file, with its line where there is one."""
        return one_line(self.file) if self.line is None else f"{one_line(self.file)}:{self.line}"

    @property
    def sentence(self) -> str:
        """The difference, for people."""
        return f"{self._what()} ({self.place})."

    def _what(self) -> str:
        before, after = one_line(self.before or ""), one_line(self.after or "")
        if self.kind is ChangeKind.CHANGED_DEFAULT:
            if self.before is None:
                return f'Variable {self.name} has got a default, "{after}"'
            if self.after is None:
                return f'Variable {self.name} has lost its default, "{before}"'
            return f'The default of variable {self.name} changes from "{before}" to "{after}"'
        text = _SENTENCES[self.kind].format(name=self.name, after=after)
        if self.kind is ChangeKind.BECAME_MANDATORY:
            text += f', with default "{after}"' if self.after else ", without a default"
        return text


def compare(production: YaimTree, update: YaimTree) -> tuple[YaimChange, ...]:
    """What a site that runs `production` meets when it gets `update`, sorted by name."""
    changes: list[YaimChange] = []
    for name in {*production.variables, *update.variables}:
        old, new = production.variables.get(name), update.variables.get(name)
        if old is None and new is not None:
            changes.append(YaimChange(name, _kind_of_new(new), new.file, None, new.default))
        elif new is None and old is not None:
            changes += _no_longer_said(old, update.read_in.get(name))
        elif old is not None and new is not None:
            changes += _differences(old, new)
    # Only the same name is known: STORM_*_TOKEN in production says nothing of a STORM_BE_XMLRPC_TOKEN.
    known = {*update.variables, *production.variables, *production.read_in}
    for name, (file, line) in update.read_in.items():
        if name not in known:
            changes.append(YaimChange(name, ChangeKind.PERHAPS_NEW, file, line=line))
    for node in production.nodes.keys() - update.nodes.keys():
        changes.append(YaimChange(node, ChangeKind.DROPPED_NODE, production.nodes[node]))
    for node in update.nodes.keys() - production.nodes.keys():
        changes.append(YaimChange(node, ChangeKind.NEW_NODE, update.nodes[node]))
    return tuple(sorted(changes, key=lambda c: (c.name, c.kind, c.file, c.before or "", c.after or "")))


def _kind_of_new(variable: Variable) -> ChangeKind:
    if not variable.required:
        return ChangeKind.NEW_OPTIONAL
    return ChangeKind.NEW_MANDATORY_WITH_DEFAULT if variable.default else ChangeKind.NEW_MANDATORY


def _no_longer_said(old: Variable, read: tuple[str, int] | None) -> Iterable[YaimChange]:
    """Nothing requires, presets or documents a variable any more. It is not gone where a file still reads it."""
    if read is None:
        yield YaimChange(old.name, ChangeKind.DROPPED, old.file, old.default, None)
    elif old.default is not None:
        yield YaimChange(old.name, ChangeKind.CHANGED_DEFAULT, read[0], old.default, None, read[1])
    elif old.required:
        yield YaimChange(old.name, ChangeKind.BECAME_OPTIONAL, read[0], None, None, read[1])


def _differences(old: Variable, new: Variable) -> Iterable[YaimChange]:
    if new.required and not old.required:
        yield YaimChange(new.name, ChangeKind.BECAME_MANDATORY, new.required[0], old.default, new.default)
    elif old.required and not new.required:
        yield YaimChange(new.name, ChangeKind.BECAME_OPTIONAL, old.required[0], old.default, new.default)
    before, after = _by_place(old), _by_place(new)
    for place in sorted(before.keys() & after.keys()):
        if before[place].value != after[place].value:
            yield _changed_default(new.name, before[place], after[place])
    gone = [before[place] for place in sorted(before.keys() - after.keys())]
    come = [after[place] for place in sorted(after.keys() - before.keys())]
    # a default that moved to another file, or stands in a further one, is the same default
    left = [d for d in gone if d.value not in {a.value for a in after.values()}]
    added = [d for d in come if d.value not in {b.value for b in before.values()}]
    for one, other in zip_longest(left, added):
        yield _changed_default(new.name, one, other)


@dataclass(frozen=True, slots=True)
class _Default:
    file: str
    value: str


def _by_place(variable: Variable) -> dict[str, _Default]:
    """`defaults/<node>.pre` -> default: two layouts of the same files are compared by their last folders."""
    found: dict[str, _Default] = {}
    for file, value in sorted(variable.defaults.items()):
        place = "/".join(file.split("/")[-2:])
        other = found.get(place)
        if value and (other is None or other.value == value):
            found[place] = _Default(file, value)
        elif value and other is not None:
            found[place] = _Default(file, f"{other.value} or {value}")
    return found


def _changed_default(name: str, before: _Default | None, after: _Default | None) -> YaimChange:
    file = after.file if after else before.file if before else ""
    return YaimChange(
        name, ChangeKind.CHANGED_DEFAULT, file, before.value if before else None, after.value if after else None
    )
