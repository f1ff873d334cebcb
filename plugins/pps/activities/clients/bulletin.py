"""The release bulletin: which version is at which site, now (SD 4.1.1, step 5 and "live map").

Written anew from the facts into the publication folder as `bulletin.html` for people and
`bulletin.json` for programs. The same facts give the same bytes. It is public: it holds no person,
no address and no site's own words.

`bulletin.json`, version 1 (times are ISO 8601 in UTC; keys may be added, none is renamed):

```json
{"version": 1, "updated_at": "...", "rollouts": [{
  "rollout": "bc-client-4711-1", "patch": 4711, "title": "...", "metapackage": "glite-WN",
  "version": "3.1.23", "platforms": ["debian12-amd64"], "stage": "preview", "opened_at": "...", "closed_at": null,
  "path": "bc-client", "overruled": null, "unsigned": null,
  "tag": "VO-ops-PPS-GLITE-WN-3.1.23", "jdl": "Requirements = ...;",
  "feedback": {"until": "...", "outcome": "none", "invited": 2, "answered": 0},
  "release_notes": null, "remarks": [], "counts": {"available": 10, "failed": 2},
  "sites": [{"site": "PIC", "roc": "SouthWest", "platform": "debian12-amd64", "state": "available", "since": "..."}]
}]}
```

`stage`: `starting`, `canaries`, `preview`, `stopped`, `released`, `not released`, `ended`; `withdrawn` from the
moment in which the withdrawal is asked for, also after any of the others (its sites' states tell how far it is).
`unsigned`: why the provider's index was believed without a signature.
`state` of a site: see `domain.rollouts.SiteState`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pps.activities.people.publishing import publish
from pps.activities.ports.people import Templates
from pps.activities.ports.record import Facts, OpenRollout
from pps.domain.base.texts import one_line, shown_to_the_public
from pps.domain.packages.tags import jdl_requirement
from pps.domain.people.feedback import summary
from pps.domain.people.links import feedback_link
from pps.domain.people.overruling import Overruling, overruling
from pps.domain.people.users import users_in
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout, RolloutPath, SiteState
from pps.domain.sites.site import Site

SHOWN_AFTER_CLOSING = timedelta(days=30)
VERSION = 1
#: What users can select comes first, then what is on its way, then what needs somebody.
SHOWN_STATES = (
    SiteState.AVAILABLE,
    SiteState.TAGGED,
    SiteState.TESTED,
    SiteState.INSTALLED,
    SiteState.PLANNED,
    SiteState.FAILED,
    SiteState.LOST,
    SiteState.WITHDRAWN,
    SiteState.LEFT_OUT,
)


def stage(record: Rollout) -> str:
    """Where a rollout stands, in the words of bulletin.json."""
    for kind, word in (
        (FactKind.WITHDRAWAL_ASKED, "withdrawn"),
        (FactKind.RELEASED_TO_PRODUCTION, "released"),
        (FactKind.ROLLOUT_STOPPED, "stopped"),
        (FactKind.RELEASE_REFUSED, "not released"),
        (FactKind.ROLLOUT_CLOSED, "ended"),
        (FactKind.GATE_PASSED, "preview"),
        (FactKind.PATCH_DELIVERED, "release test"),
        (FactKind.PLAN_AGREED, "canaries"),
    ):
        if record.has(kind):
            return word
    return "starting"


def bulletin(facts: Facts, sites: Mapping[str, Site], now: datetime) -> Mapping[str, Any]:
    """The content of bulletin.json: every open preview, and what was closed in the last 30 days."""
    shown = facts.rollouts(paths=(*PREVIEWS, RolloutPath.RELEASE_TEST), closed_after=now - SHOWN_AFTER_CLOSING)
    records = [(row, facts.rollout(row.name)) for row in shown]
    # an update under release test is not public yet (SD 4.2.3)
    records = [(row, r) for row, r in records if row.path in PREVIEWS or r.has(FactKind.RELEASED_TO_PRODUCTION)]
    updated = max((f.at for _, record in records for f in record.facts), default=None)
    return {
        "version": VERSION,
        "updated_at": _iso(updated),
        "rollouts": [_rollout(row, record, sites, facts.dossier(row.patch)) for row, record in records],
    }


def write_bulletin(
    facts: Facts, sites: Mapping[str, Site], templates: Templates, folder: Any, now: datetime, public_url: str
) -> tuple[str, ...]:
    """Write both files; returns the names of those whose content has changed.

    Args:
        sites: the registry, for region and platform; a site that left it is still shown.
        folder: publication folder, a pathlib-like path.
    """
    content = bulletin(facts, sites, now)
    files = {
        "bulletin.json": json.dumps(content, indent=2, ensure_ascii=False) + "\n",
        "bulletin.html": templates.render("bulletin.html", _page(content, now, public_url)),
    }
    return tuple(name for name, text in files.items() if publish(folder, name, text))


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def _rollout(row: OpenRollout, record: Rollout, sites: Mapping[str, Site], dossier: Rollout) -> dict[str, Any]:
    opened = record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.").payload
    said = summary(record)
    built = record.the(FactKind.TARBALL_BUILT)
    progress = sorted(record.all_progress(), key=lambda p: p.site) if row.path in PREVIEWS else []
    counts = Counter(p.state for p in progress)
    shown = {
        "rollout": row.name,
        "patch": row.patch,
        "title": opened.get("title", ""),
        "metapackage": opened.get("metapackage", row.name),
        "version": opened.get("version", ""),
        "platforms": list(opened.get("platforms", ())),
        "stage": stage(record),
        "opened_at": _iso(row.opened_at),
        "closed_at": _iso(row.closed_at),
        "path": opened.get("path"),
        "overruled": _overruled(overruling(dossier)),
        "unsigned": _unsigned(record),
        "tag": opened.get("tag"),
        "jdl": jdl_requirement(opened["tag"]) if opened.get("tag") else None,
        "feedback": {
            "until": _iso(said.due),
            "outcome": said.outcome.value,
            "invited": len(said.invited),
            "answered": len({a.vo for a in said.counting}),
        },
        "release_notes": f"release-notes/{row.name}.html" if record.has(FactKind.RELEASE_NOTES_WRITTEN) else None,
        "remarks": list(built.payload.get("remarks", ())) if built else [],
        "counts": {state.value: counts[state] for state in SHOWN_STATES if counts[state]},
        "sites": [
            {
                "site": p.site,
                "roc": sites[p.site].roc if p.site in sites else None,
                "platform": str(sites[p.site].platform) if p.site in sites else None,
                "state": p.state.value,
                "since": _iso(p.fact.at) if p.fact else None,
            }
            for p in progress
        ],
    }
    return dict(shown_to_the_public(shown, users_in(record, dossier)))


def _unsigned(record: Rollout) -> str | None:
    """Why the provider's index was believed without a signature; None where it was signed, or not read yet."""
    fact = record.the(FactKind.INDEX_UNSIGNED)
    return one_line(fact.payload["reason"], 300) if fact else None


def _overruled(found: Overruling | None) -> dict[str, Any] | None:
    """That the policies were overruled, by which roles, and why: everything overruled is shown (SD 4.1.3)."""
    if found is None:
        return None
    return {"urgency": found.urgency.value, "reason": found.reason, "by": [role for role, _ in found.by]}


def _page(content: Mapping[str, Any], now: datetime, public_url: str) -> Mapping[str, Any]:
    """The view of bulletin.html: rollouts as columns, sites as rows, what can be tested first."""
    rollouts = [
        {
            **r,
            "opened_at": _moment(r["opened_at"]),
            "closed_at": _moment(r["closed_at"]),
            "feedback": {**r["feedback"], "until": _moment(r["feedback"]["until"])},
            "feedback_link": feedback_link(public_url, r["rollout"]),
            "feedback_open": r["closed_at"] is None and now <= (_moment(r["feedback"]["until"]) or now),
            "usable": r["counts"].get(SiteState.AVAILABLE.value, 0),
            "announced": r["stage"] != "withdrawn"
            and any(r["counts"].get(state.value) for state in (SiteState.AVAILABLE, SiteState.TAGGED)),
            "planned": len(r["sites"]) - r["counts"].get(SiteState.LEFT_OUT.value, 0),
        }
        for r in content["rollouts"]
    ]
    rollouts.sort(key=lambda r: r["closed_at"] is not None)  # stable: open ones first, newest first in each
    cells = {(s["site"], r["rollout"]): {**s, "since": _moment(s["since"])} for r in rollouts for s in r["sites"]}
    places = {s["site"]: (s["roc"] or "", s["site"], s["platform"] or "") for r in rollouts for s in r["sites"]}
    rows = [
        {"site": name, "roc": roc, "platform": platform, "cells": [cells.get((name, r["rollout"])) for r in rollouts]}
        for roc, name, platform in sorted(places.values())
    ]
    return {
        "updated_at": _moment(content["updated_at"]),
        "rollouts": rollouts,
        "rows": rows,
        "states": [state.value for state in SHOWN_STATES],
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
