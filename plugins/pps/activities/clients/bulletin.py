"""The release bulletin: which version is at which site, now (SD 4.1.1, step 5 and "live map").

Written anew from the facts into the publication folder: `bulletin.json` for programs, and pages for people
(`bulletin_pages`). The same facts give the same bytes. It is public: it holds no person, no address and no site's own
words.

`bulletin.json`, version 1 (times are ISO 8601 in UTC; keys may be added, none is renamed):

```json
{"version": 1, "updated_at": "...", "rollouts": [{
  "rollout": "bc-client-4711-1", "patch": 4711, "title": "...", "metapackage": "glite-WN",
  "version": "3.1.23", "platforms": ["debian12-amd64"], "stage": "preview",
  "opened_at": "...", "closed_at": null, "updated_at": "...",
  "path": "bc-client", "overruled": null, "unsigned": null, "withdrawn": null, "paused": null,
  "cves": [{"cve": "CVE-2026-12345", "severity": "critical"}],
  "tag": "VO-ops-PPS-GLITE-WN-3.1.23", "jdl": "Requirements = ...;",
  "test_cases": [{"name": "copy", "title": "Copy a large file", "how": "..."}],
  "feedback": {"until": "...", "outcome": "some", "invited": 2, "answered": 1, "vos": ["atlas", "cms"],
    "said": [{"vo": "atlas", "at": "...", "opinion": "works", "bugs": {"101": "not fixed"}, "test_cases": {},
      "words": "works as a whole; bug 101 not fixed", "follow_ups": [{"text": "...", "role": "...", "at": "..."}]}],
    "bugs": [{"bug": 101, "fixed": [], "not_fixed": ["atlas"], "not_tried": [], "words": "..."}],
    "test_cases": [{"test_case": "...", "works": [], "does_not_work": [], "not_tried": [], "words": "..."}],
    "withdrawn": [{"vo": "cms", "at": "..."}]},
  "release_notes": null, "remarks": [], "counts": {"available": 10, "failed": 2},
  "sites": [{"site": "PIC", "roc": "SouthWest", "platform": "debian12-amd64", "state": "available", "since": "..."}]
}]}
```

`stage`: `starting`, `canaries`, `preview`, `stopped`, `released`, `not released`, `release test`, `ended`; `withdrawn`
from the moment the withdrawal is asked for, also after any of the others (its sites' states tell how far it is).
`withdrawn`, `paused`: the reason that was given. `unsigned`: why the provider's index was believed without a signature.
`state` of a site: see `domain.record.site_states.SiteState`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from pps.activities.people.said import feedback_view
from pps.activities.ports.record import Facts, OpenRollout
from pps.domain.base.texts import one_line, shown_to_the_public
from pps.domain.clients.control import pause_of
from pps.domain.packages.tags import jdl_requirement
from pps.domain.people.embargo import advice_in
from pps.domain.people.overruling import Overruling, overruling
from pps.domain.people.users import users_in
from pps.domain.record.facts import FactKind
from pps.domain.record.rollouts import PREVIEWS, Rollout, RolloutPath, dossier_name
from pps.domain.record.site_states import SiteState
from pps.domain.sites.site import Site, verified

SHOWN_AFTER_CLOSING = timedelta(days=30)
VERSION = 1
_SHOWN_PATHS = (*PREVIEWS, RolloutPath.RELEASE_TEST)
#: What users can select comes first, then what is on its way, then what needs somebody.
SHOWN_STATES = (
    SiteState.AVAILABLE,
    SiteState.TAGGED,
    SiteState.TESTED,
    SiteState.CONFIGURED,
    SiteState.INSTALLED,
    SiteState.PLANNED,
    SiteState.NOT_ANNOUNCED,
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


def shown_at(facts: Facts, now: datetime, as_of: datetime | None = None) -> tuple[OpenRollout, ...]:
    """What the bulletin tells of: every open preview, and what was closed in the last 30 days."""
    at = as_of or now
    return facts.rollouts(paths=_SHOWN_PATHS, closed_after=at - SHOWN_AFTER_CLOSING, as_of=as_of)


def marks_at(facts: Facts, now: datetime) -> Sequence[tuple[OpenRollout, int, int]]:
    """What the bulletin tells of now, each with what its content changes with (port `Facts`, `marks`)."""
    return facts.marks(_SHOWN_PATHS, now - SHOWN_AFTER_CLOSING)


def records_of(shown: Sequence[OpenRollout]) -> list[str]:
    """The records that the bulletin is made from: rollouts, and the dossiers of their patches."""
    return [name for row in shown for name in (row.name, dossier_name(row.patch))]


def bulletin(
    facts: Facts, sites: Mapping[str, Site], now: datetime, as_of: datetime | None = None
) -> Mapping[str, Any]:
    """The content of bulletin.json.

    Args:
        as_of: as it was then: facts are only ever added, so that every moment can be shown again.
    """
    shown = shown_at(facts, now, as_of)
    standing = facts.standing(records_of(shown), as_of)
    return assembled([entry(row, standing[row.name], standing[dossier_name(row.patch)], sites) for row in shown])


@dataclass(frozen=True, slots=True)
class Entry:
    """What bulletin.json says of one rollout."""

    changed_at: datetime | None
    content: Mapping[str, Any]


def entry(row: OpenRollout, record: Rollout, dossier: Rollout, sites: Mapping[str, Site]) -> Entry | None:
    """One rollout for the public; None for an update under release test, which is not public yet (SD 4.2.3)."""
    if row.path not in PREVIEWS and not record.has(FactKind.RELEASED_TO_PRODUCTION):
        return None
    changed = max((f.at for f in record.facts), default=None)
    return Entry(changed, {**_rollout(row, record, sites, dossier), "updated_at": _iso(changed)})


def assembled(entries: Iterable[Entry | None]) -> Mapping[str, Any]:
    """The content of bulletin.json, of what it says of each rollout."""
    public = [e for e in entries if e is not None]
    changed = max((e.changed_at for e in public if e.changed_at), default=None)
    return {"version": VERSION, "updated_at": _iso(changed), "rollouts": [e.content for e in public]}


@lru_cache(maxsize=1024)  # a batch's sites share their moments
def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def _rollout(row: OpenRollout, record: Rollout, sites: Mapping[str, Site], dossier: Rollout) -> dict[str, Any]:
    opened = record.need(FactKind.ROLLOUT_OPENED, "Open the rollout first.").payload
    built = record.the(FactKind.TARBALL_BUILT)
    progress = sorted(record.all_progress(), key=lambda p: p.site) if row.path in PREVIEWS else []
    counts, by_itself = Counter(p.state for p in progress), verified(sites)
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
        "withdrawn": _withdrawn(record),
        "paused": _paused(record),
        "cves": advice_in(dossier.facts).shown(),
        "tag": opened.get("tag"),
        "jdl": jdl_requirement(opened["tag"]) if opened.get("tag") else None,
        "test_cases": [dict(case) for case in opened.get("test_cases", ())],
        "feedback": feedback_view(record),
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
                "verified": by_itself.get(p.site),
            }
            for p in progress
        ],
    }
    return dict(shown_to_the_public(shown, users_in(record, dossier)))


def _unsigned(record: Rollout) -> str | None:
    """Why the provider's index was believed without a signature; None where it was signed, or not read yet."""
    fact = record.the(FactKind.INDEX_UNSIGNED)
    return one_line(fact.payload["reason"], 300) if fact else None


def _withdrawn(record: Rollout) -> str | None:
    """Why it was withdrawn; None where it was not."""
    fact = record.the(FactKind.WITHDRAWAL_ASKED)
    return one_line(str(fact.payload["reason"]), 300) if fact else None


def _paused(record: Rollout) -> str | None:
    """Why it goes no further for now; None where it does, or where nothing is left to go."""
    fact = pause_of(record)
    return one_line(str(fact.payload["reason"]), 300) if fact else None


def _overruled(found: Overruling | None) -> dict[str, Any] | None:
    """That the policies were overruled, by which roles, and why: everything overruled is shown (SD 4.1.3)."""
    if found is None:
        return None
    return {"urgency": found.urgency.value, "reason": found.reason, "by": [role for role, _ in found.by]}
