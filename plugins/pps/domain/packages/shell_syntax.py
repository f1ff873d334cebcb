"""Walks through a bash text and tells what it meets: expansions, commands, functions, subshells. Evaluates nothing.

`shell_text` gives the commands of a file and is enough for assignments. Whoever wants to know which
variables a text *reads* has to look into quotes, here-documents, substitutions and arithmetic, too, and to leave out
what bash leaves alone: comments, single quotes, here-documents whose delimiter is quoted.

The text comes out of packages, so it may be anything: each character is passed once, nesting has a limit. Where a
text cannot be bash, or not bash as we understand it, `sound` says so: then the caller must not trust the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pps.domain.packages.shell_words import DEEPEST, METACHARACTERS, Word, Words

_ENDS = re.compile(r";;&|;;|;&|;")
_NOTHING = re.compile(r"\([ \t]*\)")
_HEREDOC = re.compile(r"<<(-?)(?!<)[ \t]*")
_REDIRECTION = re.compile(r"<<<|<>|<&|>>|>&|>\||[<>]")
_SKIPPED = frozenset(
    ("if", "then", "elif", "else", "fi", "do", "done", "while", "until", "!", "time", "coproc")
)  # reserved words after which, or instead of which, a command stands
_SHELLS = frozenset(("sh", "bash", "dash", "ksh", "su", "runuser", "sudo", "ssh", "source", "."))


@dataclass(slots=True)
class _Level:
    """What is open in one stretch of code: the file, a subshell, a substitution."""

    closer: str
    words: list[Word] = field(default_factory=list)
    braces: list[str] = field(default_factory=list)
    """name of the function that a brace begins; empty for a plain group"""
    cases: list[str] = field(default_factory=list)
    function: str = ""
    """a function whose body has not begun yet"""
    heredocs: list[tuple[str, bool, bool]] = field(default_factory=list)
    """delimiter, whether tabs before it are ignored, whether it is quoted"""
    feeds_a_shell: bool = False


class Syntax(Words):
    """One pass over a text; what it meets is reported through the last methods of `Words`."""

    def walk(self) -> None:
        """Go through the whole text."""
        self.code("")
        self.sound = self.sound and self.at >= self.end

    # --- code ------------------------------------------------------------------------------------

    def code(self, closer: str) -> None:
        """Go through commands, up to and with the closing character."""
        level = _Level(closer)
        self._depth += 1
        if self._depth > DEEPEST:
            self.sound, self.at = False, self.end
        while self.at < self.end and self.sound:
            char = self.text[self.at]
            if char == closer and not (level.cases and level.cases[-1] == "pattern"):
                self._finish(level)
                self.at += 1
                break
            if char in METACHARACTERS:
                self._metacharacter(level, char)
            elif char == "#":
                self._comment(closer)
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            else:
                self._take(level, self._word())
        else:
            self.sound = self.sound and not closer
            self._finish(level)
        self.sound = self.sound and not (level.braces or level.cases or level.heredocs)
        self._depth -= 1

    def _metacharacter(self, level: _Level, char: str) -> None:
        first = level.words[0].plain if level.words else ""
        if char in " \t\r":
            self.at += 1
        elif char == "\n":
            self._finish(level)
            self.at += 1
            self._heredoc_bodies(level)
        elif first == "[[" and level.words[-1].plain != "]]":
            self.at += 1  # an operator or a pattern of the test
        elif char == ";":
            self._finish(level)
            match = _ENDS.match(self.text, self.at)
            self.at = match.end() if match else self.at + 1
            if match and len(match[0]) > 1 and level.cases:
                level.cases[-1] = "pattern"
        elif char == "&" and self.text.startswith("&>", self.at):
            self.at += 1
        elif char in "&|":
            self._finish(level)
            self.at += 1
        elif char in "<>":
            self._redirection(level)
        elif char == "(":
            self._parenthesis(level, first)
        elif level.cases and level.cases[-1] == "pattern":
            level.words.clear()
            level.cases[-1] = "body"
            self.at += 1
        else:
            self.sound = False

    def _parenthesis(self, level: _Level, first: str) -> None:
        number = len(level.words)
        empty = _NOTHING.match(self.text, self.at, self.end)
        if empty and (number == 1 or (first == "function" and number == 2)):
            level.function = level.words[-1].plain
            level.words.clear()
            self.at = empty.end()
        elif self.text.startswith("((", self.at) and (not number or (number == 1 and first == "for")):
            self.at += 2
            self._arithmetic("))")
            level.words.clear()
        elif not number:
            self.at += 1
            if level.cases and level.cases[-1] == "pattern":
                return  # (pattern) commands ;;
            name, level.function = level.function, ""
            self.enter(name)
            self.code(")")
            self.leave()
        else:
            self.sound = False  # nothing that we know

    def _redirection(self, level: _Level) -> None:
        text = self.text
        if level.words and level.words[-1].plain.isdigit() and text[self.at - 1 : self.at].isdigit():
            level.words.pop()  # 2>file
        if text.startswith(("<(", ">("), self.at):
            self.at += 2
            self.enter("")
            self.code(")")
            self.leave()
            return
        heredoc = _HEREDOC.match(text, self.at, self.end)
        if heredoc and not text.startswith("<<<", self.at):
            self.at = heredoc.end()
            start = self.at
            word = self._word()
            if word.plain:
                raw = text[start : self.at]
                level.heredocs.append((word.plain, bool(heredoc[1]), any(q in raw for q in "'\"\\")))
            return
        match = _REDIRECTION.match(text, self.at, self.end)
        self.at = match.end() if match else self.at + 1
        while self.at < self.end and text[self.at] in " \t":
            self.at += 1
        if self.at < self.end and text[self.at] not in METACHARACTERS and text[self.at] != level.closer:
            self._word()

    def _heredoc_bodies(self, level: _Level) -> None:
        waiting, level.heredocs = level.heredocs, []
        for delimiter, tabs, quoted in waiting:
            before = "\t*" if tabs else ""
            end = re.compile(rf"^{before}{re.escape(delimiter)}$", re.MULTILINE)
            found = end.search(self.text, self.at, self.end) if self.sound else None
            if found is None:
                self.sound = False
                return
            self.here_text(self.text[self.at : found.start()], self.at)
            if level.feeds_a_shell:
                self.code_text(self.text[self.at : found.start()], self.at)
            if not quoted:
                whole, self.end = self.end, found.start()
                self._double("", [])
                self.end = whole
            self.at = found.end()
        level.feeds_a_shell = False

    # --- words -----------------------------------------------------------------------------------

    def _take(self, level: _Level, word: Word) -> None:
        """A word has been read: reserved, or one of a command."""
        if level.cases and level.cases[-1] == "pattern":
            if word.plain == "esac" and not word.quoted:
                level.cases.pop()
            return
        words = level.words
        if not words and not word.quoted and self._reserved(level, word.plain):
            return
        if words and words[0].plain == "function" and len(words) == 2 and word.plain == "{":
            level.function = words[1].plain
            words.clear()
            self._reserved(level, "{")
            return
        level.function = ""
        words.append(word)
        if len(words) == 3 and words[0].plain == "case" and word.plain == "in":
            level.cases.append("pattern")
            words.clear()

    def _reserved(self, level: _Level, plain: str) -> bool:
        if plain == "{":
            name, level.function = level.function, ""
            level.braces.append(name)
            if name:
                self.enter(name)
        elif plain == "}":
            if not level.braces:
                self.sound = False
            elif level.braces.pop():
                self.leave()
        elif plain == "esac" and level.cases:
            level.cases.pop()
        else:
            return plain in _SKIPPED
        return True

    def _finish(self, level: _Level) -> None:
        words, level.words = level.words, []
        if len(words) == 2 and words[0].plain == "function":
            level.function = words[1].plain
        elif words:
            level.feeds_a_shell = level.feeds_a_shell or any(w.plain.rpartition("/")[2] in _SHELLS for w in words)
            self.command(words)
