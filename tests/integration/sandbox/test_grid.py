"""The grid as a process: start, configuration, restart, end."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
import requests
from tests.support.sandbox_grid import RunningGrid, sandbox_grid, spawn_grid, start_grid, wait_until  # noqa: F401

from pps.config.loader import Configuration
from pps.domain.sites.site import Platform, reasons_against_preview
from pps.sandbox.grid.landscape import Fault

DEBIAN = Platform("debian12", "amd64")


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory):
    with start_grid(tmp_path_factory.mktemp("twelve")) as grid:
        yield grid


def test_the_configuration_folder_loads_and_is_complete(twelve: RunningGrid):
    configuration = twelve.configuration
    assert len(configuration.sites) == 12
    assert all(site.place and site.cpus for site in configuration.sites.values())
    assert {vo.name for vo in configuration.people.vos} >= {"atlas", "cms", "lhcb", "biomed"}
    assert {s.roc for s in twelve.sites} == {r.name for r in configuration.people.rocs}
    assert configuration.policies.feedback.open_for.total_seconds() <= 60
    assert configuration.policies.tarball == Configuration(Path("config")).policies.tarball
    nodes = {"glite-WN": 3, "glite-WMS": 1}  # clients and the service that is piloted
    assert {n: sum(s.fits(n) for s in configuration.scenarios) for n in nodes} == nodes
    for url in (configuration.service.artefact_store, configuration.service.publication_folder):
        assert Path(url.removeprefix("file://")).is_dir()


def test_every_kind_of_trouble_is_there_from_the_start(twelve: RunningGrid):
    faults = [f for s in twelve.control.status()["sites"] for f in s["faults"]]
    assert sorted(faults) == ["profile", "quota", "unreachable"]
    assert sum(s.canary for s in twelve.sites) == 2
    reasons = [r for s in twelve.sites for r in reasons_against_preview(s, [DEBIAN])]
    assert len(reasons) == 3
    for why in ("has not opted in", "runs sl5-x86_64", "is not a production site"):
        assert any(why in r for r in reasons)


def test_a_site_has_local_settings_an_older_client_and_tags(twelve: RunningGrid):
    site = twelve.sites[0]
    settings = (Path(site.profile_d) / "10-site.sh").read_text()
    for name in ("VO_ATLAS_SW_DIR", "VO_ATLAS_DEFAULT_SE", "LCG_GFAL_INFOSYS"):
        assert f"export {name}=" in settings
    assert (Path(site.production_root) / "etc/profile.d/grid-env.csh").exists()
    assert any(s["tags"] for s in twelve.control.status()["sites"])
    assert (Path(site.tag_dir) / site.subcluster / "ops" / "ops.list").exists()


def test_sixty_sites_start_and_all_listen(tmp_path: Path):
    with start_grid(tmp_path / "sixty", "--sites", "60", "--healthy") as grid:
        status = grid.control.status()
        assert len(status["sites"]) == 60
        assert all(s["listening"] for s in status["sites"])
        assert [(s.place, s.cpus) for s in grid.sites if not (s.place and s.cpus)] == [(None, None)]


def test_a_grid_that_starts_again_is_the_same_grid(tmp_path: Path):
    with start_grid(tmp_path / "g", "--sites", "5") as grid:
        before = grid.control.description
        sites = {s.name: s.ssh for s in grid.sites}
        broken, healthy = grid.sites[4].name, grid.sites[0].name
        grid.control.repair_site(broken)
        grid.control.break_site(healthy, Fault.SLOW)
        (Path(grid.sites[0].tag_dir) / grid.sites[0].subcluster / "ops" / "ops.list").write_text("VO-ops-KEPT\n")
        token = grid.tracker_secret
    with start_grid(tmp_path / "g") as grid:
        assert {s.name: s.ssh for s in grid.sites} == sites
        assert grid.control.description["services"] == before["services"]
        assert grid.tracker_secret == token
        now = {s["name"]: s for s in grid.control.status()["sites"]}
        assert (now[broken]["faults"], now[healthy]["faults"]) == ([], ["slow"])
        assert "VO-ops-KEPT" in now[healthy]["tags"]


def test_the_same_seed_gives_the_same_grid_and_another_seed_another_one(tmp_path: Path):
    def described(name: str, seed: str) -> list[tuple[str, str, str]]:
        with start_grid(tmp_path / name, "--sites", "6", "--seed", seed) as grid:
            tags = {s["name"]: s["tags"] for s in grid.control.status()["sites"]}
            return [(s.name, s.ssh.user, str(tags[s.name])) for s in grid.sites]

    first = described("a", "7")
    assert described("b", "7") == first
    assert described("c", "8") != first


@pytest.mark.needs("openssh")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_end_of_the_grid_leaves_no_process(tmp_path: Path, number: signal.Signals):
    with start_grid(tmp_path / "g", "--sites", "3", "--healthy") as grid:
        clients = [
            subprocess.Popen(
                grid.ssh(s, "trap '' HUP TERM INT; echo $$; timeout 600 sleep 600"),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            for s in grid.sites
        ]
        sessions = [int(c.stdout.readline()) for c in clients]
        assert grid.end(number) == 0
        assert all(c.wait(5) == 255 for c in clients)
        for session in sessions:
            # zombies are dead; who reaps orphans, and when, is the machine's business
            left = subprocess.run(
                ["ps", "-o", "stat=,args=", "-s", str(session)], capture_output=True, text=True
            ).stdout
            assert [line for line in left.splitlines() if not line.startswith("Z")] == []
        for client in clients:
            client.stdout.close()


def test_a_signal_during_the_start_ends_the_grid_too(tmp_path: Path):
    with spawn_grid(tmp_path / "g", "--sites", "60") as process:
        wait_until((tmp_path / "g" / ".lock").exists, "the grid has begun")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, -signal.SIGTERM)


def test_two_grids_do_not_share_a_folder(sandbox_grid: RunningGrid):
    with spawn_grid(sandbox_grid.folder, stderr=subprocess.PIPE) as second:
        _, complaint = second.communicate(timeout=15)
    assert second.returncode == 1
    assert "a grid runs in this folder already" in complaint
    assert sandbox_grid.control.status()["pid"] == sandbox_grid.process.pid


def test_other_wishes_for_an_existing_folder_are_refused(tmp_path: Path):
    with start_grid(tmp_path / "g", "--sites", "2"):
        pass
    with spawn_grid(tmp_path / "g", "--sites", "3", stderr=subprocess.PIPE) as second:
        assert "was made with sites 2, not 3" in second.communicate(timeout=15)[1]


@pytest.mark.parametrize("folder", ["with blank", "döner", "a'b"])
def test_a_folder_whose_path_could_hurt_a_shell_is_refused_in_words(tmp_path: Path, folder: str):
    with spawn_grid(tmp_path / folder, stderr=subprocess.PIPE) as process:
        complaint = process.communicate(timeout=15)[1]
    assert process.returncode == 1
    assert "is not an absolute path of plain names" in complaint
    assert "Traceback" not in complaint


def test_the_control_door_opens_for_the_token_only(sandbox_grid: RunningGrid):
    url = sandbox_grid.control.description["services"]["control"]
    site = sandbox_grid.sites[0].name
    assert requests.get(f"{url}/status", timeout=5).status_code == 401
    answer = requests.post(f"{url}/sites/{site}/break", json={"fault": "quota"}, timeout=5)
    assert answer.status_code == 401
    assert not any(s["faults"] for s in sandbox_grid.control.status()["sites"])
    for secret in ("control.token", "keys/id_ed25519", "roundup/pps.connection"):
        assert (sandbox_grid.folder / secret).stat().st_mode & 0o077 == 0


def test_no_secret_stands_in_the_description(sandbox_grid: RunningGrid):
    text = json.dumps(sandbox_grid.control.status()) + (sandbox_grid.folder / "grid.json").read_text()
    for secret in ("control.token", "roundup/pps.connection"):
        assert (sandbox_grid.folder / secret).read_text() not in text
    assert sandbox_grid.tracker_secret.password not in text


def test_a_fault_that_does_not_exist_and_a_site_that_does_not_exist_are_told(sandbox_grid: RunningGrid):
    control = sandbox_grid.control
    for path, body in (
        ("/sites/NOWHERE/break", {"fault": "quota"}),
        (f"/sites/{sandbox_grid.sites[0].name}/break", {"fault": "x"}),
    ):
        with pytest.raises(Exception, match=r"there is no site|the fault must be one of"):
            control._ask("POST", path, body)


def test_everything_listens_on_loopback_only(sandbox_grid: RunningGrid):
    if not Path("/proc/net/tcp").exists():
        pytest.fail("this test reads /proc/net/tcp")
    inodes = set()
    for fd in Path(f"/proc/{sandbox_grid.process.pid}/fd").iterdir():
        target = str(fd.readlink())
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [r[1] for r in rows if r[3] == "0A" and r[9] in inodes]
    assert len(listening) == len(sandbox_grid.sites) + 4
    assert all(address.startswith("0100007F:") for address in listening)
