"""A GitLab with one project. No package brings GitLab's OpenAPI: what may be asked is in the table, from its pages
docs.gitlab.com/api/issues and /api/notes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from tests.support.stand_in import Answered, Asked, StandIn

PROJECT = "middleware/patches"
_PAGES = {"page": r"\d+", "per_page": r"[1-9]\d?|100"}
_ORDER = {"sort": "asc|desc", "order_by": "created_at|updated_at"}
_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
_LIST = {
    **_PAGES,
    **_ORDER,
    "updated_after": _MOMENT,
    "state": "opened|closed|all",
    "labels": ".+",
    "iids": r"\d+",
    "scope": "all",
}
_LABELS = dict.fromkeys(("labels", "add_labels", "remove_labels"), str)
_ISSUE = {"title": str, "description": str, **_LABELS, "state_event": str}

#: Method and place below the project -> parameters of the query, keys of the body, keys that must be there.
TABLE: dict[tuple[str, str], tuple[dict[str, str], dict[str, type], set[str]]] = {
    ("GET", "issues"): (_LIST, {}, set()),
    ("POST", "issues"): ({}, {"title": str, "description": str, "labels": str}, {"title"}),
    ("GET", "issues/N"): ({}, {}, set()),
    ("PUT", "issues/N"): ({}, _ISSUE, set()),
    ("GET", "issues/N/notes"): ({**_PAGES, **_ORDER}, {}, set()),
    ("POST", "issues/N/notes"): ({}, {"body": str, "internal": bool}, {"body"}),
}


class TableJudge:
    """Judges by the table."""

    def wrong_with(self, asked: Asked) -> list[str]:
        below = f"/api/v4/projects/{quote(PROJECT, safe='')}/"
        if not asked.path.startswith(below):
            return ["no such path"]
        place = re.sub(r"issues/\d+", "issues/N", asked.path.removeprefix(below))
        if (asked.method, place) not in TABLE:
            return ["no such path, or method"]
        query, body, needed = TABLE[asked.method, place]
        wrong = [f"query {n}={v} is not described" for n, v in asked.query if not re.fullmatch(query.get(n, "$"), v)]
        given = asked.body or {}
        wrong += [f"body {n} is not described" for n, v in given.items() if n not in body or type(v) is not body[n]]
        wrong += [f"body {n} is missing" for n in needed - given.keys()]
        if asked.headers.get("private-token") != "a-token":
            wrong.append("no token")
        return wrong

    def wrong_with_answer(self, asked: Asked, answer: Answered) -> list[str]:
        return []


class GitlabStandIn(StandIn):
    """Issues and notes; does what its quick actions say, as GitLab does."""

    def __init__(self) -> None:
        super().__init__(TableJudge())
        self.issues: dict[int, dict[str, Any]] = {}
        self.notes: dict[int, list[dict[str, Any]]] = {}
        self._clock = datetime(2026, 3, 2, 8, tzinfo=UTC)

    def answer(self, asked: Asked) -> Answered:
        rest = asked.steps[5:]
        if asked.method == "GET" and len(rest) == 0:
            wanted = [label for label in asked.first("labels").split(",") if label]
            found = [i for i in self.issues.values() if set(wanted) <= set(i["labels"])]
            if after := asked.first("updated_after"):
                moment = datetime.fromisoformat(after)
                found = [i for i in found if datetime.fromisoformat(i["updated_at"]) >= moment]
            found.sort(key=lambda i: i["created_at"], reverse=asked.first("sort", "desc") == "desc")
            return self._pages(asked, found)
        if asked.method == "POST" and len(rest) == 0:
            return self._make(asked.body)
        number = int(rest[0])
        if number not in self.issues:
            return Answered(404, {"message": "404 Issue Not Found" if rest[1:] == [] else "404 Not found"})
        issue = self.issues[number]
        match asked.method, rest[1:]:
            case "GET", []:
                return Answered(200, issue)
            case "PUT", []:
                if not asked.body:
                    return Answered(
                        400, {"error": "title, description, ... are missing, at least one must be provided"}
                    )
                self._change(issue, asked.body)
                return Answered(200, issue)
            case "GET", ["notes"]:
                found = self.notes[number]
                return self._pages(asked, found if asked.first("sort", "desc") == "asc" else found[::-1])
            case "POST", ["notes"]:
                text = self._commands(issue, asked.body["body"]).strip()
                if not text:
                    return Answered(202, {"commands_changes": {}, "summary": ["Commands applied"]})
                return Answered(201, self._note(number, text))
        raise AssertionError(asked)

    def a_day_later(self) -> None:
        """The clock goes on; what is there stays as old as it is."""
        self._clock += timedelta(days=1)

    def touch(self, number: int) -> None:
        """Somebody has changed it."""
        self.issues[number]["updated_at"] = self._now()

    def _now(self) -> str:
        self._clock += timedelta(seconds=1)
        return self._clock.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def _make(self, body: dict[str, Any]) -> Answered:
        number = max(self.issues, default=0) + 1
        issue = {"id": number + 7000, "iid": number, "project_id": 3, "state": "opened", "labels": [], "title": ""}
        self.issues[number], self.notes[number] = {**issue, "description": None, "created_at": self._now()}, []
        self._change(self.issues[number], body)
        return Answered(201, self.issues[number])

    def _change(self, issue: dict[str, Any], body: dict[str, Any]) -> None:
        if "title" in body:
            issue["title"] = body["title"]
        if body.get("state_event") == "close":
            issue["state"] = "closed"
        if "labels" in body:
            issue["labels"] = sorted(filter(None, body["labels"].split(",")))
        labels = {*issue["labels"], *filter(None, body.get("add_labels", "").split(","))}
        issue["labels"] = sorted(labels - set(body.get("remove_labels", "").split(",")))
        if "description" in body:
            issue["description"] = self._commands(issue, body["description"])
        issue["updated_at"] = self._now()
        self._note(issue["iid"], "changed the description", system=True)

    def _commands(self, issue: dict[str, Any], text: str) -> str:
        """Do what the text says, and leave it out of it."""
        kept = []
        for line in text.split("\n"):
            if found := re.fullmatch(r"\s*/(close|label)\b *(.*)", line):
                issue["state"] = "closed" if found[1] == "close" else issue["state"]
                issue["labels"] = sorted({*issue["labels"], *re.findall(r"~(\S+)", found[2])})
            else:
                kept.append(line)
        return "\n".join(kept)

    def _note(self, number: int, text: str, *, system: bool = False) -> dict[str, Any]:
        note = {"id": 300 + len(self.notes[number]), "body": text, "created_at": self._now(), "system": system}
        self.notes[number].append(note)
        return note

    def _pages(self, asked: Asked, found: list[Any]) -> Answered:
        size, page = int(asked.first("per_page", "20")), int(asked.first("page", "1"))
        headers = {"X-Page": str(page), "X-Per-Page": str(size)}
        if page * size < len(found):
            rest = "&".join(f"{n}={quote(v)}" for n, v in asked.query if n != "page")
            headers["Link"] = f'<{self.url}{asked.path}?{rest}&page={page + 1}>; rel="next"'
        return Answered(200, found[(page - 1) * size : page * size], headers)
