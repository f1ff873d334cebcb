"""`pps doctor`'s look at a site, through a real sshd and both SSH adapters."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.sshd import SshServer, free_port, login_through, running_sshd, sshd  # noqa: F401

from pps.activities.ports.sites import SiteLimits, SiteShell
from pps.activities.sites.diagnosis import Health, diagnose_sites
from pps.adapters.sites.ssh_asyncssh import AsyncsshShell
from pps.adapters.sites.ssh_openssh import OpenSshShell

LIMITS = SiteLimits(connect_s=10, silence_s=10, total_s=30)


@pytest.mark.needs("openssh")
@pytest.mark.parametrize("shell", [OpenSshShell(), AsyncsshShell()], ids=["openssh", "asyncssh"])
def test_each_site_gets_the_finding_that_it_deserves(sshd: SshServer, shell: SiteShell) -> None:
    other_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJtVnI9LmWz8ItwrmX0bT3nYkq3Jp0oHnC0sXl0x2wqZ"
    good = sshd.site("DOCTOR-GOOD")
    no_tags = replace(sshd.site("DOCTOR-TAGS"), tag_dir="/proc/tags")
    no_client = replace(sshd.site("DOCTOR-CLIENT"), production_root="/no/such/client")
    closed = replace(good, name="DOCTOR-CLOSED", ssh=replace(good.ssh, port=free_port()))
    changed = replace(good, name="DOCTOR-KEY", ssh=replace(good.ssh, host_key=other_key))
    sites = [good, no_tags, no_client, closed, changed]
    pairs = [(s, sshd.target(s.name, port=s.ssh.port, host_key=s.ssh.host_key)) for s in sites]
    found = {
        f.subject: f
        for f in asyncio.run(diagnose_sites(pairs, shell, LIMITS, datetime.now(UTC), at_once=5, tag_vo="ops"))
    }
    assert found["DOCTOR-GOOD"].health is Health.OK, found["DOCTOR-GOOD"]
    for name, part in (
        ("DOCTOR-TAGS", "tag_dir /proc/tags is not writable."),
        ("DOCTOR-CLIENT", "production_root /no/such/client is missing."),
        ("DOCTOR-CLOSED", ""),
        ("DOCTOR-KEY", "key"),
    ):
        assert found[name].health is Health.FAIL
        assert part in found[name].text
        assert found[name].next_step
    assert not Path(good.preview_root).exists()


@pytest.mark.needs("openssh")
def test_a_login_that_runs_something_else_is_a_failure_not_a_crash(tmp_path: Path) -> None:
    with running_sshd(
        tmp_path / "sshd", force_command=login_through(tmp_path, "other", "echo welcome; exit 0")
    ) as server:
        site = server.site()
        (finding,) = asyncio.run(
            diagnose_sites(
                [(site, server.target())], OpenSshShell(), LIMITS, datetime.now(UTC), at_once=1, tag_vo="ops"
            )
        )
    assert finding.health is Health.FAIL


@pytest.mark.needs("openssh")
@pytest.mark.parametrize("place", ["{subcluster}/ops", "ops"])
def test_a_tag_list_that_our_account_may_not_write_is_said_though_its_folder_is_ours(
    sshd: SshServer,
    tmp_path: Path,
    place: str,
) -> None:
    site = replace(sshd.site("DOCTOR-LIST"), tag_dir=str(tmp_path / "tags"))
    tags = tmp_path / "tags" / place.format(subcluster=site.subcluster) / "ops.list"
    tags.parent.mkdir(parents=True)
    tags.symlink_to("/proc/sys/kernel/random/boot_id")  # which not even root writes to

    def look() -> list[str]:
        found = asyncio.run(
            diagnose_sites(
                [(site, sshd.target(site.name))], OpenSshShell(), LIMITS, datetime.now(UTC), at_once=1, tag_vo="ops"
            )
        )
        return [f.text for f in found if f.health is Health.FAIL]

    assert [text for text in look() if "may not write to the list of our tags" in text]
    tags.unlink()
    tags.write_text("VO-ops-a\n")
    assert look() == []
    assert tags.read_text() == "VO-ops-a\n", "nothing is changed"
