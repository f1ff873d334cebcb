"""A pilot for those who have a part in it: steps, people, dates, probes, what it waits for, and what they can say.

It is the page of a rollout whose path is a pilot; so it is in the tabs of Airflow, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi.responses import HTMLResponse

from pps.activities.pilots.standing import Addresses, view
from pps.domain.pilots.lanes import LaneState
from pps.domain.record.rollouts import Rollout
from pps.services import Services
from pps.web.closed import masked
from pps.web.drawing.lanes import Scale
from pps.web.forms import Person
from pps.web.shell import page
from pps.web.tasks import page_of

_NEWEST = 40
"""entries of the journal"""
_ROWS = 200
"""intervals in the table beside the graph; all are in the JSON"""
#: A word has room below a part of a lane that is so wide, in per cent, also on a telephone.
_ROOM = 18


def standing(services: Services, record: Rollout, now: datetime) -> Mapping[str, Any]:
    """What is to be said of a pilot, without addresses."""
    addresses = Addresses(services.config.service.public_url, services.mirror_url)
    criteria = services.config.policies.pilots.criteria
    found: Mapping[str, Any] = masked(view(services.facts, record, criteria, addresses, now))
    return found


def shown(
    services: Services, record: Rollout, place: str, person: Person, now: datetime, *, why: str = ""
) -> HTMLResponse:
    """The page as it is now.

    Args:
        why: why something that was asked for is not done.
    """
    opened, about = record.opened, standing(services, record, now)
    journal = about["journal"]
    return page(
        services.templates,
        "pilot.html",
        {
            **about,
            "software": f"{opened.get('metapackage', '')} {opened.get('version', '')}".strip() or record.name,
            "title": masked(str(opened.get("title", ""))),
            "run": masked(str(opened.get("run", ""))),
            "questions": [_question(q, person, now) for q in about["questions"]],
            "dates": _dates(about, now),
            "drawn": _drawn(about["graph"]),
            "journal": journal[::-1][:_NEWEST],
            "older": max(0, len(journal) - _NEWEST),
            "report_files": {site: link.partition("/pps/")[2] for site, link in about["reports"].items()},
            "read_at": now,
            "why": why,
        },
        place,
    )


def _question(asked: Mapping[str, Any], person: Person, now: datetime) -> dict[str, Any]:
    return {
        **asked,
        "title": asked["what"] or f"{asked['step']}: {asked['who']}",
        "page": page_of(asked["link"]),
        "mine": bool(person.identities & set(asked["assigned_to"])),
        "whose": [who.partition(":")[2] for who in asked["assigned_to"]] or [asked["who"]],
        "late": now > asked["due"],
    }


def _dates(about: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    """What was agreed, in the order of time."""
    agreed = about["agreed"] or {}
    known = [
        *((f"{m['meeting']} meeting{' (moved)' if m['moved'] else ''}", m["starts"]) for m in about["meetings"]),
        ("set up until", agreed.get("set_up_until")),
        ("runs since", about["running_since"]),
        ("runs until", about["runs_until"]),
        ("feedback until", agreed.get("feedback_until") if agreed.get("vos") else None),
    ]
    dates = [{"what": what, "at": at, "past": at < now} for what, at in known if at]
    return sorted(dates, key=lambda date: date["at"])


def _drawn(graph: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The graph with places on the line, and its twin for those who do not see it."""
    if graph is None:
        return None
    scale = Scale(graph["begin"], graph["end"])
    lanes, rows = [], []
    for lane in graph["lanes"]:
        parts = lane["intervals"]
        spans = scale.spans((part["begin"], part["end"]) for part in parts)
        marks = [{**told, "x": scale.x(told["began"])} for told in lane["incidents"]]
        bars = [
            {**part, **asdict(span), "worded": span.width >= _ROOM} for part, span in zip(parts, spans, strict=True)
        ]
        lanes.append({"site": lane["site"], "bars": bars, "marks": marks})
        began = {told["began"] for told in lane["incidents"]}
        rows += [{**part, "site": lane["site"], "incident": part["begin"] in began} for part in parts]
    rows = [row for row in rows if row["state"] != LaneState.TO_COME]
    oldest = sorted(row["begin"] for row in rows)[-_ROWS:][:1]
    kept = [row for row in rows if row["begin"] >= oldest[0]] if oldest else []
    return {
        **graph,
        "lanes": lanes,
        "ticks": [asdict(tick) for tick in scale.ticks()],
        "now": scale.x(graph["seen_until"]) if graph["seen_until"] < graph["end"] else None,
        "rows": kept,
        "left_out": len(rows) - len(kept),
    }
