"""A site with a kit takes what two people have signed, and gives it back when they sign that: in a real Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.airflow_waits import labels_of, wait_for_run
from tests.support.front import site
from tests.support.previews import artefacts_in
from tests.support.whole import BC, Grid, far, grid  # noqa: F401
from typer.testing import CliRunner

from pps.cli.front import Front
from pps.cli.main import app
from pps.domain.record.facts import FactKind
from pps.domain.record.site_states import SiteState
from pps.domain.sites.site import Scheme
from pps.domain.trust.signed import envelope
from pps.sandbox.kit import machine as kit_machine
from pps.sandbox.kit.machine import KitMachine
from pps.sandbox.kit.site import PLATFORM, People

pytestmark = [pytest.mark.e2e, pytest.mark.needs("openssh", "openssl", "sudo", "root", "linux")]
WITHDRAW = "withdraw_rollout"


@dataclass
class SignedGrid:
    """The grid, in which one more site has a kit."""

    grid: Grid
    people: People
    machine: KitMachine

    def sign(self, user: str, name: str, rollout: str, *more: str) -> Any:
        """What this user types at a terminal."""
        here = Front(self.grid.services)
        here.__dict__["airflow"] = self.grid.as_user(user)
        keys = self.grid.services.config.folder / "root.1"
        words = ["sign", rollout, "--as", name, "--key", str(self.people.key_file(name)), "--keys", str(keys), *more]
        return CliRunner().invoke(app, words, obj=here)

    def waiting(self, user: str) -> list[str]:
        """Titles of this user's own tasks."""
        found = self.grid.as_user(user).request("GET", "pps/api/v1/questions").json()["questions"]
        return [asked["title"] for asked in found if asked["mine"]]

    def held(self) -> set[str]:
        """Previews on the site's disk."""
        return set(self.machine.inside("ls", "/srv/previews").split())

    def tags(self) -> str:
        return self.machine.inside("sh", "-c", "cat /srv/tags/ce.example.org/ops/ops.list 2>/dev/null || true")


@pytest.fixture
def signed(grid: Grid, tmp_path: Path) -> Iterator[SignedGrid]:
    tmp_path.chmod(0o755)
    people = People(tmp_path / "keys", Scheme.SSH)
    folder = grid.services.config.folder
    registry = folder / "sites.yaml"
    before = registry.read_text()
    values = yaml.safe_load(before)
    controller = Path(values["ssh_key_file"])
    store = artefacts_in(tmp_path / "artefacts")
    with kit_machine.running(tmp_path / "site", people, store, "glite-WN", controller) as machine:
        machine.inside("sh", "/srv/pps-kit/bin/pps-kit-install", check=False)
        machine.inside("chown", "ppskeep", "/srv/tags/ce.example.org/ops")
        host_key = " ".join((machine.folder / "host_key.pub").read_text().split()[:2])
        entry = site(
            "SITE-K",
            roc=values["sites"][0]["roc"],
            kit="ssh",
            ssh={"host": "127.0.0.1", "port": machine.port, "user": "pps", "host_key": host_key},
            preview_root="/srv/previews",
            production_root="/srv/production",
            profile_d="/srv/profile.d",
            tag_dir="/srv/tags",
            subcluster="ce.example.org",
        )
        assert entry["platform"] == str(PLATFORM) == grid.installation.grid["made_with"]["platform"]
        keys = people.signed(people.root().text, "root-1", "root-2", namespace="pps-root")
        (folder / "root.1").write_text(envelope([keys]))
        kits = {"ssh": {"keys": ["root.1"], "current_key_file": str(people.key_file("online"))}}
        registry.write_text(yaml.safe_dump({**values, "kits": kits, "sites": [*values["sites"], entry]}))
        grid.services = grid.installation.services()
        try:
            yield SignedGrid(grid, people, machine)
        finally:
            registry.write_text(before)
            grid.services = grid.installation.services()


def test_a_rollout_is_signed_by_two_people_before_a_site_with_a_kit_takes_it_and_its_withdrawal_as_well(
    signed: SignedGrid,
) -> None:
    grid = signed.grid
    patch = grid.offers(4781, "3.9.1")
    name = run = grid.start(patch.number, feedback_until=far())
    for user in ("release-manager", "pps-coordinator"):
        grid.waits_for(
            f"question to the {user}", lambda user=user: any("please sign" in t for t in signed.waiting(user))
        )
    assert not grid.rollout(name).has(FactKind.PREVIEW_INSTALLED), "nothing goes anywhere before it is signed"

    stranger = signed.sign("emt", "rm", name, "--yes")
    assert stranger.exit_code != 0
    read = signed.sign("release-manager", "rm", name, "--dry-run")
    assert (read.exit_code, "SITE-K (by the registry)" in read.output) == (0, True), read.output
    for user, who in (("release-manager", "rm"), ("pps-coordinator", "coordinator")):
        done = signed.sign(user, who, name, "--yes")
        assert (done.exit_code, "The answer was taken." in done.output) == (0, True), done.output
    grid.waits_for_fact(name, FactKind.BROADCAST_QUEUED)
    # nobody publishes the tags of this one site, so it is announced, and not seen
    assert grid.states(name)["SITE-K"] is SiteState.TAGGED
    preview = grid.rollout(name).need(FactKind.TARBALL_BUILT, "").payload["name"]
    assert preview in signed.held()
    assert str(grid.rollout(name).tag) in signed.tags()
    log = grid.client.request("GET", "pps/log.json").json()["statements"]
    assert [sorted(entry["signatures"]["ssh"]) for entry in log if preview in entry["document"]] == [
        ["coordinator", "rm"]
    ]
    shown = grid.client.request("GET", "pps/map?view=table").text
    assert shown.count("unverified") >= 12 - 1, "all others trust us"

    asked = grid.client.trigger(WITHDRAW, {"rollout": name, "reason": "It breaks our batch system."})
    grid.waits_for("the end of the withdrawal elsewhere", lambda: grid.rollout(name).is_closed)
    assert str(grid.rollout(name).tag) not in signed.tags(), "tags go without a signature"
    assert preview in signed.held()
    for user, who in (("release-manager", "rm"), ("pps-coordinator", "coordinator")):
        grid.waits_for(
            f"task of the {user}", lambda user=user: any("the withdrawal" in t for t in signed.waiting(user))
        )
        done = signed.sign(user, who, name, "--yes")
        assert (done.exit_code, "The answer was taken." in done.output) == (0, True), done.output
    assert wait_for_run(grid.client, WITHDRAW, asked, 300) == "success"
    assert preview not in signed.held()
    assert grid.states(name)["SITE-K"] is SiteState.WITHDRAWN
    assert labels_of(grid.client, BC, run, "fleet.distribute_client")
