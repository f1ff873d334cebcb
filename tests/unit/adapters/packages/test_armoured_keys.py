"""Armoured keys, of which gpgv reads none."""

from __future__ import annotations

import base64

import pytest

from pps.adapters.packages.openpgp import dearmoured

KEY = bytes(range(150))


def armour(*headers: bytes, key: bytes = KEY, kind: bytes = b"PUBLIC", end: bytes = b"\n") -> bytes:
    body = base64.b64encode(key)
    lines = [*headers, b"", *(body[i : i + 64] for i in range(0, len(body), 64)), b"=abcd"]
    return end.join([b"-----BEGIN PGP %s KEY BLOCK-----" % kind, *lines, b"-----END PGP %s KEY BLOCK-----" % kind, b""])


def test_every_key_of_an_armoured_file_is_read_with_its_headers_and_checksum_left_out() -> None:
    assert dearmoured(armour()) == KEY
    assert dearmoured(armour(b"Version: GnuPG v2", b"Comment: = a key", end=b"\r\n")) == KEY
    assert dearmoured(b"of the provider\n" + armour() + b"\n" + armour(key=b"another")) == KEY + b"another"


def test_what_is_not_armoured_is_a_ring_already_and_an_armour_without_public_keys_holds_none() -> None:
    assert dearmoured(KEY) == KEY
    assert dearmoured(armour(kind=b"PRIVATE")) == b""
    assert dearmoured(armour()[:-20]) == b""


def test_a_damaged_armour_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"[Bb]ase64"):
        dearmoured(armour().replace(b"AAEC", b"A!EC", 1))
