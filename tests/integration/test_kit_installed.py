"""The kit as a site's root installs it: three accounts, sudo, a real sshd; what a stolen key and a preview can do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest
from tests.support.previews import SMALL, artefacts_in
from tests.support.sshd import free_port

from pps.domain.sites.site import Scheme
from pps.domain.trust.statement import withdrawal_of
from pps.sandbox.kit import machine as kit_machine
from pps.sandbox.kit.machine import KitMachine
from pps.sandbox.kit.site import WEEK, People, now

pytestmark = pytest.mark.needs("openssh", "openssl", "sudo", "root", "linux")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KitMachine]:
    folder = tmp_path_factory.mktemp("machine")
    people, store = People(folder / "keys", Scheme.SSH), artefacts_in(folder / "artefacts")
    with kit_machine.running(folder / "site", people, store) as machine:
        yield machine


def test_root_installs_it_and_the_check_says_so(machine: KitMachine) -> None:
    shown = machine.inside("sh", "/srv/pps-kit/bin/pps-kit-install", "--dry-run")
    assert shown.endswith("Nothing was done.\n")
    machine.inside("test", "!", "-e", "/opt/pps-kit")

    said = machine.inside("sh", "/srv/pps-kit/bin/pps-kit-install", check=False)
    assert [line for line in said.splitlines() if line.startswith("WRONG")] == [
        "WRONG  client@debian12-amd64: ppskeep may write tags below /srv/tags: it may not; "
        "let it write /srv/tags/ce.example.org/ops/ops.list"
    ]
    machine.inside("chown", "ppskeep", "/srv/tags/ce.example.org/ops")
    # the same again is no fault, and now all is well
    said = machine.inside("sh", "/srv/pps-kit/bin/pps-kit-install")
    assert "OK     the kit answers\n" in said
    assert "WRONG" not in said


def test_what_is_signed_goes_its_way_over_a_real_connection(machine: KitMachine) -> None:
    tarball = machine.store.make(SMALL, "1.0")

    assert machine.install(tarball)[-1] == f"PPS-INSTALLED {tarball.name}"
    assert machine.ask("tag", machine.what)[-1].startswith("PPS-VOTAG-END added")
    assert machine.inside("stat", "-c", "%U", f"/srv/previews/{tarball.name}/bin/tool") == "ppskeep\n"
    assert machine.ask("state")[2].split()[:3] == ["PPS-PRODUCT", machine.what, "1"]


ATTACKS = ["id", "sh", "sh -i", "$(id)", "cat /srv/state/root.1", "exec /bin/sh", "pps-kit 1 n put 1;id"]


@pytest.mark.parametrize("asked", ATTACKS)
def test_the_controllers_key_starts_no_command(machine: KitMachine, asked: str) -> None:
    done = machine.ssh("127.0.0.1", asked)

    assert done.returncode == 1
    assert done.stdout.startswith(b"\nPPS-REFUSE kit ")


def test_the_controllers_key_gets_no_shell_no_files_and_no_way_on(machine: KitMachine) -> None:
    assert machine.ssh("127.0.0.1").stdout.startswith(b"\nPPS-REFUSE kit this account gives no shell")
    assert b"PPS-REFUSE" in machine.ssh("-s", "127.0.0.1", "sftp").stdout
    # a port that leads on: nothing is carried
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(1)
        port = listening.getsockname()[1]
        carried = machine.ssh("-W", f"127.0.0.1:{port}", "127.0.0.1", stdin=b"x")
        assert carried.returncode != 0
        with pytest.raises(TimeoutError):
            listening.accept()
    back = machine.ssh("-o", "ExitOnForwardFailure=yes", "-R", f"{free_port()}:127.0.0.1:22", "127.0.0.1", "x")
    assert b"PPS-REFUSE" not in back.stdout
    for account in ("root", "ppskeep", "ppsprobe"):
        assert machine.ssh("127.0.0.1", "id", user=account).returncode == 255


def _as(machine: KitMachine, account: str, command: str) -> str:
    return machine.inside(
        "setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups", "sh", "-c", command, check=False
    )


@pytest.mark.parametrize("account", ["pps", "ppsprobe"])
def test_neither_who_receives_nor_what_a_preview_runs_can_change_kit_keys_state_or_previews(
    machine: KitMachine, account: str
) -> None:
    places = machine.inside(
        "find", "/opt/pps-kit", "/srv/state", "/srv/previews", "/etc/sudoers.d", "!", "-type", "l"
    ).split()
    before = machine.inside(
        "find", "/opt/pps-kit", "/srv/state", "/srv/previews", "-newermt", "2000-01-01", "-printf", "%p %T@ %m %u\\n"
    )
    tries = "".join(
        f"{{ echo x >>'{place}'; : >'{place}/x'; chmod 777 '{place}'; mv '{place}' '{place}.x'; }} 2>/dev/null\n"
        for place in places
    )

    _as(machine, account, tries)

    assert (
        machine.inside(
            "find",
            "/opt/pps-kit",
            "/srv/state",
            "/srv/previews",
            "-newermt",
            "2000-01-01",
            "-printf",
            "%p %T@ %m %u\\n",
        )
        == before
    )
    assert _as(machine, account, "cat /srv/state/*/1") == ""
    # sudo leads nowhere else
    for target in ("sudo -n id", "sudo -n -u ppskeep sh -c id", "sudo -n -u ppskeep /opt/pps-kit/bin/pps-probe"):
        assert "uid=" not in _as(machine, account, target)


def test_probes_run_as_an_account_of_their_own(machine: KitMachine) -> None:
    machine.inside("mkdir", "-m", "1777", "/srv/spied")
    spy = {
        **SMALL,
        "etc/profile.d/grid-env.sh": b"id -un >/srv/spied/who; cat /srv/state/*/1 >>/srv/spied/who 2>/dev/null\n",
    }
    tarball = machine.store.make(spy, "1.1")
    machine.install(tarball)

    said = machine.ask("probe", machine.what, tarball.name, "-", "20", "-")

    assert (said[0], said[-1]) == ("PPS-PROBES 1", "PPS-PROBES-END 5")
    assert said[1].startswith("PPS-PROBE tree OK"), said
    assert machine.inside("cat", "/srv/spied/who") == "ppsprobe\n"


def test_a_withdrawal_takes_it_away_for_good(machine: KitMachine) -> None:
    last = machine.statements[-1]
    withdrawal = withdrawal_of(last, now=now(), holds_for=WEEK)

    assert (
        machine.put(
            [
                machine.current(withdrawal, issued=now() + timedelta(seconds=3)),
                machine.signed(withdrawal),
            ]
        )[-1]
        == f"PPS-REMOVED {last.preview}"
    )
    machine.inside("test", "!", "-e", f"/srv/previews/{last.preview}")


def test_the_check_sees_what_somebody_has_loosened(machine: KitMachine) -> None:
    for command, back, says in (
        ("chmod 666 /opt/pps-kit/etc/root", "chmod 644 /opt/pps-kit/etc/root", "can be changed by others"),
        ("chmod 755 /srv/state", "chmod 700 /srv/state", "is ppskeep's alone"),
        (
            "sed -i s/restrict,// /opt/pps-kit/etc/authorized_keys",
            "sh /srv/pps-kit/bin/pps-kit-install",
            "each key in it",
        ),
        (
            "sh -c 'echo \"pps ALL=(ALL) NOPASSWD: ALL\" >/etc/sudoers.d/other'",
            "rm /etc/sudoers.d/other",
            "and nobody else",
        ),
    ):
        machine.inside("sh", "-c", command)
        said = machine.inside("sh", "/opt/pps-kit/bin/pps-kit-check", check=False)
        assert any(line.startswith("WRONG") and says in line for line in said.splitlines()), (command, said)
        machine.inside("sh", "-c", back)
    assert "WRONG" not in machine.inside("sh", "/opt/pps-kit/bin/pps-kit-check")
