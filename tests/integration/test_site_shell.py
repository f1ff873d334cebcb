"""Both ways to a site keep the same promises, against both kinds of server."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.asyncssh_server import asyncssh_server  # noqa: F401
from tests.support.chaos_proxy import chaos_proxy
from tests.support.sshd import SshServer, login_through, new_key, public_key, running_sshd, sshd  # noqa: F401

from pps.activities.ports.sites import SiteLimits, SiteShell, SshTarget
from pps.activities.sites.script import ScriptOutput, run_script
from pps.adapters.sites.site_shell import site_shell
from pps.adapters.sites.ssh_asyncssh import AsyncsshShell
from pps.adapters.sites.ssh_openssh import OpenSshShell
from pps.domain.base.errors import HostKeyError, SiteError, SiteUnreachableError

pytestmark = pytest.mark.needs("openssh")
LIMITS = SiteLimits(connect_s=10, silence_s=10, total_s=20)


@pytest.fixture(params=[OpenSshShell, AsyncsshShell], ids=["openssh-client", "asyncssh-client"])
def shell(request: pytest.FixtureRequest) -> SiteShell:
    return request.param()  # type: ignore[no-any-return]


@pytest.fixture(params=["sshd", "asyncssh_server"])
def server(request: pytest.FixtureRequest) -> SshServer:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def run(
    shell: SiteShell, target: SshTarget, script: str, arguments: Sequence[str] = (), limits: SiteLimits = LIMITS
) -> ScriptOutput:
    return asyncio.run(run_script(shell, target, script, arguments, limits))


NASTY = [
    *(
        "plain",
        "",
        " two  words ",
        "it's",
        'say "x"',
        "$(id)",
        "`id`",
        "a;b|c&d>e<f",
        "*",
        "~",
        "-rf",
        "!history!",
        "!!",
    ),
    *("a\nb", "a\tb", "back\\slash \\n \\0041", "%s%n", "caf\u00e9 \u202e", "{a,b}", "#", "$HOME", "\\"),
]
ECHO = """for a; do printf '<%s>' "$a" | od -An -v -tx1 | tr -d ' \\n'; echo; done"""


def test_arguments_arrive_as_they_were_whatever_is_in_them(shell: SiteShell, server: SshServer) -> None:
    output = run(shell, server.target(), ECHO, NASTY)

    assert [bytes.fromhex(line)[1:-1].decode() for line in output.lines] == NASTY


def test_the_exit_code_of_the_script_is_returned_and_its_input_can_be_a_conversation(
    shell: SiteShell, server: SshServer
) -> None:
    async def talk() -> tuple[list[str | None], int]:
        async with shell.open(server.target(), 'read a; echo "got $a"; cat; exit 7', [], LIMITS) as channel:
            await channel.write("one\n")
            first = await channel.read_line()
            await channel.write("two\nthree")
            code = await channel.finish()
            return [first, await channel.read_line()], code

    assert asyncio.run(talk()) == (["got one", None], 7)


def test_a_file_arrives_whole_and_its_end_is_seen(shell: SiteShell, server: SshServer, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(3_000_001))

    async def send() -> str | None:
        async with shell.open(server.target(), "sha256sum", [], LIMITS) as channel:
            await channel.send_file(file)
            return await channel.read_line()

    import hashlib

    assert asyncio.run(send()) == hashlib.sha256(file.read_bytes()).hexdigest() + "  -"


def test_a_script_that_stops_reading_can_still_say_why(shell: SiteShell, server: SshServer, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(50_000_000))

    async def send() -> tuple[str | None, int]:
        async with shell.open(server.target(), "head -c 10 >/dev/null; echo enough; exit 3", [], LIMITS) as channel:
            await channel.send_file(file)
            return await channel.read_line(), await channel.finish()

    assert asyncio.run(send()) == ("enough", 3)


def test_memory_does_not_grow_with_the_file(sshd: SshServer, tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as f:
        f.truncate(200_000_000)

    async def send() -> str | None:
        async with OpenSshShell().open(sshd.target(), "wc -c", [], LIMITS) as channel:
            await channel.send_file(file)
            return await channel.read_line()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert asyncio.run(send()) == "200000000"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_a_private_key_may_come_as_text(shell: SiteShell, server: SshServer) -> None:
    target = server.target(key_file=None, private_key=server.key_file.read_text())

    assert run(shell, target, "echo in").lines == ("in",)
    assert "PRIVATE" not in repr(target)


def test_another_host_key_than_the_pinned_one_is_refused_with_the_next_step(
    shell: SiteShell, server: SshServer, tmp_path: Path
) -> None:
    other = public_key(new_key(tmp_path / "other"))

    with pytest.raises(HostKeyError, match=r"SITE-A: shows another host key .* Confirm the new key"):
        run(shell, server.target(host_key=other), "echo in")


def test_a_host_key_of_another_type_than_the_pinned_one_is_refused_too(
    shell: SiteShell, server: SshServer, tmp_path: Path
) -> None:
    other = public_key(new_key(tmp_path / "other", "ecdsa"))

    with pytest.raises(HostKeyError, match="shows another host key"):
        run(shell, server.target(host_key=other), "echo in")


def test_a_key_that_the_site_does_not_know_is_said_to_be_one(
    shell: SiteShell, server: SshServer, tmp_path: Path
) -> None:
    with pytest.raises(SiteUnreachableError, match=r"does not let us log in .*still authorised"):
        run(shell, server.target(key_file=new_key(tmp_path / "stranger")), "echo in")


def test_a_closed_port_is_unreachable(shell: SiteShell, sshd: SshServer) -> None:
    with pytest.raises(SiteUnreachableError, match="SITE-A: cannot be reached"):
        run(shell, sshd.target(port=1), "echo in")


def test_a_site_that_accepts_and_says_nothing_is_given_up_at_the_connect_limit(
    shell: SiteShell,
    sshd: SshServer,
) -> None:
    with chaos_proxy(1, tarpit=True) as proxy:
        began = time.monotonic()
        with pytest.raises(SiteUnreachableError):
            run(
                shell, sshd.target(port=proxy.port), "echo in", limits=SiteLimits(connect_s=1, silence_s=30, total_s=30)
            )

    assert time.monotonic() - began < 20


def test_a_site_that_prints_endlessly_is_cut_off(shell: SiteShell, server: SshServer) -> None:
    began = time.monotonic()
    for script in ("yes", "yes >&2"):
        with pytest.raises(SiteError, match="said more than 65536 bytes and was cut off"):
            run(shell, server.target(), script)

    assert time.monotonic() - began < 20


def test_a_line_without_end_is_cut_off_too(shell: SiteShell, server: SshServer) -> None:
    with pytest.raises(SiteError, match="said more than"):
        run(shell, server.target(), "yes | tr -d '\\n'")


def test_a_site_that_drips_is_cut_off_at_the_total_limit(shell: SiteShell, server: SshServer) -> None:
    with pytest.raises(SiteUnreachableError, match="took longer than 2 s"):
        run(shell, server.target(), "while :; do echo x; sleep 0.2; done", limits=SiteLimits(10, 1, 2))


def test_a_site_that_falls_silent_is_given_up(shell: SiteShell, server: SshServer) -> None:
    with pytest.raises(SiteUnreachableError, match=r"nothing moved for 0\.5 s"):
        run(shell, server.target(), "echo a; sleep 5", limits=SiteLimits(10, 0.5, 20))


def test_a_site_that_does_not_read_is_given_up(shell: SiteShell, server: SshServer, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(50_000_000))

    async def send() -> None:
        async with shell.open(server.target(), "sleep 5", [], SiteLimits(10, 0.5, 20)) as channel:
            await channel.send_file(file)

    with pytest.raises(SiteUnreachableError, match=r"nothing moved for 0\.5 s"):
        asyncio.run(send())


@pytest.mark.parametrize("at", [0, 1, 1000, 500_000])
@pytest.mark.parametrize("how", ["reset_at", "hang_at"])
def test_a_connection_that_breaks_at_any_byte_is_unreachable(
    shell: SiteShell,
    sshd: SshServer,
    tmp_path: Path,
    at: int,
    how: str,
) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(2_000_000))

    async def send(port: int) -> int:
        async with shell.open(
            sshd.target(port=port), "cat >/dev/null; echo whole", [], SiteLimits(1.5, 1, 10)
        ) as channel:
            await channel.send_file(file)
            assert await channel.read_line() != "whole"
            return await channel.finish()

    with chaos_proxy(sshd.port, **{how: at}) as proxy, pytest.raises(SiteUnreachableError):
        asyncio.run(send(proxy.port))


def test_noise_of_the_login_is_skipped(shell: SiteShell, tmp_path: Path) -> None:
    noise = "echo 'Welcome!'; printf '\\033[31mno newline'; printf 'bytes \\377\\n' >&2"
    noise += '; exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
    with running_sshd(tmp_path, force_command=login_through(tmp_path, "noise", noise)) as server:
        assert run(shell, server.target(), "echo first").lines == ("first",)


def test_what_a_script_complains_of_is_no_part_of_its_answers(shell: SiteShell, server: SshServer) -> None:
    script = "for n in 1 2 3; do printf 'answer '; echo complaint >&2; echo $n; done"

    assert run(shell, server.target(), script).lines == ("answer 1", "answer 2", "answer 3")


@pytest.mark.parametrize("login", ["tcsh", "bash", "dash", "busybox sh", "zsh", "mksh"])
def test_the_login_shell_does_not_matter(shell: SiteShell, tmp_path: Path, login: str) -> None:
    program = shutil.which(login.split(maxsplit=1)[0])
    assert program is not None
    text = f'exec {login} -c "$SSH_ORIGINAL_COMMAND"'
    with running_sshd(tmp_path, force_command=login_through(tmp_path, "login", text)) as server:
        output = run(shell, server.target(), ECHO + "\n# " + "long" * 5000, NASTY)

    assert [bytes.fromhex(line)[1:-1].decode() for line in output.lines] == NASTY


def test_an_account_that_may_not_run_commands_says_so(shell: SiteShell, tmp_path: Path) -> None:
    ended = pytest.raises(SiteUnreachableError, match=r"the login ended .* before our script began")
    with running_sshd(tmp_path, force_command="/bin/false") as server, ended:
        run(shell, server.target(), "echo first")


def test_text_of_a_hostile_site_is_made_harmless_in_errors(tmp_path: Path) -> None:
    hostile = "printf 'x\\033[2J\\342\\200\\256evil\\r\\n' >&2; exit 255"
    login = login_through(tmp_path, "hostile", hostile)
    with running_sshd(tmp_path, force_command=login) as server, pytest.raises(SiteUnreachableError) as caught:
        run(OpenSshShell(), server.target(), "echo first")

    assert "\033" not in str(caught.value)
    assert "\u202e" not in str(caught.value)


def test_no_key_and_no_process_stays_behind_after_a_conversation_is_cancelled(
    sshd: SshServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[Path] = []

    async def talk() -> None:
        target = sshd.target(key_file=None, private_key=sshd.key_file.read_text())
        async with OpenSshShell().open(target, "cat", [], LIMITS) as channel:
            seen.extend(tmp_path.iterdir())
            await channel.read_line()

    async def cancelled() -> None:
        task = asyncio.create_task(talk())
        await asyncio.wait([task], timeout=1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    assert seen == [], "the key is gone as soon as we are in"
    assert list(tmp_path.iterdir()) == []
    processes = subprocess.run(["ps", "-A", "-o", "ppid=,comm="], capture_output=True, text=True, check=True).stdout
    assert [str(os.getpid()), "ssh"] not in [line.split() for line in processes.splitlines()]


def test_the_systems_client_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(site_shell(), OpenSshShell)
    monkeypatch.setenv("PATH", "/nowhere")
    assert isinstance(site_shell(), AsyncsshShell)
