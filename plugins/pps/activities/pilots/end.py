"""How a pilot ends: released or not, rejected, prolonged, given up; and everybody hears of it (SD 4.1.3, 10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pps.activities.desk import Desk
from pps.activities.packages.production import Production
from pps.activities.people.notification import Party
from pps.activities.pilots.wrap_up import needed_decision, reasons_against_pilot_release, report_links, results
from pps.activities.release.release import earlier_answer, release_kept_packages, released_elsewhere
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.base.texts import one_line
from pps.domain.people.links import release_notes_link
from pps.domain.pilots.pilot import PROLONG, REJECT, RELEASE, Pilot
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import rollout_id

NOT_DECIDED, NO_AGREEMENT = "not decided", "no agreement"
PROLONGED, RELEASED, NOT_RELEASED, REJECTED = "prolonged", "released", "not released", "rejected"
SYNCHRONISED = "synchronised"
_TOLD, _NOTES = "pilot-ended", FactKind.RELEASE_NOTES_WRITTEN


# --- release ------------------------------------------------------------------------------------


def release_pilot(desk: Desk, production: Production) -> tuple[str, ...]:
    """Release what was tried; returns the reasons if the rules for production do not allow it.

    Every step looks first, so a retry continues where it broke off.

    Raises:
        NotYetAllowedError: the wrap-up has not decided to release it, or the release notes are not written.
    """
    record = desk.rollout
    decided = needed_decision(record).payload
    if decided["decision"] != RELEASE:
        raise NotYetAllowedError(record.name, f"the decision was {decided['decision']}.", "Ask for a new pilot.")
    if (answered := earlier_answer(record)) is not None:
        return answered
    record.need(FactKind.RELEASE_NOTES_WRITTEN, "Write the release notes first: they carry the feedback.")
    if released_elsewhere(desk):  # an urgent one has not waited for the pilot
        return ()
    ran = [r.site for r in results(record, desk.now) if r.version]
    return release_kept_packages(
        desk,
        production,
        reasons_against_pilot_release(desk),
        template="released_pilot",
        more={"ran_at": len(ran), "no_feedback": bool(decided["no_feedback"])},
    )


# --- the end ------------------------------------------------------------------------------------


def next_round_name(desk: Desk) -> str:
    """Name that the next round of this pilot will have."""
    record = desk.rollout
    closed = record.the(FactKind.ROLLOUT_CLOSED)
    if closed is not None and closed.payload.get("next"):
        return str(closed.payload["next"])
    same_path = len(desk.facts.rollouts(paths=[record.path], patch=record.patch_number))
    return rollout_id(record.path, record.patch_number, same_path + 1)


def give_up(desk: Desk, outcome: str, reason: str) -> None:
    """End a pilot that goes no further, with the reason; repeating it changes nothing."""
    if not desk.rollout.is_closed:
        payload = {"outcome": outcome, "reasons": [reason]}
        desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", payload))


def close_pilot(desk: Desk) -> str:
    """End this round as the wrap-up has decided; returns its outcome.

    Raises:
        NotYetAllowedError: nothing is decided, or it is to be released, but is not yet.
    """
    record = desk.rollout
    if (closed := record.the(FactKind.ROLLOUT_CLOSED)) is not None:
        return str(closed.payload["outcome"])
    decided = needed_decision(record).payload
    payload: dict[str, Any]
    if decided["decision"] == PROLONG:
        payload = {"outcome": PROLONGED, "reasons": [decided["reason"]], "next": next_round_name(desk)}
    elif decided["decision"] == REJECT:
        payload = {"outcome": REJECTED, "reasons": [decided["reason"]]}
    elif record.has(FactKind.RELEASED_TO_PRODUCTION):
        payload = {"outcome": RELEASED}
    elif refused := record.the(FactKind.RELEASE_REFUSED):
        payload = {"outcome": NOT_RELEASED, "reasons": list(refused.payload["reasons"])}
    elif released_elsewhere(desk):
        payload = {"outcome": SYNCHRONISED, "reasons": ["It is in production already, by another decision."]}
    else:
        raise NotYetAllowedError(record.name, "is to be released, but is not yet.", "Clear the task of the release.")
    desk.close(desk.fact(FactKind.ROLLOUT_CLOSED, "", "", payload))
    return str(payload["outcome"])


def tell_end(desk: Desk, parties: Iterable[Party], *, public_url: str, how_to_use: str = "") -> int:
    """Tell all who had a part in it how this round has ended; returns how many mails are new, none when repeated.

    Source: SD 4.1.3, 10: "In case of minor updates this discussion in brought to the EMT", who is among `parties` then.

    Args:
        how_to_use: of what was released, the lines with which a site uses the production repository.

    Raises:
        NotYetAllowedError: it has not ended.
    """
    record = desk.rollout
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
        "against": [*said.get("reasons_against", []), *said.get("inconclusive", [])],
        "remarks": said.get("remarks", []),
        "no_feedback": bool(said.get("no_feedback")),
        "results": (found := results(record, desk.now)),
        "reports": report_links(found, public_url),
        "how_to_use": how_to_use,
        "notes_link": release_notes_link(public_url, record.name) if record.has(_NOTES) else "",
    }
    subject = f"Pilot {closed['outcome']}: {opened['metapackage']} {opened['version']} ({record.name})"
    told, mails = [], []
    for address in dict.fromkeys(party.address.lower() for party in parties):
        fact = desk.fact(FactKind.TOLD, address, _TOLD, {"to": address})
        told.append(fact)
        mails.append(desk.letter("pilot_ended", view, key=fact, to=address, subject=subject))
    return len(desk.record(*told, mails=mails))
