"""What is measured of the quality of software: the table of measures, and what a number is (docs/quality.md).

Source: seed "Software providers perspective": "software quality measures considering the requirements of EGI", and
"development and rollout procedures (according to PDCA cycle)". Facts alone are measured. What goes on waits, which is
no failure; what nobody knows is not measured, which is no zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from statistics import median


class Unit(StrEnum):
    """What a number counts."""

    DAYS = "days"
    SHARE = "%"
    """part of a whole"""
    COUNT = "count"
    """part of a whole, too, but one is one too many, whatever the whole"""


class Better(StrEnum):
    """In which direction it gets better."""

    LESS = "less"
    MORE = "more"


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure; its definition as docs/quality.md has it."""

    key: str
    """stored in facts: never rename"""
    title: str
    unit: Unit
    better: Better
    what: str
    """what is counted, one sentence"""
    source: str
    part: str = ""
    """what the part counts, e.g. `sites reached`"""
    whole: str = ""
    """what the whole counts, e.g. `sites planned`; "" for a count of which there is none"""

    @property
    def most(self) -> float:
        """The largest target that makes sense."""
        return 100 if self.unit is Unit.SHARE else 3650 if self.unit is Unit.DAYS else 1_000_000

    def meets(self, number: float, target: float) -> bool:
        """Tell whether a number is as good as the target, or better."""
        return number <= target if self.better is Better.LESS else number >= target


_PDCA = "seed, IGE will define"
_LESS, _MORE = Better.LESS, Better.MORE
MEASURES: Mapping[str, Measure] = {
    m.key: m
    for m in (
        Measure(
            *("time-to-preview", "Time to preview", Unit.DAYS, _LESS),
            "From the provider's first submission, or the first record about the patch where that is older or none is "
            "known, until the information system first shows the tag of its preview at a site, or a site's pilot "
            "service is first verified.",
            "SD 4.1.1, 4; SD 4.1.3, 7",
        ),
        Measure(
            *("time-to-production", "Time to production", Unit.DAYS, _LESS),
            "From the provider's first submission, or the first record about the patch where that is older or none is "
            "known, until the patch is released to production.",
            "SD 4.1.1, last paragraph; SD 4.1.3, 10; SD 4.2.3",
        ),
        Measure(
            *("sites-reached", "Sites reached", Unit.SHARE, _MORE),
            "Of the sites that were planned and not left out: those where the tag of the preview was seen, whose pilot "
            "service was verified, or that say in time that they have applied the update under release test.",
            "SD 4.1.1, 2 and 4; SD 4.1.3, 7; SD 4.2.3",
            *("sites reached", "sites planned"),
        ),
        Measure(
            *("probe-failures", "Sites that fail probes", Unit.SHARE, _LESS),
            "Of the sites where previews of the patch were probed: those where the newest probes failed.",
            "SD 4.1.1, 3",
            *("sites that fail", "sites probed"),
        ),
        Measure(
            *("regressions", "Regressions", Unit.COUNT, _LESS),
            "Of the sites where this version and the one before were probed: those where a probe fails that did not "
            "fail before.",
            "SD 4.1.1, 3",
            *("sites worse than before", "sites probed with both versions"),
        ),
        Measure(
            *("service-failures", "Pilot services that failed", Unit.SHARE, _LESS),
            "Of the sites whose pilot service was looked at: those where it did not answer as it should at least once.",
            "SD 4.1.3, 8",
            *("sites whose service failed", "sites looked at"),
        ),
        Measure(
            *("scenarios-passed", "Deployment scenarios passed", Unit.SHARE, _MORE),
            "Of the scenarios that ended with a pass or a failure, in all deployment tests of the patch: those that "
            "passed, by the newest end of each; what ended inconclusively taught nothing of the patch.",
            "SD 4.2.2",
            *("scenarios passed", "scenarios passed or failed"),
        ),
        Measure(
            *("feedback-rate", "VOs that answered", Unit.SHARE, _MORE),
            "Of the VOs that were invited to a preview or a pilot: those that answered in time, with their invitation, "
            "and have not withdrawn it.",
            "SD 4.1.1, 7; SD 4.1.3, 8",
            *("VOs that answered", "VOs invited"),
        ),
        Measure(
            *("bugs-not-fixed", "Bugs that VOs say are not fixed", Unit.COUNT, _LESS),
            "Of the bugs that VOs judged one by one in answers that count: those of which at least one VO says that it "
            "is not fixed.",
            "SD 4.1.1, 7",
            *("bugs not fixed", "bugs judged"),
        ),
        Measure(
            *("roll-backs", "Roll-backs", Unit.COUNT, _LESS),
            "Of the sites whose pilot service was verified: those that took it back to the version before.",
            "SD 4.1.3, 8",
            *("sites that rolled back", "sites that ran it"),
        ),
        Measure(
            *("withdrawn-previews", "Withdrawn previews", Unit.COUNT, _LESS),
            "Of the previews of the patch: those whose withdrawal was asked for.",
            "SD 4.1.1",
            *("previews withdrawn", "previews"),
        ),
        Measure(
            *("bugs-reopened", "Bugs reopened", Unit.COUNT, _LESS),
            "Of the bugs that the patch fixes, and of whose state the tracker has told: those that were opened again "
            "after they were done with.",
            _PDCA,
            *("bugs opened again", "bugs of whose state the tracker has told"),
        ),
        Measure(
            *("waived-findings", "Waived findings", Unit.COUNT, _LESS),
            "The faults that were found in the release when its provider submitted it, and with which it goes on since "
            "a role waived them with a reason.",
            f"{_PDCA}; docs/adr/0035",
        ),
    )
}


class ValueState(StrEnum):
    """Whether there is a number. Stored in facts: never rename."""

    MEASURED = "measured"
    WAITING = "waiting"
    """something that it counts goes on; part and whole are those so far"""
    NOT_MEASURED = "not measured"
    """nothing on record tells it: that is no zero"""


@dataclass(frozen=True, slots=True)
class Counted:
    """One fact that a number counts."""

    rollout: str
    kind: str
    subject: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Value:
    """One number, or why there is none."""

    key: str
    state: ValueState
    number: float | None = None
    """days, per cent, or a count; None unless it is measured"""
    part: int | None = None
    whole: int | None = None
    why: str = ""
    """what is waited for, or why it is not measured"""
    records: tuple[str, ...] = ()
    """the rollouts that it is about"""
    counted: tuple[Counted, ...] = ()
    """the facts that are the part; of a time, the fact at its end"""
    among: tuple[str, ...] = ()
    """names of what makes the whole"""

    @property
    def measure(self) -> Measure:
        """What it is a number of."""
        return MEASURES[self.key]

    @property
    def words(self) -> str:
        """For people: `4.2 days`, `12 of 14 (85.7 %)`, `1 of 3`, `so far 2 of 4`, or the state."""
        if self.part is not None and self.whole is not None:
            ratio = f"{self.part} of {self.whole}"
            if self.state is ValueState.WAITING:
                return f"so far {ratio}"
            return f"{ratio} ({shown(self.number)} %)" if self.measure.unit is Unit.SHARE else ratio
        return self.state.value if self.number is None else in_unit(self.measure, self.number)

    def in_short(self) -> Value:
        """The same without what it counts: what is kept of many releases."""
        return replace(self, counted=(), among=())

    def as_data(self) -> dict[str, object]:
        """For programs, and for facts."""
        number = None if self.number is None else round(self.number, 4)
        return {"state": self.state.value, "number": number, "part": self.part, "whole": self.whole, "why": self.why}


def shown(number: float | None) -> str:
    """A number with at most one decimal that says something, e.g. `85.7`, `4`, `0.3`; tiny ones with more."""
    if number is None:
        return "–"
    if number and abs(number) < 0.1:
        return f"{number:.2g}" if abs(number) >= 0.0001 else "less than 0.0001"
    return f"{number:.1f}".removesuffix(".0")


_SPANS = ((1.0, "day"), (1 / 24, "hour"), (1 / 1440, "minute"))


def in_short(measure: Measure, number: float) -> str:
    """A number where there is little room, e.g. `12 d`, `86`."""
    if measure.unit is not Unit.DAYS:
        return shown(number)
    amount, _, word = in_unit(measure, number).partition(" ")
    return f"{amount} {word[:3] if word.startswith('min') else word[0]}"


def in_unit(measure: Measure, number: float) -> str:
    """A number with its unit."""
    if measure.unit is Unit.DAYS:
        size, word = next((s, w) for s, w in _SPANS if number >= s or w == "minute")
        text = shown(number / size)
        return f"{text} {word}{'' if text == '1' else 's'}"
    return f"{shown(number)} %" if measure.unit is Unit.SHARE else shown(number)


def ratio(key: str, part: Iterable[Counted], whole: Iterable[str], records: Iterable[str], *, waits: str) -> Value:
    """A part of a whole, as share or as count.

    Args:
        waits: what goes on, so that the number may still change; "" where nothing does.
    """
    counted, among = tuple(part), tuple(whole)
    found = Value(key, ValueState.WAITING, None, len(counted), len(among), waits, tuple(records), counted, among)
    if waits:
        return found
    if not among:
        return Value(key, ValueState.NOT_MEASURED, why=f"There are no {MEASURES[key].whole}.", records=found.records)
    number = 100 * len(counted) / len(among) if MEASURES[key].unit is Unit.SHARE else float(len(counted))
    return replace(found, state=ValueState.MEASURED, number=number)


def not_measured(key: str, why: str, records: Iterable[str] = ()) -> Value:
    """No number, and why."""
    return Value(key, ValueState.NOT_MEASURED, why=why, records=tuple(records))


@dataclass(frozen=True, slots=True)
class Together:
    """One measure of several releases."""

    key: str
    number: float | None
    """days: the median; a share: of all parts and wholes; a count: the sum. None where no release is measured"""
    part: int | None
    whole: int | None
    measured: int
    """so many releases"""
    waiting: int
    not_measured: int

    @property
    def words(self) -> str:
        """For people."""
        if self.number is None:
            return ValueState.WAITING.value if self.waiting else ValueState.NOT_MEASURED.value
        value = Value(self.key, ValueState.MEASURED, self.number, self.part, self.whole)
        return f"median {value.words}" if MEASURES[self.key].unit is Unit.DAYS and self.measured > 1 else value.words


def together(key: str, values: Iterable[Value]) -> Together:
    """Add up what is measured; what waits, or is not measured, is counted beside it, and never as zero."""
    found = tuple(values)
    measured = [v for v in found if v.state is ValueState.MEASURED]
    part = whole = number = None
    if measured and MEASURES[key].unit is Unit.DAYS:
        number = float(median(v.number or 0.0 for v in measured))
    elif measured:
        if MEASURES[key].whole:
            part, whole = sum(v.part or 0 for v in measured), sum(v.whole or 0 for v in measured)
        of_all = 100 * part / whole if part is not None and whole else 0.0
        number = of_all if MEASURES[key].unit is Unit.SHARE else sum(v.number or 0.0 for v in measured)
    waiting = sum(v.state is ValueState.WAITING for v in found)
    return Together(key, number, part, whole, len(measured), waiting, len(found) - len(measured) - waiting)


def reasons_against_target(measure: Measure | None, target: float | None) -> tuple[str, ...]:
    """Say why a number is no target of a measure; no reasons means that it is one.

    Args:
        target: None: it is lifted.
    """
    if measure is None:
        return (f"There is no such measure; there are: {', '.join(MEASURES)}.",)
    if target is None:
        return ()
    if not math.isfinite(target) or not 0 <= target <= measure.most:
        return (f"A target of {measure.title} lies between 0 and {measure.most:g}.",)
    if measure.unit is Unit.COUNT and target != int(target):
        return (f"A target of {measure.title} is a whole number.",)
    return ()
