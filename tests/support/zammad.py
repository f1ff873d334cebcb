"""A Zammad with one group of patches and one other. There is no machine-readable description of its API: what may be
asked is in the table, from docs.zammad.org/en/latest/api (intro, ticket, ticket/articles, user).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.stand_in import Answered, Asked, StandIn

from pps.config.tracker_models import FIELDS
from pps.domain.packages.patch import PatchState

GROUP = "Patches"
_BELOW = "/api/v1/"
_EXPAND = {"expand": "true|false"}
#: Attributes that the administrator has made, and the type of each.
_FLAGS = ("basic_certification_passed", "database_schema_changed", "clients_compatible", "new_functionality")
ATTRIBUTES: dict[str, type] = (
    dict.fromkeys([*FIELDS[1:], "submission"], str) | dict.fromkeys(_FLAGS, bool) | {"programming_ph": int}
)
#: `condition` is in Zammad's own source (tickets_controller.rb, can_search.rb): with it, its database is asked.
_SEARCH = {
    **_EXPAND,
    "page": r"\d+",
    "per_page": r"\d+",
    "sort_by": "id",
    "order_by": "asc",
    "condition[ticket.updated_at][operator]": r"after \(absolute\)",
    "condition[ticket.updated_at][value]": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
}
_ARTICLE = {"body": str, "content_type": str, "type": str, "internal": bool, "subject": str, "sender": str}
_TICKET = {"title": str, "group": str, "state": str, "customer_id": int, "article": dict, **ATTRIBUTES}

#: Method and place -> parameters of the query, keys of the body, keys that must be there.
TABLE: dict[tuple[str, str], tuple[dict[str, str], dict[str, type], set[str]]] = {
    ("GET", "users/me"): (_EXPAND, {}, set()),
    ("GET", "tickets"): ({**_EXPAND, "page": r"\d+", "per_page": r"\d+"}, {}, set()),
    ("GET", "tickets/search"): (_SEARCH, {}, set()),
    ("POST", "tickets"): (_EXPAND, _TICKET, {"title", "group", "customer_id", "article"}),
    ("GET", "tickets/N"): (_EXPAND, {}, set()),
    ("PUT", "tickets/N"): (_EXPAND, _TICKET, set()),
    ("GET", "ticket_articles/by_ticket/N"): (_EXPAND, {}, set()),
    ("POST", "ticket_articles"): ({}, {**_ARTICLE, "ticket_id": int}, {"ticket_id", "body"}),
}


class TableJudge:
    """Judges by the table; an attribute may also be null."""

    def wrong_with(self, asked: Asked) -> list[str]:
        if not asked.path.startswith(_BELOW):
            return ["no such path"]
        place = re.sub(r"(tickets|by_ticket)/\d+$", r"\1/N", asked.path.removeprefix(_BELOW))
        if (asked.method, place) not in TABLE:
            return ["no such path, or method"]
        query, body, needed = TABLE[asked.method, place]
        wrong = [f"query {n}={v} is not described" for n, v in asked.query if not re.fullmatch(query.get(n, "$"), v)]
        given = asked.body or {}
        wrong += self._values_wrong(given, body)
        wrong += self._values_wrong(given.get("article", {}), _ARTICLE)
        wrong += [f"body {n} is missing" for n in needed - given.keys()]
        if asked.headers.get("authorization") != "Token token=a-token":
            wrong.append("no token")
        return wrong

    def _values_wrong(self, given: dict[str, Any], known: dict[str, type]) -> list[str]:
        return [
            f"body {name} is not described"
            for name, value in given.items()
            if name not in known or not (type(value) is known[name] or (value is None and name in ATTRIBUTES))
        ]

    def wrong_with_answer(self, asked: Asked, answer: Answered) -> list[str]:
        return []


class ZammadStandIn(StandIn):
    """Tickets and articles."""

    def __init__(self) -> None:
        super().__init__(TableJudge())
        self.tickets: dict[int, dict[str, Any]] = {}
        self.articles: dict[int, list[dict[str, Any]]] = {}
        self.kept = set(ATTRIBUTES)
        self._clock = datetime(2026, 3, 2, 8, tzinfo=UTC)
        self._make({"title": "Somebody needs help", "group": "Users", "state": "open", "article": {"body": "Help!"}})

    def answer(self, asked: Asked) -> Answered:
        rest = asked.steps[2:]
        match asked.method, rest:
            case "GET", ["users", "me"]:
                return Answered(200, {"id": 9, "login": "pps"})
            case "GET", ["tickets"] | ["tickets", "search"]:
                size, page = int(asked.first("per_page", "25")), int(asked.first("page", "1"))
                after = asked.first("condition[ticket.updated_at][value]")
                found = sorted((t for t in self.tickets.values() if t["updated_at"] > after), key=lambda t: t["id"])
                return Answered(200, found[(page - 1) * size : page * size])
            case "POST", ["tickets"]:
                return self._make(asked.body)
            case "POST", ["ticket_articles"]:
                number = asked.body["ticket_id"]
                return Answered(201, self._say(number, asked.body)) if number in self.tickets else self._none(number)
        number = int(rest[-1])
        if number not in self.tickets:
            return self._none(number)
        if rest[0] == "ticket_articles":
            return Answered(200, self.articles[number])
        if asked.method == "PUT":
            if asked.body.get("state", "Certified") not in set(PatchState):
                return Answered(422, {"error": "No lookup value found for 'state'", "error_human": "No such state"})
            self._change(number, asked.body)
        return Answered(200, self.tickets[number])

    def _none(self, number: int) -> Answered:
        why = f"Couldn't find Ticket with 'id'={number}"
        return Answered(404, {"error": why, "error_human": why})

    def a_day_later(self) -> None:
        """The clock goes on; what is there stays as old as it is."""
        self._clock += timedelta(days=1)

    def touch(self, number: int) -> None:
        """Somebody has changed it."""
        self.tickets[number]["updated_at"] = self._now()

    def _now(self) -> str:
        self._clock += timedelta(seconds=1)
        return self._clock.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def _make(self, body: dict[str, Any]) -> Answered:
        number = max(self.tickets, default=100) + 1
        self.tickets[number] = {"id": number, "number": f"{number}0007", "created_at": self._now()}
        self.tickets[number] |= dict.fromkeys(self.kept)
        self.articles[number] = []
        self._change(number, body)
        self._say(number, body["article"])
        return Answered(201, self.tickets[number])

    def _change(self, number: int, body: dict[str, Any]) -> None:
        """What it does not know it leaves out, as Zammad does."""
        known = {"title", "group", "state", *self.kept}
        self.tickets[number] |= {name: value for name, value in body.items() if name in known}
        self.tickets[number]["updated_at"] = self._now()

    def _say(self, number: int, article: dict[str, Any]) -> dict[str, Any]:
        count = sum(map(len, self.articles.values()))
        made = {**article, "id": count + 1, "ticket_id": number, "created_at": self._now()}
        self.articles[number].append(made)
        self.tickets[number]["updated_at"] = self._now()
        return made
