"""The live map's view: which version is at which site (SD 4.1.1), as a map, a gridmap or a table of one data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from statistics import median
from typing import Any

from fastapi import HTTPException

from pps.activities.clients.bulletin import SHOWN_STATES
from pps.domain.sites.site import CertificationStatus, Infrastructure, Site, verified
from pps.web.drawing.dots import Dot, spread
from pps.web.drawing.projections import EUROPE, WORLD, Outline
from pps.web.drawing.treemap import Box, squarified
from pps.web.live import Edition

NO_PREVIEW = "none"
#: A site that has no kit, where others have one (docs/kit.md).
UNVERIFIED = "unverified"
VIEWS = ("map", "gridmap", "table")
_STATES = (*(state.value for state in SHOWN_STATES), NO_PREVIEW)
_APART = 14.0
#: Dots of the world's map are so much larger, as it is drawn so much smaller.
_WORLD_DOTS = 1.7
_GRID = Box(0, 0, 960, 600)
_HEADING = 20.0
#: Columns of the table where nobody has said which.
_NEWEST = 6
_LETTER = 7.2
"""pixels; the width of a letter on the gridmap, roughly"""
_SIGNS = {
    "available": "✔",
    "tagged": "◆",
    "tested": "◕",
    "configured": "◒",
    "installed": "◑",
    "installed, not announced": "◩",
    "planned": "○",
    "failed": "✖",
    "lost": "▲",
    "left out": "–",
    "withdrawn": "↩",
}
_Rows = Sequence[Mapping[str, Any]]
_AROUND_EUROPE = [(-24, 34), (10, 34), (44, 34), (50, 55), (50, 71), (10, 71), (-24, 71), (-24, 50)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader has chosen; "" chooses all."""

    view: str = "map"
    preview: str = ""
    roc: str = ""
    platform: str = ""
    state: str = ""
    vo: str = ""


@lru_cache(maxsize=4)
def data(edition: Edition) -> Mapping[str, Any]:
    """The data set that all views show, for programs too (`/api/v1/map`, version 1; keys may be added)."""
    states: dict[str, dict[str, Any]] = {}
    for rollout in edition.content["rollouts"]:
        for site in rollout["sites"]:
            seen = {"state": site["state"], "since": site["since"]}
            states.setdefault(site["site"], {})[rollout["rollout"]] = seen
    known = {name: site for name, site in edition.sites.items() if name in states or _takes_part(site)}
    by_itself = verified(edition.sites)
    return {
        "version": 1,
        "edition": edition.name,
        "at": edition.at.isoformat(timespec="seconds"),
        "updated_at": edition.content["updated_at"],
        "previews": [{k: v for k, v in r.items() if k != "sites"} for r in edition.content["rollouts"]],
        "sites": [
            _site(name, known.get(name), states.get(name, {}), by_itself.get(name))
            for name in sorted({*known, *states}, key=str.casefold)
        ],
    }


def without_previews(name: str, sites: Mapping[str, Site]) -> Mapping[str, Any]:
    """A site of the registry that is not on the map."""
    return _site(name, sites[name], {}, verified(sites).get(name))


def _takes_part(site: Site) -> bool:
    return site.infrastructure is Infrastructure.PRODUCTION and site.certification is CertificationStatus.CERTIFIED


def _site(name: str, site: Site | None, states: Mapping[str, Any], by_itself: bool | None) -> dict[str, Any]:
    return {
        "site": name,
        "roc": site.roc if site else None,
        "platform": str(site.platform) if site else None,
        "latitude": site.latitude if site else None,
        "longitude": site.longitude if site else None,
        "cpus": site.cpus if site else None,
        "verified": by_itself,
        "fetches": site is not None and site.fetches,
        "states": states,
    }


def view(edition: Edition, wanted: Wanted) -> Mapping[str, Any]:
    """Everything that the page shows. 404 for a preview that is not shown, 422 for a choice that there is not."""
    everything = data(edition)
    previews, sites = everything["previews"], everything["sites"]
    choices = _choices(previews, sites)
    for field, valid in choices.items():
        _check(field, getattr(wanted, field), valid)
    of_vo = [p for p in previews if not wanted.vo or wanted.vo in p["feedback"]["vos"]]
    chosen = _chosen(wanted.preview, previews, of_vo)
    rows = [_row(s, chosen) for s in sites]
    rows = [
        row
        for row in rows
        if wanted.roc in ("", row["roc"])
        and wanted.platform in ("", row["platform"])
        and wanted.state in ("", row["state"])
    ]
    columns = [chosen] if wanted.preview and chosen else of_vo[:_NEWEST]
    return {
        "wanted": wanted,
        "choices": choices,
        "previews": of_vo,
        "chosen": chosen,
        "at": edition.at,
        "past": edition.as_of is not None,
        "updated_at": _moment(everything["updated_at"]),
        "checked": Counter(r["verified"] for r in rows) if any(s["verified"] for s in sites) else None,
        "counts": {state: n for state in _STATES if (n := Counter(r["state"] for r in rows)[state])},
        "rows": rows,
        **_DRAWN[wanted.view](rows, columns, sites),
        "hidden_columns": len(of_vo) - len(columns) if not wanted.preview else 0,
    }


def _choices(previews: Iterable[Mapping[str, Any]], sites: Iterable[Mapping[str, Any]]) -> dict[str, Sequence[str]]:
    return {
        "view": VIEWS,
        "roc": sorted({s["roc"] for s in sites if s["roc"]}),
        "platform": sorted({s["platform"] for s in sites if s["platform"]}),
        "state": _STATES,
        "vo": sorted({vo for p in previews for vo in p["feedback"]["vos"]}),
    }


def _check(field: str, value: str, valid: Sequence[str]) -> None:
    if value and value not in valid:
        raise HTTPException(422, f"{field}: {value[:40]!r} is none of: {', '.join(valid) or 'nothing at present'}.")


def _chosen(
    name: str, previews: Sequence[Mapping[str, Any]], of_vo: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The preview whose states the map shows: the one that was asked for, else the newest that is open."""
    if name:
        found = next((p for p in previews if p["rollout"] == name), None)
        if found is None:
            raise HTTPException(404, f"No preview {name[:80]!r} is shown here; it has ended long ago, or never was.")
        return found
    still_open = (p for p in of_vo if p["closed_at"] is None)
    return next(still_open, of_vo[0] if of_vo else None)


def _row(site: Mapping[str, Any], chosen: Mapping[str, Any] | None) -> dict[str, Any]:
    seen = site["states"].get(chosen["rollout"]) if chosen else None
    return {
        **site,
        "state": seen["state"] if seen else NO_PREVIEW,
        "since": _moment(seen["since"]) if seen else None,
    }


def _map(rows: _Rows, columns: _Rows, sites: _Rows) -> Mapping[str, Any]:
    placed = {s["site"]: (s["longitude"], s["latitude"]) for s in sites if s["latitude"] is not None}
    europe, world = _dots(tuple(sorted(placed.items())))  # of all: a filter moves no dot
    return {
        "maps": [_drawn(EUROPE, 1, rows, europe), _drawn(WORLD, _WORLD_DOTS, rows, world)],
        "europe_on_world": " ".join(f"{x:.0f},{y:.0f}" for x, y in (WORLD.place(*at) for at in _AROUND_EUROPE)),
        "without_place": [r for r in rows if r["site"] not in placed],
    }


def _drawn(outline: Outline, size: float, rows: _Rows, places: Mapping[str, Dot]) -> Mapping[str, Any]:
    """One map, in the plain values that its template writes hundreds of times."""
    shown = [(row, places[row["site"]]) for row in rows if row["site"] in places]
    return {
        "outline": outline,
        "size": size,
        "leaders": [(d.at_x, d.at_y, d.x, d.y) for _, d in shown if d.shift > _APART * size],
        "dots": [(row["site"], _in_words(row), _style(row["state"]), d.x, d.y) for row, d in shown],
    }


def _in_words(row: Mapping[str, Any]) -> str:
    state = row["state"] if row["state"] != NO_PREVIEW else "no preview"
    return f"{state}, {UNVERIFIED}" if row["verified"] is False else str(state)


@cache
def _style(state: str) -> str:
    """A state as the style sheet names it."""
    return state.replace(",", "").replace(" ", "-")


@lru_cache(maxsize=8)
def _dots(placed: tuple[tuple[str, tuple[float, float]], ...]) -> tuple[dict[str, Dot], dict[str, Dot]]:
    """Dots of Europe's map, and of the rest of the world; made once for a registry."""
    inside = {name: EUROPE.place(*at) for name, at in placed if EUROPE.shows(*at)}
    outside = {name: WORLD.place(*at) for name, at in placed if name not in inside}
    return (
        spread(inside, _APART, (EUROPE.width, EUROPE.height)),
        spread(outside, _APART * _WORLD_DOTS, (WORLD.width, WORLD.height)),
    )


def _gridmap(rows: _Rows, columns: _Rows, sites: _Rows) -> Mapping[str, Any]:
    usual = median([r["cpus"] for r in rows if r["cpus"]] or [1])
    by_roc: dict[str, list[tuple[float, Mapping[str, Any]]]] = {}
    for row in rows:
        by_roc.setdefault(row["roc"] or "no region", []).append((float(row["cpus"] or usual), row))
    regions = sorted(by_roc.items(), key=lambda r: -sum(size for size, _ in r[1]))
    drawn = []
    boxes = squarified([sum(size for size, _ in found) for _, found in regions], _GRID) if regions else []
    for (roc, found), box in zip(regions, boxes, strict=True):
        found.sort(key=lambda f: (-f[0], f[1]["site"]))
        cells = squarified([size for size, _ in found], box.inner(2, _HEADING))
        drawn.append(
            {
                "roc": roc,
                "box": box,
                "name": _fitting(roc, box.width - 8),
                "cells": [_cell(row, cell) for (_, row), cell in zip(found, cells, strict=True)],
            }
        )
    unknown = sum(not r["cpus"] for r in rows)
    return {"grid": _GRID, "regions": drawn, "unknown_cpus": unknown, "usual_cpus": int(usual)}


def _cell(row: Mapping[str, Any], box: Box) -> tuple[Any, ...]:
    """A site's box, in plain values; its sign and name where there is room for them."""
    sides = (round(box.x, 1), round(box.y, 1), round(box.width, 1), round(box.height, 1))
    room = box.width > 16 and box.height > 18
    written = (_SIGNS.get(row["state"], "·"), _fitting(row["site"], box.width - 20)) if room else ("", "")
    below = (round(box.x + 4, 1), round(box.y + 15, 1))
    return (row["site"], _in_words(row), _style(row["state"]), row["cpus"], *sides, *written, *below)


def _fitting(text: str, width: float) -> str:
    """As much of a name as fits; "" where hardly any does."""
    letters = int(width // _LETTER)
    return text if len(text) <= letters else f"{text[: letters - 1]}…" if letters > 4 else ""


def _table(rows: _Rows, columns: _Rows, sites: _Rows) -> Mapping[str, Any]:
    lines = []
    labels = [(c["rollout"], f"{c['metapackage']} {c['version']}") for c in columns]
    for row in rows:
        states = row["states"]
        cells = [_seen(label, states.get(rollout)) for rollout, label in labels]
        marked = UNVERIFIED if row["verified"] is False else ""
        lines.append((row["site"], marked, row["roc"] or "–", row["platform"] or "–", cells))
    return {"columns": columns, "lines": lines}


def _seen(label: str, seen: Mapping[str, Any] | None) -> tuple[str, ...]:
    if seen is None:
        return (label, "", "", "", "")
    return (label, seen["state"], f"s-{_style(seen['state'])}", *_day(seen["since"]))


@lru_cache(maxsize=4096)  # a batch's sites share their moments
def _day(since: str | None) -> tuple[str, str]:
    moment = _moment(since)
    return (moment.isoformat(), f"{moment:%d %b %H:%M}") if moment else ("", "")


_DRAWN = {"map": _map, "gridmap": _gridmap, "table": _table}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
