"""A GitHub with one repository, that is asked and answers as GitHub's own description has it."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

from tests.support.github_openapi import FILE
from tests.support.openapi_judge import OpenApiJudge
from tests.support.stand_in import Answered, Asked, StandIn

REPOSITORY = "middleware/patches"
_BELOW = "/api/v3"


@cache
def github_judge() -> OpenApiJudge:
    """Its file is large: read once."""
    return OpenApiJudge(FILE, _BELOW)


class GithubStandIn(StandIn):
    """Issues, comments and labels of one repository."""

    def __init__(self) -> None:
        super().__init__(github_judge())
        self.issues: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self._clock = datetime(2026, 3, 2, 8, tzinfo=UTC)

    def answer(self, asked: Asked) -> Answered:
        _, _, _, owner, name, *rest = asked.steps
        if f"{owner}/{name}" != REPOSITORY:
            return self._none()
        match asked.method, rest:
            case "GET", ["issues"]:
                return self._list(asked)
            case "POST", ["issues"]:
                return self._make(asked)
        number = int(rest[1])
        if number not in self.issues:
            return self._none()
        issue = self.issues[number]
        match asked.method, rest[2:]:
            case "GET", []:
                return Answered(200, issue)
            case "PATCH", []:
                issue |= {k: v for k, v in asked.body.items() if k in ("title", "body", "state")}
                return self._changed(issue)
            case "GET", ["comments"]:
                return self._pages(asked, self.comments[number], 30)
            case "POST", ["comments"]:
                return Answered(201, self._say(number, asked.body["body"]))
            case "POST", ["labels"]:
                self._label(issue, asked.body["labels"] if isinstance(asked.body, dict) else asked.body)
                return Answered(200, issue["labels"])
            case "DELETE", ["labels", label]:
                kept = [one for one in issue["labels"] if one["name"] != label]
                if len(kept) == len(issue["labels"]):
                    return self._none("Label does not exist")
                issue["labels"] = kept
                self._changed(issue)
                return Answered(200, kept)
        raise AssertionError(asked)

    def _none(self, why: str = "Not Found") -> Answered:
        return Answered(404, {"message": why, "documentation_url": "https://docs.github.com/rest", "status": "404"})

    def a_day_later(self) -> None:
        """The clock goes on; what is there stays as old as it is."""
        self._clock += timedelta(days=1)

    def touch(self, number: int) -> None:
        """Somebody has changed it."""
        self.issues[number]["updated_at"] = self._now()

    def _now(self) -> str:
        self._clock += timedelta(seconds=1)
        return self._clock.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _make(self, asked: Asked) -> Answered:
        if len(asked.body.get("body") or "") > 65_536:
            errors = [{"resource": "Issue", "code": "custom", "field": "body", "message": "body is too long"}]
            return Answered(422, {"message": "Validation Failed", "documentation_url": "https://x.y", "errors": errors})
        number = max(self.issues, default=40) + 1
        issue = copy.deepcopy(github_judge().example("issue"))
        url = f"{self.url}{_BELOW}/repos/{REPOSITORY}/issues/{number}"
        issue |= {
            "number": number,
            "url": url,
            "title": asked.body["title"],
            "body": asked.body.get("body"),
            "labels": [],
            "created_at": self._now(),
        }
        issue.pop("pull_request", None)
        self.issues[number], self.comments[number] = issue, []
        self._label(issue, asked.body.get("labels", []))
        return Answered(201, issue)

    def _label(self, issue: dict[str, Any], names: list[str]) -> None:
        there = {label["name"] for label in issue["labels"]}
        example = copy.deepcopy(issue["labels"][0]) if issue["labels"] else _LABEL
        issue["labels"] = issue["labels"] + [{**example, "name": n} for n in names if n not in there]
        self._changed(issue)

    def _changed(self, issue: dict[str, Any]) -> Answered:
        issue["updated_at"] = self._now()
        return Answered(200, issue)

    def _say(self, number: int, text: str) -> dict[str, Any]:
        comment = copy.deepcopy(github_judge().example("issue-comment"))
        comment |= {"body": text, "created_at": self._now(), "id": len(self.comments[number]) + 1}
        self.comments[number].append(comment)
        self._changed(self.issues[number])
        return comment

    def _list(self, asked: Asked) -> Answered:
        wanted = {label for label in asked.first("labels").split(",") if label}
        found = [
            issue
            for issue in self.issues.values()
            if wanted <= {label["name"] for label in issue["labels"]}
            and asked.first("state", "open") in ("all", "open")
            and issue["updated_at"] >= asked.first("since")
        ]
        found.sort(key=lambda issue: issue["created_at"], reverse=asked.first("direction", "desc") == "desc")
        return self._pages(asked, found, 30)

    def _pages(self, asked: Asked, found: list[Any], usual: int) -> Answered:
        size, page = int(asked.first("per_page", str(usual))), int(asked.first("page", "1"))
        some = found[(page - 1) * size : page * size]
        headers = {}
        if page * size < len(found):
            rest = "&".join(f"{n}={quote(v)}" for n, v in asked.query if n != "page")
            headers["Link"] = f'<{self.url}{asked.path}?{rest}&page={page + 1}>; rel="next"'
        return Answered(200, some, headers)


_LABEL = {
    "id": 208045946,
    "node_id": "MDU6TGFiZWwyMDgwNDU5NDY=",
    "url": "https://api.github.com/repos/octocat/Hello-World/labels/bug",
    "name": "",
    "description": None,
    "color": "f29513",
    "default": False,
}
