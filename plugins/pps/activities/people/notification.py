"""Tells people about a preview, each of them once (SD 4.1.1, steps 6 and 7).

Every mail is queued in the transaction of the fact that says so. Its key is
`<rollout>/<kind of fact>/<recipient>[/<occasion>]`, so a call that is repeated queues nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pps.activities.people.feedback import invitation_token
from pps.activities.people.letters import letter
from pps.activities.ports.people import Mail, Templates
from pps.activities.ports.record import Facts
from pps.domain.base.texts import one_line
from pps.domain.packages.patch import Bug, Patch
from pps.domain.packages.tags import jdl_requirement
from pps.domain.people.feedback import feedback_due, invited_vos
from pps.domain.people.links import bulletin_link, feedback_api, feedback_link
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import TOLD_OF_WITHDRAWAL, Rollout, SiteState
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


def broadcast(
    record: Rollout, facts: Facts, patch: Patch, audience: Audience, templates: Templates, now: datetime, actor: str
) -> int:
    """General notification to VOs and ROCs (SD 4.1.1, step 6); returns how many mails are new.

    A VO's mail is its invitation as well: it carries the VO's own link to the feedback channel and
    the agreed date, so that nobody gets two mails about one thing.
    """
    return invite_vos(record, facts, patch, audience, templates, now, actor) + _queue(
        facts,
        (
            (
                Fact(record.name, FactKind.BROADCAST_QUEUED, roc.name, "roc", now, actor, {"to": roc.address}),
                lambda roc=roc: _mail(
                    templates,
                    "broadcast",
                    roc.address,
                    f"Preview of {patch.metapackage} {patch.version} at production sites (patch {patch.number})",
                    {**_preview(record, patch, audience), "recipient": roc.name},
                ),
            )
            for roc in audience.rocs
            if not _told(record, FactKind.BROADCAST_QUEUED, roc.name, "roc")
        ),
    )


def invite_vos(
    record: Rollout, facts: Facts, patch: Patch, audience: Audience, templates: Templates, now: datetime, actor: str
) -> int:
    """Invite each VO to try the preview and to say how it went; returns how many mails are new.

    Raises:
        NotYetAllowedError: the date for feedback has not been agreed on, or the preview was withdrawn.
    """
    record.must_not_be_withdrawn()
    record.need(FactKind.FEEDBACK_DATE_AGREED, "Agree on a date for feedback first.")
    known = invited_vos(record)

    def mail(vo: Party) -> Mail:
        token = invitation_token(audience.secret, record.name, vo.name, feedback_due(record))
        view = {
            **_preview(record, patch, audience),
            "recipient": vo.name,
            "token": token,
            "feedback_link": feedback_link(audience.public_url, record.name, vo.name, token),
            "feedback_api": feedback_api(audience.public_url, record.name),
        }
        subject = f"Please try {patch.metapackage} {patch.version} before it goes to production (patch {patch.number})"
        jdl = ("requirement.jdl", "text/plain", templates.render("requirement.jdl", view))
        return _mail(templates, "invitation_vo", vo.address, subject, view, (jdl,))

    return _queue(
        facts,
        (
            (
                Fact(record.name, FactKind.VO_INVITED, vo.name, "", now, actor, {"to": vo.address}),
                lambda vo=vo: mail(vo),
            )
            for vo in audience.vos
            if vo.name not in known
        ),
    )


def invite_originators(
    record: Rollout, facts: Facts, patch: Patch, audience: Audience, templates: Templates, now: datetime, actor: str
) -> int:
    """Personal notification to who reported the fixed bugs, with the invitation to verify (SD 4.1.1, step 7).

    One mail to a person, with all their bugs. Returns how many mails are new.
    """
    record.must_not_be_withdrawn()
    by_person: dict[str, list[Bug]] = {}
    for bug in patch.bugs:
        by_person.setdefault(bug.originator.lower(), []).append(bug)

    def mail(bugs: list[Bug]) -> Mail:
        numbers = ", ".join(str(b.number) for b in bugs)
        yours = f"Your bug{'s' if len(bugs) > 1 else ''} {numbers}"
        subject = f"{yours}: please verify the fix in {patch.metapackage} {patch.version}"
        view = {**_preview(record, patch, audience), "mine": bugs}
        return _mail(templates, "invitation_originator", bugs[0].originator, one_line(subject), view)

    return _queue(
        facts,
        (
            (
                Fact(
                    record.name, FactKind.ORIGINATOR_INVITED, person, "", now, actor, {"bugs": [b.number for b in bugs]}
                ),
                lambda bugs=bugs: mail(bugs),
            )
            for person, bugs in by_person.items()
            if not _told(record, FactKind.ORIGINATOR_INVITED, person, "")
        ),
    )


def tell_failed_sites(
    record: Rollout, facts: Facts, sites: Mapping[str, Site], templates: Templates, now: datetime, actor: str
) -> int:
    """Tell the contact of each failed site why it is left out, and what to do; returns how many mails are new.

    Once for each time of trouble: a site that fails night after night is told when it begins, and
    again only after it has been well in between. A site that left the registry is not told.
    """
    opened = record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.").payload
    return _queue(
        facts,
        (
            (
                Fact(record.name, FactKind.SITE_TOLD, p.site, began, now, actor, {"reason": p.reason}),
                lambda p=p: _mail(
                    templates,
                    "site_failed",
                    sites[p.site].contact,
                    f"{p.site}: preview of {opened['metapackage']} {opened['version']} could not be made available",
                    {
                        "rollout": record.name,
                        "opened": opened,
                        "site": sites[p.site],
                        "reason": p.reason,
                        "at": p.fact.at,
                        "installed": p.fact.kind is FactKind.PROBES_FAILED,
                        "announced": record.announces(p.site),
                    },
                ),
            )
            for p in record.all_progress()
            if p.state is SiteState.FAILED and p.site in sites and (began := trouble_began(record, p.site)) is not None
            if not _told(record, FactKind.SITE_TOLD, p.site, began)
        ),
    )


def people_to_tell_of_withdrawal(
    record: Rollout, sites: Mapping[str, Site], coordination: str
) -> tuple[tuple[str, tuple[Site, ...]], ...]:
    """Address -> the sites of its people that had the preview; none for VOs, ROCs, originators and coordination."""
    had_it = dict.fromkeys(f.subject for f in record.facts if f.kind is FactKind.PREVIEW_INSTALLED)
    originators = (f.subject for f in record.facts if f.kind is FactKind.ORIGINATOR_INVITED)
    found: dict[str, tuple[str, list[Site]]] = {}
    for to in (coordination, *addresses_told(record), *originators):
        found.setdefault(to.lower(), (to, []))
    for site in (sites[name] for name in had_it if name in sites):
        for address in site.contacts:
            found.setdefault(address.lower(), (address, []))[1].append(site)
    return tuple((to, tuple(own)) for to, own in found.values())


def tell_of_withdrawal(
    record: Rollout,
    facts: Facts,
    sites: Mapping[str, Site],
    coordination: str,
    public_url: str,
    templates: Templates,
    now: datetime,
    actor: str,
) -> int:
    """Tell all who were told of the preview, and the sites that had it, that it is gone, and why; once.

    Who reported the fixed bugs hears it, too. One mail to an address, whatever parts it has. Returns how many
    mails are new.

    Raises:
        NotYetAllowedError: nobody has asked for a withdrawal, or its tags are not gone yet.
    """
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
    # a preview that was open is stopped by this; of one that had ended nothing is left to stop
    word = "Withdrawn" if record.is_closed else "Stopped and withdrawn"
    subject = f"{word}: {opened['metapackage']} {opened['version']} (patch {opened['patch']})"
    return _queue(
        facts,
        (
            (
                Fact(record.name, FactKind.TOLD, to.lower(), TOLD_OF_WITHDRAWAL, now, actor, {"to": to}),
                lambda to=to, own=own: _mail(templates, "withdrawn", to, subject, {**view, "own": own}),
            )
            for to, own in people_to_tell_of_withdrawal(record, sites, coordination)
            if not _told(record, FactKind.TOLD, to.lower(), TOLD_OF_WITHDRAWAL)
        ),
    )


def addresses_told(record: Rollout) -> tuple[str, ...]:
    """Everybody who was told of the preview, in order: who tries it should hear, too, when it is stopped."""
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


def _mail(
    templates: Templates,
    template: str,
    to: str,
    subject: str,
    view: Mapping[str, Any],
    attachments: tuple[tuple[str, str, str], ...] = (),
) -> Mail:
    """A mail without its key; `_queue` gives it that of its fact."""
    return letter(templates, template, view, key="", to=to, subject=subject, attachments=attachments)


def _queue(facts: Facts, letters: Iterable[tuple[Fact, Any]]) -> int:
    """Record all facts and queue all mails in one transaction; returns how many facts were new."""
    pairs = [(fact, write()) for fact, write in letters]
    mails = []
    for fact, mail in pairs:
        key = "/".join(part for part in (fact.rollout, fact.kind.value, fact.subject, fact.occasion) if part)
        mails.append(Mail(key, mail.to, mail.subject, mail.text, mail.html, mail.attachments))
    return len(facts.record(*(fact for fact, _ in pairs), mails=mails))
