"""Keys that sign our own repositories: made once for all tests of a process, real in all they do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from pps.activities.packages.repository_use import PublishedKeys
from pps.adapters.packages.openpgp import MadeKey, as_connection, make_key
from pps.adapters.packages.repository_seal import RepositorySeal
from pps.domain.packages.repository_seals import KEYRING, PublicKey

URL = "https://pps.example.org"
#: As texts show it, without GnuPG.
KEYS = PublishedKeys(URL, (PublicKey("0123456789ABCDEF0123456789ABCDEF01234567", "PPS", None),))


@cache
def key(name: str = "PPS tests <pps@example.org>", days: int = 30) -> MadeKey:
    return make_key(name, timedelta(days=days))


def seal(folder: Path, *keys: MadeKey, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> RepositorySeal:
    """Our signature, with the public keys in this folder."""
    signs = keys or (key(),)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KEYRING).write_text("".join(k.public for k in signs))
    return RepositorySeal(folder / KEYRING, lambda: tuple(k.secret for k in signs), timedelta(days=14), now)


def connection(config: Path) -> str:
    """Put the public key into a configuration folder; the URI of the connection `pps_signing`."""
    (config / KEYRING).write_text(key().public)
    return as_connection(key().secret)


assert shutil.which("gpg"), "bin/test-parts installs gnupg"
