"""Signatures of people over documents for sites, with the tools that sites check them with: ssh-keygen, or openssl."""

from __future__ import annotations

import base64
import binascii
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pps.domain.base.errors import ConfigurationError, PackageError, ServiceError
from pps.domain.sites.site import Scheme
from pps.domain.trust.keys import Root, Signer
from pps.domain.trust.signed import Signature, Signed

#: First line of a document -> its namespace: nobody's signature of one kind is good for another.
NAMESPACES = {"pps-statement 1": "pps-statement", "pps-root 1": "pps-root", "pps-current 1": "pps-current"}
_SECONDS = 120
"""somebody may have to touch a key"""


def namespace_of(document: str) -> str:
    """The namespace of a document, or `PackageError`."""
    first = document.partition("\n")[0]
    if first not in NAMESPACES:
        raise PackageError(f"document that begins {first[:40]!r}", f"is none of {', '.join(NAMESPACES)}.")
    return NAMESPACES[first]


def public_key(path: Path) -> str:
    """The key in a public key's file, as lists of keys have it: `ssh-ed25519,<base64>`, or `rsa,<base64 of its DER>`.

    Raises:
        ConfigurationError: it is no public key of OpenSSH's, nor one in PEM.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), "cannot be read.", "Name the file of a public key.") from error
    if text.startswith("-----BEGIN PUBLIC KEY-----"):
        return f"rsa,{''.join(text.strip().splitlines()[1:-1])}"
    words = text.split()
    try:
        # what ssh-keygen would say of it, without asking
        if len(words) < 2 or words[0].encode() not in base64.b64decode(words[1], validate=True):
            raise ValueError
    except (ValueError, binascii.Error) as error:
        raise ConfigurationError(
            str(path), "holds no public key.", "Name a file like ~/.ssh/id_ed25519.pub, or one in PEM of openssl's."
        ) from error
    return f"{words[0]},{words[1]}"


def sign(document: str, signer: str, key: Path, scheme: Scheme) -> Signature:
    """Sign a document. With scheme ssh `key` may be a public key whose private half an agent or a FIDO key has.

    Raises:
        ServiceError: the tool says no; its words are in the message.
    """
    namespace = namespace_of(document)
    if scheme is Scheme.SSH:
        command = ["ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f", str(key)]
        return Signature(signer, _run(command, document.encode()).decode("ascii"))
    raw = _run(["openssl", "dgst", "-sha256", "-sign", str(key)], document.encode())
    return Signature(signer, base64.encodebytes(raw).decode("ascii"))


def those_who_signed(signed: Signed, root: Root) -> tuple[tuple[Signer, ...], tuple[str, ...]]:
    """Whose signatures hold, and why others do not; keys that are revoked count for nothing.

    A statement counts signers, a list of keys those with root keys, what is current the online key.
    """
    namespace = namespace_of(signed.document)
    known = {
        "pps-statement": root.signers, "pps-root": root.roots, "pps-current": root.current
    }[namespace]  # fmt: skip
    hold, not_so = [], []
    for signature in signed.signatures:
        found = [s for s in known if s.name == signature.signer]
        if not found:
            not_so.append(f"{signature.signer} is not among those who may sign this.")
        elif found[0].key in root.revoked:
            not_so.append(f"The key of {signature.signer} is revoked.")
        elif not holds(signed.document, signature, found[0], root.scheme):
            not_so.append(f"The signature of {signature.signer} does not hold.")
        else:
            hold.append(found[0])
    return tuple(hold), tuple(not_so)


def holds(document: str, signature: Signature, signer: Signer, scheme: Scheme) -> bool:
    """Whether a signature is this signer's, of this document in its namespace."""
    namespace = namespace_of(document)
    with tempfile.TemporaryDirectory(prefix="pps-signature-") as name:
        folder = Path(name)
        kind, _, key = signer.key.partition(",")
        if scheme is Scheme.SSH:
            (folder / "signature").write_text(signature.text)
            (folder / "allowed").write_text(f"{signer.name} {kind} {key}\n")
            command = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", signer.name, "-n", namespace]
            return _holds([*command, "-s", "signature"], document, folder)
        if kind != "rsa":
            return False
        try:
            (folder / "signature").write_bytes(base64.b64decode(signature.text))
        except binascii.Error:
            return False
        lines = "\n".join(key[at : at + 64] for at in range(0, len(key), 64))
        (folder / "key").write_text(f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n")
        command = ["openssl", "dgst", "-sha256", "-verify", "key", "-signature", "signature"]
        return _holds(command, document, folder)


def _holds(command: Sequence[str], document: str, folder: Path) -> bool:
    try:
        done = subprocess.run(
            command, input=document.encode(), cwd=folder, capture_output=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(command[0], f"could not check a signature ({error}).", f"Install {command[0]}.") from error
    return done.returncode == 0


def _run(command: Sequence[str], given: bytes) -> bytes:
    try:
        # a FIDO key asks to be touched there; where nobody looks on, its last words are in our error
        aside = None if sys.stderr.isatty() else subprocess.PIPE
        done = subprocess.run(command, input=given, stdout=subprocess.PIPE, stderr=aside, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(command[0], f"could not sign ({error}).", f"Is {command[0]} installed?") from error
    if done.returncode != 0:
        said = (done.stderr or b"").decode(errors="replace").strip().splitlines()
        raise ServiceError(
            command[0],
            f"did not sign: {said[-1][:200] if said else 'its words are above'}.",
            "Name the file of your key.",
        )
    return done.stdout
