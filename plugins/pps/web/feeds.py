"""The bulletin for readers of feeds and calendars: what is new (Atom, RFC 4287), and until when VOs are asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from fastapi import APIRouter, Request
from fastapi.responses import Response

from pps.activities.people.invitation import Deadline, deadlines, meeting_uid
from pps.domain.base.texts import one_line
from pps.domain.people.links import bulletin_link, feedback_link
from pps.services import Services
from pps.web.live import Edition, Live

_ATOM = "http://www.w3.org/2005/Atom"
_BEFORE_ALL = "1970-01-01T00:00:00+00:00"


def router(live: Live, services: Callable[[], Services]) -> APIRouter:
    """Routes for anybody; each has its line in `app.PUBLIC`."""
    api = APIRouter()

    def public_url() -> str:
        return services().config.service.public_url

    @api.get("/bulletin.atom")
    def atom(request: Request) -> Response:
        """An entry for each stage that a preview comes to."""
        return live.text(request, "application/atom+xml", lambda edition: feed(edition, public_url()))

    @api.get("/deadlines.ics")
    def calendar(request: Request) -> Response:
        """Until when feedback on each preview is asked for."""
        return live.text(request, "text/calendar", lambda edition: _calendar(edition, public_url()))

    return api


def feed(edition: Edition, public_url: str) -> bytes:
    """The bulletin as an Atom feed. A stage has an entry of its own, so that a reader shows it as new."""
    page = bulletin_link(public_url)
    entries = [
        Entry(
            f"{_software(r)}: {r['stage']}",
            f"{page}#{r['rollout']}/{r['stage'].replace(' ', '-')}",
            r["updated_at"] or _BEFORE_ALL,
            f"{page}#{r['rollout']}",
            _told(r),
        )
        for r in edition.content["rollouts"]
    ]
    return as_atom("Release bulletin", page, f"{page}.atom", entries, edition.content["updated_at"] or _BEFORE_ALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a feed."""

    title: str
    identity: str
    updated: str
    link: str
    summary: str


def as_atom(title: str, page: str, own: str, entries: Sequence[Entry], updated: str = "") -> bytes:
    """An Atom feed.

    Args:
        page: the same for people.
        own: address of the feed.
        updated: when it has changed last, where the newest entry does not tell.
    """
    ET.register_namespace("", _ATOM)
    root = ET.Element(f"{{{_ATOM}}}feed")
    _put(root, "title", title)
    _put(root, "id", page)
    _put(root, "updated", updated or max((e.updated for e in entries), default=_BEFORE_ALL))
    _put(root, "link", href=page)
    _put(root, "link", href=own, rel="self")
    _put(_put(root, "author"), "name", "PPS Rollout")
    for e in entries:
        entry = _put(root, "entry")
        _put(entry, "title", one_line(e.title))
        _put(entry, "id", e.identity)
        _put(entry, "updated", e.updated)
        _put(entry, "link", href=e.link)
        _put(entry, "summary", one_line(e.summary, 500))
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _calendar(edition: Edition, public_url: str) -> bytes:
    found = [
        Deadline(
            meeting_uid(f"{r['rollout']}.feedback", public_url),
            one_line(f"Feedback on {_software(r)} is asked for until now"),
            feedback_link(public_url, r["rollout"]),
            datetime.fromisoformat(r["feedback"]["until"]),
        )
        for r in edition.content["rollouts"]
        if r["closed_at"] is None and r["feedback"]["until"]
    ]
    changed = edition.content["updated_at"]
    stamp = datetime.fromisoformat(changed) if changed else datetime.fromtimestamp(0, UTC)
    return deadlines("Previews of grid middleware", found, stamp).encode()


def _put(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, f"{{{_ATOM}}}{tag}", attributes)
    child.text = text
    return child


def _software(r: Mapping[str, Any]) -> str:
    return f"{r['metapackage']} {r['version']}".strip()


def _told(r: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{number} {state}" for state, number in r["counts"].items())
    parts = [
        f"Patch {r['patch']}: {r['title']}" if r["title"] else f"Patch {r['patch']}",
        f"Fixes {', '.join(v['cve'] for v in r['cves'])}" if r["cves"] else "",
        f"Sites: {counts}" if counts else "",
    ]
    parts += [f"Withdrawn: {r['withdrawn']}" if r["withdrawn"] else ""]
    return ". ".join(part.rstrip(".") for part in parts if part) + "."
