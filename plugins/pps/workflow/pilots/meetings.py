"""What the Coordinator enters after a pilot's meetings: agreed dates, and the decision (SD 4.1.3, 5 and 10)."""

from __future__ import annotations

from datetime import timedelta

from pps.activities.packages.repository_use import how_to_use
from pps.activities.people.asking import Asking
from pps.activities.people.notification import Party
from pps.activities.pilots import effort, end, kick_off, meetings, wrap_up
from pps.activities.pilots.kick_off import Timeline
from pps.activities.release import overruling
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.people.roles import Role
from pps.domain.pilots import success
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.workflow.desk import FrontDesk
from pps.workflow.forms import Form, line_field, text_field


def participants(d: FrontDesk, what: str) -> tuple[Party, ...]:
    """Whom a meeting of a pilot concerns; whoever takes part in the wrap-up also hears how the pilot ends."""
    roles = [Role.RELEASE_MANAGER]
    if what == meetings.WRAP_UP and not Pilot(d.rollout).is_major:
        roles.append(Role.EMT)  # SD 4.1.3, 10: "In case of minor updates this discussion in brought to the EMT"
    people = d.config.people
    others = [Party(role.value, people.role_contacts[role]) for role in roles if role in people.role_contacts]
    vos = [Party(vo.name, vo.contact) for vo in people.vos]
    everybody = [d.services.coordination, *others]
    return meetings.participants(d.rollout, d.patch, d.config.sites, vos, everybody, what)


def tell_end(d: FrontDesk) -> None:
    """Tell everybody whom the pilot concerned that it has ended, and how."""
    credit(d)
    parties, url = participants(d, meetings.WRAP_UP), d.config.service.public_url
    lines = ""
    if d.rollout.has(FactKind.RELEASED_TO_PRODUCTION):
        source = d.services.production.source(d.patch.repository)
        lines = how_to_use(source, "pps-production", d.services.published_keys, d.templates)
    end.tell_end(d, parties, public_url=url, how_to_use=lines)
    meetings.cancel_meetings(d, organizer=d.config.service.reply_to)


def credit(d: FrontDesk) -> None:
    """Credit whatever has been completed since the last look."""
    effort.credit_pilot(d, d.config.activities, d.config.sites)


def usual_timeline(d: FrontDesk) -> Timeline:
    """The times of policies.yaml; another round runs for as long as the wrap-up has decided."""
    policy = d.policies.pilots
    return kick_off.usual_timeline(
        d,
        set_up_within=policy.set_up_within,
        run_for=policy.major_runs_for if Pilot(d.rollout).is_major else policy.minor_runs_for,
        feedback_within=policy.feedback_within,
    )


def _asking(d: FrontDesk, step: str, what: str, within: timedelta, question: str) -> Asking:
    """Whoever answers has time after the meeting, whenever that is."""
    opened = d.rollout.opened
    due = d.due(step, Role.PPS_COORDINATOR, max(d.now, meetings.meeting_ends(d.rollout, what, d.now)) + within)
    title = f"{Role.PPS_COORDINATOR}: {question} ({opened['metapackage']} {opened['version']}, {d.name})"
    return Asking(title, "", due, (f"role:{Role.PPS_COORDINATOR}",), d.services.coordination.address)


# --- kick-off -----------------------------------------------------------------------------------


def _prepare_kick_off(d: FrontDesk, role: str) -> Asking | None:
    if d.rollout.is_over or d.rollout.has(FactKind.KICK_OFF_AGREED):
        return None
    within = d.policies.pilots.answer_within
    asking = _asking(d, kick_off.STEP, meetings.KICK_OFF, within, "what did the kick-off agree on?")
    patch = d.patch
    view = kick_off.kick_off_view(d.rollout, patch, usual_timeline(d), asking.due)
    body = d.templates.render("ask_pilot_kick_off.md", view)
    return Asking(asking.title, body, asking.due, asking.assigned_to, asking.to)


def _follow_kick_off(d: FrontDesk, role: str, given: Given) -> tuple[Fact, ...]:
    return kick_off.facts_of_kick_off(
        d.by(given.who, given.at), d.patch, given, usual=usual_timeline(d), vos=[vo.name for vo in d.config.people.vos]
    )


def _after_kick_off(d: FrontDesk, role: str) -> None:
    if d.rollout.has(FactKind.KICK_OFF_AGREED):
        credit(d)
        return
    answer = questions.decisive(d.rollout, kick_off.STEP, role)
    late = "The PPS Coordinator has not entered the outcome of the kick-off meeting in time."
    reason = str(answer.form.get("reason") or "") if answer else late
    end.give_up(d, end.NO_AGREEMENT, reason)
    tell_end(d)


# --- wrap-up ------------------------------------------------------------------------------------


def _assessment(d: FrontDesk) -> success.Assessment:
    overruled = overruling.standing(d.facts, d.rollout.patch_number) is not None
    return success.assess(Pilot(d.rollout), d.policies.pilots.criteria, d.now, overruled=overruled)


def _prepare_wrap_up(d: FrontDesk, role: str) -> Asking | None:
    if d.rollout.is_over or d.rollout.has(FactKind.WRAPPED_UP):
        return None
    within = d.policies.pilots.wrap_up_within
    asking = _asking(d, wrap_up.STEP, meetings.WRAP_UP, within, "release, prolong or reject it?")
    view = wrap_up.wrap_up_view(d, _assessment(d), asking.due, d.config.service.public_url)
    body = d.templates.render("ask_pilot_wrap_up.md", view)
    return Asking(asking.title, body, asking.due, asking.assigned_to, asking.to)


def _follow_wrap_up(d: FrontDesk, role: str, given: Given) -> tuple[Fact, ...]:
    return wrap_up.facts_of_wrap_up(
        d.by(given.who, given.at), given, assessment=_assessment(d), usual=usual_timeline(d).run_for
    )


def _after_wrap_up(d: FrontDesk, role: str) -> None:
    """Silence ends the pilot here; a decision is followed by the steps after it."""
    if d.rollout.has(FactKind.WRAPPED_UP):
        credit(d)
        return
    reason = "The PPS Coordinator has not entered the decision of the wrap-up meeting in time."
    end.give_up(d, end.NOT_DECIDED, reason)
    tell_end(d)


# --- the forms ----------------------------------------------------------------------------------


_ITR = text_field("ITR", "User names of ITR's people who took part, one a line: for their credits.")

KICK_OFF = Form(
    step=kick_off.STEP,
    options=kick_off.OPTIONS,
    prepare=_prepare_kick_off,
    follow=_follow_kick_off,
    silence=lambda d, role: (),
    after=_after_kick_off,
    fields={
        "set_up_within": line_field("Set-up within", "From now, e.g. 7d. Empty: the usual time."),
        "run_for": line_field("Run for", "From the completed installation, e.g. 14d. Empty: the usual time."),
        "feedback_within": line_field("Feedback within", "From the end of the set-up, e.g. 2w. Empty: the usual time."),
        "vos": text_field("VOs", "Those that commit themselves, as in people.yaml, one a line. Only in a major pilot."),
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
        "justification": text_field("Justification", "Needed if the software is not certified: why it is used."),
        "reason": text_field("Reason", "If there is no agreement, say why."),
    },
)

WRAP_UP = Form(
    step=wrap_up.STEP,
    options=wrap_up.OPTIONS,
    prepare=_prepare_wrap_up,
    follow=_follow_wrap_up,
    silence=lambda d, role: (),
    after=_after_wrap_up,
    fields={
        "reason": text_field("Reason", "Needed to prolong or reject it, and to release it against the assessment."),
        "guidelines": text_field("Guidelines", "For the deployment; they go into the release notes."),
        "prolong_for": line_field("Prolong for", "How long another round runs, e.g. 7d. Empty: the usual time."),
        "itr": _ITR,
    },
)

FORMS = (KICK_OFF, WRAP_UP)
