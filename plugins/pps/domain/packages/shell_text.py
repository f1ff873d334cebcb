"""Reads bash as text, to the extent that YAIM's files need: commands and their words. Nothing is ever evaluated.

The text comes out of packages, so it may be anything: every character is looked at once (twice, if its quotes do
not end), there is no recursion, and whatever is not understood is a word like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_DEEPEST = 50
#: Here-documents without an end that a file may begin; each costs a search.
_ENDLESS_AT_MOST = 100
_HEREDOC = re.compile(r"<<-?[ \t]*(['\"\\]?)([A-Za-z_][A-Za-z0-9_]*)['\"]?")
_OPERATORS = frozenset(";&|()<>\n")
_PLAIN = re.compile(r"[A-Za-z0-9_./:=,+@%^*\[\]!?~-]+")
#: Words after which the next one is a command again.
_BEFORE_COMMANDS = frozenset(("if", "then", "elif", "else", "do", "while", "until", "!", "{", "time"))
_BEGIN = frozenset(("if", "while", "until", "{", "for", "case", "select"))
_END = frozenset(("fi", "done", "esac", "}"))


@dataclass(slots=True)
class _Scanner:
    """One pass over a text."""

    text: str
    lines_end_quotes: bool
    """whether a quote that is open at the end of its line ends there"""
    at: int = 0
    word: list[str] = field(default_factory=list)
    in_word: bool = False
    words: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    """what must come to close the quotes and brackets that are open, innermost last"""
    heredocs: list[str] = field(default_factory=list)
    endless: int = 0
    blocks: int = 0
    """what may not be run at all, or several times: conditions, loops, functions"""
    brackets: int = 0
    """subshells, as ( )"""
    guarded: bool = False
    """after && or ||, or in a pipe"""
    sure: bool = True
    """whether the last command is run in any case, once, and by this very shell"""

    def commands(self) -> Iterator[list[str]]:
        text, end = self.text, len(self.text)
        while self.at < end:
            char = text[self.at]
            if self.open and not (char == "\n" and self.lines_end_quotes):
                self._inside(char)
            elif char == "\\":
                self._escaped()
            elif char in " \t\r":
                self._end_word()
                self.at += 1
            elif char == "#" and not self.in_word:
                self.at = _line_end(text, self.at)
            elif char == "(" and self.word and self.word[-1].endswith("="):
                self._push("(", ")")  # an array
            elif char in _OPERATORS:
                self.open.clear()
                yield from self._end_command()
                self._operator(char)
            else:
                self._begin(char)
        yield from self._end_command()

    def _end_word(self) -> None:
        if self.in_word:
            self.words.append("".join(self.word))
        self.word, self.in_word = [], False

    def _end_command(self) -> Iterator[list[str]]:
        self._end_word()
        words, self.words = self.words, []
        first = next((n for n, word in enumerate(words) if word not in _BEFORE_COMMANDS), len(words))
        self.blocks += sum(word in _BEGIN for word in words[: first + 1]) + (words[:1] == ["function"])
        if words[first:]:
            self.blocks = max(0, self.blocks - (words[first] in _END))
            self.sure = not (self.blocks or self.brackets or self.guarded)
            yield words[first:]
            self.guarded = False

    def _add(self, text: str) -> None:
        self.word.append(text)
        self.in_word = True

    def _push(self, text: str, closing: str, *, keep: bool = True) -> None:
        self.in_word = True
        if keep:
            self.word.append(text)
        if len(self.open) < _DEEPEST:
            self.open.append(closing)
        self.at += len(text)

    def _escaped(self) -> None:
        """A backslash: the next character is plain, and a newline vanishes."""
        following = self.text[self.at + 1 : self.at + 2]
        if following != "\n":
            self._add(following)
        self.at += 2

    def _begin(self, char: str) -> None:
        """A character of a word outside quotes."""
        two = self.text[self.at : self.at + 2]
        if char in "'\"":
            self._push(char, char, keep=False)
        elif two == "${":
            self._push(two, "}")
        elif two == "$(":
            self._push(two, ")")
        elif char == "`":
            self._push(char, char)
        else:
            self._plain(char)

    def _inside(self, char: str) -> None:
        """A character inside quotes or brackets. The outermost quotes are dropped, all others kept."""
        closing = self.open[-1]
        outermost = len(self.open) == 1
        two = self.text[self.at : self.at + 2]
        if char == closing:
            self.open.pop()
            if not (outermost and char in "'\""):
                self._add(char)
            self.at += 1
        elif closing == "'":
            end = self.text.find("'", self.at)
            stop = end if end >= 0 else len(self.text)
            if self.lines_end_quotes:
                stop = min(stop, _line_end(self.text, self.at))
            self._add(self.text[self.at : stop])
            self.at = stop
        elif char == "\\":
            self._add(two if two != "\\\n" else "")
            self.at += 2
        elif two == "${":
            self._push(two, "}")
        elif two == "$(":
            self._push(two, ")")
        elif self._opens_quotes(char, closing):
            self._push(char, char)
        elif closing == ")" and char == "(":
            self._push(char, ")")
        else:
            self._plain(char)

    def _opens_quotes(self, char: str, closing: str) -> bool:
        if char == "`":
            return "`" not in self.open
        return closing in ")}`" and (char == '"' or (char == "'" and '"' not in self.open))

    def _plain(self, char: str) -> None:
        plain = _PLAIN.match(self.text, self.at)
        self._add(plain[0] if plain else char)
        self.at += len(plain[0]) if plain else 1

    def _operator(self, char: str) -> None:
        text = self.text
        heredoc = _HEREDOC.match(text, self.at) if char == "<" else None
        if heredoc is not None:
            self.heredocs.append(heredoc[2])
            self.at = heredoc.end()
        elif char == "<" and text.startswith("<<<", self.at):
            self.at += 3
        else:
            self.at += 1
            if char in "&|":
                self.guarded = True
            elif char in "()":
                self.brackets = max(0, self.brackets + (1 if char == "(" else -1))
            if char == "\n":
                self._skip_heredocs()

    def _skip_heredocs(self) -> None:
        delimiters, self.heredocs = self.heredocs, []
        for delimiter in delimiters:
            if self.endless > _ENDLESS_AT_MOST:
                return
            end = re.compile(rf"^\t*{delimiter}[ \t]*$", re.MULTILINE).search(self.text, self.at)
            if end is not None:
                self.at = end.end()
            else:  # 1<<X in arithmetic looks alike, but nothing ends it
                self.endless += 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return end if end >= 0 else len(text)


def commands(text: str) -> list[list[str]]:
    """The simple commands of a bash text, each as its words, outermost quotes removed.

    Comments and here-documents are left out; reserved words before a command (`then`, `{`, ...) too. If a quote
    does not end, the text is read again as if every quote ended with its line: too much is found then, not too little.
    """
    return [words for words, _ in sure_commands(text)]


def sure_commands(text: str) -> list[tuple[list[str], bool]]:
    """Like `commands`; each with whether it is run in any case, once, and by the shell of the text itself."""
    text = text.replace("\r\n", "\n")
    scanner = _Scanner(text, lines_end_quotes=False)
    found = [(words, scanner.sure) for words in scanner.commands()]
    if scanner.open:
        scanner = _Scanner(text, lines_end_quotes=True)
        found = [(words, scanner.sure) for words in scanner.commands()]
    return found
