"""Tells people about a preview, each of them once (SD 4.1.1, steps 6 and 7).

Every mail is queued in the transaction of the fact that says so. Its key is
`<rollout>/<kind of fact>/<recipient>[/<occasion>]`, so a call that is repeated queues nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pps.activities.feedback import invitation_token
from pps.activities.links import bulletin_link, feedback_api, feedback_link
from pps.activities.ports import Facts, Mail, Templates
from pps.domain.facts import Fact, FactKind
from pps.domain.feedback import feedback_due, invited_vos
from pps.domain.patches import Bug, Patch
from pps.domain.rollouts import Rollout, SiteState
from pps.domain.sites import Site
from pps.domain.tags import jdl_requirement
from pps.domain.texts import one_line


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
        NotYetAllowedError: the date for feedback has not been agreed on.
    """
    record.need(FactKind.FEEDBACK_DATE_AGREED, "Agree on a date for feedback first.")
    known = invited_vos(record)

    def mail(vo: Party) -> Mail:
        token = invitation_token(audience.secret, record.name, vo.name)
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
                        "announced": _is_announced(record, p.site),
                    },
                ),
            )
            for p in record.all_progress()
            if p.state is SiteState.FAILED and p.site in sites and (began := trouble_began(record, p.site)) is not None
            if not _told(record, FactKind.SITE_TOLD, p.site, began)
        ),
    )


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


def _is_announced(record: Rollout, site: str) -> bool:
    """Tell whether the tag was published at the site before it failed, and is not known to be removed."""
    about_tag = (FactKind.TAG_ADDED, FactKind.TAG_SEEN, FactKind.TAG_REMOVED)
    newest = next((f.kind for f in reversed(record.facts) if f.subject == site and f.kind in about_tag), None)
    return newest in _WELL


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
    text, html = templates.render(f"{template}.txt", view), templates.render(f"{template}.html", view)
    return Mail("", to, subject, text, html, attachments)


def _queue(facts: Facts, letters: Iterable[tuple[Fact, Any]]) -> int:
    """Record all facts and queue all mails in one transaction; returns how many facts were new."""
    pairs = [(fact, write()) for fact, write in letters]
    mails = []
    for fact, mail in pairs:
        key = "/".join(part for part in (fact.rollout, fact.kind.value, fact.subject, fact.occasion) if part)
        mails.append(Mail(key, mail.to, mail.subject, mail.text, mail.html, mail.attachments))
    return len(facts.record(*(fact for fact, _ in pairs), mails=mails))
