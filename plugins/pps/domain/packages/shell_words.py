"""The words of a bash text: quotes, expansions, substitutions, arithmetic. `shell_syntax` makes commands of them.

The text comes out of packages, so it may be anything: each character is passed once, nesting has a limit. Where a
text cannot be bash, or not bash as we understand it, `sound` says so: then the caller must not trust the rest.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

DEEPEST = 60
_RUN = re.compile(r"[A-Za-z0-9_./:,+%^\]~{}-]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[0-9][A-Za-z0-9_#@]*")
_SPECIAL = re.compile(r"[0-9]+|[@*#?$!-]")
_SETS = re.compile(r"\[[^]=\n]{0,80}\]|\s*(?P<op>[-+*/%&|^]|<<|>>)?=(?!=)")
_ARRAY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_ANSI = re.compile(r"(?:[^'\\]|\\.)*", re.DOTALL)
_INDIRECT = re.compile(r"![A-Za-z_0-9]")
_LENGTH = re.compile(r"#[A-Za-z_0-9@*]")
_SUBSTRING = re.compile(r":[^-=+?}]")
#: Characters that end a word.
METACHARACTERS = frozenset(" \t\r\n;&|<>()")


@dataclass(slots=True)
class Word:
    """A word of a command: quotes removed, `*` for each expansion."""

    plain: str
    at: int
    quoted: bool = False
    items: list[Word] = field(default_factory=list)
    """of an array: NAME=(...)"""


class Words(ABC):
    """Reads words and what is in them; a subclass says in the last methods what to do with them."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.end = text, 0, len(text)
        self.sound = True
        self._depth = 0
        self._in_backticks = False

    def _comment(self, closer: str) -> None:
        end = self._line_end()
        if closer == "`" and (tick := self.text.find("`", self.at, end)) >= 0:
            end = tick
        self.at = end

    def _line_end(self) -> int:
        found = self.text.find("\n", self.at, self.end)
        return found if found >= 0 else self.end

    def _word(self) -> Word:
        """A word; always at least one character."""
        text, start, parts = self.text, self.at, list[str]()
        word = Word("", start)
        while self.at < self.end:
            char = text[self.at]
            if char in METACHARACTERS:
                if char == "(" and parts and parts[-1][-1:] in ("=", "@", "?", "+", "*", "!"):
                    self.at += 1
                    items = self._words(")")
                    if len(parts) < 4 and _ARRAY.fullmatch("".join(parts)):
                        word.items = items
                    else:
                        parts.append("*")
                    continue
                break
            if char == "`" and self._in_backticks:
                break
            if char == "'":
                close = text.find("'", self.at + 1, self.end)
                self.sound = self.sound and close >= 0
                close = close if close >= 0 else self.end
                parts.append(text[self.at + 1 : close])
                word.quoted, self.at = True, close + 1
            elif char == '"':
                self.at += 1
                word.quoted = True
                self._double('"', parts)
            elif char == "\\":
                self._backslash(parts, outside=True)
                word.quoted = True
            elif char == "$":
                self._dollar(parts, inside=False)
            elif char == "`":
                self._backticks(parts)
            else:
                self._run(parts)
        self.at = max(self.at, start + 1)
        word.plain = "".join(parts)
        return word

    def _words(self, closer: str) -> list[Word]:
        """The words of an array or of a pattern in parentheses."""
        found: list[Word] = []
        self._depth += 1
        if self._depth > DEEPEST:
            self.sound, self.at = False, self.end
        while self.at < self.end:
            char = self.text[self.at]
            if char == closer:
                self.at += 1
                break
            if char == "(":
                self.at += 1
                self._words(")")
            elif char in METACHARACTERS:
                self.at += 1
            elif char == "#":
                self._comment("")
            else:
                found.append(self._word())
        else:
            self.sound = False
        self._depth -= 1
        return found

    def _run(self, parts: list[str]) -> None:
        plain = _RUN.match(self.text, self.at, self.end)
        parts.append(plain[0] if plain else self.text[self.at])
        self.at += len(parts[-1])

    def _backslash(self, parts: list[str], *, outside: bool) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if self._in_backticks and following == "$":
            self.at += 1  # inside `...` it is an expansion all the same
            self._dollar(parts, inside=not outside)
            return
        if following != "\n":
            parts.append(following if outside or following in '$`"\\' else "\\" + following)
        self.at += 2

    def _backticks(self, parts: list[str]) -> None:
        if self._in_backticks:
            self.sound = False
            self.at += 1
            return
        self.at += 1
        parts.append("*")
        self._in_backticks = True
        self.enter("")
        self.code("`")
        self.leave()
        self._in_backticks = False

    def _double(self, closer: str, parts: list[str]) -> None:
        """Text as in double quotes, up to the closing quote; a here-document ends with `end`."""
        while self.at < self.end:
            char = self.text[self.at]
            if char == closer:
                self.at += 1
                return
            if char == "\\":
                self._backslash(parts, outside=False)
            elif char == "$":
                self._dollar(parts, inside=True)
            elif char == "`":
                self._backticks(parts)
            else:
                self._run(parts)
        self.sound = self.sound and not closer

    # --- expansions --------------------------------------------------------------------------------

    def _dollar(self, parts: list[str], *, inside: bool) -> None:
        """What a `$` begins; in the word it leaves a `*`."""
        text, at = self.text, self.at
        parts.append("*")
        if text.startswith("$((", at):
            self.at += 3
            self._arithmetic("))")
        elif text.startswith("$(", at):
            self.at += 2
            ticks, self._in_backticks = self._in_backticks, False
            self.enter("")
            self.code(")")
            self.leave()
            self._in_backticks = ticks
        elif text.startswith("${", at):
            self.at += 2
            self._parameter(inside=inside)
        elif text.startswith("$[", at):
            self.at += 2
            self._arithmetic("]")
        elif text.startswith("$'", at) and not inside:
            close = _ANSI.match(text, at + 2, self.end)
            self.at = (close.end() if close else at + 2) + 1
            self.sound = self.sound and self.at <= self.end
        elif name := _NAME.match(text, at + 1, self.end):
            self.read(name[0], at)
            self.at = name.end()
        else:
            special = _SPECIAL.match(text, at + 1, self.end)
            self.at = at + 1 + (1 if special else 0)
            if not special:
                parts[-1] = "$"

    def _parameter(self, *, inside: bool) -> None:
        """`${...}`, after its brace."""
        text, start = self.text, self.at
        self._depth += 1
        if self._depth > DEEPEST:
            self.sound, self.at = False, self.end
        indirect = bool(_INDIRECT.match(text, self.at, self.end))
        if indirect or _LENGTH.match(text, self.at, self.end):
            self.at += 1
        name = _NAME.match(text, self.at, self.end)
        special = None if name else _SPECIAL.match(text, self.at, self.end)
        self.at = name.end() if name else special.end() if special else self.at
        if name and indirect and text.startswith(("*}", "@}"), self.at):
            self.read(f"{name[0]}*", start)  # the names that begin with it
        elif name:
            self.read(name[0], start)
        if indirect:
            self.indirect()
        if text.startswith("[", self.at):
            self.at += 1
            self._arithmetic("]")
        if name and text.startswith((":=", "="), self.at):
            self.assign(name[0])
        elif name and not indirect and text.startswith((":?", "?"), self.at):
            self.demand(name[0], start)
        if _SUBSTRING.match(text, self.at, self.end):
            self._arithmetic("}")
        else:
            self._to_brace(inside=inside)
        self._depth -= 1

    def _to_brace(self, *, inside: bool) -> None:
        text = self.text
        while self.at < self.end:
            char = text[self.at]
            if char == "}":
                self.at += 1
                return
            if char == "'" and not inside:
                close = text.find("'", self.at + 1, self.end)
                self.sound = self.sound and close >= 0
                self.at = close + 1 if close >= 0 else self.end
            elif char == '"':
                self.at += 1
                self._double('"', [])
            elif char == "\\":
                self._backslash([], outside=not inside)
            elif char == "$":
                self._dollar([], inside=inside)
            elif char == "`":
                self._backticks([])
            else:
                self.at += 1
        self.sound = False

    def _arithmetic(self, closer: str) -> None:
        """Names are variables here, without a `$`."""
        text, open_ = self.text, 0
        later: list[str] = []
        self._depth += 1
        if self._depth > DEEPEST:
            self.sound, self.at = False, self.end
        while self.at < self.end:
            char = text[self.at]
            if not open_ and text.startswith(closer, self.at):
                self.at += len(closer)
                break
            if name := _NAME.match(text, self.at, self.end):
                self.at = name.end()
                sets = _SETS.match(text, self.at, self.end)
                if sets is None or sets["op"] or sets[0].startswith("["):
                    self.read(name[0], name.start())
                if sets is not None and not sets[0].startswith("["):
                    later.append(name[0])
            elif number := _NUMBER.match(text, self.at, self.end):
                self.at = number.end()
            elif char == "$":
                self._dollar([], inside=True)
            elif char == "`":
                self._backticks([])
            else:
                open_ += (char in "([") - (char in ")]")
                self.at += 2 if char == "\\" else 1
        else:
            self.sound = False
        self._depth -= 1
        for name_ in later:
            self.assign(name_)

    # --- what is met -----------------------------------------------------------------------------

    @abstractmethod
    def read(self, name: str, at: int) -> None:
        """A variable is read."""

    @abstractmethod
    def demand(self, name: str, at: int) -> None:
        """The text ends if this variable, which it has just read, is not set."""

    @abstractmethod
    def assign(self, name: str) -> None:
        """A variable gets a value."""

    @abstractmethod
    def indirect(self) -> None:
        """A variable is read by a name that stands in another one."""

    @abstractmethod
    def command(self, words: list[Word]) -> None:
        """A simple command has been read."""

    @abstractmethod
    def code_text(self, text: str, at: int) -> None:
        """A text is handed to another shell, or to eval."""

    @abstractmethod
    def here_text(self, text: str, at: int) -> None:
        """A here-document has been read."""

    @abstractmethod
    def code(self, closer: str) -> None:
        """Go through commands, up to and with the closing character."""

    @abstractmethod
    def enter(self, function: str) -> None:
        """A function begins, or a subshell if it has no name."""

    @abstractmethod
    def leave(self) -> None:
        """What was entered last has ended."""
