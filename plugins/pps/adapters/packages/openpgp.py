"""Keys of our own repositories, their signatures, and the check of these, by GnuPG's own programs.

Each use of a secret key has a key ring of its own: a folder that only we can enter, which goes with the context. The
secret comes to `gpg` on its standard input, never in an argument or in a file that others could read. GnuPG starts an
agent for it; that has ended before the folder goes.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from pps.domain.base.errors import ConfigurationError, PackageError
from pps.domain.packages.repository_seals import PublicKey

_SECONDS = 120
_GONE_WITHIN_S = 10.0
#: A socket's path has 107 characters at most, and the agent's lies in the folder.
_LONGEST_FOLDER = 60
_PREFIX = "pps-gpg-"
_FORGOTTEN = timedelta(hours=1)
#: rsa3072: what every gpg, apt and rpm in production reads, old ones and those in FIPS mode as well.
ALGORITHM = "rsa3072"


@dataclass(frozen=True)
class MadeKey:
    """A new key. The secret never stands in its repr."""

    key: PublicKey
    public: str
    """armoured"""
    secret: bytes = field(repr=False)


# --- secret keys ---------------------------------------------------------------------------------


def make_key(name: str, valid_for: timedelta) -> MadeKey:
    """Make a key that can do nothing but sign."""
    days = f"{max(1, valid_for // timedelta(days=1))}d"
    with _home() as home:
        without = ("--pinentry-mode", "loopback", "--passphrase", "")
        _gpg(home, *without, "--quick-generate-key", name, ALGORITHM, "sign", days)
        public = _gpg(home, "--armor", "--export-options", "export-minimal", "--export").decode()
        secret = _gpg(home, *without, "--export-options", "export-minimal", "--export-secret-keys")
    (key,) = keys_in(public.encode())
    return MadeKey(key, public, secret)


@dataclass(frozen=True)
class Signatures:
    """What `sign` made of one text."""

    clear: str
    """the text with its signature (InRelease)"""
    detached: str


def sign(secrets: Sequence[bytes], text: str) -> Signatures:
    """Sign a text with every one of these keys."""
    with _home() as home:
        users = _imported(home, secrets)
        options = ("--digest-algo", "SHA512", *users)
        clear = _gpg(home, *options, "--clear-sign", given=text.encode()).decode()
        detached = _gpg(home, *options, "--armor", "--detach-sign", given=text.encode()).decode()
    return Signatures(clear, detached)


def sign_detached(secrets: Sequence[bytes], data: bytes) -> str:
    """An armoured signature by every one of these keys."""
    with _home() as home:
        options = ("--digest-algo", "SHA512", *_imported(home, secrets))
        return _gpg(home, *options, "--armor", "--detach-sign", given=data).decode()


def as_connection(secret: bytes) -> str:
    """A secret key as the URI of a Connection, where it is the password."""
    return f"pgp://:{quote(base64.urlsafe_b64encode(secret).decode())}@signing"


def from_connection(password: str) -> bytes:
    """The secret key that is the (unquoted) password of a Connection; `ConfigurationError` if it is none."""
    try:
        secret = base64.b64decode(password.strip().encode(), altchars=b"-_", validate=True)
        keys_in(secret)
    except (ValueError, ConfigurationError) as error:
        raise ConfigurationError(
            "connection pps_signing", "holds no key.", "Take it from the file that pps keys make wrote."
        ) from error
    return secret


def _imported(home: Path, secrets: Sequence[bytes]) -> tuple[str, ...]:
    users: list[str] = []
    for secret in secrets:
        for key in keys_in(secret):
            users += ["--local-user", f"{key.fingerprint}!"]
        _gpg(home, "--import", given=secret)
    return tuple(users)


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """A key ring for one use; no file and no process of it is left."""
    base = Path(tempfile.gettempdir())
    if len(str(base)) > _LONGEST_FOLDER:
        base = Path("/tmp")  # noqa: S108 (mkdtemp makes a folder of our own in it, 0700)
    _sweep(base)
    home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    try:
        yield home
    finally:
        _end_agent(home)
        shutil.rmtree(home, ignore_errors=True)


def _sweep(base: Path) -> None:
    """What a process left that was killed; an agent whose folder is gone ends by itself."""
    for left in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = left.lstat()
            if status.st_uid == os.getuid() and time.time() - status.st_mtime > _FORGOTTEN.total_seconds():
                shutil.rmtree(left, ignore_errors=True)


def _end_agent(home: Path) -> None:
    """End the agent of a key ring, and see that it has ended."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = _run(["gpg-connect-agent", "--no-autostart", "--homedir", str(home), "GETINFO pid", "/bye"], b"")
        found = re.search(rb"^D (\d+)", asked.stdout, re.MULTILINE)
        _run(["gpgconf", "--homedir", str(home), "--kill", "all"], b"")
        if found is None:
            return
        pid, deadline = int(found[1]), time.monotonic() + _GONE_WITHIN_S
        while _lives(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        if _lives(pid):
            os.kill(pid, signal.SIGKILL)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    with contextlib.suppress(OSError, IndexError):  # one that has ended, and that nobody has asked for, does no harm
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return True


# --- public keys ---------------------------------------------------------------------------------


def keys_in(data: bytes) -> tuple[PublicKey, ...]:
    """The keys in an exported key ring, public or secret; `ConfigurationError` if there are none."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as home:
        shown = _gpg(Path(home), "--no-autostart", "--with-colons", "--show-keys", given=data, may_fail=True)
    found: list[PublicKey] = []
    fields: list[str] = []
    fingerprint = ""
    for line in shown.decode(errors="replace").split("\n"):
        parts = line.split(":")
        if parts[0] in ("pub", "sec"):
            fields, fingerprint = parts, ""
        elif parts[0] == "fpr" and fields and not fingerprint:
            fingerprint = parts[9]
        elif parts[0] == "uid" and fields:
            ends = datetime.fromtimestamp(int(fields[6]), UTC) if fields[6].isdigit() else None
            found.append(PublicKey(fingerprint, parts[9], ends, revoked=fields[1] == "r"))
            fields = []
    if not found:
        raise ConfigurationError("signing key", "is no OpenPGP key.", "Make one: pps keys make --help")
    return tuple(found)


def public_without(public: bytes, fingerprint: str) -> bytes:
    """The same keys but one, armoured."""
    left = [key.fingerprint for key in keys_in(public) if key.fingerprint != fingerprint]
    with _home() as home:
        _gpg(home, "--import", given=public)
        return _gpg(home, "--armor", "--export-options", "export-minimal", "--export", *left) if left else b""


def dearmoured(text: bytes) -> bytes:
    """Armoured keys as a key ring for gpgv, which reads no armour; anything else as it is."""
    blocks = re.findall(
        rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", text, re.DOTALL
    )
    ring = b""
    for block in blocks:
        _, _, body = block.replace(b"\r\n", b"\n").rpartition(b"\n\n")
        body = body if body else block
        lines = [line for line in body.split(b"\n") if line and not line.startswith(b"=") and b":" not in line]
        ring += base64.b64decode(b"".join(lines))
    return ring if blocks else text


# --- the check -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class VerifiedSignature:
    """A text that our keys have signed."""

    data: bytes
    """the signed part, and nothing else"""
    signers: frozenset[str]
    """fingerprints of those of our keys that have signed it"""


def verified(public: bytes, subject: str, signed: bytes, detached: bytes | None = None) -> VerifiedSignature:
    """What is signed by at least one of these keys, and badly by none; `PackageError` otherwise.

    Args:
        public: the keys, armoured.
        detached: the signature, where it is not in the text itself.
    """
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        ring, message, text, signature = (Path(folder, name) for name in ("ring.gpg", "message", "text", "signature"))
        ring.write_bytes(dearmoured(public))
        message.write_bytes(signed)
        command = ["gpgv", "--homedir", folder, "--status-fd", "1", "--keyring", str(ring)]
        if detached is None:
            done = _run([*command, "--output", str(text), str(message)], b"")
        else:
            signature.write_bytes(detached)
            done = _run([*command, str(signature), str(message)], b"")
        words = [line.split() for line in done.stdout.decode(errors="replace").split("\n")]
        said = [(w[1], w[2:]) for w in words if len(w) > 1 and w[0] == "[GNUPG:]"]
        # the last word of VALIDSIG is the primary key, of which ours have no other
        signers = frozenset(rest[-1] for word, rest in said if word == "VALIDSIG")
        good = sum(word == "GOODSIG" for word, _ in said)
        bad = [word for word, _ in said if word in _BAD]
        if detached is None and signed.count(_BEGIN) != 1:  # of two blocks it would not be clear what was signed
            bad.append("not one signed text")
        if bad or not signers or good < len(signers):
            why = ", ".join(bad) or next((word for word, _ in said if word in ("NODATA", "NO_PUBKEY")), "no signature")
            raise PackageError(
                subject,
                f"is not signed by our key ({why}).",
                "Find out who has written it; nothing is taken from it.",
            )
        return VerifiedSignature(text.read_bytes() if detached is None else signed, signers)


_BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----"
_BAD = ("BADSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "KEYREVOKED", "UNEXPECTED")


def _gpg(home: Path, *arguments: str, given: bytes = b"", may_fail: bool = False) -> bytes:
    done = _run(["gpg", "--homedir", str(home), "--batch", "--no-tty", "--quiet", *arguments], given)
    if done.returncode != 0 and not may_fail:
        why = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise ConfigurationError("signing key", f"cannot be used ({why[:200]}).", "Look at: pps keys show")
    return done.stdout


def _run(command: list[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        # nothing of ours: the environment may hold the secret, and what it says of GnuPG is not for us
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}
        return subprocess.run(command, input=given, capture_output=True, timeout=_SECONDS, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            command[0], f"cannot be run ({type(error).__name__}).", "Install gnupg and gpgv."
        ) from error
