"""Names that come from outside and go into shells, filters, headers, paths and templates.

One narrow alphabet for all of them is cheaper than one escaping rule for each place they
reach. `re.fullmatch`, because `^...$` lets a trailing newline through.
"""

from __future__ import annotations

import ipaddress
import re

from pps.domain.base.errors import InvalidNameError

#: Also the JSON schema pattern of DAG params; there `(?!\n)` keeps the trailing newline out.
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}"
NAME_JSON_PATTERN = rf"^{NAME_PATTERN}$(?!\n)"

_NAME = re.compile(NAME_PATTERN)
# Names of packages and their architectures: longer than ours, since distributions have some of 70 characters.
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}")
# `^` is rpm's sign for "after this version" (rpm-version(7)): 2.23.0^20240101git1a2b3c4-1.el9
_VERSION = re.compile(r"(?:[0-9]{1,10}:)?[A-Za-z0-9][A-Za-z0-9._+~^-]{0,127}")
# One plain mailbox; no quoting, no comments, no lists: we send to exactly what we were given.
_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
# An underscore does not belong in a host name, but many names in DNS have one.
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?")
_SUBCLUSTER = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.+~:@/ -]{0,198}[A-Za-z0-9_.+~:@-])?")
_MOST_ADDRESSES = 20


def is_name(value: object) -> bool:
    """Tell whether `value` is a name as we allow it: 1 to 64 characters of `A-Za-z0-9._+~-`."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def checked_name(value: str, what: str) -> str:
    """Return `value`, or raise `InvalidNameError` that says what the name is for."""
    if not is_name(value):
        raise InvalidNameError(
            f"{what} {str(value)[:80]!r}",
            "is not a name: 1 to 64 characters of A-Z a-z 0-9 . _ + ~ -, the first a letter or digit.",
            "Correct it where it was entered.",
        )
    return value


def checked_package_name(value: str, what: str) -> str:
    """Return the name (or architecture) of a package, or raise `InvalidNameError` that says what it is for."""
    if not (isinstance(value, str) and _PACKAGE.fullmatch(value)):
        raise InvalidNameError(
            f"{what} {str(value)[:80]!r}",
            "is not a package's name: 1 to 128 characters of A-Z a-z 0-9 . _ + ~ -, the first a letter or digit.",
            "Correct it where it was entered.",
        )
    return value


def checked_version(value: str, what: str) -> str:
    """Return `[epoch:]version[-release]` of a package, or raise `InvalidNameError` that says what it is for."""
    if not (isinstance(value, str) and _VERSION.fullmatch(value)):
        raise InvalidNameError(
            f"{what} {str(value)[:80]!r}",
            "is not a version: [number:], then 1 to 128 characters of A-Z a-z 0-9 . _ + ~ ^ -, the first a letter or "
            "digit.",
            "Correct it where it was entered.",
        )
    return value


def checked_address(value: str, what: str) -> str:
    """Return `value` if it is one plain mail address, else raise `InvalidNameError`."""
    if not (isinstance(value, str) and _ADDRESS.fullmatch(value)):
        raise InvalidNameError(f"{what} {str(value)[:80]!r}", "is not one plain mail address.", "Give it as name@host.")
    return value


def addresses_of(value: str) -> tuple[str, ...]:
    """The addresses of a list with commas, semicolons or blanks between them, each once; unchecked."""
    found: dict[str, str] = {}
    for address in re.split(r"[ \t,;]+", value):
        if address:
            found.setdefault(address.lower(), address)
    return tuple(found.values())


def checked_addresses(value: str, what: str) -> str:
    """Return one or several plain mail addresses as `a@x, b@y`, else raise `InvalidNameError`."""
    addresses = addresses_of(value) if isinstance(value, str) else ()
    if not 1 <= len(addresses) <= _MOST_ADDRESSES:
        raise InvalidNameError(
            f"{what} {str(value)[:80]!r}",
            f"is not 1 to {_MOST_ADDRESSES} mail addresses.",
            "Give it as name@host, or several with commas between them.",
        )
    return ", ".join(checked_address(address, what) for address in addresses)


def is_host(value: object) -> bool:
    """Tell whether `value` is a host name, or an IPv4 or IPv6 address without brackets."""
    if not isinstance(value, str):
        return False
    if _HOST.fullmatch(value):
        return True
    try:
        return ipaddress.IPv6Address(value).scope_id is None
    except ValueError:
        return False


def checked_host(value: str, what: str) -> str:
    """Return `value` if it is a host name or an address, else raise `InvalidNameError`."""
    if not is_host(value):
        raise InvalidNameError(
            f"{what} {str(value)[:80]!r}",
            "is not a host name.",
            "Give a DNS name (an international one as xn--...) or an IP address without brackets.",
        )
    return value


def checked_subcluster(value: str, what: str) -> str:
    """Return `value` if it is a SubCluster's id as sites publish them, else raise `InvalidNameError`.

    Often a host name, but also a queue's name, or a CE's id. A `/` in it makes one more folder in the tag
    directory, so no part may lead out of that directory, or be hidden (docs/adr/0018).
    """
    if (
        not (isinstance(value, str) and _SUBCLUSTER.fullmatch(value))
        or "//" in value
        or any(part.startswith(".") for part in value.split("/"))
    ):
        raise InvalidNameError(
            f"{what} {str(value)[:80]!r}",
            "is not a SubCluster's id: 1 to 200 of A-Z a-z 0-9 . _ + ~ - : @ / and blanks inside it, "
            "with no part that is empty or begins with a dot.",
            "Correct it in the site registry.",
        )
    return value


def glue_key(value: str) -> str:
    """A name of the information system as it is compared: caseIgnoreIA5Match minds neither case nor blanks."""
    return " ".join(value.lower().split())


def checked_site_path(value: str, what: str) -> str:
    """Return `value` if it is an absolute path at a site that needs no quoting, else raise."""
    parts = value.split("/") if isinstance(value, str) else [""]
    if (
        len(parts) < 2
        or parts[0] != ""
        or not all(re.fullmatch(r"[A-Za-z0-9._+-]{1,128}", p) for p in parts[1:])
        or ".." in parts
        or "." in parts
    ):
        raise InvalidNameError(
            f"{what} {str(value)[:80]!r}",
            "is not an absolute path of plain names (A-Z a-z 0-9 . _ + -), without . and .. .",
            "Correct it in the site registry.",
        )
    return value
