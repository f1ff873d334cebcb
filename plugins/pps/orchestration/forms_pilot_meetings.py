"""What the Coordinator enters after a pilot's meetings: agreed dates, and the decision (SD 4.1.3, 5 and 10)."""

from __future__ import annotations

from datetime import timedelta

from pps.activities.packages.repository_use import how_to_use
from pps.activities.pilots import effort as pilot_effort
from pps.activities.pilots import end as pilot_end
from pps.activities.pilots import kick_off as pilot_kick_off
from pps.activities.pilots import meetings as pilot_meetings
from pps.activities.pilots import wrap_up as pilot_wrap_up
from pps.activities.pilots.kick_off import Timeline
from pps.activities.release import overruling
from pps.domain.people import questions
from pps.domain.people.roles import Role
from pps.domain.pilots import success as pilot_success
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.orchestration.forms import Asking, Form, Given, line_field, text_field
from pps.orchestration.runtime import actor, now
from pps.services import Services


def tell_end(s: Services, record: Rollout) -> None:
    """Tell everybody whom the pilot concerned that it has ended, and how."""
    credit(s, record)
    parties, url = s.participants(record, pilot_meetings.WRAP_UP), s.config.service.public_url
    lines = ""
    if record.has(FactKind.RELEASED_TO_PRODUCTION):
        source = s.production.source(s.tracker.patch(record.patch_number))
        lines = how_to_use(source, "pps-production", s.published_keys, s.templates)
    pilot_end.tell_end(record, s.facts, parties, s.templates, now(), actor(), public_url=url, how_to_use=lines)
    pilot_meetings.cancel_meetings(
        record, s.facts, s.templates, organizer=s.config.service.reply_to, now=now(), actor=actor()
    )


def credit(s: Services, record: Rollout) -> None:
    """Credit whatever has been completed since the last look."""
    pilot_effort.credit_pilot(record, s.facts, s.config.activities, s.config.sites, now(), actor())


def usual_timeline(s: Services, record: Rollout) -> Timeline:
    """The times of policies.yaml; another round's run is as the wrap-up has decided."""
    policy = s.config.policies.pilots
    return pilot_kick_off.usual_timeline(
        record,
        s.facts,
        set_up_within=policy.set_up_within,
        run_for=policy.major_runs_for if Pilot(record).is_major else policy.minor_runs_for,
        feedback_within=policy.feedback_within,
    )


def _asking(s: Services, record: Rollout, step: str, what: str, within: timedelta, question: str) -> Asking:
    """Whoever answers has time after the meeting, whenever that is."""
    put = questions.question(record, step, Role.PPS_COORDINATOR)
    opened = record.opened
    due = put.due if put else max(now(), pilot_meetings.meeting_ends(record, what, now())) + within
    title = f"{Role.PPS_COORDINATOR}: {question} ({opened['metapackage']} {opened['version']}, {record.name})"
    return Asking(title, "", due, (f"role:{Role.PPS_COORDINATOR}",), s.coordination.address)


# --- kick-off -----------------------------------------------------------------------------------


def _prepare_kick_off(s: Services, record: Rollout, role: str) -> Asking | None:
    if record.is_over or record.has(FactKind.KICK_OFF_AGREED):
        return None
    within = s.config.policies.pilots.answer_within
    asking = _asking(s, record, pilot_kick_off.STEP, pilot_meetings.KICK_OFF, within, "what did the kick-off agree on?")
    patch = s.tracker.patch(record.patch_number)
    view = pilot_kick_off.kick_off_view(record, patch, usual_timeline(s, record), asking.due)
    body = s.templates.render("ask_pilot_kick_off.md", view)
    return Asking(asking.title, body, asking.due, asking.assigned_to, asking.to)


def _follow_kick_off(s: Services, record: Rollout, role: str, given: Given) -> tuple[Fact, ...]:
    return pilot_kick_off.facts_of_kick_off(
        record,
        s.tracker.patch(record.patch_number),
        given.choice,
        given.form,
        given.user,
        given.at,
        f"user {given.user}",
        usual=usual_timeline(s, record),
        vos=[vo.name for vo in s.config.people.vos],
    )


def _after_kick_off(s: Services, record: Rollout, role: str) -> None:
    if record.has(FactKind.KICK_OFF_AGREED):
        credit(s, record)
        return
    answer = questions.decisive(record, pilot_kick_off.STEP, role)
    late = "The PPS Coordinator has not entered the outcome of the kick-off meeting in time."
    reason = str(answer.form.get("reason") or "") if answer else late
    pilot_end.give_up(record, s.facts, pilot_end.NO_AGREEMENT, reason, now(), actor())
    tell_end(s, s.facts.rollout(record.name))


# --- wrap-up ------------------------------------------------------------------------------------


def _assessment(s: Services, record: Rollout) -> pilot_success.Assessment:
    overruled = overruling.standing(s.facts, record.patch_number) is not None
    return pilot_success.assess(Pilot(record), s.config.policies.pilots.criteria, now(), overruled=overruled)


def _prepare_wrap_up(s: Services, record: Rollout, role: str) -> Asking | None:
    if record.is_over or record.has(FactKind.WRAPPED_UP):
        return None
    within = s.config.policies.pilots.wrap_up_within
    asking = _asking(s, record, pilot_wrap_up.STEP, pilot_meetings.WRAP_UP, within, "release, prolong or reject it?")
    patch, url = s.tracker.patch(record.patch_number), s.config.service.public_url
    view = pilot_wrap_up.wrap_up_view(record, s.facts, patch, _assessment(s, record), asking.due, now(), url)
    body = s.templates.render("ask_pilot_wrap_up.md", view)
    return Asking(asking.title, body, asking.due, asking.assigned_to, asking.to)


def _follow_wrap_up(s: Services, record: Rollout, role: str, given: Given) -> tuple[Fact, ...]:
    return pilot_wrap_up.facts_of_wrap_up(
        record,
        given.choice,
        given.form,
        given.user,
        given.at,
        f"user {given.user}",
        assessment=_assessment(s, record),
        usual=usual_timeline(s, record).run_for,
    )


def _after_wrap_up(s: Services, record: Rollout, role: str) -> None:
    """Silence ends the pilot here; a decision is followed by the steps after it."""
    if record.has(FactKind.WRAPPED_UP):
        credit(s, record)
        return
    reason = "The PPS Coordinator has not entered the decision of the wrap-up meeting in time."
    pilot_end.give_up(record, s.facts, pilot_end.NOT_DECIDED, reason, now(), actor())
    tell_end(s, s.facts.rollout(record.name))


# --- the forms ----------------------------------------------------------------------------------


_ITR = text_field("ITR", "User names of ITR's people who took part, one a line: for their credits.")

KICK_OFF = Form(
    step=pilot_kick_off.STEP,
    options=pilot_kick_off.OPTIONS,
    prepare=_prepare_kick_off,
    follow=_follow_kick_off,
    silence=lambda s, record, role: (),
    after=_after_kick_off,
    fields={
        "set_up_within": line_field("Set-up within", "From now, e.g. 7d. Empty: the usual time."),
        "run_for": line_field("Run for", "From the completed installation, e.g. 14d. Empty: the usual time."),
        "feedback_within": line_field("Feedback within", "From the end of the set-up, e.g. 2w. Empty: the usual time."),
        "vos": text_field("VOs", "That commit themselves, as in people.yaml, one a line. Only in a major pilot."),
        "requirements": text_field(
            "Requirements", "E.g. that the sites can be selected in the JDL. Sites and VOs read it."
        ),
        "published": {
            "type": "boolean",
            "default": True,
            "title": "Published",
            "description": "The service will be in the production information system; its repository is mirrored.",
        },
        "experts": text_field(
            "Service experts", "Who supports the sites, one a line, e.g. ITR: name; or Gold Site: PIC."
        ),
        "itr": _ITR,
        "justification": text_field("Justification", "Why software that is not certified is used; needed for such."),
        "reason": text_field("Reason", "Needed if there is no agreement: why."),
    },
)

WRAP_UP = Form(
    step=pilot_wrap_up.STEP,
    options=pilot_wrap_up.OPTIONS,
    prepare=_prepare_wrap_up,
    follow=_follow_wrap_up,
    silence=lambda s, record, role: (),
    after=_after_wrap_up,
    fields={
        "reason": text_field("Reason", "Needed to prolong or reject it, and to release it against the assessment."),
        "guidelines": text_field("Guidelines", "For the deployment; they stand in the release notes."),
        "prolong_for": line_field("Prolong for", "How long another round runs, e.g. 7d. Empty: the usual time."),
        "itr": _ITR,
    },
)

FORMS = (KICK_OFF, WRAP_UP)
