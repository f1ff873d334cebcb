"""SD 4.1.1 with one more site, which verifies itself what it installs: two people sign before it takes anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import requests
import yaml

from pps.domain.base.errors import ServiceError
from pps.domain.packages.patch import Patch
from pps.domain.record.facts import Fact, FactKind
from pps.domain.record.rollouts import Rollout
from pps.domain.record.site_states import SiteState
from pps.domain.sites.site import Scheme
from pps.domain.trust.signed import envelope
from pps.sandbox.airflow.installation import Installation
from pps.sandbox.demo.bc import BcDemo
from pps.sandbox.demo.play import DemoSummary, Table, Tell
from pps.sandbox.kit.machine import KitMachine, ReachedSite, running, running_as_one_account, why_no_accounts
from pps.sandbox.kit.previews import artefacts_in
from pps.sandbox.kit.site import PLATFORM, People
from pps.sandbox.kit.ssh import public_key

SITE = "KIT-SITE"
#: User -> name in the list of keys, and the task that asks for the signature.
_SIGNERS = {
    "release-manager": ("rm", "signatures.sign_as_release_manager"),
    "pps-coordinator": ("coordinator", "signatures.sign_as_coordinator"),
}


class SignedDemo(BcDemo):
    """Release Manager and PPS Coordinator read and sign; the site with a kit follows them, all others follow us."""

    longest_s: ClassVar[float] = 420.0

    def __init__(self, installation: Installation, tell: Tell, on_fact: Callable[[Fact], None]) -> None:
        super().__init__(installation, tell, on_fact)
        self._site: ReachedSite | None = None
        self._keys = Path()
        self._rows: list[dict[str, str]] = []

    def run(self, patch: Patch) -> DemoSummary:
        """See `Demo`; the site with a kit joins before, and is gone afterwards."""
        why = why_no_accounts()
        with self._joined(patch.metapackage, one_account=bool(why)) as site:
            self._site = site
            kind = "one account" if why else "three accounts"
            self.tell(f"{SITE} joins: with a kit, {kind}, an sshd on port {site.port}; its root has the list of keys")
            summary = super().run(patch)
        if why:
            summary.remarks.append(f"{SITE} has one account for all ({why}): what probes could do there is not shown.")
        return summary

    # --- the site and its people ---

    @contextmanager
    def _joined(self, product: str, *, one_account: bool) -> Iterator[ReachedSite]:
        if self.platform != PLATFORM:
            raise ServiceError(SITE, f"is {PLATFORM}, and the grid is {self.platform}.", "Try it on such a machine.")
        config = self.installation.grid_folder / "config"
        with tempfile.TemporaryDirectory(prefix="pps-signed-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            folder.chmod(0o755)  # the site's accounts are others
            people, store = People(folder / "keys", Scheme.SSH), artefacts_in(folder / "artefacts")
            controller = Path(yaml.safe_load((config / "sites.yaml").read_text())["ssh_key_file"])
            begin = running_as_one_account if one_account else running
            with begin(folder / "site", people, store, product, controller) as site:
                if isinstance(site, KitMachine):
                    site.inside("sh", "/srv/pps-kit/bin/pps-kit-install", check=False)
                    site.inside("chown", "ppskeep", "/srv/tags/ce.example.org/ops")
                self._keys = config / "root.1"
                keys = people.signed(people.root().text, "root-1", "root-2", namespace="pps-root")
                self._keys.write_text(envelope([keys]))
                self._write_registry(config / "sites.yaml", site)
                self.__dict__.pop("services", None)  # they have read the registry as it was
                yield site

    @staticmethod
    def _write_registry(registry: Path, site: ReachedSite) -> None:
        values: dict[str, Any] = yaml.safe_load(registry.read_text())
        entry = site.site
        kits = {"ssh": {"keys": ["root.1"], "current_key_file": str(site.people.key_file("online"))}}
        joins = {
            "name": SITE,
            "roc": values["sites"][0]["roc"],
            "platform": str(PLATFORM),
            "kit": "ssh",
            "ssh": {
                "host": "127.0.0.1",
                "port": site.port,
                "user": site.user,
                "host_key": public_key(site.folder / "host_key"),
            },
            "preview_root": entry.preview_root,
            "production_root": entry.production_root,
            "profile_d": entry.profile_d,
            "tag_dir": entry.tag_dir,
            "subcluster": entry.subcluster,
            "contact": "kit-site-grid@example.org",
        }
        registry.write_text(yaml.safe_dump({**values, "kits": kits, "sites": [*values["sites"], joins]}))

    def _play(self, record: Rollout, patch: Patch) -> None:
        super()._play(record, patch)
        dag, _, run = str(record.opened["run"]).partition("/") if record.has(FactKind.ROLLOUT_OPENED) else ("", "", "")
        if not run or len(self._rows) == len(_SIGNERS):
            return
        asked = {q.task for q in self.people.questions(dag, run)}
        for user, (name, task) in _SIGNERS.items():
            if task in asked and user not in {row["user"] for row in self._rows}:
                self._signs(user, name, record)

    def _signs(self, user: str, name: str, record: Rollout) -> None:
        """What this person types, on a machine of their own: nothing of the installation's is in its environment."""
        airflow = self.installation.airflow
        if self._site is None or airflow is None:
            return
        early = [f.subject for f in record.facts if f.kind is FactKind.PREVIEW_INSTALLED]
        key = self._site.people.key_file(name)
        words = ["sign", record.name, "--as", name, "--key", str(key), "--keys", str(self._keys), "--yes"]
        done = subprocess.run(
            [str(Path(sys.executable).with_name("pps")), *words, "--json"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self._site.people.folder),
                "PPS_AIRFLOW_URL": self.installation.url,
                "PPS_AIRFLOW_USER": user,
                "PPS_AIRFLOW_PASSWORD": airflow.password(user),
            },
            cwd=self._site.people.folder, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        taken = done.returncode == 0
        said = str(json.loads(done.stdout)["said"]) if taken else " ".join(done.stderr.split())[-300:]
        self.tell(f"{user} types: pps {' '.join(words[:4])} ...: {said}")
        self._rows.append(
            {
                "user": user,
                "as": name,
                "installed before": ", ".join(early),
                "said": said,
                "taken": "yes" if taken else "no",
            }
        )

    # --- what came of it ---

    def sites_there(self) -> dict[str, Mapping[str, Any]]:
        """See `Demo`; of the site with a kit, its own disk."""
        previews = sorted(path.name for path in self._on_disk("previews").iterdir() if not path.name.startswith("."))
        return {**super().sites_there(), SITE: {"name": SITE, "faults": [], "previews": previews}}

    def tags_seen(self) -> dict[str, frozenset[str]]:
        """See `Demo`; nobody publishes the list of the site with a kit, so it is read itself."""
        files = self._on_disk("tags").rglob("*.list")
        return {**super().tags_seen(), SITE: frozenset(word for file in files for word in file.read_text().split())}

    def _on_disk(self, name: str) -> Path:
        if isinstance(self._site, KitMachine):
            return Path(f"/proc/{self._site.pid}/root/srv") / name
        if self._site is None:
            raise ServiceError(SITE, "has not joined.")
        return self._site.folder / name

    def _is_well(self, site: str, state: SiteState) -> bool:
        return state is SiteState.TAGGED if site == SITE else super()._is_well(site, state)

    def _look(self, record: Rollout, state: str, patch: Patch) -> DemoSummary:
        summary = super()._look(record, state, patch)
        columns = {"user": "who", "as": "in the list of keys", "said": "what came back", "taken": "taken"}
        summary.tables.append(Table("signatures", "Who signed what goes to the site with a kit", columns, self._rows))
        for row in self._rows:
            summary.expect(row["taken"] == "yes", f"The signature of {row['user']} was not taken: {row['said']}")
            early = row["installed before"]
            summary.expect(not early, f"Before {row['user']} had signed, the preview was at: {early}")
        preview = str(record.need(FactKind.TARBALL_BUILT, "Build it first.").payload["name"])
        held = preview in self.sites_there()[SITE]["previews"]
        summary.expect(held and str(record.tag) in self.tags_seen()[SITE], f"{SITE} does not announce the preview.")
        log = requests.get(f"{self.installation.url}/pps/log.json", timeout=20).json()["statements"]
        signers = [sorted(it["signatures"]["ssh"]) for it in log if preview in it["document"]]
        summary.expect(
            signers == [sorted(name for name, _ in _SIGNERS.values())],
            f"The public log of statements should name both people for {preview}; it has {signers}.",
        )
        summary.done += f" {SITE} installed it after two people had signed, and anybody can check that."
        return summary
