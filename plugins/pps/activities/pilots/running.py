"""Runs a pilot: looks at its services, keeps changes and incidents, and notices its end (SD 4.1.3, 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from pps.activities.desk import Desk, Office
from pps.activities.people.notification import Audience
from pps.activities.people.tokens import invitation_token
from pps.activities.pilots.journal import end_run, entry_mails
from pps.activities.ports.record import Facts
from pps.activities.ports.services import ServiceAnswer, ServiceProbes
from pps.domain.base.errors import InvalidNameError
from pps.domain.base.texts import one_line
from pps.domain.people import questions
from pps.domain.people.links import feedback_link
from pps.domain.pilots import looks
from pps.domain.pilots.pilot import Pilot
from pps.domain.pilots.success import silent_vos
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import PILOTS, Rollout
from pps.domain.sites.endpoints import Endpoint, parse_endpoint, same_version
from pps.domain.sites.probes import ProbeResult, ProbeState
from pps.domain.sites.site import Site

_AT_ONCE = 4
FEEDBACK_STEP = "pilot-feedback"
_LATE_STEP = "late-set-up"


# --- the run and its end ------------------------------------------------------------------------


def note_end(desk: Desk) -> bool:
    """Put the end of the run on record, once; False while it goes on."""
    pilot = Pilot(desk.rollout)
    if not pilot.run_is_over(desk.now):
        return False
    if not desk.rollout.is_over and pilot.run_ended is None and (outcome := pilot.outcome_now(desk.now)) is not None:
        end_run(desk, outcome, "")
    return True


def look_at_pilot(
    desk: Desk, probes: ServiceProbes, sites: Mapping[str, Site], *, support: str, incident_after: timedelta
) -> bool:
    """One look: probe the service at every site that runs the pilot, keep what changed; True when the run is over.

    A look that says what the last one said leaves no fact but the day's first, so a fortnight of looks is a few
    facts; for a service that comes and goes their number is bounded. Looking twice at once records once.

    Args:
        support: address of the support list, which hears of incidents (SD 4.1.3, 8).
        incident_after: a service that has not answered for so long is an incident.
    """
    if note_end(desk):
        return True
    running = Pilot(desk.rollout).serving
    for site, answer in zip(running, _answers(desk.rollout, probes, running), strict=True):
        note_look(desk, site, answer, to=_whom_to_tell(sites, site, support), incident_after=incident_after)
    return False


def _answers(record: Rollout, probes: ServiceProbes, running: Sequence[str]) -> list[ServiceAnswer]:
    if not running:
        return []
    # a service that hangs must not delay the look at the next one
    with ThreadPoolExecutor(min(_AT_ONCE, len(running))) as pool:
        return list(pool.map(lambda site: _answer(record, probes, site), running))


def _answer(record: Rollout, probes: ServiceProbes, site: str) -> ServiceAnswer:
    try:
        endpoint = endpoint_of(record, site)
    except InvalidNameError as error:
        return ServiceAnswer(ProbeResult("service", ProbeState.UNKNOWN, one_line(str(error))))
    answer = probes.look(endpoint)
    wanted = str(record.opened["version"])
    if answer.answers and answer.version and not same_version(answer.version, wanted):
        text = f"{endpoint.url} answers with version {answer.version}, not {wanted}"
        return ServiceAnswer(ProbeResult("service", ProbeState.WARNING, text), answer.version)
    return answer


def endpoint_of(record: Rollout, site: str) -> Endpoint:
    """Where a site's pilot answers, as it was verified; `ValueError` if it was not set up."""
    fact = Pilot(record).service_at(site)
    if fact is None:
        raise ValueError(f"{site} has no pilot service")
    return parse_endpoint(str(fact.payload["endpoint"]), str(fact.payload.get("version_at", "")))


def _whom_to_tell(sites: Mapping[str, Site], site: str, support: str) -> list[str]:
    known = sites.get(site)
    return [support, *known.contacts] if known else [support]


def note_look(
    desk: Desk, site: str, answer: ServiceAnswer, *, to: Sequence[str], incident_after: timedelta
) -> tuple[Fact, ...]:
    """Keep what one look at one site showed: a change of state, the day's first look, an incident and its end."""
    record = desk.rollout
    result = answer.result
    seen = {"state": result.state.name, "text": one_line(result.text), "version": answer.version}
    found = []
    look = looks.Sample(desk.now, result.state, one_line(result.text))
    if change := looks.change_to_keep(record, site, look, incident_after):
        occasion = f"{looks.CHANGE}{len(looks.changes(record, site)) + 1}"
        kept = {**seen, "state": change.state.name, "text": one_line(change.text, 400)}
        found.append(desk.fact(FactKind.SERVICE_PROBED, site, occasion, kept))
    day = looks.day_of(desk.now)
    if not any(f.kind is FactKind.SERVICE_PROBED and (f.subject, f.occasion) == (site, day) for f in record.facts):
        found.append(desk.fact(FactKind.SERVICE_PROBED, site, day, seen))
    new = desk.record(*found)
    return (*new, *_note_incidents(desk, site, to, incident_after))


def _note_incidents(desk: Desk, site: str, to: Sequence[str], incident_after: timedelta) -> tuple[Fact, ...]:
    """An outage that lasts is an incident, told once; so is its end. A short one is in the journal, and no news."""
    known = {f.occasion for f in desk.rollout.facts if f.kind is FactKind.JOURNAL_ENTRY and f.subject == site}
    new: list[Fact] = []
    for outage in looks.outages(looks.samples(desk.rollout, site)):
        begun = looks.incident_of(outage)
        ended = f"{begun}-over"
        lasted = (outage.ended or desk.now) - outage.began
        entries = []
        if begun not in known and outage.ended is None and lasted >= incident_after:
            entries.append((begun, f"Incident: no good answer since {_moment(outage.began)}. {outage.text}"))
        if begun in known and ended not in known and outage.ended is not None:
            entries.append((ended, f"The incident of {_moment(outage.began)} ended at {_moment(outage.ended)}."))
        for occasion, text in entries:
            entry = desk.fact(FactKind.JOURNAL_ENTRY, site, occasion, {"text": text, "user": ""})
            new += desk.record(entry, mails=entry_mails(desk, entry, to))
    return tuple(new)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


# --- the daily sweep ----------------------------------------------------------------------------


def open_pilots(facts: Facts) -> tuple[Rollout, ...]:
    """Every pilot that is open."""
    return tuple(facts.rollout(row.name) for row in facts.rollouts(open_only=True, paths=PILOTS))


def remind_about_pilots(
    office: Office, audience: Audience, sites: Mapping[str, Site], remind_at: Sequence[float]
) -> int:
    """Remind VOs of their feedback, and sites that are late with the set-up; returns how many mails are new.

    Source: SD 4.1.3: "Once the pilot is started reminders for feedback are regularly sent to the VOs"; step 8: "The PPS
    Coordinator is in charge of checking periodically and eventually to send reminders." Whoever has a question to
    answer is reminded of that by `asking.remind`.
    """
    new = 0
    for record in open_pilots(office.facts):
        new += _remind_vos(office.desk(record), audience, remind_at)
        new += _remind_late_sites(office.desk(record), sites)
    return new


def _remind_vos(desk: Desk, audience: Audience, remind_at: Sequence[float]) -> int:
    record = desk.rollout
    pilot = Pilot(record)
    agreed, began = pilot.agreement, pilot.running_since
    # VOs "get explicitly involved in the activity only in case of major updates"
    if not pilot.is_major or record.is_over or agreed is None or began is None:
        return 0
    new, due = 0, agreed.feedback_until
    parties = {vo.name: vo for vo in audience.vos}
    for vo in silent_vos(pilot):
        if vo not in parties:
            continue
        asked = questions.Question(FEEDBACK_STEP, vo, began, due, parties[vo].address, "", ())
        if not (which := questions.reminder_due(asked, desk.now, remind_at)):
            continue
        occasion = f"{FEEDBACK_STEP}/{which}" if pilot.round == 1 else f"{FEEDBACK_STEP}/{pilot.round}/{which}"
        reminded = desk.fact(FactKind.REMINDED, vo, occasion)
        token = invitation_token(audience.secret, record.name, vo, due)
        view = {
            "rollout": record.name,
            "opened": record.opened,
            "subject": vo,
            "sites": pilot.serving,
            "due": due,
            "link": feedback_link(audience.public_url, record.name, vo, token),
        }
        title = (
            f"Reminder: how does the pilot of {record.opened['metapackage']} {record.opened['version']} work for {vo}?"
        )
        new += _tell(desk, reminded, parties[vo].address, title, "pilot_feedback_reminder", view)
    return new


def _remind_late_sites(desk: Desk, sites: Mapping[str, Site]) -> int:
    """Once a day, remind whoever has let the agreed time for the set-up pass."""
    record = desk.rollout
    pilot = Pilot(record)
    agreed = pilot.agreement
    if record.is_over or agreed is None or desk.now <= agreed.set_up_until or pilot.run_ended is not None:
        return 0
    new, due = 0, agreed.set_up_until
    for name in pilot.awaited:
        if name not in sites:
            continue
        occasion = f"{_LATE_STEP}/{desk.now:%Y-%m-%d}"
        reminded = desk.fact(FactKind.REMINDED, name, occasion)
        view = {"rollout": record.name, "opened": record.opened, "site": sites[name], "due": due}
        title = f"{name}: the pilot of {record.opened['metapackage']} {record.opened['version']} is not set up yet"
        new += _tell(desk, reminded, sites[name].contact, title, "pilot_late", view)
    return new


def _tell(desk: Desk, fact: Fact, to: str, title: str, template: str, view: Mapping[str, object]) -> int:
    if any((f.kind, f.subject, f.occasion) == (fact.kind, fact.subject, fact.occasion) for f in desk.rollout.facts):
        return 0
    return len(desk.record(fact, mails=[desk.letter(template, view, key=fact, to=to, subject=title)]))
