"""Release tests on a store: opened, planned, answered, decided, closed; twice, late and at once."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support import signing
from tests.support.bad_input import HTML, JINJA, TEXTS
from tests.support.desks import at_desk, at_office
from tests.support.examples import NOW, SITES, sqlite_store, templates
from tests.support.front import MemoryTracker
from tests.support.paper_packages import beside_on_paper
from tests.support.release_tests import (
    ACTIVITY,
    BADLY,
    CERTIFIED,
    DUE,
    LATE,
    PACKAGE,
    PACKAGE_BYTES,
    POOLS,
    WELL,
    AReleaseTest,
)
from tests.support.snapshots import matches_snapshot
from upath import UPath

from pps.activities.clients.bulletin import bulletin, stage
from pps.activities.clients.bulletin_pages import write_bulletin
from pps.activities.packages.production import Production
from pps.activities.packages.tracker_states import tell_states
from pps.activities.quality import release_answers, release_testing
from pps.activities.release import decision as release_decision
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.services.templates import fenced
from pps.domain.base.errors import AlreadyOpenError, NotYetAllowedError, RefusedError
from pps.domain.base.texts import clean_text
from pps.domain.packages.patch import PatchState, Repository
from pps.domain.people.effort import credits_of
from pps.domain.quality.pools import Pool
from pps.domain.quality.release_tests import ACCEPT, CANNOT, HOLD, REJECT, RELEASE, decision, standings
from pps.domain.record.facts import FactKind
from pps.domain.sites.site import CertificationStatus


@dataclass
class World:
    """Tracker, store of packages and repository, as a release sees them."""

    comments: list[str] = field(default_factory=list)
    published: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def comment(self, number: int, text: str) -> None:
        self.comments.append(text)

    def local_package(self, sha256: str) -> Path:
        assert sha256 == PACKAGE
        path = Path(tempfile.mkdtemp(prefix="pps-test-")) / sha256
        path.write_bytes(PACKAGE_BYTES)
        return path

    def publish(self, place: str, repository: Repository, files: Sequence[Path], now: Any) -> None:
        self.published.append((place, tuple(f.name for f in files)))


def release(test: AReleaseTest, world: World, patch: Any = None) -> tuple[str, ...]:
    people = ["roc-italy@example.org"]
    production = Production(
        world,
        PublishedFolder(UPath("memory://production")),
        world.publish,
        templates(),
        people,
        url="https://packages.example.org",
        keys=signing.KEYS,
        beside=beside_on_paper(UPath("memory://pages")),
    )
    return release_decision.release_update(
        at_desk(test.record, test.store, patch=patch or test.patch, now=LATE, actor="pps"), production
    )


# --- opening and plan


@pytest.mark.parametrize(
    "state", [s for s in PatchState if s not in (PatchState.CERTIFIED, PatchState.READY_FOR_PRODUCTION)]
)
def test_only_what_is_certified_and_not_yet_public_is_tried(state: PatchState) -> None:
    with pytest.raises(RefusedError, match=f'The patch is "{state}"'):
        AReleaseTest(replace(CERTIFIED, state=state))


def test_a_refused_patch_leaves_no_trace() -> None:
    store = sqlite_store()
    with pytest.raises(RefusedError, match="names no packages"):
        AReleaseTest(replace(CERTIFIED, packages=()), store)
    assert store.rollouts() == ()


def test_without_a_site_that_can_take_part_nothing_is_opened() -> None:
    closed = {name: replace(site, certification=CertificationStatus.CLOSED) for name, site in SITES.items()}
    for pools, sites in (((), SITES), (POOLS, closed)):
        with pytest.raises(RefusedError, match="No site can take part"):
            release_testing.open_release_test(
                at_office(sqlite_store(), now=NOW, actor="pps"), CERTIFIED, pools, sites, None, run="r/1"
            )


def test_a_retry_opens_nothing_new_and_a_second_start_is_refused() -> None:
    store = sqlite_store()
    assert AReleaseTest(store=store).name == AReleaseTest(store=store).name == "release-test-4711-1"
    with pytest.raises(AlreadyOpenError, match="release-test-4711-1"):
        release_testing.open_release_test(
            at_office(store, now=NOW, actor="pps"), CERTIFIED, POOLS, SITES, None, run="release_testing/other"
        )


def test_who_is_left_out_is_on_record_with_the_reason_and_the_plan_stays() -> None:
    test = AReleaseTest()
    sites = SITES | {"PIC": replace(SITES["PIC"], certification=CertificationStatus.SUSPENDED)}
    first = release_testing.plan(at_desk(test.record, test.store, patch=test.patch, now=NOW, actor="pps"), POOLS, sites)
    again = release_testing.plan(at_desk(test.record, test.store, patch=test.patch, now=NOW, actor="pps"), POOLS, SITES)
    assert first == again == ("IFIC-LCG2", "INFN-T1")
    assert [f.payload["reason"] for f in test.kinds(FactKind.SITE_LEFT_OUT)] == [
        "PIC is suspended in the site registry."
    ]


def test_pools_are_chosen_at_the_start() -> None:
    store = sqlite_store()
    name = release_testing.open_release_test(
        at_office(store, now=NOW, actor="pps"), CERTIFIED, POOLS, SITES, ["italy"], run="r/1"
    )
    pools = (*POOLS, Pool("more", "Italy", ("INFN-BARI",)))
    assert release_testing.plan(
        at_desk(store.rollout(name), store, patch=CERTIFIED, now=NOW, actor="pps"), pools, SITES
    ) == ("INFN-T1",)


# --- answers


@pytest.mark.parametrize(
    ("choice", "form", "why"),
    [
        (ACCEPT, {"services": " \n", "report": "fine"}, "to which services"),
        (ACCEPT, {}, "to which services"),
        (REJECT, {"services": "CREAM-CE", "report": "\u200b"}, "does not say why"),
        (CANNOT, {"services": None, "report": None}, "does not say why"),
        ("Maybe", WELL, "'Maybe' is no answer"),
    ],
)
def test_an_answer_that_says_too_little_is_not_taken(choice: str, form: dict[str, Any], why: str) -> None:
    test = AReleaseTest().asked()
    with pytest.raises(RefusedError, match=why):
        test.answers("PIC", choice, form)
    assert not test.kinds(FactKind.ANSWER_GIVEN)
    assert not test.kinds(FactKind.CREDITED)


def test_a_late_answer_is_kept_and_counts_for_nothing() -> None:
    test = AReleaseTest().asked().answers("IFIC-LCG2", ACCEPT).time_is_up().late("PIC", REJECT)
    by_site = {s.site: s for s in standings(test.record)}
    assert by_site["PIC"].answer is None
    assert [(a.choice, a.late) for a in by_site["PIC"].others] == [(REJECT, True)]
    test.decided(RELEASE)  # nobody rejects it in time, so no reason is needed


def test_a_late_answer_is_kept_before_airflow_has_noticed_that_the_time_is_up() -> None:
    test = AReleaseTest().asked().late("PIC", ACCEPT).time_is_up()
    assert standings(test.record)[0].answer is None
    assert len(standings(test.record)[0].others) == 1


def test_while_the_question_is_open_there_is_one_door() -> None:
    test = AReleaseTest().asked()
    with pytest.raises(NotYetAllowedError, match=r"https://pps\.example\.org/answer/PIC"):
        test.late("PIC", at=DUE)
    with pytest.raises(NotYetAllowedError, match="nobody has asked"):
        AReleaseTest().planned().late("PIC")


def test_a_second_answer_in_time_is_kept_beside_the_first_which_counts() -> None:
    test = AReleaseTest().asked().answers("PIC", ACCEPT).late("PIC", REJECT, user="second", at=NOW)
    pic = standings(test.record)[0]
    assert (pic.word, [a.user for a in pic.others]) == ("accept", ["second"])
    assert len(test.kinds(FactKind.CREDITED)) == 1


def test_an_answer_after_the_end_is_kept_too() -> None:
    test = AReleaseTest().asked().time_is_up().decided(HOLD, "Nobody has tried it.")
    release_decision.close_release_test(at_desk(test.record, test.store, now=LATE, actor="pps"))
    test.late("PIC", REJECT, at=LATE + timedelta(days=30))
    assert standings(test.record)[0].others[0].late
    assert decision(test.record).choice == HOLD


def test_questions_that_are_still_open_end_with_the_decision() -> None:
    test = AReleaseTest().asked().answers("PIC", ACCEPT).decided(RELEASE)
    test.late("INFN-T1", REJECT, at=NOW)  # before its time, after the decision
    assert [(s.word, [a.late for a in s.others]) for s in standings(test.record)] == [
        ("accept", []),
        ("silent", []),
        ("silent", [True]),
    ]


def test_the_same_late_answer_from_many_at_once_is_one_record_and_one_credit(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path)
    test = AReleaseTest(store=store).asked().time_is_up()
    together = threading.Barrier(8)

    def answer(_: int) -> None:
        together.wait()
        test.late("PIC", ACCEPT)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(answer, range(8)))
    assert len(test.kinds(FactKind.ANSWER_GIVEN)) == len(test.kinds(FactKind.CREDITED)) == 1
    store.dispose()


# --- credits


def test_a_site_that_applied_it_has_one_credit_however_often_it_answers() -> None:
    test = AReleaseTest().asked().answers("PIC", ACCEPT).answers("INFN-T1", CANNOT).time_is_up()
    test.late("PIC", REJECT, user="second").late("IFIC-LCG2", REJECT)
    found = credits_of(test.record.facts)
    assert [(c.site, c.roc, c.person, c.role, c.credits, c.effort_ph) for c in found] == [
        ("PIC", "SouthWest", "admin-pic", "Production Site", 1, 1),
        ("IFIC-LCG2", "SouthWest", "admin-ific-lcg2", "Production Site", 1, 1),
    ]


# --- decision


def test_a_decision_is_on_record_with_who_said_what() -> None:
    test = AReleaseTest().asked().answers("PIC", ACCEPT).answers("INFN-T1", REJECT).time_is_up()
    test.decided(RELEASE, "The lost jobs came from another cause.")
    [fact] = test.kinds(FactKind.DECIDED)
    assert fact.payload == {
        "decision": "Release",
        "reason": "The lost jobs came from another cause.",
        "user": "grace",
        "answers": {"PIC": "accept", "IFIC-LCG2": "silent", "INFN-T1": "reject"},
        "doubts": ["INFN-T1 rejects it."],
    }


@pytest.mark.parametrize("reason", [None, "", " \n\t", "\u202e"])
def test_a_decision_that_needs_a_reason_is_not_taken_without_one(reason: str | None) -> None:
    well = AReleaseTest().asked().answers("PIC", ACCEPT).time_is_up()
    with pytest.raises(RefusedError, match="held needs a reason"):
        well.decided(HOLD, reason)
    rejected = AReleaseTest().asked().answers("PIC", ACCEPT).answers("INFN-T1", REJECT).time_is_up()
    with pytest.raises(RefusedError, match=r"INFN-T1 rejects it\. So a release needs a reason"):
        rejected.decided(RELEASE, reason)
    for nobody in (AReleaseTest().asked().time_is_up(), AReleaseTest().asked().answers("PIC", CANNOT).time_is_up()):
        with pytest.raises(RefusedError, match="No site has applied it in time"):
            nobody.decided(RELEASE, reason)
    assert well.decided(RELEASE, reason).kinds(FactKind.DECIDED)


def test_the_first_of_two_decisions_stands() -> None:
    test = AReleaseTest().asked().answers("PIC", ACCEPT).time_is_up()
    test.decided(HOLD, "Let us wait.").decided(RELEASE, user="ada")
    assert decision(test.record).choice == HOLD
    with pytest.raises(NotYetAllowedError, match="holds it"):
        release(test, World())


def test_silence_holds_the_update() -> None:
    test = AReleaseTest().asked().time_is_up()
    test.store.record(*release_decision.facts_of_no_decision(at_desk(test.record, now=LATE, actor="pps"), LATE))
    world = World()
    assert "did not decide by 2025-12-02 10:30 UTC" in release_decision.hold_update(test.record, CERTIFIED, world)
    assert world.comments[0].startswith("Held by release test release-test-4711-1. ")
    assert release_decision.close_release_test(at_desk(test.record, test.store, now=LATE, actor="pps")) == "held"
    assert decision(test.record).user == ""


def test_without_a_decision_on_record_nothing_follows_whatever_airflow_says() -> None:
    test = AReleaseTest().asked().time_is_up()
    for step in (
        lambda: release(test, World()),
        lambda: release_decision.hold_update(test.record, CERTIFIED, World()),
        lambda: release_decision.close_release_test(at_desk(test.record, test.store, now=LATE, actor="pps")),
    ):
        with pytest.raises(NotYetAllowedError, match="nobody has decided"):
            step()
    with pytest.raises(NotYetAllowedError, match="patch-delivered"):
        release_decision.decision_view(AReleaseTest().planned().record, CERTIFIED, DUE)


# --- what follows


def test_a_release_publishes_what_was_tried_moves_the_patch_and_tells_people_once() -> None:
    tracker = MemoryTracker(CERTIFIED)
    test = AReleaseTest().asked().answers("PIC", ACCEPT).time_is_up().decided(RELEASE)
    world = World()
    assert release(test, world) == release(test, world) == ()
    assert world.published == [("apt", (PACKAGE,))]
    for _ in range(2):
        tell_states(at_office(test.store, now=LATE, actor="pps"), tracker)
    assert tracker.moves == [(4711, "Ready for production"), (4711, "In production")]
    assert tracker.remarks == [(4711, f"Released to production by rollout {test.name} for debian12-amd64.")]
    assert release_decision.close_release_test(at_desk(test.record, test.store, now=LATE, actor="pps")) == "released"
    mails = [mail for mail, _, _ in test.store.outbox(test.name) if "/released/" in mail.key]
    assert [mail.to for mail in mails] == ["roc-italy@example.org"]
    matches_snapshot("released_update.txt", mails[0].text)
    assert stage(test.record) == "released"


def test_the_rules_for_production_hold_after_a_release_test_too() -> None:
    test = AReleaseTest().asked().answers("PIC", ACCEPT).time_is_up().decided(RELEASE)
    world = World()
    special = replace(CERTIFIED, special_configuration="Set X.")
    reasons = ("The release notes contain special configuration, so a pre-deployment test is needed.",)
    assert release(test, world, special) == reasons
    # a retry finds the refusal on record, whatever the tracker says by then
    assert release(test, world) == reasons
    assert world == World()
    assert (
        release_decision.close_release_test(at_desk(test.record, test.store, now=LATE, actor="pps")) == "not released"
    )
    assert test.record.the(FactKind.ROLLOUT_CLOSED).payload["reasons"] == list(reasons)


def test_what_is_to_be_released_is_not_closed_before_it_is() -> None:
    test = AReleaseTest().asked().answers("PIC", ACCEPT).time_is_up().decided(RELEASE)
    with pytest.raises(NotYetAllowedError, match="not yet"):
        release_decision.close_release_test(at_desk(test.record, test.store, now=LATE, actor="pps"))
    assert not test.record.is_closed


def test_the_bulletin_knows_an_update_when_it_is_public_and_not_before() -> None:
    test = AReleaseTest().asked().answers("PIC", ACCEPT).time_is_up()
    assert stage(test.record) == "release test"
    assert bulletin(test.store, SITES, LATE)["rollouts"] == []
    release(test.decided(RELEASE), World())
    [shown] = bulletin(test.store, SITES, LATE)["rollouts"]
    assert (shown["rollout"], shown["stage"], shown["sites"]) == (test.name, "released", [])
    pages = UPath("memory://www")
    write_bulletin(test.store, SITES, templates(), PublishedFolder(pages), LATE, "https://pps.example.org")
    assert "It is in the production repository." in (pages / "bulletin.html").read_text()


# --- words


def test_the_question_tells_where_the_update_is_and_until_when_in_the_site_s_zone() -> None:
    test = AReleaseTest().delivered()
    site = SITES["PIC"]
    view = release_answers.question_view(
        at_desk(test.record, templates=templates()),
        CERTIFIED,
        site,
        ("CREAM-CE",),
        DUE,
        "https://pps/answers",
        signing.KEYS,
    )
    text = templates().render("ask_release_test.md", view)
    matches_snapshot("ask_release_test.md", text)
    yum = replace(CERTIFIED, repository=replace(CERTIFIED.repository, kind="yum", components=()))
    view = release_answers.question_view(
        at_desk(test.record, templates=templates()), yum, site, (), DUE, "https://pps/answers", signing.KEYS
    )
    assert "baseurl=https://packages.example.org/release-test-4711-1/apt" in templates().render(
        "ask_release_test.md", view
    )


def test_the_release_manager_reads_every_answer_the_late_ones_and_who_is_silent() -> None:
    test = AReleaseTest().asked().answers("PIC", ACCEPT).answers("INFN-T1", REJECT).time_is_up()
    test.late("IFIC-LCG2", ACCEPT).late("PIC", REJECT, user="second")
    text = templates().render("ask_release_decision.md", release_decision.decision_view(test.record, CERTIFIED, DUE))
    matches_snapshot("ask_release_decision.md", text)


@pytest.mark.parametrize("text", [*HTML, *JINJA, *TEXTS, "```\n# Approved by the EMT\n```"])
def test_what_sites_write_is_data_in_the_manager_s_form(text: str) -> None:
    test = AReleaseTest().asked()
    report = {"services": "CE", "report": f"x{text[:5000]}"}
    test.answers("PIC", REJECT, report)
    shown = templates().render("ask_release_decision.md", release_decision.decision_view(test.record, CERTIFIED, DUE))
    assert fenced(clean_text(report["report"]).strip()) in shown


def test_results_hold_all_answers_as_data() -> None:
    test = AReleaseTest().asked().answers("PIC", ACCEPT).time_is_up().late("INFN-T1", REJECT)
    found = release_answers.results(test.record)
    assert found["outcome"] is None
    pic, ific, infn = found["sites"]
    assert pic["answer"] == {
        "choice": "Accept",
        "user": "admin-pic",
        "at": NOW,
        "late": False,
        "services": "CREAM-CE",
        "report": "",
    }
    assert (ific["answer"], ific["without_effect"], ific["delivered"]) == (None, [], True)
    assert infn["without_effect"][0]["report"] == BADLY["report"]
    assert ACTIVITY.credits == 1


def test_packages_that_no_site_has_tried_are_not_released_in_their_name() -> None:
    test, world = AReleaseTest().asked().answers("PIC", ACCEPT).time_is_up().decided(RELEASE), World()
    newer = replace(test.patch, packages=(replace(test.patch.packages[0], version="2.1.1-1"),))
    (reason,) = release(test, world, newer)
    tried, named = "voms-clients-2.1.0-1.amd64", "voms-clients-2.1.1-1.amd64"
    assert reason == f"Patch 4711 names other packages now than those that were tried ({tried}, {named})."
    assert world == World()
