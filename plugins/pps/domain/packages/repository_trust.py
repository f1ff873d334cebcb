"""Where a repository is, and who must have signed it (docs/adr/0020).

An address has one spelling here, so that no other spelling gets around a signature: `Repo.example.org.:443/%61` is
`repo.example.org/a`. What could be read in two ways by two programs is refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from pps.domain.base.errors import ConfigurationError, PackageError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?")
_MIRRORS = re.compile(r"mirror-?list|meta-?link", re.IGNORECASE)


def shown(url: str) -> str:
    """An address for a sentence: without what may be a password, and without a query, which may hold a signature."""
    plain = re.sub(r"//[^/\s]*@|//[^/\s@]*:[^@]*@", "//…@", url, count=1)
    return plain.partition("?")[0][:120]


@dataclass(frozen=True, slots=True)
class Address:
    """A place on a web server, in one spelling."""

    scheme: str
    host: str
    port: int | None
    """None: the scheme's own"""
    path: str
    """decoded; empty or `/a/b`"""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a plain http or https address; `PackageError` for anything that is more than that."""
        if why := _not_plain(url):
            raise PackageError(f"repository {shown(url)!r}", f"is not a plain http or https address: {why}.", _CORRECT)
        parts = urlsplit(url)
        host = _host(parts.hostname or "")
        port = parts.port if parts.port != _DEFAULT_PORTS[parts.scheme] else None
        return cls(parts.scheme, host, port, unquote_to_bytes(parts.path.rstrip("/")).decode())

    @property
    def server(self) -> str:
        """The part before the path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{f':{self.port}' if self.port else ''}"

    @property
    def url(self) -> str:
        """The address as it is sent."""
        return self.server + encoded(self.path)

    def below(self, path: str) -> str:
        """The address of a file below this one, as it is sent."""
        return f"{self.url}/{encoded(path)}"

    def leads_to(self, url: str) -> Address:
        """Another place on this server: the target of a redirect, or of `xml:base`.

        `PackageError` where that is another server: an open redirect, or an index, would have us ask any address
        inside our own network. From http to https on the same host is not another server.
        """
        target = urljoin(f"{self.url}/", url)
        try:
            to = Address.parse(target)
        except PackageError:
            to = None
        same = to is not None and (to.scheme, to.host, to.port) == (self.scheme, self.host, self.port)
        upgraded = to is not None and (self.scheme, to.scheme, to.host, self.port, to.port) == (
            "http", "https", self.host, None, None,
        )  # fmt: skip
        if to is None or not (same or upgraded):
            raise PackageError(
                f"{self.url}",
                f"leads to another server, or to no plain address ({shown(target)}).",
                "Put that address into the patch if it is right.",
            )
        return to


_CORRECT = "Correct the patch (or package_keys in service.yaml)."


def encoded(path: str) -> str:
    """A path as APT sends it: `+` is encoded, since S3 takes it for a blank, and so is `~`; `:` and `@` are not."""
    return quote(path, safe="/:@!$&'()*,;=").replace("~", "%7E")


def _not_plain(url: str) -> str:
    """Why an address is not plain; empty if it is."""
    if not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        return "it holds a blank, a backslash or another character that must be percent-encoded"
    try:
        parts = urlsplit(url)
        host, port = _host(parts.hostname or ""), parts.port
        path = unquote_to_bytes(parts.path.rstrip("/")).decode()
    except ValueError:  # also of a path that is not UTF-8
        return "its host, port or path is not valid"
    last = parts.path.rpartition("/")[2]
    rules = (
        (parts.scheme not in _DEFAULT_PORTS, f"its scheme is {parts.scheme[:20]!r}"),
        (
            bool(_MIRRORS.search(last) or _MIRRORS.search(parts.query)),
            "a list of mirrors (mirrorlist, metalink) is no repository; give the address of one mirror",
        ),
        ("@" in parts.netloc, "it holds a user or a password"),
        ("?" in url or "#" in url, "it holds a query or a fragment"),
        (port == 0 or parts.netloc.endswith(":") or not host, "it has no valid host or port"),
        (
            re.search(r"[\x00-\x1f\x7f\\]|%2f|%5c", f"{path}{parts.path}", re.IGNORECASE) is not None,
            "its path holds control characters, or slashes in disguise",
        ),
        (any(p in ("", ".", "..") for p in path.split("/")[1:]), "its path holds empty parts, . or .."),
    )
    return next((why for broken, why in rules if broken), "")


def _host(text: str) -> str:
    """A host in its one spelling, or empty: `127.1` and `0x7f000001` are not spellings of an address."""
    text = text.lower()
    try:
        if ":" in text:
            return "" if "%" in text else str(ipaddress.IPv6Address(text))
        text = text.removesuffix(".")
        if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", text.rpartition(".")[2]):
            return str(ipaddress.IPv4Address(text))
    except ValueError:
        return ""
    return text if _HOST.fullmatch(text) and ".." not in text else ""


# --- trust -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trust:
    """Why the index of a repository is believed: it must be signed, or somebody has said why it need not be."""

    keyring: Path | None = None
    unsigned: str = ""
    """the reason, where it need not be signed"""

    def __post_init__(self) -> None:
        if (self.keyring is None) == (not self.unsigned):
            raise ValueError("either a keyring or a reason")


def trust_in(url: str, keyrings: Mapping[str, Path], unsigned: Mapping[str, str]) -> Trust:
    """Say who must have signed the repository at `url`; `ConfigurationError` where nobody has decided.

    A keyring covers its prefix in whatever scheme, port and case it is spelt; a reason covers exactly what it names.
    The longest path counts, then the port, and then the keyring.

    Args:
        keyrings: address -> file with the keys, for what is at this address and below.
        unsigned: address -> reason.
    """
    asked = Address.parse(url)
    found: list[tuple[tuple[int, bool, bool], Trust]] = []
    for prefix, keyring in keyrings.items():
        place = Address.parse(prefix)
        if place.host == asked.host and _is_below(asked.path.casefold(), place.path.casefold()):
            found.append(((place.path.count("/"), place.port == asked.port, True), Trust(keyring)))
    for prefix, reason in unsigned.items():
        place = Address.parse(prefix)
        if place.server == asked.server and _is_below(asked.path, place.path):
            found.append(((place.path.count("/"), True, False), Trust(unsigned=reason)))
    if not found:
        key = "unsigned_over_http" if asked.scheme == "http" else "unsigned"
        risk = ", where anybody on the way can change it" if asked.scheme == "http" else ""
        raise ConfigurationError(
            f"repository {asked.url}",
            f"is covered by no entry of package_keys, so nobody has said which key must have signed its index{risk}.",
            f"Add to package_keys in service.yaml: {asked.url}: {{keyring: FILE WITH THE PROVIDER'S PUBLIC KEYS}}; "
            f'if the provider does not sign: {asked.url}: {{{key}: "WHY IT IS BELIEVED ALL THE SAME"}}.',
        )
    return max(found, key=lambda f: f[0])[1]


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
