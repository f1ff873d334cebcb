"""The SSH endpoints of the sandbox, through the real OpenSSH client and asyncssh."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import asyncssh
import pytest
from tests.support.sandbox_grid import RunningGrid, sandbox_grid, start_grid, wait_until  # noqa: F401

from pps.domain.sites.site import Site
from pps.sandbox.grid.landscape import Fault

needs_openssh = pytest.mark.needs("openssh")


@pytest.fixture
def site(sandbox_grid: RunningGrid) -> Site:
    return sandbox_grid.sites[0]


async def asyncssh_connection(grid: RunningGrid, site: Site, **options: object) -> asyncssh.SSHClientConnection:
    known = asyncssh.import_known_hosts(f"[{site.ssh.host}]:{site.ssh.port} {site.ssh.host_key}\n")
    given = {
        "username": site.ssh.user,
        "known_hosts": known,
        "client_keys": [str(grid.configuration.sites_file.ssh_key_file)],
        "agent_path": None,
        "config": None,
    }
    return await asyncssh.connect(site.ssh.host, site.ssh.port, **(given | options))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # a process of a killed parent is a zombie until init reaps it
    status = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError):
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    return not Path("/proc").exists()


@needs_openssh
def test_a_command_runs_in_the_home_of_the_account_with_a_clean_environment(sandbox_grid: RunningGrid, site: Site):
    env = os.environ | {"LC_ALL": "C.UTF-8", "LEAKED": "from the client"}
    done = subprocess.run(sandbox_grid.ssh(site, "pwd; echo $HOME $USER; env"), capture_output=True, text=True, env=env)

    home = str(sandbox_grid.disk(site) / "home")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[:2] == [home, f"{home} {site.ssh.user}"]
    names = {line.partition("=")[0] for line in lines[2:]}
    assert names <= {"HOME", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER", "PWD", "SHLVL", "_", "OLDPWD"}


@needs_openssh
@pytest.mark.parametrize("code", [0, 1, 2, 127, 255])
def test_the_exit_code_is_passed_on(sandbox_grid: RunningGrid, site: Site, code: int):
    assert subprocess.run(sandbox_grid.ssh(site, f"exit {code}")).returncode == code


def test_the_signal_that_ended_a_command_is_passed_on(sandbox_grid: RunningGrid, site: Site):
    async def run() -> asyncssh.SSHCompletedProcess:
        async with await asyncssh_connection(sandbox_grid, site) as connection:
            return await connection.run("kill -TERM $$")

    assert asyncio.run(run()).exit_signal[0] == "TERM"


@needs_openssh
def test_twenty_mebibytes_of_any_bytes_come_back_unchanged(sandbox_grid: RunningGrid, site: Site):
    data = os.urandom(20 * 1024 * 1024)
    done = subprocess.run(sandbox_grid.ssh(site, "cat; echo end >&2"), input=data, capture_output=True, timeout=60)

    assert done.returncode == 0
    assert done.stderr == b"end\n"
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_asyncssh_streams_through_as_well(sandbox_grid: RunningGrid, site: Site):
    data = os.urandom(20 * 1024 * 1024)

    async def run() -> asyncssh.SSHCompletedProcess:
        async with await asyncssh_connection(sandbox_grid, site) as connection:
            return await connection.run("sha256sum", input=data, encoding=None)

    done = asyncio.run(run())
    assert done.exit_status == 0
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


@needs_openssh
def test_a_command_that_stops_reading_ends_without_hanging_the_client(sandbox_grid: RunningGrid, site: Site):
    done = subprocess.run(
        sandbox_grid.ssh(site, "head -c 5; exit 7"), input=bytes(5_000_000), capture_output=True, timeout=30
    )
    assert done.returncode == 7
    assert done.stdout == bytes(5)


def test_a_command_that_does_not_read_slows_the_client_down_and_the_grid_stores_nothing(
    sandbox_grid: RunningGrid, site: Site
):
    """Back-pressure: the pipe and SSH's window fill up, then nothing more is taken."""

    async def run() -> int:
        async with await asyncssh_connection(sandbox_grid, site) as connection:
            process = await connection.create_process("sleep 60", encoding=None)
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 64 * 1024 * 1024:
                    process.stdin.write(bytes(65536))
                    sent += 65536
                    await asyncio.wait_for(process.stdin.drain(), 1)
            return sent

    assert asyncio.run(run()) < 8 * 1024 * 1024


@needs_openssh
def test_the_memory_of_the_grid_does_not_grow_with_what_a_slow_command_is_sent(tmp_path: Path):
    """The command reads all the time, but slower than the client sends."""

    def peak_mib(mebibytes: int) -> float:
        with start_grid(tmp_path / str(mebibytes), "--sites", "1", "--healthy") as grid:
            data = bytes(mebibytes * 1024 * 1024)
            done = subprocess.run(grid.ssh(grid.sites[0], "cksum"), input=data, capture_output=True)
            assert done.stdout.split()[1] == str(len(data)).encode()
            status = Path(f"/proc/{grid.process.pid}/status")
            if status.exists():
                return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024
            # elsewhere only what it holds now; memory that was once grown is seldom given back
            ps = subprocess.run(["ps", "-o", "rss=", "-p", str(grid.process.pid)], capture_output=True, text=True)
            return int(ps.stdout) / 1024

    assert peak_mib(64) - peak_mib(1) < 25


@needs_openssh
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("command", ["sleep 600", "timeout 600 sleep 600", "trap '' TERM HUP; sleep 600 & wait"])
def test_when_the_client_is_killed_everything_it_started_is_killed(
    sandbox_grid: RunningGrid, site: Site, number: signal.Signals, command: str
):
    """`timeout` moves to a process group of its own; it must not get away by that."""
    script = f"echo $$; {{ {command} ; }} & echo $!; wait"
    with subprocess.Popen(sandbox_grid.ssh(site, script), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        pids = [int(client.stdout.readline()) for _ in range(2)]
        assert all(map(alive, pids))
        client.send_signal(number)
        wait_until(lambda: not any(map(alive, pids)), f"{command}: processes {pids} are dead")
    wait_until(lambda: not sandbox_grid.control.status()["sites"][0]["commands_running"], "no command is running")


@needs_openssh
def test_a_client_that_is_killed_while_it_sends_leaves_nothing_behind(sandbox_grid: RunningGrid, site: Site):
    """The window is closed and unread data lies in the server: the end must be seen all the same."""
    with (
        subprocess.Popen(
            sandbox_grid.ssh(site, "echo $$; sleep 600"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as client,
        contextlib.suppress(BrokenPipeError),
    ):
        pid = int(client.stdout.readline())
        os.set_blocking(client.stdin.fileno(), False)
        wait_until(lambda: client.stdin.raw.write(bytes(65536)) is None, "the way to the site is full")
        client.kill()
        wait_until(lambda: not alive(pid), "the remote shell is dead")


@needs_openssh
def test_what_a_command_leaves_in_the_background_ends_with_it(sandbox_grid: RunningGrid, site: Site):
    done = subprocess.run(
        sandbox_grid.ssh(site, "sleep 600 >/dev/null 2>&1 </dev/null & echo $!"), capture_output=True, timeout=20
    )
    wait_until(lambda: not alive(int(done.stdout)), "the background process is dead")


@needs_openssh
def test_another_key_and_another_account_are_refused(sandbox_grid: RunningGrid, site: Site, tmp_path: Path):
    other = tmp_path / "other"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(other)
    other.chmod(0o600)

    for command in (sandbox_grid.ssh(site, "true", key=other), sandbox_grid.ssh(site, "true", user="root")):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 255
        assert "Permission denied (publickey)" in done.stderr


@needs_openssh
def test_each_site_has_a_host_key_of_its_own(sandbox_grid: RunningGrid):
    keys = [s.ssh.host_key for s in sandbox_grid.sites]
    assert len(set(keys)) == len(keys)

    other = sandbox_grid.ssh(sandbox_grid.sites[0], "true")
    Path(next(o for o in other if o.startswith("UserKnownHostsFile=")).partition("=")[2]).write_text(
        f"[127.0.0.1]:{sandbox_grid.sites[0].ssh.port} {sandbox_grid.sites[1].ssh.host_key}\n"
    )
    assert subprocess.run(other, capture_output=True).returncode == 255


def test_terminals_forwarding_and_file_transfer_are_refused(sandbox_grid: RunningGrid, site: Site):
    async def run() -> None:
        async with await asyncssh_connection(sandbox_grid, site) as connection:
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.create_process("true", term_type="xterm")
            with pytest.raises(asyncssh.Error):
                await connection.start_sftp_client()
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.open_connection("127.0.0.1", site.ssh.port)
            with pytest.raises(asyncssh.ChannelListenError):
                await connection.forward_remote_port("", 0, "127.0.0.1", 9)

    asyncio.run(run())


@needs_openssh
def test_a_full_quota_lets_no_file_grow_and_is_told_as_an_error_not_a_signal(sandbox_grid: RunningGrid, site: Site):
    write = sandbox_grid.ssh(site, "echo $$ >lock && dd if=/dev/zero of=big bs=4096 count=1")
    sandbox_grid.control.break_site(site.name, Fault.QUOTA)
    try:
        done = subprocess.run(write, capture_output=True, text=True)
        assert done.returncode == 1
        assert "File too large" in done.stderr
        assert (sandbox_grid.disk(site) / "home" / "big").stat().st_size <= 512
        assert (sandbox_grid.disk(site) / "home" / "lock").stat().st_size > 0
    finally:
        sandbox_grid.control.repair_site(site.name)
    assert subprocess.run(write, capture_output=True).returncode == 0


@needs_openssh
def test_an_unreachable_site_refuses_and_cuts_and_comes_back_at_the_same_port_with_the_same_key(
    sandbox_grid: RunningGrid, site: Site
):
    with subprocess.Popen(
        sandbox_grid.ssh(site, "echo here; sleep 600"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout.readline() == b"here\n"
        assert not sandbox_grid.control.break_site(site.name, Fault.UNREACHABLE)["listening"]
        assert running.wait(5) == 255
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((site.ssh.host, site.ssh.port), 1)

    assert sandbox_grid.control.repair_site(site.name)["listening"]
    assert subprocess.run(sandbox_grid.ssh(site, "true")).returncode == 0


@needs_openssh
def test_the_port_of_an_unreachable_site_stays_reserved(sandbox_grid: RunningGrid, site: Site):
    sandbox_grid.control.break_site(site.name, Fault.UNREACHABLE)
    try:
        with socket.socket() as thief, pytest.raises(OSError, match="in use"):
            thief.bind((site.ssh.host, site.ssh.port))
    finally:
        sandbox_grid.control.repair_site(site.name)


@needs_openssh
def test_a_broken_profile_ends_every_shell_that_reads_it(sandbox_grid: RunningGrid, site: Site):
    source = sandbox_grid.ssh(site, f". {site.production_root}/etc/profile.d/grid-env.sh; voms-proxy-info --version")
    before = subprocess.run(source, capture_output=True, text=True)
    assert before.stdout == "voms-proxy-info 3.1.22 (production)\n"

    sandbox_grid.control.break_site(site.name, Fault.PROFILE)
    try:
        assert subprocess.run(source).returncode == 3
        assert subprocess.run(sandbox_grid.ssh(site, "true")).returncode == 0
    finally:
        sandbox_grid.control.repair_site(site.name)
    assert subprocess.run(source, capture_output=True, text=True).stdout == before.stdout


@needs_openssh
def test_a_slow_site_answers_late_but_answers(sandbox_grid: RunningGrid, site: Site):
    sandbox_grid.control.break_site(site.name, Fault.SLOW)
    try:
        with subprocess.Popen(sandbox_grid.ssh(site, "echo late"), stdout=subprocess.PIPE, text=True) as client:
            with pytest.raises(subprocess.TimeoutExpired):
                client.wait(1.5)
            assert client.communicate(timeout=10)[0] == "late\n"
    finally:
        sandbox_grid.control.repair_site(site.name)


def test_a_wiped_site_has_lost_its_previews_and_nothing_else(sandbox_grid: RunningGrid, site: Site):
    preview = Path(site.preview_root) / "glite-WN-3.1.23-PPS-000000000000"
    (preview / "bin").mkdir(parents=True)
    (preview / ".pps-ok").write_text("0\n")
    (preview / "bin").chmod(0o500)
    assert preview.name in next(s for s in sandbox_grid.control.status()["sites"] if s["name"] == site.name)["previews"]

    assert sandbox_grid.control.wipe_site(site.name)["previews"] == []

    assert not list(Path(site.preview_root).iterdir())
    assert (Path(site.production_root) / "bin" / "voms-proxy-info").exists()
