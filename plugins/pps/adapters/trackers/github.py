"""GitHub's issues, over PyGithub."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pps.activities.ports.tracker import Remark
from pps.adapters.trackers.careful_session import CarefulSession, one_line
from pps.adapters.trackers.entries import Entry, pages
from pps.adapters.trackers.http import Secret
from pps.adapters.trackers.issues import TROUBLE, IssueTracker
from pps.adapters.trackers.kept_copy import Clock, utc_now
from pps.config.tracker_models import TrackerFile
from pps.domain.base.errors import ConfigurationError

if TYPE_CHECKING:
    from github.Issue import Issue
    from github.Repository import Repository

#: GitHub's own limit of a body, less what we add to it.
_MOST_COMMENT = 65_000
_CUT = "\n\n[cut here: GitHub takes no longer comment]"
_one_at_a_time = threading.Lock()


class GithubTracker(IssueTracker):
    """`ports.Tracker` over the issues of a GitHub repository, or of one on a GitHub Enterprise Server."""

    _name, _place, _token = "GitHub", "repository", "it must read and write issues there"

    def __init__(
        self,
        file: TrackerFile,
        secret: Secret,
        *,
        copy: Path | None = None,
        clock: Clock = utc_now,
        page: int = 100,
        pause_s: float = 1.0,
        **limits: Any,
    ) -> None:
        """Args:
        secret: a token that may read and write issues of this repository, and nothing else.
        copy: as in `EntryTracker`.
        page: issues asked for at once.
        pause_s: between two writes, as GitHub asks for.
        limits: as in `CarefulSession`.
        """
        super().__init__(file, copy, clock)
        limits.setdefault("total_s", file.timeout)
        host = urlsplit(self.url).hostname
        self._api = "https://api.github.com" if host in ("github.com", "www.github.com") else f"{self.url}/api/v3"
        self._repository = self._connect(secret, page, pause_s, limits)

    def page(self, number: int) -> str:
        """See the port."""
        return f"{self.url}/{self._file.project}/issues/{int(number)}"

    def _comments(self, number: int) -> tuple[Remark, ...]:
        with self._spoken(number):
            found = self._repository.get_issue(number).get_comments()
            said = pages(lambda page: found.get_page(page - 1), self._fault)
            return tuple(Remark(c.created_at.isoformat(), c.body or "") for c in said)

    def _entry(self, number: int) -> Entry:
        with self._spoken(number):
            issue = self._repository.get_issue(int(number))
            if issue.number != number:
                raise self._not_found(number, f"issue {issue.number} is answered instead: it is not there")
            labels = [label.name for label in issue.labels]
            if _is_pull_request(issue) or not self._is_patch(labels):
                raise self._not_found(number, f"the issue has no label {self._file.label!r}, so it is no patch")
            return self._of(issue)

    def _entries(self, since: datetime | None = None) -> Iterable[Entry]:
        """See the base. Of what has changed also issues that have lost their label, which no list of it shows."""
        with self._spoken():
            found = self._listed(since=since) if since else self._listed(labels=[self._file.label])
            entries = [replace(self._of(i), is_patch=False) if _is_pull_request(i) else self._of(i) for i in found]
            return entries if since else [entry for entry in entries if entry.is_patch]

    def _troubles(self) -> Iterable[tuple[int, str, bool]]:
        with self._spoken():
            found = [i for i in self._listed(labels=[TROUBLE]) if not _is_pull_request(i)]
            return [(issue.number, issue.body or "", issue.state == "open") for issue in found]

    def _listed(self, **which: Any) -> Iterator[Issue]:
        # by creation: what changes while the pages are read stays where it is
        found = self._repository.get_issues(state="all", sort="created", direction="desc", **which)
        return pages(lambda page: found.get_page(page - 1), self._fault)

    def _of(self, issue: Issue) -> Entry:
        labels = [label.name for label in issue.labels]
        return self._issue(issue.number, issue.title or "", issue.body or "", labels, issue.updated_at.isoformat())

    def _fit(self, text: str) -> str:
        return text if len(text) <= _MOST_COMMENT else text[:_MOST_COMMENT] + _CUT

    def _say(self, number: int, text: str) -> None:
        with self._spoken(number):
            self._repository.get_issue(number).create_comment(text)

    def _rewrite(self, entry: Entry, title: str, body: str) -> None:
        """GitHub takes no condition with a change: this looks immediately before."""
        with self._spoken(entry.number):
            issue = self._repository.get_issue(entry.number)
            if issue.updated_at.isoformat() != entry.version[0] or (issue.body or "") != entry.version[1]:
                raise self._changed_meanwhile(entry.number)
            if (title, body) != (issue.title, issue.body or ""):
                issue.edit(title=title, body=body)

    def _relabel(self, number: int, add: Collection[str], remove: Collection[str]) -> None:
        from github import UnknownObjectException

        if not add and not remove:
            return
        with self._spoken(number):
            issue = self._repository.get_issue(number)
            if add:
                # PyGithub's own way sends a bare list, which GitHub takes, and no longer describes
                issue.requester.requestJsonAndCheck("POST", f"{issue.url}/labels", input={"labels": list(add)})
            for label in remove:
                try:
                    issue.remove_from_labels(label)
                except UnknownObjectException:
                    continue

    def _open(self, title: str, body: str, labels: list[str]) -> int:
        with self._spoken():
            return int(self._repository.create_issue(title, body, labels=labels).number)

    def _close(self, number: int) -> None:
        with self._spoken(number):
            self._repository.get_issue(number).edit(state="closed")

    # --- PyGithub ---

    def _connect(self, secret: Secret, page: int, pause_s: float, limits: dict[str, Any]) -> Repository:
        try:
            import github
            from github.Requester import Requester
        except ImportError as error:
            why = "PyGithub is not installed in this Python."
            raise ConfigurationError("tracker.yaml: kind github", why, "pip install pps-rollout[github]") from error
        session = CarefulSession(self._api, **limits)
        self._fault, self._errors = session.fault, (github.GithubException, github.BadAttributeException)
        careful = _connection(session)
        # it takes the class of its connections from a place of its own, and once; others get theirs as before
        with _one_at_a_time:
            Requester.injectConnectionClasses(careful, careful)
            try:
                hub = github.Github(
                    auth=github.Auth.Token(secret.password) if secret.password else None,
                    base_url=self._api,
                    user_agent="pps-rollout",
                    per_page=page,
                    retry=None,  # ours; its own one sleeps for up to an hour
                    seconds_between_requests=None,
                    lazy=True,  # nothing is asked for before it is used
                    seconds_between_writes=pause_s or None,
                )
            finally:
                Requester.resetConnectionClasses()
        return hub.get_repo(self._file.project)

    def _heard(self, error: Exception) -> tuple[int, str]:
        import github

        if not isinstance(error, github.GithubException) or isinstance(error, github.IncompletableObject):
            return 0, ""
        said = error.data.get("message", "") if isinstance(error.data, dict) else ""
        too_often = isinstance(error, github.RateLimitExceededException)
        return HTTPStatus.TOO_MANY_REQUESTS if too_often else error.status, one_line(said)


def _is_pull_request(issue: Issue) -> bool:
    """By its address: for `pull_request`, which issues do not have, PyGithub would ask for each of them again."""
    return urlsplit(issue.html_url).path.split("/")[-2:-1] == ["pull"]


def _connection(session: CarefulSession) -> Any:
    """A class of connections as PyGithub makes them, all over our session."""
    from github.Requester import RequestsResponse

    class Connection:
        def __init__(self, host: str, port: int | None = None, **_: Any) -> None:
            self.host, self._port = host, port

        def request(self, verb: str, url: str, body: Any, headers: dict[str, str], stream: bool = False) -> None:
            self._asked = (verb, url, body, headers)

        def getresponse(self) -> RequestsResponse:
            verb, url, body, headers = self._asked
            parts = urlsplit(session.tracker)
            return RequestsResponse(
                session.request(verb, f"{parts.scheme}://{parts.netloc}{url}", data=body, headers=headers)
            )

        def close(self) -> None:
            pass

    return Connection
