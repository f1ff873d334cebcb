"""Asking why a patch is still where it is, and a preview that has come a given way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tests.support.desks import at_desk, at_office
from tests.support.examples import DUE, NOW, PATCH, SECRET, SITES, sqlite_store, templates
from tests.support.front import CONFIG
from tests.support.replays import replayed

from pps.activities.clients import certification, gates, opening
from pps.activities.people import feedback, feedback_dates, tokens
from pps.activities.release import release
from pps.activities.release.notes import write_release_notes
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.record.store import FactStore
from pps.config.loader import Configuration
from pps.domain.base.conditions import Condition, ConditionState
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, dossier_name
from pps.workflow.why import Told, Why, why

POLICIES = Configuration(CONFIG).policies
MET, WAITING, NOT_YET = ConditionState.MET, ConditionState.WAITING, ConditionState.NOT_YET
FAILED, WAIVED, UNKNOWN = ConditionState.FAILED, ConditionState.WAIVED, ConditionState.UNKNOWN
CERTIFIED = replace(PATCH, state=PatchState.CERTIFIED)
SPECIAL = {"special_configuration": "Set X."}
#: Condition -> the kinds of facts without one of which it cannot be met.
EVIDENCE = {
    "admission": {FactKind.ROLLOUT_OPENED},
    "first sites": {FactKind.GATE_PASSED},
    "sites": {FactKind.FEEDBACK_DATE_AGREED},
    "VOs": {FactKind.FEEDBACK_GIVEN, FactKind.FEEDBACK_ENDED},
    "release notes": {FactKind.RELEASE_NOTES_WRITTEN},
    "request": {FactKind.DECIDED},
    "selection of sites": {FactKind.SITES_SELECTED},
    "kick-off": {FactKind.KICK_OFF_AGREED},
    "set-up": {FactKind.SERVICE_SET_UP},
    "run": {FactKind.RUN_ENDED},
    "reports": {FactKind.REPORT_WRITTEN},
    "trial at sites": {FactKind.ANSWER_GIVEN},
    "decision": {FactKind.WRAPPED_UP, FactKind.DECIDED},
    "release": {FactKind.RELEASED_TO_PRODUCTION},
}


def ask(store: FactStore, patch: Patch | None = PATCH, now: datetime = NOW, note: str = "") -> Why:
    return why(store, PATCH.number, Told(patch, note), POLICIES, now)


def of(found: Why, name: str) -> Condition:
    return next(c for c in found.conditions if c.name == name)


def states(found: Why) -> dict[str, ConditionState]:
    return {c.name: c.state for c in found.conditions}


def never_ahead_of_the_record(
    store: FactStore, patch_at: Callable[[set[FactKind]], Patch], more: Iterable[str] = ()
) -> list[str]:
    """Hold the answer against the record after each fact of a way that ends in production; returns the sentences."""
    seen: set[FactKind] = set()
    ended: set[str] = set()
    said: list[str] = []
    for then, fact in replayed(store):
        seen.add(fact.kind)
        if fact.rollout.startswith("pre-deployment") and fact.kind is FactKind.ROLLOUT_CLOSED:
            ended.add("deployment test")
        found = ask(then, patch_at(seen), fact.at)
        for condition in found.conditions:
            where = f"after {fact.kind}: {condition}"
            assert condition.sentence.endswith("."), where
            assert condition.state not in (FAILED, UNKNOWN), f"waiting is not failed; {where}"
            if condition.state is MET and condition.name in EVIDENCE:
                assert seen & EVIDENCE[condition.name], f"missing is not passed; {where}"
            if condition.state is MET and condition.name in more:
                assert condition.name in ended, where
            if condition.state is WAITING:
                assert not found.is_out, f"nothing is awaited in production; {where}"
        released = FactKind.RELEASED_TO_PRODUCTION in seen
        assert found.answer.startswith("It is in production since") is released, found.answer
        if not released:
            assert any(c.state in (WAITING, NOT_YET) for c in found.conditions), found.answer
        said += [found.answer] if found.answer not in said[-1:] else []
    assert all(c.is_done for c in found.conditions), states(found)
    return said


class Preview:
    """A backward-compatible client on its way, by the activities themselves; sites and releases are facts."""

    def __init__(self, folder: Path, patch: Patch = PATCH) -> None:
        self.store, self.folder, self.patch, self.clock = sqlite_store(), folder, patch, NOW
        office = at_office(self.store, patch=patch, now=NOW, actor="test")
        self.name = opening.open_client_rollout(office, patch, tag_vo="ops", run="r/1")

    @property
    def record(self) -> Rollout:
        return self.store.rollout(self.name)

    def desk(self):  # type: ignore[no-untyped-def]
        return at_desk(self.record, self.store, patch=self.patch, templates=templates(), now=self.clock, actor="pps")

    def fact(self, kind: FactKind, subject: str = "", occasion: str = "", **payload: object) -> Preview:
        self.store.record(Fact(self.name, kind, subject, occasion, self.clock, "pps", payload))
        return self

    def planned(self) -> Preview:
        opening.record_plan(self.desk(), SITES.values(), POLICIES.distribution.to_domain())
        return self

    def at(self, sites: Iterable[str], failed: Iterable[str] = ()) -> Preview:
        for site in sites:
            for kind in (FactKind.PREVIEW_INSTALLED, FactKind.PROBES_PASSED, FactKind.TAG_ADDED, FactKind.TAG_SEEN):
                self.fact(kind, site, "canary")
        for site in failed:
            self.fact(FactKind.SITE_FAILED, site, "canary", reason=f"{site}: words of the site.", error="SiteError")
        return self

    def through_the_gate(self) -> Preview:
        limits = POLICIES.distribution.to_domain()
        verdict, reasons = gates.pass_gate(self.desk(), limits)
        if verdict != "healthy":
            gates.stop(self.desk(), (f"The canaries' verdict is {verdict}.", *reasons), ())
        return self

    def asks(self, *vos: str) -> Preview:
        feedback_dates.agree_feedback_date(self.desk(), DUE)
        for vo in vos:
            self.fact(FactKind.VO_INVITED, vo)
        return self

    def hears(self, vo: str) -> Preview:
        token = tokens.invitation_token(SECRET, self.name, vo)
        feedback.give_feedback(self.store, self.name, feedback.Said(vo, "works", "", vo, token), self.clock, SECRET)
        return self

    def certified(self, state: PatchState = PatchState.CERTIFIED) -> Preview:
        self.patch = replace(self.patch, state=state)
        wait = POLICIES.certification.wait_at_most
        certification.certification_is_over(self.desk(), Knows(self.patch), wait_at_most=wait)  # type: ignore[arg-type]
        return self

    def notes(self) -> Preview:
        write_release_notes(self.desk(), PublishedFolder(self.folder))
        return self

    def released(self) -> Preview:
        assert release.decide_on_release(self.desk()) == ()
        self.fact(FactKind.RELEASED_TO_PRODUCTION, platforms=["debian12-amd64"])
        closing = Fact(self.name, FactKind.ROLLOUT_CLOSED, "", "", self.clock, "pps", {"outcome": "released"})
        self.store.close(closing)
        return self

    @property
    def canaries(self) -> tuple[str, ...]:
        return self.record.batch("canary")

    @property
    def fleet(self) -> list[str]:
        return [s for s in self.record.planned_sites if s not in self.canaries]

    def why(self) -> Why:
        return ask(self.store, self.patch, self.clock)


class Knows:
    def __init__(self, patch: Patch) -> None:
        self._patch = patch

    def patch(self, number: int) -> Patch:
        return self._patch


def on_its_way(folder: Path) -> Preview:
    way = Preview(folder).planned()
    return way.at(way.canaries).through_the_gate().at(way.fleet)


def overruled(store: FactStore, reason: str = "Strangers use this hole already.") -> None:
    by = {"EMT": "anna", "PPS Coordinator": "ben"}
    payload = {"urgency": "urgent", "reason": reason, "by": by, "state": "In certification"}
    name = dossier_name(PATCH.number)
    store.record_in_dossier(PATCH.number, Fact(name, FactKind.POLICIES_OVERRULED, "", "o-1", NOW, "pps", payload))
