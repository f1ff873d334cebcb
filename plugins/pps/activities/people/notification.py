"""Tells people about a preview, each of them once (SD 4.1.1, steps 6 and 7).

Every mail is queued in the transaction of the fact that says so. Its key is
`<rollout>/<kind of fact>/<recipient>[/<occasion>]`, so a call that is repeated queues nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pps.activities.desk import Desk
from pps.activities.people.tokens import invitation_token
from pps.activities.ports.people import Mail
from pps.domain.packages.patch import Bug, Patch
from pps.domain.packages.tags import jdl_requirement
from pps.domain.people.feedback import feedback_due, invited_vos
from pps.domain.people.links import bulletin_link, feedback_api, feedback_link
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import TOLD_OF_WITHDRAWAL, Rollout
from pps.domain.record.site_states import FAILURES, SiteState
from pps.domain.sites.site import Site


class Party(NamedTuple):
    """A VO or a ROC and the address of its people: a list, where there is one."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom to tell, and where they find us."""

    vos: tuple[Party, ...]
    rocs: tuple[Party, ...]
    public_url: str
    secret: bytes = field(repr=False)
    """signs the VOs' invitations"""


def broadcast(desk: Desk, audience: Audience) -> int:
    """General notification to VOs and ROCs (SD 4.1.1, step 6); returns how many mails are new.

    A VO's mail is its invitation as well: it carries the VO's own link to the feedback channel and
    the agreed date, so that nobody gets two mails about one thing.
    """
    invited, patch = invite_vos(desk, audience), desk.patch
    subject = f"Preview of {patch.metapackage} {patch.version} at production sites (patch {patch.number})"
    view = _preview(desk.rollout, patch, audience)
    letters = []
    for roc in audience.rocs:
        if not _told(desk.rollout, FactKind.BROADCAST_QUEUED, roc.name, "roc"):
            fact = desk.fact(FactKind.BROADCAST_QUEUED, roc.name, "roc", {"to": roc.address})
            own = {**view, "recipient": roc.name}
            letters.append((fact, desk.letter("broadcast", own, key=fact, to=roc.address, subject=subject)))
    return invited + _queue(desk, letters)


def invite_vos(desk: Desk, audience: Audience) -> int:
    """Invite each VO to try the preview and to say how it went; returns how many mails are new.

    Raises:
        NotYetAllowedError: the date for feedback has not been agreed on, or the preview was withdrawn.
    """
    record = desk.rollout
    patch = desk.patch
    record.must_not_be_withdrawn()
    record.need(FactKind.FEEDBACK_DATE_AGREED, "Agree on a date for feedback first.")
    known = invited_vos(record)

    subject = f"Please try {patch.metapackage} {patch.version} before it goes to production (patch {patch.number})"
    letters = []
    for vo in audience.vos:
        if vo.name in known:
            continue
        token = invitation_token(audience.secret, record.name, vo.name, feedback_due(record))
        view = {
            **_preview(record, patch, audience),
            "recipient": vo.name,
            "token": token,
            "feedback_link": feedback_link(audience.public_url, record.name, vo.name, token),
            "feedback_api": feedback_api(audience.public_url, record.name),
        }
        jdl = ("requirement.jdl", "text/plain", desk.templates.render("requirement.jdl", view))
        fact = desk.fact(FactKind.VO_INVITED, vo.name, "", {"to": vo.address})
        mail = desk.letter("invitation_vo", view, key=fact, to=vo.address, subject=subject, attachments=(jdl,))
        letters.append((fact, mail))
    return _queue(desk, letters)


def invite_originators(desk: Desk, audience: Audience) -> int:
    """Personal notification to those who reported the fixed bugs, with the invitation to verify (SD 4.1.1, step 7).

    One mail to a person, with all their bugs. Returns how many mails are new.
    """
    record = desk.rollout
    patch = desk.patch
    record.must_not_be_withdrawn()
    by_person: dict[str, list[Bug]] = {}
    for bug in patch.bugs:
        by_person.setdefault(bug.originator.lower(), []).append(bug)

    letters = []
    for person, bugs in by_person.items():
        if _told(record, FactKind.ORIGINATOR_INVITED, person, ""):
            continue
        numbers = [b.number for b in bugs]
        yours = f"Your bug{'s' if len(bugs) > 1 else ''} {', '.join(map(str, numbers))}"
        subject = f"{yours}: please verify the fix in {patch.metapackage} {patch.version}"
        view = {**_preview(record, patch, audience), "mine": bugs}
        fact = desk.fact(FactKind.ORIGINATOR_INVITED, person, "", {"bugs": numbers})
        mail = desk.letter("invitation_originator", view, key=fact, to=bugs[0].originator, subject=subject)
        letters.append((fact, mail))
    return _queue(desk, letters)


def tell_failed_sites(desk: Desk, sites: Mapping[str, Site]) -> int:
    """Tell the contact of each failed site why it is left out, and what to do; returns how many mails are new.

    Once for each time of trouble: a site that fails night after night is told when it begins, and
    again only after it has been well in between. A site that left the registry is not told.
    """
    record = desk.rollout
    opened = record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.").payload
    letters = []
    for p in record.all_progress():
        began = trouble_began(record, p.site) if p.state in FAILURES and p.site in sites else None
        if began is None or p.fact is None or _told(record, FactKind.SITE_TOLD, p.site, began):
            continue
        view = {
            "rollout": record.name,
            "opened": opened,
            "site": sites[p.site],
            "reason": p.reason,
            "at": p.fact.at,
            "installed": p.fact.kind is FactKind.PROBES_FAILED,
            "announced": record.announces(p.site),
        }
        subject = f"{p.site}: preview of {opened['metapackage']} {opened['version']} could not be made available"
        fact = desk.fact(FactKind.SITE_TOLD, p.site, began, {"reason": p.reason})
        letters.append((fact, desk.letter("site_failed", view, key=fact, to=sites[p.site].contact, subject=subject)))
    return _queue(desk, letters)


def people_to_tell_of_withdrawal(
    record: Rollout, sites: Mapping[str, Site], coordination: str
) -> tuple[tuple[str, tuple[Site, ...]], ...]:
    """Address -> the sites of its people that had the preview; no sites for VOs, ROCs, originators and coordination."""
    had_it = dict.fromkeys(f.subject for f in record.facts if f.kind is FactKind.PREVIEW_INSTALLED)
    originators = (f.subject for f in record.facts if f.kind is FactKind.ORIGINATOR_INVITED)
    found: dict[str, tuple[str, list[Site]]] = {}
    for to in (coordination, *addresses_told(record), *originators):
        found.setdefault(to.lower(), (to, []))
    for site in (sites[name] for name in had_it if name in sites):
        for address in site.contacts:
            found.setdefault(address.lower(), (address, []))[1].append(site)
    return tuple((to, tuple(own)) for to, own in found.values())


def tell_of_withdrawal(desk: Desk, sites: Mapping[str, Site], coordination: str, public_url: str) -> int:
    """Tell all who were told of the preview, and the sites that had it, that it is gone, and why; once.

    Whoever reported the fixed bugs hears it, too. One mail to an address, whatever its roles. Returns how many
    mails are new.

    Raises:
        NotYetAllowedError: nobody has asked for a withdrawal, or its tags are not gone yet.
    """
    record = desk.rollout
    asked = record.need(FactKind.WITHDRAWAL_ASKED, "Ask for the withdrawal first.")
    gone = record.need(FactKind.TAGS_GONE, "Wait until the information system no longer shows the tags.")
    opened = record.opened
    view = {
        "rollout": record.name,
        "opened": opened,
        "jdl": jdl_requirement(str(opened["tag"])),
        "reason": asked.payload["reason"],
        "asked_at": asked.at,
        "released": record.has(FactKind.RELEASED_TO_PRODUCTION),
        "still_shown": list(gone.payload.get("still_shown", ())),
        "still_there": sorted(p.site for p in record.all_progress() if record.holds_preview(p.site)),
        # SD 4.1.2, 3: what a site's people have set beside the preview is theirs, and stays
        "configured": sorted({f.subject for f in record.facts if f.kind is FactKind.SITE_CONFIGURED}),
        "bulletin_link": bulletin_link(public_url),
    }
    # a preview that was open is stopped by this; in one that had ended, nothing is left to stop
    word = "Withdrawn" if record.is_closed else "Stopped and withdrawn"
    subject = f"{word}: {opened['metapackage']} {opened['version']} (patch {opened['patch']})"
    letters = []
    for to, own in people_to_tell_of_withdrawal(record, sites, coordination):
        if not _told(record, FactKind.TOLD, to.lower(), TOLD_OF_WITHDRAWAL):
            fact = desk.fact(FactKind.TOLD, to.lower(), TOLD_OF_WITHDRAWAL, {"to": to})
            letters.append((fact, desk.letter("withdrawn", {**view, "own": own}, key=fact, to=to, subject=subject)))
    return _queue(desk, letters)


def addresses_told(record: Rollout) -> tuple[str, ...]:
    """Everybody who was told of the preview, in order: whoever tries it should hear, too, when it is stopped."""
    kinds = (FactKind.VO_INVITED, FactKind.BROADCAST_QUEUED)
    return tuple(dict.fromkeys(str(f.payload["to"]) for f in record.facts if f.kind in kinds and f.payload.get("to")))


_WELL = (FactKind.TAG_ADDED, FactKind.TAG_SEEN)
_UNWELL = (FactKind.SITE_FAILED, FactKind.PROBES_FAILED)


def trouble_began(record: Rollout, site: str) -> str | None:
    """Name the failure since which a site has not been well (kind and occasion), or None if it is well."""
    began = None
    for fact in record.facts:
        if fact.subject == site and fact.kind in _WELL:
            began = None
        elif fact.subject == site and fact.kind in _UNWELL and began is None:
            began = f"{fact.kind.value} {fact.occasion}"
    return began


def _preview(record: Rollout, patch: Patch, audience: Audience) -> dict[str, Any]:
    """What all mails about a preview show."""
    tag = str(record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.").payload["tag"])
    progress = record.all_progress()
    return {
        "rollout": record.name,
        "patch": patch,
        "tag": tag,
        "jdl": jdl_requirement(tag),
        "due": feedback_due(record),
        "announced": sorted(p.site for p in progress if p.state in (SiteState.TAGGED, SiteState.AVAILABLE)),
        "planned": len(record.planned_sites),
        "bulletin_link": bulletin_link(audience.public_url),
        "feedback_link": feedback_link(audience.public_url, record.name),
    }


def _told(record: Rollout, kind: FactKind, subject: str, occasion: str) -> bool:
    return any(f.kind is kind and f.subject == subject and f.occasion == occasion for f in record.facts)


def _queue(desk: Desk, letters: Iterable[tuple[Fact, Mail]]) -> int:
    """Record all facts and queue all mails in one transaction; returns how many facts were new."""
    pairs = list(letters)
    return len(desk.record(*(fact for fact, _ in pairs), mails=[mail for _, mail in pairs]))
