"""The wrap-up meeting of a pilot: what it is shown, and what it decides (SD 4.1.3, 10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pps.activities.desk import Desk
from pps.activities.packages.fetching import reasons_if_changed
from pps.activities.pilots.kick_off import agreed_time, named
from pps.activities.pilots.set_up import field
from pps.activities.quality.deployment_tests import newest_deployment_test, newest_deployment_verdict
from pps.activities.release.release import reasons_against_release
from pps.domain.base.errors import NotYetAllowedError, RefusedError
from pps.domain.base.texts import clean_text, one_line, reasons_against_reason
from pps.domain.people.links import document_link
from pps.domain.people.overruling import overruling
from pps.domain.people.questions import Given
from pps.domain.pilots import looks, rules
from pps.domain.pilots.pilot import PROLONG, REJECT, RELEASE, Pilot
from pps.domain.pilots.success import Assessment, JudgedBy, words_of_vos
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout

STEP = "pilot-wrap-up"
RELEASE_IT, PROLONG_IT, REJECT_IT = "Release", "Prolong", "Reject"
OPTIONS = (RELEASE_IT, PROLONG_IT, REJECT_IT)
_DECISIONS = {RELEASE_IT: RELEASE, PROLONG_IT: PROLONG, REJECT_IT: REJECT}
AGENDA = (
    "Assessment of the pilot: reports of the sites, journal, feedback of the VOs.",
    "Decision: release it, prolong the pilot by another round, or reject it.",
    "Guidelines for the deployment.",
)


@dataclass(frozen=True, slots=True)
class SiteResult:
    """How the pilot went at one site, in words for meeting and release notes."""

    site: str
    state: str
    version: str
    available: str
    """share of the run in which the service was well, in %; "" where it cannot be judged"""
    report: str
    """file of its post-mortem report below the publication folder; "" where it wrote none"""


def results(record: Rollout, now: datetime) -> tuple[SiteResult, ...]:
    """How the pilot went at each selected site."""
    pilot = Pilot(record)
    return tuple(_result(record, pilot, site, now) for site in pilot.selected)


def _result(record: Rollout, pilot: Pilot, site: str, now: datetime) -> SiteResult:
    fact, seen = pilot.first_set_up(site), looks.availability(pilot, site, now)
    if pilot.rolled_back(site) is not None:
        state = "rolled back"
    elif pilot.is_left_out(site):
        state = "left out"
    else:
        state = "run to the end" if fact else "not set up"
    written = [f for f in record.facts if f.kind is FactKind.REPORT_WRITTEN and f.subject == site]
    files = [str(name) for name in written[-1].payload.get("files", ())] if written else []
    return SiteResult(
        site,
        state,
        str(fact.payload.get("version", "")) if fact else "",
        seen.text if seen else "",
        next((name for name in files if name.endswith(".html")), files[0] if files else ""),
    )


def report_links(found: Iterable[SiteResult], public_url: str) -> dict[str, str]:
    """Site -> address of its post-mortem report, which anybody may read."""
    return {r.site: document_link(public_url, r.report) for r in found if r.report}


def reasons_against_pilot_release(desk: Desk) -> tuple[str, ...]:
    """Say why the update of a pilot may not go to production now; no reasons means that it may.

    Source: SD 4.1.3: "deployment test of the update over significant deployment scenarios are run in parallel and
    separately from the pilot activity": release needs both, and certification, unless the policies are overruled. What
    goes out is what was tried, so a patch that has changed since needs a pilot of its own, overruled or not.
    """
    patch = desk.patch
    reasons = list(reasons_against_release(desk.facts, patch))
    overruled = overruling(desk.facts.dossier(patch.number)) is not None
    if not overruled and newest_deployment_verdict(desk.facts, patch.number, patch) is None:
        reasons.append("No pre-deployment test of it has ended yet.")
    if desk.rollout.has(FactKind.PACKAGES_KEPT):
        reasons += reasons_if_changed(desk.rollout, patch)
    return tuple(reasons)


def wrap_up_view(desk: Desk, assessment: Assessment, due: datetime, public_url: str) -> Mapping[str, Any]:
    """The view of the template `ask_pilot_wrap_up.md`."""
    record = desk.rollout
    patch = desk.patch
    pilot = Pilot(record)
    test = newest_deployment_test(desk.facts, patch.number)
    ended = record.need(FactKind.RUN_ENDED, "Wait for the end of the run.").payload
    found = results(record, desk.now)
    return {
        "rollout": record.name,
        "patch": patch,
        "round": pilot.round,
        "major": pilot.is_major,
        "assessment": assessment,
        "by_users": assessment.by is JudgedBy.USERS,
        "ended": ended,
        "results": found,
        "reports": report_links(found, public_url),
        "journal": [
            f"{e.at:%Y-%m-%d %H:%M} {f'{e.who}: ' if e.who else ''}{one_line(e.text, 300)}"
            for e in looks.journal(record)
        ],
        "words": words_of_vos(pilot),
        "unfinished_roll_backs": [s for s in pilot.selected if pilot.roll_back_asked(s)],
        "deployment_test": test.name if test else "",
        "against_release": reasons_against_pilot_release(desk),
        "due": due,
    }


def facts_of_wrap_up(desk: Desk, given: Given, *, assessment: Assessment, usual: timedelta) -> tuple[Fact, ...]:
    """What follows from the meeting: the decision, the guidelines, and who took part.

    Source: SD 4.1.3, 10: "an assessment is done and a decision is made about the follow-up (including decision to
    prolongate the testing time). Eventually general guidelines for the deployment can be drafted."

    Args:
        usual: for how long another round runs if the form does not say.

    Raises:
        RefusedError: it is too early, or the decision needs a reason and has none.
    """
    try:
        rules.may_wrap_up(Pilot(desk.rollout))
    except NotYetAllowedError as error:
        raise RefusedError(desk.name, (f"It cannot be wrapped up yet: {error.why}",), error.next_step) from error
    decision, reasons = _DECISIONS[given.choice], list[str]()
    reason = field(given.form, "reason")
    if decision != RELEASE:
        reasons += reasons_against_reason(reason)
    elif assessment.has_doubts and (lacking := reasons_against_reason(reason)):
        what = "Something speaks against a release" if assessment.reasons_against else "Too little was seen of the run"
        reasons.append(f"{what}; say why it is released all the same.")
        reasons += lacking
    span = (
        agreed_time(field(given.form, "prolong_for"), "to prolong it", usual, reasons) if decision == PROLONG else None
    )
    if decision == PROLONG and not Pilot(desk.rollout).sites:
        reasons.append("No site is left that would run another round; ask for a new pilot.")
    present = named(field(given.form, "itr"), "ITR", reasons)
    if reasons:
        raise RefusedError(f"wrap-up of {desk.name}", tuple(reasons), "Correct the form, and answer again.")
    payload: dict[str, Any] = {
        "decision": decision,
        "reason": reason,
        "guidelines": clean_text(str(given.form.get("guidelines") or "")).strip(),
        "user": given.user,
        "participants": present,
        "judged_by": assessment.by.value,
        "reasons_against": list(assessment.reasons_against),
        "inconclusive": list(assessment.inconclusive),
        "remarks": list(assessment.remarks),
        "no_feedback": assessment.no_feedback,
    }
    if span is not None:
        payload["prolong_for_s"] = span.total_seconds()
    return (desk.fact(FactKind.WRAPPED_UP, "", "", payload),)


def needed_decision(record: Rollout) -> Fact:
    """What the wrap-up decided; `NotYetAllowedError` without it, whatever Airflow's tasks say."""
    return record.need(FactKind.WRAPPED_UP, "Hold the wrap-up meeting, and enter its decision.")
