"""What the public pages show, made from the facts when somebody asks.

Many readers ask for the same again and again. What is said of a rollout is made once for each fact about it, a page
once for each edition; whoever has the present edition gets 304, at the cost of two look-ups.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import Response

from pps.activities.clients.bulletin import Entry, assembled, bulletin, entry, marks_at, records_of, shown_at
from pps.activities.clients.bulletin_pages import as_shown
from pps.activities.packages.embargo import hidden_in, whole
from pps.activities.ports.record import OpenRollout
from pps.domain.record.rollouts import dossier_name
from pps.domain.sites.site import Site
from pps.services import Services
from pps.web.guards import RateLimit, check_rate
from pps.web.shell import HEADERS, rendered

#: What depends on the clock alone (is feedback still open, has it ended a month ago) is looked at so often.
_CLOCK_COUNTS = timedelta(minutes=1)
_FIRST, _CLOCKS_DIFFER = datetime(2000, 1, 1, tzinfo=UTC), timedelta(minutes=5)
#: Pages of the present edition that are kept; who asks for more different ones makes us render them again.
_PAGES = 128
#: The past is made for each who asks, and kept for nobody.
PASTS_AT_ONCE, PASTS_PER_S = 30, 0.5
_KEPT = {"Cache-Control": "no-cache"}


@dataclass(frozen=True, eq=False)
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


#: Makes a view, or data, of an edition.
View = Callable[[Edition], Mapping[str, Any]]


class Live:
    """Keeps the newest edition, and its pages."""

    def __init__(self, services: Callable[[], Services], now: Callable[[], datetime]) -> None:
        self._services, self._now = services, now
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._looks_begun, self._looked_by = 0, 0
        self._newest: Edition | None = None
        self._seen: object = None
        self._entries: dict[tuple[object, ...], Entry | None] = {}
        self._pages: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._registry: tuple[object, str] = (None, "")
        self._past = RateLimit(PASTS_AT_ONCE, PASTS_PER_S)

    # --- answers

    def page(self, request: Request, template: str, place: str, view: View, at: str = "") -> Response:
        """A page of the edition that is asked for."""

        def made(edition: Edition) -> bytes:
            return rendered(self._services().templates, template, view(edition), place).encode()

        return self._answer(request, at, made, "text/html", HEADERS)

    def json(self, request: Request, data: View, at: str = "") -> Response:
        """Data of the edition that is asked for."""

        def made(edition: Edition) -> bytes:
            return json.dumps(data(edition), ensure_ascii=False).encode() + b"\n"

        return self._answer(request, at, made, "application/json", _KEPT)

    def text(self, request: Request, kind: str, made: Callable[[Edition], bytes]) -> Response:
        """The present edition as a feed."""
        return self._answer(request, "", made, kind, _KEPT)

    def own_page(
        self, request: Request, name: str, template: str, place: str, view: Callable[[], Mapping[str, Any]]
    ) -> Response:
        """A page with an edition of its own (`name_of`)."""

        def made(packed: bool) -> bytes:
            return _packed(rendered(self._services().templates, template, view(), place).encode(), packed)

        return _sent(request, name, made, "text/html", HEADERS)

    def own_json(self, request: Request, name: str, data: Callable[[], Mapping[str, Any]]) -> Response:
        """Data with an edition of its own."""

        def made(packed: bool) -> bytes:
            return _packed(json.dumps(data(), ensure_ascii=False).encode() + b"\n", packed)

        return _sent(request, name, made, "application/json", _KEPT)

    def own_text(
        self, request: Request, records: Collection[str], about: str, kind: str, text: Callable[[], bytes]
    ) -> Response:
        """A text that changes with these records alone; `about` tells it from others."""
        name = _digest(repr((sorted(self._services().facts.newest(records).items()), about)))
        return _sent(
            request, name, lambda packed: _packed(text(), packed), kind, {"Cache-Control": "private, no-cache"}
        )

    def name_of(self, records: Collection[str], *more: str) -> str:
        """Name of the edition that holds now of what is made from these records, and from something more."""
        numbers = sorted(self._services().facts.newest(records).items())
        return _digest(repr((numbers, self._minute(self._now()), more)))

    def past(self, request: Request, at: str) -> datetime | None:
        """The moment that is asked for (`moment_of`); 429 for who asks for one past after another."""
        as_of = moment_of(at, self._now())
        if as_of is not None:
            check_rate(request, self._past)
        return as_of

    def _answer(
        self, request: Request, at: str, made: Callable[[Edition], bytes], kind: str, headers: Mapping[str, str]
    ) -> Response:
        as_of = self.past(request, at)
        edition = self.edition(as_of)

        def kept(packed: bool) -> bytes:
            if as_of is not None:
                return _packed(made(edition), packed)
            key = (f"{request.scope['path']}?{request.url.query}", "gzip" if packed else "")
            body = self._kept(edition, key)
            if body is None:
                with self._making:  # of many who ask after a change one makes it, and makers do not slow each other
                    body = self._kept(edition, key)
                    if body is None:
                        body = _packed(made(edition), packed)
                        self._keep(edition, key, body)
            return body

        return _sent(request, edition.name, kept, kind, headers)

    def _kept(self, edition: Edition, key: tuple[str, str]) -> bytes | None:
        return self._pages.get(key) if edition is self._newest else None

    def _keep(self, edition: Edition, key: tuple[str, str], body: bytes) -> None:
        with self._lock:
            if edition is self._newest:  # else another one has come meanwhile
                self._pages[key] = body
                while len(self._pages) > _PAGES:
                    self._pages.popitem(last=False)

    # --- editions

    def edition(self, as_of: datetime | None = None) -> Edition:
        """The content of now, or of a moment in the past."""
        s, now = self._services(), self._now()
        if as_of is not None and as_of < now:
            # an answer may be recorded after the moment at which it was given, so the past can change, too
            records = records_of(shown_at(s.facts, now, as_of))
            name = self.name_of(records, f"as of {as_of.isoformat()}", self._registry_of(s.config.sites))
            return Edition(name, bulletin(s.facts, s.config.sites, now, as_of), s.config.sites, now, as_of)
        begun = self._looks_begun
        with self._lock:
            # whoever waited here while a look began and ended need not look again: it began after they had asked
            if self._newest is None or self._looked_by <= begun:
                self._looks_begun += 1
                number = self._looks_begun
                self._newest = self._look(s, self._now())
                self._looked_by = number
            return self._newest

    def _look(self, s: Services, now: datetime) -> Edition:
        """The edition of now: the one that is kept, if nothing has changed."""
        everything, registry = marks_at(whole(s.facts), now), self._registry_of(s.config.sites)
        seen = (
            [self._key(row, own, of_patch, registry) for row, own, of_patch in everything],
            registry,
            self._minute(now),
        )
        if self._newest is not None and seen == self._seen:
            # what is hidden stands in the dossiers; of patches without a rollout here within a minute
            return self._newest
        hidden = hidden_in(s.facts)
        marks = [mark for mark in everything if mark[0].patch not in hidden]
        shown = [row for row, _, _ in marks]
        # any record may name a patch that is hidden now
        keys = [(*self._key(row, own, of_patch, registry), *sorted(hidden)) for row, own, of_patch in marks]
        name = _digest(repr((keys, registry, self._minute(now))))
        if self._newest is not None and self._newest.name == name:
            self._seen = seen
            return self._newest
        self._make_entries(shown, keys, s)
        self._pages.clear()
        self._seen = seen
        return Edition(name, assembled(self._entries[key] for key in keys), s.config.sites, now)

    def _make_entries(self, shown: Sequence[OpenRollout], keys: Sequence[tuple[object, ...]], s: Services) -> None:
        """Make those that are new, and forget those that are old."""
        new = [(row, key) for row, key in zip(shown, keys, strict=True) if key not in self._entries]
        standing = s.facts.standing(records_of([row for row, _ in new])) if new else {}
        for row, key in new:
            self._entries[key] = entry(row, standing[row.name], standing[dossier_name(row.patch)], s.config.sites)
        self._entries = {key: self._entries[key] for key in keys}

    @staticmethod
    def _minute(now: datetime) -> int:
        return int(now.timestamp() // _CLOCK_COUNTS.total_seconds())

    @staticmethod
    def _key(row: OpenRollout, own: int, of_patch: int, registry: str) -> tuple[object, ...]:
        return (row.name, row.closed_at and row.closed_at.isoformat(), own, of_patch, registry)

    def _registry_of(self, sites: Mapping[str, Site]) -> str:
        """The registry in short: the same for all processes that have read the same file."""
        if self._registry[0] is not sites:
            self._registry = (sites, _digest(repr(sorted(sites.items()))))
        return self._registry[1]

    def rollouts(self, edition: Edition) -> Sequence[Mapping[str, Any]]:
        """The rollouts of an edition as pages show them."""
        return as_shown(edition.content, edition.at, self._services().config.service.public_url)


def moment_of(text: str, now: datetime) -> datetime | None:
    """The moment of `?at=`: ISO 8601, UTC where it names no zone; "" is now. 422 says what will do."""
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError as error:
        raise HTTPException(422, f"at: {text[:40]!r} is no moment; write one like {now:%Y-%m-%dT%H:%MZ}.") from error
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if not _FIRST <= found <= now + _CLOCKS_DIFFER:
        raise HTTPException(422, f"at: {text[:40]!r} is not in the past, or too long ago.")
    return found.astimezone(UTC)


def _sent(
    request: Request, name: str, made: Callable[[bool], bytes], kind: str, headers: Mapping[str, str]
) -> Response:
    """What was made, or 304 for a reader who has this edition of it.

    Args:
        made: called only if it is needed; gets whether the reader takes it packed.
    """
    tag = f'"{name}"'
    # a browser takes the headers of a 304 over to the page that it has kept
    headers = {**headers, "ETag": tag, "Vary": "Accept-Encoding"}
    seen = request.headers.get("if-none-match", "")
    if tag in (part.strip().removeprefix("W/") for part in seen.split(",")):
        return Response(status_code=304, headers=headers)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    body = made(packed)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type=kind, headers=headers)


def _packed(body: bytes, packed: bool) -> bytes:
    return gzip.compress(body, 5) if packed else body


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
