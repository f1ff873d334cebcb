"""GitLab's issues, over python-gitlab."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pps.activities.ports.tracker import Remark
from pps.adapters.trackers.careful_session import CarefulSession, one_line
from pps.adapters.trackers.entries import Entry, pages
from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.issue_text import plain_ends
from pps.adapters.trackers.issues import TROUBLE, IssueTracker
from pps.adapters.trackers.kept_copy import Clock, utc_now
from pps.config.tracker_models import TrackerFile
from pps.domain.base.errors import ConfigurationError

if TYPE_CHECKING:
    from gitlab.v4.objects import Project, ProjectIssue

#: GitLab's own limit of a note, less what we add to it.
_MOST_COMMENT = 990_000
_CUT = "\n\n[cut here: GitLab takes no longer comment]"


class GitlabTracker(IssueTracker):
    """`ports.Tracker` over the issues of a GitLab project; a word such as `state::Certified` is a scoped label."""

    _name, _place, _token = "GitLab", "project", "scope api, role Reporter in the project"

    def __init__(
        self,
        file: TrackerFile,
        secret: Secret,
        *,
        copy: Path | None = None,
        clock: Clock = utc_now,
        page: int = 100,
        **limits: Any,
    ) -> None:
        """Args:
        secret: an access token of the project, with the scope `api` and the role Reporter.
        copy: as in `EntryTracker`.
        page: issues asked for at once.
        limits: as in `CarefulSession`.
        """
        super().__init__(file, copy, clock)
        limits.setdefault("total_s", file.timeout)
        self._project = self._connect(secret, page, limits)

    def page(self, number: int) -> str:
        """See the port."""
        return f"{self.url}/{self._file.project}/-/issues/{int(number)}"

    def _comments(self, number: int) -> tuple[Remark, ...]:
        with self._spoken(number):
            notes = self._project.issues.get(number, lazy=True).notes
            order: dict[str, Any] = {"sort": "asc", "order_by": "created_at"}
            found = pages(lambda page: notes.list(page=page, get_all=False, **order), self._fault)
            # what GitLab itself notes of changes is no comment
            said = (n for n in found if not n.attributes["system"])
            return tuple(Remark(str(n.attributes["created_at"]), _unhushed(n.attributes["body"] or "")) for n in said)

    def _entry(self, number: int) -> Entry:
        with self._spoken(number):
            issue = self._project.issues.get(int(number))
            if issue.attributes["iid"] != number:
                raise self._not_found(number, f"issue {issue.attributes['iid']} is answered instead: it is not there")
            if not self._is_patch(issue.attributes["labels"]):
                raise self._not_found(number, f"the issue has no label {self._file.label!r}, so it is no patch")
            return self._of(issue)

    def _entries(self, since: datetime | None = None) -> Iterable[Entry]:
        """See the base. Of what has changed also issues that have lost their label, which no list of it shows."""
        with self._spoken():
            found = self._listed(updated_after=since.isoformat()) if since else self._listed(labels=[self._file.label])
            entries = [self._of(issue) for issue in found]
            return entries if since else [entry for entry in entries if entry.is_patch]

    def _troubles(self) -> Iterable[tuple[int, str, bool]]:
        with self._spoken():
            found = [issue.attributes for issue in self._listed(labels=[TROUBLE])]
            return [(int(i["iid"]), _unhushed(i["description"] or ""), i["state"] == "opened") for i in found]

    def _listed(self, **which: Any) -> Iterator[ProjectIssue]:
        # by creation: what changes while the pages are read stays where it is
        query: dict[str, Any] = {**which, "order_by": "created_at", "sort": "desc"}
        issues = self._project.issues
        return pages(lambda page: issues.list(page=page, get_all=False, **query), self._fault)

    def _of(self, issue: ProjectIssue) -> Entry:
        known = issue.attributes
        text = _unhushed(plain_ends(known["description"] or ""))
        at = datetime.fromisoformat(known["updated_at"]).isoformat()
        return self._issue(int(known["iid"]), str(known["title"]), text, list(known["labels"]), at)

    def _fit(self, text: str) -> str:
        return text if len(text) <= _MOST_COMMENT else text[:_MOST_COMMENT] + _CUT

    def _say(self, number: int, text: str) -> None:
        with self._spoken(number):
            self._project.issues.get(number, lazy=True).notes.create({"body": _hushed(text)})

    def _rewrite(self, entry: Entry, title: str, body: str) -> None:
        """GitLab takes no condition with a change: this looks immediately before."""
        with self._spoken(entry.number):
            now = self._of(self._project.issues.get(entry.number))
            if now.version[:2] != entry.version[:2]:
                raise self._changed_meanwhile(entry.number)
            if (title, body) != (entry.values[self._words.attribute("title")], entry.version[1]):
                self._project.issues.update(entry.number, {"title": title, "description": _hushed(body)})

    def _relabel(self, number: int, add: Collection[str], remove: Collection[str]) -> None:
        """In one request, so that an issue has never two states."""
        change = {"add_labels": ",".join(add), "remove_labels": ",".join(remove)}
        if change := {name: labels for name, labels in change.items() if labels}:
            with self._spoken(number):
                self._project.issues.update(number, change)

    def _open(self, title: str, body: str, labels: list[str]) -> int:
        with self._spoken():
            made = self._project.issues.create(
                {"title": title, "description": _hushed(body), "labels": ",".join(labels)}
            )
            return int(made.attributes["iid"])

    def _close(self, number: int) -> None:
        with self._spoken(number):
            self._project.issues.update(number, {"state_event": "close"})

    # --- python-gitlab ---

    def _connect(self, secret: Secret, page: int, limits: dict[str, Any]) -> Project:
        try:
            import gitlab
        except ImportError as error:
            why = "python-gitlab is not installed in this Python."
            raise ConfigurationError("tracker.yaml: kind gitlab", why, "pip install pps-rollout[gitlab]") from error
        session = CarefulSession(self.url, **limits)
        self._fault, self._errors = session.fault, (gitlab.exceptions.GitlabError,)
        lab = gitlab.Gitlab(
            self.url,
            private_token=secret.password or None,
            user_agent="pps-rollout",
            per_page=page,
            keep_base_url=True,
            session=session,
        )
        return lab.projects.get(self._file.project, lazy=True)

    def _heard(self, error: Exception) -> tuple[int, str]:
        import gitlab

        if not isinstance(error, gitlab.exceptions.GitlabError):
            return 0, ""
        # without a number nobody has answered: it is worth another try
        return error.response_code or HTTPStatus.BAD_GATEWAY, one_line(_said(error.error_message))


def _said(message: Any) -> str:
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)


def _hushed(text: str) -> str:
    r"""A text without commands: a line `/close` would be done, with our rights; `\/close` is shown as `/close`."""
    return re.sub(r"^(\s*)(\\*/)", r"\1\\\2", plain_ends(text), flags=re.MULTILINE)


def _unhushed(text: str) -> str:
    return re.sub(r"^(\s*)\\(\\*/)", r"\1\2", text, flags=re.MULTILINE)
