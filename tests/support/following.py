"""People who follow something, at the real application, on a real store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastapi import HTTPException, Request
from fastapi.testclient import TestClient
from tests.support.desks import at_office
from tests.support.examples import NOW, PATCH, previewed, sqlite_store
from tests.support.front import SECRET, MemoryServices, MemoryTracker, site, write_config

from pps.activities.people.following import tell_followers
from pps.adapters.record.store import FactStore
from pps.domain.record.facts import Fact, FactKind
from pps.web.app import create_app

URL = "https://pps.example.org"
ROLLOUT = "bc-client-4711-1"


def account(request: Request) -> Any:
    """`Authorization: Bearer <name>[:<role>]`; the mail address is in `X-Test-Mail`, else `<name>@example.org`."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not token:
        raise HTTPException(401, "Not authenticated")
    name, _, role = token.partition(":")
    email = request.headers.get("x-test-mail", f"{name}@example.org")
    roles = [] if role == "none" else [SimpleNamespace(name=role or "Viewer")]
    return SimpleNamespace(get_name=lambda: name, get_id=lambda: f"id-{name}", email=email, roles=roles)


@dataclass
class AFollowing:
    """A preview is out; the clock stands where a test puts it."""

    store: FactStore
    services: MemoryServices
    now: datetime = NOW

    @classmethod
    def of(cls, folder: Path) -> AFollowing:
        """On a store that several threads may use."""
        store = sqlite_store(folder)
        previewed(store)
        config = write_config(folder / "config", [site("PIC"), site("CNAF")])
        given = {"facts": store, "tracker": MemoryTracker(PATCH), "feedback_secret": SECRET}
        return cls(store, MemoryServices(config, lambda _: None, given), NOW + timedelta(hours=1))

    def who(self, name: str = "", **headers: str) -> TestClient:
        """Somebody's client; without a name a stranger's."""
        app = create_app(lambda: self.services, account, lambda: self.now)
        auth = {"Authorization": f"Bearer {name}"} if name else {}
        return TestClient(app, base_url=URL, headers={**auth, **headers}, follow_redirects=False)

    def follows(self, name: str, what: str) -> None:
        kind, _, thing = what.partition(":")
        answer = self.who(name).post("/following", data={"do": "follow", kind: thing})
        assert answer.status_code == 303, answer.text
        self.wait(1)

    def followed_by(self, name: str) -> list[str]:
        return [t["what"] for t in self.who(name).get("/api/v1/following").json()["following"]]

    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    def then(
        self, kind: FactKind, subject: str = "", occasion: str = "", rollout: str = ROLLOUT, **payload: Any
    ) -> None:
        self.wait(1)
        self.store.record(Fact(rollout, kind, subject, occasion, self.now, "pps", payload))

    def sweep(self) -> int:
        return tell_followers(at_office(self.store, now=self.now, actor="airflow:reminders"), lambda: SECRET, URL)
