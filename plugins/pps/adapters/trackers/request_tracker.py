"""Request Tracker's tickets over its REST 2.0, with the library `rt`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pps.activities.ports.tracker import Remark
from pps.adapters.trackers.careful_session import CarefulSession, RedirectedError, one_line
from pps.adapters.trackers.entries import Entry, EntryTracker, pages
from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.kept_copy import Clock, Items, utc_now
from pps.config.tracker_models import TrackerFile
from pps.domain.base.errors import ConfigurationError, RefusedError, RolloutError

if TYPE_CHECKING:
    from rt.rest2 import Rt

#: What RT keeps of a subject; it cuts what is more.
_MOST_TITLE = 200
#: Of one answer; the library asks for so many.
_PAGE = 20
#: Of one call of ours: the library goes on as long as it is told that there is more.
_MOST_REQUESTS = 5000
_FIELDS = "Status,Subject,CustomFields,Queue,LastUpdated"


class RequestTracker(EntryTracker):
    """`ports.Tracker` over a queue of Request Tracker 5; a patch's fields are custom fields, its state the status."""

    def __init__(
        self, file: TrackerFile, secret: Secret, *, copy: Path | None = None, clock: Clock = utc_now, **limits: Any
    ) -> None:
        """Args:
        secret: user and password, or an authentication token alone.
        copy: as in `EntryTracker`.
        limits: as in `CarefulSession`.
        """
        super().__init__(file, copy, clock)
        limits.setdefault("total_s", file.timeout)
        self._asked = _Asked(CarefulSession(self.url, **limits))
        self._rt = self._connect(secret)

    def page(self, number: int) -> str:
        """See the port."""
        return f"{self.url}/Ticket/Display.html?id={int(number)}"

    def _comments(self, number: int) -> tuple[Remark, ...]:
        """Of a message in several forms, the plain one."""
        from rt.exceptions import NotFoundError

        with self._spoken(number):
            text = [{"field": "ContentType", "operator": "LIKE", "value": "text/"}]
            try:
                found = self._rt.get_attachments(number, text, "TransactionId,Filename,ContentType,Content,Created")
            except NotFoundError:  # as the library says that there are none
                return ()
            messages: dict[int, dict[str, Any]] = {}
            for part in sorted(found, key=lambda a: (a["ContentType"] != "text/plain", int(a["id"]))):
                if not part.get("Filename"):
                    messages.setdefault(int(part["TransactionId"]), dict(part))
            said = [messages[transaction] for transaction in sorted(messages)]
            return tuple(Remark(str(m["Created"]), str(m["Content"] or "")) for m in said)

    def _entry(self, number: int) -> Entry:
        with self._spoken(number):
            ticket = self._rt.get_ticket(int(number))
            if str(ticket["id"]) != str(number) or ticket["Queue"]["Name"] != self._file.project:
                raise self._not_found(number, f"it is no ticket of queue {self._file.project!r}, so it is not")
            if ticket["Status"] == "deleted":  # it can still be read, but no list shows it
                raise self._not_found(number, "it was deleted, so it is not")
            return self._of(ticket, self._asked.etag)

    def _entries(self, since: datetime | None = None) -> Iterable[Entry]:
        """See the base. Of what has changed also tickets that have gone to another queue."""
        if since:
            return self._changed(since)
        with self._spoken():
            return [self._of(ticket) for ticket in self._listed(_FIELDS)]

    def _listed(self, fields: str, more: str = "") -> list[dict[str, Any]]:
        """Tickets of the queue, page by page; by number, as the pages of a list move while tickets come in."""
        query, last = f"Queue = {_quoted(self._file.project)}{more}", [0]

        def some(_: int) -> list[dict[str, Any]]:
            below = f" AND id < {last[0]}" if last[0] else ""
            found = list(islice(self._search(query + below, "-id", fields), _PAGE))
            last[0] = min((int(ticket["id"]) for ticket in found), default=0)
            return found

        return list(pages(some, self._asked.session.fault))

    def _whole(self, known: Items) -> Iterable[dict[str, Any]]:
        """See the base. RT takes long for custom fields: for those of tickets that have not changed it is not asked."""
        if not known:
            return super()._whole(known)
        with self._spoken():
            dated = {str(t["id"]): _moment(t).isoformat() for t in self._listed("LastUpdated")}
            same = {i: known[i] for i, at in dated.items() if i in known and known[i]["at"] == at}
            return (*same.values(), *map(self._kept, self._in_full(dated.keys() - same.keys())))

    def _changed(self, since: datetime) -> list[Entry]:
        """Read from the newest change back: RT reads a moment in a query in a time zone that it does not tell."""
        with self._spoken():
            found = self._search("id > 0", "-LastUpdated", "LastUpdated,Queue")
            tickets = list(takewhile(lambda ticket: _moment(ticket) >= since, found))
            ours = [t["id"] for t in tickets if t["Queue"]["Name"] == self._file.project]
            gone = [t for t in tickets if t["Queue"]["Name"] != self._file.project]
            others = [Entry(int(t["id"]), (), {}, _moment(t).isoformat(), is_patch=False) for t in gone]
            return [*others, *self._in_full(ours)]

    def _in_full(self, ids: Iterable[Any]) -> Iterator[Entry]:
        numbers = sorted(map(int, ids))
        for at in range(0, len(numbers), _PAGE):
            which = " OR ".join(f"id = {number}" for number in numbers[at : at + _PAGE])
            yield from map(self._of, self._listed(_FIELDS, f" AND ({which})"))

    def _search(self, query: str, order: str, fields: str) -> Iterator[dict[str, Any]]:
        shown = {"fields": fields, "fields[Queue]": "Name"}
        return _until_none(self._rt.search(raw_query=query, order=order, query_format=shown))

    def _of(self, ticket: Mapping[str, Any], etag: str = "") -> Entry:
        known = {field["name"]: [v for v in field["values"] if v is not None] for field in ticket["CustomFields"]}
        values: dict[str, Any] = {str(name): "\n".join(map(str, v)) for name, v in known.items() if v}
        values[self._words.attribute("title")] = str(ticket["Subject"] or "")
        at, ours = _moment(ticket).isoformat(), ticket["Queue"]["Name"] == self._file.project
        return Entry(int(ticket["id"]), (str(ticket["Status"]),), values, at, etag, is_patch=ours)

    def _say(self, number: int, text: str) -> None:
        with self._spoken(number):
            self._rt.comment(number, text)

    def _move(self, entry: Entry, state: str) -> None:
        self._edit(entry, {"Status": state})
        if (now := self._entry(entry.number).states) != (state,):
            raise RefusedError(
                f"patch {entry.number}",
                (f"RT does not move it from {entry.states[0]!r} to {state!r}, but leaves it {now[0]!r}.",),
                "Look at the lifecycle of the queue, and at the rights of our user.",
            )

    def _change(self, entry: Entry, values: Mapping[str, str]) -> None:
        change = self._ticket(values)
        self._edit(entry, change)
        self._check(entry.number, values)

    def _make(self, state: str, values: Mapping[str, str]) -> int:
        with self._spoken():
            made = int(self._rt.create_ticket(self._file.project, Status=state, **self._ticket(values)))
        self._check(made, values)
        return made

    def _ticket(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Attributes as RT takes them."""
        fields = dict(values)
        title = fields.pop(self._words.attribute("title"), None)
        if title is not None and len(title) > _MOST_TITLE:
            why = f"Its title has {len(title)} characters, and RT keeps {_MOST_TITLE}."
            raise RefusedError("the patch", (why,), "Shorten it.")
        ticket: dict[str, Any] = {"Subject": title} if title is not None else {}
        return ticket | ({"CustomFields": fields} if fields else {})

    def _edit(self, entry: Entry, change: dict[str, Any]) -> None:
        """Change it if it is still of this version."""
        with self._spoken(entry.number):
            self._asked.only_if = entry.version
            try:
                self._rt.edit_ticket(entry.number, **change)
            finally:
                self._asked.only_if = ""

    def _check(self, number: int, values: Mapping[str, str]) -> None:
        """RT answers with success also where it leaves out a field that it does not have, or that we may not set."""
        now = self._entry(number).values
        lost = sorted(name for name, text in values.items() if str(now.get(name, "")).strip() != text.strip())
        if lost:
            raise ConfigurationError(
                f"tracker {self.url}",
                f"queue {self._file.project} does not keep {', '.join(lost)} of ticket {number}.",
                "Make these custom fields for the queue (one text), and give our user the right to change them.",
            )

    # --- rt ---

    def _connect(self, secret: Secret) -> Rt:
        try:
            import httpx2
            from rt.rest2 import Rt
        except ImportError as error:
            why, how = "rt is not installed in this Python.", "pip install pps-rollout[request-tracker]"
            raise ConfigurationError("tracker.yaml: kind request-tracker", why, how) from error
        client = Rt(f"{self.url}/REST/2.0/")
        client.session.close()
        client.session = httpx2.Client(
            transport=_transport(self._asked),
            auth=httpx2.BasicAuth(secret.user, secret.password) if secret.user else None,
            headers={} if secret.user or not secret.password else {"Authorization": f"token {secret.password}"},
            trust_env=False,  # the session below says what of the environment is used
        )
        return client

    @contextmanager
    def _spoken(self, number: int | None = None) -> Iterator[None]:
        """The library's errors as ours; none of them holds our password."""
        from rt import exceptions

        where, fault = f"tracker {self.url}", self._asked.session.fault
        self._asked.left = _MOST_REQUESTS
        try:
            yield
        except RedirectedError as error:
            if number is None:
                raise
            raise self._not_found(number, "it has moved elsewhere, so it is not") from error
        except RolloutError:
            raise
        except exceptions.NotFoundError:
            if number is not None:
                raise self._not_found(number) from None
            raise ConfigurationError(where, "has no REST 2.0 there.", "Check url in tracker.yaml.") from None
        except exceptions.BadRequestError as error:
            raise RefusedError(where, (one_line(error) or "HTTP 400",), "Look at the ticket in RT.") from None
        except exceptions.RtError as error:
            status = 401 if isinstance(error, exceptions.AuthorizationError) else getattr(error, "status_code", None)
            if status in (401, 403):
                next_step = "Correct user and password in the connection pps_tracker, or its user's rights in RT."
                raise ConfigurationError(where, f"refuses us (HTTP {status}).", next_step) from None
            if status == 412 and number is not None:
                raise self._changed_meanwhile(number) from None
            if status in (409, 422):
                raise RefusedError(where, (f"HTTP {status}",), "Look at the ticket in RT.") from None
            raise fault(f"it does not do it (HTTP {status}).") from None
        except (ConnectionError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise fault(f"its answer is not one of RT's ({type(error).__name__}).") from error


class _Asked:
    """What the library's requests go through, and what it does not tell of them."""

    def __init__(self, session: CarefulSession) -> None:
        self.session = session
        self.etag = ""
        """of the last answer"""
        self.only_if = ""
        """change only this version"""
        self.left = _MOST_REQUESTS


def _transport(asked: _Asked) -> Any:
    import httpx2

    class Transport(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            asked.left -= 1
            if asked.left < 0:
                raise asked.session.fault(f"its list has more than {_MOST_REQUESTS} pages.")
            kept = ("authorization", "content-type", "accept", "user-agent")
            headers = {name: request.headers[name] for name in kept if name in request.headers}
            if request.method == "PUT" and asked.only_if:
                headers["If-Match"] = asked.only_if
            url = str(request.url)
            response = asked.session.request(request.method, url, data=request.read(), headers=headers)
            asked.etag = response.headers.get("ETag", "")
            kind = {"Content-Type": response.headers.get("Content-Type", "application/json")}
            return httpx2.Response(response.status_code, headers=kind, content=response.content)

    return Transport()


def _until_none(found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The library says of an empty page that there is no such resource."""
    from rt.exceptions import NotFoundError

    try:
        yield from found
    except NotFoundError:
        return


def _moment(ticket: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(ticket["LastUpdated"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
