"""Every number of a release is what a second reckoning of the bare facts finds, whatever has happened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.deployment_bench import Bench
from tests.support.desks import at_office
from tests.support.examples import DUE, NOW, PATCH, asked, previewed, sqlite_store
from tests.support.pilots import MAJOR, APilot
from tests.support.quality import DAY, release, submit, with_a_past
from tests.support.quality_by_hand import rows_of
from tests.support.quality_twice import agrees, bare
from tests.support.release_tests import AReleaseTest

from pps.activities.quality import reviews
from pps.activities.quality.measures import EVER, Ledger, Period
from pps.activities.quality.reviews import Speaker
from pps.adapters.record.store import FactStore
from pps.domain.packages.patch import BugState, PatchState
from pps.domain.quality.measures_of_release import Begin
from pps.domain.quality.scenarios import ScenarioResult
from pps.domain.record.chain import verify
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout, dossier_name

SITES, VOS = ("PIC", "CNAF"), ("atlas", "cms")
AT = st.integers(0, 12).map(lambda hours: NOW + timedelta(hours=hours))
STATES = st.sampled_from(["OK", "WARNING", "CRITICAL", "UNKNOWN"])
PROBES = st.dictionaries(st.sampled_from(["versions", "libraries"]), STATES, min_size=1)
Event = tuple[FactKind, str, dict[str, Any]]


def probed(results: dict[str, str]) -> tuple[FactKind, dict[str, Any]]:
    ill = any(state in ("CRITICAL", "UNKNOWN") for state in results.values())
    found = [{"probe": p, "state": s, "text": ""} for p, s in results.items()]
    return (FactKind.PROBES_FAILED if ill else FactKind.PROBES_PASSED), {"results": found}


def one_of(kind: FactKind, subjects: Sequence[str], **payload: st.SearchStrategy[Any]) -> st.SearchStrategy[Event]:
    return st.tuples(st.just(kind), st.sampled_from(subjects), st.fixed_dictionaries(payload))


def whole(kind: FactKind, **payload: st.SearchStrategy[Any]) -> st.SearchStrategy[Event]:
    return one_of(kind, [""], **payload)


SOME = st.lists(st.sampled_from(SITES), unique=True)
BATCHES = st.fixed_dictionaries({"canary": SOME})
DUE_AT = AT.map(datetime.isoformat)
CHOICE = st.sampled_from(["Accept", "Reject", "Cannot apply it"])
BUGS = st.dictionaries(st.sampled_from(["1", "2"]), st.sampled_from(["fixed", "not fixed"]))
GIVEN = {
    "opinion": st.just("works"),
    "text": st.just(""),
    "invited": st.sampled_from([True, True, False]),
    "bugs": BUGS,
}
ANSWER = {"step": st.just("release-test"), "choice": CHOICE, "form": st.just({}), "user": st.just("ada")}
WITH_VOS = [
    one_of(FactKind.VO_INVITED, VOS),
    whole(FactKind.FEEDBACK_DATE_AGREED, due=DUE_AT),
    one_of(FactKind.FEEDBACK_GIVEN, VOS, **GIVEN),
    one_of(FactKind.FEEDBACK_WITHDRAWN, VOS),
    whole(FactKind.FEEDBACK_ENDED),
]
OF_PREVIEW = [
    whole(FactKind.PLAN_AGREED, batches=BATCHES),
    *(whole(kind, sites=SOME) for kind in (FactKind.NIGHT_PLANNED, FactKind.RETRY_PLANNED)),
    *(one_of(kind, SITES) for kind in (FactKind.TAG_SEEN, FactKind.SITE_LEFT_OUT)),
    *[st.tuples(PROBES.map(probed), st.sampled_from(SITES)).map(lambda f: (f[0][0], f[1], f[0][1]))] * 3,
    whole(FactKind.WITHDRAWAL_ASKED, reason=st.just("It loses files.")),
]
SET_UP_AND_BACK = (FactKind.SERVICE_SET_UP, FactKind.SERVICE_ROLLED_BACK, FactKind.SITE_LEFT_OUT)
OF_PILOT = [
    whole(FactKind.SITES_SELECTED, sites=SOME),
    *(one_of(kind, SITES) for kind in SET_UP_AND_BACK),
    one_of(FactKind.SERVICE_PROBED, SITES, state=STATES),
]
RESULTS = st.sampled_from(["pass", "fail", "inconclusive"])
OF_RELEASE_TEST = [
    whole(FactKind.PLAN_AGREED, batches=BATCHES),
    one_of(FactKind.QUESTION_ASKED, SITES, due=DUE_AT),
    one_of(FactKind.QUESTION_EXPIRED, SITES),
    one_of(FactKind.ANSWER_GIVEN, SITES, **ANSWER),
]
OF: dict[str, list[st.SearchStrategy[Event]]] = {
    "bc-client": [*OF_PREVIEW, *WITH_VOS],
    "non-bc-client": [*OF_PREVIEW, *WITH_VOS],
    "pre-deployment": [one_of(FactKind.SCENARIO_ENDED, ["wn", "torque"], result=RESULTS)],
    "release-test": OF_RELEASE_TEST,
    "minor-pilot": OF_PILOT,
    "major-pilot": [*OF_PILOT, *WITH_VOS],
    "overrule": [whole(FactKind.RELEASED_TO_PRODUCTION)],
}
ENDS = st.sampled_from([FactKind.RELEASED_TO_PRODUCTION, FactKind.ROLLOUT_STOPPED, FactKind.ROLLOUT_CLOSED, None, None])


@st.composite
def histories(draw: st.DrawFn) -> list[list[Fact]]:
    """Rollouts of three patches of one product, two of which may be one version; facts come at any time."""
    found = []
    same = draw(st.sampled_from(["2", "3"]))
    for n in range(draw(st.integers(1, 5))):
        path, patch = draw(st.sampled_from(["bc-client", *OF])), draw(st.sampled_from([11, 12, 13]))
        name = f"{path}-{patch}-{n}"
        opened = {
            "path": path,
            "patch": patch,
            "metapackage": "glite-WN",
            "version": {11: "1", 12: "2", 13: same}[patch],
        }
        events = draw(st.lists(st.one_of(*OF[path]), max_size=12))
        if end := draw(ENDS):
            events.append((end, "", {}))
        facts = [Fact(name, FactKind.ROLLOUT_OPENED, "", "", draw(AT), "x", opened)]
        for k, (kind, subject, payload) in enumerate(events):
            facts.append(Fact(name, kind, subject, _occasion(draw, kind, k), draw(AT), "x", payload))
        found.append(facts)
    return found


def _occasion(draw: st.DrawFn, kind: FactKind, number: int) -> str:
    if kind in (FactKind.FEEDBACK_GIVEN, FactKind.FEEDBACK_WITHDRAWN):
        return draw(st.sampled_from("ab"))
    return "release-test" if kind in (FactKind.QUESTION_ASKED, FactKind.QUESTION_EXPIRED) else str(number)


def kept(records: list[list[Fact]], dossiers: dict[int, datetime]) -> FactStore:
    store = sqlite_store()
    for patch, at in dossiers.items():
        name = dossier_name(patch)
        store.open(
            "patch",
            patch,
            Fact(name, FactKind.ROLLOUT_OPENED, "", "", at, "x", {"path": "patch", "patch": patch}),
            name,
        )
    # the register is in the order of opening, as time has it
    for facts in sorted(records, key=lambda facts: facts[0].at):
        # of one line a patch has one rollout open at most: here each has a register row of its own all the same
        opened = facts[0].payload
        store.open(f"{opened['path']}", opened["patch"], facts[0], facts[0].rollout)
        store.record(*facts[1:])
        store.close(Fact(facts[0].rollout, FactKind.TOLD, "register", "", facts[0].at, "x", {}))
    return store


PATCHES = st.sampled_from([11, 12, 13])


def tell_of_bugs(store: FactStore, told: Sequence[tuple[int, int, BugState]]) -> None:
    """As the hourly look at the tracker's bugs records them: what has changed."""
    for number, (patch, bug, state) in enumerate(told):
        fact = Fact(dossier_name(patch), FactKind.BUG_SEEN, str(bug), str(number), NOW, "x", {"state": state.value})
        store.record_in_dossier(patch, fact)


@given(
    histories(),
    st.dictionaries(PATCHES, AT),
    st.lists(st.tuples(PATCHES, st.sampled_from("ab"))),
    st.lists(PATCHES),
    st.lists(st.tuples(PATCHES, st.integers(1, 3), st.sampled_from(BugState))),
    st.lists(st.tuples(PATCHES, AT.map(lambda at: at - timedelta(hours=6)), st.booleans())),
)
def test_each_number_is_what_the_bare_facts_say(
    records: list[list[Fact]],
    dossiers: dict[int, datetime],
    waived: list[tuple[int, str]],
    entered: list[int],
    bugs: list[tuple[int, int, BugState]],
    offered: list[tuple[int, datetime, bool]],
) -> None:
    store = kept(records, dossiers)
    submit(store, waived, entered, offered)
    tell_of_bugs(store, bugs)
    agrees(store, bare(store))


def test_times_begin_with_the_first_submission_and_without_one_with_the_first_record() -> None:
    store, begun = sqlite_store(), NOW - 9 * DAY
    for patch in (4701, 4702, 4703):
        release(store, patch, f"3.1.{patch}", begun, days=4)
    ledger = Ledger(lambda: store)
    before = {r.patch: r for r in ledger.in_period(EVER)}
    assert {r.begun_with for r in before.values()} == {Begin.RECORD}
    offers = [(4701, begun - 3 * DAY, False), (4701, begun - 2 * DAY, True), (4701, begun - DAY, True)]
    submit(store, [], [4701, 4702], [*offers, (4702, begun + DAY, True), (4703, begun - DAY, True)])
    days = {r.patch: (r.begun_with, r.begun_at, r.values["time-to-production"].number) for r in ledger.in_period(EVER)}
    assert days == {
        4701: (Begin.SUBMISSION, begun - 2 * DAY, 6.0),  # what was only looked at was not submitted
        4702: (Begin.RECORD, begun, 4.0),  # a rollout of it was there before
        4703: (Begin.RECORD, begun, 4.0),  # what was submitted was never entered
    }
    to_preview = [v.values["time-to-preview"].number or 0 for v in (before[4701], ledger.whole(4701) or before[4702])]
    assert to_preview[1] - to_preview[0] == pytest.approx(2.0)
    assert [r.patch for r in ledger.in_period(Period(until=(begun - DAY).date()))] == [4701]
    agrees(store, bare(store))


class Counting:
    """A store that knows which records were read."""

    def __init__(self, store: FactStore) -> None:
        self._store, self.read = store, list[str]()
        self.openings: list[list[Fact]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def rollout(self, name: str) -> Rollout:
        self.read.append(name)
        return self._store.rollout(name)

    def facts_of_kind(self, kinds: Collection[FactKind], since: datetime | None = None) -> tuple[Fact, ...]:
        found = self._store.facts_of_kind(kinds, since)
        self.openings.append([f for f in found if f.kind is FactKind.ROLLOUT_OPENED])
        return found


def test_what_ended_is_read_once_and_again_only_when_something_is_recorded_about_it() -> None:
    store = sqlite_store()
    with_a_past(store)
    facts = Counting(store)
    ledger = Ledger(lambda: facts)
    first = ledger.of_product("glite-WN")
    assert sorted(facts.read) == [
        "bc-client-4701-1",
        "bc-client-4702-1",
        "bc-client-4703-1",
        "bc-client-4704-1",
        "pre-deployment-4703-1",
    ]
    facts.read.clear()
    assert ledger.of_product("glite-WN") == first
    assert [r for r in ledger.in_period(EVER) if r.metapackage == "glite-WN"] == list(first)
    assert "bc-client-4701-1" not in facts.read
    facts.read.clear()
    store.record(Fact("bc-client-4702-1", FactKind.TAG_SEEN, "SARA", "night", NOW, "pps", {}))
    again = {r.patch: r for r in ledger.of_product("glite-WN")}
    assert facts.read == ["bc-client-4702-1"]
    assert again[4702].values["sites-reached"].part == 3
    facts.read.clear()
    release(store, 4705, "3.1.24", NOW, days=1)  # opened, and closed, between two looks
    assert [r.patch for r in ledger.of_product("glite-WN")] == [4701, 4702, 4703, 4704, 4705]
    assert [r.patch for r in ledger.in_period(Period(since=NOW.date()))] == [4705]
    assert facts.read == ["bc-client-4705-1"]
    assert [f.payload["patch"] for f in facts.openings[-1]] == [4705]


def test_a_release_of_the_same_version_is_not_the_version_before() -> None:
    store = sqlite_store()
    release(store, 4701, "3.1.20", NOW - 9 * DAY, ill={"PIC": "versions"})
    release(store, 4702, "3.1.21", NOW - 6 * DAY)
    release(store, 4703, "3.1.21", NOW - 3 * DAY, ill={"PIC": "versions", "CNAF": "versions"})
    agrees(store, bare(store))
    regressions = Ledger(lambda: store).of_product("glite-WN")[-1].values["regressions"]
    assert (regressions.part, regressions.whole) == (1, 4)  # PIC was ill with 3.1.20
    assert [c.subject for c in regressions.counted] == []
    whole = Ledger(lambda: store).whole(4703)
    assert whole is not None
    assert [c.subject for c in whole.values["regressions"].counted] == ["CNAF"]


def test_a_period_has_its_first_and_its_last_day_in_utc() -> None:
    store = sqlite_store()
    release(store, 4701, "1", datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))))  # still February
    release(store, 4702, "2", datetime(2026, 3, 1, tzinfo=UTC))
    release(store, 4703, "3", datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC))
    release(store, 4704, "4", datetime(2026, 4, 1, tzinfo=UTC))
    march = Period.read("2026-03-01", "2026-03-31")
    assert [r.patch for r in Ledger(lambda: store).of_product("glite-WN", march, None)] == [4702, 4703]
    assert [r.patch for r in Ledger(lambda: store).in_period(march)] == [4702, 4703]


def test_what_the_steps_themselves_record_is_counted_as_by_hand(tmp_path: Path) -> None:
    """A release test, a deployment test and a preview, as their own activities put them on record."""
    store = sqlite_store(tmp_path)
    tried = AReleaseTest(store=store).asked()
    tried.answers("PIC", "Accept").answers("IFIC-LCG2", "Cannot apply it").late("INFN-T1", "Reject").decided(
        "Release", "Well."
    )
    patch = replace(PATCH, number=4712, version="3.1.24")
    bench = Bench(store, tmp_path / "published", patch)
    assert bench.run() is ScenarioResult.PASS
    bench.site_answers(ScenarioResult.FAIL, "A program does not start.")
    bench.close()
    asked(store, previewed(store, patch, run="x"), DUE)
    by_hand = agrees(store, rows_of(str(tmp_path / "facts.db")))
    assert by_hand[4711]["sites-reached"] == ("waiting", None, 1, 3)
    assert by_hand[4712]["scenarios-passed"] == ("measured", 50.0, 1, 2)
    assert by_hand[4712]["sites-reached"] == ("waiting", None, 2, 5)
    store.dispose()


def test_a_whole_pilot_is_counted_as_by_hand(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path)
    pilot = APilot(replace(MAJOR, state=PatchState.CERTIFIED), store, vo="cms").running("cms")
    by_hand = agrees(store, rows_of(str(tmp_path / "facts.db")))[4711]
    assert by_hand["sites-reached"][2] == len(pilot.pilot.served) > 0
    assert by_hand["time-to-preview"][0] == "measured"
    store.dispose()


@pytest.mark.needs("postgres")
def test_postgresql_gives_the_same_numbers_and_keeps_plan_action_and_review(fact_store: FactStore) -> None:
    with_a_past(fact_store)
    by_hand = agrees(fact_store, bare(fact_store))
    assert by_hand[4702]["regressions"] == ("measured", 1, 1, 4)
    assert by_hand[4800]["roll-backs"] == ("measured", 1, 1, 2)
    office, manager = at_office(fact_store), Speaker("rita", {"role:Release Manager"}, ())
    reviews.set_target(office, "glite-WN", "time-to-production", 12.5, "As agreed on paper.", manager)
    reviews.agree_action(office, "glite-WN", "Test large files first.", "rita", NOW.date(), manager)
    releases = Ledger(lambda: fact_store).of_product("glite-WN")
    reviews.hold_review(office, "glite-WN", "One release was withdrawn.", releases, manager)
    plan = reviews.standing_plan(fact_store, "glite-WN")
    target = plan.target("time-to-production")
    assert target is not None
    assert (target.target, target.role, target.since) == (12.5, "Release Manager", NOW)
    assert (len(plan.actions), plan.reviews[0].saw["releases"][1]["values"]["regressions"]["part"]) == (1, 1)
    assert all(verify(name, links).misfit == "" for name, links in fact_store.chains())
