"""Every way in which a conversation with a site can end, through both SSH clients: the same class, the same words."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from tests.support.sshd import SshServer, login_through, new_key, public_key, running_sshd

from pps.activities.ports.sites import SiteLimits, SiteShell, SshTarget
from pps.activities.sites.script import ScriptOutput, run_script
from pps.adapters.sites.ssh_asyncssh import AsyncsshShell
from pps.adapters.sites.ssh_openssh import OpenSshShell
from pps.domain.base.errors import ConfigurationError, HostKeyError, RolloutError, SiteError, SiteUnreachableError

pytestmark = pytest.mark.needs("openssh")
LIMITS = SiteLimits(connect_s=10, silence_s=10, total_s=20)
SFTP_SERVER = next(
    (p for p in ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server") if Path(p).exists()), "none"
)
EXPIRED = "WARNING: Your password has expired.\\nPassword change required but no TTY available."
BASHRC = """cd "${{0%/*}}"; HOME=$PWD; echo '{}' >.bashrc; unset SHLVL; exec bash -c "$SSH_ORIGINAL_COMMAND" """
Changes = Callable[[SshServer, Path], dict[str, Any]]


@dataclass(frozen=True)
class Ending:
    """What is done to the site, and what each client must make of it; no `error`: the exit code is the answer."""

    error: type[RolloutError] | None
    says: str
    extra: str = ""
    """lines for sshd_config"""
    login: str = ""
    """a program in the place of the login shell, in sh; `$SSH_ORIGINAL_COMMAND` is what was asked for"""
    forced: str = ""
    """ForceCommand as it stands"""
    host_key: str = "ed25519"
    script: str = "echo in"
    target: Changes = field(default=lambda server, folder: {})
    connect_s: float = 10.0


def other_key(kind: str) -> Changes:
    return lambda server, folder: {"host_key": public_key(new_key(folder / "other", kind))}


def stranger(kind: str) -> Changes:
    return lambda server, folder: {"key_file": new_key(folder / "stranger", kind)}


def no_key(server: SshServer, folder: Path) -> dict[str, Any]:
    (folder / "broken").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    (folder / "broken").chmod(0o600)
    return {"key_file": folder / "broken"}


TOO_OLD = (
    r"SITE-A: its sshd is too old for our signature algorithms: it offers only ssh-rsa; .* must update it?.*need not"
)
ENDINGS = {
    # --- no connection
    "closed port": Ending(SiteUnreachableError, "refused: nothing listens", target=lambda s, f: {"port": 1}),
    "unknown host": Ending(
        SiteUnreachableError, r"\(its host name has no address\)", target=lambda s, f: {"host": "ui.site.invalid"}
    ),
    # --- algorithms
    "only ssh-rsa signatures": Ending(
        SiteUnreachableError,
        r"its sshd is too old for our signature algorithms: it offers only ssh-rsa; .*must update sshd",
        extra="HostKeyAlgorithms ssh-rsa",
        host_key="rsa",
    ),
    "only ssh-rsa signatures, another key in the registry": Ending(
        SiteUnreachableError, "too old for our signature algorithms", "HostKeyAlgorithms ssh-rsa", host_key="rsa",
        target=other_key("rsa"),
    ),
    "only ssh-rsa signatures, an ed25519 key in the registry": Ending(
        SiteUnreachableError, "too old for our signature algorithms", "HostKeyAlgorithms ssh-rsa", host_key="rsa",
        target=other_key("ed25519"),
    ),
    "an old key exchange": Ending(
        SiteUnreachableError,
        r"too old for our algorithms.*of its key exchanges \(diffie-hellman-group1-sha1\) we take none.*curve25519",
        extra="KexAlgorithms diffie-hellman-group1-sha1",
    ),
    "an old cipher": Ending(SiteUnreachableError, r"ciphers \(3des-cbc\) we take none.*aes128-gcm", "Ciphers 3des-cbc"),
    "an old MAC": Ending(
        SiteUnreachableError, r"MACs \(hmac-md5\) we take none.*hmac-sha2-256", "Ciphers aes128-ctr\nMACs hmac-md5"
    ),
    # --- host keys
    "another host key": Ending(
        HostKeyError, r"another host key than the registry has \(SHA256:\S{43}\).* Confirm", target=other_key("ed25519")
    ),
    "a host key of another type": Ending(
        HostKeyError,
        r"shows another host key than the registry has \(none of the type ecdsa-sha2-nistp256; it offers ssh-ed25519\)",
        target=other_key("ecdsa"),
    ),
    # --- our key
    "a key that is not authorised": Ending(
        SiteUnreachableError, "log in with our ed25519 key. Ask .*still authorised", target=stranger("ed25519")
    ),
    "another type of key that is not authorised": Ending(
        SiteUnreachableError, "log in with our rsa key.*rsa keys are allowed", target=stranger("rsa")
    ),
    "a type of key that is not allowed": Ending(
        SiteUnreachableError, "with our ed25519 key.*PubkeyAcceptedAlgorithms", "PubkeyAcceptedAlgorithms rsa-sha2-512"
    ),
    "a key that is not authorised, and a banner": Ending(
        SiteUnreachableError, r"key\. It says: Closed for maintenance until Monday\. Ask", "Banner {folder}/banner",
        target=stranger("ed25519"),
    ),
    "a private key that is none": Ending(ConfigurationError, "keys of SITE-A: cannot be read", target=no_key),
    "a private key that is not there": Ending(
        ConfigurationError, "keys of SITE-A: cannot be read", target=lambda s, f: {"key_file": f / "nowhere"}
    ),
    # --- logins that end
    "false": Ending(SiteUnreachableError, r"ended \(code 1\) before our script began\. Check", forced="/bin/false"),
    "nologin": Ending(
        SiteUnreachableError, r"\(code 1\).*says: This account is currently not available\.", forced="/usr/sbin/nologin"
    ),
    "an expired password": Ending(
        SiteUnreachableError, r"It says: WARNING: Your password has expired\. Password change required but no TTY",
        login=f"printf '{EXPIRED}\\n' >&2; exit 1",
    ),
    "a message of the day, then the reason, on both outputs": Ending(
        SiteUnreachableError, r"\(code 3\).*It says: No batch logins here\. Welcome to the cluster\. Check",
        login="echo Welcome to the cluster.; echo No batch logins here. >&2; exit 3",
    ),
    "a banner, then the end": Ending(
        SiteUnreachableError, r"\(code 1\).*It says: Closed for maintenance until Monday\. Check",
        "Banner {folder}/banner", forced="/bin/false",
    ),
    "very much text": Ending(
        SiteUnreachableError, r"It says: …[a-z ]{450,497}the disk is broken\. Check",
        login="n=0; while [ $n -lt 300 ]; do echo welcome to us; n=$((n+1)); done; echo the disk is broken; exit 1",
    ),
    "hostile text": Ending(
        SiteUnreachableError, r"It says: x evil\. Check",
        login="printf 'x\\033[2J\\342\\200\\256evil\\r\\n' >&2; exit 9",
    ),
    "colours and a title": Ending(
        SiteUnreachableError, r"It says: Closed until Monday\. Check",
        login=r"printf '\033[1;31mClosed\033[0m \033]0;title\007until \033(BMonday\r\n' >&2; exit 1",
    ),
    "UTF-16": Ending(
        SiteUnreachableError, r"It says: Closed\. Check", login=r"printf '\377\376C\0l\0o\0s\0e\0d\0.\0\n\0'; exit 1"
    ),
    "ISO-8859-1": Ending(
        SiteUnreachableError, r"It says: Ferm\ufffd jusqu\ufffd lundi\. Check",
        login=r"printf 'Ferm\351 jusqu\340 lundi\n'; exit 1",
    ),
    "a megabyte": Ending(
        SiteError, "said more than 65536 bytes and was cut off", login="yes welcome | head -c 1000000"
    ),
    "text without an end, then our script": Ending(
        None, "0", login=r"""printf '\377\376h\0no end'; exec sh -c "$SSH_ORIGINAL_COMMAND" """
    ),
    "exit in .bashrc": Ending(
        SiteUnreachableError, r"\(code 4\) before our script began\. Check",
        login=BASHRC.format("exit 4"),
    ),
    "exec bash in .bashrc": Ending(
        SiteUnreachableError, r"no answer within 1 s\. Check .*another shell there \(`exec bash` in .bashrc\)",
        connect_s=1, login=BASHRC.format("exec bash"),
    ),
    "another shell": Ending(SiteUnreachableError, "no answer within 1 s", login="exec tcsh -f", connect_s=1),
    "another command": Ending(
        SiteUnreachableError, r"\(code 0\) before our script began\. It says: only this\. Check", login="echo only this"
    ),
    "255 before our script": Ending(
        SiteUnreachableError, r"\(code 255\).*It says: no room", login="echo no room; exit 255"
    ),
    "a login that is killed": Ending(SiteUnreachableError, "killed at the site", login="kill -9 $$"),
    # --- logins that never come to a shell
    "internal-sftp": Ending(SiteUnreachableError, "an SFTP-only account", forced="internal-sftp", connect_s=1.0),
    "sftp-server": Ending(SiteUnreachableError, "an SFTP-only account", forced=f"{SFTP_SERVER} -c x", connect_s=1.0),
    "a login that waits for ever": Ending(
        SiteUnreachableError, r"no answer within 1 s", login="exec cat >/dev/null", connect_s=1.0
    ),
    "a login that asks for something": Ending(
        SiteUnreachableError,
        r"no answer within 1 s\. It says: Your password must be changed\. New password:\. Check",
        login="echo Your password must be changed. >&2; printf 'New password:'; exec cat >/dev/null",
        connect_s=1.0,
    ),
    "no sessions": Ending(SiteUnreachableError, "lets us log in, but runs no command for us", "MaxSessions 0"),
    # --- scripts
    "255 after the greeting": Ending(None, "255", script="echo in; echo aside >&2; exit 255"),
    "254 after the greeting": Ending(None, "254", script="exit 254"),
    "a script that is killed": Ending(SiteUnreachableError, "killed at the site", script="kill -9 $$"),
    "a connection that ends": Ending(SiteUnreachableError, r"the connection broke\.", script="kill -9 $PPID; sleep 5"),
}  # fmt: skip


def outcome(shell: SiteShell, target: SshTarget, script: str, limits: SiteLimits) -> tuple[type | None, str]:
    try:
        output: ScriptOutput = asyncio.run(run_script(shell, target, script, [], limits))
    except RolloutError as error:
        return type(error), str(error)
    return None, str(output.exit_code)


def outcomes(target: SshTarget, script: str = "echo in", connect_s: float = 10) -> list[tuple[type | None, str]]:
    limits = SiteLimits(connect_s=connect_s, silence_s=10, total_s=20)
    return [outcome(shell, target, script, limits) for shell in (OpenSshShell(), AsyncsshShell())]


@pytest.mark.parametrize("name", ENDINGS)
def test_both_clients_give_an_ending_the_same_class_and_the_same_words(tmp_path: Path, name: str) -> None:
    ending = ENDINGS[name]
    (tmp_path / "banner").write_text("Closed for maintenance until Monday.\n")
    forced = login_through(tmp_path, "login", ending.login) if ending.login else ending.forced
    extra = ending.extra.replace("{folder}", str(tmp_path))
    with running_sshd(tmp_path / "sshd", force_command=forced, extra=extra, host_key_kind=ending.host_key) as server:
        target = server.target(**ending.target(server, tmp_path))
        openssh, asyncssh = outcomes(target, ending.script, ending.connect_s)

    assert openssh == asyncssh
    assert openssh[0] is ending.error
    assert re.search(ending.says, openssh[1]), openssh[1]


@contextmanager
def something_else(answer: bytes) -> Iterator[int]:
    """A server that says this to everybody and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"Exceeded MaxStartups: connection refused\r\n",
        b"SSH-2.0-x\r\n" + bytes(100),
        b"\xff" * 5000,
    ],
)
def test_what_is_no_ssh_server_is_unreachable_with_both_clients(tmp_path: Path, answer: bytes) -> None:
    key = new_key(tmp_path / "id")
    with something_else(answer) as port:
        target = SshTarget("SITE-A", "127.0.0.1", port, "ppsadm", public_key(key), key)
        openssh, asyncssh = outcomes(target)
    assert openssh == asyncssh
    assert openssh[0] is SiteUnreachableError
    assert "cannot be reached (the connection ended before the login)" in openssh[1]


def test_a_site_cannot_fill_our_disk_or_memory_with_what_the_client_logs_of_it(tmp_path: Path) -> None:
    login = login_through(tmp_path, "login", "yes x | head -c 60000 >&2; exit 1")
    with running_sshd(tmp_path / "sshd", force_command=login) as server:
        for kind, text in outcomes(server.target()):
            assert kind is SiteUnreachableError
            assert len(text.partition("It says: ")[2].partition(" Check")[0]) <= 500


class _HangsUp(asyncssh.SSHServer):
    """As an sshd whose PAM says that the account has expired."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn

    def begin_auth(self, username: str) -> bool:
        self.connection.abort()
        return True


def test_an_sshd_that_hangs_up_when_we_log_in_is_no_unreachable_host(tmp_path: Path) -> None:
    key = new_key(tmp_path / "id")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen("127.0.0.1", 0, server_factory=_HangsUp, server_host_keys=[str(key)])

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        target = SshTarget("SITE-A", "127.0.0.1", server.get_port(), "ppsadm", public_key(key), key)
        openssh, other = outcomes(target)
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
    assert openssh == other
    assert openssh[0] is SiteUnreachableError
    assert "ends the connection when we log in. Ask" in openssh[1]
