"""What the public pages show, made from the facts when somebody asks: the bulletin's content, and its edition.

Fifty readers who ask again every ten seconds cost fifty look-ups; the content is made once for each edition.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from pps.activities.clients.bulletin import bulletin, records_of, shown_at
from pps.activities.clients.bulletin_pages import as_shown
from pps.domain.sites.site import Site
from pps.services import Services
from pps.web.shell import HEADERS, page

#: What depends on the clock alone (is feedback still open, has it ended a month ago) is looked at so often.
_CLOCK_COUNTS = timedelta(minutes=1)
_FIRST, _CLOCKS_DIFFER = datetime(2000, 1, 1, tzinfo=UTC), timedelta(minutes=5)


@dataclass(frozen=True)
class Edition:
    """The public content at one moment."""

    name: str
    """changes whenever the content does; no other meaning"""
    content: Mapping[str, Any]
    """as in bulletin.json"""
    sites: Mapping[str, Site]
    """the registry of this moment"""
    read_at: datetime
    """when the facts were looked at"""
    as_of: datetime | None = None
    """the moment that was asked for; None: now"""

    @property
    def at(self) -> datetime:
        """The moment that is shown."""
        return self.as_of or self.read_at


class Live:
    """Keeps the newest edition."""

    def __init__(self, services: Callable[[], Services], now: Callable[[], datetime]) -> None:
        self._services, self._now = services, now
        self._lock = threading.Lock()
        self._newest: Edition | None = None
        self._registry: tuple[object, str] = (None, "")

    def name(self) -> str:
        """Name of the edition that holds now: two look-ups by index, whatever was rolled out before."""
        s = self._services()
        return self.name_of(records_of(shown_at(s.facts, self._now())), self._registry_of(s.config.sites))

    def name_of(self, records: Collection[str], *more: str) -> str:
        """Name of the edition that holds now of what is made from these records, and from something more."""
        minute = int(self._now().timestamp() // _CLOCK_COUNTS.total_seconds())
        return _digest("\0".join((self._services().facts.edition(records), str(minute), *more)))

    def edition(self, as_of: datetime | None = None) -> Edition:
        """The content of now, or of a moment in the past."""
        s, now = self._services(), self._now()
        if as_of is not None and as_of < now:
            name = f"as of {as_of.isoformat()}"
            return Edition(name, bulletin(s.facts, s.config.sites, now, as_of), s.config.sites, now, as_of)
        with self._lock:  # of many who ask after a change, one makes it
            name = self.name()
            if self._newest is None or self._newest.name != name:
                content = bulletin(s.facts, s.config.sites, now)
                self._newest = Edition(name, content, s.config.sites, now)
            return self._newest

    def _registry_of(self, sites: Mapping[str, Site]) -> str:
        """The registry in short: the same for all processes that have read the same file."""
        if self._registry[0] is not sites:
            self._registry = (sites, _digest(repr(sorted(sites.items()))))
        return self._registry[1]

    def unchanged(self, request: Request, name: str | None = None) -> Response | None:
        """304 if the reader has this edition; without a name, that of the previews."""
        tag = self.tag(self.name() if name is None else name)
        seen = request.headers.get("if-none-match", "")
        if tag in (part.strip().removeprefix("W/") for part in seen.split(",")):
            # a browser takes the headers of this answer over to the page that it has kept
            return Response(status_code=304, headers={**HEADERS, "ETag": tag})
        return None

    @staticmethod
    def tag(name: str) -> str:
        """An edition's name as an ETag."""
        return f'"{name}"'

    def rollouts(self, edition: Edition) -> Sequence[Mapping[str, Any]]:
        """The rollouts of an edition as pages show them."""
        return as_shown(edition.content, edition.at, self._services().config.service.public_url)

    def page(self, template: str, view: Mapping[str, Any], place: str, edition: Edition) -> HTMLResponse:
        """A page of an edition."""
        return page(self._services().templates, template, view, place, headers={"ETag": self.tag(edition.name)})

    def json(self, content: Mapping[str, Any], edition: Edition) -> Response:
        """An edition for programs."""
        headers = {"ETag": self.tag(edition.name), "Cache-Control": "no-cache"}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        return Response(text, media_type="application/json", headers=headers)

    def moment(self, text: str) -> datetime | None:
        """The moment of `?at=`: ISO 8601, UTC where it names no zone; "" is now. 422 says what will do."""
        if not text.strip():
            return None
        try:
            found = datetime.fromisoformat(text.strip().replace(" ", "+"))
        except ValueError as error:
            example = f"{self._now():%Y-%m-%dT%H:%MZ}"
            raise HTTPException(422, f"at: {text[:40]!r} is no moment; write one like {example}.") from error
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        if not _FIRST <= found <= self._now() + _CLOCKS_DIFFER:
            raise HTTPException(422, f"at: {text[:40]!r} is not in the past, or too long ago.")
        return found.astimezone(UTC)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
