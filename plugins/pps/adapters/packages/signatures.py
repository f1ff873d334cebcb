"""OpenPGP signatures of repository indexes, checked by `gpgv` (see gnupg.py) and judged as APT 2.6 does."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from pps.adapters.packages.gnupg import Said, Signature, gpgv
from pps.adapters.packages.openpgp import dearmoured
from pps.domain.base.errors import ConfigurationError, PackageError
from pps.domain.packages.release_files import FUTURE

_KEYRING_BYTES = 16 << 20
_NEXT = "Do not use it. Ask the provider."
_FIX = "Correct package_keys in service.yaml."
#: RFC 4880, 9.4, and RFC 9580; APT believes these, too (methods/gpgv.cc).
_STRONG_HASHES = {"8": "SHA256", "9": "SHA384", "10": "SHA512", "11": "SHA224", "12": "SHA3-256", "14": "SHA3-512"}
_WEAK_HASHES = {"1": "MD5", "2": "SHA1", "3": "RIPEMD160"}
_REFUSED = {
    "BADSIG": "{of} is not one over this text: the text was changed, or the signature is for another",
    "EXPSIG": "{of} has expired",
    "EXPKEYSIG": "key {key} has expired",
    "REVKEYSIG": "key {key} was revoked by its owner",
}
_BEGIN, _SIGNATURE, _END = (
    f"-----{word}-----" for word in ("BEGIN PGP SIGNED MESSAGE", "BEGIN PGP SIGNATURE", "END PGP SIGNATURE")
)


def signed_text(keyring: Path, subject: str, clear_signed: str, now: datetime) -> tuple[str, tuple[str, ...]]:
    """The signed part of a clear-signed text (InRelease), which may hold nothing else; and the keys that signed it."""
    _need_gpgv()  # before anything is said of the signature
    lines = [line.rstrip() for line in clear_signed.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    marks = [line for line in lines if line in (_BEGIN, _SIGNATURE, _END)]
    if marks != [_BEGIN, _SIGNATURE, _END] or lines[0] != _BEGIN or lines[-1] != _END:
        raise PackageError(subject, "is not one clear-signed text and nothing else.", _NEXT)
    said, signers = _verify(keyring, subject, now, clear_signed)
    if said.data is None:
        raise PackageError(subject, "is signed, but its text cannot be read by gpgv.", _NEXT)
    return said.data.decode(), signers


def check_detached(keyring: Path, subject: str, text: str, signature: str, now: datetime) -> tuple[str, ...]:
    """Check a detached, armoured signature (Release.gpg, repomd.xml.asc); returns by which keys it is."""
    _need_gpgv()  # before anything is said of the signature
    if not signature.lstrip().startswith(_SIGNATURE):
        raise PackageError(subject, "is not signed: what stands beside it is no armoured signature.", _NEXT)
    return _verify(keyring, subject, now, text, signature)[1]


def why_keyring_is_none(keyring: Path) -> str:
    """Say what is wrong with a keyring; empty if it can be used."""
    try:
        _need_gpgv()
        keys_of(keyring)
    except ConfigurationError as error:
        return error.why
    return ""


def _why_not(signature: Signature, now: datetime) -> str:
    """Why it proves nothing; empty if it is good."""
    of = f"the signature of key {signature.key}"
    verdict = "REVKEYSIG" if signature.revoked else signature.verdict
    if verdict == "ERRSIG":
        if signature.words[5:6] == ["9"]:
            return f"key {signature.key} is not in the keyring"
        weak = _WEAK_HASHES.get("".join(signature.words[2:3]))
        return f"{of} uses {weak}, which can be forged" if weak else f"{of} cannot be checked"
    if verdict != "GOODSIG":
        return _REFUSED.get(verdict, "gpgv says nothing of {of}").format(of=of, key=signature.key)
    valid = [*signature.valid, *[""] * 8]  # of a verdict without VALIDSIG, nothing is right
    made, expires = _moment(valid[2]), _moment(valid[3])
    weak = _WEAK_HASHES.get(valid[7], f"the hash algorithm {valid[7]!r}")
    rules = (
        (not valid[0].endswith(signature.key) or not signature.key, f"gpgv does not call {of} valid"),
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


def _verify(
    keyring: Path, subject: str, now: datetime, signed: str, detached: str | None = None
) -> tuple[Said, tuple[str, ...]]:
    """At least one good signature by a key of the keyring, and none over another text: APT's rule.

    Returns the fingerprints of the (primary) keys whose signatures are good, too.
    """
    said = gpgv(keys_of(keyring), signed.encode(), None if detached is None else detached.encode())
    problems = [why for s in said.signatures if (why := _why_not(s, now))]
    bad = any(s.verdict == "BADSIG" for s in said.signatures)
    # 2: something besides the good signature could not be checked, such as one of a key that we do not have
    if len(problems) < len(said.signatures) and not bad and said.code in (0, 2):
        return said, tuple(dict.fromkeys(s.owner for s in said.signatures if not _why_not(s, now)))
    if not said.signatures:
        nodata = {"NODATA", "UNEXPECTED"} & set(said.keywords)
        problems = ["it holds no signature" if nodata else f"gpgv says: {said.last}"]
    reasons = "; ".join(dict.fromkeys(problems[:5])) or f"gpgv ended with {said.code}"
    raise PackageError(subject, f"is not signed by a key of the configured keyring as it must be: {reasons}.", _NEXT)


def _need_gpgv() -> None:
    if shutil.which("gpgv") is None:
        raise ConfigurationError(
            "service.yaml, package_keys", "asks for signed repositories, but gpgv is not installed.", "Install gpgv."
        )


def keys_of(keyring: Path) -> bytes:
    """The keys of a file as gpgv reads them: providers publish armoured ones, which it cannot read."""
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
    try:
        data = dearmoured(data)
    except ValueError as error:
        raise ConfigurationError(subject, "holds an armoured key that is damaged.", _FIX) from error
    if not data:
        raise ConfigurationError(subject, "holds no public keys.", _FIX)
    return data
