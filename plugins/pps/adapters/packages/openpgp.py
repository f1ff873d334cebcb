"""Keys of our own repositories, their signatures, and how these are checked, by GnuPG's own programs.

Each use of a secret key has a key ring of its own: a folder that only we can enter, gone when the context ends. The
secret comes to `gpg` on its standard input, never in an argument or in a file that others could read. GnuPG starts an
agent for it; the agent has ended before the folder goes.
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

from pps.adapters.packages.gnupg import PREFIX, gpgv, run
from pps.domain.base.errors import ConfigurationError, PackageError, ServiceError
from pps.domain.packages.repository_seals import PublicKey

_GONE_WITHIN_S = 10.0
#: A socket's path has 107 characters at most, and the agent's lies in the folder.
_LONGEST_FOLDER = 60
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
    """The secret key that is the (unquoted) password of a Connection; `ConfigurationError` if it is not one."""
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
    home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    try:
        yield home
    finally:
        _end_agent(home)
        shutil.rmtree(home, ignore_errors=True)


def _sweep(base: Path) -> None:
    """Remove what a killed process left; an agent whose folder is gone ends by itself."""
    for left in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = left.lstat()
            if status.st_uid == os.getuid() and time.time() - status.st_mtime > _FORGOTTEN.total_seconds():
                shutil.rmtree(left, ignore_errors=True)


def _end_agent(home: Path) -> None:
    """End the agent of a key ring, and see that it has ended."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = run(["gpg-connect-agent", "--no-autostart", "--homedir", str(home), "GETINFO pid", "/bye"], b"")
        found = re.search(rb"^D (\d+)", asked.stdout, re.MULTILINE)
        run(["gpgconf", "--homedir", str(home), "--kill", "all"], b"")
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
    with contextlib.suppress(OSError, IndexError):  # one that has ended, and has not been waited for, does no harm
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return True


# --- public keys ---------------------------------------------------------------------------------


def keys_in(data: bytes) -> tuple[PublicKey, ...]:
    """The keys in an exported key ring, public or secret; `ConfigurationError` if there are none."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as home:
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
    """The same keys except one, armoured."""
    left = [key.fingerprint for key in keys_in(public) if key.fingerprint != fingerprint]
    with _home() as home:
        _gpg(home, "--import", given=public)
        return _gpg(home, "--armor", "--export-options", "export-minimal", "--export", *left) if left else b""


def dearmoured(keys: bytes) -> bytes:
    """Public keys as gpgv reads them, without their armour. `ValueError` if an armoured one is damaged."""
    if b"-----BEGIN PGP" not in keys:
        return keys
    # besides the key an armour holds headers (Version: ...) and a checksum (=...)
    blocks = (block.replace(b"\r", b"").split(b"\n") for block in _BLOCK.findall(keys))
    bodies = (b"".join(line.strip() for line in lines if b":" not in line and line[:1] != b"=") for lines in blocks)
    return b"".join(base64.b64decode(body, validate=True) for body in bodies)


_BLOCK = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t\r]*\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)


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
    said = gpgv(dearmoured(public), signed, detached)
    # the last word of VALIDSIG is the primary key, of which ours have no other
    signers = frozenset(s.valid[-1] for s in said.signatures if s.valid)
    good = sum(s.verdict == "GOODSIG" for s in said.signatures)
    bad = [word for word in said.keywords if word in _BAD]
    if detached is None and signed.count(_BEGIN) != 1:  # of two blocks it would not be clear what was signed
        bad.append("not one signed text")
    data = said.data if detached is None else signed
    if bad or not signers or good < len(signers) or data is None:
        none = (word for word in said.keywords if word in ("NODATA", "NO_PUBKEY"))
        why = ", ".join(bad) or next(none, "no signature")
        raise PackageError(
            subject,
            f"is not signed by our key ({why}).",
            "Find out who has written it; nothing is taken from it.",
        )
    return VerifiedSignature(data, signers)


_BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----"
_BAD = ("BADSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "KEYREVOKED", "UNEXPECTED")


#: What gpg says when its agent does not come up: on a busy machine that takes longer than the five seconds gpg waits.
_PASSES = re.compile(r"agent|IPC|[Tt]imeout|Connection|temporarily", re.ASCII)
_TRIES = 3


def _gpg(home: Path, *arguments: str, given: bytes = b"", may_fail: bool = False) -> bytes:
    why = ""
    for _ in range(_TRIES):
        done = run(["gpg", "--homedir", str(home), "--batch", "--no-tty", "--quiet", *arguments], given)
        if done.returncode == 0:
            return done.stdout
        told = done.stderr.decode(errors="replace").strip()
        why = (told.splitlines() or ["no reason given"])[-1][:200]
        if _PASSES.search(told):
            continue
        if may_fail:
            return done.stdout
        raise ConfigurationError("signing key", f"cannot be used ({why}).", "Look at: pps keys show")
    raise ServiceError("GnuPG", f"did not get its agent in {_TRIES} tries ({why}).", "Is this machine overloaded?")
