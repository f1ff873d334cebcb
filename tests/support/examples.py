"""An example patch, its sites and a rollout that has come a long way; all of it through a real store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from pps.activities.people.notification import Audience, Party
from pps.activities.ports.people import Mail
from pps.activities.ports.record import Facts
from pps.adapters.record.store import FactStore
from pps.adapters.services.templates import JinjaTemplates
from pps.domain.packages.patch import Bug, PackageRef, Patch, PatchState, Repository, RepositoryKind, Severity
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.sites.site import Platform, Site, SshEndpoint

NOW = datetime(2025, 12, 1, 9, 30, tzinfo=UTC)
DUE = NOW + timedelta(days=14)
PLATFORM = Platform("debian12", "amd64")
SECRET = b"an-example-of-a-secret-32-bytes"
TEMPLATES = Path(__file__).parents[2] / "include" / "templates"

AUDIENCE = Audience(
    vos=(Party("atlas", "atlas-grid@example.org"), Party("ops", "ops-vo@example.org")),
    rocs=(Party("SouthWest", "roc-southwest@example.org"), Party("Italy", "roc-italy@example.org")),
    public_url="https://pps.example.org",
    secret=SECRET,
)

PATCH = Patch(
    number=4711,
    title="Grid clients: proxy renewal and faster copies",
    state=PatchState.IN_CERTIFICATION,
    metapackage="glite-WN",
    version="3.1.23",
    platforms=(PLATFORM, Platform("debian12", "arm64")),
    repository=Repository(RepositoryKind.APT, "http://repository.example.org/debian", "bookworm", ("main",)),
    packages=(PackageRef("voms-clients", "2.1.0~rc3-3", "amd64"), PackageRef("gfal2-util-scripts", "1.8.0-2", "all")),
    externals=(PackageRef("libgfal2-2", "2.21.3-1", "amd64"),),
    bugs=(
        Bug(
            31415, "voms-proxy-init ignores --valid when the AC is shorter", Severity.MAJOR, "user-support@example.org"
        ),
        Bug(27182, "gfal-copy waits 30 s after the last byte", Severity.NORMAL, "data-team@example.org"),
        Bug(16180, "Manual page of voms-proxy-info names a wrong option", Severity.MINOR, "User-Support@example.org"),
    ),
    release_notes=(
        "A proxy is now renewed with the validity that was asked for.\nCopies end as soon as the checksum is known."
    ),
    basic_certification_passed=True,
    install_tested=(PLATFORM,),
)


def site(name: str, roc: str = "SouthWest", timezone: str = "UTC") -> Site:
    """A production site that takes previews."""
    return Site(
        name=name,
        roc=roc,
        platform=PLATFORM,
        ssh=SshEndpoint("ui.example.org", 22, "ppsadm", "ssh-ed25519 AAAA"),
        preview_root="/opt/pps",
        production_root="/opt/glite",
        profile_d="/etc/profile.d",
        tag_dir="/opt/glite/var/info",
        subcluster="ce.example.org",
        contact=f"grid-{name.lower()}@example.org",
        timezone=timezone,
    )


SITES = {
    s.name: s
    for s in (
        site("PIC", timezone="Europe/Madrid"),
        site("IFIC-LCG2"),
        site("LIP-Lisbon"),
        site("INFN-BARI", "Italy"),
        site("INFN-T1", "Italy", "Europe/Rome"),
        site("CNAF-PPS", "Italy"),
    )
}


def templates() -> JinjaTemplates:
    """The product's own templates."""
    return JinjaTemplates(TEMPLATES)


class RememberingStore(FactStore):
    """A store whose tests want to read what was sent: the real one forgets a mail's text when it has left."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.queued: dict[str, Mail] = {}

    def record(self, *facts: Fact, mails: Sequence[Mail] = ()) -> tuple[Fact, ...]:
        for mail in (one for given in mails for one in given.one_each()):
            self.queued.setdefault(mail.key, mail)
        return super().record(*facts, mails=mails)

    def outbox(self, rollout: str) -> tuple[tuple[Mail, datetime | None, str], ...]:
        return tuple((self.queued.get(mail.key, mail), *rest) for mail, *rest in super().outbox(rollout))


def sqlite_store(folder: Path | None = None) -> FactStore:
    """A store in memory, for unit tests; in a folder, if several threads are to use it."""
    if folder:
        (folder / "facts.db").write_bytes(_migrated())
        return RememberingStore(f"sqlite:///{folder}/facts.db")
    store = RememberingStore("sqlite://")
    _connection(store).deserialize(_migrated())
    return store


@cache
def _migrated() -> bytes:
    """An empty database with the newest schema: the migrations run once for all tests."""
    store = FactStore("sqlite://")
    store.upgrade()
    return _connection(store).serialize()


def _connection(store: FactStore) -> sqlite3.Connection:
    with store._transaction() as connection:
        raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def opened(facts: Facts, patch: Patch = PATCH, at: datetime = NOW, run: str = "bc_client_update/first") -> Rollout:
    """A rollout that has just been opened."""
    name = facts.next_name("bc-client", patch.number, run)
    payload = {
        "path": "bc-client",
        "patch": patch.number,
        "title": patch.title,
        "metapackage": patch.metapackage,
        "version": patch.version,
        "platforms": [str(p) for p in patch.platforms],
        "tag_vo": "ops",
        "tag": f"VO-ops-PPS-{patch.metapackage.upper()}-{patch.version}",
        "run": run,
    }
    facts.open(
        "bc-client", patch.number, Fact(name, FactKind.ROLLOUT_OPENED, "", "", at, "release-manager", payload), run
    )
    return facts.rollout(name)


def previewed(facts: Facts, patch: Patch = PATCH, at: datetime = NOW, run: str = "bc_client_update/first") -> Rollout:
    """A rollout whose preview three sites announce; one failed its probes, one is unreachable, one left out."""
    name = opened(facts, patch, at, run).name

    def fact(kind: FactKind, subject: str = "", minutes: int = 0, **payload: object) -> Fact:
        occasion = "canary" if subject else ""
        return Fact(name, kind, subject, occasion, at + timedelta(minutes=minutes), "distribution", payload)

    facts.record(
        fact(FactKind.TARBALL_BUILT, name="glite-WN-3.1.23-PPS-0123456789ab", digest="0" * 64, files={}, size=1),
        fact(
            FactKind.PLAN_AGREED,
            batches={"canary": ["PIC", "INFN-T1"], "fleet-1": ["IFIC-LCG2", "LIP-Lisbon", "INFN-BARI"]},
        ),
        fact(FactKind.SITE_LEFT_OUT, "CNAF-PPS", reason="CNAF-PPS is not a production site (PPS)."),
        fact(FactKind.GATE_PASSED),
    )
    for number, name_of_site in enumerate(("PIC", "INFN-T1", "IFIC-LCG2")):
        facts.record(
            fact(FactKind.PREVIEW_INSTALLED, name_of_site, 3 + number),
            fact(FactKind.PROBES_PASSED, name_of_site, 4 + number),
            fact(FactKind.TAG_ADDED, name_of_site, 5 + number),
        )
    facts.record(
        fact(FactKind.TAG_SEEN, "PIC", 9),
        fact(FactKind.TAG_SEEN, "INFN-T1", 10),
        fact(FactKind.PREVIEW_INSTALLED, "LIP-Lisbon", 6),
        fact(
            FactKind.PROBES_FAILED,
            "LIP-Lisbon",
            7,
            reason=(
                "Probe environment is CRITICAL: voms-proxy-info resolves to /usr/bin, not into the preview. "
                "profile.d/zz-local.sh sets PATH last."
            ),
        ),
        fact(
            FactKind.SITE_FAILED,
            "INFN-BARI",
            6,
            reason="INFN-BARI: no answer on port 22 in 20 s.",
            error="SiteUnreachableError",
        ),
    )
    return facts.rollout(name)


def asked(facts: Facts, record: Rollout, due: datetime = DUE) -> Rollout:
    """The same rollout with a date for feedback and both VOs invited."""
    payload = {"due": due.isoformat()}
    facts.record(
        Fact(record.name, FactKind.FEEDBACK_DATE_AGREED, "", "", NOW, "pps", payload),
        *(Fact(record.name, FactKind.VO_INVITED, vo.name, "", NOW, "pps", {}) for vo in AUDIENCE.vos),
    )
    return facts.rollout(record.name)
