"""OpenPGP signatures of repository indexes, checked by `gpgv` and judged as APT 2.6 does.

`gpgv` verifies against exactly the keys of one keyring file, knows neither trust databases nor key servers, and comes
with APT; Python has no maintained implementation of its own. Its exit code alone says too little: it is 0 as well for
keys that were revoked or have expired, and for SHA1. So each signature is judged by its `--status-fd`.
"""

from __future__ import annotations

import base64
import binascii
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pps.domain.base.errors import ConfigurationError, PackageError
from pps.domain.packages.release_files import FUTURE

_SECONDS = 60
_KEYRING_BYTES = 16 << 20
_NEXT = "Do not use it. Ask the provider."
_FIX = "Correct package_keys in service.yaml."
#: RFC 4880, 9.4, and RFC 9580; APT believes these, too (methods/gpgv.cc).
_STRONG_HASHES = {"8": "SHA256", "9": "SHA384", "10": "SHA512", "11": "SHA224", "12": "SHA3-256", "14": "SHA3-512"}
_WEAK_HASHES = {"1": "MD5", "2": "SHA1", "3": "RIPEMD160"}
_REFUSED = {
    "BADSIG": "{of} is not one over this text: it was changed, or belongs to another",
    "EXPSIG": "{of} has expired",
    "EXPKEYSIG": "key {key} has expired",
    "REVKEYSIG": "key {key} was revoked by its owner",
}
_BLOCK = re.compile(r"-----BEGIN PGP PUBLIC KEY BLOCK-----\s*\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)
_BEGIN, _SIGNATURE, _END = (
    f"-----{word}-----" for word in ("BEGIN PGP SIGNED MESSAGE", "BEGIN PGP SIGNATURE", "END PGP SIGNATURE")
)


def signed_text(keyring: Path, subject: str, clear_signed: str, now: datetime) -> str:
    """The signed part of a clear-signed text (InRelease), which may hold nothing else."""
    _gpgv()  # before anything is said of the signature
    lines = [line.rstrip() for line in clear_signed.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    marks = [line for line in lines if line in (_BEGIN, _SIGNATURE, _END)]
    if marks != [_BEGIN, _SIGNATURE, _END] or lines[0] != _BEGIN or lines[-1] != _END:
        raise PackageError(subject, "is not one clear-signed text and nothing else.", _NEXT)
    with tempfile.TemporaryDirectory() as folder:
        message, text = Path(folder, "message"), Path(folder, "text")
        message.write_text(clear_signed, encoding="utf-8", newline="")
        _verify(Path(folder), keyring, subject, now, "--output", str(text), str(message))
        try:
            return text.read_text(encoding="utf-8")
        except OSError as error:
            raise PackageError(subject, "is signed, but its text cannot be read by gpgv.", _NEXT) from error


def check_detached(keyring: Path, subject: str, text: str, signature: str, now: datetime) -> None:
    """Check a detached, armoured signature (Release.gpg, repomd.xml.asc)."""
    _gpgv()  # before anything is said of the signature
    if not signature.lstrip().startswith(_SIGNATURE):
        raise PackageError(subject, "is not signed: what stands beside it is no armoured signature.", _NEXT)
    with tempfile.TemporaryDirectory() as folder:
        message, detached = Path(folder, "message"), Path(folder, "signature")
        message.write_text(text, encoding="utf-8", newline="")
        detached.write_text(signature, encoding="utf-8", newline="")
        _verify(Path(folder), keyring, subject, now, str(detached), str(message))


def why_keyring_is_none(keyring: Path) -> str:
    """Say what is wrong with a keyring; empty if it can be used."""
    try:
        _gpgv()
        keys_of(keyring)
    except ConfigurationError as error:
        return error.why
    return ""


@dataclass
class _Signature:
    """What gpgv says of one signature."""

    verdict: str = ""
    """GOODSIG, BADSIG, EXPSIG, EXPKEYSIG, REVKEYSIG or ERRSIG"""
    key: str = ""
    words: list[str] = field(default_factory=list)
    """of the verdict"""
    valid: list[str] = field(default_factory=list)
    """VALIDSIG: fingerprint, day, made at, expires at, version, -, key's algorithm, hash's algorithm, ..."""
    revoked: bool = False

    def why_not(self, now: datetime) -> str:
        """Why it proves nothing; empty if it is good."""
        of = f"the signature of key {self.key}"
        verdict = "REVKEYSIG" if self.revoked else self.verdict
        if verdict == "ERRSIG":
            if self.words[5:6] == ["9"]:
                return f"key {self.key} is not in the keyring"
            weak = _WEAK_HASHES.get("".join(self.words[2:3]))
            return f"{of} uses {weak}, which can be forged" if weak else f"{of} cannot be checked"
        if verdict != "GOODSIG":
            return _REFUSED.get(verdict, "gpgv says nothing of {of}").format(of=of, key=self.key)
        valid = [*self.valid, *[""] * 8]  # of a verdict without VALIDSIG, nothing is right
        made, expires = _moment(valid[2]), _moment(valid[3])
        weak = _WEAK_HASHES.get(valid[7], f"the hash algorithm {valid[7]!r}")
        rules = (
            (not valid[0].endswith(self.key) or not self.key, f"gpgv does not call {of} valid"),
            (valid[7] not in _STRONG_HASHES, f"{of} uses {weak}, which can be forged"),
            (made is None or made > now + FUTURE, f"{of} was made in the future"),
            (valid[3] != "0" and (expires is None or expires <= now), f"{of} has expired"),
        )
        return next((why for broken, why in rules if broken), "")


def _moment(word: str) -> datetime | None:
    """Seconds since 1970, or ISO 8601: gpgv writes either."""
    try:
        if word.isascii() and word.isdigit():
            return datetime.fromtimestamp(int(word), UTC)
        return datetime.strptime(word, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None


_VERDICTS = ("GOODSIG", "BADSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "ERRSIG")


def _signatures(status: str) -> list[_Signature]:
    found: list[_Signature] = []
    for line in status.split("\n"):
        mark, _, rest = line.partition(" ")
        word, *words = rest.split(" ")
        if mark != "[GNUPG:]":
            continue
        if word == "NEWSIG" or (word in _VERDICTS and (not found or found[-1].verdict)):
            found.append(_Signature())
        if word in _VERDICTS:
            found[-1].verdict, found[-1].key, found[-1].words = word, "".join(words[:1])[:40], words
        elif word == "VALIDSIG" and found:
            found[-1].valid = words
        elif word == "KEYREVOKED" and found:
            found[-1].revoked = True
    return found


def _verify(folder: Path, keyring: Path, subject: str, now: datetime, *files: str) -> None:
    """At least one good signature by a key of the keyring, and none over another text: APT's rule."""
    keys = folder / "keys.gpg"
    keys.write_bytes(keys_of(keyring))
    command = [_gpgv(), "--homedir", str(folder), "--status-fd", "1", "--keyring", str(keys), *files]
    done = _run(command)
    signatures = _signatures(done.stdout)
    problems = [why for s in signatures if (why := s.why_not(now))]
    bad = any(s.verdict == "BADSIG" for s in signatures)
    # 2: something beside the good signature could not be checked, such as one of a key that we do not have
    if len(problems) < len(signatures) and not bad and done.returncode in (0, 2):
        return
    if not signatures:
        nodata = re.search(r"^\[GNUPG:\] (NODATA|UNEXPECTED)", done.stdout, re.MULTILINE)
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
        problems = ["it holds no signature" if nodata else f"gpgv says: {last}"]
    reasons = "; ".join(dict.fromkeys(problems[:5])) or f"gpgv ended with {done.returncode}"
    raise PackageError(subject, f"is not signed by a key of the configured keyring as it must be: {reasons}.", _NEXT)


def _gpgv() -> str:
    gpgv = shutil.which("gpgv")
    if gpgv is None:
        raise ConfigurationError(
            "service.yaml, package_keys", "asks for signed repositories, but gpgv is not installed.", "Install gpgv."
        )
    return gpgv


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            command[0], f"cannot be run ({type(error).__name__}).", "Check its installation."
        ) from error


def keys_of(keyring: Path) -> bytes:
    """The keys of a file as gpgv reads them: providers publish armoured ones, of which it reads none."""
    subject = f"keyring {keyring}"
    try:
        with keyring.open("rb") as file:
            data = file.read(_KEYRING_BYTES + 1)
    except OSError as error:
        why = "is not there." if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})."
        raise ConfigurationError(subject, why, _FIX) from error
    if b"PRIVATE KEY BLOCK" in data:
        raise ConfigurationError(subject, "holds a secret key, which belongs to its owner alone.", _FIX)
    if len(data) > _KEYRING_BYTES:
        raise ConfigurationError(subject, f"is larger than {_KEYRING_BYTES} bytes.", _FIX)
    if b"-----BEGIN PGP" in data:
        data = b"".join(_unarmoured(subject, block) for block in _BLOCK.findall(data.decode(errors="replace")))
    if not data:
        raise ConfigurationError(subject, "holds no public keys.", _FIX)
    return data


def _unarmoured(subject: str, block: str) -> bytes:
    headers, _, body = f"\n{block}".replace("\r", "").partition("\n\n")
    lines = [line.strip() for line in (body if _ else headers).split("\n")]
    try:
        return base64.b64decode("".join(line for line in lines if line and not line.startswith("=")), validate=True)
    except binascii.Error as error:
        raise ConfigurationError(subject, "holds an armoured key that is damaged.", _FIX) from error
