"""What is measured of ours: a process that calls `distribute`. Not for people; see `contestants.ours`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.desks import at_desk
from tests.support.previews import FactsInMemory, artefacts_in
from tests.support.sshd import SshServer

from pps.activities.clients.distribution import SiteOutcome, distribute
from pps.activities.ports.packages import Tarball
from pps.activities.ports.sites import SiteLimits
from pps.activities.sites.batch import Door
from pps.adapters.sites.ssh_openssh import OpenSshShell
from pps.config.loader import read_yaml
from pps.config.policy_models import DistributionPolicy
from pps.domain.record.facts import Fact, FactKind
from pps.sandbox.airflow.configuration import DEFAULT_CONFIG

#: A good site may be late where it shares two cores with all the others; bad ones then keep us waiting for as long.
LIMITS = SiteLimits(connect_s=30)


@dataclass
class Ours:
    """A distribution as its task does it, with facts in memory."""

    about: dict[str, Any]
    """as `contestants.ours` writes it"""

    def __post_init__(self) -> None:
        folder, port, host_key, key = self.about["server"]
        self.server = SshServer(Path(folder), int(port), host_key, Path(key))
        self.facts = FactsInMemory()
        numbers = DistributionPolicy.model_validate(read_yaml(DEFAULT_CONFIG / "policies.yaml")["distribution"])
        self.places = replace(numbers.places, at_once=int(self.about["at_once"]))
        self.tarballs = [Tarball(name, digest, files, size, ()) for name, digest, files, size in self.about["tarballs"]]
        for tarball in self.tarballs:
            payload = {"name": tarball.name, "digest": tarball.digest, "files": dict(tarball.files)}
            built = Fact(self.facts.name, FactKind.TARBALL_BUILT, "", tarball.name, datetime.now(UTC), "bench", payload)
            self.facts.record(built)

    async def bring(
        self,
        names: list[str],
        progress: Callable[[SiteOutcome], None] = lambda outcome: None,
        ports: Mapping[str, int] | None = None,
        patience: float | None = None,
    ) -> tuple[SiteOutcome, ...]:
        """Bring the newest tarball to these sites; `ports`: of sites that are elsewhere, `patience` as in `Places`."""
        sites = [self.server.site(name) for name in names]
        targets = {n: self.server.target(n, port=(ports or {}).get(n, self.server.port)) for n in names}
        tarball = self.tarballs[-1]
        return await distribute(
            at_desk(self.facts.rollout(), self.facts, clock=lambda: datetime.now(UTC)),
            tarball,
            sites,
            Door(targets, OpenSshShell(), LIMITS, replace(self.places, patience=patience), "bench", "bench"),
            artefacts=artefacts_in(Path(self.about["store"])),
            cache=Path(self.about["cache"]),
            progress=progress,
        )


def main() -> None:
    ours = Ours(json.loads(Path(sys.argv[1]).read_text()))
    outcomes = asyncio.run(ours.bring(list(ours.about["sites"])))
    if failed := [o.text for o in outcomes if o.error]:
        raise SystemExit("\n".join(failed))
    wanted = "delta" if len(ours.tarballs) > 1 else "full"
    if other := [o.text for o in outcomes if o.word != wanted]:
        raise SystemExit(f"not by {wanted}: {other[:3]}")


if __name__ == "__main__":
    main()
