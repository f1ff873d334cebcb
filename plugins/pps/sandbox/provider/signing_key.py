"""The key that signs what the sandbox publishes: made once, and real, as in production."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path

from pps.adapters.packages.openpgp import as_connection, make_key
from pps.domain.packages.repository_seals import KEYRING

SECRET_FILE = "signing.connection"


def keep_signing_key(folder: Path, config: Path) -> str:
    """The URI of the connection `pps_signing`; the public key is in the configuration folder.

    Args:
        folder: where it is kept across restarts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    secret, public = folder / SECRET_FILE, folder / KEYRING
    if not secret.exists():
        made = make_key("PPS sandbox <pps-support@example.org>", timedelta(days=3650))
        public.write_text(made.public)
        aside = folder / f".{SECRET_FILE}.part"
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
            out.write(as_connection(made.secret))
        aside.replace(secret)
    config.mkdir(parents=True, exist_ok=True)
    if not (config / KEYRING).exists() or (config / KEYRING).read_bytes() != public.read_bytes():
        part = config / f".{KEYRING}.part"
        shutil.copyfile(public, part)
        part.replace(config / KEYRING)
    return secret.read_text()
