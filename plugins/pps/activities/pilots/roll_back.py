"""Roll-back of a pilot service, at any time, by the site or the Coordinator (SD 4.1.3, 8)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pps.activities.desk import Desk
from pps.activities.people.notification import Party
from pps.activities.pilots.set_up import field
from pps.activities.ports.services import InformationSystem, ServiceProbes
from pps.domain.base.errors import InvalidNameError, NotYetAllowedError, RefusedError
from pps.domain.base.texts import one_line, reasons_against_reason
from pps.domain.people import questions
from pps.domain.people.questions import Given
from pps.domain.people.roles import Role
from pps.domain.pilots import rules
from pps.domain.pilots.pilot import Pilot
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.endpoints import is_version, parse_endpoint, same_version
from pps.domain.sites.site import Site

STEP = "pilot-roll-back"
DONE = "Rolled back"
CANNOT = "Cannot"
OPTIONS = (DONE, CANNOT)


def ask_roll_back(desk: Desk, site: Site, reason: str, user: str, mine: Collection[str], support: str) -> Fact:
    """Ask a site to take its service back to the previous version; asking twice is asking once.

    The site's people are told, and the support list: a pilot is a production service, so the reaction must be prompt.

    Args:
        mine: all names under which `user` is known (`roles.identities`).

    Raises:
        RefusedError: by somebody other than the site's people or the Coordinator, or without a reason.
        NotYetAllowedError: the site runs no pilot service.
    """
    record = desk.rollout
    pilot = Pilot(record)
    rules.must_take_part(pilot, site.name)
    if (asked := pilot.roll_back_asked(site.name)) is not None:
        return asked
    reasons = (*rules.reasons_against_acting(site, mine), *reasons_against_reason(reason))
    if reasons:
        raise RefusedError(f"roll-back at {site.name}", reasons, "Ask the coordination.")
    if pilot.service_at(site.name) is None:
        raise NotYetAllowedError(
            f"{record.name} at {site.name}", "no pilot service runs there.", "Look at: pps pilot journal."
        )
    by = site.name if f"user:{user}" in {f"user:{name}" for name in site.administrators} else Role.PPS_COORDINATOR.value
    payload = {"reason": one_line(reason, 1000), "user": user, "by": by}
    occasion = desk.next_occasion(FactKind.ROLL_BACK_ASKED, site.name)
    asked = desk.by(f"user {user}").fact(FactKind.ROLL_BACK_ASKED, site.name, occasion, payload)
    view = {"rollout": record.name, "opened": record.opened, "site": site, "asked": asked.payload, "at": desk.now}
    title = one_line(f"{site.name}: roll back {record.opened['metapackage']} {record.opened['version']}")
    desk.record(
        asked,
        mails=desk.circular("pilot_roll_back_asked", view, key=asked, to=[*site.contacts, support], subject=title),
    )
    known = Pilot(desk.look_again()).roll_back_asked(site.name)
    assert known is not None  # noqa: S101 (just recorded)
    return known


def previous_version(record: Rollout, site: str) -> str:
    """The version that ran before the pilot, as the site said at the set-up; "" for a service that was new."""
    fact = Pilot(record).service_at(site)
    return str(fact.payload.get("previous", "")) if fact else ""


def instructions(record: Rollout, site: Site, due: datetime) -> dict[str, Any]:
    """The view of the template `ask_pilot_roll_back.md`."""
    pilot = Pilot(record)
    asked, service = pilot.roll_back_asked(site.name), pilot.service_at(site.name)
    return {
        "rollout": record.name,
        "opened": record.opened,
        "site": site,
        "due": due,
        "reason": asked.payload["reason"] if asked else "",
        "endpoint": service.payload["endpoint"] if service else "",
        "previous": previous_version(record, site.name),
        "published": pilot.is_published,
    }


def facts_of_roll_back(desk: Desk, site: str, given: Given) -> tuple[Fact, ...]:
    """What follows from the answer of the site's people: a journal entry; `verify_roll_back` looks for itself.

    Raises:
        RefusedError: the form names no version that was known before, or does not say why it cannot be done.
    """
    version, remarks = field(given.form, "version"), field(given.form, "remarks")
    before = previous_version(desk.rollout, site)
    reasons: tuple[str, ...] = ()
    if given.choice == DONE and version and not is_version(version):
        reasons = (f"{version[:40]!r} is no version.",)
    elif given.choice == DONE and before and version and not same_version(version, before):
        reasons = (f"Version {version} runs now; before the pilot it was {before}.",)
    elif given.choice != DONE and not remarks:
        reasons = ("The remarks do not say why it cannot be rolled back.",)
    if reasons:
        raise RefusedError(f"roll-back at {site}", reasons, "Correct the form, and answer again.")
    said = f"{given.choice}{f', version {version}' if version else ''}.{f' {remarks}' if remarks else ''}"
    payload = {"text": said, "user": given.user}
    return (desk.fact(FactKind.JOURNAL_ENTRY, site, f"{STEP}-{desk.now:%Y%m%dT%H%M%S}", payload),)


def verify_roll_back(
    desk: Desk, probes: ServiceProbes, information_system: InformationSystem, site: Site
) -> tuple[str, ...]:
    """Put on record that a site has rolled back, once, if it is so; else say why not, in sentences for the site.

    It is so when the previous version answers again (or, where there was none, the pilot's no longer does), and the
    information system shows neither the pilot's version at the endpoint nor its tag.

    Raises:
        NotYetAllowedError: nobody has asked for it.
        ServiceError: the information system does not answer; try again.
    """
    record = desk.rollout
    pilot = Pilot(record)
    service = pilot.service_at(site.name)
    if service is None:
        return () if pilot.rolled_back(site.name) is not None else (f"{site.name} runs no pilot service.",)
    asked = pilot.roll_back_asked(site.name)
    if asked is None:
        raise NotYetAllowedError(
            f"{record.name} at {site.name}", "nobody has asked for a roll-back.", "Ask: pps pilot roll-back."
        )
    said = questions.decisive(record, STEP, site.name)
    wanted = previous_version(record, site.name) or (field(said.form, "version") if said else "")
    reasons = (
        *_reasons_against_version(str(record.opened["version"]), service.payload, wanted, probes),
        *_still_shown(record, service.payload, information_system, site),
    )
    if reasons:
        return reasons
    payload = {"reason": asked.payload["reason"], "version": wanted, "by": asked.payload["by"]}
    occasion = desk.next_occasion(FactKind.SERVICE_ROLLED_BACK, site.name)
    desk.record(desk.fact(FactKind.SERVICE_ROLLED_BACK, site.name, occasion, payload))
    return ()


def _reasons_against_version(
    pilot_version: str, pilot: Mapping[str, Any], wanted: str, probes: ServiceProbes
) -> tuple[str, ...]:
    try:
        endpoint = parse_endpoint(str(pilot["endpoint"]), str(pilot.get("version_at", "")))
    except InvalidNameError as error:
        return (str(error),)
    answer = probes.look(endpoint)
    if answer.version and same_version(answer.version, pilot_version):
        return (f"{endpoint.url} still answers with the pilot's version, {answer.version}.",)
    if not wanted:  # a service that was new: it is gone, or at least no pilot any more
        return () if not answer.answers or answer.version else (f"{endpoint.url} still answers.",)
    if not answer.answers:
        return (f"Version {wanted} does not answer again: {one_line(answer.result.text)}.",)
    if answer.version and not same_version(answer.version, wanted):
        return (f"{endpoint.url} answers with version {answer.version}; before the pilot it was {wanted}.",)
    return ()


def _still_shown(
    record: Rollout, pilot: Mapping[str, Any], information_system: InformationSystem, site: Site
) -> tuple[str, ...]:
    reasons = []
    endpoint = parse_endpoint(str(pilot["endpoint"]))
    version = str(record.opened["version"])
    for service in information_system.services_of([endpoint.host]).get(endpoint.host, ()):
        if service.is_at(endpoint) and same_version(service.version, version):
            reasons.append(f"The information system still shows version {service.version} at {service.endpoint}.")
    tag = str(record.opened.get("tag", ""))
    if tag:
        shown = information_system.tags_of([site.subcluster]).get(site.subcluster, frozenset())
        if tag.lower() in {t.lower() for t in shown}:
            reasons.append(f"The information system still shows the tag {tag}.")
    return tuple(reasons)


def roll_back_is_settled(
    desk: Desk,
    probes: ServiceProbes,
    information_system: InformationSystem,
    site: Site | None,
    site_name: str,
    *,
    give_up_after: timedelta,
) -> bool:
    """Tell whether nothing is left to wait for: it is rolled back, nobody asked for it, or it took too long.

    What took too long stays on record as asked for; the wrap-up must not take it for done.

    Raises:
        ServiceError: the information system does not answer; try again.
    """
    asked = Pilot(desk.rollout).roll_back_asked(site_name)
    if asked is None or site is None or desk.now > asked.at + give_up_after:
        return True
    return not verify_roll_back(desk, probes, information_system, site)


def tell_users(desk: Desk, site: Site, vos: Sequence[Party], support: str) -> int:
    """Tell those who use the pilot that a site has taken it back, and why; returns how many mails are new.

    VOs of a major pilot, and the support list; a minor one has no users who know of it (SD 4.1.3).
    """
    record = desk.rollout
    pilot = Pilot(record)
    done = pilot.rolled_back(site.name)
    if done is None:
        return 0
    new = 0
    for name, address in (*vos, Party("pps-support", support)):
        occasion = f"rolled-back/{site.name}{f'/{done.occasion}' if done.occasion else ''}"
        told = desk.fact(FactKind.TOLD, name, occasion, {"to": address})
        view = {
            "rollout": record.name,
            "opened": record.opened,
            "site": site,
            "recipient": name,
            "reason": done.payload["reason"],
            "version": done.payload["version"],
            "at": done.at,
            "left": pilot.serving,
        }
        title = one_line(
            f"{site.name} has rolled back the pilot of {record.opened['metapackage']} {record.opened['version']}"
        )
        new += len(
            desk.record(told, mails=desk.circular("pilot_rolled_back", view, key=told, to=[address], subject=title))
        )
    return new


def users_of(record: Rollout, vos: Sequence[Party]) -> tuple[Party, ...]:
    """The VOs that committed themselves at the kick-off."""
    agreed = Pilot(record).agreement
    return tuple(vo for vo in vos if agreed is not None and vo.name in agreed.vos)
