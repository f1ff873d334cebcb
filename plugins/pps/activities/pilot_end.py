"""How a pilot ends: released or not, rejected, prolonged, given up; and everybody hears of it (SD 4.1.3, 10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pps.activities.notification import Party
from pps.activities.packages import keep_packages
from pps.activities.pilot_wrap_up import needed_decision, reasons_against_pilot_release, report_links, results
from pps.activities.ports import Artefacts, Facts, Mail, Templates, Tracker
from pps.activities.release import Publisher, announce_release, publish_in_production, released_elsewhere
from pps.activities.release_testing import kept_packages
from pps.domain.errors import NotYetAllowedError
from pps.domain.facts import Fact, FactKind
from pps.domain.patches import Patch
from pps.domain.pilots import PROLONG, REJECT, RELEASE, Pilot
from pps.domain.rollouts import Rollout, rollout_id
from pps.domain.texts import one_line

NOT_DECIDED, NO_AGREEMENT = "not decided", "no agreement"
PROLONGED, RELEASED, NOT_RELEASED, REJECTED = "prolonged", "released", "not released", "rejected"
SYNCHRONISED = "synchronised"
_TOLD = "pilot-ended"


# --- the very bytes that are tried --------------------------------------------------------------


def keep_pilot_packages(
    record: Rollout, facts: Facts, patch: Patch, now: datetime, actor: str, **needed: Any
) -> tuple[tuple[str, str], ...]:
    """Keep the packages that the sites install, once; what is released later are these very bytes.

    Args:
        patch: with the repository that the sites install from: the mirror, where there is one.
        needed: the arguments of `packages.keep_packages`.
    """
    Pilot(record).must_be_accepted()
    if not record.has(FactKind.PACKAGES_KEPT):
        kept = [[str(p.ref), p.sha256] for p in keep_packages(patch, **needed)]
        facts.record(Fact(record.name, FactKind.PACKAGES_KEPT, "", "", now, actor, {"packages": kept}))
        record = facts.rollout(record.name)  # of two attempts at once one was first
    return kept_packages(record)


# --- release ------------------------------------------------------------------------------------


def release_pilot(
    record: Rollout,
    facts: Facts,
    patch: Patch,
    artefacts: Artefacts,
    tracker: Tracker,
    production: Any,
    publish_packages: Publisher,
    templates: Templates,
    recipients: Sequence[str],
    notes_link: str,
    now: datetime,
    actor: str,
) -> tuple[str, ...]:
    """Release what was tried; returns the reasons if the rules for production do not allow it.

    Every step looks first, so a retry continues where it broke off.

    Raises:
        NotYetAllowedError: the wrap-up has not decided to release it, or the release notes are not written.
    """
    decided = needed_decision(record).payload
    if decided["decision"] != RELEASE:
        raise NotYetAllowedError(record.name, f"the decision was {decided['decision']}.", "Ask for a new pilot.")
    if refused := record.the(FactKind.RELEASE_REFUSED):
        return tuple(refused.payload["reasons"])
    if record.has(FactKind.RELEASED_TO_PRODUCTION):
        return ()
    record.need(FactKind.RELEASE_NOTES_WRITTEN, "Write the release notes first: they carry the feedback.")
    if released_elsewhere(facts, record):  # an urgent one has not waited for the pilot
        return ()
    if reasons := reasons_against_pilot_release(facts, patch):
        facts.record(Fact(record.name, FactKind.RELEASE_REFUSED, "", "", now, actor, {"reasons": list(reasons)}))
        return reasons
    kept = kept_packages(record)
    files = [artefacts.local_package(sha256) for _, sha256 in kept]
    publish_in_production(patch, files, production, publish_packages, now)
    ran = [r.site for r in results(record, now) if r.version]
    announce_release(
        record,
        facts,
        patch,
        tracker,
        templates,
        recipients,
        template="released_pilot",
        packages=[name for name, _ in kept],
        more={"ran_at": len(ran), "no_feedback": bool(decided["no_feedback"]), "notes_link": notes_link},
        now=now,
        actor=actor,
    )
    return ()


# --- the end ------------------------------------------------------------------------------------


def next_round_name(record: Rollout, facts: Facts) -> str:
    """Name that the next round of this pilot will have."""
    closed = record.the(FactKind.ROLLOUT_CLOSED)
    if closed is not None and closed.payload.get("next"):
        return str(closed.payload["next"])
    same_path = len(facts.rollouts(paths=[record.path], patch=record.patch_number))
    return rollout_id(record.path, record.patch_number, same_path + 1)


def give_up(record: Rollout, facts: Facts, outcome: str, reason: str, now: datetime, actor: str) -> None:
    """End a pilot that goes no further, with the reason; twice is once."""
    if not record.is_closed:
        payload = {"outcome": outcome, "reasons": [reason]}
        facts.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", now, actor, payload))


def close_pilot(record: Rollout, facts: Facts, now: datetime, actor: str) -> str:
    """End this round as the wrap-up has decided; returns its outcome.

    Raises:
        NotYetAllowedError: nothing is decided, or it is to be released, and is not yet.
    """
    if (closed := record.the(FactKind.ROLLOUT_CLOSED)) is not None:
        return str(closed.payload["outcome"])
    decided = needed_decision(record).payload
    payload: dict[str, Any]
    if decided["decision"] == PROLONG:
        payload = {"outcome": PROLONGED, "reasons": [decided["reason"]], "next": next_round_name(record, facts)}
    elif decided["decision"] == REJECT:
        payload = {"outcome": REJECTED, "reasons": [decided["reason"]]}
    elif record.has(FactKind.RELEASED_TO_PRODUCTION):
        payload = {"outcome": RELEASED}
    elif refused := record.the(FactKind.RELEASE_REFUSED):
        payload = {"outcome": NOT_RELEASED, "reasons": list(refused.payload["reasons"])}
    elif released_elsewhere(facts, record):
        payload = {"outcome": SYNCHRONISED, "reasons": ["It is in production already, by another decision."]}
    else:
        raise NotYetAllowedError(record.name, "is to be released, and is not yet.", "Clear the task of the release.")
    facts.close(Fact(record.name, FactKind.ROLLOUT_CLOSED, "", "", now, actor, payload))
    return str(payload["outcome"])


def tell_end(
    record: Rollout,
    facts: Facts,
    parties: Iterable[Party],
    templates: Templates,
    now: datetime,
    actor: str,
    *,
    public_url: str,
) -> int:
    """Tell all who had a part in it how this round has ended; returns how many mails are new. Twice is once.

    Source: SD 4.1.3, 10: "In case of minor updates this discussion in brought to the EMT", who is among `parties` then.

    Raises:
        NotYetAllowedError: it has not ended.
    """
    closed = record.need(FactKind.ROLLOUT_CLOSED, "End the pilot first.").payload
    wrapped = record.the(FactKind.WRAPPED_UP)
    said: Mapping[str, Any] = wrapped.payload if wrapped else {}
    opened = record.opened
    view = {
        "rollout": record.name,
        "opened": opened,
        "major": Pilot(record).is_major,
        "outcome": closed["outcome"],
        "reasons": [one_line(str(r), 1000) for r in closed.get("reasons", ())],
        "next": closed.get("next", ""),
        "guidelines": said.get("guidelines", ""),
        "against": said.get("reasons_against", []),
        "remarks": said.get("remarks", []),
        "no_feedback": bool(said.get("no_feedback")),
        "results": (found := results(record, now)),
        "reports": report_links(found, public_url),
    }
    subject = one_line(f"Pilot {closed['outcome']}: {opened['metapackage']} {opened['version']} ({record.name})")
    text, html = templates.render("pilot_ended.txt", view), templates.render("pilot_ended.html", view)
    told, mails = [], []
    for address in dict.fromkeys(party.address.lower() for party in parties):
        told.append(Fact(record.name, FactKind.TOLD, address, _TOLD, now, actor, {"to": address}))
        mails.append(Mail(f"{record.name}/{FactKind.TOLD.value}/{address}/{_TOLD}", address, subject, text, html))
    return len(facts.record(*told, mails=mails))
