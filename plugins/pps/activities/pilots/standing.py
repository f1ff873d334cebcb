"""A pilot as those see it who have a part in it: the one view of page, JSON and `pps pilot show` (SD 4.1.3).

It is made from the record alone, and waits for no service. User names are in it, so it is not for the public.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pps.activities.packages.mirroring import mirror_repository
from pps.activities.pilots import meetings, outlook, screening
from pps.activities.pilots.evidence import evidence
from pps.activities.pilots.steps import steps
from pps.activities.pilots.wrap_up import report_links, results
from pps.activities.ports.record import Facts
from pps.domain.base.errors import NotYetAllowedError
from pps.domain.people import questions
from pps.domain.people.effort import credits_of
from pps.domain.people.links import release_notes_link
from pps.domain.people.overruling import overruling
from pps.domain.pilots import lanes, looks
from pps.domain.pilots.pilot import Pilot
from pps.domain.pilots.success import Assessment, Criteria, assess, silent_vos, words_of_vos
from pps.domain.record.facts import FactKind
from pps.domain.record.halts import halt_of
from pps.domain.record.rollouts import Rollout

VERSION = 1


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where people reach what we publish."""

    public_url: str
    mirror_url: str = ""
    """"" where no mirrors are kept"""


def view(facts: Facts, record: Rollout, criteria: Criteria, addresses: Addresses, now: datetime) -> dict[str, Any]:
    """Everything that is to be said of one round of a pilot (version 1; keys may be added, none is renamed).

    Raises:
        NotYetAllowedError: the record is no pilot.
    """
    pilot = Pilot(record)
    judged, asked = record.the(FactKind.PILOT_JUDGED), record.the(FactKind.PILOT_REQUESTED)
    decided, wrapped, closed = pilot.acceptance, record.the(FactKind.WRAPPED_UP), record.the(FactKind.ROLLOUT_CLOSED)
    excepted, agreed = pilot.exception, pilot.agreement
    assessment = _assessment(facts, pilot, criteria, now)
    picture = lanes.graph(pilot, now)
    return {
        "version": VERSION,
        "pilot": pilot.name,
        "patch": record.patch_number,
        "stage": pilot.stage,
        "next": outlook.what_comes_next(pilot, now),
        "first_round": pilot.first_round,
        "round": pilot.round,
        "kind": judged.payload["kind"] if judged else None,
        "compatibility": pilot.compatibility,
        "level": pilot.level,
        "reasons": judged.payload["reasons"] if judged else [],
        "justification": excepted.payload["reason"] if excepted else record.opened["justification"] or None,
        "asked_by": {k: asked.payload[k] for k in ("by", "role", "vo", "scope")} if asked else None,
        "answer": {k: decided.payload[k] for k in ("decision", "reason", "user")} if decided else None,
        "agreed": {
            "set_up_until": agreed.set_up_until,
            "run_for_s": agreed.run_for.total_seconds(),
            "feedback_until": agreed.feedback_until,
            "vos": agreed.vos,
            "requirements": agreed.requirements,
        }
        if agreed
        else None,
        "running_since": pilot.running_since,
        "runs_until": pilot.runs_until,
        "steps": [asdict(step) for step in steps(pilot)],
        "meetings": _meetings(record),
        "questions": [
            {
                "who": q.subject,
                "step": q.step,
                "what": q.title,
                "due": q.due,
                "assigned_to": q.assigned_to,
                "link": q.link,
                "evidence": evidence(pilot, q, assessment, now),
            }
            for q in questions.questions(record)
            if questions.is_open(record, q)
        ],
        "sites": [_site(pilot, site, now) for site in pilot.selected],
        "interested": screening.interested(record),
        "vos": _vos(pilot),
        "feedback": {"given": [w.vo for w in words_of_vos(pilot) if not w.replaced], "silent": silent_vos(pilot)},
        "graph": asdict(picture) if picture else None,
        "journal": [asdict(entry) for entry in looks.journal(record)],
        "documentation": _documentation(record),
        "reports": report_links(results(record, now), addresses.public_url),
        "missing_reports": pilot.missing_reports,
        "release_notes": release_notes_link(addresses.public_url, record.name)
        if record.has(FactKind.RELEASE_NOTES_WRITTEN)
        else None,
        "mirror": _mirror(record, addresses.mirror_url),
        "credits": _credits(record),
        "assessment": asdict(assessment) if assessment else None,
        "decision": wrapped.payload.get("decision") if wrapped else None,
        "outcome": closed.payload["outcome"] if closed else None,
        "because": _because(record),
        "next_round": closed.payload.get("next") if closed else None,
    }


def _assessment(facts: Facts, pilot: Pilot, criteria: Criteria, now: datetime) -> Assessment | None:
    dossier = facts.dossier(pilot.record.patch_number)
    known = Rollout(dossier.name, tuple(f for f in dossier.facts if f.at <= now))  # the past knows no later decision
    overruled = overruling(known) is not None
    try:
        return assess(pilot, criteria, now, overruled=overruled)
    except NotYetAllowedError:  # while it runs there is nothing to judge
        return None


def _because(record: Rollout) -> list[str]:
    """Why it does not go on, has ended as it has, or was not released."""
    if halt := halt_of(record):
        return [halt.sentence]
    kinds = (FactKind.WITHDRAWAL_ASKED, FactKind.RELEASE_REFUSED, FactKind.ROLLOUT_CLOSED)
    said = [fact.payload for kind in kinds if (fact := record.the(kind))]
    return list(dict.fromkeys(str(why) for p in said for why in (*p.get("reasons", ()), p.get("reason", "")) if why))


def _meetings(record: Rollout) -> list[dict[str, Any]]:
    return [
        {
            "meeting": what,
            "starts": datetime.fromisoformat(called.payload["starts"]),
            "ends": datetime.fromisoformat(called.payload["ends"]),
            "moved": "/" in called.occasion,
        }
        for what in meetings.MEETINGS
        if (called := meetings.meeting(record, what))
    ]


def _site(pilot: Pilot, site: str, now: datetime) -> dict[str, Any]:
    fact, seen, last = pilot.first_set_up(site), looks.availability(pilot, site, now), lanes.newest(pilot, site, now)
    if pilot.rolled_back(site) is not None:
        state = "rolled back"
    elif pilot.is_left_out(site):
        state = "left out"
    elif fact is None:
        state = "awaited"
    else:
        state = "running" if pilot.run_ended is None and not pilot.record.is_closed else "ran"
    service = pilot.service_at(site)
    return {
        "site": site,
        "state": state,
        "since": fact.at if fact else None,
        "version": str(service.payload.get("version", "")) if service else "",
        "endpoint": str(service.payload.get("endpoint", "")) if service else "",
        "probe": {"state": last.state, "since": last.begin, "text": last.text} if last else None,
        "available": f"{seen.text} %" if seen and seen.text else None,
        "availability": seen and seen.share,
        # beside it: all of the little that was seen may have been well
        "not_judged": seen.unknown_share if seen else None,
        "note": outlook.note_on_site(pilot, site),
    }


def _vos(pilot: Pilot) -> list[dict[str, Any]]:
    """Every VO that has a part in it: it asked for it, shows interest, has committed itself, or has answered."""
    record, agreed = pilot.record, pilot.agreement
    asked = record.the(FactKind.PILOT_REQUESTED)
    interest, words = screening.interested(record), {w.vo: w for w in words_of_vos(pilot) if not w.replaced}
    committed = agreed.vos if agreed else ()
    asking = str(asked.payload["vo"]) if asked else ""
    return [
        {
            "vo": vo,
            "asked_for_it": vo == asking,
            "interest": interest.get(vo, ""),
            "committed": vo in committed,
            "opinion": words[vo].opinion if vo in words else None,
            "text": words[vo].text if vo in words else "",
        }
        for vo in dict.fromkeys((*committed, *interest, *([asking] if asking else ())))
    ]


def _documentation(record: Rollout) -> dict[str, Any]:
    checked = record.the(FactKind.DOCUMENTATION_CHECKED)
    says: Mapping[str, Any] = checked.payload if checked else {}
    found = says.get("found") or {}
    return {"found": {what: where for what, where in found.items() if where}, "missing": list(says.get("missing", ()))}


def _mirror(record: Rollout, mirror_url: str) -> dict[str, Any] | None:
    """Where it is and what it holds, or why there is none; None before anybody has decided on it."""
    made = record.the(FactKind.MIRROR_MADE)
    if made is None:
        return None
    where = mirror_repository(record, mirror_url)
    return {
        "address": where.url if where and mirror_url else None,
        "digest": made.payload.get("digest"),
        "packages": made.payload.get("packages"),
        "bytes": made.payload.get("bytes"),
        "source": made.payload.get("source"),
        "skipped": made.payload.get("skipped"),
        "at": made.at,
    }


def _credits(record: Rollout) -> list[dict[str, Any]]:
    """What has been earned so far, by whoever has it; most first."""
    found: dict[tuple[str, str], int] = {}
    for credit in credits_of(record.facts):
        found[credit.who, credit.role] = found.get((credit.who, credit.role), 0) + credit.credits
    rows = [{"who": who, "role": role, "credits": number} for (who, role), number in found.items()]
    return sorted(rows, key=lambda row: (-row["credits"], row["who"]))
