"""A provider with a real repository and real packages, who submits through the real pages; the tracker is in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.support.examples import NOW, templates
from tests.support.front import MemoryServices, MemoryTracker, site, write_config
from tests.support.provider import Provider
from tests.unit.web.test_late_answers import Clock, airflow_user, shared_store

from pps.adapters.record.store import FactStore
from pps.config.patch_documents import parse_patch, patch_document
from pps.domain.base.errors import ServiceError
from pps.domain.packages.findings import fault, hint, warning
from pps.domain.packages.patch import Patch, PatchState, RepositoryKind
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import RolloutPath
from pps.domain.record.submissions import RECORD, as_row
from pps.sandbox.provider.package_formats import SamplePackage, write_deb, write_rpm
from pps.web.app import create_app
from pps.workflow.desk import FrontOffice
from pps.workflow.submissions import enter_waiting

PAT, MANAGER, OTHER = "pat:Software Provider", "rita:Release Manager", "otto:Software Provider"
CONTACT = "releases@example.org"
NOTES = "New: proxies are renewed in time."


class NoLinters:
    """They take seconds for each package; a test of their own asks them."""

    def hints(self, package: Path) -> tuple[str, ...]:
        return ()


class BookTracker(MemoryTracker):
    """As much of a tracker as a submission needs."""

    def __init__(self, *patches: Patch) -> None:
        super().__init__(*patches)
        self.said: list[tuple[int, str]] = []
        self.entered: dict[str, int] = {}
        self.away = False

    def patch(self, number: int) -> Patch:
        if self.away:
            raise ServiceError("tracker", "does not answer.", "Try again.")
        return super().patch(number)

    def enter(self, patch: Patch, *, submission: str = "") -> int:
        if self.away:
            raise ServiceError("tracker", "does not answer.", "Try again.")
        number = self.entered.setdefault(submission, len(self.entered) + 1)
        self.known.setdefault(number, replace(patch, number=number))
        return number

    def edit(self, number: int, fields: Mapping[str, Any]) -> None:
        self.known[number] = parse_patch({**patch_document(self.known[number]), **fields})

    def set_state(self, number: int, state: PatchState, comment: str, **_: Any) -> None:
        self.known[number] = replace(self.known[number], state=state)

    def comment(self, number: int, text: str) -> None:
        if (number, text) not in self.said:
            self.said.append((number, text))


@dataclass
class Submitting:
    """The world of one provider."""

    provider: Provider
    folder: Path
    tracker: BookTracker = field(default_factory=BookTracker)
    clock: Clock = field(default_factory=lambda: Clock(NOW))
    store: FactStore = field(init=False)
    services: MemoryServices = field(init=False)
    app: FastAPI = field(init=False)
    web: TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.store = shared_store(self.folder)
        config = write_config(self.folder / "config", [site("PIC", administrators=["ana"])])
        people = yaml.safe_load((config.folder / "people.yaml").read_text())
        people["providers"] = [
            {
                "name": "grid-europe",
                "contact": CONTACT,
                "representatives": ["pat"],
                "products": ["glite-WN", "glite-UI"],
            },
            {"name": "others", "contact": "others@example.org", "representatives": ["otto"], "products": ["dCache"]},
        ]
        (config.folder / "people.yaml").write_text(yaml.safe_dump(people))
        service = yaml.safe_load((config.folder / "service.yaml").read_text())
        why = "It is made by this test, and gone with it."
        service["package_keys"] = {self.provider.http.url: {"unsigned_over_http": why}}
        # what is uploaded is served beside what the provider publishes by itself
        uploads = self.provider.http.folder / "uploads"
        uploads.mkdir()
        service |= {"upload_folder": uploads.as_uri(), "upload_url": f"{self.provider.http.url}/uploads"}
        (config.folder / "service.yaml").write_text(yaml.safe_dump(service))
        given = {
            "linters": NoLinters(),
            "facts": self.store,
            "tracker": self.tracker,
            "templates": templates(),
            "feedback_secret": b"x" * 32,
        }
        self.services = MemoryServices(config, lambda _: None, given)
        self.app = create_app(lambda: self.services, airflow_user, self.clock)
        self.web = TestClient(self.app, base_url="https://pps.example.org")

    @property
    def arch(self) -> str:
        return "all" if self.provider.kind is RepositoryKind.APT else "noarch"

    def publish(self, package: SamplePackage) -> None:
        to = self.folder / "made"
        to.mkdir(exist_ok=True)
        write = write_deb if self.provider.kind is RepositoryKind.APT else write_rpm
        self.provider.publish(write(package, to))

    def document(self, *packages: SamplePackage, **changes: Any) -> dict[str, Any]:
        """A release of these packages, which are published."""
        for package in packages:
            self.publish(package)
        repository = self.provider.repository
        apt = repository.kind is RepositoryKind.APT
        return {
            "title": "Clients that renew proxies",
            "metapackage": "glite-WN",
            "version": "3.1.24",
            "platforms": ["debian12-amd64" if apt else "el9-x86_64"],
            "repository": {
                "kind": repository.kind.value,
                "url": repository.url,
                "suite": repository.suite,
                "components": list(repository.components),
            },
            "packages": [{"name": p.ref.name, "version": p.ref.version, "arch": p.ref.arch} for p in packages],
            "release_notes": NOTES,
            "bugs": [{"number": 101, "title": "No IPv6", "severity": "major", "originator": "ada@example.org"}],
            **changes,
        }

    # --- over HTTP

    def get(self, path: str, who: str = PAT) -> Any:
        return self.web.get(path, headers=_bearer(who))

    def post(self, path: str, body: Any, who: str = PAT, **headers: str) -> Any:
        given = {"Content-Type": "application/json", **headers, **_bearer(who)}
        return self.web.post(path, content=json.dumps(body), headers=given)

    def upload(self, data: bytes | Iterator[bytes], who: str = PAT, query: str = "", **headers: str) -> Any:
        given = {"Content-Type": "application/octet-stream", **headers, **_bearer(who)}
        return self.web.put(f"/api/v1/provider/uploads{query}", content=data, headers=given)

    def made(self, package: SamplePackage, kind: RepositoryKind = RepositoryKind.APT) -> bytes:
        """The bytes of a package, which is not published."""
        to = self.folder / "upload"
        to.mkdir(exist_ok=True)
        return (write_deb if kind is RepositoryKind.APT else write_rpm)(package, to).read_bytes()

    def form(self, path: str, fields: Mapping[str, str], who: str = PAT, **headers: str) -> Any:
        browser = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://pps.example.org"}
        return self.web.post(
            path, data=dict(fields), headers={**browser, **headers, **_bearer(who)}, follow_redirects=False
        )

    def choose(self, fields: Mapping[str, str], *files: tuple[str, bytes], who: str = PAT, **headers: str) -> Any:
        """The form of a release with files, as a browser sends it."""
        chosen = [("files", (name, data, "application/octet-stream")) for name, data in files]
        browser = {"Origin": "https://pps.example.org", **headers, **_bearer(who)}
        none = [("files", ("", b"", "application/octet-stream"))]
        return self.web.post("/provider/submit", data=dict(fields), files=chosen or none, headers=browser)

    def send(self, document: Mapping[str, Any], who: str = PAT, *, submit: bool = True) -> Any:
        return self.post("/api/v1/provider/releases", {"document": document, "submit": submit}, who)

    def seen(self, release: str = "glite-WN/3.1.24", who: str = PAT) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/v1/provider/releases/{release}", who).json()
        return found

    def sent(self, document: Mapping[str, Any], *, submit: bool = True) -> dict[str, Any]:
        """Send it, and wait for what was found."""
        answer = self.send(document, submit=submit)
        assert answer.status_code == 201, answer.text
        return self.ended(answer.json()["release"])

    def entered_by_the_sweep(self) -> int:
        return enter_waiting(FrontOffice.of(self.services, self.clock, "pps:sweep"))

    def ended(self, release: str = "glite-WN/3.1.24") -> dict[str, Any]:
        """A release whose look has ended, and that has been entered where it is accepted."""
        waits = {"looking"} if self.tracker.away else {"looking", "accepted"}
        return until(lambda: found if (found := self.seen(release))["state"] not in waits else None)


def until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while (value := found()) is None:
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)
    return value


def _bearer(who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {who}"} if who else {}


def record_refused_release(facts: Any, text: str = "") -> None:
    """On record: a release with a fault that is open and one that is waived; `text` stands wherever people write."""
    found = [
        fault("not-in-notes", "X_HOST", f"The release notes do not name X_HOST. {text}", "Say what it is for."),
        fault("no-notes", "", "It has no release notes.", "Write some."),
        warning("no-changelog", "client-1.0-1.all", "client-1.0-1.all has no changelog.", "Add one."),
        hint("lint", "client-1.0-1.all", f"lintian: {text}"),
    ]
    document = {
        "title": text or "Clients",
        "repository": {"kind": "apt", "url": "https://repository.example.org", "suite": "stable", "components": ["x"]},
        "platforms": ["debian12-amd64"],
        "packages": [{"name": "client", "version": "1.0-1", "arch": "all"}],
        "externals": [],
        "cves": ["CVE-2026-12345"],
        "vex": ["CVE-2026-12346 under_investigation"],
        "depends_on": [4711],
        "bugs": [{"number": 101, "title": text or "No IPv6", "severity": "major", "originator": "ada@example.org"}],
        "test_cases": [{"name": "renew", "title": text or "A proxy is renewed", "how": ""}],
        "release_notes": text,
        "special_configuration": text,
    }
    offered = {"document": document, "submit": True, "provider": "Grid Europe", "user": "pat"}
    said = {"finding": found[1].key, "reason": f"It is in the mail. {text}", "role": "Release Manager", "user": "rita"}

    def fact(kind: FactKind, occasion: str, payload: Mapping[str, Any]) -> Fact:
        return Fact(RECORD, kind, "glite-WN/3.1.24", occasion, NOW, "user pat", payload)

    opening = Fact(RECORD, FactKind.ROLLOUT_OPENED, "", "", NOW, "pps", {"path": RECORD, "patch": 0})
    facts.open(RolloutPath.RELEASES, 0, opening, RECORD)
    facts.record(
        fact(FactKind.RELEASE_OFFERED, "1", offered),
        fact(FactKind.RELEASE_LOOKED_AT, "1", {"findings": [as_row(f) for f in found], "in_all": len(found) + 1}),
        fact(FactKind.FINDING_WAIVED, found[1].key, said),
    )
