"""Zammad's tickets over its REST API: GGUS since 2025."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pps.activities.ports.tracker import Remark
from pps.adapters.trackers.entries import Entry, EntryTracker, pages
from pps.adapters.trackers.http import CarefulHttp, NotThereError, Secret
from pps.adapters.trackers.kept_copy import Clock, utc_now
from pps.config.tracker_models import TrackerFile
from pps.domain.base.errors import ConfigurationError

_PAGE = 100
_FLAGS = ("basic_certification_passed", "database_schema_changed", "clients_compatible", "new_functionality")
_ENTERED = "Entered by PPS Rollout."


class ZammadTracker(EntryTracker):
    """`ports.Tracker` over the tickets of a group; a patch's fields are attributes of the object Ticket."""

    def __init__(
        self,
        file: TrackerFile,
        secret: Secret,
        *,
        copy: Path | None = None,
        clock: Clock = utc_now,
        page: int = _PAGE,
        **limits: Any,
    ) -> None:
        """Args:
        secret: user and password, or an access token alone, with the permission `ticket.agent`.
        copy: as in `EntryTracker`.
        page: tickets asked for at once.
        limits: as in `CarefulHttp`.
        """
        super().__init__(file, copy, clock)
        limits.setdefault("total_s", file.timeout)
        headers = {} if secret.user or not secret.password else {"Authorization": f"Token token={secret.password}"}
        who = secret if secret.user else Secret()
        self._page = page
        self._http = CarefulHttp(f"{self.url}/api/v1", who, headers=headers, reason=_reason, **limits)

    def page(self, number: int) -> str:
        """See the port."""
        return f"{self.url}/#ticket/zoom/{int(number)}"

    def _entry(self, number: int) -> Entry:
        try:
            body = self._http.ask("GET", f"/tickets/{int(number)}", params={"expand": "true"}).body
        except NotThereError as error:
            raise self._not_found(number) from error
        if self._group(body) != self._file.project:
            raise self._not_found(number, f"it is no ticket of group {self._file.project!r}, so it is not")
        entry = self._of(body)
        if entry.number != number:
            raise self._not_found(number, f"ticket {entry.number} is answered instead: it is not there")
        return entry

    def _entries(self, since: datetime | None = None) -> Iterable[Entry]:
        """See the base.

        A search with a query is answered from an index that lags behind; one with a condition is not.
        """
        place, which = "/tickets", {"expand": "true", "per_page": str(self._page)}
        if since:
            changed, when = "condition[ticket.updated_at]", f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            which |= {f"{changed}[operator]": "after (absolute)", f"{changed}[value]": when}
            # by number: what changes while the pages are read stays where it is
            place, which = "/tickets/search", {**which, "sort_by": "id", "order_by": "asc"}

        def some(page: int) -> list[dict[str, Any]]:
            try:
                return self._list(self._http.ask("GET", place, params={**which, "page": str(page)}).body)
            except NotThereError as error:
                next_step = "Check url in tracker.yaml."
                raise ConfigurationError(f"tracker {self.url}", "has no Zammad API there.", next_step) from error

        found = {t.number: t for t in map(self._of, pages(some, self._http.fault))}
        return [entry for entry in found.values() if since or entry.is_patch]

    def _comments(self, number: int) -> tuple[Remark, ...]:
        """Without the first article, which every ticket has."""
        try:
            articles = self._list(self._http.ask("GET", f"/ticket_articles/by_ticket/{number}").body)
        except NotThereError as error:
            raise self._not_found(number) from error
        try:
            said = sorted(articles, key=lambda a: int(a["id"]))[1:]
            return tuple(Remark(str(a["created_at"]), str(a["body"] or "")) for a in said)
        except (KeyError, TypeError, ValueError) as error:
            raise self._http.fault("its articles are none of Zammad's.") from error

    def _of(self, ticket: dict[str, Any]) -> Entry:
        try:
            values = {str(name): value for name, value in ticket.items() if value is not None}
            values[self._words.attribute("title")] = str(ticket["title"])
            at, ours = datetime.fromisoformat(ticket["updated_at"]), self._group(ticket) == self._file.project
            state = (str(ticket["state"]),)
            return Entry(int(ticket["id"]), state, values, at.isoformat(), ticket["updated_at"], is_patch=ours)
        except (KeyError, TypeError, ValueError) as error:
            raise self._http.fault("its ticket is none of Zammad's.") from error

    def _group(self, ticket: Any) -> str:
        if not isinstance(ticket, dict) or not isinstance(ticket.get("group"), str):
            raise self._http.fault("its ticket is none of Zammad's.")
        return str(ticket["group"])

    def _list(self, body: Any) -> list[dict[str, Any]]:
        if not isinstance(body, list) or not all(isinstance(one, dict) for one in body):
            raise self._http.fault("its list is none of Zammad's.")
        return body

    # --- writing ---

    def _say(self, number: int, text: str) -> None:
        try:
            self._http.ask("POST", "/ticket_articles", body={"ticket_id": number, **_article(text)})
        except NotThereError as error:
            raise self._not_found(number) from error

    def _move(self, entry: Entry, state: str) -> None:
        self._put(entry.number, {"state": state})

    def _change(self, entry: Entry, values: Mapping[str, str]) -> None:
        """Zammad takes no condition with a change: this looks immediately before."""
        if self._entry(entry.number).version != entry.version:
            raise self._changed_meanwhile(entry.number)
        self._put(entry.number, self._ticket(values))
        self._check(entry.number, values)

    def _make(self, state: str, values: Mapping[str, str]) -> int:
        me = self._http.ask("GET", "/users/me").body
        ticket = {"group": self._file.project, "state": state, **self._ticket(values), "article": _article(_ENTERED)}
        try:
            made = self._http.ask("POST", "/tickets", body={**ticket, "customer_id": int(me["id"])}).body
            number = int(made["id"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._http.fault("it does not say which ticket it has made.") from error
        self._check(number, values)
        return number

    def _put(self, number: int, change: Mapping[str, Any]) -> None:
        try:
            self._http.ask("PUT", f"/tickets/{number}", body=dict(change))
        except NotThereError as error:
            raise self._not_found(number) from error

    def _ticket(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Attributes as Zammad takes them: flags are booleans, effort is a number, nothing is null."""
        flags = {self._words.attribute(field) for field in _FLAGS}
        ticket: dict[str, Any] = {}
        for name, text in values.items():
            if name == self._words.attribute("title"):
                ticket["title"] = text
            elif name in flags:
                ticket[name] = text == "yes"
            elif name == self._words.attribute("programming_ph") and text.isdigit():
                ticket[name] = int(text)
            else:
                ticket[name] = text or None
        return ticket

    def _check(self, number: int, values: Mapping[str, str]) -> None:
        """Zammad answers with success also where it leaves out an attribute that it does not have."""
        now = self._entry(number).values
        # a moment comes back in another form
        moment = self._words.attribute("embargo_until")
        sent = self._ticket(values)
        if sent.get(moment) and now.get(moment):
            del sent[moment]
        lost = sorted(name for name, value in sent.items() if not _same(value, now.get(name)))
        if lost:
            raise ConfigurationError(
                f"tracker {self.url}",
                f"does not keep {', '.join(lost)} of ticket {number}.",
                "Make these attributes of the object Ticket, long enough, and let agents edit them.",
            )


def _same(sent: Any, kept: Any) -> bool:
    sent, kept = ("" if value is None else str(value).replace("\r\n", "\n").strip() for value in (sent, kept))
    return bool(sent == kept)


def _article(text: str) -> dict[str, Any]:
    return {"body": text, "content_type": "text/plain", "type": "note", "internal": False}


def _reason(body: Any) -> str:
    return str(body.get("error_human") or body.get("error") or "")
