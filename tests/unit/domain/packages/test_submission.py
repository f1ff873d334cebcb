"""What is found in a release, and what a waiver is worth."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.front import PATCH

from pps.domain.packages import findings, submission, submitted_packages
from pps.domain.packages.findings import Waiver, Weight, fault, open_faults
from pps.domain.packages.patch import PackageRef, PatchState, RepositoryKind
from pps.domain.packages.submission import Release
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.submissions import RECORD, LookState, Submitted, as_row, releases_in
from pps.domain.sites.site import Platform

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WITHIN = timedelta(hours=1)
FAULT = fault("no-notes", "", "It has no release notes.", "Write some.")
FOR_GOOD = fault("missing", "x", "x is not there.", "Publish it.", may_be_waived=False)


def waiver(finding: findings.Finding, at: datetime = NOW) -> Waiver:
    return Waiver(finding.key, "It is in the mail.", "Release Manager", "rita", at.isoformat())


@pytest.mark.parametrize(
    ("package", "platform", "so"),
    [
        ("amd64", "amd64", True),
        ("x86_64", "amd64", True),
        ("amd64", "x86_64", True),
        ("noarch", "s390x", True),
        ("all", "arm64", True),
        ("aarch64", "amd64", False),
        ("i386", "amd64", False),
    ],
)
def test_a_package_fits_a_platform_by_either_name_of_its_architecture(package: str, platform: str, so: bool) -> None:
    assert submission.fits(package, platform) is so


@pytest.mark.parametrize(
    ("system", "wrong_for"),
    [("debian12", "yum"), ("ubuntu24.04", "yum"), ("el9", "apt"), ("sl5", "apt"), ("fedora40", "apt"), ("plan9", "")],
)
def test_a_platform_of_the_other_kind_is_a_fault_and_an_unknown_one_is_not(system: str, wrong_for: str) -> None:
    for kind in RepositoryKind:
        repository = replace(PATCH.repository, kind=kind)
        release = Release(replace(PATCH, platforms=(Platform(system, "amd64"),), repository=repository))
        found = [f.code for f in submission.of_the_document(release)]
        assert ("platform-kind" in found) is (kind.value == wrong_for)


def test_versions_are_compared_as_their_own_tools_do() -> None:
    newer, older = PackageRef("x", "1.0~rc1-1", "all"), PackageRef("x", "1.0-1", "all")
    (found,) = submitted_packages.of_production(RepositoryKind.APT, newer, "a", older, "b")
    assert found.code == "version-not-above"
    assert submitted_packages.of_production(RepositoryKind.APT, older, "a", newer, "b") == []
    assert submitted_packages.of_production(RepositoryKind.APT, older, "a", older, "a") == [], "the very same package"


@pytest.mark.parametrize(
    ("notes", "named"),
    [("Set `X_HOST` now.", True), ("X_HOST", True), ("X_HOST_2", False), ("MY_X_HOST", False), ("x_host", False)],
)
def test_a_new_variable_must_stand_in_the_notes_as_a_word(notes: str, named: bool) -> None:
    found = list(submitted_packages.of_variables(replace(PATCH, release_notes=notes), {"X_HOST": "f:1"}, {"X_HOST"}))
    assert [f.code for f in found] == ([] if named else ["not-in-notes"])


@pytest.mark.parametrize("state", list(PatchState))
def test_what_is_on_its_way_to_production_or_dead_takes_no_correction(state: PatchState) -> None:
    closed = {"Ready for production", "Ready for rollout", "Rolling out", "In production", "Rejected", "Obsolete"}
    assert bool(submission.reasons_against_correction(state, 1)) is (state.value in closed)


def test_a_waiver_holds_for_exactly_what_was_found() -> None:
    waivers = {FAULT.key: waiver(FAULT)}
    assert open_faults([FAULT], waivers) == ()
    for other in (
        replace(FAULT, about="x"),
        replace(FAULT, sentence="It has no notes at all."),
        replace(FAULT, code="x"),
    ):
        assert open_faults([other], waivers) == (other,)


def test_what_cannot_be_waived_stays_open_whatever_is_on_record() -> None:
    assert open_faults([FOR_GOOD], {FOR_GOOD.key: waiver(FOR_GOOD)}) == (FOR_GOOD,)
    assert findings.reasons_against_waiver(FOR_GOOD, {}) != ()
    assert findings.reasons_against_waiver(replace(FAULT, weight=Weight.HINT), {}) != ()
    assert findings.reasons_against_waiver(None, {}) != ()
    assert findings.reasons_against_waiver(FAULT, {}) == ()


# --- the record


def fact(kind: FactKind, occasion: str, minutes: int = 0, **payload: object) -> Fact:
    return Fact(RECORD, kind, "glite-WN/3.1", occasion, NOW + timedelta(minutes=minutes), "user pat", payload)


def release(*findings: findings.Finding, in_all: int | None = None, submit: bool = True, **more: Fact) -> Submitted:
    rows = [as_row(f) for f in findings]
    facts = (
        fact(FactKind.RELEASE_OFFERED, "1", document={}, submit=submit, provider="P", user="pat"),
        fact(FactKind.RELEASE_LOOKED_AT, "1", 1, findings=rows, in_all=len(rows) if in_all is None else in_all),
        *more.values(),
    )
    return releases_in(facts)["glite-WN/3.1"]


def waived(minutes: int) -> Fact:
    said = {"finding": FAULT.key, "reason": "r", "role": "Release Manager", "user": "rita"}
    return fact(FactKind.FINDING_WAIVED, FAULT.key, minutes, **said)


def test_a_waiver_that_came_later_does_not_take_back_a_refusal() -> None:
    before, after = release(FAULT, waiver=waived(0)), release(FAULT, waiver=waived(2))
    assert before.state(NOW, WITHIN) is LookState.ACCEPTED
    assert after.state(NOW, WITHIN) is LookState.REFUSED
    assert after.open_faults() == ()


def test_faults_that_a_fact_does_not_keep_are_never_taken_for_mended() -> None:
    kept = release(FAULT, in_all=500, waiver=waived(0))
    assert kept.newest.more == 499
    assert kept.open_faults() != ()
    assert kept.state(NOW, WITHIN) is LookState.REFUSED


def test_a_look_without_an_end_is_lost_after_its_time_and_one_that_failed_accepts_nothing() -> None:
    offered = fact(FactKind.RELEASE_OFFERED, "1", document={}, submit=True, provider="P", user="pat")
    alone = releases_in([offered])["glite-WN/3.1"]
    assert alone.state(NOW + timedelta(minutes=59), WITHIN) is LookState.LOOKING
    assert alone.state(NOW + WITHIN, WITHIN) is LookState.BROKEN_OFF
    failed = releases_in([offered, fact(FactKind.RELEASE_LOOKED_AT, "1", 1, failed="The disk is full.")])
    assert failed["glite-WN/3.1"].state(NOW, WITHIN) is LookState.BROKEN_OFF
    assert (failed["glite-WN/3.1"].newest.findings, failed["glite-WN/3.1"].newest.more) == ((), 0)
