"""A world in memory for the front ends: facts, tracker, information system, Airflow.

```python
from tests.support.front import front, services  # noqa: F401
```
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import signing
from upath import UPath

from pps.activities.ports.people import Mail
from pps.activities.ports.record import LastSeen, OpenRollout, Waiting
from pps.activities.ports.tracker import Reading, Remark
from pps.adapters.packages.folders import PublishedFolder
from pps.adapters.packages.repository_seal import RepositorySeal
from pps.adapters.services.airflow_rest import AirflowQuestion
from pps.cli.front import Front
from pps.config.loader import Configuration
from pps.config.patch_documents import parse_patch, patch_document
from pps.domain.base.errors import NotYetAllowedError, PatchNotFoundError, RefusedError, ServiceError
from pps.domain.packages.patch import Bug, PackageRef, Patch, PatchState, Repository, RepositoryKind, Severity
from pps.domain.people.feedback import Limit
from pps.domain.record.chain import Link
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.nodes import Node
from pps.domain.record.rollouts import NO_ROLLOUTS, Rollout, dossier_name, rollout_id
from pps.domain.sites.site import Platform
from pps.services import Services
from pps.workflow.paths import STARTS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROLLOUT = "bc-client-4711-1"
SECRET = b"a-secret-of-at-least-thirty-two-bytes"
HOST_KEY = "ssh-ed25519 " + "A" * 68
CONFIG = Path(__file__).resolve().parents[2] / "config"

PATCH = Patch(
    number=4711,
    title="Clients that know IPv6",
    state=PatchState.IN_CERTIFICATION,
    metapackage="glite-WN",
    version="3.1.23",
    platforms=(Platform("debian12", "amd64"),),
    repository=Repository(RepositoryKind.APT, "http://repository.example.org/debian", "bookworm", ("main",)),
    packages=(PackageRef("voms-clients", "2.1.0-1", "amd64"),),
    bugs=(Bug(101, "No IPv6", Severity.MAJOR, "ada@example.org"),),
    basic_certification_passed=True,
)


def site(name: str, **changes: object) -> dict[str, Any]:
    """One entry of sites.yaml."""
    return {
        "name": name,
        "roc": "North",
        "platform": "debian12-amd64",
        "ssh": {"host": f"ui.{name.lower()}.example.org", "user": "ppsadm", "host_key": HOST_KEY},
        "preview_root": "/opt/pps",
        "production_root": "/opt/glite",
        "profile_d": "/etc/profile.d",
        "tag_dir": "/opt/glite/var/info",
        "subcluster": f"ce.{name.lower()}.example.org",
        "contact": f"admin@{name.lower()}.example.org",
        **changes,
    }


def write_config(folder: Path, sites: Iterable[Mapping[str, Any]], **more: object) -> Configuration:
    """A configuration folder with these sites; `more` of sites.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("policies.yaml", "activities.yaml", "tracker.yaml"):
        (folder / file).write_text((CONFIG / file).read_text())
    service = yaml.safe_load((CONFIG / "service.yaml").read_text())
    for place in ("artefact_store", "production_repository", "publication_folder"):
        (folder / place).mkdir(exist_ok=True)
        service[place] = (folder / place).resolve().as_uri()
    service["public_url"] = "https://pps.example.org"
    (folder / "service.yaml").write_text(yaml.safe_dump(service))
    people = {
        "vos": [
            {"name": "atlas", "contact": "atlas@example.org", "representatives": ["ada"]},
            {"name": "cms", "contact": "cms@example.org", "representatives": ["carol"]},
        ],
        "rocs": [{"name": "North", "contact": "roc-north@example.org"}],
    }
    (folder / "people.yaml").write_text(yaml.safe_dump(people))
    (folder / "sites.yaml").write_text(yaml.safe_dump({"sites": list(sites), **more}))
    return Configuration(folder)


class MemoryFacts:
    """The part of the port `Facts` that the front ends use, in memory."""

    def turn(self, at: str) -> AbstractContextManager[None]:
        return nullcontext()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.facts: list[Fact] = []
        self.mails: list[tuple[Mail, datetime | None, str]] = []
        self.register: list[OpenRollout] = []
        self.in_outbox: dict[str, Waiting] = {}
        self.seen: dict[str, LastSeen] = {}
        self.kept_nodes: dict[str, Node] = {}

    def keep_node(self, node: Node, *, at_once: bool = False) -> None:
        self.kept_nodes[node.name] = node

    def nodes(self, since: datetime) -> tuple[Node, ...]:
        return tuple(n for n in self.kept_nodes.values() if n.seen_at > since)

    def rollouts(
        self,
        *,
        open_only: bool = False,
        paths: Collection[str] = (),
        patch: int | None = None,
        closed_after: datetime | None = None,
        as_of: datetime | None = None,
    ) -> tuple[OpenRollout, ...]:
        rows = [r for r in reversed(self.register) if patch in (None, r.patch)]
        rows = [r for r in rows if (r.path in paths if paths else r.path not in NO_ROLLOUTS)]
        if as_of is not None:
            later = [replace(r, closed_at=None) if r.closed_at and r.closed_at > as_of else r for r in rows]
            rows = [r for r in later if r.opened_at <= as_of]
        late = (r for r in rows if closed_after is None or r.closed_at is None or r.closed_at > closed_after)
        return tuple(r for r in late if not (open_only and r.closed_at))

    def marks(self, paths: Collection[str], closed_after: datetime) -> list[tuple[OpenRollout, int, int]]:
        rows = self.rollouts(paths=paths, closed_after=closed_after)
        numbers = self.newest([name for r in rows for name in (r.name, dossier_name(r.patch))])
        return [(r, numbers.get(r.name, 0), numbers.get(dossier_name(r.patch), 0)) for r in rows]

    def chains(self, rollout: str = "") -> Iterator[tuple[str, Iterator[Link]]]:
        yield from ()

    address = "memory"

    def turned_away(self, rollout: str) -> Mapping[Limit, int]:
        return {}

    def heads(self) -> dict[str, str]:
        return {}

    def clock(self) -> datetime:
        return NOW

    def too_many_rights(self) -> tuple[str, ...]:
        return ()

    def with_payload(self, kind: FactKind, key: str, values: Collection[str]) -> tuple[Fact, ...]:
        return tuple(f for f in self.facts if f.kind is kind and f.payload.get(key) in values)

    def subjects(self, rollout: str, kind: FactKind) -> tuple[str, ...]:
        return tuple(sorted({f.subject for f in self.facts if f.rollout == rollout and f.kind is kind}))

    def has(self, rollout: str, kind: FactKind) -> bool:
        return any(f.rollout == rollout and f.kind is kind for f in self.facts)

    def next_name(self, path: str, patch: int, run: str = "") -> str:
        of_patch = [r for r in self.register if r.patch == patch]
        return next((r.name for r in of_patch if r.closed_at is None), rollout_id(path, patch, len(of_patch) + 1))

    def rollout(self, name: str) -> Rollout:
        with self._lock:
            facts = tuple(f for f in self.facts if f.rollout == name)
        if not facts:
            raise NotYetAllowedError(f"rollout {name!r}", "is not on record.", "Names are listed by: pps rollout list.")
        return Rollout(name, facts)

    def dossier(self, patch: int) -> Rollout:
        with self._lock:
            return Rollout(dossier_name(patch), tuple(f for f in self.facts if f.rollout == dossier_name(patch)))

    def newest(self, names: Collection[str]) -> dict[str, int]:
        with self._lock:
            counted = {name: sum(f.rollout == name for f in self.facts) for name in names}
        return {name: number for name, number in counted.items() if number}

    def standing(self, names: Collection[str], as_of: datetime | None = None) -> Mapping[str, Rollout]:
        with self._lock:
            facts = [f for f in self.facts if as_of is None or f.at <= as_of]
            return {name: Rollout(name, tuple(f for f in facts if f.rollout == name)) for name in names}

    def about(self, names: Collection[str], subject: str) -> Mapping[str, Rollout]:
        with self._lock:
            facts = [f for f in self.facts if f.subject in ("", subject)]
            return {name: Rollout(name, tuple(f for f in facts if f.rollout == name)) for name in names}

    def open(self, path: str, patch: int, opening: Fact, run: str) -> bool:
        if any(r.name == opening.rollout for r in self.register):
            return False
        self.register.append(OpenRollout(opening.rollout, path, patch, opening.at, None))
        return bool(self.record(opening))

    def record_in_dossier(self, patch: int, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        assert all(f.rollout == dossier_name(patch) for f in facts)
        return self.record(*facts, mails=mails)

    def record(self, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        new = []
        with self._lock:
            known = {(f.rollout, f.kind, f.subject, f.occasion) for f in self.facts}
            for fact in facts:
                if (identity := (fact.rollout, fact.kind, fact.subject, fact.occasion)) not in known:
                    known.add(identity)
                    new.append(fact)
            self.facts += new
            self.mails += [(mail, None, "") for mail in mails]
        return tuple(new)

    def facts_of_kind(
        self, kinds: Collection[FactKind], since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Fact, ...]:
        return tuple(
            f for f in self.facts if f.kind in kinds and (not since or f.at >= since) and (not until or f.at < until)
        )

    def close(self, closing: Fact) -> None:
        self.record(closing)
        self.register = [replace(r, closed_at=closing.at) if r.name == closing.rollout else r for r in self.register]

    def unsent(self, batch: int, now: datetime, channel: str = "") -> tuple[Any, ...]:
        return ()  # no mail leaves this world

    def waiting_channels(self, now: datetime) -> tuple[str, ...]:
        return ()

    def is_current(self) -> bool:
        return True

    def waiting(self, now: datetime) -> Mapping[str, Waiting]:
        return dict(self.in_outbox)

    def saw(self, what: str, now: datetime) -> None:
        self.seen[what] = LastSeen(now, None)

    def missed(self, what: str, now: datetime) -> None:
        before = self.seen.get(what, LastSeen(None, None))
        self.seen[what] = LastSeen(before.at, before.missed_since or now)

    def last_seen(self) -> Mapping[str, LastSeen]:
        return dict(self.seen)

    def outbox(self, rollout: str) -> tuple[tuple[Mail, datetime | None, str], ...]:
        return tuple(m for m in self.mails if m[0].key.startswith(f"{rollout}/"))


class MemoryTracker:
    def __init__(self, *patches: Patch) -> None:
        self.known = {p.number: p for p in patches}
        self.submitted: dict[str, int] = {}
        self.remarks: list[tuple[int, str]] = []
        self.moves: list[tuple[int, str]] = []

    def patch(self, number: int) -> Patch:
        if number not in self.known:
            raise PatchNotFoundError(f"patch {number}", "is not in the tracker.", "List them: pps patches list")
        return self.known[number]

    def patches(self, state: PatchState | None = None) -> tuple[Patch, ...]:
        return tuple(p for _, p in sorted(self.known.items(), reverse=True) if state in (None, p.state))

    def readings(self, number: int | None = None) -> tuple[Reading, ...]:
        wanted = self.patches() if number is None else (self.patch(number),)
        return tuple(Reading(p.number, p.title, self.page(p.number), p) for p in wanted)

    def page(self, number: int) -> str:
        return f"https://tracker.example.org/patch?:action=number&number={number}"

    def set_state(self, number: int, state: PatchState, comment: str, *, only_from: PatchState | None = None) -> None:
        was = self.patch(number)
        if was.state is state:
            return
        if only_from not in (None, was.state):
            raise ServiceError(f"patch {number}", "somebody else changed it meanwhile.")
        self.known[number] = replace(was, state=state)
        self.moves.append((number, state.value))
        if comment:
            self.comment(number, comment)

    def comment(self, number: int, text: str) -> None:
        if (number, text) not in self.remarks:
            self.remarks.append((number, text))

    def comments(self, number: int) -> tuple[Remark, ...]:
        return tuple(Remark("", text) for of, text in self.remarks if of == number)

    def enter(self, patch: Patch, *, submission: str = "") -> int:
        number = self.submitted.get(submission) if submission else patch.number
        if number is None:
            number = self.submitted[submission] = max(self.known, default=1000) + 1
        if number in self.known and not submission and self.known[number] != patch:
            raise RefusedError(f"patch {number}", ("It exists with other content.",))
        self.known.setdefault(number, replace(patch, number=number))
        return number

    def edit(self, number: int, fields: Mapping[str, Any]) -> None:
        document = patch_document(self.patch(number)) | dict(fields)
        self.known[number] = parse_patch(document, unknown="forbid")


class MemoryBdii:
    def __init__(self) -> None:
        self.published: dict[str, frozenset[str]] = {}

    def tags_of(self, subclusters: Iterable[str]) -> Mapping[str, frozenset[str]]:
        return {name: self.published[name] for name in subclusters if name in self.published}


@dataclass
class Answer:
    """As much of requests.Response as is looked at."""

    text: str
    status_code: int = 200

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class MemoryAirflow:
    started: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    state: str = "running"
    components: dict[str, Any] = field(
        default_factory=lambda: {
            n: {"status": "healthy"} for n in ("metadatabase", "scheduler", "triggerer", "dag_processor")
        }
    )
    paused: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(STARTS, False))

    settings: dict[str, Any] = field(
        default_factory=lambda: {
            "executor": "pps.orchestration.executor.SafeLocalExecutor",
            "secrets_backend": "pps.orchestration.secrets.GridSecretsBackend",
            "worker_secrets_backend": "pps.orchestration.secrets.GridSecretsBackend",
            "execution_api": "",
            "runs_a_loop": 2,
            "base_url": "https://pps.example.org",
            "user": "airflow",
            "uid": os.geteuid(),
            "groups": [],
            "at": NOW.isoformat(),
        }
    )

    def trigger(self, dag: str, conf: Mapping[str, Any]) -> str:
        self.started.append((dag, conf))
        return f"rollout__{conf.get('patch') or conf['rollout']}"

    posted: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    asked: list[AirflowQuestion] = field(default_factory=list)
    answered: list[tuple[AirflowQuestion, list[str], Mapping[str, Any] | None]] = field(default_factory=list)

    def run_state(self, dag: str, run: str) -> str:
        return self.state

    def questions(self, dag: str = "~", run: str = "~") -> list[AirflowQuestion]:
        return self.asked

    def answer(
        self, question: AirflowQuestion, options: Sequence[str], params: Mapping[str, Any] | None = None
    ) -> datetime:
        self.answered.append((question, list(options), params))
        return NOW

    def dags(self) -> Mapping[str, bool]:
        return self.paused

    def request(self, method: str, path: str, **arguments: Any) -> Answer:
        said = {
            "api/v2/monitor/health": self.components,
            "pps/api/v1/settings": self.settings,
            "pps/api/v1/questions": {"questions": []},
            "pps/api/v1/verdict": {"standing": "taken", "reasons": []},
        }
        if method == "POST":
            self.posted.append((path, arguments["json"]))
            return Answer(json.dumps({"new": True}))
        return Answer(json.dumps(said[path]))


@dataclass(frozen=True)
class MemoryServices(Services):
    """Services whose adapters are given; anything else is composed as in production."""

    given: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.given.items():
            self.__dict__[name] = value  # where cached_property would have put it

    @cached_property
    def seal(self) -> RepositorySeal:
        # these tests have a clock of their own, and gpg has not: what they sign must be good by both
        made = signing.seal(self.config.folder, now=lambda: NOW - timedelta(days=365))
        return replace(made, valid_for=timedelta(days=3650))

    def store_is_current(self) -> bool:
        return True

    def upgrade_store(self) -> None:
        return None


def happened(kind: FactKind, subject: str = "", occasion: str = "", after: int = 0, **payload: Any) -> Fact:
    """A fact of our rollout, `after` minutes past NOW."""
    return Fact(ROLLOUT, kind, subject, occasion, NOW + timedelta(minutes=after), "airflow", payload)


def a_preview_that_is_out(facts: MemoryFacts) -> None:
    """Two sites have the preview, one has failed; atlas and cms have been asked."""
    facts.register.append(OpenRollout(ROLLOUT, "bc-client", 4711, NOW, None))
    tag = "VO-ops-PPS-GLITE-WN-3.1.23"
    facts.record(
        happened(
            FactKind.ROLLOUT_OPENED,
            path="bc-client",
            patch=4711,
            tag=tag,
            metapackage="glite-WN",
            version="3.1.23",
            title="IPv6",
            platforms=["debian12-amd64"],
        ),
        happened(FactKind.PATCH_ADMITTED),
        happened(FactKind.PLAN_AGREED, batches={"canary": ["PIC"], "fleet-1": ["CNAF", "SARA"]}),
        happened(FactKind.TAG_ADDED, "PIC", after=1),
        happened(FactKind.TAG_SEEN, "PIC", after=2),
        happened(FactKind.GATE_PASSED, after=3),
        happened(FactKind.TAG_SEEN, "CNAF", after=4),
        happened(FactKind.SITE_FAILED, "SARA", after=5, reason="The disk quota is used up."),
        happened(FactKind.ORIGINATOR_INVITED, "ada@example.org", after=6),
        happened(FactKind.VO_INVITED, "atlas", after=6),
        happened(FactKind.VO_INVITED, "cms", after=6),
        happened(FactKind.FEEDBACK_DATE_AGREED, due=(NOW + timedelta(days=14)).isoformat()),
    )


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryServices:
    monkeypatch.setenv("COLUMNS", "80")
    config = write_config(
        tmp_path / "config", [site("PIC", canary=True), site("CNAF"), site("SARA", accepts_previews=False)]
    )
    given = {
        "facts": MemoryFacts(),
        "tracker": MemoryTracker(PATCH, replace(PATCH, number=4712, state=PatchState.REJECTED, new_variables=("X",))),
        "information_system": MemoryBdii(),
        "feedback_secret": SECRET,
        "publication_folder": PublishedFolder(UPath(config.folder / "publication_folder")),
    }
    return MemoryServices(config, lambda _: None, given)


@pytest.fixture
def front(services: MemoryServices) -> Front:
    made = Front(services, now=lambda: NOW, pause=lambda _: None)
    made.__dict__["airflow"] = MemoryAirflow()
    return made
