"""Which variables a bash text reads without having set them itself: a site may have to set these.

Read means any way that bash knows: `$X`, `${X:-y}`, arithmetic, here-documents, `test -v X`, `export X`, and by its
name: `${!name}`, `eval "\\$$name"`, `requires $name`, or a function of another file that is given the name. Set means:
assigned, declared, read or looped over earlier in the same file; `local` counts in its function only, and what a
subshell sets is gone after it.

What cannot be followed is not left out: too much is found then, not too little.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from pps.domain.packages.shell_syntax import Syntax
from pps.domain.packages.shell_words import Word

# A variable that sites set begins with a capital letter; `*` stands for what only bash would know.
SITE_NAME = re.compile(r"(?=.{0,127}[A-Z])[A-Z_*][A-Za-z0-9_*]{0,127}")
# A word that may be the name of one: VO_*_SW_DIR, BDII, but not Plain or Tomcat.
_NAME_ALONE = re.compile(r"[A-Z_*][A-Z0-9_*]+|[A-Z][A-Za-z0-9*]*_[A-Za-z0-9_*]*")
_LONGEST = 128
_ASSIGNMENT = re.compile(r"([A-Za-z_*][A-Za-z0-9_*]*)(?:\[[^]]*\])?(\+?)=(.*)", re.DOTALL)
_NAMES = re.compile(r"[A-Za-z_*][A-Za-z0-9_*]*")
_IN_CODE = re.compile(r"\$\{?[!#]?([A-Za-z_*][A-Za-z0-9_*]*)")
_SET_IN_CODE = re.compile(r"(?:^|[\s;&|(])([A-Za-z_*][A-Za-z0-9_*]*)\+?=")
_IN_PROGRAMS = re.compile(
    r"""\$ENV\{\s*['"]?([A-Z]\w*)|\bENV(?:IRON)?(?:\.fetch)?[\[(]\s*\\?["']([A-Z]\w*)"""  # perl, awk, ruby
    r"""|\benviron(?:\.\w+)?\s*[\[(]\s*["']([A-Z]\w*)|\bgetenv\s*\(\s*["']([A-Z]\w*)"""  # python, php
    r"""|["']([A-Z]\w*)["']\s+(?:not\s+)?in\s+(?:os\.)?environ\b|\$(?:::)?env\(([A-Z]\w*)\)"""  # python, tcl
    r"""|\b(?:env|set|printenv|export|declare)(?: -\w+)?\s*\|\s*\w*grep\b[^|\n]{0,80}?\b([A-Z]\w*)="""
)
_ANYWHERE = re.compile(
    r"\$\{?[!#]?([A-Za-z_][A-Za-z0-9_]*)|(?<![\w$-])-v[ \t]+[\"']?([A-Z]\w*)|\brequires[ \t]+([A-Z]\w*)"
)
_SET_ANYWHERE = re.compile(r"(?:^|[\s;&|(])([A-Za-z_][A-Za-z0-9_]*)\+?=|\bfor[ \t]+([A-Za-z_]\w*)[ \t]+in\b")
_DECLARATIONS = frozenset(("export", "readonly", "declare", "typeset", "local"))
_WRAPPERS = frozenset(("command", "builtin", "exec", "sudo", "nohup", "env", "nice"))
_RUNS_CODE = frozenset(("eval", "trap", "alias"))
_SHELLS = frozenset(("sh", "bash", "dash", "ksh", "su", "runuser", "ssh"))
#: YAIM's helpers that are given the last part of the name of a VO's variable.
_OF_EACH_VO = frozenset(("vo_param", "get_vo_param"))
_COMPARES = frozenset(("-eq", "-ne", "-lt", "-le", "-gt", "-ge"))
_READ_OPTIONS = re.compile(r"-[A-Za-z]*[pdnNtui]")


@dataclass
class Reads:
    """What one text reads; names with the line in which they stand first."""

    names: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    """what looks like a variable's name among its words; they count where names are passed on"""
    indirect: bool = False
    indirect_functions: set[str] = field(default_factory=set)
    """functions that read a variable whose name they are given"""
    calls: dict[str, dict[str, int]] = field(default_factory=dict)
    """function -> names that it is given"""
    passes: set[tuple[str, str]] = field(default_factory=set)
    """(function or nothing, function that it hands a name on to)"""
    demanded: dict[str, int] = field(default_factory=dict)
    """those of `names` without which the text ends: ${X:?}"""


def reads(text: str) -> Reads:
    """What a text reads."""
    text = text.replace("\r\n", "\n")
    reader = _Reader(text)
    reader.walk()
    reader.take_stored()
    if not reader.sound:
        reader.take_everything()
    reader.take_programs()
    return reader.found


def resolved(texts: Mapping[str, Reads]) -> Mapping[str, tuple[str, int]]:
    """Name -> the first file and line that read it, including names that one file hands to a function of another."""
    known = set[str]().union({"requires"}, *(found.indirect_functions for found in texts.values()))
    passes = set[tuple[str, str]]().union(*(found.passes for found in texts.values()))
    while more := {outer for outer, inner in passes if outer and inner in known and outer not in known}:
        known |= more
    result: dict[str, tuple[str, int]] = {}
    for path, found in sorted(texts.items()):
        names = dict(found.names)
        if found.indirect or any(inner in known for _, inner in found.passes):
            _add(names, found.words.items())
        for function in known & found.calls.keys():
            _add(names, found.calls[function].items())
        for function in _OF_EACH_VO & found.calls.keys():
            _add(names, ((f"VO_*_{name}", line) for name, line in found.calls[function].items()))
        for name, line in names.items():
            result.setdefault(name, (path, line))
    return result


def for_each(name: str) -> str:
    """A name as other commands have it: for YAIM's `requires` an empty part stands for each VO, queue or region."""
    return name.replace("__", "_*_")


def _add(names: dict[str, int], more: Iterable[tuple[str, int]]) -> None:
    for name, line in more:
        names[name] = min(line, names.get(name, line))


def _names_set(command: str, words: list[str]) -> list[str] | None:
    """The variables that a command of bash sets; None if it is not such a command."""
    if command in ("mapfile", "readarray", "unset"):
        return words
    if command == "getopts" or (command == "printf" and words[:1] == ["-v"]):
        return words[1:2]
    if command != "read":
        return None
    names, is_value = list[str](), False
    for word in words:
        if not is_value and not word.startswith("-"):
            names.append(word)
        is_value = not is_value and bool(_READ_OPTIONS.fullmatch(word))
    return names


@dataclass(slots=True)
class _Scope:
    """A file, a subshell (it has no name) or a function, and what it has set."""

    function: str | None
    names: set[str] = field(default_factory=set)


class _Reader(Syntax):
    """Collects while `Syntax` walks."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.found = Reads()
        self._lines = [match.start() for match in re.finditer("\n", text)]
        self._scopes = [_Scope(None)]
        self._ever: set[str] = set()
        self._stored: list[tuple[str, int]] = []
        self._runs_stored = False

    # --- what Syntax meets -------------------------------------------------------------------------

    def read(self, name: str, at: int) -> None:
        name = name[:_LONGEST]
        if SITE_NAME.fullmatch(name) and not self._is_set(name):
            self.found.names.setdefault(name, self._line(at))

    def demand(self, name: str, at: int) -> None:
        if SITE_NAME.fullmatch(name) and not self._is_set(name):
            self.found.demanded.setdefault(name[:_LONGEST], self._line(at))

    def assign(self, name: str) -> None:
        self._ever.add(name)
        for scope in reversed(self._scopes):
            if not scope.function or name in scope.names:
                scope.names.add(name)
                return

    def indirect(self) -> None:
        self.found.indirect = True
        self.found.indirect_functions |= {s.function for s in self._scopes if s.function}

    def enter(self, function: str) -> None:
        self._scopes.append(_Scope(function))

    def leave(self) -> None:
        if len(self._scopes) > 1:
            self._scopes.pop()

    def code_text(self, text: str, at: int) -> None:
        for match in _IN_CODE.finditer(text):
            if "*" in match[1]:
                self.indirect()
            self.read(match[1], at + match.start())
        for match in _SET_IN_CODE.finditer(text):
            self.assign(match[1])
        for match in re.finditer(r"\brequires\s+([\w*\s]+)", text):
            for name in match[1].split():
                self.read(name, at + match.start())

    def here_text(self, text: str, at: int) -> None:
        self._list(text, at)

    def command(self, words: list[Word]) -> None:
        first = next((n for n, word in enumerate(words) if not _ASSIGNMENT.fullmatch(word.plain)), len(words))
        if first == len(words):
            for word in words:
                self._set(word)
            return
        rest = words[first:]
        while len(rest) > 1 and rest[0].plain in _WRAPPERS:
            rest = rest[1:]
            while len(rest) > 1 and (rest[0].plain.startswith("-") or "=" in rest[0].plain):
                rest = rest[1:]
        self._builtin(rest[0].plain.rpartition("/")[2], rest[1:])

    # --- commands ----------------------------------------------------------------------------------

    def _builtin(self, name: str, arguments: list[Word]) -> None:
        plain = [word.plain for word in arguments]
        if name in ("for", "select"):
            for word in arguments[2:]:
                self._literal(word)
            self._assign_all(plain[:1])
        elif name in _DECLARATIONS:
            self._declare(name, arguments)
        elif (names := _names_set(name, plain)) is not None:
            self._assign_all(names)
        elif name in ("let", "printenv"):
            for word in arguments:
                for one in _NAMES.findall(word.plain):
                    self.read(one, word.at)
        elif name in ("test", "[", "[["):
            self._test(name, arguments)
        elif arguments and (name in _RUNS_CODE or name in _SHELLS):
            self._run_text(arguments)
        else:
            self._call(name, arguments)
            # xargs sh -c '...', find ... -exec sh -c '...'
            shell = next((n for n, word in enumerate(plain) if word.rpartition("/")[2] in _SHELLS), len(plain))
            if "-c" in plain[shell:]:
                self._run_text(arguments[shell + 1 :])

    def _run_text(self, arguments: list[Word]) -> None:
        """The text is code; where it expands a variable, the value of that may be code, too."""
        text = " ".join(word.plain for word in arguments)
        self._runs_stored = self._runs_stored or "*" in text
        self.code_text(text, arguments[0].at)

    def _assign_all(self, names: Iterable[str]) -> None:
        for name in names:
            self.assign(name)

    def _call(self, name: str, arguments: list[Word]) -> None:
        if name in ("echo", "printf"):
            for word in arguments:
                self._list(word.plain, word.at)
        if name == "requires":
            arguments = [Word(for_each(one), word.at) for word in arguments for one in word.plain.split()]
        for word in arguments:
            if SITE_NAME.fullmatch(word.plain) and not self._is_set(word.plain) and _NAME_ALONE.fullmatch(word.plain):
                self.found.calls.setdefault(name, {}).setdefault(word.plain, self._line(word.at))
            elif word.plain == "*":
                outer = {s.function for s in self._scopes if s.function} or {""}
                self.found.passes |= {(function, name) for function in outer}
                if name == "requires":
                    self.indirect()

    def _declare(self, name: str, arguments: list[Word]) -> None:
        options = "".join(word.plain for word in arguments if word.plain[:1] in ("-", "+"))
        if "f" in options or "F" in options:
            return
        is_local = name in ("local", "declare", "typeset") and "g" not in options
        for word in arguments:
            match = _ASSIGNMENT.fullmatch(word.plain)
            if match is None and word.plain[:1] in ("-", "+"):
                continue
            if match is None and (name in ("export", "readonly") or any(o in options for o in "xrp")):
                self.read(word.plain, word.at)
                continue
            if match and "n" in options and name != "export":
                self.indirect()
            self._set(word, is_local=is_local)

    def _test(self, name: str, arguments: list[Word]) -> None:
        for word, following in pairwise(arguments):
            if word.plain == "-v":
                self.read(following.plain.partition("[")[0], following.at)
                if "*" in following.plain:
                    self.indirect()
            elif name == "[[" and following.plain in _COMPARES:
                self.read(word.plain, word.at)
            elif name == "[[" and word.plain in _COMPARES:
                self.read(following.plain, following.at)

    def _set(self, word: Word, *, is_local: bool = False) -> None:
        match = _ASSIGNMENT.fullmatch(word.plain)
        name = match[1] if match else word.plain
        if match and match[2]:
            self.read(name, word.at)  # NAME+=more
        if match:
            for value in match[3].replace(",", " ").split():
                self._literal(Word(value, word.at))
            if "$" in match[3]:
                self._stored.append((match[3], word.at))
        for item in word.items:
            self._literal(item)
        scope = next((s for s in reversed(self._scopes) if s.function), None) if is_local else None
        if scope is None:
            self.assign(name)
        else:
            scope.names.add(name)
            self._ever.add(name)

    def _list(self, text: str, at: int) -> None:
        """A text of nothing but variables' names may be read word by word."""
        names = text.split()
        if all(map(_NAME_ALONE.fullmatch, names)):
            for name in names:
                self._literal(Word(name, at))

    def _literal(self, word: Word) -> None:
        if SITE_NAME.fullmatch(word.plain) and _NAME_ALONE.fullmatch(word.plain) and not self._is_set(word.plain):
            self.found.words.setdefault(word.plain, self._line(word.at))

    # --- what cannot be walked through ---------------------------------------------------------------

    def take_stored(self) -> None:
        """Values that are code, if something runs one: CMD='echo $X'; eval $CMD."""
        for text, at in self._stored if self._runs_stored else ():
            self.code_text(text, at)

    def take_programs(self) -> None:
        """What programs inside the text take from their environment."""
        for match in _IN_PROGRAMS.finditer(self.text):
            name = next(group for group in match.groups() if group)
            line = self.text.rfind("\n", 0, match.start()) + 1
            if name not in self._ever and not self.text[line : match.start()].lstrip().startswith("#"):
                self.found.names.setdefault(name[:_LONGEST], self._line(match.start()))

    def take_everything(self) -> None:
        """The text could not be followed: whatever looks like an expansion is one, unless it has been set before."""
        set_at: dict[str, int] = {}
        for match in _SET_ANYWHERE.finditer(self.text):
            set_at.setdefault(match[1] or match[2], match.start())
        self.found.names.clear()
        for match in _ANYWHERE.finditer(self.text):
            name = next(group for group in match.groups() if group)[:_LONGEST]
            if SITE_NAME.fullmatch(name) and set_at.get(name, match.start()) >= match.start():
                self.found.names.setdefault(name, self._line(match.start()))

    def _is_set(self, name: str) -> bool:
        return any(name in scope.names for scope in self._scopes)

    def _line(self, at: int) -> int:
        return bisect_right(self._lines, at - 1) + 1
