"""Keys in force (`root.<n>`), and the list of what is current: who may speak to sites with a kit, and how fresh it is.

```text
pps-root 1
number 3
issued 1790000000
scheme ssh                                            ssh, or openssl for sites with an OpenSSH below 8.1
root <name> <person> <key>                            three of them, kept offline; two sign the next list of keys
signer <name> release-manager <person> <key>          sign statements
signer <name> pps-coordinator <person> <key>
current <name> <name> <key>                           online, of low value: signs only what is current
revoked <key>
```

A key is `ssh-ed25519,<base64>` as in a public key's file, or `rsa,<base64 of its DER>`. A list is accepted by a site
only if its number is one more than that in force there, so nobody is led past a list that he has not seen.

```text
pps-current 1
issued 1790000000
expires 1790604800                                    at most a week later
root 3                                                number of the keys in force
head glite-WN debian12-amd64 17 <sha256 of statement 17>
```
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pps.domain.base.errors import ConfigurationError, InvalidNameError, PackageError
from pps.domain.sites.site import Scheme
from pps.domain.trust.statement import Statement

CURRENT_HOLDS_FOR = timedelta(days=7)
ROOT_KEYS_AT_LEAST = 2
_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
_KEY = r"[a-z0-9@.-]{1,64},[A-Za-z0-9+/=]{16,4096}"
_LINE = {
    "root": re.compile(rf"root ({_NAME}) ({_NAME}) ({_KEY})"),
    "signer": re.compile(rf"signer ({_NAME}) ([a-z-]{{1,40}}) ({_NAME}) ({_KEY})"),
    "current": re.compile(rf"current ({_NAME}) ({_NAME}) ({_KEY})"),
    "revoked": re.compile(rf"revoked ({_KEY})"),
}


class SignerRole(StrEnum):
    """Who signs a statement: both, two people. Written in the keys at sites: never rename."""

    RELEASE_MANAGER = "release-manager"
    PPS_COORDINATOR = "pps-coordinator"


@dataclass(frozen=True, slots=True)
class Signer:
    """A key, whose it is, and as what that person signs with it."""

    name: str
    role: str
    person: str
    key: str

    def __post_init__(self) -> None:
        # what a kit would not read must not be signed either
        for what, value in (("name", self.name), ("person", self.person)):
            if not re.fullmatch(_NAME, value):
                raise InvalidNameError(
                    f"{what} {value[:80]!r}",
                    "is no name in a list of keys: 1 to 64 of a-z 0-9 . _ -, the first a letter or digit.",
                    "Choose a short one.",
                )
        if self.role not in {"root", "current", *SignerRole}:
            raise InvalidNameError(f"role {self.role[:80]!r}", f"is none of {', '.join(SignerRole)}.")
        if not re.fullmatch(_KEY, self.key):
            raise ConfigurationError(f"key of {self.name}", "is no key that a list could have.")


@dataclass(frozen=True, slots=True)
class Root:
    """The keys in force."""

    number: int
    issued: datetime
    scheme: Scheme
    roots: tuple[Signer, ...]
    signers: tuple[Signer, ...]
    current: tuple[Signer, ...]
    revoked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        everybody = [*self.roots, *self.signers, *self.current]
        if reasons := reasons_against_keys(everybody, self.revoked):
            raise ConfigurationError("keys", " ".join(reasons), "Correct the list of keys.")

    @property
    def text(self) -> str:
        """The very bytes that are signed."""
        lines = [
            "pps-root 1",
            f"number {self.number}",
            f"issued {int(self.issued.timestamp())}",
            f"scheme {self.scheme}",
            *(f"root {k.name} {k.person} {k.key}" for k in self.roots),
            *(f"signer {k.name} {k.role} {k.person} {k.key}" for k in self.signers),
            *(f"current {k.name} {k.person} {k.key}" for k in self.current),
            *(f"revoked {key}" for key in self.revoked),
        ]
        return "\n".join([*lines, ""])

    @classmethod
    def parse(cls, text: str) -> Root:
        """Read a list of keys; `PackageError` names the line that does not belong there."""
        lines = text.split("\n")
        head = re.fullmatch(
            r"pps-root 1\nnumber ([1-9]\d{0,8})\nissued (\d{1,12})\nscheme (ssh|openssl)", "\n".join(lines[:4])
        )
        if head is None or lines[-1] != "":
            raise PackageError("list of keys", "does not begin and end as one must.")
        found: dict[str, list[tuple[str, ...]]] = {kind: [] for kind in _LINE}
        for line in lines[4:-1]:
            kind = line.partition(" ")[0]
            match = _LINE[kind].fullmatch(line) if kind in _LINE else None
            if match is None:
                raise PackageError(f"list of keys, {line[:80]!r}", "is no line of one.")
            found[kind].append(match.groups())
        return cls(
            int(head[1]),
            datetime.fromtimestamp(int(head[2]), UTC),
            Scheme(head[3]),
            tuple(Signer(name, "root", person, key) for name, person, key in found["root"]),
            tuple(Signer(*groups) for groups in found["signer"]),
            tuple(Signer(name, "current", person, key) for name, person, key in found["current"]),
            tuple(key for (key,) in found["revoked"]),
        )


def reasons_against_keys(keys: Iterable[Signer], revoked: Collection[str]) -> tuple[str, ...]:
    """Say why a list of keys may not be in force; no reasons means that it may.

    One key is one person's and has one task; else two signatures would not be two people's.
    """
    keys = tuple(keys)
    reasons = []
    for what, values in (("name", [k.name for k in keys]), ("key", [k.key for k in keys])):
        if twice := sorted({v for v in values if values.count(v) > 1}):
            reasons.append(f"The {what} {twice[0][:60]} stands there twice.")
    roots = {k.person for k in keys if k.role == "root" and k.key not in revoked}
    if len(roots) < ROOT_KEYS_AT_LEAST + 1:
        reasons.append("Three people must hold a root key, so that two are left when one is lost.")
    for role in SignerRole:
        if not any(k.role == role and k.key not in revoked for k in keys):
            reasons.append(f"Nobody can sign as {role}.")
    if not any(k.role == "current" and k.key not in revoked for k in keys):
        reasons.append("No key can say what is current.")
    if held := sorted(k.name for k in keys if k.key in revoked and k.role != "root"):
        reasons.append(f"The key of {held[0]} is revoked: leave its line out.")
    return tuple(reasons)


def reasons_against_successor(holders: Collection[Signer]) -> tuple[str, ...]:
    """Say why those whose root keys have signed the next list of keys are not enough: two people, two keys."""
    if min(len({s.person for s in holders}), len({s.key for s in holders})) >= ROOT_KEYS_AT_LEAST:
        return ()
    return ("Two people must sign with root keys that are in force.",)


def reasons_against_signatures(signers: Collection[Signer]) -> tuple[str, ...]:
    """Say why those whose signatures of a statement hold are not enough (two roles, two people, two keys)."""
    for one in signers:
        for other in signers:
            roles = (one.role, other.role) == (SignerRole.RELEASE_MANAGER, SignerRole.PPS_COORDINATOR)
            if roles and one.person != other.person and one.key != other.key:
                return ()
    have = ", ".join(sorted(f"{s.person} ({s.role})" for s in signers)) or "nobody"
    return (
        f"A {SignerRole.RELEASE_MANAGER} and a {SignerRole.PPS_COORDINATOR} must sign, two people; signed by {have}.",
    )


@dataclass(frozen=True, slots=True)
class Current:
    """What is in force, so that a site notices when it is not told any more."""

    issued: datetime
    root: int
    heads: Mapping[tuple[str, str], tuple[int, str]]
    """product and platform -> sequence and digest of the newest statement"""
    expires: datetime

    @property
    def text(self) -> str:
        """The very bytes that are signed."""
        lines = [
            "pps-current 1",
            *(f"{k} {int(t.timestamp())}" for k, t in (("issued", self.issued), ("expires", self.expires))),
        ]
        heads = (
            f"head {' '.join(what)} {sequence} {digest}" for what, (sequence, digest) in sorted(self.heads.items())
        )
        return "\n".join([*lines, f"root {self.root}", *heads, ""])


def current_of(newest: Iterable[Statement], root: int, now: datetime) -> Current:
    """The list of what is in force now: of each product and platform the newest statement."""
    heads = {(s.product, s.platform): (s.sequence, s.digest) for s in newest}
    issued = now.astimezone(UTC).replace(microsecond=0)
    return Current(issued, root, heads, issued + CURRENT_HOLDS_FOR)


def issued_in(current: str) -> datetime:
    """When a list of what is in force was signed; `PackageError` if this is none."""
    found = re.match(r"pps-current 1\nissued (\d{1,12})\n", current)
    if found is None:
        raise PackageError("list of what is in force", "does not begin as one.")
    return datetime.fromtimestamp(int(found[1]), UTC)
