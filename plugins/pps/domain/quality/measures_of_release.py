"""The measures of one release, from the facts of its rollouts; each definition is in `measures` and docs/quality.md.

A release is a patch: all its rollouts, of whatever path, and its dossier are about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from pps.domain.people import feedback
from pps.domain.people.verdicts import BugVerdict
from pps.domain.quality import release_tests
from pps.domain.quality.bugs import reopenings, states_seen
from pps.domain.quality.comparison import failing, newest_probes
from pps.domain.quality.measures import Counted, Value, ValueState, not_measured, ratio
from pps.domain.quality.scenarios import ScenarioResult
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PILOTS, PREVIEWS, Rollout, RolloutPath

_DAY = timedelta(days=1)
_LATER_PLANS = (FactKind.NIGHT_PLANNED, FactKind.RETRY_PLANNED)
_ROLLED_BACK, _SET_UP = FactKind.SERVICE_ROLLED_BACK, FactKind.SERVICE_SET_UP


class Begin(StrEnum):
    """With what a release began."""

    SUBMISSION = "its provider's first submission"
    RECORD = "the first record about it"
    """it was not submitted here, or only later: nobody knows since when it was ready"""


@dataclass(frozen=True, slots=True)
class Release:
    """One patch with its numbers."""

    patch: int
    metapackage: str
    version: str
    """of the newest record"""
    service_type: str
    begun_at: datetime
    """when its provider first submitted it, else when the first record was opened: its dossier, or a rollout"""
    previewed_at: datetime | None
    """when its first preview was opened"""
    in_production: bool
    is_open: bool
    """a rollout of it goes on"""
    rollouts: tuple[str, ...]
    values: Mapping[str, Value]
    probes: Mapping[str, tuple[Fact | None, frozenset[str]]] = field(repr=False)
    """site -> the newest fact of its probes (None where it is no longer kept), and those that fail"""
    begun_with: Begin = Begin.RECORD

    @property
    def products(self) -> tuple[str, ...]:
        """Under which it is found: its metapackage, and the type of its service."""
        return tuple(dict.fromkeys(name for name in (self.metapackage, self.service_type) if name))

    @property
    def software(self) -> str:
        """What it is called."""
        return f"{self.metapackage} {self.version}".strip() or f"patch {self.patch}"

    def in_short(self) -> Release:
        """What is kept of many releases: numbers, without the facts that they count."""
        probes: dict[str, tuple[Fact | None, frozenset[str]]] = {s: (None, ill) for s, (_, ill) in self.probes.items()}
        return replace(self, values={k: v.in_short() for k, v in self.values.items()}, probes=probes)


def release_of(patch: int, rollouts: Sequence[Rollout], dossier: Rollout) -> Release:
    """Measure one release by itself; what the version before and the desk tell is added by `measures_around`.

    Args:
        rollouts: all of the patch, oldest first; at least one.
        dossier: of the patch; without facts where there is none.
    """
    opened = [r.opened for r in rollouts]
    openings = [
        fact.at for record in (*rollouts, dossier) for fact in record.facts if fact.kind is FactKind.ROLLOUT_OPENED
    ]
    begun, previews = min(openings), _of(rollouts, *PREVIEWS)
    probed = newest_probes(Rollout("previews", tuple(f for record in previews for f in record.facts)))
    probes: dict[str, tuple[Fact | None, frozenset[str]]] = {s: (f, failing(f)) for s, f in probed.items()}
    found = (
        _time_to_preview(rollouts, begun),
        _time_to_production(rollouts, begun),
        *(measured(rollouts) for measured in _RATIOS),
        _probe_failures(previews, probed),
        _waived_findings(dossier),
        _bugs_reopened(dossier),
    )
    return Release(
        patch,
        next((str(o["metapackage"]) for o in reversed(opened) if o.get("metapackage")), ""),
        next((str(o["version"]) for o in reversed(opened) if o.get("version")), ""),
        next((str(o["service_type"]) for o in reversed(opened) if o.get("service_type")), ""),
        begun,
        min((fact.at for r in previews if (fact := r.the(FactKind.ROLLOUT_OPENED))), default=None),
        any(r.has(FactKind.RELEASED_TO_PRODUCTION) for r in rollouts),
        any(not r.is_over for r in rollouts),
        tuple(r.name for r in rollouts),
        {value.key: value for value in found},
        probes,
    )


# --- times --------------------------------------------------------------------------------------


def _time_to_preview(rollouts: Sequence[Rollout], begun: datetime) -> Value:
    previews, pilots = _of(rollouts, *PREVIEWS), _of(rollouts, *PILOTS)
    seen = [f for r in previews for f in r.facts if f.kind is FactKind.TAG_SEEN]
    seen += [f for r in pilots for f in r.facts if f.kind is _SET_UP]
    about = [*previews, *pilots]
    if not about:
        return not_measured("time-to-preview", "It had neither a preview nor a pilot.")
    return _time("time-to-preview", seen, about, begun, "It was announced at no site.")


def _time_to_production(rollouts: Sequence[Rollout], begun: datetime) -> Value:
    released = [f for r in rollouts for f in r.facts if f.kind is FactKind.RELEASED_TO_PRODUCTION]
    why = "It is not in production, and none of its rollouts goes on."
    return _time("time-to-production", released, rollouts, begun, why)


def _time(key: str, ends: Sequence[Fact], about: Sequence[Rollout], begun: datetime, otherwise: str) -> Value:
    records = tuple(r.name for r in about)
    if ends:
        end = min(ends, key=lambda fact: fact.at)
        days = (end.at - begun) / _DAY
        return Value(key, ValueState.MEASURED, days, records=records, counted=(counted(end),))
    if waits := _goes_on(about):
        return Value(key, ValueState.WAITING, why=waits, records=records)
    return not_measured(key, otherwise, records)


# --- parts of wholes ----------------------------------------------------------------------------


def _sites_reached(rollouts: Sequence[Rollout]) -> Value:
    about = _of(rollouts, *PREVIEWS, *PILOTS, RolloutPath.RELEASE_TEST)
    if not about:
        return not_measured("sites-reached", "None of its rollouts brought it to sites.")
    planned: dict[str, None] = {}
    reached: dict[str, Fact] = {}
    for record in about:
        here = _first_of_site(_reaching(record))
        left_out = {f.subject for f in record.facts if f.kind is FactKind.SITE_LEFT_OUT}
        planned.update(dict.fromkeys(site for site in _planned(record) if site in here or site not in left_out))
        for site, fact in here.items():
            planned[site] = None
            reached.setdefault(site, fact)
    return ratio("sites-reached", map(counted, reached.values()), planned, _names(about), waits=_goes_on(about))


def _planned(record: Rollout) -> Iterable[str]:
    if record.path in PILOTS:
        chosen = record.the(FactKind.SITES_SELECTED)
        return tuple(chosen.payload["sites"]) if chosen else ()
    nights = (site for f in record.facts if f.kind in _LATER_PLANS for site in f.payload["sites"])
    return (*record.planned_sites, *nights)


def _reaching(record: Rollout) -> Iterable[Fact]:
    if record.path is RolloutPath.RELEASE_TEST:
        applied = {
            (s.site, s.answer.at)
            for s in release_tests.standings(record)
            if s.answer is not None and release_tests.has_applied(s.answer.choice)
        }
        return [f for f in record.facts if f.kind is FactKind.ANSWER_GIVEN and (f.subject, f.at) in applied]
    kind = _SET_UP if record.path in PILOTS else FactKind.TAG_SEEN
    return [f for f in record.facts if f.kind is kind]


def _probe_failures(previews: Sequence[Rollout], probed: Mapping[str, Fact]) -> Value:
    if not previews:
        return not_measured("probe-failures", "It had no preview.")
    ill = [counted(f) for f in probed.values() if f.kind is FactKind.PROBES_FAILED]
    return ratio("probe-failures", ill, probed, _names(previews), waits=_goes_on(previews))


def _service_failures(rollouts: Sequence[Rollout]) -> Value:
    pilots = _of(rollouts, *PILOTS)
    if not pilots:
        return not_measured("service-failures", "It had no pilot.")
    looks = [f for r in pilots for f in r.facts if f.kind is FactKind.SERVICE_PROBED]
    ill = _first_of_site(f for f in looks if f.payload.get("state") == "CRITICAL")
    sites = dict.fromkeys(f.subject for f in looks)
    return ratio("service-failures", map(counted, ill.values()), sites, _names(pilots), waits=_goes_on(pilots))


def _scenarios_passed(rollouts: Sequence[Rollout]) -> Value:
    tests = _of(rollouts, RolloutPath.PRE_DEPLOYMENT)
    if not tests:
        return not_measured("scenarios-passed", "It had no deployment test.")
    newest = {(f.rollout, f.subject): f for r in tests for f in r.facts if f.kind is FactKind.SCENARIO_ENDED}
    judged = {k: f for k, f in newest.items() if f.payload["result"] != ScenarioResult.INCONCLUSIVE}
    passed = [counted(f) for f in judged.values() if f.payload["result"] == ScenarioResult.PASS]
    whole = (f"{test}: {scenario}" for test, scenario in judged)
    return ratio("scenarios-passed", passed, whole, _names(tests), waits=_goes_on(tests))


def _feedback_rate(rollouts: Sequence[Rollout]) -> Value:
    asked, waits = [r for r in rollouts if feedback.invited_vos(r)], _asking(rollouts)
    if not asked and not waits:
        return not_measured("feedback-rate", "No VO was invited.")
    heard, whole = list[Counted](), list[str]()
    for record in asked:
        invited = feedback.invited_vos(record)
        whole += [f"{record.name}: {vo}" for vo in sorted(invited)]
        counts = feedback.counting(feedback.answers(record))
        heard += [Counted(record.name, FactKind.FEEDBACK_GIVEN.value, a.vo, a.at) for a in counts if a.vo in invited]
    return ratio("feedback-rate", heard, whole, _names(asked), waits=waits)


def _bugs_not_fixed(rollouts: Sequence[Rollout]) -> Value:
    said = [(r, a) for r in rollouts for a in feedback.counting(feedback.answers(r)) if a.verdicts.bugs]
    waits = _asking(rollouts)
    if not said and not waits:
        return not_measured("bugs-not-fixed", "No VO judged a bug by itself.")
    judged = sorted({number for _, a in said for number in a.verdicts.bugs})
    bad: dict[int, Counted] = {}
    for record, answer in said:
        for number, verdict in answer.verdicts.bugs.items():
            if verdict is BugVerdict.NOT_FIXED:
                what = f"bug {number}, says {answer.vo}"
                bad.setdefault(number, Counted(record.name, FactKind.FEEDBACK_GIVEN.value, what, answer.at))
    records = dict.fromkeys(r.name for r, _ in said)
    return ratio("bugs-not-fixed", bad.values(), map(str, judged), records, waits=waits)


def _roll_backs(rollouts: Sequence[Rollout]) -> Value:
    pilots = _of(rollouts, *PILOTS)
    if not pilots:
        return not_measured("roll-backs", "It had no pilot.")
    ran = dict.fromkeys(f.subject for r in pilots for f in r.facts if f.kind is _SET_UP)
    back = _first_of_site(f for r in pilots for f in r.facts if f.kind is _ROLLED_BACK and f.subject in ran)
    return ratio("roll-backs", map(counted, back.values()), ran, _names(pilots), waits=_goes_on(pilots))


def _withdrawn_previews(rollouts: Sequence[Rollout]) -> Value:
    previews = _of(rollouts, *PREVIEWS)
    if not previews:
        return not_measured("withdrawn-previews", "It had no preview.")
    gone = [counted(f) for r in previews if (f := r.the(FactKind.WITHDRAWAL_ASKED))]
    return ratio("withdrawn-previews", gone, _names(previews), _names(previews), waits=_goes_on(previews))


def _waived_findings(dossier: Rollout) -> Value:
    """Where a release was submitted is not known here: see `submitted`."""
    waived = [counted(f) for f in dossier.facts if f.kind is FactKind.FINDING_WAIVED]
    if not waived:
        return not_measured("waived-findings", "Its provider has not submitted it here.")
    return Value("waived-findings", ValueState.MEASURED, float(len(waived)), counted=tuple(waived))


def _bugs_reopened(dossier: Rollout) -> Value:
    """Of a patch none of whose bugs has changed nobody knows whether the tracker tells of bugs at all: no zero."""
    again = _first_of_site(reopenings(dossier))
    whole = (str(bug) for bug in states_seen(dossier))
    return ratio("bugs-reopened", map(counted, again.values()), whole, [], waits="")


_RATIOS: tuple[Callable[[Sequence[Rollout]], Value], ...] = (
    _sites_reached,
    _service_failures,
    _scenarios_passed,
    _feedback_rate,
    _bugs_not_fixed,
    _roll_backs,
    _withdrawn_previews,
)


# --- what they share ----------------------------------------------------------------------------


def _of(rollouts: Iterable[Rollout], *paths: RolloutPath) -> list[Rollout]:
    return [r for r in rollouts if r.path in paths]


def _names(rollouts: Iterable[Rollout]) -> list[str]:
    return [r.name for r in rollouts]


def _goes_on(rollouts: Iterable[Rollout]) -> str:
    """Which of these goes on, as a sentence; "" for none."""
    names = [r.name for r in rollouts if not r.is_over]
    return f"{', '.join(names)} {'goes' if len(names) == 1 else 'go'} on." if names else ""


def _asking(rollouts: Iterable[Rollout]) -> str:
    """Whose VOs are still to be heard, as a sentence; "" for nobody's. The asking may end before its rollout does."""
    about = _of(rollouts, *PREVIEWS, RolloutPath.MAJOR_PILOT)  # VOs have no part in a minor pilot (SD 4.1.3)
    names = [r.name for r in about if not r.is_over and not r.has(FactKind.FEEDBACK_ENDED)]
    return f"The VOs of {', '.join(names)} are still to be heard." if names else ""


def counted(fact: Fact) -> Counted:
    """A fact as one that a number counts."""
    return Counted(fact.rollout, fact.kind.value, fact.subject, fact.at)


def _first_of_site(facts: Iterable[Fact]) -> dict[str, Fact]:
    found: dict[str, Fact] = {}
    for fact in facts:
        found.setdefault(fact.subject, fact)
    return found
