"""The release bulletin's pages: what people read first is short, and leads to every site.

The pages under /pps are made from the facts when somebody asks; these files are copies for other web servers.

```text
bulletin.json               everything, for programs
bulletin.html               each preview with its counts and the sites that need somebody
bulletin/<rollout>.html     one preview with all its sites, those that are not done first
bulletin/sites.html         every site with every preview, side by side
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pps.activities.clients.bulletin import SHOWN_STATES, bulletin
from pps.activities.ports.people import Templates
from pps.activities.ports.publication import PublicationFolder
from pps.activities.ports.record import Facts
from pps.domain.people.links import feedback_link
from pps.domain.record.site_states import FAILURES, SiteProgress, SiteState
from pps.domain.sites.site import Site

FOLDER = "bulletin"
MAP = f"{FOLDER}/sites.html"
STATES = tuple(state.value for state in SHOWN_STATES)
#: Sites that need somebody, by their states; the first page names at most so many of each.
_NEED_SOMEBODY = (*FAILURES, SiteState.LOST)
_NAMED_AT_MOST = 12
#: What is not done comes first where all sites of a preview are listed.
_NOT_DONE_FIRST = (
    *_NEED_SOMEBODY,
    SiteState.PLANNED,
    SiteState.INSTALLED,
    SiteState.CONFIGURED,
    SiteState.TESTED,
    SiteState.TAGGED,
    SiteState.AVAILABLE,
    SiteState.WITHDRAWN,
    SiteState.LEFT_OUT,
)


def write_bulletin(
    facts: Facts,
    sites: Mapping[str, Site],
    templates: Templates,
    folder: PublicationFolder,
    now: datetime,
    public_url: str,
) -> tuple[str, ...]:
    """Write all files, those that others link to first; returns the names of those whose content has changed.

    Args:
        sites: the registry, for region and platform; a site that left it is still shown.
    """
    content = bulletin(facts, sites, now)
    rollouts = as_shown(content, now, public_url)
    files = {"bulletin.json": json.dumps(content, indent=2, ensure_ascii=False) + "\n"}
    for r in rollouts:
        if r["sites"]:
            files[r["page"]] = templates.render("bulletin_rollout.html", with_sites(r))
    files[MAP] = templates.render("bulletin_sites.html", map_view(rollouts))
    files["bulletin.html"] = templates.render("bulletin.html", front_view(content["updated_at"], rollouts))
    return tuple(name for name, text in files.items() if folder.publish(name, text))


def as_shown(content: Mapping[str, Any], now: datetime, public_url: str) -> Sequence[Mapping[str, Any]]:
    """The rollouts of bulletin.json as pages show them: open ones first, then closed ones; the newest of each first."""
    rollouts = [_shown(r, now, public_url) for r in content["rollouts"]]
    return sorted(rollouts, key=lambda r: r["closed_at"] is not None)


def front_view(updated_at: str | None, rollouts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The view of the page that people read first."""
    return {
        "updated_at": _moment(updated_at),
        "rollouts": rollouts,
        "states": STATES,
        "map": MAP if any(r["sites"] for r in rollouts) else "",
        "past": None,
    }


def _shown(r: Mapping[str, Any], now: datetime, public_url: str) -> dict[str, Any]:
    by_state: dict[str, list[str]] = {}
    for site in r["sites"]:
        by_state.setdefault(site["state"], []).append(site["site"])
    until = _moment(r["feedback"]["until"])
    return {
        **r,
        "page": f"{FOLDER}/{r['rollout']}.html",
        "opened_at": _moment(r["opened_at"]),
        "closed_at": _moment(r["closed_at"]),
        "feedback": {**r["feedback"], "until": until},
        "feedback_link": feedback_link(public_url, r["rollout"]),
        "feedback_open": r["closed_at"] is None and now <= (until or now),
        "usable": r["counts"].get(SiteState.AVAILABLE.value, 0),
        "announced": r["stage"] != "withdrawn"
        and any(r["counts"].get(state.value) for state in (SiteState.AVAILABLE, SiteState.TAGGED)),
        "planned": len(r["sites"]) - r["counts"].get(SiteState.LEFT_OUT.value, 0),
        "need_somebody": [
            (state.value, found[:_NAMED_AT_MOST], max(0, len(found) - _NAMED_AT_MOST))
            for state in _NEED_SOMEBODY
            if r["closed_at"] is None and (found := by_state.get(state.value, []))
        ],
    }


def as_row_order(progress: Sequence[SiteProgress]) -> list[SiteProgress]:
    """Sites as lists show them: what is not done first."""
    return sorted(progress, key=lambda p: (_NOT_DONE_FIRST.index(p.state), p.site))


def with_sites(r: Mapping[str, Any]) -> Mapping[str, Any]:
    """The view of a rollout's own page."""
    order = {state.value: number for number, state in enumerate(_NOT_DONE_FIRST)}
    rows = sorted(r["sites"], key=lambda s: (order[s["state"]], s["roc"] or "", s["site"]))
    return {
        "r": r,
        "states": STATES,
        "rows": [{**s, "since": _moment(s["since"])} for s in rows],
    }


def map_view(rollouts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The view of the map: rollouts as columns, sites as rows."""
    cells = {(s["site"], r["rollout"]): {**s, "since": _moment(s["since"])} for r in rollouts for s in r["sites"]}
    sites = {s["site"]: s for r in rollouts for s in r["sites"]}
    rows = [
        {**site, "cells": [cells.get((site["site"], r["rollout"])) for r in rollouts]}
        for site in sorted(sites.values(), key=lambda s: (s["roc"] or "", s["site"]))
    ]
    return {"rollouts": rollouts, "rows": rows}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
