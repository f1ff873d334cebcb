"""Why a patch is still where it is: every condition between it and production, and one sentence for all of them.

What it shows is for anybody: no person, no address, no words of a site. It has no effect, and waits for nobody but
the tracker, which the caller asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from pps.activities.clients import conditions as of_clients
from pps.activities.clients.bulletin import SHOWN_STATES, stage
from pps.activities.clients.opening import reasons_against_opening
from pps.activities.clients.overview import as_it_was
from pps.activities.packages.production import BESIDE
from pps.activities.packages.tracker_states import what_tracker_says
from pps.activities.packages.verdicts import preview_path, standing_verdict
from pps.activities.people.said import feedback_view
from pps.activities.pilots.conditions import of_pilot
from pps.activities.ports.record import Facts, OpenRollout
from pps.activities.ports.tracker import Tracker
from pps.activities.quality import conditions as of_tests
from pps.activities.release import conditions as of_release
from pps.activities.release.timeline import PATHS, Event, timeline
from pps.config.policy_models import Policies
from pps.domain.base.conditions import Condition, ConditionState, listed
from pps.domain.base.errors import PatchNotFoundError, RolloutError, ServiceError
from pps.domain.base.texts import one_line, shown_to_the_public
from pps.domain.packages.patch import Patch, PatchKind, PatchState
from pps.domain.people.embargo import advice_in
from pps.domain.people.overruling import Overruling, overruling
from pps.domain.people.roles import Role
from pps.domain.people.users import users_in
from pps.domain.pilots.pilot import Pilot
from pps.domain.pilots.server_updates import reasons_against_pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.halts import halt_of
from pps.domain.record.rollouts import PILOTS, PREVIEWS, Rollout, RolloutPath, dossier_name

VERSION = 1
AWAY = "The tracker does not answer at the moment: this is what is on record here."
THEN = "What the tracker said at that moment is not known: this is from the record alone."
GONE = "The tracker does not know this patch any more: this is what is on record here."
#: Paths whose end can be a release; a joint decision can be one, too, when it has come about.
_CARRIERS = (*PREVIEWS, *PILOTS, RolloutPath.RELEASE_TEST)
#: Conditions that go on when a rollout has ended.
_BESIDE = ("deployment test", "joint decision")
#: A pilot has a condition "run", which is something else.
_AIRFLOW = "Airflow run"
_DEAD = (PatchState.REJECTED, PatchState.OBSOLETE)


@dataclass(frozen=True)
class Told:
    """What the tracker says of a patch."""

    patch: Patch | None
    note: str = ""
    """why there is none"""
    page: str = ""
    """address at which people read it in the tracker"""


@dataclass(frozen=True)
class Why:
    """The answer."""

    number: int
    patch: Patch | None
    note: str
    """what is to be said of the tracker; "" where it has answered"""
    page: str
    """address at which people read it in the tracker; "" while it does not answer"""
    is_out: bool
    """it is in production"""
    answer: str
    """one sentence"""
    conditions: tuple[Condition, ...]
    rows: tuple[OpenRollout, ...]
    records: Mapping[str, Rollout]
    """rollouts, tests and requests by name, and the patch's dossier"""
    events: tuple[Event, ...]


def ask_tracker(tracker: Tracker, number: int) -> Told:
    """What the tracker says of a patch, or that it does not."""
    try:
        return Told(tracker.patch(number), page=tracker.page(number))
    except PatchNotFoundError:
        return Told(None, GONE)
    except RolloutError:  # it does not answer, or nobody understands what it says
        return Told(None, AWAY)


def names_of(facts: Facts, number: int) -> tuple[str, ...]:
    """The records that the answer is made from."""
    return (*(row.name for row in facts.rollouts(patch=number)), dossier_name(number))


@dataclass(frozen=True)
class _Then:
    """The record as it stood at a moment, for whoever reads it by the name of a rollout, or of a patch."""

    facts: Facts
    at: datetime

    def rollouts(self, **which: Any) -> tuple[OpenRollout, ...]:
        return self.facts.rollouts(**which, as_of=self.at)

    def rollout(self, name: str) -> Rollout:
        return as_it_was(self.facts.rollout(name), self.at)

    def standing(self, names: Sequence[str]) -> Mapping[str, Rollout]:
        return self.facts.standing(names, self.at)


def why_then(facts: Facts, number: int, policies: Policies, at: datetime) -> Why:
    """The answer as it was at a moment: from the record alone, as nobody keeps what the tracker said.

    Raises:
        PatchNotFoundError: nothing was on record about it yet.
    """
    return why(cast(Facts, _Then(facts, at)), number, Told(None, THEN), policies, at)


def why(facts: Facts, number: int, told: Told, policies: Policies, now: datetime) -> Why:
    """The answer for one patch.

    Raises:
        PatchNotFoundError: neither the tracker nor the record knows it.
        ServiceError: the record knows nothing of it, and the tracker does not answer.
    """
    rows = facts.rollouts(patch=number)
    records = facts.standing([*(row.name for row in rows), dossier_name(number)])
    dossier = records[dossier_name(number)]
    if told.patch is None and not rows and not dossier.facts:
        if told.note == THEN:
            raise PatchNotFoundError(f"patch {number}", "was not on record at that moment.", "Ask for a later one.")
        if told.note == GONE:
            raise PatchNotFoundError(f"patch {number}", "is not in the tracker.", "List them: pps patches list")
        raise ServiceError("the tracker", f"does not answer, and nothing is on record about patch {number}.", "Retry.")
    case = _Case(facts, number, told.patch, policies, now, rows, records)
    conditions = case.conditions()
    answer = case.in_a_sentence(conditions)
    events = timeline(records.values())
    return Why(number, told.patch, told.note, told.page, case.is_out, answer, conditions, rows, records, events)


@dataclass(frozen=True)
class _Case:
    facts: Facts
    number: int
    patch: Patch | None
    policies: Policies
    now: datetime
    rows: tuple[OpenRollout, ...]
    records: Mapping[str, Rollout]

    @property
    def dossier(self) -> Rollout:
        return self.records[dossier_name(self.number)]

    @property
    def joint(self) -> Overruling | None:
        return overruling(self.dossier)

    @property
    def out(self) -> Fact | None:
        """The release, by whichever rollout; the first one, as later ones only follow it."""
        found = [f for r in self.records.values() if (f := r.the(FactKind.RELEASED_TO_PRODUCTION))]
        return min(found, key=lambda f: f.at, default=None)

    @property
    def is_out(self) -> bool:
        """Tell whether it is in production, by our record or the tracker's."""
        return self.out is not None or bool(self.patch and self.patch.state is PatchState.IN_PRODUCTION)

    @property
    def carriers(self) -> tuple[Rollout, ...]:
        """The rollouts that can bring it to production: those that are open, else the newest that has ended.

        A joint decision that has come about is one, too, until its record ends: then it has released, or a preview has.
        """
        known = [row for row in self.rows if row.path in _CARRIERS]
        still_open = [self.records[row.name] for row in known if row.closed_at is None]
        request = self.request
        if self.joint and request and request.has(FactKind.DECIDED) and not request.is_closed:
            still_open.append(request)
        return tuple(still_open or [self.records[row.name] for row in known[:1]])

    @property
    def request(self) -> Rollout | None:
        """The newest request to overrule the policies."""
        names = (row.name for row in self.rows if row.path == RolloutPath.OVERRULE)
        return next((self.records[name] for name in names), None)

    def conditions(self) -> tuple[Condition, ...]:
        found: list[Condition] = []
        for record in self.carriers:
            found += [_of(c, record) for c in self._chain(record)]
            if halt := halt_of(record):
                failed = Condition(_AIRFLOW, _AIRFLOW, ConditionState.FAILED, halt.headline, ("Admin",))
                found.append(_of(failed, record))
            found += of_release.signed_source(record)
        if not self.carriers:
            found += self._not_started()
        found += of_release.classification(self.dossier)
        preview = next((r for r in self.carriers if r.path in PREVIEWS), None)
        wait = self.policies.certification.wait_at_most
        found.append(of_clients.certification(self.patch, preview, self.now, wait_at_most=wait, joint=self.joint))
        found.append(self._deployment_test())
        found += of_release.joint_decision(self.request)
        return (*found, of_release.release(self.out, self.carriers, found, self._tracker_says()))

    def _chain(self, record: Rollout) -> tuple[Condition, ...]:
        terms = self.policies.feedback.terms()
        if record.path in PILOTS:
            return of_pilot(Pilot(record), self.patch, self.now, terms=terms, joint=self.joint)
        if record.path is RolloutPath.OVERRULE:  # straight to production, or to a preview that begins now
            return (of_clients.release_notes(record, "SD 4.1.3"),)
        if record.path is RolloutPath.RELEASE_TEST:
            return of_tests.of_release_test(record, self.patch)
        return of_clients.of_preview(
            record,
            self.now,
            limits=self.policies.distribution.to_domain(),
            enough=self.policies.local_configuration.announce_when_available,
            terms=terms,
            joint=self.joint,
        )

    def _deployment_test(self) -> Condition:
        waits = (*PILOTS, RolloutPath.NON_BC_CLIENT)
        waiting = [r for r in self.carriers if r.path in waits and not r.is_over]
        within = self.policies.deployment_test.wait_at_most
        return of_tests.deployment_test(
            self.facts,
            self.patch,
            self.number,
            verdict=standing_verdict(self.dossier).verdict,
            joint=self.joint,
            always=any(r.path in PILOTS for r in self.carriers),
            waits_until=max((of_tests.waits_for_test_until(r, within) for r in waiting), default=None),
        )

    def _not_started(self) -> tuple[Condition, ...]:
        if self.patch is None or self.is_out:
            return ()
        if self.patch.kind is PatchKind.SERVER:
            section, what = "SD 4.1.3", "pilot"
            reasons = reasons_against_pilot(self.patch, overruled=self.joint is not None)
        else:
            section, what = "SD 4.1.1, 4.1.2", "preview"
            path = preview_path(self.dossier, self.patch)
            reasons = reasons_against_opening(self.dossier, self.patch, path)
        who = (Role.RELEASE_MANAGER.value,) if what == "preview" else (Role.EMT.value, Role.VO_REPRESENTATIVE.value)
        if not reasons:
            admitted = Condition("admission", section, ConditionState.MET, f"The rules admit it: a {what} may begin.")
            return (admitted, Condition(what, section, ConditionState.NOT_YET, "Nobody has started it.", who))
        state = ConditionState.FAILED if self.patch.state in _DEAD else ConditionState.NOT_YET
        return (Condition("admission", section, state, " ".join(reasons)),)

    # --- the sentence

    def in_a_sentence(self, conditions: Sequence[Condition]) -> str:
        if settled := self._settled():
            return settled
        by_state = {state: [c for c in conditions if c.state is state] for state in ConditionState}
        waiting, failed = by_state[ConditionState.WAITING], by_state[ConditionState.FAILED]
        if self.carriers and all(record.is_over for record in self.carriers):
            return self._ended(failed, [c for c in waiting if c.name in _BESIDE])
        halted = [c for c in failed if c.name == _AIRFLOW]
        if waiting and not halted:
            blocked = f" In the way of its release: {listed([f'the {c.name}' for c in failed])}." if failed else ""
            return f"{_waits_for(waiting)}{blocked}"
        if failed:
            return f"It does not go on. {(halted or failed)[0].sentence}"
        if not self.carriers:
            return "No preview or pilot has been started for it."
        return _lacks([*by_state[ConditionState.NOT_YET], *by_state[ConditionState.UNKNOWN]])

    def _settled(self) -> str:
        """Where it has come to its end, or has not begun; "" where it is on its way."""
        state = self.patch.state if self.patch else None
        if self.out is not None:
            return " ".join(filter(None, (of_release.in_production(self.out), self._tracker_says())))
        if self.is_out:
            return "It is in production, as the tracker says; no rollout here has released it."
        if state in _DEAD:
            word = "was rejected" if state is PatchState.REJECTED else "is obsolete"
            return f'It {word}: the tracker says "{state}".'
        return "" if self.rows else "Nothing has been started for it."

    def _tracker_says(self) -> str:
        """Of a release that the tracker has not been told of yet, or that somebody there has overtaken."""
        return what_tracker_says(self.out, self.dossier) if self.out else ""

    def _ended(self, failed: Sequence[Condition], beside: Sequence[Condition]) -> str:
        record = self.carriers[0]
        closed = record.the(FactKind.ROLLOUT_CLOSED)
        outcome = closed.payload.get("outcome", "ended") if closed else stage(record)
        what = f"{PATHS[record.path]} {record.name} has ended" if closed else f"{record.name} does not go on"
        mine = [c for c in failed if c.rollout in ("", record.name)]
        reason = f" {mine[0].sentence}" if mine else ""
        then = _waits_for(beside) if beside else "Nothing brings it to production now."
        if closed and closed.payload.get("next"):
            then = f"The next round follows: {closed.payload['next']}."
        return f"{what}: {outcome}.{reason} {then}"


def _of(condition: Condition, record: Rollout) -> Condition:
    return Condition(**{**asdict(condition), "rollout": condition.rollout or record.name})


def _waits_for(waiting: Sequence[Condition]) -> str:
    first = _inside(waiting[0].sentence)
    if len(waiting) == 1:
        return f"It waits for the {waiting[0].name}: {first}"
    return f"It waits for {listed([f'the {c.name}' for c in waiting])}. First of these: {first}"


def _inside(sentence: str) -> str:
    """A sentence behind a colon; what begins with two capitals is a name."""
    return sentence if sentence[1:2].isupper() else f"{sentence[:1].lower()}{sentence[1:]}"


def _lacks(missing: Sequence[Condition]) -> str:
    """Nobody is waited for, and nothing has failed: something has not begun, or nobody can tell."""
    first = next((c for c in missing if c.name != "release"), missing[0])
    return f"It lacks the {first.name}: {_inside(first.sentence)}"


# --- for pages, programs and the terminal ------------------------------------------------------------------------


def public_view(found: Why) -> Mapping[str, Any]:
    """The answer as JSON has it (version 1; keys may be added, none is renamed), and pages show it."""
    newest = next((r for r in found.records.values() if r.has(FactKind.ROLLOUT_OPENED) and "title" in r.opened), None)
    opened: Mapping[str, Any] = newest.opened if newest else {}
    patch = found.patch
    advice = patch.advice if patch else advice_in(found.records[dossier_name(found.number)].facts)
    view = {
        "version": VERSION,
        "patch": found.number,
        "metapackage": patch.metapackage if patch else opened.get("metapackage", ""),
        "software_version": patch.version if patch else opened.get("version", ""),
        "title": one_line(patch.title if patch else str(opened.get("title", "")), 300),
        "state": patch.state.value if patch else None,
        "tracker": found.note,
        "tracker_page": found.page or None,
        "in_production": found.is_out,
        "cves": advice.shown(),
        "vex": advice.shown_impacts(),
        "answer": found.answer,
        "conditions": [
            {**asdict(c), "state": c.state.value, "who": [str(w) for w in c.who], "until": _iso(c.until)}
            for c in found.conditions
        ],
        "rollouts": [_rollout(row, found.records[row.name]) for row in found.rows],
        "events": [{**asdict(e), "at": _iso(e.at)} for e in found.events],
    }
    # an address that we have made ourselves: what is between patch? and @action= in it is no mailbox
    return {**shown_to_the_public(view, users_in(*found.records.values())), "tracker_page": found.page or None}


def _rollout(row: OpenRollout, record: Rollout) -> dict[str, Any]:
    progress = record.all_progress() if row.path in PREVIEWS else ()
    counts = {s.value: sum(p.state is s for p in progress) for s in SHOWN_STATES}
    closed, released = record.the(FactKind.ROLLOUT_CLOSED), record.the(FactKind.RELEASED_TO_PRODUCTION)
    beside = released.payload if released else {}
    return {
        "rollout": row.name,
        "path": row.path,
        "what": PATHS[RolloutPath(row.path)],
        "opened_at": _iso(row.opened_at),
        "closed_at": _iso(row.closed_at),
        "outcome": closed.payload.get("outcome", "ended") if closed else None,
        "counts": {state: number for state, number in counts.items() if number},
        "feedback": feedback_view(record) if record.has(FactKind.FEEDBACK_DATE_AGREED) else None,
        "release_notes": f"release-notes/{row.name}.html" if record.has(FactKind.RELEASE_NOTES_WRITTEN) else None,
        **{what: beside.get(what, {}).get("file") for what in BESIDE},
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
