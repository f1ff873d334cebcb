"""GnuPG's programs: how they are run, and what `gpgv` says of signatures.

`gpgv` verifies against exactly the keys of one ring, knows neither trust databases nor key servers, and comes with
APT; Python has no maintained implementation of its own. Its exit code alone says too little: it is 0 even for keys
that were revoked or have expired, and for SHA1. So its status lines are read, here and nowhere else. What follows from
them is for the caller to say: `signatures` for the repositories of others, `openpgp` for ours.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from pps.domain.base.errors import ConfigurationError, ServiceError

#: Of our temporary folders.
PREFIX = "pps-gpg-"
_SECONDS = 120
_MARK = "[GNUPG:] "
_VERDICTS = ("GOODSIG", "BADSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "ERRSIG")


@dataclass
class Signature:
    """What gpgv says of one signature."""

    verdict: str = ""
    """GOODSIG, BADSIG, EXPSIG, EXPKEYSIG, REVKEYSIG or ERRSIG"""
    key: str = ""
    words: list[str] = field(default_factory=list)
    """of the verdict"""
    valid: list[str] = field(default_factory=list)
    """VALIDSIG: fingerprint, day, made at, expires at, version, -, key's algorithm, hash's, ..., primary key"""
    revoked: bool = False

    @property
    def owner(self) -> str:
        """Fingerprint of the primary key, by which people know it; that of the very key where gpgv names no other."""
        return (self.valid[9:10] or self.valid[:1] or [self.key])[0]


@dataclass(frozen=True)
class Said:
    """What gpgv says of a text."""

    signatures: tuple[Signature, ...]
    keywords: tuple[str, ...]
    """of all its status lines, such as NODATA"""
    data: bytes | None
    """the part of a clear-signed text that is signed, where gpgv can tell"""
    code: int
    last: str
    """line for people"""


def gpgv(ring: bytes, signed: bytes, detached: bytes | None = None) -> Said:
    """Ask gpgv.

    Args:
        ring: public keys, not armoured.
        signed: the text, clear-signed unless its signature is `detached`.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX) as home:
        keys, message, text, signature = (Path(home, name) for name in ("keys.gpg", "message", "text", "signature"))
        keys.write_bytes(ring)
        message.write_bytes(signed)
        command = ["gpgv", "--homedir", home, "--status-fd", "1", "--keyring", str(keys)]
        if detached is None:
            command += ["--output", str(text), str(message)]
        else:
            signature.write_bytes(detached)
            command += [str(signature), str(message)]
        done = run(command)
        status, told = (out.decode(errors="replace") for out in (done.stdout, done.stderr))
        lines = [line.removeprefix(_MARK).split(" ") for line in status.split("\n") if line.startswith(_MARK)]
        return Said(
            tuple(_signatures(lines)),
            tuple(words[0] for words in lines),
            text.read_bytes() if text.exists() else None,
            done.returncode,
            (told.strip().splitlines() or ["no reason given"])[-1][:200],
        )


def _signatures(lines: list[list[str]]) -> list[Signature]:
    found: list[Signature] = []
    for word, *words in lines:
        if word == "NEWSIG" or (word in _VERDICTS and (not found or found[-1].verdict)):
            found.append(Signature())
        if word in _VERDICTS:
            found[-1].verdict, found[-1].key, found[-1].words = word, "".join(words[:1])[:40], words
        elif word == "VALIDSIG" and found:
            found[-1].valid = words
        elif word == "KEYREVOKED" and found:
            found[-1].revoked = True
    return found


def run(command: list[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run one of GnuPG's programs; `ConfigurationError` if that is not possible, `ServiceError` if it never ends."""
    try:
        # nothing of ours: the environment may hold a secret, and what it says of GnuPG is not for us
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}
        return subprocess.run(command, input=given, capture_output=True, timeout=_SECONDS, check=False, env=environment)
    except subprocess.TimeoutExpired as error:
        raise ServiceError(command[0], f"has not ended within {_SECONDS} s.", "Is this machine overloaded?") from error
    except OSError as error:
        raise ConfigurationError(
            command[0], f"cannot be run ({type(error).__name__}).", "Install gnupg and gpgv."
        ) from error
