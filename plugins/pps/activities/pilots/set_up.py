"""Set-up of a pilot service by a site's own people, and our check of it (SD 4.1.3, 7)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pps.activities.desk import Desk
from pps.activities.ports.services import InformationSystem, ServiceAnswer, ServiceProbes
from pps.domain.base.errors import InvalidNameError, NotYetAllowedError, RefusedError
from pps.domain.base.texts import clean_text, one_line, reasons_against_reason
from pps.domain.packages.patch import Patch, PatchState
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.people.roles import Role
from pps.domain.pilots import rules
from pps.domain.pilots.pilot import NOT_CERTIFIED, Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.endpoints import Endpoint, is_version, parse_endpoint, reasons_against_host, same_version
from pps.domain.sites.site import Site

STEP = "pilot-set-up"
SET_UP = "Set up"
CANNOT = "Cannot"
OPTIONS = (SET_UP, CANNOT)
#: Who may decide on an exception from certified software: the two that, as SD 4.1.3 says, overrule policies.
_MAY_JUSTIFY = (Role.PPS_COORDINATOR, Role.EMT)

_CERTIFIED = (PatchState.CERTIFIED, PatchState.READY_FOR_PRODUCTION, PatchState.IN_PRODUCTION)


def field(form: Mapping[str, Any], name: str) -> str:
    """A text of a form as it is kept; "" where nothing was entered."""
    return clean_text(str(form.get(name) or "")).strip()


# --- what the site's people say -----------------------------------------------------------------


def instructions(record: Rollout, patch: Patch, site: Site, due: datetime, how_to_use: str = "") -> dict[str, Any]:
    """The view of the template `ask_pilot_set_up.md`.

    Args:
        how_to_use: lines with which the site uses the pilot's mirror; "" where it has none.
    """
    kick_off = record.the(FactKind.KICK_OFF_AGREED)
    return {
        "rollout": record.name,
        "patch": patch,
        "site": site,
        "due": due,
        "how_to_use": how_to_use,
        "requirements": str(kick_off.payload.get("requirements") or "") if kick_off else "",
        "published": Pilot(record).is_published,
    }


def facts_of_set_up(desk: Desk, site: Site, given: Given) -> tuple[Fact, ...]:
    """What follows from the answer of a site's people: nothing yet where they have set it up (`verify_set_up` looks
    first), else the site is left out with their reason.

    Raises:
        RefusedError: the form does not say where the service answers and as which version, or why it cannot be done.
    """
    if given.choice == SET_UP:
        if reasons := _reasons_against_form(desk.rollout, site, given.form):
            raise RefusedError(f"set-up at {site.name}", reasons, "Correct the form, and answer again.")
        return ()
    if not (why := field(given.form, "remarks")):
        raise RefusedError(f"set-up at {site.name}", ("The remarks do not say why it cannot be done.",))
    reason = f"Its people cannot set the service up: {one_line(why, 500)}"
    return (left_out(desk, site.name, reason, user=given.user),)


def facts_of_silence(desk: Desk, site: str, due: datetime) -> tuple[Fact, ...]:
    """What follows when nobody answered in time: the others do not wait for this site."""
    reason = f"Nobody there has said by {due:%Y-%m-%d %H:%M} UTC that the service is set up."
    return (left_out(desk, site, reason),)


def left_out(desk: Desk, site: str, reason: str, **more: str) -> Fact:
    """The fact that a site takes no part in the pilot."""
    return desk.fact(FactKind.SITE_LEFT_OUT, site, "set-up", {"reason": reason, **more})


def endpoint_in(form: Mapping[str, Any]) -> Endpoint:
    """The endpoint of a form; `InvalidNameError` if it is none."""
    return parse_endpoint(field(form, "endpoint"), field(form, "version_at"))


def _reasons_against_form(record: Rollout, site: Site, form: Mapping[str, Any]) -> tuple[str, ...]:
    reasons: list[str] = []
    try:
        reasons += reasons_against_host(endpoint_in(form).host, site)
    except InvalidNameError as error:
        reasons.append(str(error))
    version, wanted = field(form, "version"), str(record.opened["version"])
    if not is_version(version):
        reasons.append("The form does not say which version was installed.")
    elif not same_version(version, wanted):
        reasons.append(f"Version {version} was installed; the pilot's is {wanted}.")
    previous = field(form, "previous")
    if previous and not is_version(previous):
        reasons.append("What was entered as the previous version is no version; leave it empty for a new service.")
    return tuple(reasons)


# --- software that is not certified -------------------------------------------------------------


def reasons_against_software(record: Rollout, patch: Patch) -> tuple[str, ...]:
    """Say why this software may not be set up as a pilot; no reasons means that it may.

    Source: SD 4.1.3: "it is recommendable to set up and upgrade the pilot services using only certified software.
    Exceptions [...] has however to be justified, documented and recorded".
    """
    try:
        rules.may_use(Pilot(record), certified=patch.state in _CERTIFIED)
    except NotYetAllowedError:
        pass
    else:
        return ()
    lacking = f'The patch is "{patch.state}", not certified, and no exception is on record with its justification.'
    return (f"{lacking} The {' or the '.join(_MAY_JUSTIFY)} decides on one: pps pilot justify {record.name}.",)


def justification(record: Rollout) -> Fact | None:
    """The decision to run software that is not certified, or None."""
    return Pilot(record).exception


def justify_software(desk: Desk, reason: str, user: str, mine: Collection[str]) -> Fact:
    """Put on record why a pilot runs software that is not certified; the first justification stands.

    A set-up that was refused for lack of one goes on by itself. Sites read the reason in their report, everybody in the
    release notes.

    Args:
        mine: all names under which `user` is known (`roles.identities`).

    Raises:
        RefusedError: by somebody other than Coordinator or EMT, no reason, or the patch is certified.
        NotYetAllowedError: the pilot has ended.
    """
    patch = desk.patch
    if (known := justification(desk.rollout)) is not None:
        return known
    if desk.rollout.is_over:
        raise NotYetAllowedError(desk.name, "it has ended.", "Look at: pps pilot show.")
    reasons = reasons_against_reason(reason)
    if not {f"role:{role}" for role in _MAY_JUSTIFY} & set(mine):
        reasons += (f"Only the {' and the '.join(_MAY_JUSTIFY)} may decide on it.",)
    if patch.state in _CERTIFIED:
        reasons += (f'The patch is "{patch.state}": there is nothing to justify.',)
    if reasons:
        raise RefusedError(f"justification for {desk.name}", reasons)
    payload = {"decision": "allowed", "reason": one_line(reason, 1000), "state": patch.state.value, "user": user}
    desk.record(desk.by(f"user {user}").fact(FactKind.DECIDED, "", NOT_CERTIFIED, payload))
    known = justification(desk.look_again())
    assert known is not None  # noqa: S101 (just recorded)
    return known


# --- what we see --------------------------------------------------------------------------------


def reasons_against_answer(endpoint: Endpoint, answer: ServiceAnswer, wanted: str) -> tuple[str, ...]:
    """Say why what a service answers is not the pilot; no reasons means that it is, or does not tell."""
    if not answer.answers:
        return (f"{one_line(answer.result.text)}.",)
    if answer.version and not same_version(answer.version, wanted):
        return (f"{endpoint.url} answers with version {answer.version}; the pilot's is {wanted}.",)
    return ()


def reasons_against_publication(
    endpoint: Endpoint, information_system: InformationSystem, wanted: str, *, says_version: bool
) -> tuple[str, ...]:
    """Say why the information system does not show the pilot; no reasons means that it does.

    Args:
        says_version: the service itself has told its version; a published one must not contradict it all the same.

    Raises:
        ServiceError: the information system does not answer.
    """
    shown = information_system.services_of([endpoint.host]).get(endpoint.host, ())
    here = [service for service in shown if service.is_at(endpoint)]
    if not here:
        return (f"The information system shows no service at {endpoint.host}:{endpoint.port}.",)
    versions = sorted({service.version for service in here if service.version})
    if any(same_version(version, wanted) for version in versions) or (not versions and says_version):
        return ()
    what = f"version {', '.join(versions)}" if versions else "no version"
    return (f"The information system shows {what} at {endpoint.host}:{endpoint.port}; the pilot's is {wanted}.",)


def look_at_service(
    record: Rollout, site: Site, form: Mapping[str, Any], probes: ServiceProbes
) -> tuple[Endpoint, ServiceAnswer, tuple[str, ...]]:
    """Knock at what a form names; also tells why it is not the pilot. For an answer that comes in, before it is taken.

    Raises:
        InvalidNameError: the form names no endpoint.
        RefusedError: it is not this site's.
    """
    endpoint = endpoint_in(form)
    if reasons := reasons_against_host(endpoint.host, site):
        raise RefusedError(f"set-up at {site.name}", reasons, "Register the host in GOCDB first.")
    answer = probes.look(endpoint)
    return endpoint, answer, reasons_against_answer(endpoint, answer, str(record.opened["version"]))


def verify_set_up(
    desk: Desk, probes: ServiceProbes, information_system: InformationSystem, site: Site, more: Iterable[Fact] = ()
) -> tuple[str, ...]:
    """Put on record that the service is set up, once, if it is so; else say why not, in sentences for the site.

    It is so when the endpoint answers, its version is the pilot's, and, where it is to be published, the information
    system shows it.

    Args:
        more: facts that follow (the site's credit), in the same transaction.

    Raises:
        ServiceError: the information system does not answer; try again.
    """
    record = desk.rollout
    record.must_not_be_withdrawn()
    pilot = Pilot(record)
    if pilot.service_at(site.name) is not None:
        return ()
    try:
        rules.may_set_up(pilot, site.name)
    except NotYetAllowedError as error:
        return (f"{error.why} {error.next_step}",)
    said = questions.decisive(record, STEP, site.name)
    if said is None or said.choice != SET_UP:
        return (f"Nobody at {site.name} has said that the service is set up.",)
    wanted = str(record.opened["version"])
    reasons = reasons_against_software(record, desk.patch)
    try:
        endpoint, answer, against = look_at_service(record, site, said.form, probes)
    except (InvalidNameError, RefusedError) as error:
        return (*reasons, str(error))
    reasons += against
    published = Pilot(record).is_published
    if published:
        reasons += reasons_against_publication(endpoint, information_system, wanted, says_version=bool(answer.version))
    elif not answer.version and not against:
        reasons += (f"{endpoint.url} does not say its version, and is not published: nobody can see which one it is.",)
    if reasons:
        return reasons
    payload = {
        "endpoint": endpoint.url,
        "version_at": endpoint.version_at,
        "version": answer.version or wanted,
        "previous": field(said.form, "previous"),
        "published": published,
        "by": said.user,
    }
    occasion = desk.next_occasion(FactKind.SERVICE_SET_UP, site.name)
    desk.record(desk.fact(FactKind.SERVICE_SET_UP, site.name, occasion, payload), *more)
    return ()


def tell_reasons(desk: Desk, site: Site, reasons: tuple[str, ...]) -> int:
    """Tell a site why its service does not count as set up; the same reasons once. Returns how many mails are new."""
    if not reasons:
        return 0
    occasion = f"set-up/{hashlib.sha256(' '.join(reasons).encode()).hexdigest()[:16]}"
    told = desk.fact(FactKind.TOLD, site.name, occasion, {"reasons": list(reasons)})
    view = {"rollout": desk.name, "opened": desk.rollout.opened, "site": site, "reasons": reasons}
    opened = desk.rollout.opened
    mail = desk.letter(
        "pilot_not_verified",
        view,
        key=told,
        to=site.contact,
        subject=f"{site.name}: the pilot of {opened['metapackage']} {opened['version']} is not seen yet",
    )
    return len(desk.record(told, mails=[mail]))


def newest_reasons(record: Rollout, site: str) -> tuple[str, ...]:
    """What a site was told last about its set-up: its answer was not taken, or we have looked since."""
    for fact in reversed(record.facts):
        if fact.subject != site:
            continue
        looked = fact.kind is FactKind.TOLD and fact.occasion.startswith("set-up/")
        if looked or (fact.kind is FactKind.ANSWER_REFUSED and fact.payload["step"] == STEP):
            return tuple(fact.payload["reasons"])
    return ()


def set_up_is_settled(
    desk: Desk,
    probes: ServiceProbes,
    information_system: InformationSystem,
    site: Site | None,
    site_name: str,
    *,
    patience: timedelta,
    grace: timedelta,
    more: Iterable[Fact] = (),
) -> bool:
    """Tell whether nothing is left to wait for at a site: its service is verified, or it is left out.

    Args:
        patience: how long an information provider may take before the site hears that it is not seen.
        grace: how long after the agreed time for the set-up a service that is not right yet is waited for.

    Raises:
        ServiceError: the information system does not answer; try again.
    """
    record = desk.rollout
    pilot = Pilot(record)
    if record.is_over or pilot.is_left_out(site_name) or site_name in pilot.served:
        return True
    said = questions.decisive(record, STEP, site_name)
    if said is None:
        return questions.has_expired(record, STEP, site_name)
    if site is None:
        desk.record(left_out(desk, site_name, f"{site_name} has left the site registry."))
        return True
    reasons = verify_set_up(desk, probes, information_system, site, more)
    if not reasons:
        return True
    if pilot.agreement is not None and desk.now > pilot.agreement.set_up_until + grace:
        reason = f"Its service is not as it should be, long after the agreed time. {' '.join(reasons)}"
        desk.record(left_out(desk, site_name, one_line(reason, 1000)))
        return True
    if desk.now >= said.at + patience:
        tell_reasons(desk, site, reasons)
    return False
