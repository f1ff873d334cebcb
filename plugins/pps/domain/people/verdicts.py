"""What a VO says of each bug and each test case of a patch, beside what it says of the whole.

"Not tried" is what nobody said: it is counted, and never stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar


class BugVerdict(StrEnum):
    """What a VO says of a bug that the patch fixes. Stored in facts: never rename."""

    FIXED = "fixed"
    NOT_FIXED = "not fixed"


class CaseVerdict(StrEnum):
    """What a VO says of a test case of the patch. Stored in facts: never rename."""

    WORKS = "works"
    FAILS = "does not work"


NOT_TRIED = "not tried"
V = TypeVar("V", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Of one answer; empty where the whole alone was judged, as by every answer of earlier versions."""

    bugs: Mapping[int, BugVerdict] = field(default_factory=dict, hash=False)
    test_cases: Mapping[str, CaseVerdict] = field(default_factory=dict, hash=False)

    def __bool__(self) -> bool:
        return bool(self.bugs or self.test_cases)

    @property
    def against(self) -> tuple[str, ...]:
        """What it says is not as it should be: `bug 101 not fixed`."""
        bugs = [f"bug {number} {v}" for number, v in self.bugs.items() if v is BugVerdict.NOT_FIXED]
        return (*bugs, *(f"test case {name} {v}" for name, v in self.test_cases.items() if v is CaseVerdict.FAILS))

    @property
    def words(self) -> tuple[str, ...]:
        """All of it, what is not as it should be first."""
        bugs = [f"bug {number} {v}" for number, v in self.bugs.items() if v is BugVerdict.FIXED]
        cases = [f"test case {name} {v}" for name, v in self.test_cases.items() if v is CaseVerdict.WORKS]
        return (*self.against, *bugs, *cases)

    @property
    def payload(self) -> Mapping[str, Any]:
        """As facts hold it; without what was not said."""
        said = {
            "bugs": {str(number): v.value for number, v in sorted(self.bugs.items())},
            "test_cases": {name: v.value for name, v in sorted(self.test_cases.items())},
        }
        return {key: value for key, value in said.items() if value}

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Verdicts:
        """From a fact's payload."""
        return cls(
            {int(number): BugVerdict(v) for number, v in payload.get("bugs", {}).items()},
            {str(name): CaseVerdict(v) for name, v in payload.get("test_cases", {}).items()},
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What can be asked about one by one: what the patch names."""

    bugs: tuple[int, ...] = ()
    test_cases: tuple[str, ...] = ()


def judged(bugs: Mapping[str, str], test_cases: Mapping[str, str], asked: Asked) -> tuple[Verdicts, tuple[str, ...]]:
    """What was said of single bugs and test cases, and why some of it cannot be taken.

    Args:
        bugs: number -> verdict, as typed; "not tried" and "" say nothing.
        test_cases: name -> verdict.
    """
    reasons: list[str] = []
    said_of_bugs = _known(bugs, BugVerdict, "bug", [str(number) for number in asked.bugs], reasons)
    said_of_cases = _known(test_cases, CaseVerdict, "test case", list(asked.test_cases), reasons)
    return Verdicts({int(number): v for number, v in said_of_bugs.items()}, said_of_cases), tuple(reasons)


def _known(
    said: Mapping[str, str], kind: type[V], what: str, valid: Collection[str], reasons: list[str]
) -> dict[str, V]:
    found: dict[str, V] = {}
    for name, verdict in said.items():
        if verdict in ("", NOT_TRIED):
            continue
        if name not in valid:
            there_are = f"it names {', '.join(valid)}" if valid else "it names none"
            reasons.append(f"The patch names no {what} {name[:64]!r}; {there_are}.")
        elif verdict not in set(kind):
            choice = ", ".join((*kind, NOT_TRIED))
            reasons.append(f"Of {what} {name} one of these can be said: {choice}; not {verdict[:20]!r}.")
        else:
            found[name] = kind(verdict)
    return found


@dataclass(frozen=True, slots=True)
class Tally:
    """Who says what of one bug or test case."""

    name: str
    """number of the bug, or name of the test case"""
    good: tuple[str, ...]
    """VOs for which the bug is fixed, or the test case works"""
    bad: tuple[str, ...]
    not_tried: tuple[str, ...]
    """VOs that have answered, and said nothing of it"""
    words: str
    """the same for people"""


def tallies(given: Iterable[tuple[str, Verdicts]]) -> tuple[tuple[Tally, ...], tuple[Tally, ...]]:
    """Verdicts by bug and by test case, of those of which something was said.

    Args:
        given: VO, and what it says.
    """
    found = [(vo, {str(number): v for number, v in said.bugs.items()}, said.test_cases) for vo, said in given]
    bugs = sorted({name for _, said, _ in found for name in said}, key=int)
    cases = sorted({name for _, _, said in found for name in said})
    by_bug = [_tally(name, [(vo, said.get(name)) for vo, said, _ in found], BugVerdict) for name in bugs]
    by_case = [_tally(name, [(vo, said.get(name)) for vo, _, said in found], CaseVerdict) for name in cases]
    return tuple(by_bug), tuple(by_case)


def _tally(name: str, said: Iterable[tuple[str, str | None]], kind: type[BugVerdict] | type[CaseVerdict]) -> Tally:
    good, bad = kind
    groups = {word: tuple(vo for vo, v in said if v == word) for word in (good, bad)}
    none = tuple(vo for vo, v in said if v is None)
    words = "; ".join(
        f"{word}: {len(vos)} {'VO' if len(vos) == 1 else 'VOs'} ({', '.join(vos)})"
        for word, vos in ((bad, groups[bad]), (good, groups[good]), (NOT_TRIED, none))
        if vos
    )
    return Tally(name, groups[good], groups[bad], none, words)
